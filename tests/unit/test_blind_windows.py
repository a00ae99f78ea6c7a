# SPDX-License-Identifier: GPL-3.0-or-later
"""The blind estimate of the core on windows that have no, or no unique, PSF to find, and what must not change its result."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.ndimage

from tests.parity import _ops
from tests.parity.test_blind import arc, blurred, correlation, scene

PSF_ERROR, SIZE_ERROR, DATA_ERROR = 3, 2, 9


def estimate(y: np.ndarray, size: int, *, per_channel: bool = False, pad: int = 0, **fields: float) -> SimpleNamespace:
    """dcv_estimate_psf of y (M, N[, C]); `pad` floats more in each pixel."""
    module = _ops.load()
    channels = 1 if y.ndim == 2 else y.shape[2]
    pixels = np.full((*y.shape[:2], channels + pad), np.nan, np.float32)
    pixels[..., :channels] = y.reshape(*y.shape[:2], channels)
    image, _kept = _ops.image_struct(pixels)
    psf, data = _ops.psf_struct(np.full((size, size, 3) if per_channel else (size, size), -1.0))
    params, result = module.ffi.new("dcv_params *"), module.ffi.new("dcv_estimate_result *")
    module.lib.dcv_params_init(params)
    params.channels, params.planning, params.blur = channels, 0, per_channel
    for name, value in fields.items():
        setattr(params, name, value)
    result.struct_size = module.ffi.sizeof("dcv_estimate_result")
    status = module.lib.dcv_estimate_psf(params, image, size, psf, module.ffi.NULL, result)
    return SimpleNamespace(status=status, psf=data, confidence=result.confidence, noise=result.noise, scales=result.scales)


def is_psf(k: np.ndarray) -> bool:
    return bool(np.isfinite(k).all() and (k >= 0).all()) and k.sum(axis=(-2, -1)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("size", [3, 9, 15])
def test_sharp_window_gives_a_delta(size: int) -> None:
    found = estimate(scene(100, 110) + 0.002 * np.random.default_rng(0).normal(size=(100, 110)), size)
    assert found.status == 0
    assert is_psf(found.psf)
    assert found.psf[size // 2, size // 2] > 0.8


@pytest.mark.parametrize("value", [0.0, 0.3, 1e4])
def test_flat_window_gives_a_delta_without_confidence(value: float) -> None:
    found = estimate(np.full((40, 30), value), 7)
    assert found.status == 0
    assert found.psf[3, 3] == 1
    assert found.psf.sum() == 1
    assert found.confidence == 0


def test_pure_noise_gives_no_confidence() -> None:
    found = estimate(0.5 + 0.01 * np.random.default_rng(0).normal(size=(100, 100)), 9)
    assert found.status == 0
    assert is_psf(found.psf)
    assert found.confidence < 0.2


@pytest.mark.parametrize(("shape", "size"), [((16, 16), 3), ((16, 16), 15), ((16, 40), 15), ((17, 17), 17), ((33, 33), 33)])
def test_smallest_windows(shape: tuple[int, int], size: int) -> None:
    found = estimate(blurred(5, *shape), size)
    assert found.status == 0
    assert is_psf(found.psf)


@pytest.mark.parametrize("size", range(3, 35, 2))
def test_every_size(size: int) -> None:
    found = estimate(blurred(3, 60, 64), size)
    assert found.status == 0
    assert is_psf(found.psf)


def test_size_does_not_matter_much() -> None:
    y = blurred(9)
    assert correlation(estimate(y, 9).psf, arc(9)) > 0.85
    assert correlation(estimate(y, 17).psf, arc(9)) > 0.8


def test_errors_leave_the_psf_alone() -> None:
    y = blurred(5, 40, 40)
    for found, status in (
        (estimate(y, 8), PSF_ERROR),
        (estimate(y, 1), PSF_ERROR),
        (estimate(y, 35), PSF_ERROR),
        (estimate(y, 5, per_channel=True), PSF_ERROR),
        (estimate(y[:15], 5), SIZE_ERROR),
        (estimate(y[:, :20], 21), SIZE_ERROR),
        (estimate(np.full((40, 40), np.nan), 5), DATA_ERROR),
    ):
        assert found.status == status
        assert (found.psf == -1).all()


@pytest.mark.parametrize("factor", [2.0**-10, 2.0**10])
def test_brightness_does_not_matter(factor: float) -> None:
    y = blurred(7)
    one, other = estimate(y, 9), estimate(factor * y, 9)
    # A power of two, but the contrast is scaled in single precision.
    assert correlation(one.psf, other.psf) > 0.999
    assert other.noise == pytest.approx(factor * one.noise, rel=1e-5)


def test_threads_and_strides_do_not_matter() -> None:
    y = np.stack([blurred(7, 80, 90)] * 3, axis=-1) * np.array([1, 0.8, 0.6], np.float32)
    expected = estimate(y, 9, threads=1)
    for other in (estimate(y, 9, threads=2), estimate(y, 9, threads=5), estimate(y, 9, pad=1)):
        assert np.array_equal(other.psf, expected.psf)
        assert (other.confidence, other.noise, other.scales) == (expected.confidence, expected.noise, expected.scales)


def test_unknown_pixels_are_filled() -> None:
    y = blurred(9)
    holes = y.copy()
    rng = np.random.default_rng(3)
    holes[rng.random(y.shape) < 0.003] = np.nan
    holes[40:43, 50:53] = np.inf
    found = estimate(holes, 9)
    assert found.status == 0
    assert correlation(found.psf, arc(9)) > 0.8
    assert found.noise == pytest.approx(estimate(y, 9).noise, rel=0.1)


def test_per_channel_finds_the_wider_blur() -> None:
    x = scene(120, 120)
    y = np.stack([scipy.ndimage.gaussian_filter(x, sigma) for sigma in (1.0, 1.0, 1.8)], axis=-1)
    y += 0.002 * np.random.default_rng(0).normal(size=y.shape)
    found = estimate(y, 11, per_channel=True)
    assert found.status == 0
    assert is_psf(found.psf)
    r = np.arange(11) - 5
    square = [float((k * (r[:, None] ** 2 + r**2)).sum()) for k in found.psf]
    assert square[2] > 1.3 * square[0]
    assert square[2] > 1.3 * square[1]


def test_given_noise_is_used() -> None:
    y = blurred(7)
    found = estimate(y, 9, noise=0.05)
    assert found.noise == pytest.approx(0.05)
    assert not np.array_equal(found.psf, estimate(y, 9).psf)
