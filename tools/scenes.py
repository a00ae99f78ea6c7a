# SPDX-License-Identifier: GPL-3.0-or-later
"""Known scenes for the demo and the comparison: pictures of scikit-image's wheel, blurred in linear light by known PSFs, with noise.

The blurred picture holds only pixels whose whole neighbourhood was in the sharp one ("valid" convolution), so that no method is given a
boundary it could guess.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import scipy.ndimage
import scipy.signal
import skimage.data
import skimage.io
import skimage.registration

import dcv

PICTURES = ("astronaut", "chelsea", "coffee")
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "motorcycle_right.png")  # in colour
WHEEL = (  # all that are sharp, of any kind
    *PHOTOGRAPHS,
    *("retina.jpg", "ihc.png", "hubble_deep_field.jpg", "camera.png", "brick.png", "grass.png", "gravel.png", "coins.png", "moon.png", "page.png", "cell.png"),
)


def sharp_picture(name: str) -> np.ndarray:
    """One of scikit-image's colour pictures as linear light, float32 (M, N, 3)."""
    return dcv.from_srgb(getattr(skimage.data, name)())


def read(path: Path) -> np.ndarray:
    """Picture of 8 or 16 bits as linear light, float32 (M, N, 3)."""
    codes = skimage.io.imread(path)
    return dcv.from_srgb(np.ascontiguousarray(np.stack([codes] * 3, axis=-1) if codes.ndim == 2 else codes[..., :3]))


def wheel_picture(file: str) -> np.ndarray:
    """One of the files that come with scikit-image."""
    return read(Path(skimage.data.__file__).parent / file)


