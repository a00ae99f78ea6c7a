"""Refocus: where in a picture the PSF explains the blur, and how to restore only there.

Map. A sharp part of a picture has energy at frequencies that the PSF would have removed. The luminance is split into bands of three octaves and six
orientations (even kernels of finite support), and the local mean energies E_r of the bands of one orientation are compared with what a piece of picture
would give there, s p_r + n_r: n_r is the noise of the band, s >= 0 any contrast, and p one of a few profiles, an edge (power 1 / f^2 along a
line) at several angles or a texture (1 / f), as it is (hypothesis "sharp") or times |K|^2 ("blurred"). With the likelihood of energies of Gaussian values

    l(p) = max over s of  -NU / 2 sum_r (E_r / v_r + log v_r),   v_r = s p_r + n_r

the evidence is e = sum over orientations of (max l(blurred profiles) - max l(sharp profiles)), held between -CAP and CAP: 0 in flat parts, positive
where k explains the picture better. (The local likelihood of Chakrabarti, Zickler and Freeman, "Analyzing spatially-varying blur", CVPR 2010, with
profiles in place of single frequencies.) Parts without evidence of their own follow their surroundings: with boxes B_i of radius 2, 4, 8 .. applied one after
another,

    t = sum_i GROWTH^i B_i e / sum_i GROWTH^i (B_i |e| + DOUBT),     map = smoothstep(t / FULL)

Restoring only there. Sharp parts contradict y = k * x, and their restoration rings far into the blurred ones. `prepare` blurs them with k first, so that
the whole picture obeys the model; afterwards `blend` takes the restored values where the map says so and the picture as it was elsewhere.
"""
import numpy as np
from scipy import ndimage, signal

from . import boundary, fft

SIDE = 32  # of the kernels; their first row and column are 0
OCTAVES, ORIENTATIONS = 3, 6
TOP = 0.36  # cycles per pixel, middle of the highest band
ANGLES = (-0.8, -0.4, 0.0, 0.4, 0.8)  # of edges, in steps between orientations
FREQUENCIES = 64  # at which a profile is sampled, up to 0.7 cycles per pixel
NU = 4.0
CAP = 5.0
CONTRASTS = 10.0 ** np.arange(-1, 6, 0.5)
RADII = (2, 4, 8, 16, 32, 64)
GROWTH = 1.5
DOUBT = 0.05
FULL = 0.3


