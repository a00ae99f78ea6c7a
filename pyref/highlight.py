"""Lamps: light sources far above white, whose recorded values say next to nothing about them.

Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The six iterations of a restoration
do not find out how bright it was, and whatever they assume rings across the picture. So the data that a lamp may have reached are declared unknown
before the restoration, which then sees neither the lamp nor its spread, and the result fades into the input there: a lamp stays as it was taken, its
surroundings too.

An overexposed sky, barely above white, is no lamp: its edges restore well. The PSF tells them apart: an edge of height 1, blurred, nowhere rises by
more than the peak of the PSF's projection on a line. Neighbouring pixels that differ by more, next to a clipped one, are the slope of something
brighter than white.
"""
import numpy as np
from scipy.ndimage import maximum_filter, uniform_filter

STEEP = 1.15
LEAST = 0.5
TAIL = 0.0005
RAMP = 2


def spread(psf):
    """(rows, columns): half widths beyond which at most 0.0005 of the PSF (n, n[, C]) lies, in any channel."""
    psf = np.asarray(psf, float)
    psf = psf[..., None] if psf.ndim == 2 else psf
    distance = np.abs(np.arange(psf.shape[0]) - psf.shape[0] // 2)

    def half(p):
        return next(r for r in range(psf.shape[0]) if (p[distance > r].sum(axis=0) <= TAIL).all())

    return half(psf.sum(axis=1)), half(psf.sum(axis=0))


def steepest(psf):
    """Largest difference of neighbouring pixels at a blurred edge of height 1: peak of the PSF's projections on lines in 8 directions.

    Bins of 1 px, shared linearly; the largest of all channels of a per-channel PSF.
    """
    psf = np.asarray(psf, float)
    psf = psf[..., None] if psf.ndim == 2 else psf
    n = psf.shape[0]
    i, j = np.mgrid[:n, :n] - n // 2
    peak = 0.0
    for a in np.arange(8) * np.pi / 8:
        place = i * np.sin(a) + j * np.cos(a) + 2 * n
        low = np.floor(place).astype(int)
        for c in range(psf.shape[2]):
            line = np.bincount(low.ravel(), ((low + 1 - place) * psf[..., c]).ravel(), 4 * n)
            line += np.bincount(low.ravel() + 1, ((place - low) * psf[..., c]).ravel(), 4 * n)
            peak = max(peak, line.max())
    return float(peak)


def find(y, psf, white):
    """Where lamps reach.

    With b = min(y, white): a pixel is steep when a difference of b to one of its four neighbours exceeds white min(1.15 `steepest`, 0.5); a lamp,
    when clipped with a steep pixel within twice the PSF's `spread`; reached, when a lamp lies within the spread. Depends on pixels up to 3 spread + 5 away.

    Parameters
    ----------
    y : (M, N, C) array, non-finite where unknown
    psf : (n, n) or (n, n, C), sum 1
    white : clipping level

    Returns
    -------
    reached : (M, N) boolean array
    weight : (M, N) array, share of the input in the result: 1 where reached, falling to 0 within 4 px
    """
    once, twice = ([2 * f * r + 1 for r in spread(psf)] for f in (1, 2))
    most = white * min(STEEP * steepest(psf), LEAST)
    with np.errstate(invalid="ignore"):
        clipped = (np.isfinite(y) & (y >= white)).any(axis=2)
        b = np.minimum(y, white)
        steep = np.zeros(clipped.shape, bool)
        for axis in (0, 1):
            s = (np.abs(np.diff(b, axis=axis)) > most).any(axis=2)
            low, high = (slice(None, -1), slice(None)), (slice(1, None), slice(None))
            steep[low[:: 1 - 2 * axis]] |= s
            steep[high[:: 1 - 2 * axis]] |= s
    reached = maximum_filter(clipped & maximum_filter(steep, twice, mode="constant"), once, mode="constant")
    weight = maximum_filter(reached, 2 * RAMP + 1, mode="constant").astype(float)

    def total(a):
        return uniform_filter(a, 2 * RAMP + 1, mode="constant")

    return reached, total(weight) / total(np.ones_like(weight))


def fade(x, y, weight):
    """weight y + (1 - weight) x; x where y is not finite."""
    w = np.where(np.isfinite(y), weight[..., None], 0).astype(x.dtype)
    return w * np.where(np.isfinite(y), y, 0).astype(x.dtype) + (1 - w) * x
