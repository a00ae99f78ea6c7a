# SPDX-License-Identifier: GPL-3.0-or-later
"""The darkroom under Xvfb: pick the window, press the button, wait for the blur, look at what was stored."""

import shutil
import sqlite3
import struct
import time

import darkroom
import numpy as np
import pytest
import tifffile
import xmp
from conftest import NOISE, SIGMA, to_linear, to_srgb
from PIL import Image
from scipy.signal import fftconvolve
from skimage import data

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
    assert found["measured_edge"] > 0
    y, x = np.mgrid[:9, :9]
    spread = np.sqrt((plane * ((x - (plane * x).sum()) ** 2 + (y - (plane * y).sum()) ** 2)).sum() / 2)
    assert 0.6 * SIGMA < spread < 1.5 * SIGMA


@pytest.mark.parametrize(("orientation", "order"), [(3, 2), (5, 2), (6, 2), (5, 3)], ids=["180", "clockwise", "anticlockwise", "clockwise after the module"])
def test_window_of_a_turned_and_cropped_picture(prefix, tmp_path, orientation, order):
    """A red patch is drawn around where it is seen: the window is where the patch is in the module's input.

    In the order for raw files (2) that is turned and cropped, in the one for JPEG (3) neither.
    """
    picture = np.full((500, 800, 3), 9000, np.uint16)
    picture[150:270, 420:600] = (60000, 2000, 2000)
    tifffile.imwrite(tmp_path / "patch.tif", picture, photometric="rgb")
    # darktable's orientation: bits for turning over vertically, horizontally, and then exchanging the axes
    turned = picture[:: -1 if orientation & 1 else 1, :: -1 if orientation & 2 else 1]
    turned = turned.swapaxes(0, 1) if orientation & 4 else turned
    turned = turned if order == 2 else picture
    others = [("flip", 2, struct.pack("<i", orientation)), ("crop", 1, struct.pack("<4f2i", 0.1, 0.05, 0.9, 0.95, -1, -1))]
    (tmp_path / "patch.tif.xmp").write_text(xmp.sidecar(xmp.pack(), order, others=others))
    with darkroom.Darkroom(prefix / "bin" / "darktable-dcv", tmp_path / "home", tmp_path / "patch.tif") as room:
        room.action("iop/deconvolution", "show")
        room.action("iop/deconvolution/pick sample window")
        room.wait(lambda: room.idle(), 30, "darktable is still working")
        room.screenshot(tmp_path / "screen.png")
        screen = np.asarray(Image.open(tmp_path / "screen.png").convert("RGB")).astype(int)
        red = (screen[..., 0] > 150) & (screen[..., 1] < 60)
        red[:95], red[835:], red[:, :320], red[:, 1220:] = False, False, False, False  # panels
        rows, columns = np.flatnonzero(red.sum(axis=1) > 20), np.flatnonzero(red.sum(axis=0) > 20)
        room.drag(columns[0], rows[0], columns[-1], rows[-1])
        room.wait(lambda: room.idle(), 30, "darktable is still working")
        room.leave()
        window = np.array(stored(room)["window"])
    patch = (turned[..., 0] > 30000).nonzero()
    expected = np.array([patch[1].min(), patch[0].min(), patch[1].max() + 1, patch[0].max() + 1]) / np.tile(turned.shape[1::-1], 2)
    if order == 2:
        expected = (expected - np.tile([0.1, 0.05], 2)) / np.tile([0.8, 0.9], 2)
    np.testing.assert_allclose(window, expected, atol=0.015)  # a pixel or two of the screen


def test_blur_travels(prefix, pictures, tmp_path):
    """A stored blur goes with a duplicate and a style."""
    first, second = (tmp_path / f"{name}.tif" for name in ("first", "second"))
    for path in (first, second):
        shutil.copy(pictures / "blurred.tif", path)
    psf = np.random.default_rng(0).random((33, 33, 3))
    params = xmp.pack(psf, blur=1, priority=0.25, measured_noise=NOISE, tolerance=0.5, refocus=1)
    (tmp_path / "first.tif.xmp").write_text(xmp.sidecar(params, 3))
    with darkroom.Darkroom(prefix / "bin" / "darktable-dcv", tmp_path / "home", first) as room:
        room.leave()
        room.tool("xdotool", "mousemove", "800", "5")  # else an image under the pointer is acted upon
        named = "local dt = require('darktable'); local function find(n) for _, i in ipairs(dt.database) do if i.filename == n then return i end end end "
        for step in (
            f"dt.database.import('{second}')",
            "dt.styles.apply(dt.styles.create(find('first.tif'), 'blur', ''), find('second.tif'))",
            "dt.gui.selection({find('first.tif')})",
            "dt.gui.action('lib/image/duplicate', 0, '', '', 1.0)",
        ):
            assert room.lua(f"{named} {step} return 'done'") == "done", step
            time.sleep(1.5)  # selections reach the actions when darktable is idle
        room.wait(lambda: room.idle(), 30, "darktable is still working")
        with sqlite3.connect(f"file:{room.library}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT imgid, op_params FROM history WHERE operation = 'deconvolution'").fetchall()
    assert len({imgid for imgid, _ in rows}) == 3
    assert all(stored == params for _, stored in rows)


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


def test_estimate_beside_lamps(prefix, tmp_path):
    """A shaken picture with clipped lamps in a 16-bit file, no clipping level set: the blur is found (correlation with the truth 0.58 where the level is not known)."""
    rng = np.random.default_rng(2)
    shake = np.zeros((13, 13))
    np.add.at(shake, (np.rint(6 - np.linspace(-3, 3, 60)).astype(int), np.rint(6 + np.linspace(-5, 5, 60)).astype(int)), 1 / 60)
    sharp = np.tile(0.4 * to_linear(data.astronaut() / 255), (3, 3, 1))  # the default window sees the one in the middle
    for y, x in rng.integers(540, 990, (8, 2)):
        sharp[y : y + 3, x : x + 3] = 20
    soft = fftconvolve(sharp, shake[..., None], "same", axes=(0, 1)) + rng.normal(0, 0.004, sharp.shape)
    picture = tmp_path / "lamps.tif"
    tifffile.imwrite(picture, np.rint(65535 * to_srgb(soft)).astype(np.uint16), photometric="rgb")
    with darkroom.Darkroom(prefix / "bin" / "darktable-dcv", tmp_path / "home", picture) as room:
        assert room.action("iop/deconvolution", "enable", "on") == "1.0"
        room.action("iop/deconvolution", "show")
        room.action("iop/deconvolution/estimate blur")
        room.wait(lambda: "measuring the sample took" in room.log.read_text(), 120, "the blur was not estimated")
        before = room.runs()
        room.wait(lambda: room.runs() > before, 60, "the picture was not restored")
        room.leave()
        found = stored(room)["psf"]
    overlap = fftconvolve(found, shake[::-1, ::-1]).max()
    assert overlap > 0.8 * np.sqrt(np.square(found).sum() * np.square(shake).sum())
