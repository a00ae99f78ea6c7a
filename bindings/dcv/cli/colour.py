# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfer curves: from code values to linear light and back, as the picture's ICC profile says.

Only the tone curves of matrix/TRC and gray profiles (ICC.1:2022, 8.3.3 and 8.4.2) are used: deconvolution works on each channel's amount of
light, so the primaries stay what they are. Curves go on outside 0 to 1, odd about 0, so that nothing is clipped on the way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..restoration import from_srgb, to_srgb

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Curve:
    """`decode`: code value 0..1 to linear light; `encode`: its inverse. `name` for messages."""

    name: str
    decode: Function
    encode: Function


def _same(values: np.ndarray) -> np.ndarray:
    return values


LINEAR = Curve("linear", _same, _same)
SRGB = Curve("sRGB", from_srgb, to_srgb)


class ProfileError(ValueError):
    """A profile without usable curves; the message says why."""


def parametric(g: float, a: float, b: float, c: float, d: float, e: float, f: float) -> Curve:
    """Y = (a X + b)^g + e for X >= d, else c X + f (ICC.1:2022, table 68, type 4; the other types are special cases)."""

    def decode(values: np.ndarray) -> np.ndarray:
        x = np.abs(values)
        y = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
        return np.copysign(np.maximum(y, 0), values).astype(values.dtype)

    knee = max(float(a * d + b), 0.0) ** g + e

    def encode(values: np.ndarray) -> np.ndarray:
        y = np.abs(values)
        upper = (np.maximum(y - e, 0) ** (1 / g) - b) / a
        x = np.where(y >= knee, upper, (y - f) / c if c else np.minimum(upper, d))
        return np.copysign(np.maximum(x, 0), values).astype(values.dtype)

    return Curve(f"gamma {g:.4g}", decode, encode)


def sampled(table: np.ndarray) -> Curve:
    """Linear interpolation in a rising table of Y over X = 0..1; the last slope goes on above."""
    y = np.maximum.accumulate(np.asarray(table, np.float64))
    x = np.linspace(0, 1, len(y))
    if not y[-1] > y[0]:
        raise ProfileError("its curve is flat")
    before = int(np.flatnonzero(y < y[-1])[-1])
    slope = (y[-1] - y[before]) / (1 - x[before])

    def decode(values: np.ndarray) -> np.ndarray:
        size = np.abs(values)
        light = np.interp(size, x, y) + np.maximum(size - 1, 0) * slope
        return np.copysign(light, values).astype(values.dtype)

    def encode(values: np.ndarray) -> np.ndarray:
        size = np.abs(values)
        code = np.interp(size, y, x) + np.maximum(size - y[-1], 0) / slope
        return np.copysign(np.where(size <= y[0], 0, code), values).astype(values.dtype)

    return Curve(f"table of {len(y)}", decode, encode)


def parse_curve(data: bytes) -> Curve:
    """A ``curv`` or ``para`` element (ICC.1:2022, 10.6 and 10.18)."""
    kind = data[:4]
    try:
        if kind == b"curv":
            (count,) = struct.unpack_from(">I", data, 8)
            if count == 0:
                return LINEAR
            values = np.frombuffer(data, ">u2", count, 12)
            if count == 1:
                gamma = float(values[0]) / 256
                if gamma == 0:
                    raise ProfileError("its curve does not rise")
                return LINEAR if gamma == 1 else parametric(gamma, 1, 0, 0, 0, 0, 0)
            return sampled(values / 65535)
        if kind == b"para":
            (form,) = struct.unpack_from(">H", data, 8)
            count = (1, 3, 4, 5, 7)[form]
            p = [value / 65536 for value in struct.unpack_from(f">{count}i", data, 12)]
            if p[0] <= 0 or (form and p[1] <= 0):
                raise ProfileError("its curve does not rise")
            if form == 0:
                return LINEAR if p[0] == 1 else parametric(p[0], 1, 0, 0, 0, 0, 0)
            if form == 1:
                return parametric(p[0], p[1], p[2], 0, -p[2] / p[1], 0, 0)
            if form == 2:
                return parametric(p[0], p[1], p[2], 0, -p[2] / p[1], p[3], p[3])
            if form == 3:
                return parametric(p[0], p[1], p[2], p[3], p[4], 0, 0)
            return parametric(p[0], p[1], p[2], p[3], p[4], p[5], p[6])
    except (struct.error, IndexError, ValueError) as error:
        raise error if isinstance(error, ProfileError) else ProfileError("its curves are damaged") from None
    raise ProfileError("its curves are of an unknown kind")


def profile_curves(icc: bytes, channels: int) -> tuple[Curve, ...]:
    """Curves of a profile for 1 or 3 channels, one each. ProfileError when it has none."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        raise ProfileError("it is damaged")
    space = icc[16:20].decode("latin-1").strip()
    if space != ("GRAY" if channels == 1 else "RGB"):
        raise ProfileError(f"it is for {space}, the picture has {channels} channels of colour")
    (count,) = struct.unpack_from(">I", icc, 128)
    tags: dict[bytes, bytes] = {}
    for i in range(min(count, 200)):
        if 132 + 12 * i + 12 > len(icc):
            raise ProfileError("it is damaged")
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * i)
        tags[name] = icc[offset : offset + size]
    names = (b"kTRC",) if channels == 1 else (b"rTRC", b"gTRC", b"bTRC")
    if not all(name in tags for name in names):
        raise ProfileError("it has tables in place of curves")
    parsed = {tags[name]: parse_curve(tags[name]) for name in names}
    return tuple(parsed[tags[name]] for name in names)


def linearise(codes: np.ndarray, curves: tuple[Curve, ...], out: np.ndarray, rows: int = 128) -> None:
    """Code values (M, N, C), integers or floats, as linear light in `out` (float32, same shape). A few rows at a time."""
    if codes.dtype.kind == "u":
        white = np.iinfo(codes.dtype).max
        grid = np.arange(white + 1, dtype=np.float64) / white
        tables = {id(curve): curve.decode(grid).astype(np.float32) for curve in curves}
        for top in range(0, len(codes), rows):
            band = codes[top : top + rows]
            if len(tables) == 1:
                out[top : top + rows] = tables[id(curves[0])][band]
                continue
            for channel, curve in enumerate(curves):
                out[top : top + rows, :, channel] = tables[id(curve)][band[:, :, channel]]
        return
    for channel, curve in enumerate(curves):
        out[:, :, channel] = curve.decode(codes[:, :, channel].astype(np.float32, copy=False))


def encode(linear: np.ndarray, curves: tuple[Curve, ...], out: np.ndarray, rows: int = 128) -> None:
    """Linear light (M, N, C) as code values in `out`; integers are rounded and limited to their range, floats are not. A few rows at a time."""
    white = np.float32(np.iinfo(out.dtype).max if out.dtype.kind == "u" else 1)
    for top in range(0, linear.shape[0], rows):
        part = linear[top : top + rows]
        if len({id(curve) for curve in curves}) == 1:
            values = curves[0].encode(part)
        else:
            values = np.stack([curve.encode(part[:, :, channel]) for channel, curve in enumerate(curves)], axis=-1)
        if out.dtype.kind == "u":
            values = np.clip(values * white + np.float32(0.5), 0, white)
        out[top : top + rows] = values
