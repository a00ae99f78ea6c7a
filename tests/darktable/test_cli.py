# SPDX-License-Identifier: GPL-3.0-or-later
"""The module in stock darktable-cli: place in the order, pixels, damaged parameters, styles, earlier edits."""

import os
import re
import shutil
import sqlite3
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import dng
import numpy as np
import pytest
import tifffile
import xmp
from conftest import NOISE, SIGMA, Darktable, install, psnr, to_linear, to_srgb
from scipy.ndimage import gaussian_filter

from dcv.cli.xmp_params import LAYOUT_1, LAYOUT_2, STORED_VALUES

KNOWN = {"source": "gaussian", "sigma": SIGMA, "measured_noise": NOISE, "measured_gradient": 0.06}
STORED = xmp.pack(np.ones((5, 5)))
PSF_START = LAYOUT_1.size - 2 * STORED_VALUES


def exported_order(path):
    """The module order that darktable wrote into an exported picture's XMP."""
    return xmp.module_order(path.read_bytes().decode("latin-1"))


@pytest.fixture(scope="module")
def exported():
    return {}


@pytest.fixture
def export(darktable, pictures, tmp_path, exported):
    """Exports one of the pictures in a home of the test's own; what several tests compare with is exported once."""

    def call(name, params, **kwargs):
        key = name, params, repr(kwargs)
        if key not in exported:
            pixels, log = darktable.export(pictures / name, params, tmp_path / f"out{len(exported)}.tif", **kwargs)
            pixels.setflags(write=False)
            exported[key] = pixels, log
        return exported[key]

    return call


@pytest.fixture
def sharp(export):
    return export("sharp.tif", xmp.pack())[0]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_runs_directly_behind_colorin(darktable, pictures, tmp_path, order):
    out = tmp_path / "out.tif"
    _, log = darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), out, order=order, core=["-d", "perf"])
    done = re.findall(r"processed `([^']+)'", log)
    assert done[done.index("deconvolution") - 1] == "input color profile" and done.count("deconvolution") == 1
    modules = exported_order(out)
    assert modules[modules.index("colorin") + 1] == "deconvolution" and modules[-1] == "gamma"
    assert modules.count("deconvolution") == 1


def test_unknown_blur_changes_nothing(export, pictures):
    off, _ = export("blurred.tif", xmp.pack(), launcher="darktable-cli")
    unknown, _ = export("blurred.tif", xmp.pack())
    # the module off leaves darktable in Lab between the profiles; rounding of that conversion only
    np.testing.assert_allclose(unknown, off, atol=2e-4)


@pytest.mark.parametrize("name, gain", [("blurred.tif", 3.0), ("blurred.jpg", 2.0)])
def test_known_blur_is_undone(export, sharp, name, gain):
    before, _ = export(name, xmp.pack(), order=3)
    after, _ = export(name, xmp.pack(**KNOWN), order=3)
    assert psnr(after, sharp) > psnr(before, sharp) + gain


def test_stored_psf_equals_described_one(export):
    x = np.arange(-6, 7)
    psf = np.exp(-(x[:, None] ** 2 + x**2) / (2 * SIGMA**2))
    described, _ = export("blurred.tif", xmp.pack(**KNOWN))
    stored, _ = export("blurred.tif", xmp.pack(psf, measured_noise=NOISE, measured_gradient=0.06))
    three, _ = export("blurred.tif", xmp.pack(np.stack([psf] * 3, -1), measured_noise=NOISE, measured_gradient=0.06, blur=1))
    # 16 bits a value, and the described one reaches no further than 13 pixels either: measured 108 dB
    assert psnr(stored, described) > 90
    # with a blur for each channel the core cannot turn the channels into luminance and chroma: another smoothing, no other blur
    # (measured 41 dB)
    assert psnr(three, stored) > 36


@pytest.mark.parametrize("edge", [0.0, 0.6])
def test_same_pixels_as_the_core(export, edge):
    """The module's input, taken from an export with the blur unknown, restored by the core: the export with the blur known."""
    dcv = pytest.importorskip("dcv")
    before, _ = export("blurred.tif", xmp.pack())
    after, _ = export("blurred.tif", xmp.pack(**KNOWN, measured_edge=edge))
    x = np.arange(-6, 7)
    psf = np.exp(-(x[:, None] ** 2 + x**2) / (2 * SIGMA**2))
    core = dcv.deconvolve(before, psf, channel_axis=-1, noise=NOISE, gradient=0.06, edge=edge, saturation=0.98)
    # the conversions to Lab and back that darktable makes behind the module, on both exports
    np.testing.assert_allclose(after, core, atol=5e-4)


