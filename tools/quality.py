# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of merit of the restoration, beside a stored baseline.

Groups: non-blind tables (true PSF, automatic strength), blind (size of the PSF given), highlights, rings, frame, shot noise, a sharp picture, awkward pictures,
text, priority. A further one is a function (bench, keep) -> figures in GROUPS, or in SLOW if it takes long. Pictures come from scikit-image's wheel, or
from a folder of sharp ones (--data); PSFs are the five of `scenes`, or those of an .npz file (--psfs).

A figure's name ends in what it is: `_db` and `_gain` are better when higher; `_error` when lower. A change for the worse by more than its tolerance
(0.15 dB, 10 % of an error and 0.002) makes the command fail.
"""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL.Image
import scenes
import scipy.ndimage
import skimage.data
import skimage.io
from rich.console import Console
from rich.table import Table

import dcv

BASELINE = Path(__file__).resolve().parents[1] / "tests" / "quality" / "baseline.json"
SIDE = 240
Figures = dict[str, float]
Keep = Callable[[str, list[np.ndarray]], None]


@dataclass
class Bench:
    """sharps: pictures in linear light by name; psfs by name; sigmas: noise levels; side: of the scenes, px; blind cases: most, and file of those done."""

    sharps: dict[str, np.ndarray]
    psfs: dict[str, np.ndarray]
    sigmas: tuple[float, ...]
    side: int
    most_blind: int = 48
    resume: Path | None = None


def restore(y: np.ndarray, psf: np.ndarray, **options: Any) -> np.ndarray:
    """Fully automatic but for `options`."""
    return dcv.deconvolve(y.astype(np.float32), psf, channel_axis=-1, planning="estimate", **options)


def pictures(folder: Path | None, most: int | None = None, wheel: bool = False) -> dict[str, np.ndarray]:
    """Sharp pictures in linear light; `most`: so many of the folder, evenly chosen; `wheel`: all of scikit-image's in place of three."""
    if folder is None:
        return {name: scenes.wheel_picture(name) for name in scenes.WHEEL} if wheel else {name: scenes.sharp_picture(name) for name in scenes.PICTURES}
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".tiff"})
    chosen = found if most is None or most >= len(found) else [found[n * len(found) // most] for n in range(most)]
    return {p.stem: scenes.read(p) for p in chosen}


def kernels(path: Path | None) -> dict[str, np.ndarray]:
    """PSFs by name, odd and of sum 1."""
    if path is None:
        return scenes.psfs()
    with np.load(path) as file:
        return {name: scenes.odd(file[name]) for name in file.files if file[name].ndim == 2 and file[name].shape[0] == file[name].shape[1]}


def known_scene(sharp: np.ndarray, psf: np.ndarray, sigma: float, seed: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(blurred, sharp), `side` pixels square."""
    return scenes.blurred(scenes.crop(sharp, side + psf.shape[0] - 1), psf, sigma, seed)


def non_blind(bench: Bench, keep: Keep) -> Figures:
    """PSNR of the whole picture and mean gain; noise found over true noise; the frame: interior (beyond 16 px) less the outer 16 px, both less the input's."""
    whole, gains, noise, frames, worst = [], [], [], [], np.inf
    for p, (name, psf) in enumerate(bench.psfs.items()):
        for s, sigma in enumerate(bench.sigmas):
            for i, (picture, sharp) in enumerate(bench.sharps.items()):
                y, truth = known_scene(sharp, psf, sigma, 100 * p + 10 * s + i, bench.side)
                with dcv.Plan(y, psf, channel_axis=-1, planning="estimate") as plan:
                    x, found = plan.execute(y), plan.info.noise
                gain = scenes.psnr(x, truth) - scenes.psnr(y, truth)
                whole.append(scenes.psnr(x, truth))
                gains.append(gain)
                noise.append(abs(np.log2(found / sigma)))
                worst = min(worst, gain)
                frames.append(outer_psnr(y, truth) - outer_psnr(x, truth) + scenes.psnr(x, truth, 16) - scenes.psnr(y, truth, 16))
                if i == s == 0:
                    keep(f"{picture}, {name}, sigma {sigma:g}: blurred, restored, true", [y, x, truth])
    return {
        "non-blind: mean_db": float(np.mean(whole)),
        "non-blind: mean_gain": float(np.mean(gains)),
        "non-blind: smallest_gain": worst,
        "non-blind: noise, octaves, rms_error": float(np.sqrt(np.mean(np.square(noise)))),
        "frame: loss of gain in the outer 16 px, mean, dB_error": float(np.mean(frames)),
    }


def outer_psnr(a: np.ndarray, b: np.ndarray, width: int = 16) -> float:
    """PSNR of the outer pixels only."""
    square = np.mean(np.square(a - b, dtype=np.float64), axis=2)
    inner = square[width:-width, width:-width]
    return float(-10 * np.log10((square.sum() - inner.sum()) / (square.size - inner.size)))


def frame(bench: Bench, _keep: Keep) -> Figures:
    """The outer 16 px beside the interior, and beside the same pixels restored inside a picture that goes on for 24 px more on each side.

    The latter is what could be had if the surroundings had been taken, too.
    """
    margin, figures, every = 24, {}, []
    for sigma in bench.sigmas:
        told = []
        for p, psf in enumerate(bench.psfs.values()):
            for i, sharp in enumerate(bench.sharps.values()):
                y, truth = known_scene(sharp, psf, sigma, 100 * p + i, bench.side + 2 * margin)
                inner = np.s_[margin:-margin, margin:-margin]
                known = truth[inner]
                pair = [restore(np.ascontiguousarray(y[inner]), psf), restore(y, psf)[inner]]
                told.append([scenes.psnr(x, known, 16) - outer_psnr(x, known) for x in pair] + [outer_psnr(pair[1], known) - outer_psnr(pair[0], known)])
        every += told
        if len(bench.sigmas) > 1:
            behind = np.array(told)[:, 0]
            figures[f"frame, sigma {sigma:g}: outer 16 px less the interior, mean, dB_error"] = float(behind.mean())
            figures[f"frame, sigma {sigma:g}: share more than 1.5 dB behind_error"] = float(np.mean(behind > 1.5))
    behind, possible, losses = np.array(every).T
    return figures | {
        "frame: outer 16 px less the same inside a larger picture, mean, dB_error": float(losses.mean()),
        "frame: outer 16 px less the interior, mean, dB_error": float(behind.mean()),
        "frame: the same inside a larger picture, mean, dB_error": float(possible.mean()),
    }


def known(bench: Bench, _keep: Keep) -> Figures:
    """Whole pictures under a disk of 5 px, a Gaussian of 2 px and the PSFs given, sigma 0.01: PSNR of all pixels and without 20 at the frame.

    sRGB values are taken for light here, as in most published comparisons.
    """
    told: dict[str, list[list[float]]] = {}
    for name, psf in {"disk 5": dcv.psf.disk(5), "Gaussian 2": dcv.psf.gaussian(2, 13), **bench.psfs}.items():
        for i, clean in enumerate(bench.sharps.values()):
            y, truth = scenes.blurred(dcv.to_srgb(clean), psf, 0.01, i)
            told.setdefault(name, []).append([scenes.psnr(a, truth, margin) for a in (y, restore(y, psf)) for margin in (0, 20)])
    rows = {name: np.mean(values, axis=0) for name, values in told.items()}
    rows["mean"] = np.mean(list(rows.values()), axis=0)
    columns = ("blurred, whole_db", "blurred, inside_db", "restored, whole_db", "restored, inside_db")
    return {f"known: {name}, {column}": float(value) for name, row in rows.items() for column, value in zip(columns, row, strict=True)}


def processed(bench: Bench, _keep: Keep) -> Figures:
    """Pictures that came through a Bayer filter or JPEG: gain with the true PSF, the smallest one, how many are below the input."""
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "JPEG 80, 4:4:4": lambda y: scenes.coded(y, 80, 0),
        "JPEG 95, 4:2:0": lambda y: scenes.coded(y, 95),
        "demosaiced": scenes.demosaiced,
        "demosaiced, JPEG 90, 4:2:2": lambda y: scenes.coded(scenes.demosaiced(y), 90, 1),
    }
    figures: Figures = {}
    for way, process in ways.items():
        gains = []
        for p, psf in enumerate(bench.psfs.values()):
            for s, sigma in enumerate(bench.sigmas):
                for i, clean in enumerate(bench.sharps.values()):
                    y, truth = known_scene(clean, psf, sigma, 100 * p + 10 * s + i, bench.side)
                    y, frame = process(y), psf.shape[0] // 2
                    gains.append(scenes.psnr(restore(y, psf), truth, frame) - scenes.psnr(y, truth, frame))
        figures[f"processed: {way}_gain"] = float(np.mean(gains))
        figures[f"processed: {way}, least_gain"] = float(min(gains))
        figures[f"processed: {way}, below the input_error"] = float(np.mean(np.less(gains, 0)))
    return figures


def solvers(bench: Bench, _keep: Keep) -> Figures:
    """Every solver with what it does by default: PSNR of the whole picture, without 16 px at the frame, and of those 16 px."""
    figures: Figures = {}
    for solver in dcv.params.TABLE["solver"].choices:
        told = []
        for p, psf in enumerate(bench.psfs.values()):
            for s, sigma in enumerate(bench.sigmas):
                for i, clean in enumerate(bench.sharps.values()):
                    y, truth = known_scene(clean, psf, sigma, 100 * p + 10 * s + i, bench.side)
                    x = restore(y, psf, solver=solver)
                    told.append([scenes.psnr(x, truth), scenes.psnr(x, truth, 16), outer_psnr(x, truth)])
        for part, value in zip(("whole", "inside", "outer 16 px"), np.mean(told, axis=0), strict=True):
            figures[f"solvers: {solver}, {part}_db"] = float(value)
    return figures


def blind_cases(bench: Bench) -> list[tuple[str, str, float, int]]:
    """(picture, PSF, sigma, seed), PSFs of up to 33 px; at most `bench.most_blind` of them, evenly chosen."""
    usable = [(p, name) for p, (name, psf) in enumerate(bench.psfs.items()) if psf.shape[0] <= 33]
    every = [
        (picture, name, sigma, 100 * p + 10 * s + i)
        for p, name in usable
        for s, sigma in enumerate(bench.sigmas)
        for i, picture in enumerate(bench.sharps)
    ]
    count = min(bench.most_blind, len(every))
    return [every[n * len(every) // count] for n in range(count)]


def blind(bench: Bench, keep: Keep) -> Figures:
    """Gain with an estimated PSF whose size is given; share of pictures that improve; share within 1 dB of the true PSF's result.

    A case that `bench.resume` holds, a file of one JSON object a line, is not measured again; each new one is added to it.
    """
    done: dict[str, dict[str, float]] = {}
    if bench.resume and bench.resume.exists():
        for line in bench.resume.read_text("utf-8").splitlines():
            case = json.loads(line)
            done[case.pop("case")] = case
    told = []
    with click.progressbar(blind_cases(bench), label="blind", file=sys.stderr) as cases:
        for picture, name, sigma, seed in cases:
            title = f"{picture}, {name}, sigma {sigma:g}, {bench.side} px"
            if title not in done:
                psf = bench.psfs[name]
                y, truth = known_scene(bench.sharps[picture], psf, sigma, seed, bench.side)
                frame = psf.shape[0] // 2
                found = dcv.estimate_psf(y, psf.shape[0], window=(0, 0, y.shape[1], y.shape[0]), channel_axis=-1)
                x = restore(y, found.psf)
                before = scenes.psnr(y, truth, 2 * frame)
                done[title] = {
                    "gain": scenes.aligned_psnr(x, truth, frame) - before,
                    "possible": scenes.aligned_psnr(restore(y, psf), truth, frame) - before,
                    "seconds": found.seconds,
                }
                keep(f"blind: {picture}, {name}, sigma {sigma:g}: blurred, restored, true", [y, x, truth])
                if bench.resume:
                    with bench.resume.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"case": title, **done[title]}) + "\n")
            told.append(done[title])
    gain, possible, seconds = (np.array([one[column] for one in told]) for column in ("gain", "possible", "seconds"))
    return {
        "blind: mean_gain": float(gain.mean()),
        "blind: true PSF, mean_gain": float(possible.mean()),
        "blind: share that does not improve_error": float(np.mean(gain <= 0)),
        "blind: share not within 1 dB of the true PSF_error": float(np.mean(gain <= possible - 1)),
        "blind: seconds of an estimate, median_error": float(np.median(seconds)),
    }


def overexposed(sharp: np.ndarray, peak: float) -> np.ndarray:
    """The picture with its brightest quarter above white, up to `peak`."""
    return np.minimum(sharp / np.quantile(sharp, 0.75), peak)


def with_lamps(sharp: np.ndarray, peak: float) -> np.ndarray:
    """The picture at half brightness with seven warm lamps of 2 to 7 px."""
    rng = np.random.default_rng(5)
    out, (rows, cols) = 0.5 * sharp, sharp.shape[:2]
    i, j = np.mgrid[:rows, :cols]
    for _ in range(7):
        place, radius = rng.uniform(30, (rows - 30, cols - 30)), rng.uniform(2, 7)
        share = np.clip(radius + 0.5 - np.hypot(i - place[0], j - place[1]), 0, 1)[..., None]
        out = (1 - share) * out + share * peak * np.array([1, 0.9, 0.7])
    return out


def highlights(bench: Bench, keep: Keep) -> Figures:
    """Overexposed parts and lamps, clipped at white after the blur.

    Root mean square error next to them over the input's, overshoot above the brightest neighbours, also beyond that of the overexposed parts restored from
    data that were not clipped, gain elsewhere.
    """
    figures: Figures = {}
    picture, sharp = list(bench.sharps.items())[-1]
    for peak in (1.05, 2, 20):
        ratio, over, more, gain = [], [], [], []
        for name, psf in bench.psfs.items():
            lit = (overexposed if peak < 2 else with_lamps)(scenes.crop(sharp, bench.side + psf.shape[0] - 1), peak)
            whole, truth = known_scene(lit, psf, 0.005, 9, bench.side)
            y, seen = np.minimum(whole, 1), np.minimum(truth, 1)
            x = restore(y, psf, saturation=0.999)
            clipped = (y >= 0.999).any(axis=2)
            near = scipy.ndimage.binary_dilation(clipped, np.ones(psf.shape)) & ~clipped
            beside = near & (truth.max(axis=2) < 1)
            if not beside.any():  # so long a blur that nothing is clipped
                continue
            error = [float(np.sqrt(np.mean(np.square(np.minimum(a, 1) - seen)[beside]))) for a in (x, y)]
            ratio.append(error[0] / error[1])
            brightest = np.maximum(seen, scipy.ndimage.maximum_filter(y, (3, 3, 1)))
            over.append(float(np.quantile((np.minimum(x, 1) - brightest)[beside], 0.99)))
            if peak < 2:
                more.append(over[-1] - float(np.quantile((np.minimum(restore(whole, psf), 1) - brightest)[beside], 0.99)))
            gain.append(scenes.psnr(x[~near & ~clipped][:, None], truth[~near & ~clipped][:, None]))
            gain[-1] -= scenes.psnr(y[~near & ~clipped][:, None], truth[~near & ~clipped][:, None])
            keep(f"{picture}, {name}, clipped, up to {peak:g}: blurred, restored, true", [y, x, seen])
        if not ratio:
            continue
        figures[f"highlights {peak:g}: beside the lamps, over the input's, worst_error"] = max(ratio)
        figures[f"highlights {peak:g}: overshoot, 99 %, worst_error"] = max(*over, 0.0)
        if more:
            figures[f"highlights {peak:g}: overshoot beyond that of data not clipped, worst_error"] = max(*more, 0.0)
        figures[f"highlights {peak:g}: elsewhere, smallest_gain"] = min(gain)
    return figures


def lamp_scene(psf: np.ndarray, radius: float, peak: float, sigma: float, ground: float, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(input, sharp): a warm lamp on an almost even ground, clipped at white after blur and noise."""
    margin = psf.shape[0] // 2
    i, j = np.mgrid[: side + 2 * margin, : side + 2 * margin] - side // 2 - margin
    share = np.clip(radius + 0.5 - np.hypot(i - 0.3, j + 0.2), 0, 1)[..., None]
    even = ground * (1 + j[..., None] / 600)
    y, truth = scenes.blurred(share * peak * np.array([1, 0.9, 0.7]) + (1 - share) * even, psf, sigma, 3)
    return np.minimum(y, 1), truth


def beyond(x: np.ndarray, y: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(M, N, C): what the result has beyond the range of input and truth around (5 x 5 px), above or below; in white; 0 in lamps and next to them."""
    x, seen = np.minimum(x, 1), np.minimum(truth, 1)
    most = np.maximum(scipy.ndimage.maximum_filter(seen, (5, 5, 1)), scipy.ndimage.maximum_filter(y, (5, 5, 1)))
    least = np.minimum(scipy.ndimage.minimum_filter(seen, (5, 5, 1)), scipy.ndimage.minimum_filter(y, (5, 5, 1)))
    lamp = scipy.ndimage.binary_dilation((truth >= 0.999).any(axis=2), np.ones((3, 3)))
    return np.where(lamp[..., None], 0, np.maximum(x - most, least - x))


def ring(x: np.ndarray, y: np.ndarray, truth: np.ndarray, sigma: float) -> float:
    """The largest value `beyond`, less 4 times the noise: that of the input or, where larger, of the result in the corner."""
    corner = (np.minimum(x, 1) - np.minimum(truth, 1))[:25, :25]
    noise = max(sigma, float((corner - corner.mean(axis=(0, 1))).std()))
    return float(beyond(x, y, truth).max()) - 4 * noise


def rings(bench: Bench, keep: Keep) -> Figures:
    """Lamps of 3 and 10 px radius, 1.2 to 50 times white, on an even ground: the largest `ring`."""
    figures: Figures = {}
    for peak in (1.2, 1.5, 2, 5, 20, 50):
        worst = []
        for name, psf in bench.psfs.items():
            for radius in (3, 10):
                y, truth = lamp_scene(psf, radius, peak, 0.003, 0.3, 150)
                x = restore(y, psf, saturation=0.999)
                worst.append(ring(x, y, truth, 0.003))
                if radius == 10:
                    keep(f"lamp of {peak:g} white, {name}: input, restored, true", [y, np.minimum(x, 1), np.minimum(truth, 1)])
        figures[f"rings: lamp of {peak:g} white, worst_error"] = max(*worst, 0.0)
    return figures


def lamps(bench: Bench, keep: Keep) -> Figures:
    """Many lamps: 2 to 12 px, 1.2 to 50 times white, grey and dark ground, two noise levels: share with a `ring` above 2 % of white, and the worst.

    Lamps of which something is clipped apart from soft spots, which the blur keeps below white. Fewer with PSFs above 25 px.
    """
    told: dict[str, list[float]] = {"clipped lamps": [], "soft spots": []}
    with click.progressbar(list(bench.psfs.items()), label="lamps", file=sys.stderr) as psfs:
        for name, psf in psfs:
            small = psf.shape[0] <= 25
            side = 150 if psf.shape[0] <= 23 else 100 + 4 * psf.shape[0]
            for ground in (0.3, 0.03):
                for peak in (1.2, 1.5, 2, 5, 20, 50):
                    for radius in (2, 3, 5, 8, 12) if small else (2, 5, 12):
                        for sigma in (0.003, 0.01) if small else (0.004,):
                            y, truth = lamp_scene(psf, radius, peak, sigma, ground, side)
                            x = restore(y, psf, saturation=0.999)
                            kind = "clipped lamps" if (y >= 0.999).any() else "soft spots"
                            worst = ring(x, y, truth, sigma)
                            told[kind].append(worst)
                            if worst > 0.02:
                                title = f"{kind}, {radius} px and {peak:g} white, {name}, ring of {worst:.3f}: input, restored, true"
                                keep(title, [y, np.minimum(x, 1), np.minimum(truth, 1)])
    figures: Figures = {}
    for kind, found in told.items():
        figures[f"lamps: {kind}: cases"] = len(found)
        if found:
            figures[f"lamps: {kind}: share with a ring above 2 % of white_error"] = float(np.mean(np.array(found) > 0.02))
            figures[f"lamps: {kind}: ring, worst_error"] = max(found)
    return figures


def lamps_in_pictures(bench: Bench, keep: Keep) -> Figures:
    """Seven lamps in each picture, 1.2 to 20 times white.

    Values `beyond`, within four PSFs of what is clipped and elsewhere, noise included; PSNR outside the lamps and what is clipped (and 4 px around),
    beside that of the input and of a restoration that ignores the clipping.
    """
    figures: Figures = {}
    for peak in (1.2, 2, 5, 20):
        near, rest, largest, told = [], [], [0.0], []
        for p, (name, psf) in enumerate(bench.psfs.items()):
            for i, (picture, sharp) in enumerate(bench.sharps.items()):
                lit = with_lamps(scenes.crop(sharp, bench.side + psf.shape[0] - 1), peak)
                whole, truth = known_scene(lit, psf, 0.003, 10 * p + i, bench.side)
                y = np.minimum(whole, 1)
                clipped = (y >= 0.999).any(axis=2)
                if not clipped.any():
                    continue
                x = restore(y, psf, saturation=0.999)
                distance = scipy.ndimage.distance_transform_cdt(~clipped, "chessboard")
                by = distance <= 2 * psf.shape[0]
                outside = (distance > 4) & ~scipy.ndimage.binary_dilation((truth >= 0.999).any(axis=2), np.ones((5, 5)))
                told.append([scenes.psnr(np.minimum(a, 1)[outside][:, None], truth[outside][:, None]) for a in (x, y, restore(y, psf))])
                over = np.maximum(beyond(x, y, truth), 0)
                near.append(float(np.quantile(over[by], 0.999)))
                largest.append(float(over[by].max()))
                if not by.all():
                    rest.append(float(np.quantile(over[~by], 0.999)))
                title = f"{picture}, {name}, lamps of {peak:g} white, {largest[-1]:.3f} beyond: input, restored, true"
                keep(title, [y, np.minimum(x, 1), np.minimum(truth, 1)])
        for place, found in (("beside", near), ("elsewhere", rest)):
            if found:
                figures[f"lamps of {peak:g} white in pictures: {place}, beyond the range, 99.9 %, mean_error"] = float(np.mean(found))
                figures[f"lamps of {peak:g} white in pictures: {place}, beyond the range, 99.9 %, worst_error"] = max(found)
        figures[f"lamps of {peak:g} white in pictures: largest beyond the range_error"] = max(largest)
        if told:
            restored, taken, ignored = np.array(told).T
            figures[f"lamps of {peak:g} white in pictures: outside, mean_db"] = float(restored.mean())
            figures[f"lamps of {peak:g} white in pictures: outside, input, mean_db"] = float(taken.mean())
            figures[f"lamps of {peak:g} white in pictures: outside, clipping ignored, mean_db"] = float(ignored.mean())
            figures[f"lamps of {peak:g} white in pictures: outside, smallest_gain"] = float((restored - taken).min())
            figures[f"lamps of {peak:g} white in pictures: outside, over the clipping ignored, smallest_gain"] = float((restored - ignored).min())
    return figures


def grid(bench: Bench, keep: Keep) -> Figures:
    """A blur that grows from left to right, restored with a grid of PSFs, beside a dense restoration, and its seams.

    Every column of the input has a Gaussian of its own, of 1 to 2.5 px. Dense: restored whole with each of 13 PSFs, and columns mixed from the two nearest.
    A seam would show in the difference of both from one column to the next: its root mean square within 8 px of the cuts between the grid's parts,
    in white, and over that of all other columns.
    """
    side, margin = 384, 20
    widths, dense_widths = np.linspace(1, 2.5, side), np.linspace(1, 2.5, 13)
    at_cuts, over, behind, gains = [], [], [], []
    for seed, (picture, sharp) in enumerate(bench.sharps.items()):
        mirrored = np.concatenate([sharp, sharp[:, ::-1]], axis=1)
        big = np.concatenate([mirrored, mirrored[::-1]])[: side + 2 * margin, : side + 2 * margin]
        y = np.empty((side, side, 3), np.float32)
        for j, width in enumerate(widths):
            column = scipy.ndimage.gaussian_filter1d(big[:, j : j + 2 * margin + 1], width, axis=1, radius=margin)[:, margin]
            y[:, j] = scipy.ndimage.gaussian_filter1d(column, width, axis=0, radius=margin)[margin:-margin]
        y += 0.005 * np.random.default_rng(seed).normal(size=y.shape).astype(np.float32)
        truth = big[margin:-margin, margin:-margin]
        psfs = np.stack([dcv.psf.gaussian(width, 2 * margin + 1) for width in np.linspace(1, 2.5, 11)[1::2]])[None]
        with dcv.Plan(y, psfs, channel_axis=-1, planning="estimate") as plan:
            x, info = plan.execute(y), plan.info
        whole = np.stack([restore(y, dcv.psf.gaussian(width, 2 * margin + 1), noise=info.noise) for width in dense_widths])
        place = 12 * np.arange(side) / (side - 1)
        below = np.minimum(place.astype(int), 11)
        share = (place - below).astype(np.float32)[:, None]
        dense = (1 - share) * whole[below, :, np.arange(side)].swapaxes(0, 1) + share * whole[below + 1, :, np.arange(side)].swapaxes(0, 1)
        step = np.mean(np.square(np.diff(x - dense, axis=1)), axis=(0, 2))
        cut = np.abs(np.arange(1, side)[:, None] - side * np.arange(1, info.tiles_x) / info.tiles_x).min(axis=1) < 8
        at_cuts.append(np.sqrt(step[cut].mean()))
        over.append(np.sqrt(step[cut].mean() / step[~cut].mean()))
        behind.append(scenes.psnr(dense, truth, margin) - scenes.psnr(x, truth, margin))
        gains.append(scenes.psnr(x, truth, margin) - scenes.psnr(y, truth, margin))
        keep(f"{picture}, blur from 1 to 2.5 px, grid of PSFs: blurred, restored, true", [y, x, truth])
    return {
        "grid: parts along the picture": info.tiles_x,
        "grid: difference of columns at cuts from a dense restoration, worst, white_error": float(max(at_cuts)),
        "grid: the same over elsewhere, worst_error": float(max(over)),
        "grid: PSNR below a dense restoration, mean, dB_error": float(np.mean(behind)),
        "grid: smallest_gain": min(gains),
    }


def awkward(bench: Bench, keep: Keep) -> Figures:
    """Pictures without anything to restore, or with nothing else: largest excess over the input's range, and noise that is left."""
    rng = np.random.default_rng(3)
    i, j = np.mgrid[: bench.side, : bench.side]
    star = np.zeros((bench.side, bench.side))
    star[bench.side // 2, bench.side // 2] = 50.0
    psf = dcv.psf.disk(3)

    def soft(a: np.ndarray) -> np.ndarray:
        return scipy.ndimage.convolve(a, psf, mode="mirror")

    shown = {
        "black": np.zeros((bench.side, bench.side)),
        "white": np.ones((bench.side, bench.side)),
        "gradient": j / (bench.side - 1),
        "noise": 0.5 + 0.02 * rng.normal(size=(bench.side, bench.side)),
        "star": soft(star) + 0.002 * rng.normal(size=(bench.side, bench.side)),
        "checkerboard": soft(0.1 + 0.8 * ((i // 12 + j // 12) % 2)) + 0.005 * rng.normal(size=(bench.side, bench.side)),
    }
    figures: Figures = {}
    for name, grey in shown.items():
        y = np.repeat(grey[..., None], 3, axis=2).astype(np.float32)
        x = restore(y, psf)
        keep(f"{name}: input, restored", [y, x])
        if name == "noise":
            figures["awkward: noise, deviation over the input's_error"] = float((x - 0.5).std() / (y - 0.5).std())
        elif name == "star":
            figures["awkward: star, undershoot over its height_error"] = float(max(-x.min(), 0) / x.max())
        elif name == "checkerboard":
            figures["awkward: checkerboard, overshoot_error"] = float(max(x.max() - 0.9, 0.1 - x.min()))
        else:
            figures[f"awkward: {name}, largest change_error"] = float(np.abs(x - y).max())
    return figures


def sharp_in(bench: Bench, _keep: Keep) -> Figures:
    """A sharp picture with a delta as its PSF, PSNR to itself (100 dB: untouched)."""
    delta = np.zeros((5, 5))
    delta[2, 2] = 1
    distance = [np.mean(np.square(restore(scenes.crop(a, bench.side), delta) - scenes.crop(a, bench.side))) for a in bench.sharps.values()]
    return {"sharp: delta as PSF, smallest_db": float(-10 * np.log10(max(*distance, 1e-10)))}


def sharp(bench: Bench, keep: Keep) -> Figures:
    """Whole sharp pictures, noise of 0, 0.005 and 0.02 added, window, size and PSF found automatically: how many are changed, their PSNR to themselves."""
    changed: Figures = {}
    for i, (picture, clean) in enumerate(bench.sharps.items()):
        for sigma in (0, 0.005, 0.02):
            y = (clean + sigma * np.random.default_rng(i).normal(size=clean.shape)).astype(np.float32)
            psf = dcv.estimate_psf(y, channel_axis=-1).psf
            if dcv.psf.radius(psf) > 0:
                x = restore(y, psf)
                changed[f"sharp: {picture}, sigma {sigma:g}, to itself_db"] = scenes.psnr(x, y)
                keep(f"sharp: {picture}, sigma {sigma:g}, taken for blurred: input, restored", [y, x])
    return {"sharp: cases": 3 * len(bench.sharps), "sharp: taken for blurred_error": len(changed), **changed}


@dataclass
class Sweep:
    """Along `values` from denoise to deblur: mean difference of neighbouring rows, noise left in an even area, PSNR; gradient over that without noise."""

    values: np.ndarray
    detail: np.ndarray
    noise: np.ndarray
    psnr: np.ndarray
    gradient: np.ndarray


def swept(sharp: np.ndarray, psf: np.ndarray, side: int, steps: int = 17) -> Sweep:
    """Priority from -1 to 1 on a picture beside an even area, sigma 0.01."""
    values = np.linspace(-1, 1, steps)
    y, truth = known_scene(sharp, psf, 0.01, 1, side)
    flat = np.full_like(y, 0.4) + 0.01 * np.random.default_rng(2).normal(size=y.shape)
    both = np.concatenate([y, flat.astype(np.float32)], axis=1)
    clean = known_scene(sharp, psf, 0, 1, side)[0][:, : side - 20]
    told = []
    for value in values:
        x = restore(both, psf, priority=float(value), noise=0.01)
        part, flat_part = x[:, : side - 20], x[20:-20, side + 20 : -20]
        detail = np.abs(np.diff(part.mean(axis=2), axis=0)).mean()
        told.append((detail, flat_part.std(), scenes.psnr(part, truth[:, : side - 20]), np.diff(part, axis=0).std() / np.diff(clean, axis=0).std()))
    return Sweep(values, *np.array(told).T)


def priority(bench: Bench, _keep: Keep) -> Figures:
    """A sweep from denoise to deblur on a picture that is half flat.

    Steps that do not add sharpness, or noise; PSNR lost at 0 against the best step; at -1, which is to remove noise only, the gradient over that of the blurred
    picture without noise. Over all pictures, PSFs and noise levels: what the best of five steps has, on average, over 0.
    """
    name, sharp = next(iter(bench.sharps.items()))
    sweep = swept(sharp, dcv.psf.disk(3), bench.side)
    told = []
    for p, psf in enumerate(bench.psfs.values()):
        for s, sigma in enumerate(bench.sigmas):
            for i, each in enumerate(bench.sharps.values()):
                y, truth = known_scene(each, psf, sigma, 100 * p + 10 * s + i, bench.side)
                told.append([scenes.psnr(restore(y, psf, priority=value), truth) for value in (-0.5, -0.25, 0, 0.25, 0.5)])
    means = np.mean(told, axis=0)
    return {
        "priority: mean PSNR of the best of five steps over that at 0, dB_error": float(means.max() - means[2]),
        "priority: steps not monotone in sharpness_error": float(np.sum(np.diff(sweep.detail) <= 0)),
        "priority: steps not monotone in noise_error": float(np.sum(np.diff(sweep.noise) < -1e-6)),
        "priority: PSNR lost at 0, dB_error": float(sweep.psnr.max() - sweep.psnr[len(sweep.values) // 2]),
        f"priority: range of sharpness on {name}_gain": float(sweep.detail[-1] / sweep.detail[0]),
        "priority: gradient at -1 beside that of the clean input_error": float(abs(sweep.gradient[0] - 1)),
    }


def plot_priority(path: Path, bench: Bench) -> None:
    """Sharpness, noise and PSNR along the priority, for up to three pictures, each with a PSF of its own."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    blurs = {"disk 3": dcv.psf.disk(3), "Gaussian 2": dcv.psf.gaussian(2), "shake 17": scenes.shake(1, 17)}
    for (picture, sharp), (name, psf) in zip(bench.sharps.items(), blurs.items(), strict=False):
        sweep = swept(sharp, psf, bench.side)
        for axis, values in zip(axes, (sweep.detail, sweep.noise, sweep.psnr), strict=True):
            axis.plot(sweep.values, values, ".-", label=f"{picture}, {name}")
    for axis, label in zip(axes, ("mean difference of neighbouring rows", "noise left in an even area (input 0.01)", "PSNR, dB"), strict=True):
        axis.set(xlabel="priority", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def text(_bench: Bench, keep: Keep) -> Figures:
    """A scanned page, defocused and shaken: gain, and overshoot beyond paper and ink."""
    page = np.repeat(dcv.from_srgb(skimage.data.page())[..., None], 3, axis=2)
    gains, over = [], []
    for name, psf in {"disk 2": dcv.psf.disk(2), "shake 11": scenes.shake(1, 11)}.items():
        y, truth = scenes.blurred(page, psf, 0.005, 4)
        x = restore(y, psf)
        gains.append(scenes.psnr(x, truth) - scenes.psnr(y, truth))
        over.append(float(np.quantile(np.maximum(x - truth.max(), truth.min() - x), 0.99)))
        keep(f"text, {name}: blurred, restored, true", [y, x, truth])
    return {"text: smallest_gain": min(gains), "text: overshoot, 99 %_error": max(*over, 0.0)}


def shot_noise(bench: Bench, keep: Keep) -> Figures:
    """Noise that grows with the light (variance 0.0015^2 + 0.03^2 y): gain; mean loss of the estimated noise level to the true mean one."""
    gains, losses = [], []
    for p, (name, psf) in enumerate(bench.psfs.items()):
        for i, (picture, sharp) in enumerate(bench.sharps.items()):
            soft, truth = known_scene(sharp, psf, 0, 1, bench.side)
            variance = 0.0015**2 + 0.03**2 * np.maximum(soft, 0)
            y = (soft + np.sqrt(variance) * np.random.default_rng(10 * p + i).normal(size=soft.shape)).astype(np.float32)
            x = restore(y, psf)
            gains.append(scenes.psnr(x, truth) - scenes.psnr(y, truth))
            losses.append(scenes.psnr(restore(y, psf, noise=float(np.sqrt(variance.mean()))), truth) - scenes.psnr(x, truth))
            if i == 0:
                keep(f"{picture}, {name}, shot noise: blurred, restored, true", [y, x, truth])
    return {
        "shot noise: mean_gain": float(np.mean(gains)),
        "shot noise: smallest_gain": min(gains),
        "shot noise: loss to the true mean noise, dB_error": float(np.mean(losses)),
    }


GROUPS: list[Callable[[Bench, Keep], Figures]] = [non_blind, frame, highlights, rings, shot_noise, awkward, text, sharp_in, priority]
SLOW: list[Callable[[Bench, Keep], Figures]] = [lamps, lamps_in_pictures, grid, blind, sharp, known, processed, solvers]


def measure(bench: Bench, slow: bool, keep: Keep = lambda _n, _p: None, only: tuple[str, ...] = ()) -> Figures:
    """Every figure; `slow`: those of SLOW, too; `only`: those of the groups of these names."""
    figures: Figures = {}
    chosen = [group for group in GROUPS + SLOW if group.__name__ in only] if only else GROUPS + (SLOW if slow else [])
    for group in chosen:
        figures |= group(bench, keep)
    return figures


def worse(name: str, value: float, before: float) -> bool:
    """Whether a figure fell behind the baseline by more than its tolerance."""
    if name.endswith("_error"):
        return value > before + max(0.1 * abs(before), 0.002)
    return value < before - 0.15


def quick_bench() -> Bench:
    """The small part that the tests run: three pictures, five PSFs, one noise level, no estimation."""
    return Bench(pictures(None), scenes.psfs(), (0.005,), 160)


def quick() -> Figures:
    """The figures of that part."""
    return measure(quick_bench(), slow=False)


def strip(row: list[np.ndarray]) -> np.ndarray:
    """Pictures in linear light side by side, 8-bit sRGB."""
    shown = dcv.to_srgb(np.clip(np.concatenate([a.astype(np.float32) for a in row], axis=1), 0, 1))
    return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)


def write_page(folder: Path, figures: Figures, before: Figures, shown: list[tuple[str, list[np.ndarray]]], bench: Bench) -> None:
    """index.html with the figures, the priority sweep as a plot, and the pictures side by side."""
    plot_priority(folder / "priority.png", bench)
    lines = ['<h2>priority</h2><img src="priority.png">']
    for n, (title, row) in enumerate(shown):
        skimage.io.imsave(folder / f"{n:03}.png", strip(row), check_contrast=False)
        lines.append(f'<h2>{html.escape(title)}</h2><img src="{n:03}.png">')
    cells = "".join(f"<tr><td>{html.escape(name)}<td>{value:.3f}<td>{before.get(name, float('nan')):.3f}" for name, value in figures.items())
    page = f"<!doctype html><meta charset=utf-8><title>dcv: quality</title><table><tr><th>figure<th>now<th>baseline{cells}</table>{''.join(lines)}"
    (folder / "index.html").write_text(page, "utf-8")


SHEETS = {  # what the documentation shows: beginnings of the titles, one row each
    "restored": ("astronaut, Gaussian 3,", "astronaut, disk 3,", "astronaut, motion 9", "astronaut, shake 17,"),
    "lamps": ("lamp of 2 white, Gaussian 3", "lamp of 20 white, shake 17", "coffee, shake 17, clipped, up to 2:", "coffee, shake 17, clipped, up to 20"),
    "awkward": ("noise:", "gradient:", "star:", "checkerboard:", "text, shake 11"),
    "blind": ("blind: astronaut, disk 3", "blind: chelsea, shake 17", "blind: coffee, motion 9", "blind: chelsea, Gaussian 3"),
}


def write_sheets(folder: Path) -> None:
    """Small pictures for the documentation, of scikit-image's pictures only: quality-NAME.jpg, and quality-priority.png."""
    shown: dict[str, np.ndarray] = {}

    def keep(title: str, row: list[np.ndarray]) -> None:
        shown[title] = strip([a[:240, :240] for a in row])

    bench = quick_bench()
    measure(bench, slow=True, keep=keep)
    plot_priority(folder / "quality-priority.png", bench)
    for name, beginnings in SHEETS.items():
        rows = [next(row for title, row in shown.items() if title.startswith(beginning)) for beginning in beginnings]
        width = max(row.shape[1] for row in rows)
        wide = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        PIL.Image.fromarray(np.concatenate(wide)).save(folder / f"quality-{name}.jpg", quality=88)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of sharp pictures; default: scikit-image's.")
@click.option("--most", type=click.IntRange(1), help="With --data: at most so many pictures, evenly chosen.")
@click.option("--wheel", is_flag=True, help="All sharp pictures that come with scikit-image in place of three.")
@click.option("--psfs", "psf_file", type=click.Path(exists=True, path_type=Path), help=".npz file of square arrays; default: the five of the comparison.")
@click.option("--psf", "psf_names", multiple=True, help="Only this one of them; may be repeated.")
@click.option("--sigmas", default="0.002,0.01,0.02", show_default=True, help="Noise, relative to white.")
@click.option("--blind/--no-blind", "with_blind", default=True, help="Estimate PSFs, too.")
@click.option("--blind-cases", default=48, show_default=True, help="At most so many estimates, evenly chosen; a second or two each.")
@click.option("--resume", type=click.Path(dir_okay=False, path_type=Path), help="File that keeps each estimate's figures: a run broken off goes on from there.")
@click.option("--only", multiple=True, type=click.Choice([group.__name__ for group in GROUPS + SLOW]), help="Only this group of figures; may be repeated.")
@click.option("--side", default=SIDE, show_default=True, help="Side of the scenes, px.")
@click.option("--quick", "quick_", is_flag=True, help="Only what the tests measure.")
@click.option("--page", type=click.Path(file_okay=False, path_type=Path), help="Write index.html and pictures into this folder.")
@click.option("--sheets", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Only write the documentation's pictures into this folder.")
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object on stdout.")
@click.option("--store", is_flag=True, help="Make the figures of --quick the baseline.")
def main(
    data: Path | None, most: int | None, wheel: bool, psf_file: Path | None, psf_names: tuple[str, ...], sigmas: str, with_blind: bool, blind_cases: int,
    resume: Path | None, only: tuple[str, ...], side: int, quick_: bool, page: Path | None, sheets: Path | None, as_json: bool, store: bool,
) -> None:  # fmt: skip
    """Measure the quality of restorations."""
    if sheets:
        write_sheets(sheets)
        return
    shown: list[tuple[str, list[np.ndarray]]] = []

    def keep(name: str, row: list[np.ndarray]) -> None:
        shown.append((name, row))

    psfs = kernels(psf_file)
    if unknown := set(psf_names) - set(psfs):
        raise click.UsageError(f"no PSF {', '.join(unknown)}: {', '.join(psfs)}")
    chosen = {name: psf for name, psf in psfs.items() if not psf_names or name in psf_names}
    levels = tuple(map(float, sigmas.split(",")))
    bench = quick_bench() if quick_ or store else Bench(pictures(data, most, wheel), chosen, levels, side, blind_cases, resume)
    figures = measure(bench, with_blind and not (quick_ or store), keep, only)
    if store:
        BASELINE.write_text(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2) + "\n", "utf-8")
    before: Figures = json.loads(BASELINE.read_text("utf-8")) if quick_ or store else {}
    if page:
        page.mkdir(parents=True, exist_ok=True)
        write_page(page, figures, before, shown, bench)
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        table = Table("figure", "now", "baseline")
        for name, value in figures.items():
            table.add_row(name, f"{value:.3f}", f"{before[name]:.3f}" if name in before else "")
        Console(width=120).print(table)
    behind = [name for name, value in figures.items() if name in before and worse(name, value, before[name])]
    if behind:
        print("worse than the baseline: " + "; ".join(behind), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
