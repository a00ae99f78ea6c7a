"""Windows and filters of the prototype's toolbox.

Windows give kernels of sum 1; filters work on one plane of values, L of CIE LAB in 0..100
as the prototype used them. Borders are mirrored, the edge pixel included ("symm").
`size` is always the full width of the kernel in pixels.
"""

import numpy as np
from scipy.signal import convolve2d, windows


def _outer(window):
    """Separable kernel of sum 1 from a 1-D window."""
    kernel = np.outer(window, window)
    return kernel / kernel.sum()


def uniform(size):
    """(size, size) of 1 / size^2."""
    return _outer(np.ones(size))


def gaussian(size, std):
    """exp(-x^2 / (2 std^2)), x from the centre in pixels."""
    return _outer(windows.gaussian(size, std))


def kaiser_bessel(size, beta):
    """I0(beta sqrt(1 - r^2)), r = 0 at the centre and 1 at the ends."""
    return _outer(windows.kaiser(size, beta))


def exponential(size, tau):
    """exp(-|x| / tau), the prototype's "Poisson" window."""
    return _outer(windows.exponential(size, tau=tau))


def lens(size):
    """1 / (pi r^2), r = 1 .. size // 2, in both directions: the prototype's "lens blur".

    One quadrant of what its name says, (size // 2, size // 2), largest in the corner; a
    real defocus PSF is a disk.
    """
    return _outer(1 / (np.pi * np.arange(1, size // 2 + 1) ** 2))


def blur(image, kernel):
    """Convolve with `kernel`, shape kept, mirrored borders."""
    return convolve2d(image, kernel, mode="same", boundary="symm")


def gaussian_blur(image, size, std):
    """Blur with `gaussian`."""
    return blur(image, gaussian(size, std))


def bessel_blur(image, size, beta):
    """Blur with `kaiser_bessel`."""
    return blur(image, kaiser_bessel(size, beta))


def unsharp_mask(image, size, strength, amount, method="bessel"):
    """L + amount (L - blur(L)).

    `strength` is the window's beta ("bessel") or standard deviation ("gauss").
    """
    low = {"bessel": bessel_blur, "gauss": gaussian_blur}[method](image, size, strength)
    return image + amount * (image - low)


def bilateral(image, radius, std_range, std_space):
    """Bilateral filter on a square window of (2 radius + 1)^2.

    out(p) = sum_q w L(q) / sum_q w,
    w = exp(-(L(q) - L(p))^2 / (2 std_range^2)) exp(-|q - p|^2 / (2 std_space^2)).

    Reference: C. Tomasi, R. Manduchi, "Bilateral filtering for gray and color images",
    ICCV 1998.
    """
    rows, cols = image.shape
    padded = np.pad(image, radius, mode="symmetric")
    total, weights = np.zeros_like(image), np.zeros_like(image)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            q = padded[radius + dy:radius + dy + rows, radius + dx:radius + dx + cols]
            w = np.exp(-(q - image) ** 2 / (2 * std_range**2)
                       - (dy**2 + dx**2) / (2 * std_space**2))
            total += w * q
            weights += w
    return total / weights


def overlay(upper, lower):
    """Overlay blending of two planes a (upper) and b (lower) in 0..100.

    2 a b / 100 where b < 50, else 100 - 2 (100 - a)(100 - b) / 100. (The prototype gives
    0 where b is exactly 50, which falls between its two strict comparisons.)
    """
    dark = 2 * upper * lower / 100
    light = 100 - 2 * (100 - upper) * (100 - lower) / 100
    return np.where(lower < 50, dark, light)