@pytest.mark.parametrize(
    "params",
    [
        STORED[:PSF_START] + b"\x01" + STORED[PSF_START + 1 :],
        xmp.spoilt("priority", float("nan"), **KNOWN),
        xmp.spoilt("sigma", -1.0, source="gaussian"),
        xmp.spoilt("radius", float("inf"), source="disk"),
        xmp.spoilt("source", 5),
        xmp.pack(**KNOWN)[:-8] + b"\2" + b"\0" * 7,
        xmp.pack(**KNOWN)[:-4] + struct.pack("<f", float("nan")),
        b"\xff" * xmp.LAYOUT.size,
    ],
    ids=["psf", "nan", "negative", "infinite", "source", "refocus", "edge", "ones"],
)
def test_damaged_parameters_pass_the_picture_through(export, params):
    plain, _ = export("blurred.tif", xmp.pack())
    damaged, log = export("blurred.tif", params)
    np.testing.assert_array_equal(damaged, plain)
    assert "damaged parameters" in log


@pytest.mark.parametrize("value", [1e-45, 1e-38, 1.5e-38, 1e-20])
def test_vanishing_measurements_count_as_none(export, value):
    """Values that would overflow the data weight, among them ones that some threads take for 0."""
    unknown, _ = export("blurred.tif", xmp.pack(source="gaussian"))
    vanishing = xmp.pack(source="gaussian", measured_gradient=value, measured_noise=value, measured_edge=value, noise=value, clipping=value)
    pixels, _ = export("blurred.tif", vanishing)
    np.testing.assert_array_equal(pixels, unknown)


def test_lamps_of_a_file_that_ends_at_white(darktable, tmp_path):
    """Without a level set, 16 bits are clipped at 98 % of white; floats are not, nor what exposure has made brighter before the module."""
    y, x = np.mgrid[:90, :120] - 45
    lamp = gaussian_filter(np.where(np.hypot(y, x) < 4, 20.0, 0.05), SIGMA)[..., None] + np.random.default_rng(4).normal(0, NOISE, (90, 120, 3))
    picture = to_srgb(np.clip(lamp, 0, 1))
    tifffile.imwrite(tmp_path / "integers.tif", np.rint(65535 * picture).astype(np.uint16), photometric="rgb")
    tifffile.imwrite(tmp_path / "floats.tif", picture.astype(np.float32), photometric="rgb")
    brighter = ("exposure", 6, struct.pack("<i4fi", 0, 0.0, 0.5, 50.0, -4.0, 0))

    def export(name, level, *others):
        out = tmp_path / f"{name}{level}{len(others)}.tif"
        return darktable.export(tmp_path / f"{name}.tif", xmp.pack(**KNOWN, clipping=level), out, others=others)[0]

    at_white, none = export("integers", 0.98), export("integers", 16.0)
    assert np.abs(at_white - none).max() > 0.1
    np.testing.assert_array_equal(export("integers", 0.0), at_white)
    np.testing.assert_array_equal(export("floats", 0.0), export("floats", 16.0))
    # another halo, so other transforms: rounding
    np.testing.assert_allclose(export("integers", 0.0, brighter), export("integers", 16.0, brighter), atol=1e-4)


@pytest.mark.parametrize("size", [0, 1, xmp.LAYOUT.size - 4, xmp.LAYOUT.size + 4])
def test_wrong_size_of_parameters(export, size):
    _, log = export("blurred.tif", (xmp.pack(**KNOWN) + b"\0" * 4)[:size])
    assert "version mismatch" in log or size == 0


@pytest.mark.parametrize("version, size", [(1, LAYOUT_1.size), (2, LAYOUT_2.size)])
def test_parameters_of_earlier_versions(export, version, size):
    """Older histories go on: the struct ended with the PSF, then before the edge."""
    new, _ = export("blurred.tif", xmp.pack(**KNOWN))
    old, _ = export("blurred.tif", xmp.pack(**KNOWN)[:size], version=version)
    np.testing.assert_array_equal(old, new)


