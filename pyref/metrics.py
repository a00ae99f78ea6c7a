"""Quality of a restoration x against the truth t: PSNR, SSIM, best whole-pixel shift. Arrays (M, N) or (M, N, C)."""
import numpy as np
from scipy import ndimage


def psnr(x, t, peak=1.0):
    """10 log10(peak^2 / mean squared error) in dB; infinite where x equals t."""
    error = np.mean((np.asarray(x, float) - t) ** 2)
    return float(10 * np.log10(peak**2 / error)) if error > 0 else np.inf


def ssim(x, t, peak=1.0):
    """Mean structural similarity (Wang et al., IEEE Trans. Image Processing 13, 2004): Gaussian window of 1.5 px cut at 5 px,
    K1 = 0.01, K2 = 0.03, 5 pixels of border left out, mean over channels. At least 11 x 11 pixels.
    """
    x, t = np.asarray(x, float), np.asarray(t, float)
    if min(x.shape[:2]) < 11:
        raise ValueError("SSIM needs at least 11 x 11 pixels")

    def local_mean(a):
        for axis in (0, 1):
            a = ndimage.gaussian_filter1d(a, 1.5, axis, radius=5)
        return a

    mx, mt = local_mean(x), local_mean(t)
    vx, vt, vxt = local_mean(x * x) - mx * mx, local_mean(t * t) - mt * mt, local_mean(x * t) - mx * mt
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    s = (2 * mx * mt + c1) * (2 * vxt + c2) / ((mx**2 + mt**2 + c1) * (vx + vt + c2))
    return float(s[5:-5, 5:-5].mean())


def best_shift(x, t, reach=5, measure=psnr):
    """Best value of `measure` over whole-pixel shifts of up to `reach`, `reach` pixels of border left out.

    Returns (value, (rows, columns)): x moved by -shift fits t.
    """
    rows, cols = t.shape[:2]
    if min(rows, cols) <= 2 * reach:
        raise ValueError("the picture is smaller than the reach")
    core = t[reach : rows - reach, reach : cols - reach]
    best = -np.inf, (0, 0)
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            value = measure(x[i : i + core.shape[0], j : j + core.shape[1]], core)
            best = max(best, (value, (i - reach, j - reach)))
    return best
