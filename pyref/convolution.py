"""Blur as it happens: valid convolution, and its adjoint. The direct form defines, the Fourier form is equal and faster.

x (M, N[, C]), k (n, n[, C]) convolution kernel (flipped, as in scipy.signal.convolve), y = k * x on the part that needs no
data from outside: (M - n + 1, N - n + 1[, C]).
"""
import numpy as np

from . import fft


def _like(k, x):
    return k[..., None] if x.ndim == 3 and k.ndim == 2 else k


def valid_direct(x, k):
    """y[i, j] = sum_ab k[a, b] x[i + n - 1 - a, j + n - 1 - b]."""
    k = _like(k, x)
    rows, cols = x.shape[0] - k.shape[0] + 1, x.shape[1] - k.shape[1] + 1
    if rows < 1 or cols < 1:
        raise ValueError("the picture is smaller than the PSF")
    flipped = k[::-1, ::-1]
    y = np.zeros((rows, cols) + x.shape[2:], np.result_type(x, k))
    for a in range(k.shape[0]):
        for b in range(k.shape[1]):
            y += flipped[a, b] * x[a : a + rows, b : b + cols]
    return y


def adjoint_direct(r, k):
    """Adjoint of `valid_direct`: full correlation, (m, n') -> (m + n - 1, n' + n - 1)."""
    k = _like(k, r)
    rows, cols = r.shape[:2]
    flipped = k[::-1, ::-1]
    x = np.zeros((rows + k.shape[0] - 1, cols + k.shape[1] - 1) + r.shape[2:], np.result_type(r, k))
    for a in range(k.shape[0]):
        for b in range(k.shape[1]):
            x[a : a + rows, b : b + cols] += flipped[a, b] * r
    return x


def _spectrum(k, shape):
    padded = np.zeros(tuple(shape) + k.shape[2:], k.dtype)
    padded[: k.shape[0], : k.shape[1]] = k
    return fft.forward(padded)


def valid(x, k):
    """`valid_direct` by Fourier transforms."""
    k = _like(k, x)
    if x.shape[0] < k.shape[0] or x.shape[1] < k.shape[1]:
        raise ValueError("the picture is smaller than the PSF")
    y = fft.inverse(fft.forward(x) * _spectrum(k, x.shape[:2]), x.shape[:2])
    return y[k.shape[0] - 1 :, k.shape[1] - 1 :]


def adjoint(r, k):
    """`adjoint_direct` by Fourier transforms."""
    k = _like(k, r)
    shape = r.shape[0] + k.shape[0] - 1, r.shape[1] + k.shape[1] - 1
    padded = np.zeros(shape + r.shape[2:], r.dtype)
    padded[k.shape[0] - 1 :, k.shape[1] - 1 :] = r
    return fft.inverse(fft.forward(padded) * np.conj(_spectrum(k, shape)), shape)