def test_refocus_leaves_the_sharp_half_alone(darktable, tmp_path):
    """Left half out of focus, right half sharp: restored all over the sharp half rings, with the map it hardly changes."""
    from skimage import data

    linear = to_linear(data.astronaut()[:384, :416] / 255)
    soft = gaussian_filter(linear, (2.5, 2.5, 0), mode="nearest")
    mixed = np.where(np.arange(416)[:, None] < 208, soft, linear) + np.random.default_rng(3).normal(0, NOISE, linear.shape)
    for name, picture in (("mixed", mixed), ("sharp", linear)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.rint(65535 * to_srgb(picture)).astype(np.uint16), photometric="rgb")
    known = {**KNOWN, "sigma": 2.5}
    sharp, _ = darktable.export(tmp_path / "sharp.tif", xmp.pack(), tmp_path / "out.tif")
    off, all_over, parts = (
        darktable.export(tmp_path / "mixed.tif", params, tmp_path / f"out{i}.tif")[0]
        for i, params in enumerate([xmp.pack(), xmp.pack(**known), xmp.pack(**known, refocus=1)])
    )
    left, right = np.s_[20:-20, 20:168], np.s_[20:-20, 248:-20]
    gain = [psnr(picture[left], sharp[left]) - psnr(off[left], sharp[left]) for picture in (all_over, parts)]
    assert gain[1] > 0.6 * gain[0] > 1
    assert psnr(parts[right], sharp[right]) > psnr(all_over[right], sharp[right]) + 5


