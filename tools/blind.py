# SPDX-License-Identifier: GPL-3.0-or-later
"""Blind estimates on known scenes: pictures x PSFs x noise, blurred in linear light, the estimate from the whole of a square window.

For each noise: share of the results better than the input, mean gain, share within 1 dB of the true PSF's result. PSNR up to a shift, which no blind
estimate can know. --plot draws the confidence beside what came of it: success is 70 % of the gain of the true PSF, which is what it claims to foretell.

--generated instead: random blurs, most of them simple ones, of parts of the pictures; white noise, demosaiced or coded.

--levin instead: error ratios on really shaken pictures, of an .npz file (see levin.py).
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import click
import generated
import levin
import numpy as np
import quality
import scenes
from rich.console import Console
from rich.table import Table

import dcv

SIZES = {
    "true": lambda n: n,
    "auto": lambda n: "auto",
    "double": lambda n: min(2 * n + 1, 33),
    "half": lambda n: max(n // 2 | 1, 3),
}
WORSE = 0.05  # dB below the input that count as worse
MOSTLY_SIMPLE = 0.6  # share of lines, disks and Gaussians among generated blurs
SUCCESS = 0.7  # of the true PSF's gain, dB
BINS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def judge(y: np.ndarray, truth: np.ndarray, psf: np.ndarray, size: int | str) -> dict[str, Any]:
    """One estimate from the whole of y (M, N, 3), and what restoring with it and with the true PSF gives."""
    frame = psf.shape[0] // 2
    found = dcv.estimate_psf(y, size, window=(0, 0, y.shape[1], y.shape[0]), channel_axis=-1)
    return {
        "input_db": scenes.psnr(y, truth, 2 * frame),
        "true_psf_db": scenes.aligned_psnr(quality.restore(y, psf), truth, frame),
        "estimate_db": scenes.aligned_psnr(quality.restore(y, found.psf), truth, frame),
        "confidence": found.confidence,
        "evidence": found.evidence,
        "found_size": found.psf.shape[0],
        "seconds": found.seconds,
    }


def cases(sharps: dict[str, np.ndarray], psfs: dict[str, np.ndarray], sigmas: tuple[float, ...], sizes: tuple[str, ...], side: int) -> list[dict[str, Any]]:
    """One dict for each picture, PSF, noise and way to give the size."""
    told = []
    with click.progressbar(length=len(sharps) * len(psfs) * len(sigmas), file=sys.stderr) as bar:
        for i, (picture, sharp) in enumerate(sharps.items()):
            for p, (name, psf) in enumerate(psfs.items()):
                for s, sigma in enumerate(sigmas):
                    y, truth = quality.known_scene(sharp, psf, sigma, 100 * p + 10 * s + i, side)
                    for way in sizes:
                        case = {"picture": picture, "psf": name, "sigma": sigma, "way": way}
                        told.append(case | judge(y, truth, psf, SIZES[way](psf.shape[0])))
                    bar.update(1)
    return told


def generated_cases(folders: list[Path], count: int, processing: str, seed: int) -> list[dict[str, Any]]:
    """One dict for each generated blur, the size given."""
    pictures, told = generated.pool(folders), []
    with click.progressbar(range(count), file=sys.stderr) as bar:
        for number in bar:
            scene = generated.scene(pictures, 1000 * seed + number, processing, MOSTLY_SIMPLE)
            case = {"picture": scene.picture, "level": scene.sigma, "way": processing}
            told.append(case | judge(scene.y, scene.truth, scene.psf, scene.size))
    return told


def columns(told: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gain, gain of the true PSF, confidence of each case."""
    before, best, ours, sure = (np.array([one[key] for one in told]) for key in ("input_db", "true_psf_db", "estimate_db", "confidence"))
    return ours - before, best - before, sure


