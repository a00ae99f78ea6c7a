# SPDX-License-Identifier: GPL-3.0-or-later
"""The darkroom under Xvfb: pick the window, press the button, wait for the blur, look at what was stored."""

import shutil
import sqlite3

import darkroom
import numpy as np
import pytest
import xmp
from conftest import NOISE, SIGMA

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(darkroom.missing()), reason=f"not installed: {darkroom.missing()}")]


def stored(room):
    """Parameters of the last history step of the module, as a dict, with the PSF as planes."""
    with sqlite3.connect(f"file:{room.library}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT op_params FROM history WHERE operation = 'deconvolution' ORDER BY num").fetchall()
    return xmp.unpack(rows[-1][0])


def test_estimate_from_a_picked_window(prefix, pictures, tmp_path):
    picture = shutil.copy(pictures / "blurred.tif", tmp_path)
    with darkroom.Darkroom(prefix / "bin" / "darktable-dcv", tmp_path / "home", picture) as room:
        assert room.action("iop/deconvolution", "enable", "on") == "1.0"
        room.action("iop/deconvolution", "show")
        room.action("iop/deconvolution/pick sample window")
        room.wait(lambda: room.runs() > 1, 30, "the module did not run")
        room.drag(700, 250, 950, 480)
        room.action("iop/deconvolution/estimate blur")
        room.wait(lambda: "measuring the sample took" in room.log.read_text(), 120, "the blur was not estimated")
        before = room.runs()
        room.wait(lambda: room.runs() > before, 60, "the picture was not restored")
        room.screenshot(tmp_path / "estimated.png")
        room.leave()
        found = stored(room)
        with sqlite3.connect(f"file:{room.library}?mode=ro", uri=True) as db:
            ((order,),) = db.execute("SELECT iop_list FROM module_order").fetchall()

    assert ",colorin,0,deconvolution,0," in order
    assert not np.allclose(found["window"], xmp.defaults()["window"], atol=0.02)
    plane = found["psf"]
    assert plane.shape == (9, 9)
    assert NOISE / 2 < found["measured_noise"] < 2 * NOISE
    y, x = np.mgrid[:9, :9]
    spread = np.sqrt((plane * ((x - (plane * x).sum()) ** 2 + (y - (plane * y).sum()) ** 2)).sum() / 2)
    assert 0.6 * SIGMA < spread < 1.5 * SIGMA


def test_leaving_while_estimating(prefix, pictures, tmp_path):
    """The image is left before the job has finished: darktable survives and keeps its history."""
    picture = shutil.copy(pictures / "blurred.tif", tmp_path)
    with darkroom.Darkroom(prefix / "bin" / "darktable-dcv", tmp_path / "home", picture) as room:
        room.action("iop/deconvolution", "enable", "on")
        room.action("iop/deconvolution", "show")
        for _ in range(3):
            room.action("iop/deconvolution/estimate blur")
        room.leave()
        assert room.lua("return 'alive'") == "alive"
        assert stored(room)["blur_size"] == 9
