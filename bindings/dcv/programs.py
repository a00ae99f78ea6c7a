# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs compiled for OpenCL devices, kept in a file so that they are compiled only once."""

from __future__ import annotations

import os
from pathlib import Path

from . import files
from ._core import check, ffi, lib


def default_path() -> Path:
    """File in the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("dcv", appauthor=False)) / "opencl-programs"


def export_bytes() -> bytes:
    """Every program that this process has compiled or imported, at most 64 MB."""
    size = ffi.new("size_t *")
    data = lib.dcv_devices_cache_export(size)
    if data == ffi.NULL:
        return b""
    try:
        return bytes(ffi.buffer(data, size[0]))
    finally:
        lib.dcv_free(data)


def import_bytes(data: bytes) -> None:
    """Add programs to what this process has. ArgumentError when they are damaged: then none is added."""
    check(lib.dcv_devices_cache_import(data, len(data)))


def load(path: str | os.PathLike[str] | None = None) -> bool:
    """Import the file at `path` (None: the user's). False when there is none. OSError, ArgumentError otherwise."""
    file = default_path() if path is None else Path(path)
    if not file.exists():
        return False
    import_bytes(file.read_bytes())
    return True


def save(path: str | os.PathLike[str] | None = None) -> bool:
    """Write the programs to `path` (None: the user's), whole or not at all. False when the file is up to date. OSError when it cannot be written."""
    file = default_path() if path is None else Path(path)
    data = export_bytes()
    if not data or (file.exists() and file.read_bytes() == data):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(file, overwrite=True) as (stream, _):
        stream.write(data)
    return True
