"""First-order differences on a periodic domain and the vectorial shrinkage of total variation.

Vectorial TV of x (M, N, C): sum over pixels of || w_c grad x_c ||_2, one norm over both directions and all channels
(Bresson and Chan, "Fast dual minimization of the vectorial total variation norm", 2008), with a weight w_c per channel.
"""
import numpy as np


def gradient(x):
    """Forward differences: d[0] = x[i, j+1] - x[i, j], d[1] = x[i+1, j] - x[i, j], periodic. (M, N[, C]) -> (2, M, N[, C])."""
    return np.stack([np.roll(x, -1, 1) - x, np.roll(x, -1, 0) - x])


def gradient_adjoint(d):
    """Adjoint of `gradient`: minus the divergence. (2, M, N[, C]) -> (M, N[, C])."""
    return np.roll(d[0], 1, 1) - d[0] + np.roll(d[1], 1, 0) - d[1]


def shrink_factor(v, rho):
    """Factor s with prox_{||.||_2 / rho}(v) = s v, per pixel: s = 1 - 1 / max(rho |v|, 1).

    Parameters
    ----------
    v : (2, M, N, C) array
    rho : float, > 0

    Returns
    -------
    (M, N, 1) array in [0, 1); |v| is the norm over directions and channels.
    """
    norm = np.sqrt((v * v).sum(axis=(0, 3)))[..., None]
    return 1 - 1 / np.maximum(rho * norm, 1)
