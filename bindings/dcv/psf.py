# SPDX-License-Identifier: GPL-3.0-or-later
"""Point spread functions: the common shapes, tools, and files.

A PSF is an array of float32, (n, n) for all channels or (n, n, 3) for each, n odd, values >= 0, sum 1, centre at ``[n // 2, n // 2]``. The
convolution is a true one: the PSF is the picture of a point of light.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from . import errors
from ._core import check, check_psf, ffi, lib, psf_array, psf_planes, psf_struct
from .files import atomic

FILE_MARK = "dcv_psf"
FILE_VERSION = 1


def _make(kind: int, size: int | None, **shape: float) -> np.ndarray:
    """PSF of a kind; `shape`: its one or two parameters by name, in the library's order."""
    a, b = (*map(float, shape.values()), 0.0, 0.0)[:2]
    size = lib.dcv_psf_natural_size(kind, a, b) if size is None else size
    said = ", ".join(f"{name} {value:g}" for name, value in shape.items())
    if size == 0 and shape:
        raise errors.ArgumentError(f"no PSF has {said}")
    if int(size) != size or size % 2 == 0 or not 1 <= size <= lib.DCV_PSF_MAX:
        raise errors.ArgumentError(f"the size of a PSF must be odd, 1 to {lib.DCV_PSF_MAX}, not {size}")
    planes = np.zeros((1, int(size), int(size)), np.float32)
    check(lib.dcv_psf_make(psf_struct(planes), kind, a, b), said)
    return psf_array(planes)


def gaussian(sigma: float, size: int | None = None) -> np.ndarray:
    """Gaussian of standard deviation `sigma` > 0 px; `size` None: as large as it needs."""
    return _make(lib.DCV_PSF_GAUSSIAN, size, sigma=sigma)


def disk(radius: float, size: int | None = None) -> np.ndarray:
    """Disk of `radius` > 0 px, its edge sampled by area: a lens out of focus."""
    return _make(lib.DCV_PSF_DISK, size, radius=radius)


def motion(length: float, angle: float = 0.0, size: int | None = None) -> np.ndarray:
    """Straight, even motion over `length` > 0 px at `angle` degrees, anticlockwise from the x axis."""
    return _make(lib.DCV_PSF_MOTION, size, length=length, angle=angle)


def uniform(size: int) -> np.ndarray:
    """Square of equal values."""
    return _make(lib.DCV_PSF_UNIFORM, size)


def kaiser(beta: float, size: int) -> np.ndarray:
    """Kaiser-Bessel window of shape parameter `beta` >= 0 over the whole square."""
    return _make(lib.DCV_PSF_KAISER, size, beta=beta)


def exponential(decay: float, size: int | None = None) -> np.ndarray:
    """Exponential of the distance, with `decay` length > 0 px: long tails."""
    return _make(lib.DCV_PSF_EXPONENTIAL, size, decay=decay)


def validate(psf: Any) -> None:
    """Raise PsfError, with the reason, unless `psf` can be restored with: shape, odd size, finite, >= 0, positive sum."""
    check_psf(psf_planes(psf))


def normalise(psf: Any) -> np.ndarray:
    """Negative values set to 0 and each channel scaled to sum 1. PsfError when nothing positive is left."""
    planes = psf_planes(psf)
    check(lib.dcv_psf_normalise(psf_struct(planes)))
    return psf_array(planes)


def centre(psf: Any) -> np.ndarray:
    """The PSF with the centroid of all channels together moved to the middle, by whole pixels."""
    planes = psf_planes(psf)
    check(lib.dcv_psf_centre(psf_struct(planes)))
    return psf_array(planes)


def radius(psf: Any) -> float:
    """Root mean square distance from the centroid, px."""
    planes = psf_planes(psf)
    rms = ffi.new("float *")
    check(lib.dcv_psf_radius(psf_struct(planes), rms))
    return float(rms[0])


