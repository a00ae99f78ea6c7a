"""Non-blind restoration: majorisation-minimisation with a logarithmic prior of first and second order (the `mm` solver).

    minimise over x   lam/2 sum_known (k * x - y)^2 + sum_pixels sum_o a_o eps log(1 + |w H_o x| / eps),   o = 1, 2

H_1: forward differences; H_2: second differences through the nine neighbours of a pixel, along rows, columns and both diagonals (these over
sqrt 2). |.| is one norm over the directions and the three channels. Perrone and Favaro, "A logarithmic image prior for blind
deconvolution", IJCV 117, 2016: the logarithm is concave, so its tangent at x_t majorises it,

    eps log(1 + |.| / eps)  <=  h_o |.| + constant,   h_o = eps / (eps + |w H_o x_t|),

and what is left is a weighted TV, minimised as in `admm` with one penalty rho for both orders (g_o = w H_o x, multipliers u_o):

    v_o = w H_o x + u_o,   s_o = 1 - 1 / max(rho |v_o| / (a_o h_o), 1),   u_o = (1 - s_o) v_o
    X = (lam conj(K) Z + rho F(sum_o H_o^T w (2 s_o - 1) v_o)) / (lam |K|^2 + rho w^2 (|H_1|^2 + |H_2|^2))

Numbers from noise and gradient statistics (`admm.parameters`): eps = 2 G + 10 sigma (gradients of the noise must not pass for edges), rho =
0.05 / G, lam = 0.7 of admm's, because h_o < 1 weakens the prior by about that.

Deviations: |w H_o x_t|^2 in h_o is averaged over the nine neighbours, since single values follow the noise (measured: without it the
logarithm loses 1 to 5 dB); the first round is plain TV (h_o = 1), and h_o is renewed every fourth iteration; the minimiser of each round is
approached, not reached.
"""
import numpy as np

from . import admm, fft, tv

ITERATIONS = 24
RENEW = 4
LAM = 0.7
EPS = 2.0, 10.0
ORDERS = (0.8, 0.2)
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))
SCALES = (1.0, 1.0, 0.5**0.5, 0.5**0.5)


def parameters(*args, **options):
    """Those of `admm.parameters`, lam times `LAM`."""
    params = admm.parameters(*args, **options)
    params.lam *= LAM
    return params


def second(x):
    """H_2: x[i + a, j + b] + x[i - a, j - b] - 2 x[i, j], scaled, for the offsets (a, b) above; periodic. (M, N[, C]) -> (4, M, N[, C])."""
    return np.stack([x.dtype.type(s) * (np.roll(x, o, (0, 1)) + np.roll(x, (-o[0], -o[1]), (0, 1)) - 2 * x)
                     for o, s in zip(OFFSETS, SCALES, strict=True)])


def second_adjoint(d):
    """Adjoint of `second`; every direction is symmetric. (4, M, N[, C]) -> (M, N[, C])."""
    return sum(d.dtype.type(s) * (np.roll(e, o, (0, 1)) + np.roll(e, (-o[0], -o[1]), (0, 1)) - 2 * e)
               for e, o, s in zip(d, OFFSETS, SCALES, strict=True))


def smooth_power(shape, dtype=np.float64):
    """|H_1|^2 + |H_2|^2 at the frequencies of `fft.forward`: sums of q and s^2 q^2, q = 4 sin^2(angle / 2) along each offset."""
    i = np.arange(shape[0])[:, None] / shape[0]
    j = np.arange(shape[1] // 2 + 1)[None, :] / shape[1]
    power = [4 * np.sin(np.pi * (a * i + b * j)) ** 2 for a, b in OFFSETS]
    return (power[0] + power[1] + sum((s * q) ** 2 for q, s in zip(power, SCALES, strict=True))).astype(dtype)


def log_weight(h, eps):
    """h_o = eps / (eps + sqrt(mean over the nine neighbours of |h|^2)); (D, M, N, C) -> (M, N, 1)."""
    square = (h * h).sum(axis=(0, 3))
    rows = np.roll(square, 1, 0) + square + np.roll(square, -1, 0)
    mean = (np.roll(rows, 1, 1) + rows + np.roll(rows, -1, 1)) / 9
    return (eps / (eps + np.sqrt(mean)))[..., None]


def solve(problem, params, iterations=ITERATIONS, watch=None):
    """Iterate on `problem` (solver.Problem) with lam, rho and gradient of `params`. Returns x (P, Q, C)."""
    dtype, w = problem.y.dtype, problem.weights
    lam, rho, eps = (dtype.type(v) for v in (params.lam, params.rho, EPS[0] * params.gradient + EPS[1] * params.sigma))
    data = lam * np.conj(problem.k)
    power = lam * np.abs(problem.k) ** 2 + rho * w * w * smooth_power(problem.shape, dtype)[..., None]
    operators = (tv.gradient, tv.gradient_adjoint), (second, second_adjoint)
    z = problem.y
    x = problem.turn(z)
    spectrum_z = fft.forward(x)
    u = [0, 0]
    share = [dtype.type(a) for a in ORDERS]  # a_o h_o
    for t in range(1, iterations + 1):
        b = 0
        for o, (forward, adjoint) in enumerate(operators):
            h = w * forward(x)
            if t > 1 and t % RENEW == 1:
                share[o] = dtype.type(ORDERS[o]) * log_weight(h, eps)
            v = h + u[o]
            s = tv.shrink_factor(v, rho / share[o])
            u[o] = (1 - s) * v
            b = b + adjoint(w * (2 * s - 1) * v)
        spectrum_x = (data * spectrum_z + rho * fft.forward(b)) / power
        x = fft.inverse(spectrum_x, problem.shape)
        if t == iterations:
            break
        model = problem.blur(spectrum_x)
        if watch and watch(t, problem.back(x), model):
            break
        z = problem.impute(z, model, admm.OMEGA)
        spectrum_z = fft.forward(problem.turn(z))
    return problem.back(x)
