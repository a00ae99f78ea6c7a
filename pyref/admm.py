"""Non-blind restoration: ADMM with vectorial total variation and unknown data re-estimated (the `admm` solver).

    minimise over x   lam/2 sum_known (k * x - y)^2 + sum_pixels || w_c grad x_c ||_2

x, y in linear light, k the PSF (sum 1). Splitting g = w grad x, scaled multiplier u, penalty rho (Goldstein and Osher 2009;
Afonso, Bioucas-Dias and Figueiredo 2010). With K the OTF, D the forward differences:

    v = w D x + u,   s = 1 - 1 / max(rho |v|, 1),   g = s v,   u = v - g
    X = (lam conj(K) Z + rho F(D^T w (g - u))) / (lam |K|^2 + rho w^2 |D|^2)

rho grows tenfold from the first to the last iteration, by a fixed factor each (u shrinks by the same one), so that six
iterations suffice. The first iteration uses lam / 100, or 0.75 / G if that is less, and each further one a hundred times as much, up to lam
(`trust`): unknown data follow its smoother x quickly, whereas full trust in the others would hold them where they started, the more so with
little noise.

Unknown data (the gap around the frame, non-finite pixels, clipped highlights) follow the majorisation of the masked data
term: z = y where known; elsewhere z moves to k * x, over-relaxed by omega < 2 (which keeps it convergent). Only windows
that hold unknown data need it; it costs a second pair of transforms per iteration.

Three channels with one PSF are turned to (luminance, two chroma) by an orthonormal matrix, and chroma gradients count
double: they are smaller in pictures, and chroma noise is the uglier one.

No reduction over the picture takes place in `solve`: lam and rho come from `parameters`.
"""
import sys
from dataclasses import dataclass, replace

import numpy as np

from . import fft, noise, solver, tv

ITERATIONS = 6
GROWTH = 10.0
RHO = 0.05
EDGE = 3.0
LAM = 2.0
LAM_CHANNELS = 1.4
DENOISE, DEBLUR = 5.0, 2.0
OMEGA = 1.9
FIRST, RATIO, RISE = 0.01, 0.75, 100.0


@dataclass
class Parameters:
    """sigma: noise; gradient: scale G; edge: scale E; lam: data weight; rho: first penalty; kept: share of the blur left in (solver.restore)."""

    sigma: float
    gradient: float
    lam: float
    rho: float
    iterations: int = ITERATIONS
    kept: float = 0.0
    edge: float = 0.0


def parameters(y, psf, sigma=None, priority=0.0, iterations=ITERATIONS, white=None):
    """Constants of the restoration, from the whole picture.

        G   = noise.gradient_scale(y, sigma, n, white)
        lam = 2.0 (sum k^2)^(-1/3) sqrt(sigma G) / sigma^2 * B^priority,  B = 5 below 0 and 2 above      (1.4 with a PSF for each
        channel: no chroma to weigh double)
        rho = 0.05 / max(G, E / 3),  E = noise.edge_scale(y, sigma, G, n, white)

    With twice lam (priority 1) the residual k * x - y still has 0.6 to 0.9 of the noise; further up its whiteness falls, and the PSNR by 1 dB for
    each 1.5 of lam. A Laplace prior would give lam ~ G / sigma^2; the best lam found with the truth in hand goes with sqrt(sigma G), and
    somewhat down with the energy of the PSF (mean over channels). In photographs E is about 3 G; the few steep edges of a bright spot on an even ground,
    for which G does not stand, need a smaller penalty: else six iterations leave rings around it. All scale with the picture: a y gives
    lam / a and rho / a, hence a x.

    Parameters
    ----------
    y : (M, N) or (M, N, C) array, scene-linear, non-finite where unknown
    psf : (n, n) or (n, n, C), sum 1
    sigma : float, standard deviation of the noise; estimated if None, with the error of processing (`noise.with_processing`)
    priority : float in [-1, 1], from denoise to deblur; below 0 its square is the share of the blur left in
    white : clipping level, None if nothing is clipped
    """
    y = np.asarray(y, float)
    y = y[..., None] if y.ndim == 2 else y
    if not -1 <= priority <= 1:
        raise ValueError("priority must lie in [-1, 1]")
    sigma, processed = noise.estimate(y) if sigma is None else (float(sigma), (0.0, 0.0))
    sigma = max(sigma, 1e-6)
    white, side = np.inf if white is None else white, max(np.shape(psf)[0], 8)
    scale = noise.gradient_scale(y, sigma, side, white)
    edge = noise.edge_scale(y, sigma, scale, side, white)
    sigma = noise.with_processing(sigma, processed, scale, y.shape[2])
    energy = float(np.mean(np.sum(np.square(psf), axis=(0, 1))))
    strength = LAM_CHANNELS if np.ndim(psf) == 3 and psf.shape[2] > 1 else LAM
    lam = strength * energy ** (-1 / 3) * np.sqrt(sigma * scale) / sigma**2 * (DENOISE if priority < 0 else DEBLUR) ** priority
    return Parameters(sigma, scale, float(lam), RHO / max(scale, edge / EDGE), iterations, min(priority, 0.0) ** 2, edge)


