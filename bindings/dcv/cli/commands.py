# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands ``deblur``, ``estimate``, ``compare``, ``info``; ``psf`` is in `psf_commands`.

Exit codes: 0 ok, 1 processing failed, 2 the command line is wrong, 3 some files of a batch failed, 4 the output exists, 130 interrupted. Every
failure is one line on stderr, and leaves no file behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import platform
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

import dcv

from ..estimation import BlurSize, check_window
from ..files import atomic
from ..params import FLAVOURS, TABLE
from . import picture as pictures
from .options import (
    EXISTS,
    EXPECTED,
    FAILED,
    INTERRUPTED,
    SOME_FAILED,
    GridType,
    blur_size_option,
    check_output,
    check_window_size,
    common_options,
    linear_option,
    message,
    overwrite_option,
    path_type,
    save_mask_file,
    save_psf_file,
    table_options,
    window_option,
)
from .psf_commands import psf_group
from .report import Report, Stopwatch, display, print_json, side_by_side

# In integer files the largest code means "at least this"; a little below it in light, because of rounding in the curve.
INTEGER_SATURATION = 0.99

SATURATION_HELP = (
    f"{TABLE['saturation'].doc[:1].upper()}{TABLE['saturation'].doc[1:]}. [of white] Default: {INTEGER_SATURATION} for integer files, none for floats."
)
DEVICE_HELP = "Number of the OpenCL device, as `dcv info` tells it. Default: 0."

# Share of an estimated PSF in its outermost pixels from which its square, which has grown as far as it may, was probably too small.
REACHES_EDGE = 0.1


# ---- steps ---------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def kept_findings(report: Report, *, opencl: bool = False) -> Any:
    """FFTW's wisdom and programs for OpenCL devices from the user's cache folder, and what is new back into it; failures are details."""
    kinds = {"wisdom": dcv.wisdom} | ({"programs": dcv.programs} if opencl else {})
    for name, module in kinds.items():
        try:
            module.load()
        except (OSError, dcv.DcvError) as error:
            report.detail(f"{name} not loaded: {message(error)}")
    yield
    for name, module in kinds.items():
        try:
            module.save()
        except OSError as error:
            report.detail(f"{name} not saved: {message(error)}")


