# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands share: exit codes, expected errors, options, and the checks of an output's name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

import dcv

from ..estimation import BlurSize
from ..files import atomic
from ..params import TABLE
from .picture import PictureError

FAILED, USAGE, SOME_FAILED, EXISTS, INTERRUPTED = 1, 2, 3, 4, 130

# Errors of a picture or a file, as opposed to mistakes of the program, which keep their traceback.
EXPECTED = (dcv.DcvError, PictureError, OSError, MemoryError)


def message(error: BaseException) -> str:
    """One line for an expected error."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, MemoryError) and not str(error):
        return "not enough memory"
    return " ".join(str(error).split()) or type(error).__name__


# ---- options -------------------------------------------------------------------------------------------------------------------------


def table_options(*names: str, **changed_help: str) -> Callable[[Any], Any]:
    """Options for rows of params.def, of the same names, ranges and documentation."""

    def decorate(command: Any) -> Any:
        for name in reversed(names):
            row = TABLE[name]
            if row.type == "enum":
                kind: click.ParamType[Any] = click.Choice(row.choices)
            elif row.type == "int":
                kind = click.IntRange(int(row.min), int(row.max))
            else:
                kind = click.FloatRange(row.min, row.max)
            unit = f" [{row.unit}]" if row.unit else ""
            shown = row.choices[int(row.default)] if row.choices else f"{row.default:g}"
            text = changed_help.get(name, f"{row.doc[:1].upper()}{row.doc[1:]}.{unit} Default: {shown}.")
            command = click.option(f"--{name.replace('_', '-')}", type=kind, default=None, help=text)(command)
        return command

    return decorate


def common_options(command: Any) -> Any:
    """-q, -v, --json."""
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(command)
    command = click.option("-v", "--verbose", is_flag=True, help="Timings, parameters and the library's messages on stderr.")(command)
    return click.option("-q", "--quiet", is_flag=True, help="Nothing on stderr but errors.")(command)


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")


class WindowType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """X,Y,W,H in pixels."""

    name = "x,y,w,h"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Four whole numbers."""
        if isinstance(value, tuple):
            return value
        try:
            x, y, width, height = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not X,Y,W,H in whole pixels", param, ctx)
        if x < 0 or y < 0 or width < 1 or height < 1:
            self.fail(f"{value!r} is not a window: X, Y >= 0 and W, H >= 1", param, ctx)
        return x, y, width, height


class BlurSizeType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """An odd number of pixels, 3 to 33, or auto."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or "auto"."""
        if value == "auto" or isinstance(value, int):
            return value
        try:
            size = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of pixels nor auto", param, ctx)
        if not 3 <= size <= 33:
            self.fail(f"{size} is not in the range 3 to 33", param, ctx)
        if size % 2 == 0:
            self.fail(f"{size} is even: the size of the blur is odd, for example {size + 1}", param, ctx)
        return size


class GridType(click.ParamType):  # type: ignore[type-arg]
    """COLUMNSxROWS, at least 1 of each."""

    name = "columns x rows"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Two whole numbers."""
        if isinstance(value, tuple):
            return value
        try:
            columns, rows = (int(part) for part in value.lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is not COLUMNSxROWS, for example 3x3", param, ctx)
        if not (1 <= columns <= 64 and 1 <= rows <= 64):
            self.fail(f"{value!r}: 1 to 64 columns and rows", param, ctx)
        return columns, rows


blur_size_option = click.option(
    "--blur-size",
    type=BlurSizeType(),
    metavar="N|auto",
    help="Size of the PSF that is expected, odd, 3 to 33; a larger blur gets a larger one. [px] Default: auto, found on the picture.",
)


def window_option(also: str = "") -> Callable[[Any], Any]:
    """--window; `also`: what it serves beside the estimation."""
    return click.option(
        "--window",
        type=WindowType(),
        metavar="X,Y,W,H",
        help=f"Sample for the estimation{also}, in pixels as the file stores them, before any rotation. Default: by structure.",
    )


linear_option = click.option("--linear", is_flag=True, help="The values are linear light, whatever the profile says.")
path_type = click.Path(path_type=Path)


def check_window_size(window: tuple[int, int, int, int] | None, blur_size: BlurSize) -> None:
    """A usage error when the options alone contradict each other."""
    least = 16 if blur_size == "auto" else max(blur_size, 16)
    if window and min(window[2:]) < least:
        raise click.UsageError(f"the window of {window[2]} x {window[3]} pixels is too small: both sides at least {least}")


# ---- outputs --------------------------------------------------------------------------------------------------------------------------


def check_output(output: Path, inputs: tuple[Path, ...], overwrite: bool) -> None:
    """Refuse, before any work, an output that is an input, exists, or has no folder."""
    for path in inputs:
        if output.exists() and path.exists() and output.samefile(path):
            raise click.UsageError(f"{output} is an input: the result needs a name of its own")
    if output.is_dir():
        raise IsADirectoryError(21, os.strerror(21), str(output))
    if not output.parent.is_dir():
        raise FileNotFoundError(2, os.strerror(2), str(output.parent))
    if output.exists() and not overwrite:
        raise FileExistsError(f"{output} exists already (--overwrite replaces it)")


def save_psf_file(path: Path, psf: np.ndarray, metadata: dict[str, Any], overwrite: bool) -> None:
    """A PSF file, whole or not at all."""
    data = dcv.psf.encode(psf, metadata, path.suffix)
    with atomic(path, overwrite=overwrite) as (stream, _):
        stream.write(data)


def save_mask_file(path: Path, mask: np.ndarray, overwrite: bool) -> None:
    """A map (M, N) of 0 to 1 as a gray picture of 16 bits, TIFF or PNG by its suffix."""
    codes = np.rint(mask * 65535).astype(np.uint16)
    with atomic(path, overwrite=overwrite) as (stream, _):
        if path.suffix.lower() == ".png":
            import imagecodecs

            stream.write(imagecodecs.png_encode(codes))
        else:
            import tifffile

            tifffile.imwrite(stream, codes, compression="zlib", photometric="minisblack")
