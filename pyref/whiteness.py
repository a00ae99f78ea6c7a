"""Whiteness of a residual (Almeida and Figueiredo, "Parameter estimation for blind and non-blind deblurring using residual
whiteness measures", IEEE Trans. Image Processing 22, 2013): the energy of its autocorrelation away from lag 0.
"""
import numpy as np

from . import fft


def autocorrelation(residual, lags):
    """Normalised autocorrelation of one channel (M, N) at row lags 0..lags and column lags -lags..lags.

    The mean is removed and the variance set to 1, so the measure does not depend on the scale; no wrap-around.
    Shape (lags + 1, 2 lags + 1); a constant residual gives zeros.
    """
    r = np.asarray(residual, float)
    r = r - r.mean()
    power = np.mean(r**2)
    if not power > 0:
        return np.zeros((lags + 1, 2 * lags + 1))
    shape = r.shape[0] + lags, r.shape[1] + lags
    padded = np.zeros(shape)
    padded[: r.shape[0], : r.shape[1]] = r
    c = fft.inverse(np.abs(fft.forward(padded)) ** 2, shape) / (power * r.size)
    return np.concatenate([c[: lags + 1, -lags:], c[: lags + 1, : lags + 1]], axis=1) if lags else c[:1, :1]


def whiteness(residual, lags=4):
    """Minus the energy of the autocorrelation over half the plane of lags up to `lags`, without lag 0; mean over channels.

    0 for a white residual, more negative for structure. For white noise of m pixels and L lags in the half plane the
    expected value is -L / m. residual: (M, N) or (M, N, C), finite, larger than `lags` both ways.
    """
    r = residual[..., None] if residual.ndim == 2 else residual
    if min(r.shape[:2]) <= lags:
        raise ValueError("the residual is smaller than the lags")
    total = 0.0
    for c in range(r.shape[2]):
        a = autocorrelation(r[..., c], lags)
        total += np.sum(a[1:] ** 2) + np.sum(a[0, lags + 1 :] ** 2)
    return float(0 - total / r.shape[2])
