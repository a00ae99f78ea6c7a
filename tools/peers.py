# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison on known scenes: 3 colour pictures x 5 PSFs x noise levels, PSNR in linear light.

Non-blind: dcv fully automatic; dcv with the weight lam that is best with the truth in hand; scikit-image's Richardson-Lucy at the best of 10, 30,
100 iterations; its unsupervised Wiener filter; and the blurred picture itself. Blind (--blind): dcv with the size of the PSF given.

A frame of the PSF's radius is left out of the figures, in favour of the peers, which know no boundary. The best lam is searched over a factor
of 16 to both sides, in steps of a quarter octave around the best octave.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click
import numpy as np
import scenes
import skimage.restoration
from rich.console import Console
from rich.table import Table

import dcv

SIGMAS = (0.002, 0.005, 0.01, 0.02)
BLIND_SIGMAS = (0.005, 0.01)
DECIMALS = {"correlation": 3, "noise": 4, "seconds": 3}


def richardson_lucy(blurred: np.ndarray, psf: np.ndarray, iterations: int) -> np.ndarray:
    """scikit-image's, each channel by itself, without clipping, negative values set to 0."""
    positive = np.maximum(blurred, 0)
    return np.stack(
        [skimage.restoration.richardson_lucy(positive[:, :, c], psf, iterations, clip=False, filter_epsilon=1e-6) for c in range(3)], axis=-1
    )


