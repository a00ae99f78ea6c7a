# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture restored whole against the same in tiles, and with one thread against two: largest and RMS difference, white = 1.

The tiles have the library's own halo for the PSF and the noise it measures, and are kept as small as that halo allows. The figures inside leave out
40 pixels at the frame, where the surroundings are guessed.
"""

from __future__ import annotations

import json

import click
import numpy as np
import scenes
import skimage.io
from rich.console import Console
from rich.table import Table

import dcv

SIGMAS = (0.002, 0.005, 0.01, 0.02)
FRAME = 40
WHOLE = 512  # a halo that leaves one tile


def restored(picture: np.ndarray, psf: np.ndarray, **options: int) -> tuple[np.ndarray, dcv.PlanInfo]:
    """Restored picture and how the plan worked."""
    with dcv.Plan(picture, psf, channel_axis=-1, planning="estimate", **options) as plan:
        return plan.execute(picture), plan.info


def spread(difference: np.ndarray) -> dict[str, float]:
    """Largest value and root mean square of absolute differences."""
    return {"largest": float(difference.max()), "rms": float(np.sqrt(np.mean(np.square(difference))))}


@click.command(help=__doc__)
@click.option("--psf", "files", multiple=True, type=click.Path(exists=True), help="Further PSF files to measure.")
@click.option("--tile", default=256, show_default=True, help="Largest side of a tile's transform; more where the halo needs it.")
@click.option("--amplified", type=click.Path(), help="PNG of the difference of the case with the largest one inside, ten times amplified around mid grey.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(files: tuple[str, ...], tile: int, amplified: str | None, as_json: bool) -> None:
    """Measure all PSFs and noise levels."""
    quarter = scenes.sharp_picture("astronaut")[:400, :400]
    sharp = np.vstack([quarter, quarter[::-1]])
    sharp = np.hstack([sharp, sharp[:, ::-1]])
    kernels = scenes.psfs() | {"shake 27": scenes.shake(4, 27)} | {name: dcv.psf.load(name) for name in files}
    rows, worst = [], (-1.0, np.zeros((1, 1, 3)))
    for name, psf in kernels.items():
        for seed, sigma in enumerate(SIGMAS):
            picture, _ = scenes.blurred(sharp, psf, sigma, seed)
            whole, plan = restored(picture, psf, halo=WHOLE, tile=8192)
            if plan.tiles_x * plan.tiles_y != 1:
                raise SystemExit("the whole picture was not restored in one tile")
            tiled, plan = restored(picture, psf, tile=tile, threads=2)
            single, _ = restored(picture, psf, tile=tile, threads=1)
            difference = tiled - whole
            inside = np.abs(difference)[FRAME:-FRAME, FRAME:-FRAME]
            row = {"psf": name, "sigma": sigma, "halo": plan.halo, "tiles": plan.tiles_x * plan.tiles_y, "all": spread(np.abs(difference))}
            row |= {"inside": spread(inside), "threads": float(np.abs(tiled - single).max())}
            rows.append(row)
            if row["inside"]["largest"] > worst[0]:
                worst = (row["inside"]["largest"], difference)
    if amplified:
        skimage.io.imsave(amplified, np.uint8(np.clip(0.5 + 10 * worst[1], 0, 1) * 255 + 0.5), check_contrast=False)
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("PSF", "sigma", "halo", "tiles", "inside: largest", "RMS", "all: largest", "RMS", "1 and 2 threads")
    for row in rows:
        figures = [f"{row[part][key]:.5f}" for part in ("inside", "all") for key in ("largest", "rms")]
        table.add_row(row["psf"], str(row["sigma"]), str(row["halo"]), str(row["tiles"]), *figures, f"{row['threads']:g}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
