"""Lamps: light sources far above white, whose recorded values say next to nothing about them.

Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The six iterations of a restoration
do not find out how bright it was, and whatever they assume rings across the picture. So lamps are taken out before (`separate`): the iteration of
Richardson and Lucy (`solve`), positive and multiplicative, piles the missing light up where a lamp is, within ten steps or some tens. What it finds
above 0.9 white is the lamps' own layer; its blurred form leaves the data, clipped values become what the rest of the model says, and what remains is a
picture without lamps, restored like any other. The layer is added to the result, not above white.

Not every lamp can be found in this way. Where the model misses the data around clipped pixels by more than a hundredth of white, the data give way to the
model, too, which cannot ring, and the result fades into the input (`doubtful`, `join`): on doubt, a lamp stays as it was taken. And near lamps the result
keeps to the range of the input (`hold`).

An overexposed sky, barely above white, is no lamp: its edges restore well. If the sharp x <= t white around a clipped pixel p, k * x >= white there
leaves little room for anything dark, and the pixels next to it see much the same: with x >= low and m(d) = sum_q min(k(q), k(q + d)), the share of the
PSF that p and p + d have in common,

    (k * x)(p + d) >= low + (t white - low) m(d) - (t - 1) white

A clipped pixel next to another that is darker than this by more than four times the noise, t = 1.05, low the least value around, belongs to a lamp.

Where no lamp is found, clipping still hides a little light; the iterations of the restoration find it (`solver.Problem.impute`).
"""
from itertools import pairwise

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from . import boundary, fft, tv

