"""Projected alternating minimisation: the picture with the PSF known (the `pam` solver), and both in turns (`alternate`).

    minimise over x   lam/2 sum_known (k * x - y)^2 + sum_pixels sqrt(|w D x|^2 + e^2)

Perrone and Favaro, "Total variation blind deconvolution: the devil is in the details", CVPR 2014: explicit gradient steps on the picture,
boundaries left free; where the PSF is sought, a gradient step on it after each, negative values to 0, sum 1, in this order (a projection in two steps:
what keeps them from the trivial solution, as they show). The gradient of TV is the true one; with r the residual over known data,

    gradient in x = lam K^T r + D^T (w^2 D x / sqrt(|w D x|^2 + e^2)),   in k[a] = sum_i r[i] x[i - a]

Deviations: the picture's step is 1 / L_c, L_c = lam + 8 w_c^2 / e (a bound of the second derivative; no tuning, nothing measured on the picture), with
e = 0.2 G; Nesterov's momentum t / (t + 3) (Beck and Teboulle 2009), which plain steps would need some ten times the iterations without. The PSF's
largest change in a step is 0.02 of its peak. Its scales, coarse to fine, are those of `blind`.
"""
import numpy as np

from . import boundary, fft, solver, tv
from .admm import parameters

__all__ = ["alternate", "parameters", "solve"]
ITERATIONS = 60
SMOOTH = 0.2
STEP = 0.02


def descend(problem, lam, e, v, model):
    """The picture after a gradient step from v (P, Q, C), with model = k * v in the picture's channels."""
    w = problem.weights
    data = fft.inverse(np.conj(problem.k) * fft.forward(problem.turn(problem.residual(model))), problem.shape)
    d = w * tv.gradient(v)
    curvature = tv.gradient_adjoint(w * d / np.sqrt((d * d).sum(axis=(0, 3)) + e * e)[..., None])
    return v - (lam * data + curvature) / (lam + 8 * w * w / e)


def solve(problem, params, iterations=ITERATIONS, watch=None):
    """Iterate on `problem` (solver.Problem) with lam and gradient of `params`. Returns x (P, Q, C)."""
    dtype = problem.y.dtype
    lam, e = dtype.type(params.lam), dtype.type(SMOOTH * params.gradient)
    x = before = problem.turn(problem.y)
    for t in range(iterations):
        v = x + dtype.type(t / (t + 3)) * (x - before)
        model = problem.blur(fft.forward(v))
        if watch and t > 0 and watch(t, problem.back(x), model):
            break
        before, x = x, descend(problem, lam, e, v, model)
    return problem.back(x)


def alternate(y, psf, lam, e, rounds, shape=None):
    """PSF (n, n) of the grey picture y (M, N) after so many rounds of one step on the picture and one on the PSF, from `psf` (n, n), at one scale."""
    p = solver.problem(y[..., None], psf, shape=shape)
    p.y = boundary.extend(y[..., None], p.shape, boundary.edge(boundary.gap(psf.shape[0] // 2)))  # the start says nothing yet of the zeros of K
    at = np.arange(psf.shape[0]) - psf.shape[0] // 2
    x = before = p.y
    for t in range(rounds):
        v = x + t / (t + 3) * (x - before)
        before, x = x, descend(p, lam, e, v, p.blur(fft.forward(v)))
        spectrum = fft.forward(x)
        gradient = fft.inverse(fft.forward(p.residual(p.blur(spectrum))) * np.conj(spectrum), p.shape)[np.ix_(at % p.shape[0], at % p.shape[1])][..., 0]
        psf = np.maximum(psf - STEP * psf.max() / np.abs(gradient).max() * gradient, 0)
        psf = psf / psf.sum()
        p.k = fft.otf(psf, p.shape)[..., None]
    return psf