def resample(psf: Any, scale: float, size: int | None = None) -> np.ndarray:
    """The PSF as it is after the picture is scaled by `scale` (0.02 to 50); `size` None: as large as it needs."""
    planes = psf_planes(psf)
    if not 0.02 <= scale <= 50:
        raise errors.ArgumentError(f"scale must lie between 0.02 and 50, not {scale}")
    size = lib.dcv_psf_resampled_size(planes.shape[1], scale) if size is None else size
    if int(size) != size or size % 2 == 0 or not 1 <= size <= lib.DCV_PSF_MAX:
        raise errors.ArgumentError(f"scale {scale} asks for a PSF of {size} px; possible are odd sizes from 1 to {lib.DCV_PSF_MAX}")
    out = np.zeros((planes.shape[0], int(size), int(size)), np.float32)
    check(lib.dcv_psf_resample(psf_struct(planes), scale, psf_struct(out)))
    return psf_array(out)


# ---- files ---------------------------------------------------------------------------------------------------------------------------


def encode(psf: Any, metadata: dict[str, Any] | None = None, suffix: str = ".tif") -> bytes:
    """Contents of a PSF file.

    Parameters
    ----------
    psf : (n, n) or (n, n, 3) array
        Validated and scaled to sum 1.
    metadata : dict, optional
        Stored as JSON in the TIFF's ImageDescription, beside size and channels.
    suffix : {".tif", ".tiff", ".png"}
        TIFF: float32, lossless. PNG: 16 bits, the largest value at 65535, for other programs.
    """
    planes = psf_planes(psf)
    check_psf(planes)
    check(lib.dcv_psf_normalise(psf_struct(planes)))
    array = psf_array(planes)
    if suffix.lower() in (".tif", ".tiff"):
        import tifffile

        described = {FILE_MARK: FILE_VERSION, "size": planes.shape[1], "channels": planes.shape[0], **(metadata or {})}
        stream = io.BytesIO()
        tifffile.imwrite(
            stream,
            array,
            photometric="rgb" if array.ndim == 3 else "minisblack",
            description=json.dumps(described),
            metadata=None,
            software=False,
        )
        return stream.getvalue()
    if suffix.lower() == ".png":
        import imagecodecs

        return bytes(imagecodecs.png_encode(np.rint(array * (65535 / array.max())).astype(np.uint16)))
    raise errors.ArgumentError(f"a PSF is stored as .tif (float32, lossless) or .png (16 bits), not {suffix or 'without a suffix'}")


def save(path: str | os.PathLike[str], psf: Any, metadata: dict[str, Any] | None = None) -> None:
    """Write a PSF; the suffix says how, see `encode`. The file appears whole or not at all, and replaces an older one."""
    data = encode(psf, metadata, Path(path).suffix)
    with atomic(Path(path), overwrite=True) as (stream, _):
        stream.write(data)


def load(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a PSF from a TIFF (float or integer) or PNG; validated, scaled to sum 1.

    Raises
    ------
    OSError
        The file cannot be read.
    PsfError
        It is no picture, or no PSF: size even, not square, negative values, no positive sum.
    """
    return _read(path)[0]


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The metadata stored with a PSF; empty for files of other programs. Raises as `load`."""
    return _read(path)[1]


def _read(path: str | os.PathLike[str]) -> tuple[np.ndarray, dict[str, Any]]:
    data = Path(path).read_bytes()
    metadata: dict[str, Any] = {}
    try:
        if data[:4] in (b"II*\0", b"MM\0*"):
            import tifffile

            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                array = tiff.pages.first.asarray()
                metadata = _described(tiff.pages.first.description)
        elif data[:4] == b"\x89PNG":
            import imagecodecs

            array = imagecodecs.png_decode(data)
        else:
            raise errors.PsfError(f"{path}: a PSF is read from TIFF or PNG files")
    except errors.PsfError:
        raise
    except Exception as error:
        raise errors.PsfError(f"{path}: damaged file ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from error
    if array.ndim == 3 and array.shape[2] in (2, 4):
        array = array[:, :, :-1]
    try:
        planes = psf_planes(array)
        check_psf(planes)
    except errors.PsfError as error:
        raise errors.PsfError(f"{path}: {error}") from None
    check(lib.dcv_psf_normalise(psf_struct(planes)))
    return psf_array(planes), metadata


def _described(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and FILE_MARK in value else {}
