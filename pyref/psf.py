"""Point spread functions: families, normalisation, centring, validation, change of scale.

A PSF is an (n, n) or (n, n, 3) array, n odd, >= 0, sum 1 per channel, its centre at n // 2. It is a convolution kernel: y = k * x,
rows downwards, columns to the right.
"""
import numpy as np

SAMPLES = 32


def _odd(size, radius):
    size = 2 * int(np.ceil(radius)) + 1 if size is None else int(size)
    if size < 1 or size % 2 == 0:
        raise ValueError("the size of a PSF must be odd")
    return size


def _positive(value, name):
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive")


def normalise(psf):
    """Divide each channel by its sum."""
    return psf / psf.sum(axis=(0, 1))


def gaussian(std, size=None):
    """exp(-r^2 / (2 std^2)) at pixel centres; std in pixels, default size 2 ceil(4 std) + 1."""
    _positive(std, "std")
    n = _odd(size, 4 * std)
    g = np.exp(-0.5 * ((np.arange(n) - n // 2) / std) ** 2)
    return normalise(np.outer(g, g))


def disk(radius, size=None):
    """Defocus: each pixel holds the area that it shares with a disk of the given radius in pixels.

    Exact chords on 32 lines per pixel row, mean with the transpose. Default size 2 ceil(radius - 1/2) + 1.
    """
    _positive(radius, "radius")
    n = _odd(size, max(radius - 0.5, 0))
    y = (np.arange(n * SAMPLES) + 0.5) / SAMPLES - n / 2
    half = np.sqrt(np.maximum(radius**2 - y**2, 0))[:, None]
    left = np.arange(n) - n / 2
    chord = np.maximum(np.minimum(half, left + 1) - np.maximum(-half, left), 0)
    k = chord.reshape(n, SAMPLES, n).mean(axis=1)
    return normalise(k + k.T)


def motion(length, angle, size=None):
    """Uniform motion along a straight line of `length` pixels, `angle` in degrees counter-clockwise from the row direction.

    32 ceil(length) points at equal distances, each shared bilinearly between its four pixels.
    Default size 2 ceil(length / 2 max(|cos|, |sin|)) + 1.
    """
    _positive(length, "length")
    angle = np.deg2rad(angle)
    n = _odd(size, length / 2 * max(abs(np.cos(angle)), abs(np.sin(angle))) - 1e-9)
    count = SAMPLES * int(np.ceil(length))
    t = ((np.arange(count) + 0.5) / count - 0.5) * length
    row, col = n // 2 - t * np.sin(angle), n // 2 + t * np.cos(angle)
    i = np.arange(n)
    weight_row = np.maximum(1 - np.abs(i[:, None] - row), 0)
    weight_col = np.maximum(1 - np.abs(i[:, None] - col), 0)
    return normalise(weight_row @ weight_col.T)


def uniform(size):
    """1 / n^2 everywhere."""
    n = _odd(size, 0)
    return np.full((n, n), 1 / n**2)


def kaiser(size, beta):
    """Outer product of Kaiser-Bessel windows I0(beta sqrt(1 - (2 i / (n - 1) - 1)^2))."""
    n = _odd(size, 0)
    g = np.kaiser(n, beta)
    return normalise(np.outer(g, g))


def exponential(size, scale):
    """Outer product of exp(-|i| / scale), scale in pixels."""
    _positive(scale, "scale")
    n = _odd(size, 0)
    g = np.exp(-np.abs(np.arange(n) - n // 2) / scale)
    return normalise(np.outer(g, g))


def validate(psf):
    """float64 copy, normalised. ValueError unless square, odd, finite, >= 0, with a positive sum in every channel."""
    k = np.array(psf, float)
    if k.ndim not in (2, 3) or k.shape[0] != k.shape[1] or (k.ndim == 3 and k.shape[2] not in (1, 3)):
        raise ValueError("a PSF has shape (n, n) or (n, n, 3)")
    if k.shape[0] % 2 == 0:
        raise ValueError("the size of a PSF must be odd")
    if not np.isfinite(k).all() or (k < 0).any():
        raise ValueError("a PSF must be finite and not negative")
    if not (k.sum(axis=(0, 1)) > 0).all():
        raise ValueError("the sum of a PSF must be positive")
    return normalise(k)


def centroid(psf):
    """(row, column) of the centre of mass relative to n // 2, over all channels together."""
    k = psf.sum(axis=2) if psf.ndim == 3 else psf
    i = np.arange(k.shape[0]) - k.shape[0] // 2
    return float(k.sum(axis=1) @ i / k.sum()), float(k.sum(axis=0) @ i / k.sum())


def radius(psf):
    """Standard deviation about the centroid in px, both directions and all channels together: sqrt of the mean squared distance."""
    k = psf.sum(axis=2) if psf.ndim == 3 else psf
    i = np.arange(k.shape[0]) - k.shape[0] // 2
    row, col = centroid(k)
    return float(np.sqrt((k * ((i[:, None] - row) ** 2 + (i - col) ** 2)).sum() / k.sum()))


def centre(psf):
    """Shift by whole pixels so that the centroid comes nearest to the centre; what leaves the support is lost, then sum 1."""
    n = psf.shape[0]
    out = psf
    for axis, c in enumerate(centroid(psf)):
        shift = int(np.floor(c + 0.5))
        index = np.arange(n) + shift
        inside = (index >= 0) & (index < n)
        shape = [1] * psf.ndim
        shape[axis] = n
        out = np.take(out, np.clip(index, 0, n - 1), axis) * inside.reshape(shape)
    return normalise(out)


def catmull_rom(x):
    """Interpolation weights of sum 1, first and second moment 0."""
    x = np.abs(x)
    return np.where(x < 1, 1 + x * x * (1.5 * x - 2.5), np.where(x < 2, 2 + x * (-4 + x * (2.5 - 0.5 * x)), 0))


def resample(psf, scale):
    """PSF for a picture resized by `scale` (0.5: half the size).

    The mass of source pixel j, at j scale from the centre, is shared among the new pixels with Catmull-Rom weights (stretched by scale > 1),
    which keep the centroid and the second moment; then negative values to 0, sum 1. New size: the least odd number not below n scale.
    """
    _positive(scale, "scale")
    n = psf.shape[0]
    m = 2 * int(np.ceil(max(n * scale - 1, 0) / 2 - 1e-9)) + 1
    j, i = np.arange(n) - n // 2, np.arange(m)[:, None] - m // 2
    share = catmull_rom((i - j * scale) / max(scale, 1))
    return normalise(np.maximum(np.einsum("ai,ij...,bj->ab...", share, psf, share), 0))


def reduce(psf, scale):
    """PSF as a picture resized by `scale` sees it, for restoring that picture: sum 1, with small negative lobes.

        k_s(i) = sum_j k(j) L((i - j s) / max(s, 1)),   L(t) = sinc(t) sinc(t / 5) for |t| < 5

    Lanczos' windowed ideal low-pass, so that the transfer function is that of k up to the new Nyquist frequency (Duchon, "Lanczos filtering
    in one and two dimensions", J. Applied Meteorology 18, 1979). Size: as for `resample`, and four lobes on each side; at most 127.
    """
    _positive(scale, "scale")
    n, wide = psf.shape[0], max(scale, 1)
    m = min(2 * int(np.ceil(max(n * scale - 1, 0) / 2 - 1e-9)) + 1 + 2 * int(np.ceil(4 * wide)), 127)
    j, i = np.arange(n) - n // 2, np.arange(m)[:, None] - m // 2
    t = (i - j * scale) / wide
    share = np.where(np.abs(t) < 5, np.sinc(t) * np.sinc(t / 5), 0)
    return normalise(np.einsum("ai,ij...,bj->ab...", share, psf, share))
