"""Resampling of the sample window and of the PSF between the scales of the blind estimate.

Separable resampling out = A_rows . in . A_cols^T about the centre of the array. When shrinking, the kernel is widened by the
ratio so that it also removes what the coarse grid cannot carry (antialiasing).

Source: R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29(6), 1981, a = -1/2.
"""

from __future__ import annotations

import numpy as np


def _cubic(t):
    t = np.abs(t)
    return np.where(t < 1, (1.5 * t - 2.5) * t * t + 1, np.where(t < 2, ((2.5 - 0.5 * t) * t - 4) * t + 2, 0))


def _triangle(t):
    return np.maximum(1 - np.abs(t), 0)


def weights(n: int, m: int, zoom: float, kernel=_cubic) -> np.ndarray:
    """Matrix (m, n) that resamples n samples to m with the pitch divided by `zoom`; centres coincide, rows sum to 1.

    Samples outside the input are left out (the row is renormalised).
    """
    position = (np.arange(m) - (m - 1) / 2) / zoom + (n - 1) / 2
    w = kernel((np.arange(n) - position[:, None]) * min(zoom, 1))
    return w / w.sum(1, keepdims=True)


def resize(picture: np.ndarray, zoom: float) -> np.ndarray:
    """Picture (M, N) resampled to (round(M zoom), round(N zoom)), of its own type."""
    (m, n) = picture.shape
    rows, cols = (weights(size, int(size * zoom + 0.5), zoom) for size in (m, n))
    return rows.astype(picture.dtype) @ picture @ cols.T.astype(picture.dtype)


def resize_psf(psf: np.ndarray, size: int, zoom: float) -> np.ndarray:
    """PSF (n, n) on a grid `zoom` times finer, cropped or padded to (size, size): bilinear, sum 1, never negative."""
    n = psf.shape[0]
    position = (np.arange(size) - (size - 1) / 2) / zoom + (n - 1) / 2
    w = _triangle((np.arange(n) - position[:, None]) * min(zoom, 1))
    out = w @ psf @ w.T
    return out / out.sum()


def schedule(size: int) -> list[tuple[int, float]]:
    """(PSF size, zoom) of each scale, coarse to fine: zoom 2^(-j/2), size odd, from 3 to `size`."""
    levels = [(size, 1.0)]
    while levels[-1][0] > 3:
        zoom = 0.5 ** (len(levels) / 2)
        n = int(np.ceil(size * zoom))
        levels.append((max(n + 1 - n % 2, 3), zoom))
    return levels[::-1]