def shake(seed: int, size: int) -> np.ndarray:
    """PSF of a hand's tremble: the path of a random acceleration, exposed evenly, that fills about `size` pixels."""
    rng = np.random.default_rng(seed)
    velocity = np.cumsum(rng.normal(size=(400, 2)), axis=0)
    path = np.cumsum(velocity - velocity.mean(axis=0), axis=0)
    path -= (path.max(axis=0) + path.min(axis=0)) / 2
    path *= (size - 3) / np.ptp(path, axis=0).max()
    y, x = (path + size // 2).T
    psf = np.zeros((size, size))
    for dy in (0, 1):
        for dx in (0, 1):
            row, column = np.floor(y).astype(int) + dy, np.floor(x).astype(int) + dx
            np.add.at(psf, (row, column), (1 - np.abs(y - row)) * (1 - np.abs(x - column)))
    return dcv.psf.centre(dcv.psf.normalise(psf))


def psfs() -> dict[str, np.ndarray]:
    """The five blurs of the comparison."""
    return {
        "Gaussian 1.5": dcv.psf.gaussian(1.5, 11),
        "Gaussian 3": dcv.psf.gaussian(3, 21),
        "disk 3": dcv.psf.disk(3),
        "motion 9, 30°": dcv.psf.motion(9, 30),
        "shake 17": shake(1, 17),
    }


def odd(psf: np.ndarray) -> np.ndarray:
    """Square PSF with an odd side (a row and a column of zeros added where it is even) and sum 1."""
    padded = np.pad(psf.astype(float), (0, 1 - psf.shape[0] % 2))
    return padded / padded.sum()


def blurred(sharp: np.ndarray, psf: np.ndarray, sigma: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(blurred, sharp) of the same size, the sharp one cut to the valid part; float32, white noise of `sigma`."""
    margin = psf.shape[0] // 2
    soft = np.stack([scipy.signal.fftconvolve(sharp[:, :, c].astype(np.float64), psf, "valid") for c in range(3)], axis=-1)
    soft += sigma * np.random.default_rng(seed).normal(size=soft.shape)
    return soft.astype(np.float32), sharp[margin : sharp.shape[0] - margin, margin : sharp.shape[1] - margin]


MASKS = ("disk", "half", "box")


def composite(sharp: np.ndarray, psf: np.ndarray, sigma: float, seed: int, mask: str = "disk") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A blurred subject before a sharp background: (picture, sharp, mask); the mask is true on the subject, a disk, the right half or a box.

    Blurred with the picture mirrored at its frame, so that all have the size of `sharp`; float32, white noise of `sigma`.
    """
    height, width = sharp.shape[:2]
    y, x = np.mgrid[:height, :width]
    subject = {
        "disk": np.hypot(y - height / 2, x - width / 2) < 0.3 * min(height, width),
        "half": x > width / 2,
        "box": (np.abs(y - 0.6 * height) < 0.25 * height) & (np.abs(x - 0.45 * width) < 0.3 * width),
    }[mask]
    soft = np.stack([scipy.ndimage.convolve(sharp[:, :, c].astype(np.float64), psf, mode="reflect") for c in range(3)], axis=-1)
    picture = np.where(subject[..., None], soft, sharp) + sigma * np.random.default_rng(seed).normal(size=sharp.shape)
    return picture.astype(np.float32), sharp, subject


def coded(picture: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    """As JPEG gives it back; chroma subsampling as Pillow counts: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    memory = io.BytesIO()
    codes = np.round(255 * dcv.to_srgb(np.clip(picture, 0, 1))).astype(np.uint8)
    PIL.Image.fromarray(codes).save(memory, "JPEG", quality=quality, subsampling=subsampling)
    return dcv.from_srgb(np.asarray(PIL.Image.open(memory)))


def demosaiced(picture: np.ndarray) -> np.ndarray:
    """As a sensor behind a Bayer filter sees it, green and the differences from it interpolated linearly."""
    height, width = picture.shape[:2]
    rows, columns = np.arange(height)[:, None] % 2, np.arange(width) % 2
    cross, square = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4, np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    green = scipy.ndimage.convolve(picture[:, :, 1] * (rows != columns), cross, mode="mirror")
    red, blue = (green + scipy.ndimage.convolve((picture[:, :, 2 * i] - green) * ((rows == i) & (columns == i)), square, mode="mirror") for i in (0, 1))
    return np.stack([red, green, blue], axis=-1).astype(np.float32)


def crop(sharp: np.ndarray, side: int) -> np.ndarray:
    """The middle `side` x `side` pixels, or as many as there are."""
    height, width = (min(side, length) for length in sharp.shape[:2])
    top, left = (sharp.shape[0] - height) // 2, (sharp.shape[1] - width) // 2
    return sharp[top : top + height, left : left + width]


def large_picture(psf: np.ndarray | None) -> np.ndarray:
    """6000 x 4000 pixels: the three pictures mirrored side by side, periodic, so that one blurred cell of 1000 x 1000 serves them all; with noise."""
    astronaut = sharp_picture("astronaut")[6:506, 6:506]
    coffee = sharp_picture("coffee")[:, 50:550]
    chelsea = np.pad(sharp_picture("chelsea")[100:200], ((0, 0), (0, 49), (0, 0)), mode="reflect")
    column = np.concatenate([astronaut, coffee, chelsea])
    cell = np.concatenate([column, column[:, ::-1]], axis=1)
    if psf is not None:
        cell = np.stack([scipy.ndimage.convolve(cell[:, :, c], psf, mode="wrap") for c in range(3)], axis=-1)
    whole = np.tile(cell, (4000 // cell.shape[0], 6000 // cell.shape[1], 1))
    if psf is not None:
        whole += 0.005 * np.random.default_rng(7).standard_normal(whole.shape, dtype=np.float32)
    return whole


def psnr(a: np.ndarray, b: np.ndarray, frame: int = 0) -> float:
    """Peak signal-to-noise ratio in dB for white = 1, without a frame of so many pixels."""
    inner = np.s_[frame : a.shape[0] - frame, frame : a.shape[1] - frame]
    return float(-10 * np.log10(np.mean(np.square(np.subtract(a[inner], b[inner], dtype=np.float64)))))


def aligned_psnr(restored: np.ndarray, truth: np.ndarray, frame: int) -> float:
    """PSNR after the best shift: a blind PSF is known but for its position."""
    shift, *_ = skimage.registration.phase_cross_correlation(truth.mean(axis=2), restored.mean(axis=2), upsample_factor=20)
    if np.abs(shift).max() > frame:
        return psnr(restored, truth, 2 * frame)
    moved = np.stack([scipy.ndimage.shift(restored[:, :, c], shift, order=3, mode="nearest") for c in range(truth.shape[2])], axis=-1)
    return max(psnr(moved, truth, 2 * frame), psnr(restored, truth, 2 * frame))


def psf_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Largest normalised cross-correlation of two PSFs over all whole shifts."""
    return float(scipy.signal.correlate(a, b).max() / np.sqrt(np.square(a).sum() * np.square(b).sum()))
