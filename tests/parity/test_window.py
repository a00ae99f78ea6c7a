# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample window: the core against pyref, and that it goes where the structure is."""

from __future__ import annotations

import numpy as np
import pytest

import dcv
from pyref import window
from tests.parity.test_refocus import textured


@pytest.mark.parametrize(
    "shape", [(10, 12), (528, 528), (529, 300), (500, 700), (900, 12), (1000, 600), (877, 1001)], ids=lambda shape: f"{shape[1]}x{shape[0]}"
)
def test_parity(shape):
    y = textured(*shape, seed=shape[0]).astype(np.float32)
    y[: shape[0] // 3] *= 0.2
    y[shape[0] // 2, shape[1] // 2] = np.nan
    y[: shape[0] // 5, : shape[1] // 5] = 1.5
    assert dcv.choose_window(y, channel_axis=-1) == window.choose(y.astype(float))


def test_goes_where_the_structure_is():
    y = np.full((1100, 2400), 0.3, np.float32)
    y[300:828, 1300:1828] = textured(528, 528)[..., 0]  # everywhere else flat but for stripes of one direction
    y[:, :900] += 0.2 * (np.arange(900) % 16 < 8)
    x0, y0, width, height = dcv.choose_window(y)
    assert 1200 <= x0 <= 1400
    assert 230 <= y0 <= 400
    assert (width, height) == (512, 512)


def test_leaves_clipped_lights_out():
    y = textured(600, 2400).astype(np.float32)
    y[:, 1100:1300][::3] = 2.0  # in the middle, of the highest contrast, and clipped
    x0, _, width, _ = dcv.choose_window(y, channel_axis=-1)
    assert x0 >= 1300 - 16 or x0 + width <= 1100 + 16


def test_arguments():
    with pytest.raises(dcv.errors.SizeError):
        dcv.choose_window(np.zeros((3, 3, 3), np.float32))