def array_and_axis(pixels: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Pixels (M, N, 1 or 3) as dcv's functions want them."""
    return (pixels[:, :, 0], None) if pixels.shape[2] == 1 else (pixels, -1)


def coding_noise(picture: pictures.Picture) -> dict[str, float]:
    """The noise of a lossy file: what can be measured, and what its coding did, which cannot. Empty for the others."""
    if not picture.coding_noise:
        return {}
    array, axis = array_and_axis(picture.pixels)
    measured = float(np.sqrt(np.mean(np.square(dcv.estimate_noise(array, channel_axis=axis)))))
    return {"noise": min(1.0, float(np.hypot(measured, picture.coding_noise)))}


def clipping(values: dict[str, Any], picture: pictures.Picture) -> float | None:
    """The level at which values count as clipped: the one given, else that of integer files."""
    given = values.get("saturation")
    return (INTEGER_SATURATION if picture.integer else None) if given is None else given


def estimate(picture: pictures.Picture, blur_size: BlurSize, window: Any, values: dict[str, Any], report: Report) -> dcv.PsfEstimate:
    """Stage 1 with its progress bar."""
    array, axis = array_and_axis(picture.pixels)
    if window:
        check_window(window, array.shape, 0 if blur_size == "auto" else blur_size)
    with report.progress("estimating the blur") as progress:
        result = dcv.estimate_psf(
            array,
            blur_size,
            window=window,
            channel_axis=axis,
            per_channel=values.get("blur") == "per-channel" and axis is not None,
            noise=values.get("noise") or None,
            saturation=values.get("saturation"),
            threads=values.get("threads"),
            backend=values.get("backend"),
            device=values.get("device"),
            progress=progress,
            log=report.log,
        )
    if dcv.psf.radius(result.psf) == 0:
        report.note(f"{picture.path}: no blur found in the window {','.join(map(str, result.window))}")
    elif (rim := 1 - float(result.psf[1:-1, 1:-1].sum(axis=(0, 1)).mean())) > REACHES_EDGE:
        report.note(f"{picture.path}: {100 * rim:.0f} % of the PSF lie at the edge of its {result.psf.shape[0]} px: the blur may be larger")
    report.detail(
        f"PSF of {result.psf.shape[0]} px from the window {','.join(map(str, result.window))}: radius {dcv.psf.radius(result.psf):.2f} px, "
        f"confidence {result.confidence:.2f}"
    )
    return result


def estimate_grid(picture: pictures.Picture, blur_size: BlurSize, grid: tuple[int, int], values: dict[str, Any], report: Report) -> dcv.PsfGrid:
    """Stage 1 on the cells of a grid (columns, rows)."""
    array, axis = array_and_axis(picture.pixels)
    with report.progress("estimating the blur") as progress:
        result = dcv.estimate_psf_grid(
            array,
            blur_size,
            (grid[1], grid[0]),
            channel_axis=axis,
            per_channel=values.get("blur") == "per-channel" and axis is not None,
            noise=values.get("noise") or None,
            saturation=values.get("saturation"),
            threads=values.get("threads"),
            progress=progress,
            log=report.log,
        )
    if not result.trusted.all():
        report.note(f"{picture.path}: {np.count_nonzero(~result.trusted)} of {result.trusted.size} cells take their neighbours' PSF")
    return result


def describe_estimate(result: dcv.PsfEstimate) -> dict[str, Any]:
    """For --json and the metadata of a PSF file."""
    return {
        "window": list(result.window),
        "confidence": round(result.confidence, 4),
        "noise": result.noise,
        "radius_px": round(dcv.psf.radius(result.psf), 4),
        "scales": [dataclasses.asdict(scale) for scale in result.scales],
    }


def peak_memory_mb() -> float:
    """Largest resident size of this process so far; on Linux without that of the program that started it, which getrusage counts in."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclasses.dataclass
class Deblur:
    """Options of one ``dcv deblur``."""

    psf: np.ndarray | None
    psf_name: str
    blur_size: BlurSize
    grid: tuple[int, int] | None
    window: tuple[int, int, int, int] | None
    flavour: str
    values: dict[str, Any]
    depth: str
    linear: bool
    save_psf: Path | None
    refocus: bool
    mask: Path | None
    overwrite: bool
    report: Report

    def restore(
        self, array: np.ndarray, axis: int | None, psf: np.ndarray, window: Any, values: dict[str, Any], watch: Stopwatch
    ) -> tuple[dcv.Plan, np.ndarray]:
        """The closed plan and the restored picture."""
        with watch("plan"), self.report.progress("measuring") as progress:
            plan = dcv.Plan(array, psf, channel_axis=axis, flavour=self.flavour, progress=progress, log=self.report.log, **values)
        with plan, watch("restore"), self.report.progress("restoring") as progress:
            return plan, plan.execute(array, refocus=self.refocus, window=window if self.refocus else None, progress=progress, log=self.report.log)

    def file(self, source: Path, output: Path) -> dict[str, Any]:
        """Restore one file; returns what --json tells about it."""
        watch, report = Stopwatch(), self.report
        kind = pictures.target_format(output)
        with watch("read"):
            picture = pictures.read(source, linear=self.linear)
        depth = pictures.target_depth(picture, kind, self.depth)
        for note in picture.notes:
            report.note(f"{source}: {note}")
        array, axis = array_and_axis(picture.pixels)
        told: dict[str, Any] = {
            "input": source,
            "output": output,
            "width": array.shape[1],
            "height": array.shape[0],
            "channels": picture.pixels.shape[2],
            "depth": depth,
            "curve": picture.curves[0].name,
        }
        values = {name: value for name, value in self.values.items() if value is not None}
        values["saturation"] = clipping(values, picture)
        if not values.get("noise"):
            with watch("noise"):
                values |= coding_noise(picture)
        psf, window = self.psf, self.window
        if psf is None and self.grid:
            with watch("estimate"):
                cells = estimate_grid(picture, self.blur_size, self.grid, values, report)
            psf = cells.psf
            told["psf"] = {
                "source": "estimated",
                "size": psf.shape[2],
                "cells": [[describe_estimate(cell) for cell in row] for row in cells.cells],
                "trusted": cells.trusted.tolist(),
            }
        elif psf is None:
            with watch("estimate"):
                estimated = estimate(picture, self.blur_size, self.window, values, report)
            psf, window = estimated.psf, estimated.window
            told["psf"] = {"source": "estimated", "size": psf.shape[0], **describe_estimate(estimated)}
        else:
            if psf.ndim == 3 and axis is None:
                raise dcv.errors.PsfError("a PSF with a plane for each colour channel cannot restore a gray picture")
            told["psf"] = {"source": self.psf_name, "size": psf.shape[0], "radius_px": round(dcv.psf.radius(psf), 4)}
        values.pop("blur", None)
        try:
            plan, restored = self.restore(array, axis, psf, window, values, watch)
        except (dcv.errors.BackendError, dcv.errors.OutOfMemoryError) as error:
            if values.pop("backend", "cpu") == "cpu":
                raise
            report.note(f"{source}: {message(error)}; restored by the processor instead")
            plan, restored = self.restore(array, axis, psf, window, values, watch)
        assert plan.result is not None
        picture.pixels = restored.reshape(picture.pixels.shape)
        del array, restored
        with watch("write"), atomic(output, overwrite=self.overwrite) as (stream, temporary):
            notes = pictures.write(stream, temporary, picture, kind, depth, linear=self.linear)
        if self.save_psf:
            save_psf_file(self.save_psf, psf, {**told["psf"], "of": source.name}, self.overwrite)
            told["psf"]["file"] = self.save_psf
        if plan.map is not None:
            told["refocus"] = {"restored_share": round(float(plan.map.mean()), 4)} | ({"window": list(window)} if window else {})
            report.detail(f"{source}: the PSF explains {100 * plan.map.mean():.0f} % of the picture")
            if self.mask:
                save_mask_file(self.mask, plan.map, self.overwrite)
                told["refocus"]["mask"] = self.mask
        for note in notes:
            report.note(f"{output}: {note}")
        told["plan"] = dataclasses.asdict(plan.info)
        told["result"] = dataclasses.asdict(plan.result)
        told["seconds"] = {stage: round(seconds, 4) for stage, seconds in watch.seconds.items()}
        told["peak_memory_mb"] = round(peak_memory_mb(), 1)
        report.detail(
            f"{source}: noise {plan.info.noise:.4g}, lam {plan.info.lam:.4g}, {plan.result.iterations} iterations, halo {plan.info.halo} px, "
            f"{plan.info.tiles_x} x {plan.info.tiles_y} tiles of {plan.info.transform_width} x {plan.info.transform_height}, "
            f"plan {plan.info.bytes / 2**20:.0f} MB, peak {told['peak_memory_mb']:.0f} MB"
        )
        report.detail(f"{source}: {watch.text()}")
        return told


# ---- commands ------------------------------------------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(dcv.__version__, prog_name="dcv")
def cli() -> None:
    """Blind and non-blind deconvolution of photographs."""


@cli.command(short_help="Sharpen pictures.")
@click.argument("inputs", nargs=-1, required=True, type=path_type, metavar="IN...")
@click.argument("output", type=path_type, metavar="OUT")
@click.option("--psf", "psf_path", type=path_type, help="Restore with this PSF instead of estimating one.")
@blur_size_option
@window_option(", and a part of what --refocus restores")
@click.option("--grid", type=GridType(), metavar="CxR", help="Estimate a blur that varies over the picture: one PSF in each of so many columns and rows.")
@click.option("--flavour", type=click.Choice(list(FLAVOURS)), default="normal", show_default=True, help="Quality against time.")
@table_options(
    *(name for name in TABLE if name != "channels"),
    device=DEVICE_HELP,
    saturation=SATURATION_HELP,
)
@click.option("--depth", type=click.Choice(["keep", *pictures.DEPTHS]), default="keep", show_default=True, help="Depth of the output.")
@click.option("--save-psf", type=path_type, help="Write the PSF used: .tif (lossless) or .png (16 bits).")
@click.option("--refocus", is_flag=True, help="Restore only where the PSF explains the blur, joined with --window; the rest stays.")
@click.option("--mask", type=path_type, help="With --refocus: write where that is, white for restored, as gray .png or .tif of 16 bits.")
@linear_option
@overwrite_option
@common_options
def deblur(
    inputs: tuple[Path, ...],
    output: Path,
    psf_path: Path | None,
    blur_size: BlurSize | None,
    window: tuple[int, int, int, int] | None,
    grid: tuple[int, int] | None,
    flavour: str,
    depth: str,
    save_psf: Path | None,
    refocus: bool,
    mask: Path | None,
    linear: bool,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Sharpen pictures: estimate the blur and remove it, or remove a known one (--psf).

    OUT is a file, or for several IN a folder. TIFF, PNG and JPEG; the suffix of OUT says which. Depth, alpha, ICC profile, EXIF and XMP are kept.
    """
    report = Report(quiet, verbose)
    if psf_path and (blur_size or grid or (window and not refocus)):
        raise click.UsageError("--psf needs neither --blur-size nor --grid, and --window only with --refocus")
    if grid and (window or save_psf or refocus):
        raise click.UsageError("--grid goes with neither --window nor --save-psf nor --refocus, which are for one PSF")
    batch = len(inputs) > 1 or output.is_dir()
    for name, path in (("--save-psf", save_psf), ("--mask", mask)):
        if path and len(inputs) > 1:
            raise click.UsageError(f"{name} is for one picture")
        if path and path.suffix.lower() not in (".tif", ".tiff", ".png"):
            raise click.UsageError(f"{name} writes .tif or .png")
    if mask and not refocus:
        raise click.UsageError("--mask goes with --refocus")
    if batch and output.exists() and not output.is_dir():
        raise click.UsageError(f"several pictures need a folder to go to, and {output} is a file")
    if not batch and output.suffix.lower() not in pictures.SUFFIXES:
        raise click.UsageError(f"{output.name}: unknown format, end the name with {', '.join(pictures.SUFFIXES)}, or name a folder that exists")
    if batch and len({path.name for path in inputs}) < len(inputs):
        raise click.UsageError("two inputs have the same name")
    size = blur_size or "auto"
    check_window_size(window, size)
    psf = dcv.psf.load(psf_path) if psf_path else None
    if batch:
        output.mkdir(parents=True, exist_ok=True)
    for path in (save_psf, mask):
        if path:
            check_output(path, inputs, overwrite)
    job = Deblur(psf, str(psf_path), size, grid, window, flavour, values, depth, linear, save_psf, refocus, mask, overwrite, report)

    told: list[dict[str, Any]] = []
    codes: list[int] = []
    with kept_findings(report, opencl=values.get("backend") == "opencl"):
        for source in inputs:
            target = output / source.name if batch else output
            try:
                check_output(target, inputs, overwrite)
                told.append(job.file(source, target))
                codes.append(0)
            except EXPECTED as error:
                text = message(error)
                text = text if str(source) in text or str(target) in text else f"{source}: {text}"
                report.error(text)
                told.append({"input": source, "output": target, "error": text})
                codes.append(EXISTS if isinstance(error, FileExistsError) else FAILED)
    if as_json:
        print_json({"version": dcv.__version__, "files": told})
    if len(inputs) > 1 and any(codes):
        return SOME_FAILED if 0 in codes else FAILED
    return codes[0]


@cli.command(name="estimate", short_help="Estimate the PSF of a picture.")
@click.argument("source", type=path_type, metavar="IN")
@click.argument("output", type=path_type, metavar="PSF")
@blur_size_option
@window_option()
@table_options("noise", "blur", "saturation", "threads", "backend", "device", device=DEVICE_HELP, saturation=SATURATION_HELP)
@linear_option
@overwrite_option
@common_options
def estimate_command(
    source: Path,
    output: Path,
    blur_size: BlurSize | None,
    window: tuple[int, int, int, int] | None,
    linear: bool,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **values: Any,
) -> int:
    """Estimate the PSF of a picture and write it: .tif (float32 with a description) or .png (16 bits)."""
    report, watch = Report(quiet, verbose), Stopwatch()
    if output.suffix.lower() not in (".tif", ".tiff", ".png"):
        raise click.UsageError("a PSF is written as .tif or .png")
    size = blur_size or "auto"
    check_window_size(window, size)
    check_output(output, (source,), overwrite)
    with watch("read"):
        picture = pictures.read(source, linear=linear)
    for note in picture.notes:
        report.note(f"{source}: {note}")
    values["saturation"] = clipping(values, picture)
    if not values["noise"]:
        values |= coding_noise(picture)
    with kept_findings(report, opencl=values["backend"] == "opencl"), watch("estimate"):
        result = estimate(picture, size, window, values, report)
    told = {"source": "estimated", "of": source.name, **describe_estimate(result)}
    with watch("write"):
        save_psf_file(output, result.psf, told, overwrite)
    report.detail(f"{source}: {watch.text()}")
    if as_json:
        print_json({"version": dcv.__version__, "input": source, "output": output, "size": result.psf.shape[0], **told, "seconds": watch.seconds})
    else:
        print(f"{output}: {result.psf.shape[0]} px, radius {told['radius_px']:.2f} px, confidence {result.confidence:.2f}, noise {result.noise:.4f}")
    return 0


@cli.command()
@click.argument("first", type=path_type, metavar="A")
@click.argument("second", type=path_type, metavar="B")
@click.option("--border", type=click.IntRange(0), default=0, show_default=True, help="Frame left out of the figures. [px]")
@click.option("--sheet", type=path_type, help="Write both side by side, with ten times their difference (.png, .jpg or .tif).")
@linear_option
@overwrite_option
@common_options
def compare(first: Path, second: Path, border: int, sheet: Path | None, linear: bool, overwrite: bool, quiet: bool, verbose: bool, as_json: bool) -> int:
    """PSNR and SSIM of two pictures of the same size.

    PSNR in linear light (as deconvolution sees it) and in sRGB (as the eye does); SSIM in sRGB.
    """
    from PIL import Image
    from skimage.metrics import structural_similarity

    report = Report(quiet, verbose)
    if sheet:
        if sheet.suffix.lower() not in pictures.SUFFIXES:
            raise click.UsageError(f"{sheet.name}: unknown format, end the name with {', '.join(pictures.SUFFIXES)}")
        check_output(sheet, (first, second), overwrite)
    a, b = (pictures.read(path, linear=linear) for path in (first, second))
    for picture in (a, b):
        for note in picture.notes:
            report.note(f"{picture.path}: {note}")
    if a.pixels.shape != b.pixels.shape:
        raise pictures.PictureError(f"{first} is {_size(a)}, {second} is {_size(b)}: only equal sizes can be compared")
    height, width = a.pixels.shape[:2]
    if 2 * border + 7 > min(height, width):
        raise pictures.PictureError(f"SSIM needs 7 x 7 pixels inside the border of {border}, the pictures have {width} x {height}")
    inner = np.s_[border : height - border, border : width - border]
    one, two = a.pixels[inner], b.pixels[inner]
    eye_one, eye_two = (np.clip(dcv.to_srgb(part), 0, 1) for part in (one, two))
    told = {
        "psnr_linear_db": psnr(one, two),
        "psnr_srgb_db": psnr(eye_one, eye_two),
        "ssim_srgb": float(structural_similarity(eye_one, eye_two, data_range=1, channel_axis=2)),
        "largest_difference": float(np.abs(one - two).max()),
    }
    if sheet:
        shown = display(a.pixels), display(b.pixels)
        difference = np.clip(10 * (shown[1].astype(np.int32) - shown[0]) + 128, 0, 255).astype(np.uint8)
        row = side_by_side([(first.name, shown[0]), (second.name, shown[1]), ("10 x difference", difference)])
        data = io.BytesIO()
        Image.fromarray(row).save(data, pictures.target_format(sheet), quality=pictures.JPEG_QUALITY)
        with atomic(sheet, overwrite=overwrite) as (stream, _):
            stream.write(data.getbuffer())
    if as_json:
        print_json({"version": dcv.__version__, "a": first, "b": second, "border": border, **told})
    else:
        print(
            f"PSNR {told['psnr_linear_db']:.2f} dB linear, {told['psnr_srgb_db']:.2f} dB sRGB; SSIM {told['ssim_srgb']:.4f}; "
            f"largest difference {told['largest_difference']:.4f} of white"
        )
    return 0


def _size(picture: pictures.Picture) -> str:
    height, width, channels = picture.pixels.shape
    return f"{width} x {height} {'gray' if channels == 1 else 'RGB'}"


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB for white = 1; infinite when equal."""
    error = float(np.mean(np.square(np.subtract(a, b, dtype=np.float64))))
    return float("inf") if error == 0 else float(-10 * np.log10(error))


@cli.command()
@common_options
def info(quiet: bool, verbose: bool, as_json: bool) -> int:
    """Build, threads, devices, and where FFTW's wisdom is kept."""
    del quiet
    path = dcv.wisdom.default_path()
    told: dict[str, Any] = {
        "version": dcv.__version__,
        "build": dcv.build_info(),
        "python": f"{platform.python_version()}, numpy {np.__version__}",
        "threads": dcv.max_threads(),
        "devices": ["cpu", *(f"opencl {d.number}: {d.name} ({d.platform}, {d.memory >> 20} MB)" for d in dcv.devices())],
        "wisdom": {"path": str(path), "bytes": path.stat().st_size if path.exists() else 0},
    }
    if verbose:
        told["parameters"] = [dataclasses.asdict(row) for row in dcv.parameters()]
    if as_json:
        print_json(told)
        return 0
    lines = [(name, str(told[name])) for name in ("version", "build", "python", "threads")]
    lines.append(("devices", ", ".join(told["devices"])))
    lines.append(("wisdom", f"{path} ({told['wisdom']['bytes']} bytes)" if path.exists() else f"{path} (none yet)"))
    for row in dcv.parameters() if verbose else ():
        span = "|".join(row.choices) if row.choices else f"{row.min:g} to {row.max:g} {row.unit}".rstrip()
        lines.append((row.name, f"{span}: {row.doc}"))
    width = max(len(name) for name, _ in lines) + 2
    for name, text in lines:
        print(f"{name:{width}}{text}")
    return 0


cli.add_command(psf_group)


def _interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    report = Report()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = cli.main(arguments, prog_name="dcv", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        code = error.exit_code
    except click.ClickException as error:
        report.error(error.format_message())
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        report.error("interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has gone; keep Python from complaining about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except EXPECTED as error:
        report.error(message(error))
        code = EXISTS if isinstance(error, FileExistsError) else FAILED
    sys.exit(code or 0)
