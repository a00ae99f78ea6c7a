# SPDX-License-Identifier: GPL-3.0-or-later
"""PSF tools and files from Python."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

import dcv

SHAPES = {
    "gaussian": dcv.psf.gaussian(1.5),
    "disk": dcv.psf.disk(3),
    "motion": dcv.psf.motion(9, 30),
    "uniform": dcv.psf.uniform(5),
    "kaiser": dcv.psf.kaiser(4.0, 11),
    "exponential": dcv.psf.exponential(1.0),
}
COLOUR = np.dstack([dcv.psf.gaussian(sigma, 9) for sigma in (1, 1.2, 1.5)])


@pytest.mark.parametrize("psf", SHAPES.values(), ids=SHAPES)
def test_shapes_are_psfs(psf: np.ndarray) -> None:
    dcv.psf.validate(psf)
    assert psf.dtype == np.float32
    assert psf.shape[0] == psf.shape[1]
    assert psf.shape[0] % 2 == 1
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    assert np.allclose(psf, psf[::-1, ::-1], atol=1e-6), "symmetric about its centre"


def test_gaussian_is_one() -> None:
    x = np.arange(-7, 8)
    wanted = np.exp(-(x**2) / (2 * 1.5**2))
    row = dcv.psf.gaussian(1.5, 15).sum(axis=0)
    # Sampled or integrated over the pixels: the two differ by less than this at sigma 1.5.
    assert row == pytest.approx(wanted / wanted.sum(), abs=0.01)


def test_motion_turns_anticlockwise() -> None:
    rising = dcv.psf.motion(9, 45)
    size = rising.shape[0]
    assert rising[0, -1] + rising[1, -2] > 10 * (rising[0, 0] + rising[1, 1] + 1e-9)
    assert np.count_nonzero(dcv.psf.motion(9, 0).sum(axis=1) > 1e-6) == 1, "an angle of 0 is horizontal"
    assert size % 2 == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda: dcv.psf.gaussian(0),
        lambda: dcv.psf.gaussian(-1, 9),
        lambda: dcv.psf.gaussian(float("nan"), 9),
        lambda: dcv.psf.disk(2, 8),
        lambda: dcv.psf.disk(2, 129),
        lambda: dcv.psf.disk(64),
        lambda: dcv.psf.motion(5, float("inf")),
        lambda: dcv.psf.uniform(0),
        lambda: dcv.psf.kaiser(-1, 9),
        lambda: dcv.psf.resample(SHAPES["disk"], 0),
        lambda: dcv.psf.resample(SHAPES["disk"], 1000),
        lambda: dcv.psf.resample(SHAPES["disk"], 40),
    ],
)
def test_impossible_shapes(call) -> None:
    with pytest.raises(dcv.errors.ArgumentError):
        call()


def test_normalise_and_centre() -> None:
    raw = np.zeros((9, 9))
    raw[1, 2], raw[1, 3], raw[8, 8] = 3, 1, -5
    clean = dcv.psf.normalise(raw)
    assert clean.sum() == pytest.approx(1)
    assert clean.min() == 0
    centred = dcv.psf.centre(clean)
    assert centred[4, 4] == pytest.approx(0.75)
    with pytest.raises(dcv.errors.PsfError):
        dcv.psf.normalise(np.full((3, 3), -1.0))


def test_radius() -> None:
    cross = np.zeros((5, 5))
    cross[2, 0] = cross[2, 4] = cross[0, 2] = cross[4, 2] = 0.25
    # Root mean square distance: 2 px for four points at distance 2.
    assert dcv.psf.radius(cross) == pytest.approx(2)


def test_resample_scales_the_radius() -> None:
    psf = dcv.psf.gaussian(3)
    for scale in (0.5, 2.0):
        scaled = dcv.psf.resample(psf, scale)
        assert scaled.sum() == pytest.approx(1, abs=1e-5)
        # A pixel's own width adds its variance, 1/12 a direction, at the new scale.
        assert dcv.psf.radius(scaled) == pytest.approx(scale * dcv.psf.radius(psf), rel=0.05)


@pytest.mark.parametrize("psf", [*SHAPES.values(), COLOUR], ids=[*SHAPES, "colour"])
def test_tiff_is_lossless(psf: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    dcv.psf.save(path, psf, {"kind": "test", "radius": 3.5})
    loaded = dcv.psf.load(path)
    assert loaded.shape == psf.shape
    # The sum is scaled to 1 when reading: at most a unit in the last place.
    assert np.allclose(loaded, psf, rtol=3e-7, atol=0)
    described = json.loads(tifffile.TiffFile(path).pages[0].description)
    assert described == dcv.psf.read_metadata(path)
    assert described["kind"] == "test"
    assert described["size"] == psf.shape[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["psf.tif"]


@pytest.mark.parametrize("psf", [SHAPES["motion"], COLOUR], ids=["gray", "colour"])
def test_png_keeps_sixteen_bits(psf: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "psf.png"
    dcv.psf.save(path, psf)
    codes = imagecodecs.imread(path)
    assert codes.dtype == np.uint16
    assert codes.max() == 65535
    # Half a code of rounding for each value.
    assert np.abs(dcv.psf.load(path) - psf).max() < psf.max() / 65535
    assert dcv.psf.read_metadata(path) == {}


def test_pictures_of_other_programs(tmp_path: Path) -> None:
    values = np.zeros((5, 5), np.uint8)
    values[2, 1:4] = 1, 2, 1
    tifffile.imwrite(tmp_path / "8.tif", values)
    assert dcv.psf.load(tmp_path / "8.tif")[2] == pytest.approx([0, 0.25, 0.5, 0.25, 0])
    rgba = np.dstack([values, values, values, np.full_like(values, 255)])
    (tmp_path / "rgba.png").write_bytes(imagecodecs.png_encode(rgba))
    assert dcv.psf.load(tmp_path / "rgba.png").shape == (5, 5, 3)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.ones((4, 4), np.float32), "odd"),
        (np.ones((3, 5), np.float32), "shape"),
        (np.full((3, 3), -1, np.float32), "negative"),
        (np.zeros((3, 3), np.float32), "positive sum"),
    ],
)
def test_files_that_are_no_psf(array: np.ndarray, text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, array)
    with pytest.raises(dcv.errors.PsfError, match=text) as caught:
        dcv.psf.load(path)
    assert str(path) in str(caught.value)


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "psf.tif"
    dcv.psf.save(path, SHAPES["disk"])
    whole = path.read_bytes()
    for data in (b"", b"nonsense", whole[:20], whole[:-30], b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(data)
        with pytest.raises(dcv.errors.PsfError):
            dcv.psf.load(path)
    with pytest.raises(FileNotFoundError):
        dcv.psf.load(tmp_path / "none.tif")
    with pytest.raises(dcv.errors.ArgumentError, match=r"\.tif"):
        dcv.psf.save(tmp_path / "psf.jpg", SHAPES["disk"])
    with pytest.raises(dcv.errors.PsfError, match="negative"):
        dcv.psf.save(tmp_path / "negative.tif", -SHAPES["disk"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["psf.tif"]
