"""Whiteness of a residual (Almeida and Figueiredo, "Parameter estimation for blind and non-blind deblurring using residual
whiteness measures", IEEE Trans. Image Processing 22, 2013): the weighted energy of its autocorrelation away from lag 0.
"""
import numpy as np

from . import fft

LAGS = 4
SPREAD = 3.0


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


def weights(lags, spread=SPREAD):
    """w(a, b) = exp(-(a^2 + b^2) / (2 spread^2)), laid out as `autocorrelation`; 0 for lag 0 and the lags whose opposite counts."""
    a, b = np.mgrid[: lags + 1, -lags : lags + 1]
    return np.exp(-(a * a + b * b) / (2 * spread**2)) * ((a > 0) | (b > 0))


def whiteness(residual, lags=LAGS):
    """- sum of w(a, b) r(a, b)^2 over half the plane of lags up to `lags`, without lag 0; mean over channels.

    0 for a white residual, more negative for structure. For white noise of m pixels the expected value is -(sum of w) / m.
    residual: (M, N) or (M, N, C), finite, larger than `lags` both ways.
    """
    r = residual[..., None] if residual.ndim == 2 else residual
    if min(r.shape[:2]) <= lags:
        raise ValueError("the residual is smaller than the lags")
    energy = [np.sum(weights(lags) * autocorrelation(r[..., c], lags) ** 2) for c in range(r.shape[2])]
    return float(0 - np.mean(energy))
