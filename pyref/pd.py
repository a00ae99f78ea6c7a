"""Non-blind restoration: first-order primal-dual iteration for the objective of `admm` (the `pd` solver).

    minimise over x   lam/2 sum_known (k * x - y)^2 + sum_pixels || w_c grad x_c ||_2

Chambolle and Pock, "A first-order primal-dual algorithm for convex problems", J. Math. Imaging Vision 40, 2011, algorithm 1; the
resolvent of the data term is exact in Fourier space (their section 6.2). With the dual q (one vector per pixel), steps s and tau:

    q  <- (q + s w D (2 x - x')) / max(1, |.|)                     x' the x before
    X  <- (F(x - tau_c w_c D^T q) + tau_c lam conj(K) Z) / (1 + tau_c lam |K|^2)

s = 0.2 / G and tau_c = 1 / (8 s w_c^2), so that s tau_c w_c^2 ||D||^2 = 1 (diagonal preconditioning over the channels: Pock and Chambolle,
ICCV 2011). Deviation: unknown data z move to k * x as in `admm`, so that the resolvent stays exact.

Neither the penalty nor its growth shapes the result: it tends to the minimiser itself, as fast as 1 / iterations.
"""
import numpy as np

from . import fft, tv
from .admm import OMEGA, parameters

__all__ = ["parameters", "solve"]
ITERATIONS = 40
DUAL = 0.2


def solve(problem, params, iterations=ITERATIONS, watch=None):
    """Iterate on `problem` (solver.Problem) with lam and gradient of `params`. Returns x (P, Q, C)."""
    dtype, w = problem.y.dtype, problem.weights
    step = dtype.type(DUAL / params.gradient)
    tau = 1 / (8 * step * w * w)
    data, power = tau * dtype.type(params.lam) * np.conj(problem.k), 1 + tau * dtype.type(params.lam) * np.abs(problem.k) ** 2
    z = problem.y
    x = before = problem.turn(z)
    spectrum_z = fft.forward(x)
    q = np.zeros((2,) + x.shape, dtype)
    for t in range(1, iterations + 1):
        q = q + step * w * tv.gradient(2 * x - before)
        q = q / np.maximum(1, np.sqrt((q * q).sum(axis=(0, 3))))[..., None]
        spectrum_x = (fft.forward(x - tau * w * tv.gradient_adjoint(q)) + data * spectrum_z) / power
        before, x = x, fft.inverse(spectrum_x, problem.shape)
        if t == iterations:
            break
        model = problem.blur(spectrum_x)
        if watch and watch(t, problem.back(x), model):
            break
        z = problem.impute(z, model, OMEGA)
        spectrum_z = fft.forward(problem.turn(z))
    return problem.back(x)
