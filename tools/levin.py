# SPDX-License-Identifier: GPL-3.0-or-later
"""Error ratios of estimated PSFs on the really shaken pictures of Levin et al.: how much worse a restoration with the estimate is than one with the true PSF.

The published protocol: both PSFs go through the same restoration, a sparse prior |g|^0.8 on first and second differences g by iteratively reweighted least
squares, weight 0.0068; of each result the sum of squared differences to the sharp picture, the least over shifts of up to 5 px in steps of 1/4 px, 15 px at
the frame left out; the ratio of both sums. Up to 2 counts as a success.

Source: A. Levin, Y. Weiss, F. Durand, W. T. Freeman, Understanding and evaluating blind deconvolution algorithms, CVPR 2009; the prior is that of Levin,
Fergus, Durand, Freeman, SIGGRAPH 2007.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import scenes
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from rich.console import Console
from rich.table import Table

import dcv

WEIGHT, POWER, FLOOR = 0.0068, 0.8, 0.01  # FLOOR: least |g| that is told from 0
DIFFERENCES = {(1,): 1.0, (0,): 1.0, (1, 1): 0.25, (0, 0): 0.25, (0, 1): 0.25}  # axes of the successive differences, and the weight of their prior
STEPS, ROUNDS = 70, 3  # of conjugate gradients; of weights, the first all equal
BORDER, REACH = 15, 5  # px


class Case(NamedTuple):
    """One of the pictures: sharp x and blurred y, both (M, N); PSF k; their numbers."""

    image: int
    kernel: int
    x: np.ndarray
    y: np.ndarray
    k: np.ndarray


def load(path: Path, most: int | None = None) -> list[Case]:
    """Cases of an .npz file: images (A,), y (A, B, M, N), x (C, M, N) with x_index (A, B), and the PSFs k1 .. kB, those of y = k * x."""
    with np.load(path) as file:
        data = dict(file)
    every = [
        Case(int(image), b, data["x"][data["x_index"][a, b - 1]], data["y"][a, b - 1], scenes.odd(data[f"k{b}"]))
        for a, image in enumerate(data["images"])
        for b in range(1, data["y"].shape[1] + 1)
    ]
    return every[:most]


def differences(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Successive differences of neighbours."""
    for axis in axes:
        x = np.diff(x, axis=axis)
    return x


def adjoint(d: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The adjoint of `differences`."""
    for axis in axes:
        d = -np.diff(np.pad(d, [(int(axis == a), int(axis == a)) for a in (0, 1)]), axis=axis)
    return d


def least_squares(y: np.ndarray, k: np.ndarray, start: np.ndarray, weights: dict[tuple[int, ...], np.ndarray]) -> np.ndarray:
    """The minimum of ||k * x - y||^2 + WEIGHT sum weights differences(x)^2 by conjugate gradients; x is larger than y by half of k on each side."""
    half, shape = k.shape[0] // 2, [scipy.fft.next_fast_len(n + k.shape[0], True) for n in start.shape]
    otf = scipy.fft.rfft2(k, shape)

    def blur(x: np.ndarray) -> np.ndarray:
        return scipy.fft.irfft2(scipy.fft.rfft2(x, shape) * otf, shape)[2 * half : start.shape[0], 2 * half : start.shape[1]]

    def correlate(r: np.ndarray) -> np.ndarray:
        wide = np.pad(r, 2 * half)
        return scipy.fft.irfft2(scipy.fft.rfft2(wide, shape) * np.conj(otf), shape)[: start.shape[0], : start.shape[1]]

    def normal(x: np.ndarray) -> np.ndarray:
        return correlate(blur(x)) + WEIGHT * sum(adjoint(w * differences(x, axes), axes) for axes, w in weights.items())

    x, r = start, correlate(y) - normal(start)
    p, power = r, np.vdot(r, r)
    for _ in range(STEPS):
        q = normal(p)
        step = power / np.vdot(p, q)
        x, r = x + step * p, r - step * q
        before, power = power, np.vdot(r, r)
        p = r + power / before * p
    return x


def restore(y: np.ndarray, k: np.ndarray) -> np.ndarray:
    """The benchmark's restoration of y (M, N) with k (n, n), n odd."""
    half, y = k.shape[0] // 2, y.astype(np.float64)
    start = np.pad(y, half, mode="edge")
    weights = {axes: np.ones_like(differences(start, axes)) for axes in DIFFERENCES}
    for _ in range(ROUNDS):
        x = least_squares(y, k, start, weights)
        weights = {axes: 0.1 * share * np.maximum(np.abs(differences(x, axes)), FLOOR) ** (POWER - 2) for axes, share in DIFFERENCES.items()}
    return x[half:-half, half:-half]


def distance(a: np.ndarray, truth: np.ndarray) -> float:
    """Sum of squared differences of a and truth, both (M, N), the least over shifts."""
    t = truth[BORDER:-BORDER, BORDER:-BORDER].astype(np.float64)
    a = a[BORDER - REACH : a.shape[0] - BORDER + REACH, BORDER - REACH : a.shape[1] - BORDER + REACH]
    least = np.inf
    for fy, fx in itertools.product(np.arange(4) / 4, repeat=2):
        rows = (1 - fy) * a[:-1] + fy * a[1:] if fy else a
        moved = (1 - fx) * rows[:, :-1] + fx * rows[:, 1:] if fx else rows
        places = sliding_window_view(moved, t.shape)
        least = min(least, *(float(np.square(places[i, j] - t).sum()) for i in range(places.shape[0]) for j in range(places.shape[1])))
    return least


SIZES = {"true size": lambda n: n, "31": lambda n: 31}


def measure(cases: list[Case]) -> list[dict[str, Any]]:
    """Error ratio and seconds of the estimate for both ways to give the size; PSNR of dcv's own restoration with the true PSF, 20 px inside."""
    told = []
    with click.progressbar(cases, file=sys.stderr) as bar:
        for case in bar:
            least = distance(restore(case.y, case.k), case.x)
            ours = dcv.deconvolve(case.y.astype(np.float32), case.k, planning="estimate")
            one: dict[str, Any] = {"image": case.image, "psf": case.kernel, "true_psf_db": scenes.aligned_psnr(*(np.atleast_3d(a) for a in (ours, case.x)), 10)}
            for name, size in SIZES.items():
                found = dcv.estimate_psf(case.y.astype(np.float32), size(case.k.shape[0]), window=(0, 0, *case.y.shape[::-1]), threads=1)
                one[name] = {"ratio": distance(restore(case.y, found.psf.astype(np.float64)), case.x) / least, "seconds": found.seconds}
            told.append(one)
    return told


def report(path: Path, most: int | None, as_json: bool) -> None:
    """Every case as JSON on stdout, or a table."""
    told = measure(load(path, most))
    if as_json:
        print(json.dumps(told, indent=1))
        return
    table = Table("size given", "cases", "mean error ratio", "median", "<= 1.5", "<= 2", "largest", "median s")
    for name in SIZES:
        ratio, seconds = (np.array([one[name][key] for one in told]) for key in ("ratio", "seconds"))
        shares = [f"{100 * np.mean(ratio <= limit):.0f} %" for limit in (1.5, 2)]
        table.add_row(name, str(len(told)), f"{ratio.mean():.3f}", f"{np.median(ratio):.3f}", *shares, f"{ratio.max():.2f}", f"{np.median(seconds):.2f}")
    console = Console()
    console.print(table)
    console.print(f"true PSF, dcv's restoration: mean {np.mean([one['true_psf_db'] for one in told]):.2f} dB, 20 px inside, best shift")
