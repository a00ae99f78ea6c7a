"""Real two-dimensional Fourier transforms over the first two axes, and the transfer function of a PSF.

The periodic domain has shape (P, Q); spectra have shape (P, Q // 2 + 1). A trailing axis holds the channels.
"""
import numpy as np
from scipy import fft


def fast_size(n):
    """Smallest number >= n of the form 2^a 3^b 5^c."""
    return fft.next_fast_len(int(n), real=True)


def forward(x):
    """Real transform over axes 0 and 1 (last transformed axis: 1). float32 stays single precision."""
    return fft.rfft2(x, axes=(0, 1))


def inverse(spectrum, shape):
    """Inverse of `forward`; `shape` (P, Q) tells odd from even Q."""
    return fft.irfft2(spectrum, shape, axes=(0, 1))


def otf(psf, shape, dtype=np.float64):
    """Transfer function K of y = k * x on the periodic domain, the centre of the PSF at the origin.

    Parameters
    ----------
    psf : (n, n) or (n, n, 3) array, n odd, not larger than the domain
    shape : (P, Q)

    Returns
    -------
    (P, Q // 2 + 1) or (P, Q // 2 + 1, 3) complex array
    """
    psf = np.asarray(psf, dtype)
    rows, cols = psf.shape[:2]
    if rows > shape[0] or cols > shape[1]:
        raise ValueError("the PSF is larger than the domain")
    k = np.zeros(tuple(shape) + psf.shape[2:], dtype)
    k[:rows, :cols] = psf
    return forward(np.roll(k, (-(rows // 2), -(cols // 2)), (0, 1)))


def gradient_power(shape, dtype=np.float64):
    """|D|^2 of the periodic forward differences: 4 - 2 cos(2 pi i / P) - 2 cos(2 pi j / Q)."""
    i = 2 * np.pi * np.arange(shape[0]) / shape[0]
    j = 2 * np.pi * np.arange(shape[1] // 2 + 1) / shape[1]
    return (4 - 2 * np.cos(i)[:, None] - 2 * np.cos(j)[None, :]).astype(dtype)
