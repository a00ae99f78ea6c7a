# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenCL devices of this system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._core import ffi, lib


@dataclass(frozen=True)
class Device:
    """An OpenCL device: `memory` and `largest` (in one piece) in bytes, `units` compute units, `gpu` whether it is a graphics card."""

    number: int
    name: str
    platform: str
    driver: str
    memory: int
    largest: int
    units: int
    gpu: bool


def devices() -> tuple[Device, ...]:
    """Devices for ``backend="opencl"``; none where the library was built without OpenCL or finds none."""
    count = lib.dcv_devices(ffi.NULL, 0)
    found = ffi.new("dcv_device[]", max(count, 1))
    count = min(count, lib.dcv_devices(found, count))

    def text(characters: Any) -> str:
        return str(ffi.string(characters).decode("utf-8", "replace"))

    return tuple(Device(i, text(d.name), text(d.platform), text(d.driver), d.memory, d.largest, d.units, bool(d.gpu)) for i, d in enumerate(found[0:count]))
