# SPDX-License-Identifier: GPL-3.0-or-later
"""Solvers and the prototype on known scenes: 3 colour pictures x 5 PSFs x 4 noise levels, linear light, the true PSF given.

Table: PSNR and SSIM (the frame of the PSF's radius left out), iterations, seconds on one thread. Our solvers measure noise and gradient
themselves and stop by themselves. The prototype (its MM call, by its C form in the tests' extension) starts from the edge-padded picture with
its defaults (lambda 1e4, step 1e-3, tolerance 1 %), at most 50 outer iterations of 5 steps; black is raised to 1e-3 of white, where it would divide by 0,
and its result is clipped to 0..1, as its program does.

Stop rules (--stops) and the plot (--plot) use the reference solvers, whose states can be looked at after each iteration.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import click
import numpy as np
import scenes
import skimage.metrics
from rich.console import Console
from rich.table import Table

import dcv
from pyref import admm, mm, noise, pam, pd, pyramid, rl, solver, stopping
from pyref import psf as reference_psf

SIGMAS = (0.002, 0.005, 0.01, 0.02)
SOLVERS = ("admm x 3", "admm", "mm x 24", "mm", "pam", "pd", "rl")
PROTOTYPES = ("prototype HEAD", "prototype repaired")
REFERENCE = {"mm": mm, "pam": pam, "pd": pd, "rl": rl}
PAM_LAM = 300.0  # of 100, 300, 1000 the best from the uniform start
PLOTTED = (("Gaussian 1.5", 0.005, "astronaut"), ("disk 3", 0.02, "coffee"), ("shake 17", 0.01, "chelsea"))


class Case(NamedTuple):
    """One known scene."""

    psf_name: str
    sigma: float
    picture: str
    psf: np.ndarray
    blurred: np.ndarray
    sharp: np.ndarray


def cases(side: int, sigmas: tuple[float, ...] = SIGMAS, pictures: tuple[str, ...] = scenes.PICTURES) -> Iterator[Case]:
    """The scenes; the seeds are those of the comparison with scikit-image."""
    for p, (name, psf) in enumerate(scenes.psfs().items()):
        for s, sigma in enumerate(SIGMAS):
            for i, picture in enumerate(scenes.PICTURES):
                if sigma in sigmas and picture in pictures:
                    sharp = scenes.crop(scenes.sharp_picture(picture), side + psf.shape[0] - 1)
                    yield Case(name, sigma, picture, psf, *scenes.blurred(sharp, psf, sigma, 100 * p + 10 * s + i))


def measure(restored: np.ndarray, case: Case) -> dict[str, float]:
    """PSNR and SSIM without the frame."""
    frame = case.psf.shape[0] // 2
    inner = np.s_[frame : case.sharp.shape[0] - frame, frame : case.sharp.shape[1] - frame]
    ssim = skimage.metrics.structural_similarity(
        restored[inner].astype(np.float64), case.sharp[inner].astype(np.float64), channel_axis=-1, data_range=1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    return {"psnr": scenes.psnr(restored, case.sharp, frame), "ssim": float(ssim)}


def restore(case: Case, method: str) -> dict[str, float]:
    """One of our solvers, everything automatic but a number of iterations after x."""
    start = time.perf_counter()
    name, _, iterations = method.partition(" x ")
    options = {"iterations": int(iterations)} if iterations else {}
    with dcv.Plan(case.blurred, case.psf, channel_axis=-1, solver=name, threads=1, planning="estimate", **options) as plan:
        restored = plan.execute(case.blurred)
    return {"seconds": time.perf_counter() - start, "iterations": plan.info.iterations, **measure(restored, case)}


def prototype(case: Case, method: str) -> dict[str, float]:
    """The prototype's MM call, PSF given."""
    from tests.parity import _ops

    radius = case.psf.shape[0] // 2
    image = np.maximum(case.blurred, 1e-3)
    padded = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    window = (radius, image.shape[0] - radius) * 2
    psf = np.repeat(case.psf[..., None], 3, axis=2)
    start = time.perf_counter()
    out = _ops.prototype(image, padded, psf, window, tau=0.01, iterations=50, blind=False, repaired_tv=method.endswith("repaired"))
    return {"seconds": time.perf_counter() - start, "iterations": len(out["whiteness"]), **measure(np.clip(out["u"], 0, 1), case)}


