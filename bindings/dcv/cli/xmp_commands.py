# SPDX-License-Identifier: GPL-3.0-or-later
"""``dcv xmp``: sidecars that switch darktable's deconvolution module on, for darktable-cli and batches without a GUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

import dcv

from .. import params as core_params
from .._core import check, ffi, image_struct, lib, native, psf_ready, psf_struct
from ..files import atomic
from . import picture as pictures
from .commands import coding_noise
from .options import check_output, common_options, overwrite_option, path_type, save_psf_file
from .psf_commands import sketch
from .report import Report, print_json
from .xmp_params import FIELDS, FLAVOURS, OPERATION, XmpError, defaults, pack, psf_of, unpack
from .xmp_sidecar import ORDER_JPEG, ORDER_RAW, Sidecar, Step


@click.group(name="xmp", short_help="Write, show, take apart darktable sidecars.")
def xmp_group() -> None:
    """Write, show and take apart darktable sidecars (.xmp) with the deconvolution module."""


class MotionType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """L or L,A: length in pixels, angle in degrees."""

    name = "l,a"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Length, and angle within -90 to 90 degrees."""
        if isinstance(value, tuple):
            return value
        try:
            length, angle = (float(part) for part in (value if "," in value else f"{value},0").split(","))
        except ValueError:
            self.fail(f"{value!r} is not L,A: a length in pixels, an angle in degrees", param, ctx)
        least, largest = FIELDS["length"][1:]
        if not (least <= length <= largest and np.isfinite(angle)):
            self.fail(f"{value!r}: the length is between {least:g} and {largest:g} pixels", param, ctx)
        return length, angle if abs(angle) <= 90 else (angle + 90) % 180 - 90


def field_type(name: str) -> click.FloatRange:
    """The range of one of the module's parameters."""
    return click.FloatRange(*FIELDS[name][1:])


def read_sidecar(path: Path) -> Sidecar:
    """A sidecar; errors name the file."""
    try:
        return Sidecar(path.read_bytes())
    except XmpError as error:
        raise XmpError(f"{path}: {error}") from None


def read_step(path: Path) -> tuple[Sidecar, Step, dict[str, Any]]:
    """A sidecar with the module: the step that counts and its parameters."""
    sidecar = read_sidecar(path)
    step = sidecar.step()
    if step is None:
        raise XmpError(f"{path}: the history has no {OPERATION}")
    try:
        return sidecar, step, unpack(step.params())
    except XmpError as error:
        raise XmpError(f"{path}: {error}") from None


def measure_picture(path: Path, psf: np.ndarray, report: Report) -> dict[str, float]:
    """Noise, gradient and edge of a picture, as the module measures them on its sample; here on the whole picture."""
    picture = pictures.read(path)
    for note in picture.notes:
        report.note(f"{path}: {note}")
    array = native(picture.pixels)
    channels = array.shape[2]
    planes = psf_ready(psf, channels)
    values = core_params.make(channels=channels, noise=coding_noise(picture).get("noise"))
    check(lib.dcv_params_resolve(values, image_struct(array), psf_struct(planes), ffi.NULL))
    return {"measured_noise": float(values.noise), "measured_gradient": float(values.gradient), "measured_edge": float(values.edge)}


def chosen_psf(psf_path: Path | None, gaussian: float | None, disk: float | None, motion: tuple[float, float] | None) -> dict[str, Any]:
    """The fields that the options for the PSF set."""
    if gaussian is not None:
        return {"source": "gaussian", "sigma": gaussian}
    if disk is not None:
        return {"source": "disk", "radius": disk}
    if motion is not None:
        return {"source": "motion", "length": motion[0], "angle": motion[1]}
    if psf_path is None:
        return {}
    psf, metadata = dcv.psf.load(psf_path), dcv.psf.read_metadata(psf_path)
    confidence = metadata.get("confidence", 1.0)
    known = isinstance(confidence, (int, float)) and 0 <= confidence <= 1
    return {"source": "estimated", "psf": psf, "blur": int(psf.ndim == 3), "confidence": confidence if known else 1.0}


