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
import generated
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from pyref import blind as reference

FOLDS, RIDGE = 5, 1e-2

POOL: dict[str, np.ndarray] = {}


def case(seed: int) -> dict[str, Any]:
    """One estimate."""
    scene = generated.scene(POOL, seed)
    return {"seed": seed, "picture": scene.picture, **blind.judge(scene.y, scene.truth, scene.psf, scene.size if scene.given else "auto")}


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
    POOL.update(generated.pool(arguments.data))
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