def unsupervised_wiener(blurred: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """scikit-image's, each channel by itself, without clipping, seeded."""
    return np.stack([skimage.restoration.unsupervised_wiener(blurred[:, :, c], psf, clip=False, rng=1)[0] for c in range(3)], axis=-1)


def best_lam(
    blurred: np.ndarray, sharp: np.ndarray, psf: np.ndarray, lam: float, noise: float, flavour: str, solver: str, frame: int
) -> tuple[float, float]:
    """(PSNR, factor) of the weight that is best with the truth, as a factor to the automatic one."""

    def quality(octave: float) -> float:
        restored = dcv.deconvolve(
            blurred, psf, channel_axis=-1, flavour=flavour, solver=solver, noise=noise, lam=lam * 2.0**octave, planning="estimate"
        )
        return scenes.psnr(restored, sharp, frame)

    tried = {float(octave): quality(octave) for octave in (-1, 0, 1)}
    while len(tried) < 9 and (best := max(tried, key=tried.__getitem__)) in (min(tried), max(tried)):
        octave = best + (1 if best == max(tried) else -1)
        tried[octave] = quality(octave)
    best = max(tried, key=tried.__getitem__)
    for step in (-0.5, 0.5):
        tried[best + step] = quality(best + step)
    best = max(tried, key=tried.__getitem__)
    for step in (-0.25, 0.25):
        tried[best + step] = quality(best + step)
    best = max(tried, key=tried.__getitem__)
    return tried[best], 2.0**best


def non_blind(sharp: np.ndarray, psf: np.ndarray, sigma: float, seed: int, flavour: str, solver: str, peers: bool) -> dict[str, float]:
    """One case: PSNR of each method in dB, and seconds of the automatic restoration."""
    blurred, truth = scenes.blurred(sharp, psf, sigma, seed)
    frame = psf.shape[0] // 2
    start = time.perf_counter()
    with dcv.Plan(blurred, psf, channel_axis=-1, flavour=flavour, solver=solver) as plan:
        restored = plan.execute(blurred)
    seconds = time.perf_counter() - start
    best, factor = best_lam(blurred, truth, psf, plan.info.lam, plan.info.noise, flavour, solver, frame)
    case = {
        "blurred": scenes.psnr(blurred, truth, frame),
        "ours": scenes.psnr(restored, truth, frame),
        "ours_best_lam": best,
        "best_lam_factor": factor,
        "noise": plan.info.noise,
        "seconds": seconds,
    }
    if peers:
        case["richardson_lucy"] = max(scenes.psnr(richardson_lucy(blurred, psf, n), truth, frame) for n in (10, 30, 100))
        case["unsupervised_wiener"] = scenes.psnr(unsupervised_wiener(blurred, psf), truth, frame)
    return case


def blind(sharp: np.ndarray, psf: np.ndarray, sigma: float, seed: int, flavour: str, solver: str, _peers: bool) -> dict[str, float]:
    """One case: PSNR with the estimated and the true PSF, correlation of the PSFs, seconds of the estimation."""
    blurred, truth = scenes.blurred(sharp, psf, sigma, seed)
    frame = psf.shape[0] // 2
    whole = (0, 0, blurred.shape[1], blurred.shape[0])
    estimate = dcv.estimate_psf(blurred, psf.shape[0], window=whole, channel_axis=-1)
    restored = dcv.deconvolve(blurred, estimate.psf, channel_axis=-1, flavour=flavour, solver=solver)
    known = dcv.deconvolve(blurred, psf, channel_axis=-1, flavour=flavour, solver=solver)
    return {
        "blurred": scenes.psnr(blurred, truth, 2 * frame),
        "ours": scenes.aligned_psnr(restored, truth, frame),
        "known_psf": scenes.psnr(known, truth, 2 * frame),
        "correlation": scenes.psf_correlation(estimate.psf, psf),
        "confidence": estimate.confidence,
        "seconds": estimate.seconds,
    }


def speed(flavour: str, solver: str) -> dict[str, float]:
    """6000 x 4000 x 3, PSF of 15 pixels: seconds of dcv and of ten iterations of Richardson-Lucy, and the gain of each in dB."""
    psf = scenes.shake(10, 15)
    blurred = scenes.large_picture(psf)
    sharp = scenes.large_picture(None)
    start = time.perf_counter()
    plan = dcv.Plan(blurred, psf, channel_axis=-1, flavour=flavour, solver=solver)
    planned = time.perf_counter()
    restored = plan.execute(blurred)
    done = time.perf_counter()
    ours = scenes.psnr(restored, sharp, 15)
    plan.close()
    start_peer = time.perf_counter()
    restored = richardson_lucy(blurred, psf, 10)
    seconds_peer = time.perf_counter() - start_peer
    return {
        "threads": plan.info.threads,
        "blurred": scenes.psnr(blurred, sharp, 15),
        "ours": ours,
        "richardson_lucy_10": scenes.psnr(restored, sharp, 15),
        "plan_seconds": planned - start,
        "restore_seconds": done - planned,
        "plan_megabytes": plan.info.bytes / 1e6,
        "richardson_lucy_seconds": seconds_peer,
        "richardson_lucy_over_ours": seconds_peer / (done - start),
    }


def summary(cases: list[dict[str, Any]], blind_: bool) -> dict[str, Any]:
    """Means, and the cases that should not be."""

    def mean(name: str) -> float:
        return float(np.mean([case[name] for case in cases]))

    told: dict[str, Any] = {"cases": len(cases), "blurred": mean("blurred"), "ours": mean("ours"), "seconds": mean("seconds")}
    told["below_blurred"] = sum(case["ours"] < case["blurred"] for case in cases)
    if blind_:
        told |= {
            "mean_gain": told["ours"] - told["blurred"],
            "smallest_gain": min(case["ours"] - case["blurred"] for case in cases),
            "known_psf": mean("known_psf"),
            "correlation": mean("correlation"),
            "smallest_correlation": min(case["correlation"] for case in cases),
        }
        return told
    told |= {
        "ours_best_lam": mean("ours_best_lam"),
        "mean_loss_to_best": mean("ours_best_lam") - told["ours"],
        "largest_loss_to_best": max(case["ours_best_lam"] - case["ours"] for case in cases),
    }
    for peer in ("richardson_lucy", "unsupervised_wiener"):
        if peer in cases[0]:
            told[peer] = mean(peer)
            told[f"below_{peer}"] = sum(case["ours"] < case[peer] for case in cases)
    return told


def rows(cases: list[dict[str, Any]], columns: tuple[str, ...]) -> Table:
    """Means over the pictures for each PSF and noise level, and over all."""
    table = Table("PSF", "sigma", *(column.replace("_", " ") for column in columns))
    for column in table.columns[1:]:
        column.justify = "right"
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault((case["psf"], f"{case['sigma']:g}"), []).append(case)
    groups["all", ""] = cases
    for (psf, sigma), group in groups.items():
        if psf == "all":
            table.add_section()
        table.add_row(psf, sigma, *(f"{np.mean([case[column] for case in group]):.{DECIMALS.get(column, 2)}f}" for column in columns))
    return table


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--blind", "blind_", is_flag=True, help="Estimate the PSF, its size given.")
@click.option("--full", is_flag=True, help="Whole pictures in place of their middle 300 x 300 pixels.")
@click.option("--speed", "speed_", is_flag=True, help="Instead: times for 24 megapixels beside Richardson-Lucy; minutes, 3 GB of memory.")
@click.option("--peers/--no-peers", default=True, help="Leave scikit-image's methods, which take most of the time, out.")
@click.option("--flavour", type=click.Choice(["fast", "normal", "best"]), default="normal", show_default=True)
@click.option("--solver", type=click.Choice(dcv.params.TABLE["solver"].choices), default="admm", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(blind_: bool, full: bool, speed_: bool, peers: bool, flavour: str, solver: str, as_json: bool) -> None:
    """Set dcv beside scikit-image on known scenes."""
    if speed_:
        figures = speed(flavour, solver)
        print(json.dumps(figures, indent=2) if as_json else "\n".join(f"{name.replace('_', ' ')}: {value:.2f}" for name, value in figures.items()))
        return
    psfs = scenes.psfs()
    measure = blind if blind_ else non_blind
    cases: list[dict[str, Any]] = []
    for p, (name, psf) in enumerate(psfs.items()):
        for s, sigma in enumerate(BLIND_SIGMAS if blind_ else SIGMAS):
            for i, picture in enumerate(scenes.PICTURES):
                sharp = scenes.sharp_picture(picture)
                if not full:
                    sharp = scenes.crop(sharp, 300 + psf.shape[0] - 1)
                case = measure(sharp, psf, sigma, 100 * p + 10 * s + i, flavour, solver, peers)
                cases.append({"picture": picture, "psf": name, "sigma": sigma, **case})
                if sys.stderr.isatty():
                    print(f"{len(cases)}: {name}, {sigma:g}, {picture}: {case['blurred']:.2f} -> {case['ours']:.2f} dB", file=sys.stderr)
    told = summary(cases, blind_)
    if as_json:
        print(json.dumps({"version": dcv.__version__, "flavour": flavour, "solver": solver, "summary": told, "cases": cases}, indent=2))
        return
    if blind_:
        columns: tuple[str, ...] = ("blurred", "ours", "known_psf", "correlation", "confidence", "seconds")
    else:
        columns = ("blurred", "ours", "ours_best_lam", "best_lam_factor", "noise", "seconds")
        columns = (*columns[:3], "richardson_lucy", "unsupervised_wiener", *columns[3:]) if peers else columns
    console = Console(width=140)
    console.print(rows(cases, columns))
    for name, value in told.items():
        console.print(f"{name.replace('_', ' ')}: {value:.3f}" if isinstance(value, float) else f"{name.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
