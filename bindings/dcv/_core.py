# SPDX-License-Identifier: GPL-3.0-or-later
"""The library behind cffi: version check, statuses, callbacks, and numpy arrays as the library's pictures and PSFs.

cffi releases the GIL during every call. Progress and log messages come from the calling thread, so that Ctrl-C, which Python turns into an
exception in the main thread, surfaces there; it is kept, workers are told to stop through a plain C flag, and it is raised again afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import errors
from ._dcv import ffi, lib

Progress = Callable[[float], None]
Log = Callable[[str, str], None]


def enum_names(name: str, prefix: str) -> dict[int, str]:
    """Numbers of a C enum and their names without prefix, in lower case."""
    return {value: text.removeprefix(prefix).lower() for value, text in sorted(ffi.typeof(name).elements.items())}


LOG_LEVELS = enum_names("dcv_log_level", "DCV_LOG_")

if lib.dcv_version() // 100 != lib.DCV_VERSION // 100:
    raise ImportError(f"dcv was built for library version {lib.DCV_VERSION}, but {lib.dcv_version()} is loaded")


def check(status: int, detail: str = "") -> None:
    """Raise the exception that belongs to `status`, if it is not OK."""
    if status:
        kind = errors.BY_STATUS.get(status, errors.DcvError)
        text = ffi.string(lib.dcv_status_string(status)).decode()
        if kind is errors.BackendError:
            detail = ffi.string(lib.dcv_backend_message()).decode("utf-8", "replace")
        raise kind(f"{text} ({detail})" if detail else text)


class Call:
    """Callbacks of one library call. ``pointer`` goes to the library, `finish` takes its status."""

    def __init__(self, progress: Progress | None = None, log: Log | None = None) -> None:
        self.progress, self.log = progress, log
        self.error: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self.state = ffi.new("dcv_py_call *", {"cancelled": 0, "python": self._handle})
        self.pointer = ffi.new("dcv_callbacks *")
        self.pointer.progress = lib.dcv_py_progress
        self.pointer.log = lib.dcv_py_log if log else ffi.NULL
        self.pointer.cancelled = ffi.addressof(lib, "dcv_py_cancelled")
        self.pointer.user = self.state

    def finish(self, status: int) -> None:
        if self.error is not None:
            raise self.error
        check(status)


def _call(user: Any) -> Call:
    call: Call = ffi.from_handle(ffi.cast("dcv_py_call *", user).python)
    return call


def _keep_error(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
    call = _call(traceback.tb_frame.f_locals["user"])
    call.error = call.error or error
    call.state.cancelled = 1


@ffi.def_extern(onerror=_keep_error)  # type: ignore[untyped-decorator]
def dcv_py_progress(user: Any, fraction: float) -> None:
    call = _call(user)
    if call.progress and call.error is None:
        call.progress(fraction)


@ffi.def_extern(onerror=_keep_error)  # type: ignore[untyped-decorator]
def dcv_py_log(user: Any, level: int, message: Any) -> None:
    call = _call(user)
    if call.log and call.error is None:
        call.log(LOG_LEVELS.get(level, "info"), ffi.string(message).decode("utf-8", "replace"))


# ---- pictures ------------------------------------------------------------------------------------------------------------------------


def check_pixels(image: Any, channel_axis: int | None) -> np.ndarray:
    """`image` as a view of shape (M, N, C), unchanged otherwise, masked pixels as NaN; raises for everything that is not a picture of floats."""
    array = np.asarray(image)
    if array.dtype.kind in "iub":
        raise errors.PixelTypeError(
            f"pixels are {array.dtype.name}: deconvolution needs linear light in float32, white = 1; undo the transfer curve first "
            "(for sRGB: dcv.from_srgb(image))"
        )
    if array.dtype.kind != "f" or array.dtype.itemsize not in (4, 8):
        raise errors.PixelTypeError(f"pixels are {array.dtype.name}: use float32 (or float64, which is computed in float32)")
    if isinstance(image, np.ma.MaskedArray):
        array = image.filled(np.nan)
    if channel_axis is None:
        if array.ndim != 2:
            advice = "; for a colour picture say channel_axis=-1" if array.ndim == 3 else ""
            raise errors.SizeError(f"without channel_axis a picture has 2 dimensions, not {array.ndim}{advice}")
        array = array[:, :, np.newaxis]
    else:
        if array.ndim != 3:
            raise errors.SizeError(f"with channel_axis a picture has 3 dimensions, not {array.ndim}")
        if not -3 <= channel_axis < 3:
            raise errors.ArgumentError(f"channel_axis must lie between -3 and 2, not {channel_axis}")
        array = np.moveaxis(array, channel_axis, -1)
    if array.shape[2] not in (1, 2, 3, 4):
        raise errors.SizeError(f"a picture has 1, 2 (gray, alpha), 3 or 4 (colour, alpha) channels, not {array.shape[2]}")
    if array.size == 0 or max(array.shape[:2]) > lib.DCV_SIDE_MAX:
        raise errors.SizeError(f"a picture has sides of 1 to {lib.DCV_SIDE_MAX} pixels, not {array.shape[1]} x {array.shape[0]}")
    return array


def restored_channels(array: np.ndarray) -> int:
    """Channels of an (M, N, C) picture that are light: an even number of them ends with alpha."""
    return 3 if array.shape[2] >= 3 else 1


def is_native(array: np.ndarray) -> bool:
    """Whether the library can use the (M, N, C) array as it lies in memory."""
    height, width, channels = array.shape
    row, pixel, item = array.strides
    return (
        array.dtype == np.float32
        and array.dtype.isnative
        and array.flags.aligned
        and (channels == 1 or item == 4)
        and (width == 1 or pixel == 4 * channels)
        and (height == 1 or (row % 4 == 0 and row >= width * channels * 4))
    )


def native(array: np.ndarray) -> np.ndarray:
    """The array itself when the library can use it, else a contiguous float32 copy."""
    return array if is_native(array) else np.ascontiguousarray(array, dtype=np.float32)


def image_struct(array: np.ndarray) -> Any:
    """``dcv_image *`` on the memory of a native array, which the caller keeps alive."""
    height, width, channels = array.shape
    row = array.strides[0] // 4 if height > 1 else width * channels
    return ffi.new(
        "dcv_image *",
        {
            "data": ffi.cast("float *", array.ctypes.data),
            "width": width,
            "height": height,
            "pixel_stride": channels,
            "row_stride": row,
        },
    )


# ---- PSFs ----------------------------------------------------------------------------------------------------------------------------


def psf_planes(psf: Any) -> np.ndarray:
    """A PSF (n, n) or (n, n, 3) as float32 planes (1 or 3, n, n) in memory of their own; raises PsfError for any other shape or type."""
    array = np.asarray(psf)
    if array.dtype.kind not in "fiu":
        raise errors.PsfError(f"a PSF holds real numbers, not {array.dtype.name}")
    if array.ndim not in (2, 3) or array.shape[0] != array.shape[1] or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise errors.PsfError(f"a PSF has shape (n, n) or (n, n, 3), not {array.shape}")
    if array.shape[0] % 2 == 0:
        raise errors.PsfError(f"a PSF has an odd size, not {array.shape[0]}")
    if array.shape[0] > lib.DCV_PSF_MAX:
        raise errors.PsfError(f"a PSF is at most {lib.DCV_PSF_MAX} pixels wide, not {array.shape[0]}")
    planes = array[np.newaxis] if array.ndim == 2 else np.moveaxis(array, -1, 0)
    return np.array(planes, dtype=np.float32, order="C")


def psf_array(planes: np.ndarray) -> np.ndarray:
    """Planes (1 or 3, n, n) as (n, n) or (n, n, 3)."""
    return planes[0] if planes.shape[0] == 1 else np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def psf_struct(planes: np.ndarray) -> Any:
    """``dcv_psf *`` on the memory of contiguous planes, which the caller keeps alive."""
    return ffi.new("dcv_psf *", {"data": ffi.cast("float *", planes.ctypes.data), "size": planes.shape[1], "channels": planes.shape[0]})


def check_psf(planes: np.ndarray) -> None:
    """Raise PsfError with the reason when the values are not those of a PSF."""
    if not np.isfinite(planes).all():
        raise errors.PsfError("the PSF has values that are not finite")
    if planes.min() < 0:
        raise errors.PsfError(f"the PSF has negative values (down to {planes.min():.3g}, sum {planes.sum():.3g}); dcv.psf.normalise sets them to 0")
    if not (planes.sum(axis=(1, 2)) > 0).all():
        raise errors.PsfError("the PSF has no positive sum")
    check(lib.dcv_psf_validate(psf_struct(planes)))


def psf_ready(psf: Any, channels: int) -> np.ndarray:
    """Validated planes of sum 1 for a picture of so many channels."""
    planes = psf_planes(psf)
    check_psf(planes)
    if planes.shape[0] == 3 and channels == 1:
        raise errors.PsfError("a PSF with a plane for each colour channel cannot restore a gray picture")
    check(lib.dcv_psf_normalise(psf_struct(planes)))
    return planes


def is_grid(psf: Any) -> bool:
    """Whether `psf` is a grid of PSFs, (rows, columns, n, n[, 3])."""
    return np.ndim(psf) in (4, 5)


def grid_ready(psf: Any, channels: int) -> np.ndarray:
    """Validated planes (rows, columns, 1 or 3, n, n) of sum 1 of a grid of PSFs."""
    array = np.asarray(psf)
    rows, columns = array.shape[:2]
    if not (1 <= rows <= lib.DCV_GRID_MAX and 1 <= columns <= lib.DCV_GRID_MAX):
        raise errors.PsfError(f"a grid of PSFs has 1 to {lib.DCV_GRID_MAX} rows and columns, not {rows} x {columns}")
    return np.stack([np.stack([psf_ready(array[row, column], channels) for column in range(columns)]) for row in range(rows)])


def grid_struct(planes: np.ndarray) -> Any:
    """``dcv_psf_grid *`` over the whole picture on the memory of contiguous planes, which the caller keeps alive."""
    rows, columns, channels, size, _ = planes.shape
    data = ffi.cast("float *", planes.ctypes.data)
    return ffi.new("dcv_psf_grid *", {"data": data, "size": size, "channels": channels, "columns": columns, "rows": rows})
