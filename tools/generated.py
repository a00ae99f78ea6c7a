# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated blurs: parts of sharp pictures, each blurred by a random PSF, with noise; as a sensor or a coder would give them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import quality
import scenes
import scipy.ndimage

import dcv

SIDE = 255
WIDTHS = (9, 13, 15, 17, 19, 21, 25, 27, 31)  # px
NOISE = (0.0015, 0.025)
SIMPLE = 0.36  # share of lines, disks and Gaussians, a third each; the others are shakes
PROCESSING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "white": lambda y: y,
    "demosaiced": scenes.demosaiced,
    "jpeg": lambda y: scenes.coded(y, 93),
}


@dataclass
class Scene:
    """y, truth: (SIDE, SIDE, 3), float32, linear light; psf: square, odd; size: its square's side before lines and disks were cut out, px; sigma: of the noise
    before processing; given: drawn for those who do not always tell the size.
    """

    picture: str
    y: np.ndarray
    truth: np.ndarray
    psf: np.ndarray
    size: int
    sigma: float
    given: bool


def pool(folders: list[Path]) -> dict[str, np.ndarray]:
    """scikit-image's photographs, and the pictures of the folders that are large enough."""
    found = {name: scenes.wheel_picture(name) for name in scenes.PHOTOGRAPHS}
    for folder in folders:
        found.update({name: a for name, a in quality.pictures(folder).items() if min(a.shape[:2]) >= SIDE + max(WIDTHS)})
    return found


def random_psf(rng: np.random.Generator, width: int, simple: float) -> np.ndarray:
    """One that fits in `width` px; of shakes, half are softened."""
    kind = rng.choice(["shake", "line", "disk", "Gaussian"], p=[1 - simple, simple / 3, simple / 3, simple / 3])
    if kind == "line":
        return dcv.psf.motion(rng.uniform(4, width - 3), rng.uniform(0, 180))
    if kind == "disk":
        return dcv.psf.disk(rng.uniform(1.5, min(width / 2 - 1, 6)))
    if kind == "Gaussian":
        return dcv.psf.gaussian(rng.uniform(0.8, min(width / 5, 3)), width)
    psf = scenes.shake(int(rng.integers(1 << 30)), width)
    return scenes.odd(scipy.ndimage.gaussian_filter(psf, rng.uniform(0.3, 0.8))) if rng.random() < 0.5 else psf


def scene(pictures: dict[str, np.ndarray], seed: int, processing: str = "white", simple: float = SIMPLE) -> Scene:
    """The scene of a seed: the same picture, PSF and noise whatever the processing."""
    rng = np.random.default_rng(seed)
    name, width = str(rng.choice(list(pictures))), int(rng.choice(WIDTHS))
    psf, sigma, given = random_psf(rng, width, simple), float(np.exp(rng.uniform(*np.log(NOISE)))), bool(rng.choice([False, True]))
    side = SIDE + psf.shape[0] - 1
    top, left = (rng.integers(length - side + 1) for length in pictures[name].shape[:2])
    y, truth = scenes.blurred(pictures[name][top : top + side, left : left + side], psf, sigma, seed)
    return Scene(name, np.ascontiguousarray(PROCESSING[processing](y)), truth, psf, width, sigma, given)
