# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def _default_mode() -> int:
    """Permissions of a new file under the process's mask."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def atomic(path: Path, *, overwrite: bool) -> Iterator[tuple[BinaryIO, Path]]:
    """A stream and its path, for a temporary file beside `path` that takes its place at the end of the block and vanishes on any exception.

    The temporary file has the same suffix, for libraries that open it by name.

    Raises
    ------
    FileExistsError
        `path` exists and `overwrite` is False.
    OSError
        The folder is missing or not writable, or no space is left.
    """
    if not overwrite and path.exists():
        raise FileExistsError(f"{path} exists already")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=path.suffix)
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path.parent)) from None
    try:
        os.close(handle)
        with open(name, "w+b") as stream:
            yield stream, Path(name)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(name, _default_mode())
        if overwrite:
            os.replace(name, path)
        else:
            _rename_new(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _rename_new(name: str, path: Path) -> None:
    """Rename, but fail when `path` has come into being meanwhile; file systems without hard links get the plain rename."""
    try:
        os.link(name, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already") from None
    except OSError:
        os.replace(name, path)
    else:
        os.unlink(name)
