"""Non-blind restoration: the picture's half of projected alternating minimisation (the `pam` solver).

    minimise over x   lam/2 sum_known (k * x - y)^2 + sum_pixels sqrt(|w D x|^2 + e^2)

Perrone and Favaro, "Total variation blind deconvolution: the devil is in the details", CVPR 2014: explicit gradient steps on the picture,
boundaries left free. Their other half, a gradient step on the PSF and its
projection (>= 0, sum 1), is not part of it: the PSF is known here. The gradient of TV is the true one:

    gradient = lam K^T r + D^T (w^2 D x / sqrt(|w D x|^2 + e^2)),   r the residual over known data

Deviations: the step is 1 / L_c, L_c = lam + 8 w_c^2 / e (a bound of the second derivative; no tuning, nothing measured on the picture), with e = 0.2 G;
Nesterov's momentum t / (t + 3) (Beck and Teboulle 2009), which plain steps would need some ten times the iterations without.
"""
import numpy as np

from . import fft, tv
from .admm import parameters

__all__ = ["parameters", "solve"]
ITERATIONS = 60
SMOOTH = 0.2


def solve(problem, params, iterations=ITERATIONS, watch=None):
    """Iterate on `problem` (solver.Problem) with lam and gradient of `params`. Returns x (P, Q, C)."""
    dtype, w = problem.y.dtype, problem.weights
    lam, e = dtype.type(params.lam), dtype.type(SMOOTH * params.gradient)
    step = 1 / (lam + 8 * w * w / e)
    x = before = problem.turn(problem.y)
    for t in range(iterations):
        v = x + dtype.type(t / (t + 3)) * (x - before)
        model = problem.blur(fft.forward(v))
        if watch and t > 0 and watch(t, problem.back(x), model):
            break
        data = fft.inverse(np.conj(problem.k) * fft.forward(problem.turn(problem.residual(model))), problem.shape)
        d = w * tv.gradient(v)
        curvature = tv.gradient_adjoint(w * d / np.sqrt((d * d).sum(axis=(0, 3)) + e * e)[..., None])
        before, x = x, v - step * (lam * data + curvature)
    return problem.back(x)
