# SPDX-License-Identifier: GPL-3.0-or-later
"""Non-blind restoration in one call, and the step into linear light."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import errors
from ._core import Log, Progress
from .estimation import Window
from .plan import Plan


def deconvolve(
    image: Any,
    psf: Any,
    *,
    channel_axis: int | None = None,
    flavour: str = "normal",
    solver: str = "admm",
    priority: float = 0.0,
    noise: float | None = None,
    gradient: float | None = None,
    edge: float | None = None,
    lam: float | None = None,
    iterations: int | None = None,
    tolerance: float | None = None,
    saturation: float | None = None,
    scale: float | None = None,
    halo: int | None = None,
    tile: int | None = None,
    threads: int | None = None,
    planning: str | None = None,
    backend: str | None = None,
    device: int | None = None,
    device_memory: int | None = None,
    batch: int | None = None,
    refocus: bool = False,
    window: Window | None = None,
    return_map: bool = False,
    out: np.ndarray | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Restore a picture blurred by a known PSF.

    Parameters
    ----------
    image : (M, N[, C]) array of float32 or float64
        Blurred picture, scene-linear, white = 1, unbounded above; negative values are data. Non-finite pixels, and those that are masked in a
        masked array, count as unknown and are filled in. C is 1, 3, or with alpha 2, 4; alpha is copied. float64 is computed in float32.
        Integers are refused: see `from_srgb`.
    psf : (n, n) or (n, n, 3) array, or (rows, columns, n, n[, 3]) array
        Point spread function, one for all channels or one for each; n odd, 1 to 127; values >= 0; scaled to sum 1. Or a grid of PSFs with a common
        centre, each for the middle of its part of the picture and interpolated between, where the blur varies: see `estimate_psf_grid`.
    channel_axis : int, optional
        Axis of the colour channels. None: the picture is gray and has two dimensions.
    flavour : {"fast", "normal", "best"}
        Sets the parameters below that are None.
    solver : {"admm", "mm", "pam", "pd", "rl"}
        Restoration method.
    priority : float, -1 to 1
        From denoise (-1) to deblur (+1); 0 balances for the least error, below 0 less of the blur is undone, at -1 nothing.
    noise : float, 0 to 1, optional
        Standard deviation of the noise relative to white. None: measured on the picture.
    gradient : float, optional
        Root mean square of the picture's gradient without the noise, relative to white. None: measured on the picture.
    edge : float, optional
        Scale of the picture's steepest gradients, which counts above 3 times `gradient`. None: measured on the picture where `gradient` is, else none.
    lam : float, optional
        Weight of the data term against the total variation. None: from noise, gradient and priority.
    iterations : int, 0 to 1000, optional
        Iterations of the solver. None: its own number.
    tolerance : float, 0 to 100, optional
        Change in an iteration, in percent of the whole correction, below which mm, pam, pd and rl stop when `iterations` is None. 0: never.
        None: 0.2.
    saturation : float, optional
        Level at and above which a value counts as clipped, so only as a lower bound. None: no value does.
    scale : float, 0.02 to 8, optional
        Size of the picture relative to the one that `psf`, `noise`, `gradient`, `edge` and `lam` belong to: below 1 for a reduced preview, which then shows
        what the full picture will. None: 1.
    halo, tile : int, optional
        Overlap and largest side of the tiles, in pixels. None: chosen by the library.
    threads : int, optional
        None: as many as OpenMP offers. The result does not depend on it.
    planning : {"estimate", "measure", "patient"}, optional
        Effort FFTW spends on transforms that its wisdom does not know. None: "measure".
    backend : {"cpu", "opencl"}, optional
        What restores: the processor, or an OpenCL device (solver admm only), with the same result but for rounding. None: "cpu".
    device : int, optional
        Number of the OpenCL device in `dcv.devices`. None: the first.
    device_memory : int, optional
        Most memory to take on the OpenCL device, MB. None: all that it has.
    batch : int, optional
        Tiles worked on at once on the OpenCL device, as memory allows. None: by their size. The result does not depend on it.
    refocus : bool
        Restore only where the PSF explains the blur: a sharp background beside a moving subject stays as it is. Needs one PSF, not a grid.
        Parts below 5 % of the picture, or 35 % of the largest part, stay, too: mostly they are soft parts of the background.
    window : (x, y, width, height), optional
        With `refocus`: pixels known to have been blurred by this PSF, such as the `window` of an estimate. Only parts that meet it are restored
        then (all, where 60 % of the picture are blurred), and they are followed further where their surroundings are sharp.
    return_map : bool
        With `refocus`: return also where that is.
    out : array, optional
        Takes the result: shape of `image`, float32 or float64; may not overlap it.
    progress : callable, optional
        Called with the fraction done, 0 to 1. An exception in it stops the work and is passed on; so does Ctrl-C.
    log : callable, optional
        Called with a level ("debug", "info", "warning") and a message.

    Returns
    -------
    restored : array
        Shape and type of `image`; not clipped. `out` itself when given.
    map : (M, N) array of float32
        Only with `return_map`: from 0 (left as it was) to 1 (restored).

    Raises
    ------
    DcvError
        One of its subclasses: PixelTypeError (also TypeError), SizeError, PsfError, ArgumentError, DataError (also ValueError),
        OutOfMemoryError (also MemoryError), BackendError (also RuntimeError).

    See Also
    --------
    Plan : the same, prepared once for many pictures of one size, with diagnostics.

    References
    ----------
    .. [1] L. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica D 60, 1992.
    .. [2] X. Bresson, T. F. Chan, "Fast dual minimization of the vectorial total variation norm and applications to color image
           processing", Inverse Problems and Imaging 2(4), 2008.
    .. [3] S. Boyd et al., "Distributed optimization and statistical learning via the alternating direction method of multipliers", 2011.
    """
    if return_map and not refocus:
        raise errors.ArgumentError("return_map goes with refocus")
    with Plan(
        image,
        psf,
        channel_axis=channel_axis,
        flavour=flavour,
        solver=solver,
        priority=priority,
        noise=noise,
        gradient=gradient,
        edge=edge,
        lam=lam,
        iterations=iterations,
        tolerance=tolerance,
        saturation=saturation,
        scale=scale,
        halo=halo,
        tile=tile,
        threads=threads,
        planning=planning,
        backend=backend,
        device=device,
        device_memory=device_memory,
        batch=batch,
        log=log,
    ) as plan:
        restored = plan.execute(image, out, refocus=refocus, window=window, progress=progress, log=log)
        return (restored, plan.map) if return_map and plan.map is not None else restored


