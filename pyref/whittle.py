"""How likely a PSF makes the spectrum of a window, whatever the picture behind it is.

The window's power P at the frequencies w is taken for exponentially distributed around

    m(w) = |K(w)|^2 S(w) + v,   log S = p0 - p1 log |D|^2 + p2 cos 2 theta + p3 sin 2 theta,   v = exp p4,

a picture whose power falls with frequency and may have a direction, and white noise (P. Whittle, Estimation and information in stationary time series, Arkiv
foer Matematik 2, 1953). All five numbers are fitted for each PSF. Phases do not count, so PSFs that are alike but for them are not told apart; zeros of a
spectrum are.
"""

from __future__ import annotations

import numpy as np

from .fft import fast_size, otf

LOWEST = 4         # periods in the window's shorter side, from there on
SLOPE = 1.2        # first guess of p1: the power of pictures falls with the square of the frequency and a little more
LARGEST_STEP = 2   # of a number
RIDGE = 1e-6


class Spectrum:
    """Power spectrum of a window (M, N) under a Hann window, for PSFs of `size`; `variance` is about that of its noise; `highest`:
    largest |D|^2.

    The window is folded onto half its size, which samples the spectrum: the frequencies between say little more.
    """

    def __init__(self, y: np.ndarray, size: int, variance: float, highest: float = 8, size_of=fast_size):
        hann = np.outer(*(np.sin(np.pi * np.arange(1, n + 1) / (n + 1)) ** 2 for n in y.shape))
        self.shape = p, q = tuple(size_of(max((n + 1) // 2, size)) for n in y.shape)
        mean = (y * hann).sum() / hann.sum()
        folded = np.zeros(self.shape)
        np.add.at(folded, (np.arange(y.shape[0])[:, None] % p, np.arange(y.shape[1]) % q), (y - mean) * hann)
        power = np.abs(np.fft.rfft2(folded)) ** 2 / (hann**2).sum()
        fy, fx = np.fft.fftfreq(p)[:, None], np.arange(power.shape[1]) / q
        fy[p // 2] = abs(fy[p // 2])
        square = 4 * (np.sin(np.pi * fy) ** 2 + np.sin(np.pi * fx) ** 2)
        self.used = (fx > 0) & (square >= (2 * np.pi * LOWEST / min(y.shape)) ** 2) & (square <= highest)
        theta = 2 * np.arctan2(*np.broadcast_arrays(fy, fx))[self.used]
        self.power = power[self.used]
        self.basis = np.stack([np.ones_like(theta), -np.log(square[self.used]), np.cos(theta), np.sin(theta)])
        self.start = np.array([np.log(max(0.01 * self.power.mean(), 1e-30)), SLOPE, 0, 0, np.log(max(variance, 1e-12))])

    def cost(self, k: np.ndarray, steps: int) -> float:
        """Mean of log m + P / m, the negative logarithm of the likelihood of k (n, n) per frequency, after `steps` of Fisher scoring from self.start, which
        becomes the end of the fit.
        """
        through = np.abs(otf(k, self.shape))[self.used] ** 2
        p, least = self.start, np.inf
        for _ in range(steps + 1):
            picture, noise = through * np.exp(np.clip(p[:4] @ self.basis, -60, 60)), np.exp(p[4])
            m = picture + noise
            value = np.mean(np.log(m) + self.power / m)
            if not value <= least:
                p = self.start + (p - self.start) / 4
                continue
            least, self.start = value, p
            slopes = np.vstack([self.basis * picture, np.full_like(m, noise)]) / m
            step = np.linalg.solve(slopes @ slopes.T / m.size + RIDGE * np.eye(5), slopes @ (1 - self.power / m) / m.size)
            p = p - step * min(1, LARGEST_STEP / max(np.abs(step).max(), 1e-30))
        return float(least)
