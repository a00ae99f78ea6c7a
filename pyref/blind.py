"""Stage 1: the PSF of a sample window.

Model y = k * x + n on the window, k >= 0, sum k = 1; x unknown. Coarse to fine, the alternation of

1. a sharp estimate with few gradients, min_x ||k * x - y||^2 + lam ||grad x||_0, by half-quadratic splitting: g = grad x where
   |grad x|^2 >= lam / beta, else 0; X = (conj(K) Y + beta conj(D).F(g)) / (|K|^2 + beta |D|^2); beta doubles from 2 lam to BETA_MAX
   (L. Xu, S. Zheng, J. Jia, Unnatural L0 sparse representation for natural image deblurring, CVPR 2013; L. Xu et al., Image
   smoothing via L0 gradient minimization, ACM TOG 30(6), 2011, eq. 8 and 12);
2. the PSF, min_k ||k * grad x - grad y||^2 + gamma ||k||^2 subject to k >= 0, by accelerated projected gradient
   (S. Cho, S. Lee, Fast motion deblurring, ACM TOG 28(5), 2009, eq. 9; A. Beck, M. Teboulle, FISTA, SIAM J. Imaging Sci. 2(1), 2009).

Deviations: the normal equations of step 2 need the autocorrelation of grad x at lags below the PSF size alone, so one transform of the
window builds them and each iteration is a transform of twice the PSF size; gradients within half a PSF of the frame are left out,
because what they are blurred with is not in the window; lam is relative to the window's contrast; lam is high while the PSF is
found and low once it is, so that weak gradients refine it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.fft as sf
from scipy import ndimage

from .pyramid import resize, resize_psf, schedule

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
CONTRAST = 0.2      # standard deviation the window is scaled to; lam and GAMMA refer to it
LAMS = (0.3, 0.1, 0.01)  # starts: weight of the gradient count at the coarsest scale
LAM_HALF = 0.1      # the same for the start with half the PSF size
SCORE_LAMS = (1e-3, 4e-3)
GAUSSIANS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # px, parametric candidates
LAM_DECAY = 1.15    # divisor per round
LAM_FINE = 1e-4     # floor, reached by the refinement
LAM_NOISE = 10.0    # the same, relative to the variance of the noise: below it the PSF gains a peak that copies the noise
FINE_DECAY = 2.0    # divisor per round of the refinement
LAM_REFINE = 1e-3   # start of the refinement
BETA_MAX = 1e3
ROUNDS = 5          # per scale
REFINE_ROUNDS = 6
GAMMA = 2.0         # weight of ||k||^2
NNLS_STEPS = 20
SHARP = 0.02        # energy a PSF must gain on the delta to count
CONFIDENCE = 4.0    # confidence 1 - exp(-CONFIDENCE gain)
PRUNE = 0.03        # of the peak: smaller values of the PSF are noise
ISLAND = 0.05       # of the sum: smaller islands of the PSF are noise


@dataclass
class Estimate:
    """psf: (size, size) or (size, size, 3), float32, sum 1; confidence in [0, 1]; scales: one dict per scale."""

    psf: np.ndarray
    confidence: float
    noise: float
    scales: list = field(default_factory=list)


def noise_level(y: np.ndarray) -> float:
    """Standard deviation of white noise in y (M, N): median absolute response to (1 -2 1) x (1 -2 1), norm 6.

    Source: J. Immerkaer, Fast noise variance estimation, CVIU 64(2), 1996, with the median in place of the mean.
    """
    r = np.diff(np.diff(y, 2, 0), 2, 1)
    return float(np.median(np.abs(r)) / (6 * 0.6745))


def fill(y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """y continued to `shape` so that its periodic repetition is continuous: smoothstep blend of opposite edges."""
    for axis in (0, 1):
        y = y.swapaxes(0, axis)
        gap = shape[axis] - y.shape[0]
        t = ((np.arange(gap, dtype=np.float32) + 1) / (gap + 1))[:, None]
        t = t * t * (3 - 2 * t)
        y = np.concatenate([y, (1 - t) * y[-1] + t * y[0]]).swapaxes(0, axis)
    return y


def otf(psf: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Transfer function of a PSF whose centre pixel is the origin."""
    a = np.zeros(shape, np.float32)
    n = psf.shape[0]
    a[:n, :n] = psf
    return sf.rfft2(np.roll(a, (-(n // 2), -(n // 2)), (0, 1)))


def gradient(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Periodic forward differences along columns and rows."""
    return np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x


def clean(k: np.ndarray, prune: float = PRUNE, island: float = ISLAND) -> np.ndarray:
    """Drop values below `prune` of the peak and 8-connected islands below `island` of the sum; sum 1."""
    k = np.where(k < prune * k.max(), 0, k)
    label, count = ndimage.label(k, np.ones((3, 3)))
    mass = ndimage.sum_labels(k, label, np.arange(count + 1))
    k = k * (mass >= min(island * k.sum(), mass.max()))[label]
    return k / k.sum()


def centred(k: np.ndarray) -> np.ndarray:
    """Move the centroid to the centre by whole pixels; what leaves the support is lost; sum 1."""
    n = k.shape[0]
    r = np.arange(n) - n // 2
    dy, dx = (int(np.rint(r @ k.sum(axis) / k.sum())) for axis in (1, 0))
    out = np.zeros_like(k)
    out[max(-dy, 0):n - max(dy, 0), max(-dx, 0):n - max(dx, 0)] = k[max(dy, 0):n - max(-dy, 0), max(dx, 0):n - max(-dx, 0)]
    return out / out.sum()


class Scale:
    """One scale: y (M, N) scaled to CONTRAST, PSF size n, everything that does not change between rounds."""

    def __init__(self, y: np.ndarray, n: int):
        self.y, self.n = y, n
        self.shape = shape = tuple(sf.next_fast_len(m + n + 7, True) for m in y.shape)
        self.filled = fill(y, shape)
        self.Y = sf.rfft2(self.filled)
        cols, rows = np.cos(2 * np.pi * np.arange(shape[1] // 2 + 1) / shape[1]), np.cos(2 * np.pi * np.arange(shape[0]) / shape[0])
        self.D2 = (4 - 2 * cols - 2 * rows[:, None]).astype(np.float32)
        # gradients whose blur lies inside the window
        self.known = np.zeros(shape, np.float32)
        h = n // 2 + 1
        self.known[h:y.shape[0] - h, h:y.shape[1] - h] = 1
        inside = np.zeros(shape, np.float32)
        inside[:y.shape[0] - 1, :y.shape[1] - 1] = 1
        self.GY = [sf.rfft2(g * inside) for g in gradient(self.filled)]

    def sharp(self, k: np.ndarray, lam: float) -> np.ndarray:
        """Step 1; returns the whole periodic domain."""
        K = otf(k, self.shape)
        KY, K2 = K.conj() * self.Y, np.abs(K) ** 2
        x, beta = self.filled, 2 * lam
        while beta < BETA_MAX:
            gx, gy = gradient(x)
            keep = gx * gx + gy * gy >= lam / beta
            gx, gy = gx * keep, gy * keep
            div = np.roll(gx, 1, 1) - gx + np.roll(gy, 1, 0) - gy
            x = sf.irfft2((KY + beta * sf.rfft2(div)) / (K2 + beta * self.D2), self.shape)
            beta *= 2
        return x

    def psf(self, x: np.ndarray, k: np.ndarray) -> np.ndarray:
        """Step 2 from the start k; returns the cleaned PSF, or k if nothing is left."""
        n, size = self.n, sf.next_fast_len(2 * self.n, True)
        G = [sf.rfft2(g * self.known) for g in gradient(x)]
        auto = sf.irfft2(sum(np.abs(g) ** 2 for g in G), self.shape)
        cross = sf.irfft2(sum(g.conj() * b for g, b in zip(G, self.GY)), self.shape)
        lag = np.arange(1 - n, n)
        a = np.zeros((size, size), np.float32)
        a[np.ix_(lag % size, lag % size)] = auto[np.ix_(lag, lag)]
        A = sf.rfft2(a).real + np.float32(GAMMA)
        half = np.arange(n) - n // 2
        b = cross[np.ix_(half, half)]
        step = 1 / np.abs(A).max()
        z, t = k, 1.0
        for _ in range(NNLS_STEPS):
            new = np.maximum(z - step * (sf.irfft2(A * sf.rfft2(z, (size, size)), (size, size))[:n, :n] - b), 0)
            t, old = (1 + np.sqrt(1 + 4 * t * t)) / 2, t
            z, k_old, k = new + (old - 1) / t * (new - k), k, new
        return clean(k) if k.sum() > 0 else k_old

    def rounds(self, k: np.ndarray, lam: float, count: int, decay: float, floor: float):
        """`count` rounds of both steps; returns PSF, lam, L1 change of the last round."""
        change = 0.0
        for _ in range(count):
            new = self.psf(self.sharp(k, lam), k)
            change, k = float(np.abs(new - k).sum()), new
            lam = max(lam / decay, floor)
        return k, lam, change


def estimate_gray(y: np.ndarray, size: int, noise: float, lam: float) -> tuple[np.ndarray, list]:
    """PSF (size, size) of a gray window (M, N) with white noise of standard deviation `noise`, and the diagnostics of each scale."""
    scale = CONTRAST / max(float(y.std()), 1e-12)
    y = (y * scale).astype(np.float32)
    floor = max(LAM_FINE, LAM_NOISE * (noise * scale) ** 2)
    k, before, log = None, 1.0, []
    for n, zoom in schedule(size):
        level = Scale(y if zoom == 1 else resize(y, zoom), n)
        if k is None:
            k = np.zeros((n, n), np.float32)
            k[n // 2, n // 2 - 1:n // 2 + 1] = 0.5
        else:
            k = resize_psf(k, n, zoom / before)
        k, lam, change = level.rounds(k, lam, ROUNDS, LAM_DECAY, floor)
        k, before = centred(k), zoom
        log.append({"size": n, "rounds": ROUNDS, "change": change})
    k, _, change = level.rounds(k, max(LAM_REFINE, floor), REFINE_ROUNDS, FINE_DECAY, floor)
    log[-1].update(rounds=ROUNDS + REFINE_ROUNDS, change=change)
    return centred(k), log


def refined(y: np.ndarray, k: np.ndarray, noise: float) -> np.ndarray:
    """PSF of one channel y (M, N) from the shared one, by the last rounds of the alternation."""
    scale = CONTRAST / max(float(y.std()), 1e-12)
    level = Scale((y * scale).astype(np.float32), k.shape[0])
    floor = max(LAM_FINE, LAM_NOISE * (noise * scale) ** 2)
    return level.rounds(k, max(LAM_REFINE, floor), REFINE_ROUNDS, FINE_DECAY, floor)[0]


def gaussian(sigma: float, size: int) -> np.ndarray:
    """Isotropic Gaussian PSF, sum 1."""
    g = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    k = np.outer(g, g)
    return (k / k.sum()).astype(np.float32)


def energy(level: Scale, k: np.ndarray) -> float:
    """How badly k explains the window by a sharp picture with few gradients: sum over lam of log(mean r^2 + 4 lam N).

    r = k * x - y and N the share of pixels with a gradient, both away from the frame, x the minimiser of step 1. A PSF too narrow
    leaves many gradients or a residual, one too wide adds the gradients of its ringing.
    """
    n = level.n
    area = tuple(slice(n // 2 + 2, m - n // 2 - 2) for m in level.y.shape)
    total = 0.0
    for lam in SCORE_LAMS:
        x = level.sharp(k, lam)
        r = (sf.irfft2(otf(k, level.shape) * sf.rfft2(x), level.shape) - level.filled)[area]
        gx, gy = gradient(x)
        share = (gx * gx + gy * gy > lam / BETA_MAX)[area].mean()
        total += np.log(np.mean(r * r) + 4 * lam * share + 1e-12)
    return float(total)


def estimate(y: np.ndarray, size: int, *, per_channel: bool = False, noise: float | None = None) -> Estimate:
    """PSF of the sample window y (M, N) or (M, N, 3), scene-linear; size odd, 3 to 33; ValueError for anything else.

    One PSF from the luminance, or with `per_channel` one for each channel, refined from the shared one and not centred again (their
    relative shift is kept). Several starts (gradient weight, support) and the Gaussian family compete; the lowest `energy` wins.
    """
    if size % 2 == 0 or not 3 <= size <= 33 or min(y.shape[:2]) < max(size, 16) or not np.isfinite(y).all():
        raise ValueError("size must be odd, 3 to 33, the window finite, at least 16 and the PSF size wide and high")
    gray = (y if y.ndim == 2 else y @ LUMINANCE).astype(np.float32)
    if gray.std() <= 1e-6 * np.abs(gray).max():
        return Estimate(gaussian(0.1, size), 0.0, 0.0)
    noise = noise_level(gray) if noise is None else noise
    half = max(size // 2 | 1, 3)
    found = [estimate_gray(gray, n, noise, lam) for n, lam in [(size, lam) for lam in LAMS] + [(half, LAM_HALF)] * (half < size)]
    parametric = [gaussian(sigma, size) for sigma in GAUSSIANS if 6 * sigma < size + 4]
    level = Scale((gray * (CONTRAST / max(float(gray.std()), 1e-12))).astype(np.float32), size)
    candidates = [np.pad(k, (size - k.shape[0]) // 2) for k, _ in found] + parametric
    score = np.array([energy(level, k) for k in candidates])
    best = int(score.argmin())
    log = found[best][1] if best < len(found) else []
    delta = gaussian(0.1, size)
    gain = energy(level, delta) - score[best]
    if gain < SHARP:
        return Estimate(np.stack([delta] * 3, -1) if per_channel and y.ndim == 3 else delta, 0.0, noise)
    psf = candidates[best]
    if per_channel and y.ndim == 3:
        psf = np.stack([refined(y[..., c], psf, noise_level(y[..., c])) for c in range(3)], -1)
    return Estimate(psf, float(1 - np.exp(-CONFIDENCE * gain)), noise, log)
