# SPDX-License-Identifier: GPL-3.0-or-later
"""Estimation from Python: windows, noise, errors, and that a PSF comes out which is more like the truth than a guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import skimage.data

import dcv


@pytest.fixture(scope="module")
def psf() -> np.ndarray:
    return dcv.psf.motion(7, 45, 9)


@pytest.fixture(scope="module")
def blurred(psf: np.ndarray) -> np.ndarray:
    sharp = dcv.from_srgb(skimage.data.astronaut()[:260, 100:360])
    soft = np.stack([scipy.ndimage.convolve(sharp[:, :, c], psf, mode="mirror") for c in range(3)], axis=-1)
    return (soft + 0.003 * np.random.default_rng(1).normal(size=soft.shape)).astype(np.float32)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(scipy.signal.correlate(a, b).max() / np.sqrt(np.square(a).sum() * np.square(b).sum()))


def test_estimate_resembles_the_truth(blurred: np.ndarray, psf: np.ndarray) -> None:
    seen: list[float] = []
    result = dcv.estimate_psf(blurred, 9, channel_axis=-1, progress=seen.append)
    dcv.psf.validate(result.psf)
    assert result.psf.shape == (9, 9)
    assert result.psf.dtype == np.float32
    assert result.psf.sum() == pytest.approx(1, abs=1e-4)
    # A Gaussian of the same radius reaches 0.71, a line across 0.33.
    assert correlation(result.psf, psf) > 0.8
    assert 0 <= result.confidence <= 1
    assert result.window == (0, 0, 260, 260)
    assert [scale.size for scale in result.scales] == sorted(scale.size for scale in result.scales)
    assert result.scales[-1].size == 9
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_size_is_found(blurred: np.ndarray, psf: np.ndarray) -> None:
    # Measured transforms depend on what was planned before, to rounding; estimated ones do not.
    result = dcv.estimate_psf(blurred, window=(60, 60, 160, 160), channel_axis=-1)
    size = result.psf.shape[0]
    assert size % 2 == 1
    assert psf.shape[0] <= size <= 33
    assert np.array_equal(result.psf, dcv.estimate_psf(blurred, size, window=(60, 60, 160, 160), channel_axis=-1).psf)


def test_window_is_the_same_as_cutting(blurred: np.ndarray) -> None:
    x, y, width, height = window = (40, 60, 128, 100)
    inside = dcv.estimate_psf(blurred, 7, max_size=7, window=window, channel_axis=-1)
    cut = dcv.estimate_psf(blurred[y : y + height, x : x + width].copy(), 7, max_size=7, channel_axis=-1)
    assert np.array_equal(inside.psf, cut.psf)
    assert inside.window == window


def test_a_size_too_small_grows(blurred: np.ndarray, psf: np.ndarray) -> None:
    seen: list[float] = []
    grown = dcv.estimate_psf(blurred, 3, channel_axis=-1, per_channel=True, progress=seen.append)
    held = dcv.estimate_psf(blurred, 3, max_size=3, channel_axis=-1)
    size = grown.psf.shape[0]
    assert size in (7, 15, 31)
    assert grown.psf.shape == (size, size, 3)
    assert grown.psf.sum(axis=(0, 1)) == pytest.approx([1, 1, 1], abs=1e-4)
    assert grown.scales[-1].size == size
    assert seen == sorted(seen)
    assert held.psf.shape == (3, 3)
    assert min(correlation(grown.psf[..., c], psf) for c in range(3)) > correlation(held.psf, psf) + 0.1


def test_the_largest_size_is_checked(blurred: np.ndarray) -> None:
    with pytest.raises(dcv.errors.ArgumentError, match="above"):
        dcv.estimate_psf(blurred, 9, max_size=7, channel_axis=-1)
    with pytest.raises(dcv.errors.ArgumentError, match="odd"):
        dcv.estimate_psf(blurred, max_size=8, channel_axis=-1)
    assert dcv.estimate_psf(blurred, max_size=5, window=(60, 60, 128, 128), channel_axis=-1).psf.shape == (5, 5)


def test_per_channel(blurred: np.ndarray) -> None:
    result = dcv.estimate_psf(blurred, 7, max_size=7, window=(60, 60, 128, 128), channel_axis=-1, per_channel=True)
    assert result.psf.shape == (7, 7, 3)
    assert result.psf.sum(axis=(0, 1)) == pytest.approx([1, 1, 1], abs=1e-4)


def test_gray(blurred: np.ndarray) -> None:
    result = dcv.estimate_psf(blurred.mean(axis=2), 7.0, max_size=7, window=(60, 60, 128, 128))
    assert result.psf.shape == (7, 7)
    assert result == result  # arrays are not compared
    assert len(repr(result)) < 500, "a line or two, without the values of the PSF"


@pytest.mark.parametrize("size", [1, 2, 8, 35, 9.5, -3, "large", None])
def test_size_is_checked(size: Any, blurred: np.ndarray) -> None:
    with pytest.raises(dcv.errors.ArgumentError, match="odd"):
        dcv.estimate_psf(blurred, size, channel_axis=-1)


@pytest.mark.parametrize("window", [(-1, 0, 50, 50), (0, 0, 261, 50), (250, 0, 50, 50), (0, 0, 0, 50), (0, 0, 15, 50), (0, 0, 50, 12)])
def test_window_is_checked(window: tuple[int, int, int, int], blurred: np.ndarray) -> None:
    with pytest.raises(dcv.errors.SizeError, match="window"):
        dcv.estimate_psf(blurred, 9, window=window, channel_axis=-1)


def test_window_of_three(blurred: np.ndarray) -> None:
    with pytest.raises(dcv.errors.ArgumentError):
        dcv.estimate_psf(blurred, 9, window=(0, 0, 50), channel_axis=-1)  # type: ignore[arg-type]


@pytest.mark.parametrize("sigma", [0.002, 0.01, 0.03])
def test_noise_is_measured(sigma: float) -> None:
    sharp = dcv.from_srgb(skimage.data.astronaut())
    soft = np.stack([scipy.ndimage.gaussian_filter(sharp[:, :, c], 1.5) for c in range(3)], axis=-1)
    noisy = (soft + sigma * np.random.default_rng(2).normal(size=soft.shape)).astype(np.float32)
    measured = dcv.estimate_noise(noisy, channel_axis=-1)
    assert measured.shape == (3,)
    assert measured == pytest.approx(sigma, rel=0.35)
    assert dcv.estimate_noise(noisy[:, :, 1]) == pytest.approx(sigma, rel=0.35)


def test_noise_of_nothing() -> None:
    with pytest.raises(dcv.errors.DataError):
        dcv.estimate_noise(np.full((50, 50), np.nan, np.float32))


# ---- the window that is chosen ---------------------------------------------------------------------------------------------------------


def test_small_pictures_are_used_whole() -> None:
    assert dcv.choose_window(np.zeros((300, 528), np.float32)) == (0, 0, 528, 300)


@pytest.mark.parametrize("shape", [(500, 2000), (529, 300), (1000, 1000), (3000, 260)])
def test_window_lies_inside(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).random(shape, dtype=np.float32)
    x, y, width, height = dcv.choose_window(picture)
    assert 0 <= x <= x + width <= shape[1]
    assert 0 <= y <= y + height <= shape[0]
    assert (width, height) == (min(512, shape[1]), min(512, shape[0]))


def test_window_finds_structure_in_both_directions_without_clipping() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((1560, 1950), 0.2, np.float32)
    picture[390:910, 390:910] += 0.3 * (np.arange(520) // 8 % 2)  # stripes: one direction only
    picture[170:690, 1015:1535] += 4 * (rng.random((520, 520)) > 0.5)  # structure, but clipped
    picture = np.minimum(picture, 1)
    picture[700:1220, 1015:1535] = 0.2 + 0.3 * rng.random((520, 520))  # good
    x, y, width, height = dcv.choose_window(picture)
    across = min(x + width, 1535) - max(x, 1015)
    down = min(y + height, 1220) - max(y, 700)
    assert across * down > 0.8 * width * height


def test_grid_of_estimates(psf: np.ndarray, blurred: np.ndarray) -> None:
    seen: list[float] = []
    wide = np.concatenate([blurred, np.full_like(blurred, 0.4)], axis=1)  # the right half tells nothing
    wide += 0.003 * np.random.default_rng(2).normal(size=wide.shape).astype(np.float32)
    result = dcv.estimate_psf_grid(wide, grid=(1, 4), channel_axis=-1, progress=seen.append)
    assert result.psf.shape[:2] == (1, 4)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    assert result.trusted[0, :2].any()
    assert not result.trusted[0, 3]
    assert correlation(result.psf[0, 3], psf) > 0.7
    dcv.psf.validate(result.psf[0, 3])
    x, y, width, height = result.cells[0][3].window
    assert x >= 3 * 130 - 20
    assert x + width <= 520
    assert y + height <= 260


@pytest.mark.parametrize("grid", [(0, 1), (1, 65), (9, 1)])
def test_grid_that_does_not_fit(blurred: np.ndarray, grid: tuple[int, int]) -> None:
    with pytest.raises(dcv.errors.ArgumentError, match="grid"):
        dcv.estimate_psf_grid(blurred, 9, grid, channel_axis=-1)


def test_lamps_are_left_out(blurred: np.ndarray, psf: np.ndarray) -> None:
    lit = 0.5 * blurred
    for y in range(20, 230, 60):
        for x in range(20, 230, 60):
            lit[y : y + 4, x : x + 9] = 1
    as_data, without = (dcv.estimate_psf(lit, 9, channel_axis=-1, saturation=saturation) for saturation in (None, 0.99))
    assert without.evidence[0] > as_data.evidence[0]
    assert correlation(without.psf, psf) > 0.8 > correlation(as_data.psf, psf)