def table(rows: list[dict[str, Any]], methods: tuple[str, ...]) -> Table:
    """Means over all cases and for each noise level and PSF."""
    grid = Table("mean over", "", "blurred", *methods)
    for column in grid.columns[1:]:
        column.justify = "right"
    groups = {"all 60" if len(rows) == 60 else f"all {len(rows)}": rows}
    groups |= {f"sigma {sigma:g}": [r for r in rows if r["sigma"] == sigma] for sigma in SIGMAS}
    groups |= {name: [r for r in rows if r["psf"] == name] for name in scenes.psfs()}
    for name, group in groups.items():
        if not group:
            continue
        for quantity, digits in (("psnr", 2), ("ssim", 3), ("iterations", 0), ("seconds", 2)):
            if quantity in ("iterations", "seconds") and not name.startswith("all"):
                continue
            blurred = f"{np.mean([r['blurred'][quantity] for r in group]):.{digits}f}" if quantity in group[0]["blurred"] else ""
            grid.add_row(name, quantity, blurred, *(f"{np.mean([r[m][quantity] for r in group]):.{digits}f}" for m in methods))
        if name.startswith("all") and "admm" in methods:
            ratios = [np.median([r[m]["seconds"] / r["admm"]["seconds"] for r in group]) for m in methods]
            grid.add_row(name, "over admm's, median", "", *(f"{ratio:.1f}" for ratio in ratios))
        grid.add_section()
    return grid


