"""Unknown data: what lies beyond the frame, and pixels that are not finite or clipped.

The restoration works on a periodic domain (P, Q) that is larger than the picture (M, N). The picture sits at the origin;
the gap M <= i < P or N <= j < Q stands for the unseen surroundings on all sides at once (it wraps around). It starts as
the picture's edges repeated, joined by a straight line; near the picture it is then re-estimated by the solver.
"""
import numpy as np

from . import fft


def reach(radius):
    """Width of the surroundings that count as unknown: 2 radius + 8, radius = n // 2 of the PSF.

    What lies beyond repeats the picture's edge and counts as known, which keeps one side from feeling the other.
    """
    return 2 * radius + 8


def gap(radius, halo=0):
    """Least gap: on each side `reach` and as much of the repeated edge, 16 more to join them; not below `halo` (see admm.halo)."""
    return max(4 * reach(radius) + 16, halo)


def edge(least):
    """Pixels by which an edge is repeated into a gap of at least `least`."""
    return max((least - 16) // 2, 0)


def domain(shape, least):
    """Fast periodic domain: the picture (M, N) plus a gap of at least `least`."""
    return tuple(fft.fast_size(n + least) for n in shape[:2])


def extend(y, shape, repeat=0):
    """Fill the gap: along axis 0, then along axis 1 of the result.

    `repeat` samples beyond the last row (column) repeat it, as many before the first repeat that, a straight line joins them: with
    g gap samples, sample i = 0 .. g-1 is (1 - w) last + w first, w = (i + 1 - repeat) / (g + 1 - 2 repeat) held in [0, 1].
    (M, N[, C]) -> (P, Q[, C]).
    """
    for axis in (0, 1):
        y = np.moveaxis(y, axis, 0)
        g = shape[axis] - y.shape[0]
        w = np.clip((np.arange(1, g + 1) - repeat) / (g + 1 - 2 * repeat), 0, 1).astype(y.dtype).reshape((-1,) + (1,) * (y.ndim - 1))
        y = np.moveaxis(np.concatenate([y, (1 - w) * y[-1] + w * y[0]]), 0, axis)
    return y


def fade(count, period, width):
    """Weights (period,) of an axis of an inner tile, data [0, count): sin^2(pi d / (2 width)) at a distance d < width from a cut, 0 in the gap, else 1."""
    i = np.arange(period) + 0.5
    return np.sin(np.pi / 2 * np.clip(np.minimum(i, count - i) / width, 0, 1)) ** 2


def taper(y, k, weights, power=8):
    """y - (1 - w) n * y with the filter n of transfer function (1 - |K|^2)^8: what the data hold near the zeros of K fades towards a tile's cuts.

    A cut edge meets the opposite one through the gap, which no blurred picture would do; what that excites at the zeros of K rings through the
    whole tile. (1 - |K|^2)^8 y is what 8 steps of gradient descent from 0 (Landweber 1951) on ||k * x - y||^2 leave of y: unlike that of the
    inverse filter its kernel is compact, so that little of the joint gets to where w = 1. Blurring the edges with k itself (Reeves 2005) leaves the same or up
    to a fifth more of the difference from the whole picture, RMS. The surroundings of a frame, too, begin with what the zeros of K allow (w = 0 in
    the gap, 1 on the data): few iterations do not get rid of the rest.

    Parameters
    ----------
    y : (P, Q, C); k : (P, Q // 2 + 1, 1 or C), OTF
    weights : (P,), (Q,): w is their outer product
    """
    notch = fft.inverse((1 - np.abs(k) ** 2) ** power * fft.forward(y), y.shape[:2])
    return y - (1 - np.multiply.outer(*weights)).astype(y.dtype)[..., None] * notch


def known(finite, shape, width):
    """True where z holds data: finite pixels of the picture, and the gap further than `width` pixels from it (largest of both axes).

    (M, N, C) boolean -> (P, Q, C) boolean.
    """
    away = [np.where(np.arange(p) < m, 0, np.minimum(np.arange(p) - m + 1, p - np.arange(p))) for m, p in zip(finite.shape, shape)]
    out = np.repeat((np.maximum.outer(*away) > width)[..., None], finite.shape[2], axis=2)
    out[: finite.shape[0], : finite.shape[1]] = finite
    return out


def fill_holes(y, passes=32, share=8):
    """Replace non-finite values, channel by channel, from their surroundings.

    Each pass gives every hole with at least one known neighbour among eight the mean of those neighbours (the known
    values of the pass before). They are 1 px away in the first `share` passes, then 2, 4, 8; holes further than that, 120 px, from data become 0.

    Returns
    -------
    filled : (M, N, C) array
    known : (M, N, C) boolean array, true where y was finite
    """
    known = np.isfinite(y)
    value = np.where(known, y, 0)
    have = known.copy()
    for n in range(passes):
        if have.all():
            break
        step = 2 ** (n // share)
        pad = ((step, step), (step, step), (0, 0))
        v, h = np.pad(np.where(have, value, 0), pad), np.pad(have.astype(y.dtype), pad)
        rows, cols = y.shape[:2]
        total, count = np.zeros_like(value), np.zeros_like(value)
        for i in range(0, 2 * step + 1, step):
            for j in range(0, 2 * step + 1, step):
                total += v[i : i + rows, j : j + cols]
                count += h[i : i + rows, j : j + cols]
        new = ~have & (count > 0)
        value = np.where(new, total / np.maximum(count, 1), value)
        have |= new
    return value, known
