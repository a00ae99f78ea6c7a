# SPDX-License-Identifier: GPL-3.0-or-later
"""A PSF that varies over the picture: the core against pyref, and corners that gain without seams."""

from __future__ import annotations

import numpy as np
import pytest

import dcv
from pyref import admm, grid
from tests.parity.record import compare
from tests.parity.test_refocus import blurred, textured

SIGMA = 0.004


def growing(u: float, v: float) -> np.ndarray:
    """Gaussian whose width grows from the middle to the corners; (u, v) in [0, 1]."""
    return dcv.psf.gaussian(0.7 + 2 * np.hypot(u - 0.5, v - 0.5), 11).astype(float)


def cells(n: int) -> np.ndarray:
    return np.array([[growing((i + 0.5) / n, (j + 0.5) / n) for i in range(n)] for j in range(n)])


def scene(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """(blurred by an 8 x 8 grid of PSFs, sharp)."""
    sharp, fine = textured(rows, cols), cells(8)
    soft = np.zeros(sharp.shape)
    for j in range(8):
        for i in range(8):
            wy, wx = (np.interp((np.arange(n) + 0.5) / n * 8 - 0.5, np.arange(8), np.arange(8) == k) for n, k in ((rows, j), (cols, i)))
            soft += np.outer(wy, wx)[..., None] * blurred(sharp, fine[j, i])
    return (soft + SIGMA * np.random.default_rng(3).normal(size=soft.shape)).astype(np.float32), sharp


def test_parity():
    y, _ = scene(250, 280)
    k = cells(2).astype(np.float32)
    k /= k.sum(axis=(2, 3), keepdims=True)
    with dcv.Plan(y, k, channel_axis=-1, noise=SIGMA, gradient=0.1, halo=180) as plan:
        info, restored = plan.info, plan.execute(y)
    assert (info.tiles_x, info.tiles_y) == (2, 2)  # more would be narrower than half their surroundings

    def params(psf):
        lam = admm.LAM * np.sum(psf**2) ** (-1 / 3) * np.sqrt(SIGMA * 0.1) / SIGMA**2
        return admm.Parameters(SIGMA, 0.1, lam, admm.RHO / 0.1)

    expected = grid.restore(y.astype(float), k.astype(float), params, (2, 2), info.halo, info.blend, (info.transform_height, info.transform_width))
    compare("admm", restored, expected)


def test_corners_gain():
    y, sharp = scene(420, 500)
    one = dcv.deconvolve(y, growing(0.5, 0.5), channel_axis=-1, noise=SIGMA)
    with dcv.Plan(y, cells(5), channel_axis=-1, noise=SIGMA) as plan:
        several = plan.execute(y)
        assert plan.info.tiles_x > 2
        assert plan.info.bytes > 0
    rows, cols = np.indices(y.shape[:2])
    corner = np.hypot(rows / 420 - 0.5, cols / 500 - 0.5) > 0.5

    def error(a):
        return np.mean(np.square(a - sharp)[corner])

    assert error(several) < 0.8 * error(one) < error(y)


def test_equal_cells_are_one_psf():
    y, _ = scene(200, 230)
    k = growing(0.9, 0.9)
    one = dcv.deconvolve(y, k, channel_axis=-1, noise=SIGMA)
    several = dcv.deconvolve(y, np.broadcast_to(k, (2, 3, *k.shape)), channel_axis=-1, noise=SIGMA)
    assert np.abs(several - one).max() < 2e-3  # tiles against the whole picture
    np.testing.assert_array_equal(dcv.deconvolve(y, k[None, None], channel_axis=-1, noise=SIGMA), one)


def test_threads():
    y, _ = scene(420, 300)
    results = [dcv.deconvolve(y, cells(3), channel_axis=-1, noise=SIGMA, threads=n) for n in (1, 2)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("shape", [(0, 2, 5, 5), (2, 2, 5, 6), (65, 1, 3, 3), (2, 2, 4, 4)])
def test_bad_grids(shape):
    with pytest.raises(dcv.errors.PsfError):
        dcv.deconvolve(np.zeros((40, 40), np.float32), np.ones(shape))


def test_grid_with_refocus_or_opencl():
    y, _ = scene(60, 60)
    with pytest.raises(dcv.errors.ArgumentError, match="grid"):
        dcv.deconvolve(y, cells(2), channel_axis=-1, refocus=True)
    with pytest.raises(dcv.errors.BackendError):
        dcv.deconvolve(y, cells(2), channel_axis=-1, backend="opencl")
