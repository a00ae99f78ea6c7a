# SPDX-License-Identifier: GPL-3.0-or-later
"""`Plan`: everything that can be prepared before the pixels come, for pictures of one size and one PSF."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from . import errors, params
from ._core import (
    Call,
    Log,
    Progress,
    check,
    check_pixels,
    enum_names,
    ffi,
    grid_ready,
    grid_struct,
    image_struct,
    is_grid,
    is_native,
    lib,
    native,
    psf_ready,
    psf_struct,
    restored_channels,
)
from .estimation import Window, window_inside

STOPS = enum_names("dcv_stop", "DCV_STOP_")

LEAST_SAMPLE = 32  # side of a window that the noise is measured in


@dataclass(frozen=True)
class PlanInfo:
    """How a plan works: sizes in pixels, `noise` relative to white, `bytes` of memory held, `transforms` real 2-D FFTs in one execute."""

    width: int
    height: int
    transform_width: int
    transform_height: int
    core_width: int
    core_height: int
    halo: int
    blend: int
    tiles_x: int
    tiles_y: int
    threads: int
    iterations: int
    transforms: int
    noise: float
    lam: float
    rho: float
    bytes: int
    batch: int


@dataclass(frozen=True)
class Result:
    """Diagnostics of one execute; the seconds of the parts are summed over threads. `stop`: why the solver ended."""

    iterations: int
    stop: str
    unknown_pixels: int
    clipped_pixels: int
    seconds: float
    seconds_load: float
    seconds_fft: float
    seconds_pixel: float
    seconds_store: float


class Plan:
    """Restoration prepared once and executed many times.

    Parameters
    ----------
    image : (M, N[, C]) array of float32 or float64
        Picture to measure the automatic parameters on (`noise`, `gradient`): scene-linear, white = 1. It is neither kept nor changed.
    psf : (n, n) or (n, n, 3) array, or (rows, columns, n, n[, 3]) array
        Point spread function, n odd, values >= 0; scaled to sum 1. Or a grid of them, as for `dcv.deconvolve`.
    channel_axis : int, optional
        Axis of the colour channels; None for a gray picture.
    shape : tuple of int, optional
        (M, N) of the pictures to restore when it is not that of `image`.
    flavour, solver, priority, noise, gradient, edge, lam, iterations, tolerance, saturation, scale, halo, tile, threads, planning, backend, device,
    device_memory, batch
        As for `dcv.deconvolve`.
    progress, log : callable, optional
        As for `dcv.deconvolve`; for the measurement only.

    Attributes
    ----------
    info : PlanInfo
        Sizes, memory and the parameters in use; after an `execute` those that it used.
    result : Result or None
        Diagnostics of the last `execute`.
    map : (M, N) array of float32, or None
        Where the last `execute` restored, 0 to 1; None without `refocus`.

    Raises
    ------
    DcvError
        One of its subclasses, which are also ValueError, TypeError or MemoryError.

    Notes
    -----
    A plan works for one thread at a time (a lock sees to it); different plans work in parallel. `close`, or the end of a ``with`` block, frees
    its memory.

    Examples
    --------
    >>> with dcv.Plan(frames[0], psf, channel_axis=-1) as plan:  # doctest: +SKIP
    ...     sharp = [plan.execute(frame) for frame in frames]
    """

    def __init__(
        self,
        image: Any,
        psf: Any,
        *,
        channel_axis: int | None = None,
        shape: tuple[int, int] | None = None,
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
        progress: Progress | None = None,
        log: Log | None = None,
    ) -> None:
        self._plan = ffi.NULL
        array = check_pixels(image, channel_axis)
        channels = restored_channels(array)
        values = params.make(
            flavour,
            channels=channels,
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
        )
        grid = grid_ready(psf, channels) if is_grid(psf) else None
        planes = psf_ready(psf, channels) if grid is None else grid[grid.shape[0] // 2, grid.shape[1] // 2]
        kernel = psf_struct(planes)
        pixels = native(array)
        call = Call(progress, log)
        call.finish(lib.dcv_params_resolve(values, image_struct(pixels), kernel, call.pointer))
        height, width = array.shape[:2] if shape is None else shape
        handle = ffi.new("dcv_plan **")
        if grid is None:
            status = lib.dcv_plan_create(handle, values, width, height, kernel)
        else:
            status = lib.dcv_plan_create_grid(handle, values, width, height, grid_struct(grid))
        check(status, ffi.string(lib.dcv_backend_message()).decode("utf-8", "replace") if values.backend else "")
        self._plan = handle[0]
        self._params, self._psf = values, planes if grid is None else None
        self._measured = {name for name, value in (("noise", noise), ("gradient", gradient), ("edge", edge)) if value is None}
        self._channel_axis = channel_axis
        self._channels = array.shape[2]
        self._lock = threading.Lock()
        self.result: Result | None = None
        self.map: np.ndarray | None = None
        self.info = _describe(self._plan)

    def execute(
        self,
        image: Any,
        out: np.ndarray | None = None,
        *,
        refocus: bool = False,
        window: Window | None = None,
        progress: Progress | None = None,
        log: Log | None = None,
    ) -> np.ndarray:
        """Restore a picture of the plan's size.

        Parameters
        ----------
        image : (M, N[, C]) array of float32 or float64
            Blurred picture, scene-linear; never modified. Alpha (a second or fourth channel) is copied.
        out : array, optional
            Takes the result: shape and type of `image`. May not overlap it.
        refocus, window, progress, log
            As for `dcv.deconvolve`. With `refocus`, what was measured on the plan's image is measured again: the noise in a `window` of at least
            32 pixels a side, which counts where it is less; the gradient where the map says so. This takes the plan's memory once more.

        Returns
        -------
        restored : array
            Shape and type of `image`; `out` itself when given.

        Raises
        ------
        SizeError
            Another size than the plan's, or a window that is not inside.
        ArgumentError
            A window without `refocus`, among others.
        """
        array = check_pixels(image, self._channel_axis)
        if array.shape != (self.info.height, self.info.width, self._channels):
            raise errors.SizeError(
                f"the plan is for {self.info.width} x {self.info.height} pixels of {self._channels} channels, "
                f"not {array.shape[1]} x {array.shape[0]} of {array.shape[2]}"
            )
        if window is not None and not refocus:
            raise errors.ArgumentError("window goes with refocus")
        target = _target(image, out, array, self._channel_axis)
        source = native(array)
        direct = is_native(target) and not np.may_share_memory(target, source)
        pixels = target if direct else np.empty(array.shape, np.float32)
        call = Call(progress, log)
        result = ffi.new("dcv_result *", {"struct_size": ffi.sizeof("dcv_result")})
        with self._lock:
            if self._plan == ffi.NULL:
                raise errors.ArgumentError("the plan is closed")
            self.map, prepared = self._prepare(source, window, call) if refocus else (None, source)
            plan = self._plan_for(source, self.map, window) if self.map is not None and self.map.any() else self._plan
            self.info = _describe(plan)
            call.finish(lib.dcv_plan_execute(plan, image_struct(prepared), image_struct(pixels), call.pointer, result))
            if self.map is not None:
                check(lib.dcv_refocus_blend(self._params, image_struct(source), image_struct(self.map[:, :, np.newaxis]), image_struct(pixels)))
        names = [name for name in Result.__dataclass_fields__ if name != "stop"]
        self.result = Result(stop=STOPS[result.stop], **{name: getattr(result, name) for name in names})
        if not direct:
            target[...] = pixels
        if out is not None:
            return out
        return target[:, :, 0] if self._channel_axis is None else np.moveaxis(target, -1, self._channel_axis)

    def _prepare(self, source: np.ndarray, window: Window | None, call: Call) -> tuple[np.ndarray, np.ndarray]:
        """Map of where the PSF explains the blur, and the picture blurred by it elsewhere."""
        if self._psf is None:
            raise errors.ArgumentError("refocus needs one PSF, not a grid")
        quiet = Call(log=call.log)
        area = np.empty(source.shape[:2] + (1,), np.float32)
        prepared = np.empty(source.shape, np.float32)
        psf = psf_struct(self._psf)
        known = ffi.NULL if window is None else ffi.new("int32_t[4]", window_inside(window, source.shape))
        quiet.finish(lib.dcv_refocus_map(self._params, psf, image_struct(source), known, image_struct(area), quiet.pointer))
        check(lib.dcv_refocus_subject(image_struct(area), known))
        quiet.finish(lib.dcv_refocus_prepare(self._params, psf, image_struct(source), image_struct(area), image_struct(prepared), quiet.pointer))
        return area[:, :, 0], prepared

    def _plan_for(self, source: np.ndarray, area: np.ndarray, window: Window | None) -> Any:
        """A plan with what the subject says of the measured parameters: the window's noise where that is less (the grain of sharp parts counts as noise in a
        whole picture); the geometric mean of the whole picture's gradient and that where the map says so, for sharp parts are steeper than what was blurred.
        """
        assert self._psf is not None
        values, psf = ffi.new("dcv_params *", self._params[0]), psf_struct(self._psf)
        if window is not None and "noise" in self._measured:
            x, y, width, height = window_inside(window, source.shape)
            if min(width, height) >= LEAST_SAMPLE:
                values.noise = 0
                sample = np.ascontiguousarray(source[y : y + height, x : x + width])
                check(lib.dcv_params_resolve(values, image_struct(sample), psf, ffi.NULL))
                values.noise = min(values.noise, self._params.noise)
        if "gradient" in self._measured:
            values.gradient, values.edge = 0, 0 if "edge" in self._measured else values.edge
            subject = np.where(area[:, :, np.newaxis] > 0.5, source, np.float32(np.nan))
            check(lib.dcv_params_resolve(values, image_struct(subject), psf, ffi.NULL))
            values.gradient = float(np.sqrt(values.gradient * self._params.gradient))
        if (values.noise, values.gradient) == (self._params.noise, self._params.gradient):
            return self._plan
        handle = ffi.new("dcv_plan **")
        check(lib.dcv_plan_create(handle, values, self.info.width, self.info.height, psf))
        return ffi.gc(handle[0], lib.dcv_plan_destroy)

    def close(self) -> None:
        """Free the plan's memory; it cannot be executed again."""
        with self._lock:
            lib.dcv_plan_destroy(self._plan)
            self._plan = ffi.NULL

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_plan", ffi.NULL) != ffi.NULL:
            lib.dcv_plan_destroy(self._plan)


def _target(image: Any, out: np.ndarray | None, array: np.ndarray, channel_axis: int | None) -> np.ndarray:
    """Where the result goes, as (M, N, C): a view of `out`, or a new array of the image's type."""
    if out is None:
        return np.empty(array.shape, array.dtype.newbyteorder("="))
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float32, np.float64):
        raise errors.PixelTypeError("out must be an array of float32 or float64")
    if out.shape != np.shape(image):
        raise errors.SizeError(f"out has shape {out.shape}, the picture {np.shape(image)}")
    if not out.flags.writeable:
        raise errors.ArgumentError("out is read-only")
    if np.shares_memory(out, array):
        raise errors.ArgumentError("out overlaps the picture")
    return out[:, :, np.newaxis] if channel_axis is None else np.moveaxis(out, channel_axis, -1)


def _describe(plan: Any) -> PlanInfo:
    """What a plan of the core tells of itself."""
    info = ffi.new("dcv_plan_info *", {"struct_size": ffi.sizeof("dcv_plan_info")})
    check(lib.dcv_plan_describe(plan, info))
    return PlanInfo(**{name: getattr(info, name) for name in PlanInfo.__dataclass_fields__})