def kernels():
    """Band-pass kernels (ORIENTATIONS, OCTAVES, SIDE, SIDE), even about SIDE / 2, sum 0.

    Transfer function before the window: |cos(angle to the orientation)|^8 cos(pi / 2 log2(f / centre)) within an octave of the centre TOP / 2^r, 0 at
    the Nyquist frequency, where a band has no one orientation. Window: cos^2 in both directions.
    """
    f = np.fft.fftfreq(SIDE)
    fy, fx = f[:, None], f[None, :]
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1e-9
    i = np.arange(SIDE) - SIDE // 2
    window = np.outer(*2 * [np.cos(np.pi * i / SIDE) ** 2])
    out = np.empty((ORIENTATIONS, OCTAVES, SIDE, SIDE))
    for o in range(ORIENTATIONS):
        for r in range(OCTAVES):
            octave = np.clip(np.log2(radius / TOP) + r, -1, 1)
            band = np.cos(np.pi / 2 * octave) * np.cos(angle - np.pi * o / ORIENTATIONS) ** 8
            band[SIDE // 2] = band[:, SIDE // 2] = 0
            g = np.fft.fftshift(np.fft.ifft2(band).real) * window
            out[o, r] = g - window * (g.sum() / window.sum())
    return out


def power(kernel, fy, fx):
    """|FFT|^2 of an (n, n) kernel at the frequencies (fy, fx), cycles per pixel."""
    i = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    rows, cols = np.exp(-2j * np.pi * np.multiply.outer(fy, i)), np.exp(-2j * np.pi * np.multiply.outer(fx, i))
    return np.abs(np.einsum("pi,ij,pj->p", rows, kernel, cols)) ** 2


def profiles(bands, psf):
    """Expected energies of the bands, (2, ORIENTATIONS, 6, OCTAVES), largest of each profile 1: sharp and blurred; edges at five angles, texture.

    psf : (n, n) or (n, n, C); |K|^2 is the mean over the channels.
    """
    planes = psf[..., None] if psf.ndim == 2 else psf
    f = (np.arange(FREQUENCIES) + 0.5) / FREQUENCIES * 0.7
    out = np.zeros((2, ORIENTATIONS, len(ANGLES) + 1, OCTAVES))
    for o in range(ORIENTATIONS):
        for a, part in enumerate(ANGLES):
            angle = np.pi * (o + part) / ORIENTATIONS
            fy, fx = f * np.sin(angle), f * np.cos(angle)
            inside = (np.abs(fy) < 0.5) & (np.abs(fx) < 0.5)
            blur = np.mean([power(planes[..., c], fy, fx) for c in range(planes.shape[2])], axis=0)
            for r in range(OCTAVES):
                band = power(bands[o, r], fy, fx) * inside
                for h, gain in enumerate((1.0, blur)):
                    out[h, o, a, r] = np.sum(band * gain / f**2)
                    out[h, o, -1, r] += np.sum(band * gain / f)
    return out / out.max(axis=3, keepdims=True)


def box(a, radius):
    """Mean over (2 radius + 1)^2 pixels, mirrored at the frame (the edge pixel included)."""
    return ndimage.uniform_filter(a, 2 * radius + 1, mode="reflect") if radius > 0 else a


def footprint_radii(bands):
    """Radius of the two boxes that give the energies of every octave the footprint of the lowest, (OCTAVES,).

    Variance of a kernel: second moment of its square along an axis, mean over both axes and the orientations. Two boxes of radius q have a variance of
    2 q (q + 1) / 3. At least 2.
    """
    i = np.arange(SIDE) - SIDE // 2
    square = bands**2
    variance = ((square * (i[:, None] ** 2 + i**2) / 2).sum(axis=(2, 3)) / square.sum(axis=(2, 3))).mean(axis=0)
    missing = variance.max() + 4 - variance
    return np.rint(np.sqrt(1.5 * missing + 0.25) - 0.5).astype(int)


def energies(grey, bands):
    """Local mean squares of the bands of (M, N): (ORIENTATIONS, OCTAVES, M, N)."""
    radii = footprint_radii(bands)
    margin = SIDE // 2 + 2 * radii.max()
    padded = np.pad(grey, margin, mode="symmetric")
    shape = [fft.fast_size(n) for n in padded.shape]
    spectrum = fft.forward(np.pad(padded, [(0, s - n) for s, n in zip(shape, padded.shape)]))
    inside = tuple(slice(margin, margin + n) for n in grey.shape)
    out = np.empty(bands.shape[:2] + grey.shape)
    for o in range(ORIENTATIONS):
        for r in range(OCTAVES):
            e = fft.inverse(spectrum * fft.otf(np.pad(bands[o, r], (0, 1)), shape), shape) ** 2
            out[o, r] = box(box(e, radii[r]), radii[r])[inside]
    return out


def likelihood(energy, noise, shapes):
    """Largest l over profiles and contrasts, (M, N), for energies (OCTAVES, M, N), noise (OCTAVES,) and profiles (P, OCTAVES)."""
    best = np.full(energy.shape[1:], -np.inf)
    for p in shapes:
        for s in np.append(0, CONTRASTS):
            v = s * p * noise.mean() + noise
            best = np.maximum(best, -NU / 2 * (np.tensordot(1 / v, energy, 1) + np.log(v).sum()))
    return best


def evidence(y, psf, noise):
    """e of a picture (M, N, C) with noise of standard deviation `noise`: (M, N). Holes are filled in."""
    bands = kernels()
    shapes = profiles(bands, psf)
    gain = (bands**2).sum(axis=(2, 3))
    grey = boundary.fill_holes(y)[0].mean(axis=2) * np.sqrt(y.shape[2]) / noise
    e = energies(grey, bands)
    out = sum(likelihood(e[o], gain[o], shapes[1, o]) - likelihood(e[o], gain[o], shapes[0, o]) for o in range(ORIENTATIONS))
    return np.clip(out, -CAP, CAP)


def spread(e):
    """Map (M, N) in [0, 1] from the evidence."""
    total = certain = 0.0
    a, b = e, np.abs(e)
    for i, radius in enumerate(RADII):
        a, b = box(a, radius), box(b, radius)
        total, certain = total + GROWTH**i * a, certain + GROWTH**i * (b + DOUBT)
    t = np.clip(total / certain / FULL, 0, 1)
    return t * t * (3 - 2 * t)


def map_of(y, psf, noise):
    """Map (M, N) in [0, 1] of a picture (M, N, C); a pixel depends on 148 around it."""
    return spread(evidence(y, psf, noise))


def prepare(y, psf, m):
    """map y + (1 - map) k * y, (M, N, C), which obeys the model all over; mirrored at the frame; unknown pixels stay unknown."""
    n = psf.shape[0] // 2
    filled = boundary.fill_holes(y)[0]
    padded = np.pad(filled, ((n, n), (n, n), (0, 0)), mode="symmetric")
    planes = np.repeat(psf[..., None], y.shape[2], axis=2) if psf.ndim == 2 else psf
    blurred = np.stack([signal.fftconvolve(padded[..., c], planes[..., c], "valid") for c in range(y.shape[2])], axis=-1)
    return y + (1 - m[..., None]) * (blurred - y)


def blend(y, restored, m):
    """y + map (restored - y); the restored value where y is not finite."""
    return np.where(np.isfinite(y), y + m[..., None] * (restored - y), restored)
