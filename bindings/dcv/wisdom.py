# SPDX-License-Identifier: GPL-3.0-or-later
"""FFTW's wisdom: the fastest transforms found on this machine, kept in a file so that they are searched for only once."""

from __future__ import annotations

import os
from pathlib import Path

from . import files
from ._core import check, ffi, lib


def default_path() -> Path:
    """File in the user's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("dcv", appauthor=False)) / "fftwf-wisdom"


def export_text() -> str:
    """Everything FFTW has learnt in this process."""
    text = lib.dcv_wisdom_export()
    if text == ffi.NULL:
        return ""
    try:
        return ffi.string(text).decode("ascii")
    finally:
        lib.dcv_free(text)


def import_text(text: str) -> None:
    """Add wisdom to what this process knows. ArgumentError when FFTW refuses it (another version, or damaged)."""
    check(lib.dcv_wisdom_import(text.encode("ascii", "replace")))


def load(path: str | os.PathLike[str] | None = None) -> bool:
    """Import the file at `path` (None: the user's). False when there is none. OSError, ArgumentError otherwise."""
    file = default_path() if path is None else Path(path)
    if not file.exists():
        return False
    import_text(file.read_text("ascii", "replace"))
    return True


def save(path: str | os.PathLike[str] | None = None) -> bool:
    """Write the wisdom to `path` (None: the user's), whole or not at all. False when the file is up to date. OSError when it cannot be written."""
    file = default_path() if path is None else Path(path)
    text = export_text()
    if not text or (file.exists() and file.read_text("ascii", "replace") == text):
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.atomic(file, overwrite=True) as (stream, _):
        stream.write(text.encode("ascii"))
    return True