def test_denoise_only(export, pictures):
    """No blur, and a low priority: nearer to the picture without noise; with priority 0 nothing happens."""
    noisy, _ = export("noisy.tif", xmp.pack())
    clean, _ = export("sharp.tif", xmp.pack())
    calm, _ = export("noisy.tif", xmp.pack(source="none", priority=-0.5, measured_noise=0.02, measured_gradient=0.06))
    same, _ = export("noisy.tif", xmp.pack(source="none", measured_noise=0.02))
    np.testing.assert_array_equal(same, noisy)
    assert psnr(calm, clean) > psnr(noisy, clean) + 2


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_parameters(darktable, tmp_path, count):
    """A folder of small pictures, each with its own damaged parameters: all are exported, with finite pixels."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()  # darktable-cli takes an existing folder only
    random = np.random.default_rng(count)
    good = [xmp.pack(**KNOWN), xmp.pack(np.ones((5, 5)), blur=1), xmp.pack(source="motion"), xmp.pack(source="disk", noise=0.01, measured_edge=1)]
    for i in range(count):
        blob = bytearray(random.bytes(xmp.LAYOUT.size) if i % 10 == 0 else good[i % 4])
        for _ in range(random.integers(1, 5)):  # few wrong bytes among good ones, so that much of the module runs
            blob[random.integers(0, 88 if i % 3 else len(blob))] = random.integers(0, 256)
        tifffile.imwrite(folder / f"{i:04}.tif", random.integers(0, 65536, (40, 48, 3), dtype=np.uint16), photometric="rgb")
        (folder / f"{i:04}.tif.xmp").write_text(xmp.sidecar(bytes(blob)))
    status, log = darktable.run(folder, out, "--out-ext", "tif", core=["--conf", "plugins/imageio/format/tiff/bpp=32"], timeout=1500)
    assert status == 0, log[-2000:]
    written = sorted(out.glob("*.tif"))
    assert len(written) == count
    assert all(np.isfinite(tifffile.imread(path)).all() for path in written)


def test_reduced_export_agrees_with_full(export):
    """Processed at a third of the size, with the PSF resampled, against the full restoration scaled down at the end."""
    params = xmp.pack(source="gaussian", sigma=4.0, measured_noise=NOISE)
    size = ["--width", "140", "--height", "140"]
    first, _ = export("blurred.tif", params, options=[*size, "--hq", "0"])
    last, _ = export("blurred.tif", params, options=[*size, "--hq", "1"])
    untouched, _ = export("blurred.tif", xmp.pack(), options=[*size, "--hq", "0"])
    assert psnr(first, last) > psnr(untouched, last) + 3


def test_small_blur_passes_through_when_reduced(export):
    options = ["--width", "80", "--height", "80", "--hq", "0"]
    plain, _ = export("blurred.tif", xmp.pack(), options=options)
    restored, _ = export("blurred.tif", xmp.pack(source="gaussian", sigma=0.8, measured_noise=NOISE), options=options)
    np.testing.assert_array_equal(restored, plain)


def test_blending_of_a_padded_region(export):
    """Behind colorin, a crop later in the pipe makes the module ask for more than it returns: blending must see the same pixels."""
    crop = ("crop", 1, struct.pack("<4f2i", 0.3, 0.2, 0.8, 0.7, -1, -1))
    off, _ = export("blurred.tif", xmp.pack(), order=3, others=[crop])
    on, _ = export("blurred.tif", xmp.pack(**KNOWN), order=3, others=[crop])
    half, _ = export("blurred.tif", xmp.pack(**KNOWN), order=3, others=[crop], blend=xmp.uniform_blend(50.0))
    whole, _ = export("blurred.tif", xmp.pack(**KNOWN), order=3)
    assert on.shape[0] < whole.shape[0] and np.abs(on - off).max() > 0.05
    np.testing.assert_allclose(half, (on + off) / 2, atol=3e-4)  # the conversions to and from Lab around the module
    height, width = whole.shape[:2]
    top, left = round(0.2 * height), round(0.3 * width)
    offsets = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # darktable rounds the crop its own way
    part = [whole[top + y :, left + x :][: on.shape[0], : on.shape[1]] for y, x in offsets]
    assert min(np.abs(p - on).max() for p in part) < 1e-3


def test_second_start_on_an_image_edited_without_the_module(prefix, darktable, pictures, tmp_path):
    """An image known to the library with a built-in order: darktable keeps it, with the module entered, when it is edited again."""
    library = darktable.home / "library.db"
    out = tmp_path / "first.tif"
    status, log = darktable.run(pictures / "blurred.tif", out, launcher="darktable-cli", library=library)
    assert status == 0, log
    with sqlite3.connect(library) as db:
        assert db.execute("SELECT version, iop_list FROM module_order").fetchall() == [(2, None)]
    darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / "second.tif", library=library)
    assert exported_order(tmp_path / "second.tif").count("deconvolution") == 1
    with sqlite3.connect(library) as db:
        rows = db.execute("SELECT version, iop_list FROM module_order").fetchall()
        assert all(version == 0 and ",colorin,0,deconvolution,0," in text for version, text in rows)
        assert not db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'deconvolution%'").fetchall()
    # and without the module again
    _, log = darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / "third.tif", library=library, launcher="darktable-cli")
    assert "not installed" in log


def test_style(darktable, pictures, tmp_path, sharp, export):
    """A style made of the module, applied to a new image."""
    library, data = darktable.home / "library.db", darktable.home / "data.db"
    darktable.run(pictures / "sharp.tif", tmp_path / "ignored.tif", library=library)
    params = xmp.pack(**KNOWN)
    with sqlite3.connect(data) as db:
        db.execute("INSERT INTO styles (id, name, description) VALUES (1, 'deblur', '')")
        db.execute(
            "INSERT INTO style_items (styleid, num, module, operation, op_params, enabled, blendop_params, blendop_version,"
            " multi_priority, multi_name) VALUES (1, 0, 2, 'deconvolution', ?, 1, ?, 11, 0, '')",
            (params, b""),
        )
    out = tmp_path / "styled.tif"
    core = ["--conf", "plugins/imageio/format/tiff/bpp=32", "-d", "perf"]
    status, log = darktable.run(pictures / "blurred.tif", out, "--icc-type", "LIN_REC2020", "--style", "deblur", library=library, core=core)
    assert status == 0, log
    done = re.findall(r"processed `([^']+)'", log)
    assert done[done.index("deconvolution") - 1] == "input color profile"


def test_raw(darktable, tmp_path):
    """A Bayer DNG of a blurred, noisy picture: what the module gains after darktable's own demosaicing."""
    from skimage import data

    linear = 0.8 * to_linear(data.astronaut()[:384, :416] / 255)
    blurred = gaussian_filter(linear, (SIGMA, SIGMA, 0), mode="nearest") + np.random.default_rng(2).normal(0, 0.004, linear.shape)
    dng.write(tmp_path / "sharp.dng", linear)
    dng.write(tmp_path / "blurred.dng", blurred)
    sharp, _ = darktable.export(tmp_path / "sharp.dng", xmp.pack(), tmp_path / "sharp.tif")
    off, _ = darktable.export(tmp_path / "blurred.dng", xmp.pack(), tmp_path / "off.tif")
    on, _ = darktable.export(tmp_path / "blurred.dng", xmp.pack(**KNOWN), tmp_path / "on.tif")
    # measured: 3.1 dB
    assert psnr(on, sharp) > psnr(off, sharp) + 2