def from_srgb(image: Any) -> np.ndarray:
    """sRGB code values (IEC 61966-2-1) as linear light.

    Parameters
    ----------
    image : array of uint8, uint16 or float
        Integers span their type's range; floats 0 to 1, and the curve goes on outside, odd about 0.

    Returns
    -------
    linear : array of float32, or float64 for float64
        Same shape.
    """
    array = np.asarray(image)
    if array.dtype.kind == "u":
        codes = np.arange(np.iinfo(array.dtype).max + 1) if array.dtype.itemsize <= 2 else None
        if codes is None:
            raise errors.PixelTypeError(f"pixels are {array.dtype.name}: use uint8, uint16 or floats")
        return np.asarray(from_srgb(codes / codes[-1]), np.float32)[array]
    if array.dtype.kind != "f":
        raise errors.PixelTypeError(f"pixels are {array.dtype.name}: use uint8, uint16 or floats")
    value = np.abs(array)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.copysign(linear, array).astype(np.float64 if array.dtype == np.float64 else np.float32)


def to_srgb(image: Any) -> np.ndarray:
    """Linear light as sRGB values 0 to 1, not clipped: the inverse of `from_srgb` for floats.

    Parameters
    ----------
    image : array of float
        Linear light, white = 1.

    Returns
    -------
    encoded : array of float32, or float64 for float64
        Same shape.
    """
    array = np.asarray(image)
    if array.dtype.kind != "f":
        raise errors.PixelTypeError(f"pixels are {array.dtype.name}: linear light is float32 or float64")
    value = np.abs(array)
    encoded = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.copysign(encoded, array).astype(np.float64 if array.dtype == np.float64 else np.float32)
