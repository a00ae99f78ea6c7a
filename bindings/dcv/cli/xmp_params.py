# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of darktable's deconvolution module, versions 1 to 3: the struct of c_src/darktable/deconvolution.c as bytes and as text.

The PSF is stored as in c_src/darktable/psf_codec.c: the used square only, each channel scaled to a peak of 65535, with a checksum.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import Any

import numpy as np

import dcv

OPERATION = "deconvolution"
VERSION = 3
SOURCES = ("estimated", "gaussian", "disk", "motion", "none")
FLAVOURS = ("fast", "normal", "best")
LARGEST_PSF = 33  # side in pixels
LAYOUT_1 = struct.Struct("<ii4ffi4fii5fiiI3268H")  # little-endian; the array is one longer than 3 * 33**2, for its alignment
LAYOUT_2 = struct.Struct(LAYOUT_1.format + "fii")  # goes on behind the PSF
LAYOUT = struct.Struct(LAYOUT_2.format + "f")
STORED_VALUES = 3268
LONGEST_TEXT = 1 << 24  # bytes that a decoded text may have: more than any module's parameters

# Field: default, least and largest value, in the struct's order; `window` (left, top, right, bottom, relative to the picture) is four numbers.
FIELDS: dict[str, tuple[Any, float, float]] = {
    "source": (0, 0, 4),
    "blur_size": (9, 3, LARGEST_PSF),
    "window": ((0.35, 0.35, 0.65, 0.65), 0, 1),
    "priority": (0.0, -1, 1),
    "flavour": (1, 0, 2),
    "sigma": (1.5, 0.3, 10),
    "radius": (3.0, 0.5, 20),
    "length": (9.0, 1, 60),
    "angle": (0.0, -90, 90),
    "blur": (0, 0, 1),
    "iterations": (0, 0, 200),
    "noise": (0.0, 0, 0.2),
    "clipping": (0.0, 0, 16),
    "measured_noise": (0.0, 0, 1),
    "measured_gradient": (0.0, 0, 1000),
    "confidence": (0.0, 0, 1),
    "tolerance": (0.0, 0, 10),
    "measured_iterations": (0, 0, 1000),
    "refocus": (0, 0, 1),
    "measured_edge": (0.0, 0, 1e6),
}
BEHIND = ("tolerance", "measured_iterations", "refocus", "measured_edge")  # those behind the PSF, 0 where an older struct ends
NAMED = {"source": SOURCES, "flavour": FLAVOURS}


class XmpError(dcv.DcvError, ValueError):
    """A sidecar, or parameters in it, that cannot be read or edited; the message says why."""


def defaults() -> dict[str, Any]:
    """All fields as the module has them when first switched on; no PSF."""
    values = {name: NAMED[name][row[0]] if name in NAMED else row[0] for name, row in FIELDS.items()}
    return {**values, "psf": None}


def checksum(size: int, channels: int, codes: np.ndarray) -> int:
    """FNV-1a, 32 bits (Fowler, Noll, Vo), over size, channels and the used values as little-endian 16-bit numbers."""
    value = 2166136261
    for byte in np.concatenate([[size, channels], codes.ravel()]).astype("<u2").tobytes():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def trimmed(psf: np.ndarray) -> np.ndarray:
    """A PSF without the empty frame that makes it too large to be stored; XmpError when there is light in that frame."""
    frame = (psf.shape[0] - LARGEST_PSF) // 2
    if frame <= 0:
        return psf
    inner = psf[frame:-frame, frame:-frame]
    if np.count_nonzero(inner) < np.count_nonzero(psf):
        raise XmpError(f"the PSF is {psf.shape[0]} pixels wide, the module takes {LARGEST_PSF} at most")
    return inner


def pack(psf: np.ndarray | None = None, **values: Any) -> bytes:
    """Bytes of the struct.

    Parameters
    ----------
    psf : (n, n) or (n, n, 3) array, optional
        n odd, at most 33; values >= 0, a positive one in each channel.
    **values
        Fields that differ from `defaults`; `source` and `flavour` by name.

    Raises
    ------
    TypeError
        A field that does not exist.
    XmpError
        A value out of its range, or a PSF that is too large.
    PsfError
        Other values than a PSF has.
    """
    unknown = values.keys() - FIELDS.keys()
    if unknown:
        raise TypeError(f"the module has no parameter {', '.join(sorted(unknown))}")
    fields = {**defaults(), **values}
    numbers = [_number(name, fields[name]) for name in FIELDS if name not in BEHIND]
    size = channels = check = 0
    stored = np.zeros(STORED_VALUES, np.uint16)
    if psf is not None:
        dcv.psf.validate(psf)
        inner = np.atleast_3d(trimmed(np.asarray(psf, np.float64)))
        planes = np.moveaxis(inner, -1, 0)
        channels, size = planes.shape[:2]
        codes = np.rint(65535 * planes / planes.max(axis=(1, 2), keepdims=True)).astype(np.uint16)
        stored[: codes.size] = codes.ravel()
        check = checksum(size, channels, codes)
    flat = [part for number in numbers for part in (number if isinstance(number, tuple) else (number,))]
    return LAYOUT.pack(*flat, size, channels, check, *stored.tolist(), *(_number(name, fields[name]) for name in BEHIND))


