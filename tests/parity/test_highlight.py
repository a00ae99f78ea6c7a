# SPDX-License-Identifier: GPL-3.0-or-later
"""Lamps: the core against pyref, and what both must keep: no ring, strong lamps as they were taken, weak ones taken out, an overexposed sky restored."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import dcv
from pyref import admm, highlight

SIDE, WHITE, SIGMA = 120, 1.0, 0.004


def scene(peak: float, psf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(blurred and clipped, sharp): bars of moderate contrast, a disk of 4 px and height `peak`."""
    side = SIDE + psf.shape[0] - 1
    i, j = np.mgrid[:side, :side] - side // 2
    sharp = np.repeat((0.25 + 0.15 * np.sign(np.sin(0.35 * i + 0.21 * j)))[..., None], 3, axis=2)
    sharp[np.hypot(i, j) < 4] = peak
    soft = np.stack([scipy.signal.fftconvolve(sharp[..., c], psf, "valid") for c in range(3)], axis=-1)
    soft += SIGMA * np.random.default_rng(0).normal(size=soft.shape)
    margin = psf.shape[0] // 2
    return np.minimum(soft, WHITE).astype(np.float32), sharp[margin:-margin, margin:-margin]


@pytest.mark.parametrize("psf", [dcv.psf.disk(3), dcv.psf.motion(9, 30), dcv.psf.gaussian(1, 7)], ids=["disk", "motion", "Gaussian"])
@pytest.mark.parametrize("peak", [2, 20])
def test_lamp(psf: np.ndarray, peak: float) -> None:
    y, sharp = scene(peak, psf)
    with dcv.Plan(y, psf, channel_axis=-1, saturation=WHITE) as plan:
        restored, info = plan.execute(y), plan.info
    shape = info.transform_height, info.transform_width
    expected = admm.restore(y.astype(float), psf, white=WHITE, halo=info.halo + 8, shape=shape)  # the gap is as long as halo and blend
    assert np.abs(restored - expected).max() < 2e-5  # six iterations in single precision on values up to 1
    reached = highlight.find(y.astype(float), psf, WHITE, info.noise)
    assert reached[SIDE // 2, SIDE // 2]
    assert not reached[:20].any()
    beside = ~scipy.ndimage.binary_dilation(sharp.max(axis=2) > WHITE, np.ones((5, 5)))
    rest = ~scipy.ndimage.binary_dilation(reached, np.ones((9, 9)))
    for where, share in ((rest, 0.5), (reached & beside, 0.95 if peak == 2 else 1.01)):  # a weak lamp is taken out, a strong one stays as it was
        assert np.mean(np.square(restored - sharp)[where]) < share * np.mean(np.square(y - sharp)[where])
    # No ring: where the lamp does not reach, the same picture without it restores to the same within 2 % of white.
    plain = dcv.deconvolve(scene(0.25, psf)[0], psf, channel_axis=-1, noise=info.noise, lam=info.lam, gradient=0.05 / info.rho)
    assert np.quantile(np.abs(restored - plain)[rest], 0.99) < 0.02


def test_sky_is_no_lamp() -> None:
    psf = dcv.psf.disk(3)
    side = SIDE + psf.shape[0] - 1
    sharp = np.full((side, side, 3), 0.2)
    sharp[: side // 2] = 1.05
    soft = np.stack([scipy.signal.fftconvolve(sharp[..., c], psf, "valid") for c in range(3)], axis=-1)
    y = np.minimum(soft + SIGMA * np.random.default_rng(0).normal(size=soft.shape), WHITE)
    assert not highlight.find(y, psf, WHITE, SIGMA).any()


def test_spread_and_common() -> None:
    assert highlight.spread(np.ones((1, 1))) == (0, 0)
    line = np.zeros((9, 9))
    line[4] = 1 / 9
    assert highlight.spread(line) == (0, 4)
    common, middle = highlight.common(line), highlight.SHIFTS
    assert common[middle, middle] == pytest.approx(1)
    assert common[middle, middle + 3] == pytest.approx(6 / 9)  # six of nine places in common
    assert common[middle + 1].max() == 0  # across the motion nothing
    assert highlight.spread(np.full((9, 9), 1 / 81)) == (4, 4)


@pytest.mark.parametrize("priority", [-1.0, -0.5])
def test_blur_left_in(priority: float) -> None:
    """Below 0 the core leaves as much blur in as pyref; at -1 the gradient is that of the blurred picture without noise."""
    psf = dcv.psf.disk(3)
    y, _ = scene(0.25, psf)
    with dcv.Plan(y, psf, channel_axis=-1, priority=priority) as plan:
        restored, info = plan.execute(y), plan.info
    params = admm.parameters(y.astype(float), psf, sigma=info.noise, priority=priority)
    shape = info.transform_height, info.transform_width
    expected = admm.restore(y.astype(float), psf, params, halo=info.halo + 8, shape=shape)
    assert np.abs(restored - expected).max() < 2e-5
    clean = y - SIGMA * np.random.default_rng(0).normal(size=y.shape)
    if priority == -1:
        assert np.std(np.diff(restored, axis=0)) == pytest.approx(np.std(np.diff(clean, axis=0)), rel=0.05)
    else:
        assert np.std(np.diff(restored, axis=0)) > 1.1 * np.std(np.diff(clean, axis=0))
