"""The Cython prototype (Image-Cases-Studies, 2017-2018), reproduced in NumPy.

History, not a base to build on: every formula here is what the prototype computes, its
defects included and marked ``Defect:``. Recorded vectors pin it down
(``tests/data/golden``). Commits reproduced: 7ebf283 (the last one, "HEAD"), 394a53e,
947fd8d and 6241641 of aurelienpierre/Image-Cases-Studies.

Arrays are (M, N, 3), float32 like the prototype or float64 (``dtype``); pictures are in
0..1 except for `pam` (0..255). u is the sharp estimate, f the blurred picture, k the PSF
(K, K, 3) with odd K and sum 1 per channel, P = K // 2; u is wider than f by P on each
side. ``*`` is linear convolution per channel, rot the rotation by 180 degrees. Inputs are
never modified; what the prototype changed in place is returned.

References
----------
.. [1] D. Perrone, P. Favaro, "A logarithmic image prior for blind deconvolution",
   IJCV 117, 2016.
.. [2] M. Almeida, M. Figueiredo, "New stopping criteria for iterative blind image
   deblurring based on residual whiteness measures", SSP 2011.
.. [3] A. Langer, "Automated parameter selection for total variation minimization in image
   restoration", JMIV 57, 2017.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import fftconvolve

SQRT2 = 2**0.5


# ---------------------------------------------------------------- shared operators

def convolve(a, b, mode):
    """Linear convolution of (M, N, C) arrays, channel by channel."""
    return fftconvolve(a, b, mode, axes=(0, 1))


def rot180(a):
    """Rotation by 180 degrees in the plane."""
    return a[::-1, ::-1]


def edge_pad(a, p):
    """Replicate the border `p` times on the four sides of an (M, N, C) array."""
    return np.pad(a, ((p, p), (p, p), (0, 0)), mode="edge")


def ring_off(a, p):
    """Remove a ring of width `p`, p >= 1."""
    return a[p:-p, p:-p]


def normalise_kernel(k):
    """Negative values to 0, then sum 1 per channel."""
    k = np.maximum(k, 0)
    return k / k.sum(axis=(0, 1))


def uniform_psf(size, dtype=np.float32):
    """(size, size, 3) of 1 / size**2."""
    return np.full((size, size, 3), 1 / size**2, dtype)


def _peak(a):
    """Largest absolute value per channel."""
    return np.abs(a).max(axis=(0, 1))


def _psf_gradient(u, k, f):
    """Return gk = rot(u) *valid e and e = u *valid k - f."""
    e = convolve(u, k, "valid") - f
    return convolve(rot180(u), e, "valid"), e


def tv(u, order=2, norm=2, eps=1e-2):
    """Total variation of HEAD over eight neighbours, and its negated divergence.

    With q = sqrt 2, N1(a, b) = |a| + |b| + eps, N2(a, b) = sqrt(a^2 + b^2 + eps^2),
    Z = 4 (1 + 1/q) for norm 1 and 2 (1 + q) for norm 2:

    - order 2: a, b, c, d second differences along rows, columns and the two diagonals
      (these over q); TV = (N(a, b) + N(c, d)) / Z, div = -(a + b + c + d) / Z;
    - order 1: the same with backward and forward differences, four N in place of two.

    Defect: the border ring stays 0, so it is never regularised. Div is the same for both
    orders: the weights 1 / TV are applied outside the divergence.

    Returns
    -------
    tv, div : arrays of the shape and dtype of `u`
    """
    q = SQRT2
    z = 4 * (1 + 1 / q) if norm == 1 else 2 * (1 + q)

    def n(a, b):
        if norm == 1:
            return np.abs(a) + np.abs(b) + eps
        return np.sqrt(a**2 + b**2 + eps**2)

    m = u[1:-1, 1:-1]
    back = [m - u[:-2, 1:-1], m - u[1:-1, :-2],
            (m - u[:-2, :-2]) / q, (m - u[:-2, 2:]) / q]
    forw = [u[2:, 1:-1] - m, u[1:-1, 2:] - m,
            (u[2:, 2:] - m) / q, (u[2:, :-2] - m) / q]
    second = [y - x for x, y in zip(back, forw, strict=True)]
    pairs = [second] if order == 2 else [back, forw]
    total, div = np.zeros_like(u), np.zeros_like(u)
    total[1:-1, 1:-1] = sum(n(a, b) + n(c, d) for a, b, c, d in pairs) / z
    div[1:-1, 1:-1] = -sum(second) / z
    return total, div


# ---------------------------------------------------------------- whiteness

def gauss_series(n, dtype=np.float32):
    """exp(-x^2 / 2) / sqrt(2 pi) at n points of -1..1."""
    x = np.linspace(-1, 1, n, dtype=dtype)
    return np.exp(-x**2 / 2) / (2 * np.pi)**0.5


def whiteness_weights(h, w, dtype=np.float32):
    """sqrt(outer(a, b)) / sum, with a, b = `gauss_series` of h and w points."""
    weights = np.sqrt(np.outer(gauss_series(h, dtype), gauss_series(w, dtype)))
    return weights / weights.sum()


def whiteness(e, window):
    """M_r = mean of A^2 w, A the autocorrelation of the normalised residual (after [2]).

    T = (W - mean W) / std W, then T / max|T|, over pixels and channels of the window W;
    A = T *same rot(T).

    Defect: lag 0 is included, and the division by max|T| makes the measure depend on a
    single pixel.
    """
    top, bottom, left, right = window
    t = e[top:bottom, left:right]
    t = (t - t.mean()) / t.std()
    t = t / np.abs(t).max()
    a = convolve(t, rot180(t), "same")
    return float(np.mean(a**2 * whiteness_weights(*t.shape[:2], t.dtype)[..., None]))


# ---------------------------------------------------------------- HEAD: one MM call

class MMResult(NamedTuple):
    """What `richardson_lucy_mm` leaves behind.

    u : the sharp estimate, shape of the image; u_padded : the same with its ring
    psf : the PSF inside the call; psf_caller : what the caller's array holds
    image : the blurred picture after its denoising; mask : last depth-of-field mask D
    whiteness : M_r after each outer iteration, as many as were run
    """

    u: np.ndarray
    u_padded: np.ndarray
    psf: np.ndarray
    psf_caller: np.ndarray
    image: np.ndarray
    mask: np.ndarray
    whiteness: list


def richardson_lucy_mm(image, u, psf, window, *, tau=0.0, iterations=200, step=1e-3,
                       lam=1e4, blind=True, correlation=False, repaired_tv=False,
                       stopping=True, dtype=np.float32):
    """Solver of HEAD (7ebf283): majorisation outside, 5 gradient steps inside.

    Parameters
    ----------
    image : (M, N, 3), blurred picture, > 0 (0 divides 0 by 0 in step 3)
    u : (M + 2 P, N + 2 P, 3), start value
    psf : (K, K, 3)
    window : top, bottom, left, right of the whiteness window in the image
    tau : tolerance of the non-blind stop
    iterations : outer iterations
    correlation : average the PSF over the channels (motion blur)
    repaired_tv : let the TV terms act, as the prototype's text intends
    stopping : False runs all iterations

    Notes
    -----
    Defect: at HEAD the TV of the majoriser is never computed, so neither TV term acts
    (`repaired_tv` puts the two lines back). Priority, p, norm, order and refocus have no
    effect and are left out.
    """
    f, u, k = (np.array(a, dtype) for a in (image, u, psf))
    pad = (u.shape[0] - f.shape[0]) // 2
    inside = np.s_[pad:-pad, pad:-pad]
    eps = 1e-2 if blind else 1e-6
    k_caller, trace = None, []

    for it in range(iterations):
        ut = u.copy()
        if repaired_tv:
            tv_ut = [tv(ut, 2, n, eps)[0] for n in (1, 2)]
        for _ in range(5):
            # 1, 2: e = u * k - f, g = e *full rot(k)
            e = convolve(u, k, "valid") - f
            g = convolve(e, rot180(k), "full")
            # 3: D = ((g - f) / (g + f))^2, over lam when not blind.
            # Defect: compares a gradient with a picture: D is about 1 when blind, so
            # step 7 resets u to f; black pixels give 0 / 0.
            mask = ((g[inside] - f) / (g[inside] + f))**2
            if not blind:
                mask = mask / lam
            # 4: G = R + lam g + (u - ut) / 4 with R = sum_n div_2 / (TV_n(u) TV_n(ut)) / 2
            # where TV is not 0, else lam g + (u - ut) / 2
            r, share = 0, 2
            if repaired_tv:
                (tv_1, _), (tv_2, div) = (tv(u, 2, n, eps) for n in (1, 2))
                active = (tv_1 != 0) & (tv_ut[0] != 0)
                r = sum(np.divide(div, a * b, out=np.zeros_like(u), where=active) / 2
                        for a, b in zip((tv_1, tv_2), tv_ut, strict=True))
                share = np.where(active, 4, 2).astype(dtype)
            grad = r + lam * g + (u - ut) / share
            # 5: u -= dt G, dt = step max(u) / max|G| per channel
            u = u - step * u.max(axis=(0, 1)) / (_peak(grad) + 1e-15) * grad
            # 6: the same for the blurred picture with R / lam
            if repaired_tv:
                dt = step * f.max(axis=(0, 1)) / (_peak(r) + 1e-15)
                f = f - dt * r[inside] / lam
            # 7: u = (1 - D) u + D f. Defect: the ring of u is left out.
            u[inside] = (1 - mask) * u[inside] + mask * f
            # 8: k -= dk gk, dk = step / K max(k) / max|gk|, the same for all channels
            if blind:
                gk, e = _psf_gradient(u, k, f)
                k = k - step / k.shape[0] * k.max() / (np.abs(gk).max() + 1e-15) * gk
                if correlation:
                    # Defect: the average is a new array; the caller keeps the first,
                    # un-normalised step.
                    k_caller = k if k_caller is None else k_caller
                    k = np.repeat(k.mean(axis=2, keepdims=True), 3, axis=2)
                k = normalise_kernel(k)
        trace.append(whiteness(e, window))
        # Stop. Defect: first test at the third round, no tolerance when blind, no
        # roll-back to the better state.
        if stopping and it >= 2:
            now, before = trace[-1], trace[-2]
            if now > before if blind else (now - before) / (now + before) > tau:
                break
    return MMResult(u[inside], u, k, k if k_caller is None else k_caller, f, mask, trace)


# ---------------------------------------------------------------- HEAD: the pyramid

def _resize_matrix(n, m):
    """(m, n) matrix of Catmull-Rom interpolation, pixel centres, replicated edges."""
    x = (np.arange(m) + 0.5) * n / m - 0.5
    i = np.floor(x).astype(int)
    t = x - i
    taps = (-t / 2 + t**2 - t**3 / 2, 1 - 5 / 2 * t**2 + 3 / 2 * t**3,
            t / 2 + 2 * t**2 - 3 / 2 * t**3, -t**2 / 2 + t**3 / 2)
    matrix = np.zeros((m, n))
    for offset, weight in zip((-1, 0, 1, 2), taps, strict=True):
        np.add.at(matrix, (np.arange(m), np.clip(i + offset, 0, n - 1)), weight)
    return matrix


def resize(a, shape):
    """Bicubic resize of an (M, N, C) array to `shape` = (rows, columns).

    Catmull-Rom (a = -1/2) in double precision, clipped to the range of the source.
    Defect: no low-pass filter before reducing, so the levels alias.
    """
    rows, cols = (_resize_matrix(n, m) for n, m in zip(a.shape[:2], shape, strict=True))
    out = np.einsum("yi,ijc,xj->yxc", rows, a.astype(float), cols, optimize=True)
    return np.clip(out, a.min(), a.max()).astype(a.dtype)


def pyramid_levels(width):
    """(scale, PSF width) from the coarsest level to the full size, factor sqrt 2."""
    scales, widths = [1.0], [width]
    while widths[-1] > 3:
        k = int(np.ceil(widths[-1] / SQRT2))
        widths.append(max(3, k - (k % 2 == 0)))
        scales.append(scales[-1] / SQRT2)
    return list(zip(scales, widths, strict=True))[::-1]


def level_window(scale, top, bottom, left, right):
    """Sample window on a level, its sides made odd.

    Defect: the middle test on the columns compares the height with itself.
    """
    top, bottom, left, right = (int(scale * x) for x in (top, bottom, left, right))
    if (bottom - top) % 2 == 0:
        if bottom - top < right - left:
            bottom += 1
        elif bottom - top > right - left:
            top += 1
        else:
            top -= 1
    if (right - left) % 2 == 0:
        if bottom - top < right - left:
            left += 1
        else:
            right += 1
    return top, bottom, left, right


class Call(NamedTuple):
    """One solver call of the pyramid: its arguments and what came out."""

    blind: bool
    window: tuple
    tau: float
    image_in: np.ndarray
    u_in: np.ndarray
    psf_in: np.ndarray
    result: MMResult


class PyramidResult(NamedTuple):
    """u : before clipping, working domain, with its ring; saved : uint16 picture."""

    u: np.ndarray
    saved: np.ndarray
    psf: np.ndarray
    calls: list


STEPS = {"low": 5e-3, "normal": 1e-3, "high": 5e-4, "veryhigh": 1e-4}


def deblur(pic, blur_width, *, confidence=10, tolerance=1.0, quality="normal", bits=8,
           mask=None, mask_size=255, iterations=200, blur="static", preview=False,
           repaired_tv=False, dtype=np.float32):
    """Whole program of HEAD: PSF on a window, then the picture, both over a pyramid.

    Parameters
    ----------
    pic : (M, N, 3), gamma-coded samples 0 .. 2**bits - 1
    blur_width : PSF width, odd, >= 3
    tolerance : percent
    mask : (row, column) of the window's centre; the picture's centre by default
    blur : "static" or "motion" (one PSF for the three channels)
    preview : restore the window only

    Raises
    ------
    ValueError : PSF width even or below 3, or window outside the picture. Defect: a
        window that touches the border with its PSF margin passes this test and fails in
        the slicing.
    """
    if blur_width < 3 or blur_width % 2 == 0:
        raise ValueError("blur_width must be odd and at least 3")
    # Defect: the gamma is applied a second time instead of being undone.
    pic = (edge_pad(np.asarray(pic, dtype), 1) / (2**bits - 1)) ** (1 / 2.2)
    rows, cols = pic.shape[:2]
    row, col = (rows // 2, cols // 2) if mask is None else mask
    half = mask_size // 2
    sample = row - half, row + half, col - half, col + half
    if not (row > half and row + half < rows and col > half and col + half < cols):
        raise ValueError("the mask is outside the picture")
    # Defect: window and sizes are not moved with this row and column.
    odd = (int(rows % 2 == 0), int(cols % 2 == 0))
    pic = np.pad(pic, ((odd[0], 0), (odd[1], 0), (0, 0)), mode="edge")

    psf, calls = uniform_psf(blur_width, dtype), []
    common = dict(iterations=iterations, step=STEPS[quality], lam=1000 * confidence,
                  repaired_tv=repaired_tv, dtype=dtype)
    for blind in (True, False):
        u = pic
        for scale, width in pyramid_levels(blur_width):
            top, bottom, left, right = level_window(scale, *sample)
            shape = [n + (n % 2 == 0) for n in (int(scale * rows), int(scale * cols))]
            f_level, u = (edge_pad(resize(a, shape), 1) for a in (pic, u))
            # Defect: the non-blind pass keeps the full-size PSF on the small levels.
            k = normalise_kernel(resize(psf, (width, width))) if blind else psf
            p = k.shape[0] // 2
            # Defect: window in the coordinates of the sample also for the whole picture,
            # and its height serves as its width.
            window = (p + 1, bottom - top - p - 1) * 2
            tau = tolerance / 100 if scale == 1 and not blind else 0.0
            if blind or preview:
                # Defect: coordinates of the level address the array padded by 1.
                inner = np.s_[top - 1:bottom + 1, left - 1:right + 1]
                outer = np.s_[top - p - 1:bottom + p + 1, left - p - 1:right + p + 1]
            else:
                u = edge_pad(u, p)
                inner, outer = np.s_[:, :], np.s_[:, :]
            out = richardson_lucy_mm(f_level[inner], u[outer], k, window, tau=tau,
                                     blind=blind, correlation=blind and blur == "motion",
                                     **common)
            calls.append(Call(blind, window, tau, f_level[inner], u[outer].copy(), k, out))
            u[outer] = out.u_padded
            if blind:
                psf = out.psf_caller
            elif not preview:
                u = ring_off(u, p)
            u = ring_off(u, 1)

    final = np.clip(u, 0, 1) ** 2.2 * 65535
    crop = (np.s_[sample[0]:sample[1], sample[2]:sample[3]] if preview
            else np.s_[1 + odd[0]:-1, 1 + odd[1]:-1])
    return PyramidResult(u, final[crop].astype(np.uint16), psf, calls)


# ---------------------------------------------------------------- 394a53e: PAM

def pam(image, psf, *, iterations, blind=False, lam=0.05, decay=0.99, u_step=5e-3,
        k_step=1e-3, dtype=np.float32):
    """Projected alternating minimisation of October 2017 (394a53e), picture in 0..255.

    psf is one (K, K) kernel for all channels. Per iteration, u edge-padded by P:

    g = (u * k - f) *full rot90(k),  t = |grad u| / max,  d = g - lam t,
    u <- clip(u - 5e-3 max(u) / max|d| d, 1e-7, 255),  lam <- 0.99 lam;
    blind: k <- k - 1e-3 max(k) / max|gk| gk from the red channel, >= 0, sum 1.

    Defects: rot90 is right for symmetric kernels only; |grad u| is not the gradient of
    TV, it darkens edges.

    Returns
    -------
    u (M, N, 3), psf (K, K)
    """
    f, k = np.asarray(image, dtype), np.asarray(psf, dtype)[..., None]
    p = k.shape[0] // 2
    u = edge_pad(f, p)
    for _ in range(iterations):
        g = convolve(convolve(u, k, "valid") - f, np.rot90(k), "full")
        dy, dx = np.gradient(u, axis=(0, 1), edge_order=2)
        t = np.sqrt(dy**2 + dx**2)
        d = g - lam * t / t.max(axis=(0, 1))
        u = np.clip(u - u_step * u.max(axis=(0, 1)) / _peak(d) * d, 1e-7, 255)
        lam *= decay
        if blind:
            gk, _ = _psf_gradient(u[..., :1], k, f[..., :1])
            k = normalise_kernel(k - k_step * k.max() / np.abs(gk).max() * gk)
    return ring_off(u, p), k[..., 0]


# ---------------------------------------------------------------- 947fd8d: signed log-TV

def _differences(u, neighbours):
    """Difference arrays of 947fd8d over the whole array, borders included."""
    m = u[1:-1, 1:-1]
    rows, cols = u[:-2, 1:-1] + u[2:, 1:-1], u[1:-1, :-2] + u[1:-1, 2:]
    if neighbours == 4:
        inner = [m - rows / 2, m - cols / 2]
    elif neighbours == 2:
        inner = [m - u[:-2, 1:-1], m - u[1:-1, :-2]]
    elif neighbours == 8:
        # Defect: the coefficients do not sum to 0, constants are penalised.
        diag, anti = u[:-2, :-2] + u[2:, 2:], u[:-2, 2:] + u[2:, :-2]
        inner = [1.02301186 * m - 0.22698814 * rows, 1.02301186 * m - 0.22698814 * cols,
                 m - 0.15376483 * diag, m - 0.15376483 * anti]
    else:
        raise ValueError("neighbours must be 2, 4 or 8")
    out = np.zeros((len(inner), *u.shape), u.dtype)
    out[:, 1:-1, 1:-1] = inner
    # border rows and columns: towards the inside, and along the border; corners: both
    for v, o in ((u, out), (u.swapaxes(0, 1), out.swapaxes(1, 2))):
        for edge, inside in ((0, 1), (-1, -2)):
            o[0, edge] = v[edge] - v[inside]
            o[1, edge, 1:-1] = v[edge, 1:-1] - (v[edge, :-2] + v[edge, 2:]) / 2
    for i, inside in ((0, 1), (-1, -2)):
        for j, beside in ((0, 1), (-1, -2)):
            out[0, i, j] = u[i, j] - u[inside, j]
            out[1, i, j] = u[i, j] - u[i, beside]
    return out


def log_tv_term(u, ut, eps, tau, neighbours=4):
    """Signed majorised log-TV term of 947fd8d, after [1].

    sum d / (sum|d| + 2 eps) / (sum|d_t| + 2 eps + 2 tau) / 4, d the differences of u and
    d_t those of the majoriser ut; / 2 on the border.
    """
    d, dt = _differences(u, neighbours), _differences(ut, neighbours)
    term = d.sum(0) / (np.abs(d).sum(0) + 2 * eps) / (np.abs(dt).sum(0) + 2 * eps + 2 * tau)
    share = np.full(u.shape, 2, u.dtype)
    share[1:-1, 1:-1] = 4
    return term / share


def log_tv_epsilon(image, lam):
    """1.1 sqrt(gm / (exp(om) - 1)): epsilon of 947fd8d, once for the whole picture.

    gm = sqrt(sum over the interior of the squared half second differences (diagonals over
    sqrt 2) / 2) / (3 M N), om = 2 lam ||u - mean||_2 / (3 (M - 2)(N - 2)).
    """
    m, n = image.shape[:2]
    c = 2 * image[1:-1, 1:-1]
    along = [c - image[:-2, 1:-1] - image[2:, 1:-1], c - image[1:-1, :-2] - image[1:-1, 2:]]
    across = [c - image[:-2, :-2] - image[2:, 2:], c - image[:-2, 2:] - image[2:, :-2]]
    squares = sum((d**2).sum() for d in along) / 4 + sum((d**2).sum() for d in across) / 8
    omega = 2 * lam * np.linalg.norm(image - image.mean()) / (3 * (m - 2) * (n - 2))
    return float(1.1 * np.sqrt(np.sqrt(squares / 2) / (3 * m * n) / np.expm1(omega)))


def log_tv_mm(image, u, psf, *, eps, tau, iterations, step=1e-3, lam=1e4, neighbours=4,
              blind=True, stopping=True, dtype=np.float32):
    """MM with the signed log-TV term (947fd8d, March 2018, the README's "v26").

    G = term + lam g, u -= step max(u) / max|G| G per channel; blind: the same for k, then
    |k| / sum; lam grows by 1.001 per step. `iterations` counts gradient steps, 5 to a
    majorisation. Stops when ||G|| / pixels (or ||gk|| / K^2) falls by less than `eps`.

    Defect: differences of u alone, not an adjoint: term is no gradient of TV. The tiny
    eps makes flat areas chaotic.

    Returns
    -------
    u_padded, psf
    """
    f, u, k = (np.array(a, dtype) for a in (image, u, psf))
    before = (np.inf, np.inf)
    for it in range(iterations):
        if it % 5 == 0:
            ut = u
        g = convolve(convolve(u, k, "valid") - f, rot180(k), "full")
        grad = log_tv_term(u, ut, eps, tau, neighbours) + lam * g
        u = u - step * u.max(axis=(0, 1)) / (_peak(grad) + 1e-31) * grad
        if blind:
            gk, _ = _psf_gradient(u, k, f)
            k = np.abs(k - step * k.max(axis=(0, 1)) / (_peak(gk) + 1e-31) * gk)
            k = k / k.sum(axis=(0, 1))
        lam *= 1.001
        if it % 5 == 4:
            now = [np.linalg.norm(a) / (a.shape[0] * a.shape[1])
                   for a in ((grad, gk) if blind else (grad,))]
            if stopping and any(x - y < eps for x, y in zip(before, now, strict=False)):
                break
            before = now
    return u, k


# ---------------------------------------------------------------- 6241641: Langer's lambda

def _langer_tv(u, eps):
    """sqrt(a^2 + b^2 + eps^2) of 6241641 on the interior, 0 on the ring.

    Defect: a = u[i-1] + u[i+1] + 2 u has the sign of the centre wrong; it is about 4 u.
    """
    m, out = 2 * u[1:-1, 1:-1], np.zeros_like(u)
    out[1:-1, 1:-1] = np.sqrt((u[:-2, 1:-1] + u[2:, 1:-1] + m)**2
                              + (u[1:-1, :-2] + u[1:-1, 2:] + m)**2 + eps**2)
    return out


def langer_epsilon(u, lam, p):
    """min(0.1, sqrt(m / (exp(om) - 1)) + 1e-6): epsilon of 6241641.

    m = (sum TV1)^2 / (3 (M - 2)(N - 2)), TV1 = (|backward| + |forward|) / 2 per pixel,
    om = 2 lam sum (u - mean)^2 / (3 M N p).
    """
    rows, cols = u.shape[:2]
    m = u[1:-1, 1:-1]
    tv1 = (np.hypot(m - u[:-2, 1:-1], m - u[1:-1, :-2])
           + np.hypot(u[2:, 1:-1] - m, u[1:-1, 2:] - m)) / 2
    omega = 2 * lam * float(((u - u.mean())**2).sum()) / (3 * rows * cols * p)
    mean = float(tv1.sum())**2 / (3 * (rows - 2) * (cols - 2))
    with np.errstate(over="ignore"):
        return min(0.1, float(np.sqrt(mean / np.expm1(omega))) + 1e-6)


def langer_mm(image, u, psf, window, *, iterations, p=4.0, lam=1e4, step=1e-3, tau=0.0,
              blind=True, stopping=True, dtype=np.float32):
    """MM of July 2018 (6241641): lambda and the power p refined after Langer [3].

    G = g + (TV(u) / TV(ut))^p / lam + (ut - u)^2 / (4 lam) on the first M rows and N
    columns (no ratio on the ring, where both TV are 0), u -= step max(u) / max|G| G. After 5
    steps: B = var(u) / 2 min(M, N), H = sum e^2; p is halved when H crosses B, then
    lam <- clamp((H / B)^p lam, 1e3, 1e5). The PSF step is HEAD's. When a stop fires, u
    and k roll back to the majoriser.

    Defects: the term is a positive ratio near 1, not a gradient; it covers a corner of
    the padded array, not its interior.

    Returns
    -------
    u_padded, psf, trace : trace rows are (steps done, M_r, dt, lam, eps, p, B, H)
    """
    f, u, k = (np.array(a, dtype) for a in (image, u, psf))
    rows, cols = f.shape[:2]
    part = np.s_[:rows, :cols]
    half = 1 if blind else 2
    eps, trace = langer_epsilon(u, lam, p) / half, []

    for done in range(5, iterations + 1, 5):
        ut, kt = u, k
        tv_t = _langer_tv(ut, eps)[part]
        for _ in range(5):
            e = convolve(u, k, "valid") - f
            grad = convolve(e, rot180(k), "full")
            tv_u = _langer_tv(u, eps)
            ratio = np.divide(tv_u[part], tv_t, out=np.zeros_like(tv_t), where=tv_t != 0)
            grad[part] += ratio**p / lam + (ut - u)[part]**2 / (4 * lam)
            dt = step * u.max() / (np.abs(grad).max() + 1e-15)
            u = u - dt * grad
            if blind:
                gk, e = _psf_gradient(u, k, f)
                dk = step / k.shape[0] * k.max() / (np.abs(gk).max() + 1e-15)
                k = normalise_kernel(k - dk * gk)
        b, h = float(u.var()) / 2 * min(rows, cols), float((e**2).sum())
        if trace:
            *_, b_before, h_before = trace[-1]
            if h > b if h_before <= b_before else h < b:
                p /= 2
        lam = (h / b)**p * lam if h > 0 and b > 0 else 2 * lam
        lam = min(max(lam, 1e3), 1e5)
        eps = langer_epsilon(u, lam, p) / half
        trace.append((done, whiteness(e, window), float(dt), lam, eps, p, b, h))

        m_r = [row[1] for row in trace]
        before = m_r[-2:][0]
        limit = before if blind else (1 + tau) * min(before, m_r[0])
        energy = p * np.log(np.linalg.norm(tv_u))
        bound = lam * float(((u - u.mean())**2).sum()) + p * u.size * np.log(eps)
        if stopping and ((done > 10 and m_r[-1] > limit) or energy >= bound):
            return ut, kt, trace
    return u, k, trace
