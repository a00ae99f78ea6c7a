# SPDX-License-Identifier: GPL-3.0-or-later
"""Refocus on composites with known truth: a blurred subject before a sharp background, a picture all blurred, and one all sharp.

For each picture and PSF, noise and mask in rotation: PSNR of the background to itself; gain of the subject and its share of what a full restoration of the
picture blurred all over gains there; share of that gain when the picture is blurred all over; PSNR to itself of the sharp picture. The subject and the
background are measured without 8 pixels on either side of their border, where no model holds. Three times: without a sample window, with one such as somebody
would draw inside the subject, and with one that lies half beside it.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
import scenes
import scipy.ndimage

import dcv

NOISES = (0.002, 0.005, 0.01, 0.02)
SIDE = 320
WINDOWS = ("none", "inside", "half beside")


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """PSNR in dB for white = 1, of some pixels; at most 120."""
    return float(-10 * np.log10(np.mean(np.square(np.subtract(a, b, dtype=np.float64)[where])) + 1e-12))


def draw_window(subject: np.ndarray, seed: int, half: bool) -> tuple[int, int, int, int]:
    """A rectangle (x, y, width, height), up to 90 pixels long, within the subject, 3 pixels from its border, or with 40 to 60 % of it in the subject."""
    rng = np.random.default_rng(seed)
    area = subject if half else scipy.ndimage.binary_erosion(subject, iterations=3, border_value=1)
    longest = 90.0
    while True:
        for _ in range(400):
            height, width = rng.integers(int(0.7 * longest), int(longest) + 1, 2)
            y, x = rng.integers(0, area.shape[0] - height + 1), rng.integers(0, area.shape[1] - width + 1)
            share = area[y : y + height, x : x + width].mean()
            if 0.4 < share < 0.6 if half else share == 1:
                return int(x), int(y), int(width), int(height)
        longest *= 0.85


def measure(sharp: np.ndarray, psf: np.ndarray, sigma: float, mask: str, seed: int = 0, window: str = "none") -> dict[str, float]:
    """One composite, with the two pictures that need no map; `window` is one of WINDOWS."""
    mixed, sharp, subject = scenes.composite(sharp, psf, sigma, 0, mask)
    noise = sigma * np.random.default_rng(0).normal(size=sharp.shape)
    soft = np.stack([scipy.ndimage.convolve(sharp[:, :, c].astype(np.float64), psf, mode="reflect") for c in range(3)], axis=-1)
    blurred, focused = (soft + noise).astype(np.float32), (sharp + noise).astype(np.float32)

    known = None if window == "none" else draw_window(subject, seed, window == "half beside")

    def restore(picture: np.ndarray, refocus: bool) -> np.ndarray:
        restored: np.ndarray = dcv.deconvolve(
            picture, psf, channel_axis=-1, planning="estimate", refocus=refocus, window=known if refocus else None
        )
        return restored

    inside, outside = (scipy.ndimage.binary_erosion(part, iterations=8) for part in (subject, ~subject))
    every = np.ones(subject.shape, bool)
    restored, full = restore(mixed, True), restore(blurred, False)
    gain, possible = (psnr(a, sharp, inside) - psnr(mixed, sharp, inside) for a in (restored, full))
    whole, whole_possible = (psnr(a, sharp, every) - psnr(blurred, sharp, every) for a in (restore(blurred, True), full))
    return {
        "background": psnr(restored, mixed, outside),
        "gain": gain,
        "share": gain / possible,
        "all blurred": whole / whole_possible,
        "all sharp": psnr(restore(focused, True), focused, every),
    }


def cases(pictures: list[tuple[str, np.ndarray]], windows: tuple[str, ...]) -> dict[str, list[dict[str, float]]]:
    """Figures of every picture with every PSF, for each kind of window."""
    told: dict[str, list[dict[str, float]]] = {window: [] for window in windows}
    for i, ((name, picture), (kind, psf)) in enumerate(itertools.product(pictures, scenes.psfs().items())):
        sigma, mask = NOISES[i % len(NOISES)], scenes.MASKS[i % len(scenes.MASKS)]
        for window in windows:
            told[window].append(measure(scenes.crop(picture, SIDE), psf, sigma, mask, i, window))
            title = f"{name}, {kind}, {sigma:g}, {mask}, window {window}"
            print(f"{title:62s}" + "  ".join(f"{key} {value:5.2f}" for key, value in told[window][-1].items()), flush=True)
    return told


def main() -> None:
    """Table on stdout, and how many cases keep background and gain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="pictures of 8 bits besides scikit-image's")
    parser.add_argument("--window", choices=WINDOWS, action="append", help="only this kind of window; more than once for more")
    arguments = parser.parse_args()
    pictures = [(name, scenes.sharp_picture(name)) for name in scenes.PICTURES]
    for path in arguments.files:
        import imageio.v3 as iio

        pictures.append((path.stem, dcv.from_srgb(iio.imread(path)[..., :3])))
    for window, figures in cases(pictures, tuple(arguments.window or WINDOWS)).items():
        table = np.array([list(row.values()) for row in figures])
        print(
            f"window {window}, {len(table)} cases: background >= 45 dB {np.sum(table[:, 0] >= 45)}, subject >= 80 % {np.sum(table[:, 2] >= 0.8)}, "
            f"both {np.sum((table[:, 0] >= 45) & (table[:, 2] >= 0.8))}; medians {np.median(table[:, 0]):.1f} dB, {100 * np.median(table[:, 2]):.0f} %; "
            f"all blurred >= 80 % {np.sum(table[:, 3] >= 0.8)}, median {100 * np.median(table[:, 3]):.0f} %; all sharp >= 45 dB {np.sum(table[:, 4] >= 45)}"
        )


if __name__ == "__main__":
    main()
