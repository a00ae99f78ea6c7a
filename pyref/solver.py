"""What the solvers share: the restoration as a problem on a periodic domain, and the loop around it.

Three channels with one PSF are turned to luminance and two chromas by an orthonormal matrix, and chroma differences count double: they
are smaller in pictures, and chroma noise is the uglier one.

A solver is a module (`admm`, `mm`, `pam`, `pd`, `rl`) with ``parameters`` as in `admm` and ``solve(problem, params, iterations, watch)``, which returns x
(P, Q, C). ``watch(t, x, model)`` is called
with the state x after t = 1, 2 .. iterations - 1 iterations and its blurred form k * x; a true answer ends the run with that state.
"""
from dataclasses import dataclass

import numpy as np

from . import boundary, fft, highlight

CHROMA = 2.0
COLOUR = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@dataclass
class Problem:
    """Data of one restoration, (P, Q, C) unless said otherwise.

    y : data, every value finite; bound : +inf where y is known, y where clipped, -inf where unknown
    k : (P, Q // 2 + 1, 1 or C), OTF; weights : (C,), of the channels' differences; colour : (C, C) orthonormal, channels in rows
    """

    y: np.ndarray
    bound: np.ndarray
    k: np.ndarray
    weights: np.ndarray
    colour: np.ndarray

    @property
    def shape(self):
        """(P, Q)."""
        return self.y.shape[:2]

    def turn(self, a):
        """Channels to luminance and chroma (the same array where the channels are not turned)."""
        return a @ self.colour.T

    def back(self, a):
        """Inverse of `turn`."""
        return a @ self.colour

    def blur(self, spectrum):
        """k * x from the spectrum of the turned x."""
        return self.back(fft.inverse(self.k * spectrum, self.shape))

    def impute(self, z, model, omega):
        """Renew unknown data: z + omega (model - z), not below y where clipped."""
        return np.where(self.bound == np.inf, z, np.maximum(z + z.dtype.type(omega) * (model - z), self.bound))

    def residual(self, model):
        """Gradient of the data term with respect to the model: k * x - y, without unknown data and upward errors of clipped data."""
        return np.where(self.bound == np.inf, model - self.y, np.minimum(model - self.bound, 0))


def problem(y, psf, white=None, dtype=np.float64, shape=None, frame=True, halo=0, taper=0):
    """Set a picture up on a periodic domain.

    Parameters
    ----------
    y : (M, N, C) array, scene-linear, non-finite where unknown
    psf : (n, n) or (n, n, C), n odd, sum 1
    white : clipping level of the data, None if nothing is clipped
    dtype : float64 or float32
    shape : periodic domain (P, Q); default `boundary.domain`
    frame : whether the surroundings are unknown (a picture's frame) or taken as data (a tile's cut edge)
    halo : what a tile of this picture would need (admm.halo); a gap as long makes tile and whole agree at the frame
    taper : width of the data that fade towards the cuts of an inner tile (boundary.taper), 0: none do
    """
    y, psf = np.asarray(y, dtype), np.asarray(psf, dtype)
    radius = max(psf.shape[:2]) // 2
    gap = boundary.gap(radius, halo)
    shape = boundary.domain(y.shape, gap) if shape is None else tuple(shape)
    filled, finite = boundary.fill_holes(y)
    bound = np.where(boundary.known(finite, shape, boundary.reach(radius) if frame else 0), np.inf, -np.inf).astype(dtype)
    if white is not None:
        bound[: y.shape[0], : y.shape[1]][finite & (filled >= white)] = filled[finite & (filled >= white)]
    turned = y.shape[2] == 3 and psf.ndim == 2
    k = fft.otf(psf, shape, dtype)
    k = k[..., None] if k.ndim == 2 else k
    z = boundary.extend(filled, shape, boundary.edge(gap) if frame else 0)
    if frame:
        z = boundary.taper(z, k, [np.arange(period) < n for n, period in zip(y.shape, shape)])
    elif taper:
        z = boundary.taper(z, k, [boundary.fade(n, period, taper) for n, period in zip(y.shape, shape)])
    return Problem(
        z, bound, k,
        np.array([1, CHROMA, CHROMA] if turned else [1] * y.shape[2], dtype),
        (COLOUR if turned else np.eye(y.shape[2])).astype(dtype),
    )


def positive(x, y):
    """max(x, min(y, 0)), 0 for y where it is not finite: light is not negative, but noise and colours outside the gamut may be."""
    return np.maximum(x, np.where(np.isfinite(y), np.minimum(y, 0), 0).astype(x.dtype))


def restore(solver, y, psf, params=None, iterations=None, white=None, dtype=np.float64, shape=None, frame=True, halo=0, watch=None):
    """Restored picture, like `admm.restore` for one of the other solvers.

    Where params.kept is not 0 (priority below 0), x <- (1 - kept) x + kept k * x at the end: at 1 noise is removed, and nothing sharpened.

    Parameters
    ----------
    solver : module, see above
    params : admm.Parameters; None: automatic
    iterations : None: the solver's own number
    y, psf, white, dtype, shape, frame, halo : as for `problem`; y may be (M, N); lamps are taken out (`highlight`)
    watch : called with x and k * x on the picture, see above

    Returns
    -------
    array like y, dtype `dtype`; above 0 (`positive`), not clipped at white
    """
    y = np.asarray(y, dtype)
    grey = y.ndim == 2
    y = y[..., None] if grey else y
    params = solver.parameters(y, psf, white=white) if params is None else params
    inside = np.s_[: y.shape[0], : y.shape[1]]
    psf = np.asarray(psf)
    if psf.ndim == 3 and (psf == psf[..., :1]).all():
        psf = psf[..., 0]  # one shared by the channels

    def cropped(t, x, model):
        return watch(t, x[inside], model[inside])

    options = {} if iterations is None else {"iterations": iterations}
    reached = np.zeros(y.shape[:2], bool) if white is None else highlight.find(y, psf, white, params.sigma)
    domain = problem(y, psf, white, dtype, shape, frame, halo)
    if reached.any():
        data, rest, light, doubt = highlight.separate(y, psf, white, params.sigma, domain.shape, domain.k, reached, params.kept)
        hidden, weight = highlight.doubtful(doubt, reached, psf)
        domain = problem(np.where(hidden[..., None] & np.isfinite(data), rest, data), psf, white, dtype, shape, frame, halo)
    x = solver.solve(domain, params, watch=cropped if watch else None, **options)
    if params.kept:
        x = x + x.dtype.type(params.kept) * (fft.inverse(domain.k * fft.forward(x), domain.shape) - x)
    x = x[inside]
    if white is not None:
        x = highlight.hold(x, y, psf, white, params.sigma, reached)
    if reached.any():
        x = highlight.join(x, light, y, white, weight)
    x = positive(x, y)
    return x[..., 0] if grey else x