def print_table(told: list[dict[str, Any]]) -> None:
    """By the way the size is given and by noise, or by processing."""
    table = Table("size or processing", "noise", "cases", "not worse", "smallest gain", "mean gain", "true PSF", "within 1 dB", "median s")
    for way in dict.fromkeys(one["way"] for one in told):
        of_way = [one for one in told if one["way"] == way]
        for sigma in (None, *sorted({one["sigma"] for one in of_way if "sigma" in one})):
            part = [one for one in of_way if sigma in (None, one.get("sigma"))]
            gain, possible, _ = columns(part)
            table.add_row(
                way,
                "all" if sigma is None else f"{sigma:g}",
                str(len(part)),
                f"{100 * np.mean(gain >= -WORSE):.0f} %",
                f"{gain.min():.2f}",
                f"{gain.mean():.2f}",
                f"{possible.mean():.2f}",
                f"{100 * np.mean(gain > possible - 1):.0f} %",
                f"{np.median([one['seconds'] for one in part]):.2f}",
            )
    Console().print(table)


def plot(path: Path, told: list[dict[str, Any]]) -> None:
    """Left: share of the true PSF's gain against confidence. Right: share of successes in bins of confidence (reliability diagram)."""
    import matplotlib.pyplot as plt

    gain, possible, sure = columns(told)
    share = gain / np.maximum(possible, 0.1)
    good = share >= SUCCESS
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5))
    left.scatter(sure, np.clip(share, -0.2, 1.4), s=12)
    left.axhline(SUCCESS, color="gray", linewidth=1)
    left.set(xlabel="confidence", ylabel="gain, share of the true PSF's", xlim=(0, 1))
    right.plot([0, 1], [0, 1], color="gray", linewidth=1)
    for low, high in itertools.pairwise(BINS):
        inside = (sure >= low) & (sure < high + (high == 1))
        if inside.any():
            count, mean = inside.sum(), good[inside].mean()
            right.errorbar(sure[inside].mean(), mean, np.sqrt(mean * (1 - mean) / count), fmt="o", color="C0", capsize=3)
            right.annotate(str(count), (sure[inside].mean(), mean), (5, 5), textcoords="offset points")
    right.set(xlabel="mean confidence", ylabel=f"share with at least {100 * SUCCESS:.0f} % of the gain", xlim=(0, 1), ylim=(0, 1))
    figure.suptitle(f"{len(told)} estimates: Brier score {np.mean((sure - good) ** 2):.3f}, of the mean share {good.mean() * (1 - good.mean()):.3f}")
    figure.savefig(path, dpi=110, bbox_inches="tight")


@click.command(help=__doc__)
@click.option("--data", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of sharp pictures. Default: scikit-image's.")
@click.option("--psfs", "psf_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=".npz of PSFs; those up to 33 px are used.")
@click.option("--sigmas", default="0.002,0.01,0.02", show_default=True, help="Noise, relative to white.")
@click.option("--sizes", default="true,auto,double,half", show_default=True, help="How the size is given.")
@click.option("--side", default=255, show_default=True, help="Of the window. [px]")
@click.option("--plot", "plot_", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Plot of the confidence.")
@click.option("--generated", "count", type=click.IntRange(1), help="Instead: so many generated blurs, of scikit-image's pictures and --data.")
@click.option("--processing", type=click.Choice(list(generated.PROCESSING)), default="white", show_default=True, help="With --generated.")
@click.option("--seed", default=7, show_default=True, help="With --generated.")
@click.option("--levin", "levin_", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Instead: error ratios on pictures really shaken.")
@click.option("--most", type=click.IntRange(1), help="With --levin: so many cases only.")
@click.option("--json", "as_json", is_flag=True, help="Every case as JSON on stdout.")
def main(
    data: tuple[Path, ...], psf_file: Path | None, sigmas: str, sizes: str, side: int, plot_: Path | None, count: int | None, processing: str, seed: int,
    levin_: Path | None, most: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure and report."""
    if levin_:
        levin.report(levin_, most, as_json)
        return
    wanted = tuple(sizes.split(","))
    if unknown := set(wanted) - set(SIZES):
        raise click.UsageError(f"unknown size {', '.join(unknown)}: {', '.join(SIZES)}")
    if count:
        told = generated_cases(list(data), count, processing, seed)
    else:
        sharps = {name: sharp for folder in data or (None,) for name, sharp in quality.pictures(folder).items()}
        usable = {name: psf for name, psf in quality.kernels(psf_file).items() if psf.shape[0] <= 33}
        told = cases(sharps, usable, tuple(map(float, sigmas.split(","))), wanted, side)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        print_table(told)
    if plot_:
        plot(plot_, told)


if __name__ == "__main__":
    main()
