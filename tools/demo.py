# SPDX-License-Identifier: GPL-3.0-or-later
"""What dcv does, on pictures that come with scikit-image, all through the command line.

1. A photograph blurred by a real camera movement (scikit-image's clock; public domain, by Stefan van der Walt): the blur is estimated.
2. Three colour pictures (astronaut: public domain, by NASA; chelsea: CC0, by Stefan van der Walt; coffee: CC0, by Rachel Michetti), blurred in
   linear light by known PSFs, with noise: once with the known PSF, once with the estimated one; the gain is a number.
3. A picture of 24 megapixels: time and memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import scenes
import skimage.data
import tifffile
from PIL import Image
from rich.console import Console
from rich.table import Table

import dcv
from dcv.cli import picture
from dcv.cli.report import display, psf_picture, side_by_side

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "demo-output"
Window = tuple[int, int, int, int]
CLOCK_BLUR_SIZE = 29
CLOCK_WINDOW = (90, 60, 220, 180)  # the clock; the wall around it says nothing about the blur

# Picture, PSF, noise, and the part shown on the sheet: x, y, width, height.
CASES = (
    ("astronaut", "shake 17", 0.005, (100, 10, 290, 290)),
    ("chelsea", "disk 3", 0.003, (70, 0, 290, 290)),
    ("coffee", "motion 9, 30°", 0.005, (170, 60, 290, 290)),
)


def run(*arguments: object) -> dict[str, Any]:
    """``dcv`` with these arguments and --json; ends the demo when it fails."""
    command = [sys.executable, "-m", "dcv", *(str(argument) for argument in arguments), "--json", "-q"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"demo: {' '.join(command)} ended with exit code {done.returncode}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told["files"][0]


def write_png(path: Path, linear: np.ndarray) -> None:
    """Linear light as 16-bit sRGB."""
    codes = np.rint(np.clip(dcv.to_srgb(linear), 0, 1) * 65535).astype(np.uint16)
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(codes)))


def with_psf(panel: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """The panel with a PSF in its lower left corner."""
    inset = psf_picture(psf, 68)
    framed = np.pad(inset, ((2, 2), (2, 2), (0, 0)), constant_values=160)
    out = panel.copy()
    out[-framed.shape[0] :, : framed.shape[1]] = framed
    return out


def part(linear: np.ndarray, window: Window) -> np.ndarray:
    """Part of a picture for the sheet."""
    x, y, width, height = window
    return display(linear[y : y + height, x : x + width])


def enlarged(panel: np.ndarray) -> np.ndarray:
    """The panel at twice its size."""
    return np.repeat(np.repeat(panel, 2, axis=0), 2, axis=1)


def sheet(rows: list[np.ndarray]) -> Image.Image:
    """Rows of panels below each other."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 6), (0, width - row.shape[1]), (0, 0)), constant_values=46) for row in rows]
    return Image.fromarray(np.concatenate(padded))


def clock() -> tuple[dict[str, Any], np.ndarray]:
    """The shaken photograph: blind."""
    source = OUT / "clock-blurred.png"
    source.write_bytes(imagecodecs.png_encode(skimage.data.clock()))
    estimation = ("--blur-size", CLOCK_BLUR_SIZE, "--window", ",".join(map(str, CLOCK_WINDOW)), "--save-psf", OUT / "clock-psf.tif")
    told = run("deblur", source, OUT / "clock-restored.png", "--overwrite", *estimation)
    before, after = (picture.read(path).pixels for path in (source, OUT / "clock-restored.png"))
    window = (88, 60, 219, 180)
    row = side_by_side(
        [
            ("clock, a moving camera", enlarged(part(before, window))),
            ("PSF estimated", with_psf(enlarged(part(after, window)), dcv.psf.load(OUT / "clock-psf.tif"))),
        ]
    )
    return told, row


