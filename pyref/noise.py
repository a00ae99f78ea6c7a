"""Noise level and gradient scale of a whole picture (the only reductions over the picture; done once)."""
import numpy as np

BLOCK = 16
GROUPS = 8
QUANTILE = 0.1
# That quantile of the mean of 256 absolute outputs of the high-pass below, for unit white noise (measured).
UNIT = 0.7135
FLOOR = 0.003
COLOUR = 1.4
SOFTER, SOFT = 1.3, 1.7   # chroma noise at step 2 over step 1: where processing begins to count, and counts whole
ERROR = 1 / 4             # of processing, in root mean squares of the gradient
CODED = 8                 # side of a coder's blocks, px
SEEN, CLEAR = 1.1, 1.2    # differences at their borders over those elsewhere: where blocks begin to count, and count whole
STEP = 0.4                # error of the coder, in differences at the borders


def high_pass(y, step=1):
    """[1 -2 1] x [1 -2 1] / 6, taps `step` pixels apart: unit gain for white noise, blind to affine brightness (Immerkaer 1996)."""
    d = y[: -2 * step] - 2 * y[step:-step] + y[2 * step :]
    return (d[:, : -2 * step] - 2 * d[:, step:-step] + d[:, 2 * step :]) / 6


def blocks(y, step, brightness):
    """Mean absolute high-pass (its zeros left out) and mean `brightness` of the 16 x 16 blocks of a channel that count: finite, at least half not 0.

    Zeros are what clipping leaves.
    """
    d = np.abs(high_pass(y, step))
    rows, cols = d.shape[0] // BLOCK, d.shape[1] // BLOCK

    def parts(a):
        return a[: rows * BLOCK, : cols * BLOCK].reshape(rows, BLOCK, cols, BLOCK).transpose(0, 2, 1, 3).reshape(rows * cols, -1)

    d, level = parts(d), parts(brightness[step:, step:]).mean(axis=1)
    count = np.count_nonzero(d, axis=1)
    keep = np.isfinite(d.sum(axis=1)) & (2 * count >= BLOCK * BLOCK)
    return d.sum(axis=1)[keep] / count[keep], level[keep]


def envelope(level, variance, at):
    """Value at level `at` of the highest line a + b level, a, b >= 0, that exceeds none of the points (level, variance); levels >= 0.

    The optimum of such a linear programme lies on two points, or on one with a = 0 or b = 0.
    """
    lines = [(variance.min(), 0.0)]
    for i in range(level.size):
        if level[i] > 0:
            lines.append((0.0, variance[i] / level[i]))
        for j in np.flatnonzero(level < level[i]):
            b = (variance[i] - variance[j]) / (level[i] - level[j])
            lines.append((variance[j] - b * level[j], b))
    return max(a + b * at for a, b in lines if a >= 0 and b >= 0 and (a + b * level <= (1 + 1e-6) * variance).all())


