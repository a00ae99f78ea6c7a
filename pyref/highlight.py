"""Lamps: light sources far above white, whose recorded values say next to nothing about them.

Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The six iterations of a restoration
do not find out how bright it was, and whatever they assume rings across the picture. So the data that a lamp may have reached are declared unknown
before the restoration, which then sees neither the lamp nor its spread, and the result fades into the input there: a lamp stays as it was taken, its
surroundings too.

An overexposed sky, barely above white, is no lamp: its edges restore well. If the sharp x <= t white around a clipped pixel p, k * x >= white there
leaves little room for anything dark, and the pixels next to it see much the same: with x >= low and m(d) = sum_q min(k(q), k(q + d)), the share of the
PSF that p and p + d have in common,

    (k * x)(p + d) >= low + (t white - low) m(d) - (t - 1) white

A clipped pixel next to another that is darker than this by more than four times the noise, t = 1.05, low the least value around, belongs to a lamp.

Where no lamp is found, clipping still hides a little light, which the iterations find too slowly: near clipped pixels the result is held in the range
of the input (`hold`).
"""
import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

ABOVE = 0.05
LEAST = 0.05
SHIFTS = 10
PLACES = 16
TAIL = 0.01
RAMP = 2
EXTENT = 4


def spread(psf):
    """(rows, columns): half widths beyond which at most 0.01 of the PSF (n, n[, C]) lies, in any channel."""
    psf = np.asarray(psf, float)
    psf = psf[..., None] if psf.ndim == 2 else psf
    distance = np.abs(np.arange(psf.shape[0]) - psf.shape[0] // 2)

    def half(p):
        return next(r for r in range(psf.shape[0]) if (p[distance > r].sum(axis=0) <= TAIL).all())

    return half(psf.sum(axis=1)), half(psf.sum(axis=0))


def stride(psf):
    """Pixels between shifts: ten to each side, up to twice the `spread`."""
    return max(-(-2 * max(spread(psf)) // SHIFTS), 1)


def common(psf):
    """m(d), the least of all channels, for shifts of up to 10 `stride` to each side: (21, 21), no shift in the middle."""
    psf = np.asarray(psf, float)
    psf = psf[..., None] if psf.ndim == 2 else psf
    n, step = psf.shape[0], stride(psf)
    most = SHIFTS * step
    wide = np.pad(psf, ((most, most), (most, most), (0, 0)))
    shifts = range(0, 2 * most + 1, step)
    return np.array([[np.minimum(psf, wide[i : i + n, j : j + n]).sum(axis=(0, 1)).min() for j in shifts] for i in shifts])


def at(b, place, i, j):
    """b (M, N, C) at the pixels and channels `place` (row, column, channel), moved by (i, j); infinite outside."""
    row, column = place[0] + i, place[1] + j
    inside = (row >= 0) & (row < b.shape[0]) & (column >= 0) & (column < b.shape[1])
    return np.where(inside, b[np.where(inside, row, 0), np.where(inside, column, 0), place[2]], np.inf)


def glowing(y, psf, white, noise):
    """(M, N) boolean: clipped pixels, at the edge of what is clipped, that show that they belong to a lamp.

    The least value around, held in [0, 0.9 white], is that of 33 x 33 places, evenly spread over 2 spread + 2 pixels to each side; shifts with
    m < 0.05 say nothing.
    """
    finite = np.isfinite(y)
    b = np.where(finite, np.minimum(np.where(finite, y, 0), white), np.inf)
    clipped = finite & (b >= white)
    core = np.pad(b >= white, ((1, 1), (1, 1), (0, 0)), constant_values=True)
    place = np.nonzero(clipped & ~(core[:-2, 1:-1] & core[2:, 1:-1] & core[1:-1, :-2] & core[1:-1, 2:]))
    low = np.full(place[0].shape, 0.9 * white)

    def steps(half):
        reach = 2 * half + 2
        step = -(-reach // PLACES)
        return range(-(reach // step) * step, reach + 1, step)

    rows, columns = spread(psf)
    for i in steps(rows):
        for j in steps(columns):
            low = np.minimum(low, at(b, place, i, j))
    low = np.maximum(low, 0)
    out, m, step = np.zeros(y.shape[:2], bool), common(psf), stride(psf)
    for i, j in np.argwhere(m >= LEAST) - SHIFTS:
        dark = at(b, place, i * step, j * step) < low + ((1 + ABOVE) * white - low) * m[i + SHIFTS, j + SHIFTS] - ABOVE * white - 4 * noise
        out[place[0][dark], place[1][dark]] = True
    return out


def clipped(y, white):
    """(M, N) boolean: pixels of y (M, N, C) with a value at or above white."""
    return (np.isfinite(y) & (np.where(np.isfinite(y), y, 0) >= white)).any(axis=2)


def around(psf, times):
    """Box of so many times the `spread` to each side."""
    return tuple(2 * times * r + 1 for r in spread(psf))


def soften(marks):
    """(M, N) boolean -> weights: 1 within RAMP more pixels, falling to 0 within as many again (means over boxes)."""
    wide = maximum_filter(marks, 2 * RAMP + 1, mode="constant").astype(float)

    def total(a):
        return uniform_filter(a, 2 * RAMP + 1, mode="constant")

    return total(wide) / total(np.ones_like(wide))


def find(y, psf, white, noise):
    """Where lamps reach: within twice the PSF's `spread` from a clipped pixel that has a `glowing` one within four times the spread.

    (Not all of a lamp need be clipped. What is left of its light next to the hidden part makes a dark spot there.) Depends on pixels up to
    8 spread + 14 away.

    Parameters
    ----------
    y : (M, N, C) array, non-finite where unknown
    psf : (n, n) or (n, n, C), sum 1
    white : clipping level
    noise : standard deviation

    Returns
    -------
    reached : (M, N) boolean array
    weight : (M, N) array, share of the input in the result: 1 where reached, falling to 0 within 4 px
    """
    lamp = clipped(y, white) & maximum_filter(glowing(y, psf, white, noise), around(psf, EXTENT), mode="constant")
    reached = maximum_filter(lamp, around(psf, 2), mode="constant")
    return reached, soften(reached)


def fade(x, y, weight):
    """weight y + (1 - weight) x; x where y is not finite."""
    w = np.where(np.isfinite(y), weight[..., None], 0).astype(x.dtype)
    return w * np.where(np.isfinite(y), y, 0).astype(x.dtype) + (1 - w) * x


def hold(x, y, psf, white, noise):
    """x held in the range of the input within the `spread`, near clipped pixels.

    The little that clipping hid where there is no lamp, and the iterations did not find, would ring there. Where the picture has structure narrower than
    the spread, restoring it does leave that range: by up to four times what it rises there. With v = min(y, white), greatest and least within the spread,

        x <= greatest(v) + 2 noise + 4 max(p - 6 noise, 0),  p = v - greatest(least(v)), the greatest within 2 px     (unless greatest(v) = white)

    and the same for -x and -v. Within 4 spread of a clipped pixel, fading within 4 px; non-finite values of y do not count.
    """
    near = soften(maximum_filter(clipped(y, white), around(psf, EXTENT), mode="constant"))[..., None].astype(x.dtype)
    finite, box = np.isfinite(y), (*around(psf, 1), 1)
    for sign in (-1, 1):
        v = sign * np.minimum(np.where(finite, y, 0), white)
        most = maximum_filter(np.where(finite, v, -np.inf), box, mode="constant", cval=-np.inf)
        least = minimum_filter(np.where(finite, v, np.inf), box, mode="constant", cval=np.inf)
        wide = maximum_filter(np.where(least < np.inf, least, -np.inf), box, mode="constant", cval=-np.inf)
        narrow = maximum_filter(np.where(finite, v - np.where(finite, wide, 0), 0), (5, 5, 1), mode="constant")
        bounded = (most > -np.inf) & ((sign < 0) | (most < white))
        limit = np.where(bounded, most + 2 * noise + 4 * np.maximum(narrow - 6 * noise, 0), np.inf)
        x = x - sign * near * np.maximum(sign * x - limit, 0).astype(x.dtype)
    return x