def at_scale(params, scale):
    """Parameters for a picture resized by s, together with `psf.reduce`.

    The sum over pixels stands for an integral: data term and total variation weigh s^2 lam / 2 and s there, gradients grow by 1 / s. Hence

        lam -> lam / s,   G -> G / s,   E -> E / s,   rho -> s rho,   and the noise, averaged by a reduction, goes to s sigma.
    """
    slopes = {"gradient": params.gradient / scale, "edge": params.edge / scale}
    return replace(params, sigma=params.sigma * min(scale, 1), lam=params.lam / scale, rho=params.rho * scale, **slopes)


def trust(t, params, iterations):
    """Share of lam in iteration t = 1, 2 ...: min(0.01, 0.75 / (lam G)) 100^(t - 1), not above 1."""
    return 1.0 if iterations == 1 else min(min(FIRST, RATIO / (params.lam * params.gradient)) * RISE ** min(t - 1, 19), 1.0)


def solve(problem, params, iterations=None, watch=None):
    """Iterations on a periodic domain (a tile or the whole extended picture): x (P, Q, C) of `solver.problem`; see `solver` for watch."""
    dtype, iterations = problem.y.dtype, iterations or params.iterations
    lam, rho = dtype.type(params.lam), dtype.type(params.rho)
    growth = dtype.type(GROWTH ** (1 / max(iterations - 1, 1)))
    unknown = (problem.bound != np.inf).any()
    w, k = problem.weights, problem.k
    smooth = w * w * fft.gradient_power(problem.shape, dtype)[..., None]

    z = problem.y
    x = problem.turn(z)
    data = np.conj(k) * fft.forward(x)
    u = np.zeros((2,) + x.shape, dtype)
    for t in range(1, iterations + 1):
        v = w * tv.gradient(x) + u
        s = tv.shrink_factor(v, rho)
        b = tv.gradient_adjoint(w * (2 * s - 1) * v)
        weight = lam * dtype.type(trust(t, params, iterations))
        spectrum = (weight * data + rho * fft.forward(b)) / (weight * np.abs(k) ** 2 + rho * smooth)
        x = fft.inverse(spectrum, problem.shape)
        u = (1 - s) * v / growth
        rho *= growth
        if t == iterations:
            break
        if watch and watch(t, problem.back(x), problem.blur(spectrum)):
            break
        if unknown:
            z = problem.impute(z, problem.blur(spectrum), OMEGA)
            data = np.conj(k) * fft.forward(problem.turn(z))
    return problem.back(x)


def restore(y, psf, params=None, **options):
    """Restored picture: `solver.restore` with this solver."""
    return solver.restore(sys.modules[__name__], y, psf, params, **options)


def halo(psf, params, tolerance=6e-4, size=512, most=160):
    """Pixels around a tile that its result needs, from the decay of the regularised inverse filter.

    What the data do not determine is filled in by the filter n = F^-1[rho |D|^2 / (lam |K|^2 + rho |D|^2)], the identity less
    lam |K|^2 / (...): narrow notches at zeros of K reach far. With the penalty of the last iteration, the halo is the
    least h with

        ( sum of n^2 over max(|i|, |j|) > h )^(1/2) <= tolerance   (mean over channels of a per-channel PSF).

    Returns
    -------
    int in [0, most]; `most` may mean that the reach was not found. With a halo of less than is found up to 256, inner tiles are tapered
    (boundary.taper) over half of what is thrown away.
    """
    psf = np.asarray(psf, float)
    psf = psf[..., None] if psf.ndim == 2 else psf
    rho = params.rho * (GROWTH if params.iterations > 1 else 1)
    smooth = rho * fft.gradient_power((size, size))[..., None]
    notch = fft.inverse(smooth / (params.lam * np.abs(fft.otf(psf, (size, size))) ** 2 + smooth), (size, size))
    distance = np.minimum(np.arange(size), size - np.arange(size))
    ring = np.maximum(distance[:, None], distance[None, :]).ravel()
    energy = np.bincount(ring, (notch**2).mean(axis=2).ravel())
    outside = np.sqrt(np.maximum(energy.sum() - np.cumsum(energy), 0))
    inside = np.flatnonzero(outside[: size // 2] <= tolerance)
    return min(int(inside[0]), most) if inside.size else most