@xmp_group.command(short_help="Write a sidecar.")
@click.argument("target", type=path_type, metavar="PICTURE|SIDECAR")
@click.option("--psf", "psf_path", type=path_type, help="The blur: a PSF file, .tif or .png, up to 33 px wide.")
@click.option("--gaussian", type=field_type("sigma"), metavar="S", help="The blur: a Gaussian of this standard deviation. [px]")
@click.option("--disk", type=field_type("radius"), metavar="R", help="The blur: a disk of this radius, defocus. [px]")
@click.option("--motion", type=MotionType(), metavar="L,A", help="The blur: straight motion, length [px] and angle [degrees], anticlockwise from the x axis.")
@click.option("--priority", type=field_type("priority"), help="-1: denoise, 1: deblur.")
@click.option("--flavour", type=click.Choice(FLAVOURS), help="Quality against time.")
@click.option("--noise", type=field_type("noise"), help="Noise to assume, of white; 0: as measured.")
@click.option("--refocus/--no-refocus", default=None, help="Restore only where the picture has this blur.")
@click.option("--measure/--no-measure", default=None, help="Measure noise and gradient on the picture. Default: if it is TIFF, PNG or JPEG.")
@click.option("--reset", is_flag=True, help="Forget the parameters that the sidecar has.")
@click.option("-o", "--output", type=path_type, help="Default: the sidecar itself, PICTURE.xmp.")
@overwrite_option
@common_options
def write(
    target: Path,
    psf_path: Path | None,
    gaussian: float | None,
    disk: float | None,
    motion: tuple[float, float] | None,
    measure: bool | None,
    reset: bool,
    output: Path | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Write PICTURE.xmp with the module switched on, or switch it on in a sidecar that exists (--overwrite, or -o).

    What an option does not say stays as it is in the sidecar, the rest of which is kept byte for byte.
    """
    report = Report(quiet, verbose)
    if sum(option is not None for option in (psf_path, gaussian, disk, motion)) > 1:
        raise click.UsageError("one blur: --psf, --gaussian, --disk or --motion")
    is_sidecar = target.suffix.lower() == ".xmp"
    source = target if is_sidecar else target.with_name(f"{target.name}.xmp")
    picture = target.with_suffix("") if is_sidecar else target
    if not target.exists():
        raise FileNotFoundError(2, "No such file or directory", str(target))
    output = output or source
    check_output(output, () if is_sidecar else (picture,), overwrite)

    sidecar = read_sidecar(source) if source.exists() else Sidecar.empty()
    fields = defaults()
    if sidecar.step() and not reset:
        try:
            fields = read_step(source)[2]
        except XmpError as error:
            raise XmpError(f"{error} (--reset starts anew)") from None
    fields |= chosen_psf(psf_path, gaussian, disk, motion)
    fields |= {name: int(value) if isinstance(value, bool) else value for name, value in given.items() if value is not None}
    psf = psf_of(fields)
    if psf is None:
        raise click.UsageError("the blur is not known: --psf, --gaussian, --disk or --motion")
    readable = picture.suffix.lower() in pictures.SUFFIXES
    if measure or (measure is None and readable and picture.exists()):
        fields |= measure_picture(picture, psf, report)
    try:
        data = sidecar.with_params(pack(**fields), ORDER_JPEG if readable else ORDER_RAW)
    except XmpError as error:
        raise XmpError(f"{source}: {error}") from None
    with atomic(output, overwrite=overwrite) as (stream, _):
        stream.write(data)
    if as_json:
        print_json({"version": dcv.__version__, "sidecar": output, **describe(fields, verbose)})
    else:
        report.detail(f"{output}: {one_line(fields)}")
    return 0


def describe(fields: dict[str, Any], values: bool) -> dict[str, Any]:
    """For --json: the parameters, in the seven digits of single precision."""

    def short(value: Any) -> Any:
        if isinstance(value, tuple):
            return [short(part) for part in value]
        return float(f"{value:.7g}") if isinstance(value, float) else value

    psf = psf_of(fields)
    told: dict[str, Any] = {name: short(fields[name]) for name in FIELDS}
    told["psf"] = None
    if psf is not None:
        told["psf"] = {"size": psf.shape[0], "channels": 1 if psf.ndim == 2 else 3, "radius_px": round(dcv.psf.radius(psf), 4)}
        told["psf"] |= {"values": psf} if values else {}
    return told


def one_line(fields: dict[str, Any]) -> str:
    """The parameters that matter most, for people."""
    psf = psf_of(fields)
    blur = "blur not known" if psf is None else f"{fields['source']} PSF of {psf.shape[0]} px, radius {dcv.psf.radius(psf):.2f} px"
    level = fields["noise"] or fields["measured_noise"]
    noise = f"noise {level:.4f}{'' if fields['noise'] else ' measured'}" if level else "noise not measured"
    return f"{blur}, priority {fields['priority']:g}, {fields['flavour']}, {noise}"


@xmp_group.command()
@click.argument("source", type=path_type, metavar="SIDECAR")
@common_options
def show(source: Path, quiet: bool, verbose: bool, as_json: bool) -> int:
    """Print the module's parameters in a sidecar."""
    sidecar, step, fields = read_step(source)
    if as_json:
        place = {"num": step.num, "instance": step.instance, "enabled": step.enabled, "history_end": sidecar.end}
        print_json({"sidecar": source, **place, **describe(fields, verbose)})
        return 0
    print(f"{source}: {'on' if step.enabled else 'off'}, {one_line(fields)}")
    psf = psf_of(fields)
    if not quiet:
        for name, value in describe(fields, False).items():
            if name != "psf":
                print(f"  {name}: {value}")
        if psf is not None:
            print(sketch(psf))
    return 0


@xmp_group.command(short_help="Write the PSF of a sidecar.")
@click.argument("source", type=path_type, metavar="SIDECAR")
@click.argument("output", type=path_type, metavar="OUT")
@overwrite_option
def psf(source: Path, output: Path, overwrite: bool) -> int:
    """Write the PSF that a sidecar restores with: .tif (float32 with a description) or .png (16 bits)."""
    if output.suffix.lower() not in (".tif", ".tiff", ".png"):
        raise click.UsageError("a PSF is written as .tif or .png")
    check_output(output, (source,), overwrite)
    fields = read_step(source)[2]
    found = psf_of(fields)
    if found is None:
        raise XmpError(f"{source}: the blur is not known yet")
    save_psf_file(output, found, {"source": fields["source"], "of": source.name, "confidence": round(fields["confidence"], 4)}, overwrite)
    return 0
