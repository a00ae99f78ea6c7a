"""Noise level and gradient scale of a whole picture (the only reductions over the picture; done once)."""
import numpy as np

BLOCK = 16
QUANTILE = 0.2
# Square root of that quantile of the mean of 256 squared outputs of the high-pass below, for unit white noise (measured).
UNIT = 0.9272
FLOOR = 0.003
COLOUR = 1.4


def high_pass(y, step=1):
    """[1 -2 1] x [1 -2 1] / 6, taps `step` pixels apart: unit gain for white noise, blind to affine brightness (Immerkaer 1996)."""
    d = y[: -2 * step] - 2 * y[step:-step] + y[2 * step :]
    return (d[:, : -2 * step] - 2 * d[:, step:-step] + d[:, 2 * step :]) / 6


def estimate_channel(y, step=1):
    """Standard deviation of the noise in one channel (M, N), seen by the high-pass of the given step.

    A blurred picture has little but noise at the highest frequencies, and its smoothest parts have nothing else: take the
    mean square of the high-pass in blocks of 16 x 16, and of those the 20 % quantile. Blocks without any energy (clipped,
    empty) or with non-finite pixels do not count. Without a single block: the median absolute value over 0.6745.
    """
    if min(y.shape) <= 2 * step:
        return 0.0
    d = high_pass(y, step)
    rows, cols = d.shape[0] // BLOCK, d.shape[1] // BLOCK
    square = d[: rows * BLOCK, : cols * BLOCK].reshape(rows, BLOCK, cols, BLOCK) ** 2
    energy = square.mean(axis=(1, 3)).ravel()
    energy = energy[np.isfinite(energy) & (energy > 0)]
    if energy.size:
        return float(np.sqrt(np.quantile(energy, QUANTILE)) / UNIT)
    d = np.abs(d[np.isfinite(d)])
    return float(np.median(d) / 0.6745) if d.size else 0.0


def estimate(y):
    """Noise level of a picture (M, N, C) in the band that restoration amplifies.

    s_1, s_2: root mean square over channels of `estimate_channel` at steps 1 and 2. White noise gives s_1 = s_2. Noise that
    went through demosaicing, resizing or a coder lacks the highest frequencies, s_2 > s_1; it is extrapolated 1.4 octaves down:

        sigma = s_1 max(s_2 / s_1, 1)^1.4

    and not below 0.003 of the picture's root mean square, about the rounding error of 8-bit sRGB at mid grey.
    """
    finite = y[np.isfinite(y)]
    floor = FLOOR * np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    s1, s2 = (np.sqrt(np.mean([estimate_channel(y[..., c], step) ** 2 for c in range(y.shape[2])])) for step in (1, 2))
    return float(max(s1 * max(s2 / s1, 1) ** COLOUR if s1 > 0 else 0, floor))


def gradient_scale(y, sigma):
    """Root mean square of |grad y| (all channels, both directions) without the part of the noise; at least sigma.

    G^2 = mean sum_c (dx^2 + dy^2) - 4 C sigma^2; non-finite differences are left out.
    """
    power = 0.0
    for axis in (0, 1):
        d = np.diff(y, axis=axis) ** 2
        d = d[np.isfinite(d)]
        power += y.shape[2] * float(d.mean()) if d.size else 0.0
    return float(np.sqrt(max(power - 4 * y.shape[2] * sigma**2, sigma**2)))
