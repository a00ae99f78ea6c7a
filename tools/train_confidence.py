# SPDX-License-Identifier: GPL-3.0-or-later
"""Constants of the confidence: logistic regression on what estimates of generated blurs tell about themselves.

Each case is a part of a sharp picture, blurred by a generated shake (two in three), line, disk or Gaussian, with noise of 0.0015 to 0.025; the size is given or
found. A success gains 70 % of the decibels of the true PSF. Estimates that find no blur do not count. Prints the constants in the order of `confidence` in
pyref/blind.py, beside those in use, and Brier scores: of both on all cases, of the fit cross-validated over pictures, of the mean share of successes. Three
seconds a case; judge the result with `tools/blind --plot` on pictures and PSFs that had no part in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import blind
import numpy as np
import quality
import scenes
import scipy.ndimage

import dcv

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pyref import blind as reference

SIDE, FOLDS, RIDGE = 255, 5, 1e-2
WIDTHS = (9, 13, 15, 17, 19, 21, 25, 27, 31)  # px

POOL: dict[str, np.ndarray] = {}


def fill_pool(folders: list[Path]) -> None:
    """scikit-image's photographs, and the pictures of the folders that are large enough."""
    POOL.update({name: scenes.wheel_picture(name) for name in scenes.PHOTOGRAPHS})
    for folder in folders:
        POOL.update({name: a for name, a in quality.pictures(folder).items() if min(a.shape[:2]) >= SIDE + max(WIDTHS)})


def random_psf(rng: np.random.Generator, width: int) -> np.ndarray:
    """One that fits in `width` px."""
    kind = rng.choice(["shake", "line", "disk", "Gaussian"], p=[0.64, 0.12, 0.12, 0.12])
    if kind == "line":
        return dcv.psf.motion(rng.uniform(4, width - 3), rng.uniform(0, 180))
    if kind == "disk":
        return dcv.psf.disk(rng.uniform(1.5, min(width / 2 - 1, 6)))
    if kind == "Gaussian":
        return dcv.psf.gaussian(rng.uniform(0.8, min(width / 5, 3)), width)
    psf = scenes.shake(int(rng.integers(1 << 30)), width)
    return scenes.odd(scipy.ndimage.gaussian_filter(psf, rng.uniform(0.3, 0.8))) if rng.random() < 0.5 else psf


def case(seed: int) -> dict[str, Any]:
    """One estimate."""
    rng = np.random.default_rng(seed)
    name, width = str(rng.choice(list(POOL))), int(rng.choice(WIDTHS))
    psf, sigma, size = random_psf(rng, width), float(np.exp(rng.uniform(np.log(0.0015), np.log(0.025)))), rng.choice(["auto", "given"])
    side = SIDE + psf.shape[0] - 1
    top, left = (rng.integers(length - side + 1) for length in POOL[name].shape[:2])
    y, truth = scenes.blurred(POOL[name][top : top + side, left : left + side], psf, sigma, seed)
    return {"seed": seed, "picture": name, **blind.judge(y, truth, psf, width if size == "given" else "auto")}


def features(told: list[dict[str, Any]]) -> np.ndarray:
    """(n, 4): one and the evidence."""
    gain, agreement, level = np.array([one["evidence"] for one in told]).T
    return np.stack([np.ones_like(gain), gain, agreement, np.clip(level, *reference.LOG_NOISE)], axis=1)


def chance(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Of success."""
    return 1 / (1 + np.exp(-x @ w))


def fit(x: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Newton's method on the logistic loss with a little of ||w||^2."""
    w = np.zeros(x.shape[1])
    for _ in range(50):
        p = chance(x, w)
        w = w - np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + RIDGE * np.eye(len(w)), x.T @ (p - good) + RIDGE * w)
    return w


def cross_validated(x: np.ndarray, good: np.ndarray, pictures: list[str]) -> np.ndarray:
    """Chance of each case by a fit to the other pictures."""
    names, p = sorted(set(pictures)), np.zeros(len(x))
    for fold in range(FOLDS):
        left_out = np.isin(pictures, names[fold::FOLDS])
        p[left_out] = chance(x[left_out], fit(x[~left_out], good[~left_out]))
    return p


def report(told: list[dict[str, Any]]) -> None:
    """Constants and scores."""
    found = [one for one in told if any(one["evidence"])]
    gain, possible, _ = blind.columns(found)
    x, good = features(found), (gain >= blind.SUCCESS * possible).astype(float)
    now, w = reference.CONFIDENCE, fit(x, good)
    brier = {"in use": chance(x, now), "fitted": chance(x, w), "fitted, cross-validated": cross_validated(x, good, [one["picture"] for one in found])}
    brier["mean share"] = np.full(len(x), good.mean())
    print(f"{len(told)} estimates, {len(found)} with a blur, {100 * good.mean():.0f} % of them good")
    print(f"in use {np.array2string(now, precision=2)}, fitted {np.array2string(w, precision=2)}")
    print("Brier score: " + ", ".join(f"{name} {np.mean((p - good) ** 2):.3f}" for name, p in brier.items()))


def main() -> None:
    """Estimates, fit and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="folders of further sharp pictures")
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--resume", type=Path, help="file that keeps every case: a run broken off goes on from there")
    arguments = parser.parse_args()
    fill_pool(arguments.data)
    lines = arguments.resume.read_text("utf-8").splitlines() if arguments.resume and arguments.resume.exists() else []
    told = [json.loads(line) for line in lines]
    seeds = sorted(set(range(arguments.cases)) - {one["seed"] for one in told})
    with ProcessPoolExecutor(arguments.processes) as pool:
        for one in pool.map(case, seeds):
            told.append(one)
            if arguments.resume:
                with arguments.resume.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one) + "\n")
    report(told)


if __name__ == "__main__":
    main()
