"""Refocus: where in a picture the PSF explains the blur, and how to restore only there.

1. Evidence. A sharp part of a picture has energy at frequencies that the PSF would have removed. The luminance, in units of the noise, passes bands of six
   frequencies and six orientations, and three filters matched to the PSF: two that keep only what the blur removes, H LAM / (|K|^2 + LAM), and one
   that undoes it and differentiates, H f |K| / (|K|^2 + LAM), with the high-pass H = f^2 / (f^2 + LOW^2). All kernels are even and of finite
   support. Their local mean energies E, with n the noise that each lets through, and S and B what a picture of power 1 / f^2 along all directions
   would give sharp and blurred, are the input of a small network, phi(u) = u / (1 + |u|), with the same weights for all orientations o:

       x = log(E / n + 0.1) / 4,   g = log(B / S + 1e-4) / 4,   s = log(S / n) / 4 less that of the first band
       z = sum_o phi(W1 (x_o, g_o) + b1),   e = w3 . phi(W2 z + W4 (x_m, g_m, s_m) + b2) + b3,   held between -CAP and CAP

   (m: the matched filters.) e is the logarithm of the odds that the picture was blurred there, by logistic regression on composites of photographs
   (tools/train_refocus.py).
2. Map. Parts without evidence of their own follow their surroundings: the mean field of a segmentation into two kinds where neighbours attract each
   other, with B_q a box of radius q. First the regions, where what is uncertain is left alone (doubt d > 0), then their borders (d < 0):

       u = tanh(c_1 + DECAY c_2 + DECAY^2 c_3),  c_i = B_q c_(i-1) for q in FIRST,  c_0 = GAIN (e - d)
       u <- tanh(GAIN (e - d) + PULL B_q B_q u)  for (q, d) in ROUNDS

   map = smoothstep of (1 + B B u) / 2 between LEAST and MOST, B of radius SOFT. Here tanh v is taken as v (27 + v^2) / (27 + 9 v^2), v held between -3
   and 3. The border had better lie within the blurred part: sharp pixels taken for blurred ones ring, blurred ones left out only stay as they were.
   In a sample window the picture is known to have been blurred by this PSF. Then d > 0 may fall below its first value as long as the surroundings of the
   subject look ever sharper for it, which they do not where the map grows into a background out of focus. Of the maps for d in TRUSTED, with 0
   outside the regions of map > 0 (joined at sides of pixels) that meet the window, the one where CHANGE d - mean e is largest, the mean over pixels farther
   than NEAR and no farther than FAR from these regions, in rows or columns; those for other d than the first only where they cover COVERED of the window.
3. Subject, of whole pictures only. Parts of a background that a lens left out of focus may look as if blurred by the PSF, but seldom are they large beside
   the subject. The map becomes 0 on every region whose sum is less than SHARE of the largest region's or SMALLEST of all pixels. With a window regions that do
   not meet it go first, unless what would be left without a window comes to WHOLE of all pixels: a picture that is blurred nearly everywhere.
4. Restoring only there. Sharp parts contradict y = k * x, and their restoration rings far into the blurred ones. `prepare` blurs them with k first, so that
   the whole picture obeys the model; where k reaches into the blurred parts it meets a first, linear restoration of them. Afterwards `blend` takes
   the restored values where the map says so and the picture as it was elsewhere.

Likelihoods of local energies: Chakrabarti, Zickler and Freeman, "Analyzing spatially-varying blur", CVPR 2010; shared weights and a sum over a set: Zaheer et
al., "Deep sets", NeurIPS 2017; mean field: Koller and Friedman, "Probabilistic graphical models", section 11.5.
"""
import numpy as np
from scipy import ndimage, signal

from . import boundary, fft
from .refocus_weights import WEIGHTS

SIDE = 32  # of the bands' kernels; the first row and column of a kernel are 0
ORIENTATIONS = 6
CENTRES = (0.4, 0.28, 0.2, 0.14, 0.1, 0.07)  # of the bands, cycles per pixel
WIDTH = 0.7  # half of a band, octaves
LAMS = (0.1, 0.003)
LOW = 0.05
CAP = 2.5
FIRST, DECAY = (4, 8, 16), 0.7
GAIN, PULL = 0.25, 2.3
ROUNDS = ((16, 0.9), (16, 0.9), (12, 0.9), (12, 0.0), (10, -0.2), (8, -0.2), (5, -0.2), (4, -0.2))  # radius and doubt
SOFT, LEAST, MOST = 3, 0.1, 0.4
TRUSTED, CHANGE, COVERED = (0.9, 0.6, 0.3, 0.0), 1.2, 0.3  # doubts that a window may leave
NEAR, FAR = 8, 16  # pixels around regions
SHARE, SMALLEST, WHOLE = 0.35, 0.05, 0.6  # of the largest region, of all pixels, of all pixels
FADE = 4  # radius of two boxes that soften the map for `prepare`
POWER = 2e-5  # of a photograph, over f^2, for the linear restoration


