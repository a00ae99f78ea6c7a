# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample window: the core against pyref, and that it goes where the structure is."""

from __future__ import annotations

import numpy as np
import pytest

import dcv
from pyref import window
from tests.parity.test_refocus import textured


@pytest.mark.parametrize(
    "shape", [(10, 12), (400, 400), (401, 300), (500, 700), (900, 12), (1000, 450), (777, 901)], ids=lambda shape: f"{shape[1]}x{shape[0]}"
)
def test_parity(shape):
    y = textured(*shape, seed=shape[0]).astype(np.float32)
    y[: shape[0] // 3] *= 0.2
    y[shape[0] // 2, shape[1] // 2] = np.nan
    y[: shape[0] // 5, : shape[1] // 5] = 1.5
    assert dcv.choose_window(y, channel_axis=-1) == window.choose(y.astype(float))


def test_goes_where_the_structure_is():
    y = np.full((900, 1400), 0.3, np.float32)
    y[300:700, 800:1200] = textured(400, 400)[..., 0]  # everywhere else flat but for stripes of one direction
    y[:, :500] += 0.2 * (np.arange(500) % 16 < 8)
    x0, y0, width, height = dcv.choose_window(y)
    assert 700 <= x0 <= 900
    assert 230 <= y0 <= 400
    assert (width, height) == (384, 384)


def test_leaves_clipped_lights_out():
    y = textured(600, 1600).astype(np.float32)
    y[:, 700:900][::3] = 2.0  # in the middle, of the highest contrast, and clipped
    x0, _, width, _ = dcv.choose_window(y, channel_axis=-1)
    assert x0 >= 900 - 16 or x0 + width <= 700 + 16


def test_arguments():
    with pytest.raises(dcv.errors.SizeError):
        dcv.choose_window(np.zeros((3, 3, 3), np.float32))