@pytest.mark.parametrize("method", [0, 5], ids=["clipped", "opposed"])
def test_lamps_of_a_raw_file(darktable, tmp_path, method):
    """Without a level set: 98 % of where green, the first channel, clips, times the exposure."""
    y, x = np.mgrid[:96, :128] - 48
    lamp = np.repeat(gaussian_filter(np.where(np.hypot(y, x) < 5, 30.0, 0.05), SIGMA)[..., None], 3, axis=-1)
    dng.write(tmp_path / "lamp.dng", lamp + np.random.default_rng(5).normal(0, NOISE, lamp.shape), neutral=(0.5, 1.0, 0.65))
    steps = [
        ("highlights", 4, struct.pack("<i5f2i2fif", method, 1.0, 0.0, 0.0, 1.0, 0.0, 1, 6, 0.4, 2.0, 0, 0.0)),
        ("exposure", 6, struct.pack("<i4fi", 0, 0.0, 1.0, 50.0, -4.0, 0)),
    ]
    default, at_white, none = (
        darktable.export(tmp_path / "lamp.dng", xmp.pack(**KNOWN, clipping=level), tmp_path / f"{level}.tif", others=steps)[0]
        for level in (0.0, 2 * 0.98, 16.0)
    )
    assert np.abs(at_white - none).max() > 0.1
    np.testing.assert_allclose(default, at_white, atol=1e-6)


@pytest.mark.slow
def test_forced_tiling(darktable, pictures, tmp_path):
    """darktable's own tiles (512 MB, the least it can be given) against none: the difference at the seams."""
    picture = np.tile(tifffile.imread(pictures / "blurred.tif"), (9, 9, 1))
    tifffile.imwrite(tmp_path / "large.tif", picture, photometric="rgb")
    whole, _ = darktable.export(tmp_path / "large.tif", xmp.pack(**KNOWN), tmp_path / "whole.tif", core=["--conf", "resourcelevel=unrestricted"])
    little = ["--conf", "resourcelevel=small", "--conf", "resource_small=1 1 64 400", "-d", "tiling"]
    tiled, log = darktable.export(tmp_path / "large.tif", xmp.pack(**KNOWN), tmp_path / "tiled.tif", core=little)
    assert "tiling module 'deconvolution'" in log
    # what the core's halo leaves out, a bound on the root mean square rather than on single pixels: measured 5e-3 at most, 6e-5 root mean square
    difference = np.abs(tiled - whole)
    assert difference.max() < 0.01
    assert np.sqrt(np.mean(difference**2)) < 2e-4


@pytest.mark.slow
def test_parallel_starts(prefix, pictures, tmp_path):
    """Forty starts, four at a time, with one cache and configuration folder each: no crash, the same pixels."""

    def start(i):
        darktable = Darktable(prefix, tmp_path / f"home{i % 4}-{i // 4}")
        return darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / f"{i}.tif")[0]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(start, range(40)))
    for pixels in results[1:]:
        np.testing.assert_array_equal(pixels, results[0])


def test_decimal_comma(prefix, pictures, tmp_path, monkeypatch):
    """A German locale, made for the test, changes no pixel."""
    if not shutil.which("localedef"):
        pytest.skip("no German locale can be made here")
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], capture_output=True, check=False)
    monkeypatch.setenv("LOCPATH", str(tmp_path))
    said = subprocess.run(["locale", "decimal_point"], env={**os.environ, "LC_ALL": "de_DE.UTF-8"}, text=True, capture_output=True).stdout
    if said != ",\n":
        pytest.skip("no German locale can be made here")
    darktable = Darktable(prefix, tmp_path / "home")
    plain, _ = darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / "plain.tif")
    darktable.locale = "de_DE.UTF-8"
    other, _ = darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / "other.tif")
    np.testing.assert_array_equal(other, plain)


def test_uninstall_leaves_nothing(tmp_path):
    for _ in range(2):  # idempotent
        install(tmp_path)
    assert (tmp_path / "bin" / "darktable-dcv").exists()
    install(tmp_path, "--uninstall")
    assert [p for p in tmp_path.rglob("*") if not p.is_dir()] == []
