# SPDX-License-Identifier: GPL-3.0-or-later
"""``dcv psf``: make, show, convert and plot point spread functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

import dcv

from .._core import lib
from ..files import atomic
from .options import check_output, common_options, overwrite_option, path_type, save_psf_file
from .report import plot_psf, print_json

PLOT_SUFFIXES = {".png": "png", ".pdf": "pdf", ".svg": "svg"}

# Kind: its parameters, as options; those with None must be given.
KINDS: dict[str, dict[str, float | None]] = {
    "gaussian": {"sigma": None},
    "disk": {"radius": None},
    "motion": {"length": None, "angle": 0.0},
    "uniform": {},
    "kaiser": {"beta": None},
    "exponential": {"decay": None},
}
NEED_SIZE = ("uniform", "kaiser")


@click.group(name="psf", short_help="Make, show, convert and plot PSFs.")
def psf_group() -> None:
    """Make, show, convert and plot PSFs (.tif: float32 with a description; .png: 16 bits)."""


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in (".tif", ".tiff", ".png"):
        raise click.UsageError("a PSF is written as .tif or .png")


@psf_group.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("output", type=path_type, metavar="OUT")
@click.option("--size", type=click.IntRange(1, lib.DCV_PSF_MAX), help="Odd; default: as large as the PSF needs. [px]")
@click.option("--sigma", type=float, help="gaussian: standard deviation. [px]")
@click.option("--radius", type=float, help="disk: radius. [px]")
@click.option("--length", type=float, help="motion: length. [px]")
@click.option("--angle", type=float, help="motion: anticlockwise from the x axis; default: 0. [degrees]")
@click.option("--beta", type=float, help="kaiser: shape parameter.")
@click.option("--decay", type=float, help="exponential: decay length. [px]")
@overwrite_option
def make(kind: str, output: Path, size: int | None, overwrite: bool, **given: float | None) -> int:
    """Write a PSF of a common shape."""
    wanted = KINDS[kind]
    surplus = [name for name, value in given.items() if value is not None and name not in wanted]
    if surplus:
        raise click.UsageError(f"a {kind} PSF has no --{surplus[0]}")
    values = {name: default if given[name] is None else given[name] for name, default in wanted.items()}
    missing = [name for name, value in values.items() if value is None]
    if size is None and kind in NEED_SIZE:
        missing.append("size")
    if missing:
        raise click.UsageError(f"a {kind} PSF needs --{missing[0]}")
    if size is not None and size % 2 == 0:
        raise click.UsageError(f"the size of a PSF is odd, not {size}")
    _check_suffix(output)
    check_output(output, (), overwrite)
    psf = getattr(dcv.psf, kind)(*values.values(), size=size)
    save_psf_file(output, psf, {"kind": kind, **values}, overwrite)
    return 0


@psf_group.command()
@click.argument("source", type=path_type, metavar="PSF")
@common_options
def show(source: Path, quiet: bool, verbose: bool, as_json: bool) -> int:
    """Print what a PSF file holds."""
    psf, metadata = dcv.psf.load(source), dcv.psf.read_metadata(source)
    told: dict[str, Any] = {
        "size": psf.shape[0],
        "channels": 1 if psf.ndim == 2 else 3,
        "radius_px": dcv.psf.radius(psf),
        "peak": float(psf.max()),
        "metadata": metadata,
    }
    if as_json:
        print_json({"psf": source, **told, "values": psf} if verbose else {"psf": source, **told})
        return 0
    print(f"{source}: {told['size']} px, {told['channels']} channel(s), radius {told['radius_px']:.2f} px, peak {told['peak']:.4f}")
    if not quiet:
        for name, value in metadata.items():
            print(f"  {name}: {value}")
        print(sketch(psf))
    return 0


def sketch(psf: np.ndarray) -> str:
    """A PSF in characters, darker for more light, two for a pixel; its channels summed."""
    plane = psf if psf.ndim == 2 else psf.sum(axis=2)
    steps = " .:-=+*#%@"
    levels = np.ceil(np.sqrt(plane / plane.max()) * (len(steps) - 1) - 0.25).clip(0, len(steps) - 1).astype(int)
    return "\n".join(("".join(2 * steps[level] for level in row)).rstrip() for row in levels)


@psf_group.command()
@click.argument("source", type=path_type, metavar="IN")
@click.argument("output", type=path_type, metavar="OUT")
@click.option("--scale", type=click.FloatRange(0.02, 50), help="Resample, as if the picture were scaled by this.")
@click.option("--centre", is_flag=True, help="Move the centroid to the middle.")
@overwrite_option
def convert(source: Path, output: Path, scale: float | None, centre: bool, overwrite: bool) -> int:
    """Convert between .tif and .png, centre, resample."""
    _check_suffix(output)
    check_output(output, (source,), overwrite)
    psf, metadata = dcv.psf.load(source), dcv.psf.read_metadata(source)
    metadata = {name: value for name, value in metadata.items() if name not in ("size", "channels", dcv.psf.FILE_MARK)}
    if centre:
        psf = dcv.psf.centre(psf)
    if scale is not None:
        psf, metadata["scaled_by"] = dcv.psf.resample(psf, scale), scale
    save_psf_file(output, psf, metadata, overwrite)
    return 0


@psf_group.command(short_help="Plot a PSF.")
@click.argument("source", type=path_type, metavar="PSF")
@click.argument("output", type=path_type, metavar="OUT")
@overwrite_option
def plot(source: Path, output: Path, overwrite: bool) -> int:
    """Plot a PSF, its profiles and its transfer function (.png, .pdf, .svg)."""
    try:
        kind = PLOT_SUFFIXES[output.suffix.lower()]
    except KeyError:
        raise click.UsageError(f"a plot is written as {', '.join(PLOT_SUFFIXES)}") from None
    check_output(output, (source,), overwrite)
    figure = plot_psf(dcv.psf.load(source), source.name, kind)
    with atomic(output, overwrite=overwrite) as (stream, _):
        stream.write(figure)
    return 0
