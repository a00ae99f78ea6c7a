# SPDX-License-Identifier: GPL-3.0-or-later
"""Blind estimation of the PSF, the noise level, and the choice of a sample window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from . import errors, params
from ._core import Call, Log, Progress, check, check_pixels, ffi, image_struct, lib, native, psf_array, psf_struct, restored_channels

Window = tuple[int, int, int, int]
BlurSize = int | Literal["auto"]


@dataclass(frozen=True)
class Scale:
    """One level of the pyramid: PSF size in pixels, rounds of the alternation, L1 change of the PSF in the last round."""

    size: int
    rounds: int
    change: float


@dataclass(frozen=True, eq=False)
class PsfEstimate:
    """Result of `estimate_psf`.

    Attributes
    ----------
    psf : (n, n) or (n, n, 3) array of float32
        Values >= 0; each channel sums to 1.
    confidence : float
        Probability that restoring with this PSF gains at least 70 % of the decibels that the true PSF would; 0 when no blur is found.
    noise : float
        Standard deviation of the noise that was assumed, relative to white.
    scales : tuple of Scale
        From coarse to fine.
    window : tuple of int
        (x, y, width, height) of the sample, in pixels.
    seconds : float
        Time of the estimation.
    evidence : tuple of float
        What the confidence follows from, 0 when no blur is found: energy gained on the picture taken for sharp, agreement of two starts (0 to 1), decadic
        logarithm of the noise's variance in a window scaled to a standard deviation of 0.2.
    """

    psf: np.ndarray = field(repr=False)
    confidence: float
    noise: float
    scales: tuple[Scale, ...]
    window: Window
    seconds: float
    evidence: tuple[float, float, float]


def estimate_psf(
    image: Any,
    size: BlurSize = "auto",
    *,
    max_size: int = 33,
    window: Window | None = None,
    channel_axis: int | None = None,
    per_channel: bool = False,
    noise: float | None = None,
    saturation: float | None = None,
    threads: int | None = None,
    backend: str | None = None,
    device: int | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> PsfEstimate:
    """Estimate the PSF of a blurred picture from a sample window.

    Parameters
    ----------
    image : (M, N[, C]) array of float32 or float64
        Blurred picture, scene-linear, white = 1.
    size : int or "auto"
        Width of the PSF in pixels that is expected, odd, 3 to 33: a little more than the blur one sees. A blur that does not fit in it gets a larger one.
        "auto": found on the window, for about a fifth more time.
    max_size : int
        Largest width of the PSF, odd, 3 to 33. Beyond `size` the PSF also grows to a quarter of the window's shorter side at most; `size` itself forbids it.
    window : (x, y, width, height), optional
        Sample, in pixels: sharp structure in all directions, no clipped lights, no subject that moved. Sides at least `size` and 16.
        None: `choose_window`.
    channel_axis : int, optional
        Axis of the colour channels. None: the picture is gray and has two dimensions.
    per_channel : bool
        One PSF for each colour channel in place of one for all.
    noise : float, 0 to 1, optional
        Standard deviation of the noise relative to white. None: measured on the window.
    saturation : float, optional
        Level at and above which a value counts as clipped, of white. A window with lamps (clipped pixels, at most 3 % of it) is estimated a second time
        without the pixels that they can have blurred into, for twice the time; that PSF is kept if it gains a fifth more energy on no
        blur, on doubt the first. None or 0: nothing is clipped.
    threads, device, progress, log
        As for `dcv.deconvolve`.
    backend : {"cpu", "opencl"}, optional
        Whether an OpenCL device takes part at the larger scales. Where it fails, the log says so and the processor goes on.

    Returns
    -------
    estimate : PsfEstimate
        The PSF with diagnostics.

    Raises
    ------
    ArgumentError
        A size even or out of range, `size` above `max_size`.
    SizeError
        Window outside the picture, or smaller than the PSF or 16 pixels.
    PixelTypeError
        Pixels that are not float32 or float64.
    DataError
        No finite pixel in the window.
    """
    array = check_pixels(image, channel_axis)
    channels = restored_channels(array)
    max_size = check_size(max_size)
    if size != "auto":
        size = check_size(size)
        if size > max_size:
            raise errors.ArgumentError(f"the size {size} is above the largest, {max_size}")
    least = 0 if size == "auto" else size
    x, y, width, height = check_window(choose_window(image, channel_axis=channel_axis) if window is None else window, array.shape, least)
    values = params.make(
        channels=channels,
        noise=noise,
        saturation=saturation,
        blur="per-channel" if per_channel else "shared",
        threads=threads,
        backend=backend,
        device=device,
    )
    sample = native(array[y : y + height, x : x + width])
    call = Call(progress, log)
    side = min(_find_size(values, sample, log), max_size) if size == "auto" else size
    room = np.zeros((channels if per_channel else 1, max_size, max_size), np.float32)
    psf = psf_struct(room)
    result = ffi.new("dcv_estimate_result *", {"struct_size": ffi.sizeof("dcv_estimate_result")})
    call.finish(lib.dcv_estimate_psf(values, image_struct(sample), side, psf, call.pointer, result))
    planes = room.ravel()[: len(room) * psf.size**2].reshape(-1, psf.size, psf.size)
    scales = tuple(Scale(result.scale_size[i], result.scale_rounds[i], result.scale_change[i]) for i in range(result.scales))
    return PsfEstimate(psf_array(planes.copy()), result.confidence, result.noise, scales, (x, y, width, height), result.seconds, tuple(result.evidence))


def _find_size(values: Any, sample: np.ndarray, log: Log | None) -> int:
    """The size that the PSF of the sample needs."""
    found, call = ffi.new("int32_t *"), Call(log=log)
    call.finish(lib.dcv_estimate_size(values, image_struct(sample), found, call.pointer))
    return int(found[0])


def estimate_noise(image: Any, *, channel_axis: int | None = None) -> float | np.ndarray:
    """Standard deviation of the noise in a picture, relative to white.

    Parameters
    ----------
    image : (M, N[, C]) array of float32 or float64
        Scene-linear picture, blurred or not.
    channel_axis : int, optional
        Axis of the colour channels. None: the picture is gray and has two dimensions.

    Returns
    -------
    noise : float, or (3,) array of float32
        For a gray or a colour picture. 0 where there is none to see: in flat pictures and in those too small to measure on.

    Raises
    ------
    PixelTypeError, SizeError, ArgumentError
        No picture: see `dcv.deconvolve`.
    DataError
        No finite pixel.
    """
    array = check_pixels(image, channel_axis)
    channels = restored_channels(array)
    sigma = ffi.new("float[]", channels)
    pixels = native(array)
    check(lib.dcv_noise_estimate(image_struct(pixels), channels, sigma))
    return float(sigma[0]) if channels == 1 else np.array(list(sigma), np.float32)


def choose_window(image: Any, *, channel_axis: int | None = None) -> Window:
    """A square sample for `estimate_psf`: structure in all directions, no clipped lights, near the centre.

    Blocks of 16 x 16 pixels carry the structure tensor of the luminance's square root, those of hard edges held back; each candidate in the middle of the
    picture scores the smaller eigenvalue of its sum, reduced by the share of pixels at the picture's maximum and by the distance from the centre.

    Parameters
    ----------
    image, channel_axis
        As for `estimate_psf`.

    Returns
    -------
    window : tuple of int
        (x, y, width, height): the whole picture up to 528 x 528 pixels, else 512 x 512, or less where the picture is narrower.
    """
    array = check_pixels(image, channel_axis)
    window, pixels = ffi.new("int32_t[4]"), native(array)
    check(lib.dcv_choose_window(image_struct(pixels), restored_channels(array), window))
    x, y, width, height = window
    return int(x), int(y), int(width), int(height)


def check_size(size: Any) -> int:
    """`size` as an int; ArgumentError unless it is that of a PSF to estimate."""
    if size not in range(3, lib.DCV_ESTIMATE_MAX + 1, 2):
        raise errors.ArgumentError(f"the size of the blur must be odd, 3 to {lib.DCV_ESTIMATE_MAX}, not {size}")
    return int(size)


def window_inside(window: Window, shape: tuple[int, ...]) -> Window:
    """The window as ints, inside a picture of shape (M, N, ...); raises SizeError otherwise."""
    if len(window) != 4:
        raise errors.ArgumentError("a window is (x, y, width, height)")
    x, y, width, height = (int(value) for value in window)
    if x < 0 or y < 0 or width < 1 or height < 1 or x + width > shape[1] or y + height > shape[0]:
        raise errors.SizeError(f"the window {x},{y},{width},{height} is not inside the picture of {shape[1]} x {shape[0]} pixels")
    return x, y, width, height


def check_window(window: Window, shape: tuple[int, ...], size: int) -> Window:
    """The same, large enough for a PSF of `size`."""
    x, y, width, height = window_inside(window, shape)
    if min(width, height) < max(size, 16):
        raise errors.SizeError(f"the window of {width} x {height} pixels is too small to estimate the blur: both sides at least {max(size, 16)}")
    return x, y, width, height
