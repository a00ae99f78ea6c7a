"""Non-blind restoration: Richardson-Lucy with total variation (the `rl` solver).

    x <- x / (1 + c(x) / (lam x)) . K^T (y / (K x)),   c = D^T (D x / |D x|)

Richardson 1972, Lucy 1974; TV: Dey et al., "Richardson-Lucy algorithm with total variation regularization for 3D confocal microscope
deconvolution", Microscopy Research and Technique 69, 2006, eq. 7. |D x| is taken over directions and channels.

Deviations. Dey's constant weight belongs to Poisson noise; 1 / (lam x) suits noise that does not depend on brightness. lam is 0.3 of admm's: |D x| is
bounded below and chroma counts once, so that the same strength needs more weight, and with it the iteration hardly diverges. Protected: data and k * x
are kept above 0.1 sigma, the TV factor within 1/2 .. 2, |D x| above 8 / lam (below it the explicit TV step would swing from pixel to pixel). Unknown
data follow the model (the ratio is 1, the expectation step for missing data); a clipped pixel counts only where the model falls below it.

For comparison, not for quality: x > 0 is its only prior besides TV, and it converges slowly.
"""
import numpy as np

from . import admm, fft, tv

ITERATIONS = 50
LAM = 0.3
FLOOR = 0.1
SMOOTH = 8.0


def parameters(*args, **options):
    """Those of `admm.parameters`, lam times `LAM`."""
    params = admm.parameters(*args, **options)
    params.lam *= LAM
    return params


def solve(problem, params, iterations=ITERATIONS, watch=None):
    """Iterate on `problem` (solver.Problem) with lam and sigma of `params`. Returns x (P, Q, C) > 0."""
    dtype = problem.y.dtype
    lam, floor, least = (dtype.type(v) for v in (params.lam, FLOOR * params.sigma, SMOOTH / params.lam))
    y = np.maximum(problem.y, floor)
    x = y
    for t in range(iterations):
        model = fft.inverse(problem.k * fft.forward(x), problem.shape)
        if watch and t > 0 and watch(t, x, model):
            break
        model = np.maximum(model, floor)
        ratio = np.where(problem.bound == np.inf, y / model, np.maximum(problem.bound / model, 1))
        data = fft.inverse(np.conj(problem.k) * fft.forward(ratio), problem.shape)
        d = tv.gradient(x)
        curvature = tv.gradient_adjoint(d / np.maximum(np.sqrt((d * d).sum(axis=(0, 3))), least)[..., None])
        x = np.maximum(x * data / np.clip(1 + curvature / (lam * x), 0.5, 2), floor)
    return x