ABOVE = 0.05
LEAST = 0.05
SHIFTS = 10
PLACES = 16
TAIL = 0.01
RAMP = 2
EXTENT = 4
HELD = 5
ASKED, FALL, MOST = 10, 0.9, 80
LEVEL = 0.9
DOUBT = 0.01
OFFSET, FLOOR, SMALL, SMOOTH = 3.0, 0.1, 5.0, 0.6


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
    """(M, N) boolean: where lamps reach, within 2.5 times the PSF's `spread` from a clipped pixel that has a `glowing` one within four times the spread.

    Parameters
    ----------
    y : (M, N, C) array, non-finite where unknown
    psf : (n, n) or (n, n, C), sum 1
    white : clipping level
    noise : standard deviation
    """
    lamp = clipped(y, white) & maximum_filter(glowing(y, psf, white, noise), around(psf, EXTENT), mode="constant")
    return maximum_filter(lamp, tuple(2 * (5 * r // 2) + 1 for r in spread(psf)), mode="constant")


def block_side(psf):
    """Side of the blocks in which light is looked for: 14 n // 2 + 48 for a PSF of n x n, rounded up to a multiple of 32."""
    return -(-(14 * (psf.shape[0] // 2) + 48) // 32) * 32


def in_doubt(miss, over, known, half, white, noise):
    """(M, N) boolean: clipped values (`over`) where the mean square of `miss` is more than noise^2 + (0.01 white)^2.

    Over the known values (`known`, clipped ones not among them) within the spread `half` (rows, columns) both from there and from a clipped one.
    """
    rows, columns = half
    used = known & maximum_filter(over, (2 * rows + 1, 2 * columns + 1), mode="constant")

    def total(a):
        wide = np.pad(a, [(rows + 1, rows), (columns + 1, columns)]).astype(float).cumsum(axis=0).cumsum(axis=1)
        (m, n), (p, q) = (2 * rows + 1, 2 * columns + 1), a.shape
        return wide[m : m + p, n : n + q] - wide[:p, n : n + q] - wide[m : m + p, :q] + wide[:p, :q]

    wrong, count = total(np.where(used, np.square(miss), 0)), np.rint(total(used))
    return over & (count > 0) & (wrong > (noise**2 + (DOUBT * white) ** 2) * count)


def solve(y, psf, half, white, noise, own, reached):
    """The light of lamps in one block of one channel.

    From x_0 = d = max(y, 0) + 3 noise, with v = max(x_t + max(t - 1, 0) / (t + 2) (x_t - x_(t-1)), 0.1 noise), t = 0, 1 ..,

        x_(t+1) = max(v K^T r / clamp(1 + 0.6 noise c(v) / v, 1/2, 2), 0.1 noise),   c(v) = D^T (D v / max(|D v|, 5 noise)),
        r = d / (K v) where d is known, max(d / (K v), 1) where clipped, 1 where unknown

    (Richardson 1972, Lucy 1974; a clipped value is a lower bound, an unknown one follows the model; the total variation of Dey et al. 2006 as in `rl`; steps
    carried on as by Nesterov 1983.) After every tenth step the clipped values that are `in_doubt` are counted; the end is when there are none, when they
    have become fewer by less than a tenth, or after 80 steps.

    Parameters
    ----------
    y : (m, n), at most `block_side`; non-finite where unknown, and what lies around is unknown, too
    psf : (n, n); half : (rows, columns), the `spread` of all channels; white, noise : see `find`
    own : slices of the part that counts; reached : (m, n) boolean, where a lamp reaches

    Returns
    -------
    x - 3 noise, K x - 3 noise, `in_doubt` : (m, n) arrays
    """
    dtype, shape, inside = y.dtype, (block_side(psf),) * 2, np.s_[: y.shape[0], : y.shape[1]]
    k = fft.otf(psf, shape).astype(np.result_type(dtype, np.complex64))
    filled, finite = (a[..., 0] for a in boundary.fill_holes(y[..., None]))
    known, over = (np.zeros(shape, bool) for _ in range(2))
    over[inside] = finite & (filled >= white)
    known[inside] = finite & ~over[inside]
    offset, least, small, step = (dtype.type(a * noise) for a in (OFFSET, FLOOR, SMALL, SMOOTH))
    d = np.maximum(boundary.extend(filled, shape), 0) + offset

    def blur(a, transfer):
        return fft.inverse(transfer * fft.forward(a), shape)

    def doubts(model):
        return in_doubt((d - model)[inside], over[inside], known[inside], half, white, noise) & reached

    x, before, doubtful = d, d, np.inf
    for t in range(MOST):
        if t > 0 and t % ASKED == 0:
            now = np.count_nonzero(doubts(blur(x, k))[own])
            if now == 0 or now > FALL * doubtful:
                break
            doubtful = now
        v = np.maximum(x + dtype.type(max(t - 1, 0) / (t + 2)) * (x - before), least)
        ratio = d / np.maximum(blur(v, k), least)
        ratio = np.where(over, np.maximum(ratio, 1), np.where(known, ratio, 1))
        slope = tv.gradient(v[..., None])
        bend = tv.gradient_adjoint(slope / np.maximum(np.sqrt((slope * slope).sum(axis=0)), small))[..., 0]
        before, x = x, np.maximum(v * blur(ratio, np.conj(k)) / np.clip(1 + step * bend / v, 0.5, 2), least)
    model = blur(x, k)
    return (x - offset)[inside], (model - offset)[inside], doubts(model)


def separate(y, psf, white, noise, shape, k, reached, kept=0.0, origin=(0, 0)):
    """Take the light of lamps out of the data, channel by channel.

    Light is looked for (`solve`) in blocks: squares whose middles tile the picture from its first pixel on, if something within twice the spread of what
    lamps reach lies in the middle. x has s = max(x - 0.9 white, 0) of light, and the data become y - K s where known, K x - K s where clipped.

    Parameters
    ----------
    y, psf, white, noise : see `find`
    shape : periodic domain (P, Q); k : (P, Q // 2 + 1, 1 or C), OTF
    reached : (M, N) boolean, `find`
    kept : share of the blur left in s
    origin : row and column of y[0, 0] in the picture

    Returns
    -------
    data : (M, N, C) array without the light, non-finite where y is
    rest : (M, N, C) array, K x - K s; NaN where no light was looked for
    light : (M, N, C) array, s + kept (K s - s)
    doubt : (M, N) boolean: `in_doubt` in a channel
    """
    half, side = spread(psf), block_side(psf)
    most = max(half)
    around_block = 5 * most // 2 + 8
    core = side - 2 * most - 8 - 2 * around_block
    near = maximum_filter(reached, around(psf, 2), mode="constant")
    psf = psf[..., None] if psf.ndim == 2 else psf
    model, light, doubt = np.full_like(y, np.nan), np.zeros_like(y), np.zeros(reached.shape, bool)

    def middles(first, length):
        cuts = [0, *range(core - first % core, length, core), length]
        return list(pairwise(cuts))

    for top, bottom in middles(origin[0], y.shape[0]):
        for left, right in middles(origin[1], y.shape[1]):
            own = np.s_[top:bottom, left:right]
            if not near[own].any():
                continue
            y0, x0 = max(top - around_block, 0), max(left - around_block, 0)
            block = np.s_[y0 : bottom + around_block, x0 : right + around_block]
            part = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
            for c in range(y.shape[2]):
                if not clipped(y[block][..., c : c + 1], white).any():
                    model[(*own, c)] = y[(*own, c)]
                    continue
                x, own_model, marks = solve(y[(*block, c)], psf[..., c % psf.shape[2]], half, white, noise, part, reached[block])
                model[(*own, c)], light[(*own, c)] = own_model[part], np.maximum(x[part] - y.dtype.type(LEVEL * white), 0)
                doubt[own] |= marks[part]

    wide = np.zeros((*shape, y.shape[2]), y.dtype)
    wide[: y.shape[0], : y.shape[1]] = light
    spread_light = fft.inverse(k * fft.forward(wide), shape)[: y.shape[0], : y.shape[1]].astype(y.dtype)
    rest = model - spread_light
    over = np.isfinite(y) & (np.where(np.isfinite(y), y, 0) >= white)
    data = np.where(over, np.where(np.isfinite(rest), rest, y), y - spread_light)
    return data, rest, light + y.dtype.type(kept) * (spread_light - light), doubt


def join(x, light, y, white, weight):
    """w y + (1 - w) (x + min(light, what x has left to max(white, y))); without w y where y is not finite."""
    finite = np.isfinite(y)
    seen = np.where(finite, y, 0).astype(x.dtype)
    x = x + np.minimum(light, np.maximum(np.maximum(seen, x.dtype.type(white)) - x, 0))
    w = np.where(finite, weight[..., None], 0).astype(x.dtype)
    return w * seen + (1 - w) * x


def doubtful(doubt, reached, psf):
    """Where the light of lamps is in doubt, within twice the `spread` of their pixels in `doubt`: the data there, which would ring, give way to `rest`.

    Returns
    -------
    hidden : (M, N) boolean array, where they do
    weight : (M, N) array, share of the input in the result: 1 where hidden, falling to 0 within 4 px
    """
    hidden = maximum_filter(doubt & reached, around(psf, 2), mode="constant")
    return hidden, soften(hidden)


def hold(x, y, psf, white, noise, reached):
    """x held in the range of the input, near clipped pixels.

    The little that clipping hid where there is no lamp, and the iterations did not find, would ring there. Where the picture has structure narrower than
    the `spread`, restoring it does leave that range: by up to four times what it rises there. With v = min(y, white), greatest and least within the spread,

        x <= greatest(v) + 2 noise + 4 max(p - 6 noise, 0),  p = v - greatest(least(v)), the greatest within 2 px     (unless greatest(v) = white)

    and the same for -x and -v. Within 4 spread of a clipped pixel and 5 spread of what a lamp reaches, fading within 4 px; non-finite values of y do not
    count. Where a lamp reaches there is no telling such structure from its light: there x <= greatest(v) + noise within 2 px, and -x <= greatest(-v) + noise.
    """
    near = maximum_filter(clipped(y, white), around(psf, EXTENT), mode="constant") | maximum_filter(reached, around(psf, HELD), mode="constant")
    near = soften(near)[..., None].astype(x.dtype)
    finite, box, close, lamp = np.isfinite(y), (*around(psf, 1), 1), (2 * RAMP + 1, 2 * RAMP + 1, 1), reached[..., None]
    for sign in (-1, 1):
        v = sign * np.minimum(np.where(finite, y, 0), white)
        seen = np.where(finite, v, -np.inf)
        most = maximum_filter(seen, box, mode="constant", cval=-np.inf)
        least = minimum_filter(np.where(finite, v, np.inf), box, mode="constant", cval=np.inf)
        wide = maximum_filter(np.where(least < np.inf, least, -np.inf), box, mode="constant", cval=-np.inf)
        narrow = maximum_filter(np.where(finite, v - np.where(finite, wide, 0), 0), close, mode="constant")
        limit = most + 2 * noise + 4 * np.maximum(narrow - 6 * noise, 0)
        tight = (maximum_filter(seen, close, mode="constant", cval=-np.inf) if sign > 0 else most) + noise
        limit = np.where(lamp, tight, np.where((sign > 0) & (most >= white), np.inf, limit))
        x = x - sign * near * np.maximum(sign * x - np.where(most > -np.inf, limit, np.inf), 0).astype(x.dtype)
    return x