def windowed(response, side):
    """Kernel (side, side) with a transfer function (side, side), its centre in the middle, windowed by cos^2 in both directions; and the window."""
    i = np.arange(side) - side // 2
    window = np.outer(*2 * [np.cos(np.pi * i / side) ** 2])
    return np.fft.fftshift(np.fft.ifft2(response).real) * window, window


def high_pass(response, side):
    """The same of sum 0."""
    g, window = windowed(response, side)
    return g - window * (g.sum() / window.sum())


def polar(side):
    """Radius (cycles per pixel) and angle of the frequencies of a (side, side) transform."""
    f = np.fft.fftfreq(side)
    return np.hypot(f[:, None], f[None, :]), np.arctan2(f[:, None], f[None, :])


def bands():
    """Kernels (ORIENTATIONS, 6, SIDE, SIDE).

    Transfer function: |cos(angle to the orientation)|^8 cos(pi / 2 log2(f / centre) / WIDTH) within WIDTH octaves of the centre, 0 at the
    Nyquist frequency, where a band has no one orientation.
    """
    radius, angle = polar(SIDE)
    radius[0, 0] = 1e-9
    out = np.empty((ORIENTATIONS, len(CENTRES), SIDE, SIDE))
    for o in range(ORIENTATIONS):
        for r, centre in enumerate(CENTRES):
            band = np.cos(np.pi / 2 * np.clip(np.log2(radius / centre) / WIDTH, -1, 1)) * np.cos(angle - np.pi * o / ORIENTATIONS) ** 8
            band[SIDE // 2] = band[:, SIDE // 2] = 0
            out[o, r] = high_pass(band, SIDE)
    return out


def matched_side(psf):
    """Side M of the matched kernels and of the linear restoration's."""
    return SIDE + 2 * psf.shape[0]


def transfer_power(psf, side):
    """|K|^2 of a PSF (n, n[, C]), the mean over its channels, on the frequencies of a (side, side) transform."""
    return np.mean(np.abs(np.fft.fft2(psf[..., None] if psf.ndim == 2 else psf, (side, side), axes=(0, 1))) ** 2, axis=2)


def matched(psf):
    """Kernels (3, M, M): what the blur removes, loosely and strictly, and the gradient of the restored picture."""
    side = matched_side(psf)
    radius, gain = polar(side)[0], transfer_power(psf, side)
    high = radius**2 / (radius**2 + LOW**2)
    responses = [high * lam / (gain + lam) for lam in LAMS] + [high * radius * np.sqrt(gain) / (gain + LAMS[0])]
    return np.stack([high_pass(response, side) for response in responses])


def predicted(kernels, psf):
    """Energies (2, ...) of kernels (..., m, m) where the power is 1 / f^2 along every direction, sharp and blurred; in any common unit."""
    side = matched_side(psf)
    energy = np.abs(np.fft.fft2(kernels, (side, side))) ** 2
    radius = polar(side)[0]
    radius[0, 0] = np.inf
    return np.stack([(energy * gain / radius**3).sum(axis=(-2, -1)) for gain in (1.0, transfer_power(psf, side))])


def box(a, radius):
    """Mean over (2 radius + 1)^2 pixels, mirrored at the frame (the edge pixel included)."""
    return ndimage.uniform_filter(a, 2 * radius + 1, mode="reflect")


def variances(kernels):
    """Second moment of the square of kernels (..., m, m) along an axis, mean over both axes."""
    i = np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
    square = kernels**2
    return (square * (i[:, None] ** 2 + i**2) / 2).sum(axis=(-2, -1)) / square.sum(axis=(-2, -1))


def footprint(variance, most):
    """Radius of the two boxes that give energies the footprint of the lowest band (variance `most`), at least 2. Two boxes add 2 q (q + 1) / 3."""
    return np.rint(np.sqrt(1.5 * np.maximum(most + 4 - variance, 4) + 0.25) - 0.5).astype(int)


def energies(grey, kernels, radii):
    """Local mean squares (K, M, N) of (M, N) filtered with K even kernels, over two boxes each."""
    margin = kernels.shape[1] // 2 + 2 * max(radii)
    padded = np.pad(grey, margin, mode="symmetric")
    shape = [fft.fast_size(n) for n in padded.shape]
    spectrum = fft.forward(np.pad(padded, [(0, s - n) for s, n in zip(shape, padded.shape)]))
    inside = tuple(slice(margin, margin + n) for n in grey.shape)
    out = np.empty((len(kernels),) + grey.shape)
    for i, (kernel, radius) in enumerate(zip(kernels, radii)):
        e = fft.inverse(spectrum * fft.otf(np.pad(kernel, (0, 1)), shape), shape) ** 2
        out[i] = box(box(e, radius), radius)[inside]
    return out


def constants(psf):
    """What the network knows of the PSF: g (ORIENTATIONS, 6) of the bands; g and s (6,) of the matched filters; and all kernels' noise, 36 and 3."""
    values = []
    for kernels in (bands(), matched(psf)):
        sharp, blurred = predicted(kernels, psf)
        noise = (kernels**2).sum(axis=(-2, -1))
        values.append((np.log(blurred / sharp + 1e-4) / 4, np.log(sharp / noise) / 4, noise))
    (g, s, n), (g_m, s_m, n_m) = values
    return g, np.concatenate([g_m, s_m - s[0, 0]]), n.ravel(), n_m


def features(y, psf, noise):
    """Input of the network for a picture (M, N, C): of the bands (M, N, ORIENTATIONS, 12), of the matched filters (M, N, 9)."""
    grey = boundary.fill_holes(y)[0].mean(axis=2) * np.sqrt(y.shape[2]) / noise
    own, fitted = bands(), matched(psf)
    g, more, n, n_m = constants(psf)
    variance = variances(own).mean(axis=0)
    radii, radii_m = footprint(variance, variance.max()), footprint(variances(fitted), variance.max())

    def x(kernels, radii, noise):
        return np.moveaxis(np.log(energies(grey, kernels, radii) / noise[:, None, None] + 0.1) / 4, 0, -1)

    x_o = x(own.reshape(-1, SIDE, SIDE), np.tile(radii, ORIENTATIONS), n).reshape(grey.shape + g.shape)
    x_m = x(fitted, radii_m, n_m)
    return np.concatenate([x_o, np.broadcast_to(g, x_o.shape)], axis=-1), np.concatenate([x_m, np.broadcast_to(more, grey.shape + (6,))], axis=-1)


def phi(u):
    """Odd and increasing, between -1 and 1."""
    return u / (1 + np.abs(u))


def odds(oriented, others, weights):
    """Logarithm of the odds of having been blurred, of features (..., ORIENTATIONS, 12) and (..., 9)."""
    w1, b1, w2, w4, b2, w3, b3 = weights
    z = phi(oriented @ w1 + b1).sum(axis=-2)
    return phi(z @ w2 + others @ w4 + b2) @ w3 + b3


def squash(v):
    """tanh, nearly, and 1 from 3 on."""
    v = np.clip(v, -3, 3)
    return v * (27 + v**2) / (27 + 9 * v**2)


def spread(e, doubt=ROUNDS[0][1]):
    """Map (M, N) in [0, 1] from the evidence, with another doubt in place of the first ones."""
    total, part, weight = 0.0, GAIN * (e - doubt), 1.0
    for radius in FIRST:
        part = box(part, radius)
        total, weight = total + weight * part, weight * DECAY
    u = squash(total)
    for radius, d in ROUNDS:
        u = squash(GAIN * (e - (doubt if d > 0 else d)) + PULL * box(box(u, radius), radius))
    t = np.clip(((1 + box(box(u, SOFT), SOFT)) / 2 - LEAST) / (MOST - LEAST), 0, 1)
    return t * t * (3 - 2 * t)


def in_window(shape, window):
    """Pixels (M, N) of a window (x, y, width, height); all without one."""
    x, y, width, height = window or (0, 0, shape[1], shape[0])
    out = np.zeros(shape, bool)
    out[y : y + height, x : x + width] = True
    return out


def contrast(e, m, doubt, window):
    """What a map (M, N) is chosen by; None where it covers too little of the window."""
    w = in_window(m.shape, window)
    labels = ndimage.label(m > 0)[0]
    met = np.isin(labels, labels[w & (m > 0)]) & (m > 0)
    if doubt < TRUSTED[0] and met[w].mean() < COVERED:
        return None
    rim = ndimage.maximum_filter(met, 2 * FAR + 1) & ~ndimage.maximum_filter(met, 2 * NEAR + 1)
    around = e[rim].mean() if rim.any() else -CAP if met.any() else 0.0
    return CHANGE * doubt - around


def spread_from(e, window):
    """Map (M, N) with the doubt that a window (x, y, width, height) leaves; of equals the one with the most doubt."""
    maps = [spread(e, doubt) for doubt in TRUSTED]
    scores = [contrast(e, m, doubt, window) for m, doubt in zip(maps, TRUSTED)]
    return maps[max((score, -i) for i, score in enumerate(scores) if score is not None)[1] * -1]


def evidence(y, psf, noise):
    """e of a picture (M, N, C) with noise of standard deviation `noise`: (M, N). Holes are filled in."""
    return np.clip(odds(*features(y, psf, noise), WEIGHTS), -CAP, CAP)


def map_of(y, psf, noise, window=None):
    """Map (M, N) in [0, 1] of a picture (M, N, C), with all its regions; without a window a pixel depends on `reach(psf)` around it."""
    e = evidence(y, psf, noise)
    return spread(e) if window is None else spread_from(e, window)


def subject(m, window=None):
    """Map (M, N) without its lesser regions and, with a window (x, y, width, height), without those that do not meet it."""
    labels, count = ndimage.label(m > 0)
    sums = ndimage.sum(m, labels, np.arange(count + 1)) * (np.arange(count + 1) > 0)
    kept = sums >= max(SHARE * sums.max(), SMALLEST * m.size)
    if sums[kept].sum() < WHOLE * m.size:
        sums = sums * np.isin(np.arange(count + 1), labels[in_window(m.shape, window)])
        kept = sums >= max(SHARE * sums.max(), SMALLEST * m.size)
    return np.where(kept[labels], m, 0)


def prepare(y, psf, m, noise):
    """y + (1 - map) (k * z - y), (M, N, C), which obeys the model all over; unknown pixels stay unknown. The map is softened: no hard edge at a border that
    is never quite the true one.

    z is y where it is sharp and a linear restoration of the first such picture, with z = y, where it is not. The linear restoration has the transfer function
    conj(K) / (|K|^2 + noise^2 f^2 / POWER), windowed, with sum 1. Mirrored at the frame.
    """
    side, n = matched_side(psf), psf.shape[0] // 2
    m = box(box(m, FADE), FADE)
    margin = side // 2 + 2 * n
    around = ((margin, margin), (margin, margin))
    share = np.pad(m, around, mode="symmetric")
    planes = np.repeat(psf[..., None], y.shape[2], axis=2) if psf.ndim == 2 else psf
    inside = np.s_[margin : margin + y.shape[0], margin : margin + y.shape[1]]
    out = np.empty_like(y)
    for c, channel in enumerate(np.moveaxis(boundary.fill_holes(y)[0], -1, 0)):
        filled = np.pad(channel, around, mode="symmetric")
        k = np.zeros((side, side))
        k[: psf.shape[0], : psf.shape[0]] = planes[..., c]
        transfer = np.fft.fft2(np.roll(k, (-n, -n), (0, 1)))
        inverse = windowed(np.conj(transfer) / (np.abs(transfer) ** 2 + (noise * polar(side)[0]) ** 2 / POWER), side)[0]
        first = filled + (1 - share) * (signal.fftconvolve(filled, planes[..., c], "same") - filled)
        linear = signal.fftconvolve(first, np.pad(inverse / inverse.sum(), (0, 1)), "same")
        again = signal.fftconvolve(filled + share * (linear - filled), planes[..., c], "same")[inside]
        out[..., c] = y[..., c] + (1 - m) * (again - y[..., c])
    return out


def blend(y, restored, m):
    """y + map (restored - y); the restored value where y is not finite."""
    return np.where(np.isfinite(y), y + m[..., None] * (restored - y), restored)


def reach(psf):
    """Pixels around one that its map (with all its regions) depends on; boxes on energies are 5 px or less."""
    return matched_side(psf) // 2 + 2 * 5 + sum(FIRST) + 2 * sum(radius for radius, _ in ROUNDS) + 2 * SOFT