def known(name: str, psf_name: str, sigma: float, window: Window, seed: int) -> tuple[dict[str, Any], np.ndarray]:
    """A synthetic blur: with the known PSF, and blind."""
    psf = scenes.psfs()[psf_name]
    soft, sharp = scenes.blurred(scenes.sharp_picture(name), psf, sigma, seed)
    write_png(OUT / f"{name}-blurred.png", soft)
    dcv.psf.save(OUT / f"{name}-psf-true.tif", psf, {"kind": psf_name})
    with_truth = run("deblur", OUT / f"{name}-blurred.png", OUT / f"{name}-known-psf.png", "--overwrite", "--psf", OUT / f"{name}-psf-true.tif")
    size = max(psf.shape[0], 9)
    blind = run(
        "deblur", OUT / f"{name}-blurred.png", OUT / f"{name}-blind.png", "--overwrite", "--blur-size", size, "--save-psf", OUT / f"{name}-psf.tif"
    )  # fmt: skip
    frame = psf.shape[0] // 2
    pictures = {step: picture.read(OUT / f"{name}-{step}.png").pixels for step in ("blurred", "known-psf", "blind")}
    estimated = dcv.psf.load(OUT / f"{name}-psf.tif")
    psnr = {step: scenes.psnr(pixels, sharp, 2 * frame) for step, pixels in pictures.items()}
    psnr["blind"] = scenes.aligned_psnr(pictures["blind"], sharp, frame)
    row = side_by_side(
        [
            (f"{name}, {psf_name}: {psnr['blurred']:.1f} dB", with_psf(part(pictures["blurred"], window), psf)),
            (f"known PSF: {psnr['known-psf']:.1f} dB", part(pictures["known-psf"], window)),
            (f"PSF estimated: {psnr['blind']:.1f} dB", with_psf(part(pictures["blind"], window), estimated)),
        ]
    )
    return {
        "picture": name,
        "psf": psf_name,
        "sigma": sigma,
        "psnr": psnr,
        "psf_correlation": scenes.psf_correlation(estimated, psf),
        "known_psf": with_truth,
        "blind": blind,
    }, row


def large() -> dict[str, Any]:
    """24 megapixels, 16 bits, known PSF of 15 pixels."""
    psf = scenes.shake(10, 15)
    dcv.psf.save(OUT / "large-psf.tif", psf)
    whole = scenes.large_picture(psf)
    codes = np.empty(whole.shape, np.uint16)
    picture.colour.encode(whole, (picture.colour.LINEAR,) * 3, codes)
    tifffile.imwrite(OUT / "large-blurred.tif", codes, photometric="rgb")
    del whole, codes
    start = time.perf_counter()
    told = run("deblur", OUT / "large-blurred.tif", OUT / "large-restored.tif", "--overwrite", "--linear", "--psf", OUT / "large-psf.tif")
    told["wall_seconds"] = time.perf_counter() - start
    return told


def tables(results: dict[str, Any]) -> Table:
    """The figures."""
    table = Table(title="PSNR in linear light, dB; times of one restoration", title_justify="left")
    for column in ("picture", "PSF", "noise", "blurred", "known PSF", "blind", "PSF corr.", "estimate", "restore"):
        table.add_column(column, justify="left" if column in ("picture", "PSF") else "right")
    clock_told = results["clock"]
    table.add_row("clock", "real, unknown", "", "", "", "", "", *(f"{clock_told['seconds'][stage]:.2f} s" for stage in ("estimate", "restore")))
    for case in results["known"]:
        psnr = case["psnr"]
        table.add_row(
            case["picture"],
            case["psf"],
            f"{case['sigma']:g}",
            *(f"{psnr[step]:.2f}" for step in ("blurred", "known-psf", "blind")),
            f"{case['psf_correlation']:.3f}",
            *(f"{case['blind']['seconds'][stage]:.2f} s" for stage in ("estimate", "restore")),
        )
    return table


def main() -> None:
    """All of it."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    begin = time.perf_counter()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    console = Console(width=130)
    console.print(f"dcv {dcv.__version__}, {dcv.build_info()}, {dcv.max_threads()} threads")
    results: dict[str, Any] = {}
    results["clock"], first = clock()
    done = [known(*case, seed) for seed, case in enumerate(CASES)]
    results["known"] = [told for told, _ in done]
    for name in ("clock", *(case[0] for case in CASES)):
        subprocess.run([sys.executable, "-m", "dcv", "psf", "plot", OUT / f"{name}-psf.tif", OUT / f"{name}-psf.png"], check=True)
    rows = [row for _, row in done]
    sheet([first, *rows]).save(OUT / "before-after.png")
    sheet(rows).save(OUT / "before-after.jpg", quality=88)
    console.print(tables(results))
    results["large"] = told = large()
    seconds = told["seconds"]
    console.print(
        f"24 megapixels (6000 x 4000 x 3, 16 bits, PSF 15): {told['wall_seconds']:.1f} s in all: "
        + ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in ("read", "plan", "restore", "write"))
        + f" s; memory: plan {told['plan']['bytes'] / 1e6:.0f} MB, "
        f"process {told['peak_memory_mb']:.0f} MB (input and output as floats: 576 MB)"
    )
    results["seconds"] = time.perf_counter() - begin
    (OUT / "results.json").write_text(json.dumps(results, indent=2), "utf-8")
    console.print(f"{results['seconds']:.0f} s; pictures, PSFs and results.json in {OUT}; side by side: {OUT / 'before-after.png'}")


if __name__ == "__main__":
    main()