def estimate_channel(y, step=1, brightness=None):
    """Standard deviation of the noise in one channel (M, N) at its mean brightness, seen by the high-pass of the given step.

    A blurred picture has little but noise at the highest frequencies, and its smoothest parts have nothing else: take the
    mean absolute high-pass in blocks of 16 x 16 (see `blocks`). Shot noise makes the smoothest parts the darkest ones, too: split the blocks by
    brightness into 8 groups of equal size (fewer when a group would hold less than 16), take the 10 % quantile of each, and
    of its square, the variance, the highest line a + b level below all groups (`envelope`): texture in some groups does not count.
    The level of a group is that of its smoothest fifth, around the quantile: within a group, too, the smoothest are the darkest
    (a single group says nothing about brightness: its mean). brightness: (M, N), the channel itself if None.
    Without room for a single block: the median absolute value over 0.6745.
    """
    if min(y.shape) <= 2 * step:
        return 0.0
    if min(y.shape) - 2 * step < BLOCK:
        d = np.abs(high_pass(y, step))
        d = d[np.isfinite(d)]
        return float(np.median(d) / 0.6745) if d.size else 0.0
    size, level = blocks(y, step, y if brightness is None else brightness)
    if not size.size:
        return 0.0
    groups = np.array_split(np.argsort(level, kind="stable"), min(max(size.size // 16, 1), GROUPS))
    variance = np.array([(np.quantile(size[g], QUANTILE) / UNIT) ** 2 for g in groups])
    share = 5 if len(groups) > 1 else 1
    smoothest = [g[np.argsort(size[g], kind="stable")[: (g.size + share - 1) // share]] for g in groups]
    return float(np.sqrt(envelope(np.maximum([level[g].mean() for g in smoothest], 0), variance, max(level.mean(), 0))))


def measure(y):
    """Noise of each channel of a picture (M, N, C) in the band that restoration amplifies, (C,), and the share in [0, 1] in which it counts as processed.

    s_1, s_2: `estimate_channel` at steps 1 and 2, and their root mean square over channels. White noise gives s_1 = s_2. Noise that
    went through demosaicing, resizing or a coder lacks the highest frequencies, s_2 > s_1; it is extrapolated 1.4 octaves down:

        sigma = s_1 max(r, 1)^1.4,  r = min(rms s_2 / rms s_1, max(q_2 / q_1, 1)^2)

    Fine texture, too, is stronger at step 2, but hardly in the two chroma channels (R - B) / sqrt 2, (R - 2 G + B) / sqrt 6, where it cancels: q_1, q_2 are
    the same of those, by the mean of the three channels as brightness, for three channels that are not grey.

    The share rises from 0 at q_2 / q_1 = 1.3, which white noise hardly reaches, to 1 at 1.7; 0 without chroma.
    """
    s1, s2 = (np.array([estimate_channel(y[..., c], step) for c in range(y.shape[2])]) for step in (1, 2))
    power1, power2 = np.mean(s1**2), np.mean(s2**2)
    if power1 == 0:
        return s1, 0.0
    ratio, share = np.sqrt(power2 / power1), 0.0
    if y.shape[2] == 3:
        chroma = (y[..., 0] - y[..., 2]) / np.sqrt(2), (y[..., 0] - 2 * y[..., 1] + y[..., 2]) / np.sqrt(6)
        q1, q2 = (np.mean([estimate_channel(a, step, y.mean(axis=2)) ** 2 for a in chroma]) for step in (1, 2))
        if q1 > 0:
            ratio = min(ratio, max(q2 / q1, 1))
            share = float(np.clip((np.sqrt(q2 / q1) - SOFTER) / (SOFT - SOFTER), 0, 1))
    return s1 * max(ratio, 1) ** COLOUR, share


def blocking(y):
    """Standard deviation of the error of a coder with blocks of 8 x 8 (JPEG) in a picture (M, N, C), by their borders; 0 where they are not seen.

    Third differences |[-1 3 -3 1]| of the mean of the channels, along rows and along columns; a_j: their mean over the places j, j + 8, j + 16 ... of a row, or
    over a row j, j + 8, j + 16 ...; then the median of these rows, since a lamp's edge is none of a block. The largest, a_b, is at the borders, those of the
    five places more than one away are inside:

        0.4 sqrt(mean over both directions of a_b^2 - mean a_inside^2) clip((min a_b / max a_inside - 1.1) / 0.1, 0, 1)

    In pictures that were not coded the ratio stays below 1.05 at 240 px; at less than 96 px it says nothing (0). The error of JPEG of quality 75 to 95 is 0.40
    to 0.58 times the root (medians of blurred pictures).
    """
    if min(y.shape[:2]) < 12 * CODED:
        return 0.0

    def middle(rows):
        rows = rows[np.isfinite(rows)]
        return np.median(rows) if rows.size else 0.0

    def mean(d):
        count = np.isfinite(d).sum(axis=1)
        return np.where(count > 0, np.nansum(d, axis=1) / np.maximum(count, 1), np.nan)

    plane, power, ratio = y.mean(axis=2), [], []
    along, across = (np.abs(a[3:] - 3 * a[2:-1] + 3 * a[1:-2] - a[:-3]) for a in (plane.T, plane))
    rows = mean(across)
    for place in ([middle(mean(along.T[:, j::CODED])) for j in range(CODED)], [middle(rows[j::CODED]) for j in range(CODED)]):
        border = int(np.argmax(place))
        inside = np.roll(place, -border)[2:-1]
        power.append(max(place[border] ** 2 - np.mean(inside**2), 0))
        ratio.append(place[border] / inside.max() if inside.max() > 0 else 0)
    return float(STEP * np.sqrt(np.mean(power)) * np.clip((min(ratio) - SEEN) / (CLEAR - SEEN), 0, 1))


def estimate(y):
    """Noise level of a picture (M, N, C), root mean square over the channels of `measure`; and (share, blocking) for `with_processing`.

    It is not below 0.003 of the picture's root mean square, about the rounding error of 8-bit sRGB at mid grey.
    """
    finite = y[np.isfinite(y)]
    floor = FLOOR * np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    noise, share = measure(y)
    return float(max(np.sqrt(np.mean(noise**2)), floor)), (share, blocking(y))


def with_processing(sigma, processing, gradient, channels):
    """Noise level with the error of demosaicing and coding, which lies where the picture changes and so escapes the smoothest parts.

    It is sqrt(sigma^2 + max(share (g / 4)^2, blocking^2)) with g = gradient / sqrt(2 C), the root mean square of the differences between neighbours.
    """
    share, coded = processing
    return float(np.sqrt(sigma**2 + max(share * ERROR**2 * gradient**2 / (2 * channels), coded**2)))


def lamps(y, side, white=np.inf):
    """(M, N) boolean: what is left out below, for lamps are hidden from the restoration (`highlight`), and their slopes would stand for the picture.

    Blocks of side x side pixels of which more than a sixteenth is at or above `white`, and their eight neighbours; nothing if that were more than 3/4
    of the blocks. (Few clipped pixels hide little, and the steep slopes around them need their share of E.)
    """
    rows, columns = (np.arange(n) // side for n in y.shape[:2])
    count = np.zeros((rows[-1] + 1, columns[-1] + 1), int)
    np.add.at(count, tuple(np.argwhere((y >= white).any(axis=2)).T // side), 1)
    out = np.zeros((rows[-1] + 3, columns[-1] + 3), bool)
    for i, j in np.argwhere(16 * count > side**2):
        out[i : i + 3, j : j + 3] = True
    inner = out[1:-1, 1:-1]
    return (inner & (4 * inner.sum() <= 3 * inner.size))[np.ix_(rows, columns)]


def gradient_scale(y, sigma, side, white=np.inf):
    """Root mean square of |grad y| (all channels, both directions) without the part of the noise; at least sigma.

    G^2 = mean sum_c (dx^2 + dy^2) - 4 C sigma^2; left out: non-finite differences, those with a value at or above `white`, those from a pixel of
    `lamps`. side: the size of the PSF, at least 8.
    """
    hidden = lamps(y, side, white)[..., None]
    y = np.where(y < white, y, np.nan)
    power = 0.0
    for axis in (0, 1):
        d = np.diff(y, axis=axis) ** 2
        d = d[np.isfinite(d) & ~hidden[: d.shape[0], : d.shape[1]]]
        power += y.shape[2] * float(d.mean()) if d.size else 0.0
    return float(np.sqrt(max(power - 4 * y.shape[2] * sigma**2, sigma**2)))


def edge_scale(y, sigma, gradient, side, white=np.inf):
    """Scale of the steepest gradients, E >= 0: 2 to 4 times G = `gradient` in photographs, far more for a few strong edges on an even ground.

    E^2 = mean max(p - 32 C sigma^2, 0)^2 / G^2, p = sum_c (dx^2 + dy^2) of a pixel; what G leaves out counts 0. The noise, 4 C sigma^2 on average, hardly
    exceeds what is taken off.
    """
    hidden = lamps(y, side, white)
    y = np.where(y < white, y, np.nan)
    power = np.zeros(y.shape[:2])
    for axis in (0, 1):
        d = np.diff(y, axis=axis) ** 2
        power[: d.shape[0], : d.shape[1]] += np.where(np.isfinite(d), d, 0).sum(axis=2)
    steep = np.where(hidden, 0, np.maximum(power - 32 * y.shape[2] * sigma**2, 0))
    return float(np.sqrt(np.mean(steep**2)) / gradient)