def unpack(data: bytes) -> dict[str, Any]:
    """The fields of a struct, as for `pack`, with "psf" None or (n, n[, 3]) of sum 1; XmpError for bytes that the module would refuse."""
    if len(data) in (LAYOUT_1.size, LAYOUT_2.size):
        data += bytes(LAYOUT.size - len(data))
    if len(data) != LAYOUT.size:
        raise XmpError(f"damaged parameters: {len(data)} bytes in place of {LAYOUT.size}")
    values = list(LAYOUT.unpack(data))
    behind = dict(zip(BEHIND, values[-len(BEHIND) :], strict=True))
    del values[-len(BEHIND) :]
    fields: dict[str, Any] = {}
    for name in FIELDS:
        value: Any = behind[name] if name in BEHIND else tuple(values.pop(0) for _ in range(4)) if name == "window" else values.pop(0)
        if not _in_range(name, value):
            raise XmpError(f"damaged parameters: {name} is {value}")
        fields[name] = NAMED[name][value] if name in NAMED else value
    size, channels, check, *stored = values
    fields["psf"] = _stored_psf(size, channels, check, np.array(stored, np.uint16))
    return fields


def _stored_psf(size: int, channels: int, check: int, stored: np.ndarray) -> np.ndarray | None:
    if size == 0 and channels == 0:
        return None
    if not (1 <= size <= LARGEST_PSF and size % 2 and channels in (1, 3)):
        raise XmpError(f"damaged parameters: a PSF of {size} pixels and {channels} channels")
    planes = stored[: channels * size * size].reshape(channels, size, size)
    if check != checksum(size, channels, planes) or not planes.any(axis=(1, 2)).all():
        raise XmpError("damaged parameters: the PSF does not fit its checksum")
    psf = np.moveaxis(planes / planes.sum(axis=(1, 2), keepdims=True), 0, -1).astype(np.float32)
    return psf[:, :, 0] if channels == 1 else np.ascontiguousarray(psf)


def psf_of(fields: dict[str, Any]) -> np.ndarray | None:
    """The PSF that the module restores with: described by numbers, or stored; None while it is unknown."""
    if fields["source"] == "gaussian":
        return dcv.psf.gaussian(fields["sigma"])
    if fields["source"] == "disk":
        return dcv.psf.disk(fields["radius"])
    if fields["source"] == "none":
        return np.ones((1, 1), np.float32)
    if fields["source"] == "motion":
        return dcv.psf.motion(fields["length"], fields["angle"])
    stored: np.ndarray | None = fields["psf"]
    return stored


def _in_range(name: str, value: Any) -> bool:
    _, least, largest = FIELDS[name]
    # the limits in single precision too, as the struct holds them; false for NaN
    return all(np.float32(least) <= np.float32(part) <= np.float32(largest) for part in (value if isinstance(value, tuple) else (value,)))


def _number(name: str, value: Any) -> Any:
    if name in NAMED:
        if value not in NAMED[name]:
            raise XmpError(f"{name} is one of {', '.join(NAMED[name])}, not {value}")
        return NAMED[name].index(value)
    if not _in_range(name, value):
        raise XmpError(f"{name} is between {FIELDS[name][1]:g} and {FIELDS[name][2]:g}, not {value}")
    return value


# ---- text ----------------------------------------------------------------------------------------------------------------------------


def encode(data: bytes) -> str:
    """darktable's compressed text: "gz", two digits for how many times larger the bytes are, base64 of zlib."""
    packed = zlib.compress(data)
    return f"gz{min(len(data) // len(packed) + 1, 99):02d}{base64.b64encode(packed).decode()}"


def decode(text: str) -> bytes:
    """The bytes of either text form, compressed or hexadecimal; XmpError when damaged."""
    try:
        if not text.startswith("gz"):
            return bytes.fromhex(text)
        stream = zlib.decompressobj()
        data = stream.decompress(base64.b64decode(text[4:], validate=True), LONGEST_TEXT)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise XmpError(f"damaged parameters: {error}") from None
    if not stream.eof:
        raise XmpError("damaged parameters: the compressed bytes end too early")
    return data