def compare(side: int, methods: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every method on every case."""
    rows = []
    for case in cases(side):
        row: dict[str, Any] = {"psf": case.psf_name, "sigma": case.sigma, "picture": case.picture, "blurred": measure(case.blurred, case)}
        for method in methods:
            row[method] = (prototype if method in PROTOTYPES else restore)(case, method)
        rows.append(row)
        if sys.stderr.isatty():
            print(f"{len(rows)}: {case.psf_name}, {case.sigma:g}, {case.picture}", file=sys.stderr)
    return rows


class Curves(NamedTuple):
    """Figures after each iteration, and where the rule stops (iterations, reason)."""

    psnr: list[float]
    change: list[float]
    whiteness: list[float]
    stop: int
    reason: str


def curves(case: Case, name: str, tolerance: float) -> Curves:
    """A run of the reference solver to its largest number of iterations."""
    values: list[float] = []

    def look(_t: int, x: np.ndarray, _model: np.ndarray) -> None:
        values.append(scenes.psnr(x, case.sharp))

    run = stopping.iterations(REFERENCE[name], case.blurred, case.psf, tolerance=0, dtype=np.float32, watch=look, patience=0)
    values.append(scenes.psnr(run.x, case.sharp))
    rule = stopping.rule_of(name, tolerance)
    for t, (change, white) in enumerate(zip(run.change, run.whiteness, strict=True), 1):
        if rule.ask(t, change, white):
            return Curves(values, run.change, run.whiteness, t, rule.reason)
    return Curves(values, run.change, run.whiteness, run.iterations, "iterations")


def schedules(case: Case) -> list[float]:
    """PSNR of admm with 1, 2 .. 12 iterations, each a schedule of its own."""
    params = admm.parameters(case.blurred, case.psf)
    results = (solver.restore(admm, case.blurred, case.psf, replace(params, iterations=n), dtype=np.float32) for n in range(1, 13))
    return [scenes.psnr(x, case.sharp) for x in results]


def stops(tolerance: float, solvers: tuple[str, ...]) -> Table:
    """Loss of the automatic stop against the best iteration on 20 cases of 200 px."""
    grid = Table("solver", "mean loss, dB", "largest", "within 0.3 dB", "fallen since the best", "iterations", "by stagnation", "whiteness", "limit",
                 "loss at the whitest residual")  # fmt: skip
    for column in grid.columns[1:]:
        column.justify = "right"
    chosen = list(cases(200, (0.005, 0.02), ("astronaut", "coffee")))

    def judge(name: str, psnr: list[list[float]], last: list[int], *rest: str) -> None:
        loss = np.array([max(p) - p[n - 1] for p, n in zip(psnr, last, strict=True)])
        fallen = max(max(p[:n]) - p[n - 1] for p, n in zip(psnr, last, strict=True))
        within = f"{(loss <= 0.3).sum()} of {len(loss)}"
        grid.add_row(name, f"{loss.mean():.2f}", f"{loss.max():.2f}", within, f"{fallen:.2f}", f"{min(last)} to {max(last)}", *rest)

    for name in solvers:
        if name == "admm":
            judge("admm, fixed", [schedules(case) for case in chosen], [admm.ITERATIONS] * len(chosen))
            continue
        runs = [curves(case, name, tolerance) for case in chosen]
        whitest = np.array([max(run.psnr) - run.psnr[int(np.argmax(run.whiteness))] for run in runs])
        counts = [str(sum(run.reason == reason for run in runs)) for reason in ("stagnation", "whiteness", "iterations")]
        judge(name, [run.psnr for run in runs], [run.stop for run in runs], *counts, f"{whitest.mean():.2f} ({whitest.max():.2f})")
    return grid


def pam_estimate(y: np.ndarray, start: np.ndarray, rounds: int, coarse_to_fine: bool) -> np.ndarray:
    """PSF by pam's two halves in turns on the grey picture y, from `start`; coarse to fine the start of the coarsest scale is uniform."""
    from tests.parity import _ops

    e = pam.SMOOTH * noise.gradient_scale(y[..., None], noise.estimate(y[..., None])[0], 8)
    if not coarse_to_fine:
        return _ops.pam_blind(y, start, PAM_LAM, e, rounds)
    levels = pyramid.schedule(start.shape[0])
    psf, before = reference_psf.uniform(levels[0][0]), levels[0][1]
    for size, zoom in levels:
        psf = _ops.pam_blind(pyramid.resize(y, zoom), pyramid.resize_psf(psf, size, zoom / before), PAM_LAM, e, rounds)
        before = zoom
    return psf


def blind() -> Table:
    """Correlation of estimated PSFs with the true ones on 10 cases of 200 px, sigma 0.005: the estimate, pam's, and the estimate with pam after it."""
    grid = Table("PSF", "picture", "estimate", "pam, uniform start", "estimate, then pam")
    for column in grid.columns[2:]:
        column.justify = "right"
    found = []
    for case in cases(200, (0.005,), ("astronaut", "coffee")):
        y = case.blurred.mean(axis=2, dtype=np.float64)
        ours = dcv.estimate_psf(case.blurred, case.psf.shape[0], channel_axis=-1).psf
        psfs = (ours, pam_estimate(y, ours, 150, True), pam_estimate(y, ours, 60, False))
        found.append([scenes.psf_correlation(psf, case.psf) for psf in psfs])
        grid.add_row(case.psf_name, case.picture, *(f"{value:.3f}" for value in found[-1]))
    grid.add_row("mean", "", *(f"{value:.3f}" for value in np.mean(found, axis=0)))
    return grid


def plot(path: str, tolerance: float) -> None:
    """PSNR and whiteness per iteration of three cases; a dot where the rule stops."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(PLOTTED), figsize=(13, 7), sharex=True)
    chosen = {(c.psf_name, c.sigma, c.picture): c for c in cases(200)}
    for (top, bottom), key in zip(axes.T, PLOTTED, strict=True):
        for name in REFERENCE:
            run = curves(chosen[key], name, tolerance)
            for axis, values in ((top, run.psnr), (bottom, [-w for w in run.whiteness])):
                (line,) = axis.plot(range(1, len(values) + 1), values, label=name)
                at = min(run.stop, len(values))
                axis.plot(at, values[at - 1], "o", color=line.get_color())
        top.set_title(f"{key[0]}, sigma {key[1]:g}, {key[2]}")
        top.set_ylabel("PSNR, dB")
        bottom.set(yscale="log", ylabel="energy of the residual's autocorrelation", xlabel="iteration")
        top.grid(alpha=0.3)
        bottom.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stops", "stops_", is_flag=True, help="Only the stop rules.")
@click.option("--blind", "blind_", is_flag=True, help="Only the PSFs that pam finds, beside the estimate.")
@click.option("--plot", "plot_", metavar="FILE", help="Only the plot.")
@click.option("--side", default=300, show_default=True, help="Size of the pictures, px.")
@click.option("--methods", default=",".join(SOLVERS + PROTOTYPES), show_default=True, help="Columns of the table; the prototype takes most of the time.")
@click.option("--tolerance", default=0.2, show_default=True, help="Of the stop rules, percent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object of all cases on stdout.")
def main(stops_: bool, blind_: bool, plot_: str | None, side: int, methods: str, tolerance: float, as_json: bool) -> None:
    """Set the solvers beside each other and beside the prototype."""
    console = Console(width=170)
    if plot_:
        plot(plot_, tolerance)
    if stops_:
        console.print(stops(tolerance, ("admm", *REFERENCE)))
    if blind_:
        console.print(blind())
    if plot_ or stops_ or blind_:
        return
    chosen = tuple(methods.split(","))
    if unknown := set(chosen) - {*SOLVERS, *PROTOTYPES}:
        raise click.UsageError(f"unknown methods: {', '.join(sorted(unknown))}")
    rows = compare(side, chosen)
    if as_json:
        print(json.dumps({"version": dcv.__version__, "cases": rows}, indent=2))
    else:
        console.print(table(rows, chosen))


if __name__ == "__main__":
    main()
