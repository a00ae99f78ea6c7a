# SPDX-License-Identifier: GPL-3.0-or-later
"""The module in stock darktable-cli: place in the order, pixels, damaged parameters, styles, earlier edits."""

import os
import re
import sqlite3
import subprocess

import numpy as np
import pytest
import xmp
from conftest import NOISE, PROJECT, SIGMA, Darktable, psnr

KNOWN = {"source": "gaussian", "sigma": SIGMA, "measured_noise": NOISE}


def exported_order(path):
    """The module order that darktable wrote into an exported picture's XMP."""
    return xmp.module_order(path.read_bytes().decode("latin-1"))


@pytest.fixture
def export(darktable, pictures, tmp_path):
    counter = iter(range(99))

    def call(name, params, **kwargs):
        return darktable.export(pictures / name, params, tmp_path / f"out{next(counter)}.tif", **kwargs)

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
    stored, _ = export("blurred.tif", xmp.pack(psf, measured_noise=NOISE))
    three, _ = export("blurred.tif", xmp.pack(np.stack([psf] * 3), measured_noise=NOISE, blur=1))
    # area-sampled against point-sampled Gaussian: a slightly different width
    assert psnr(stored, described) > 40
    np.testing.assert_allclose(three, stored, atol=1e-4)


@pytest.mark.parametrize(
    "params",
    [
        xmp.pack(np.ones((5, 5)))[: -2 * 3268] + b"\x01" + xmp.pack(np.ones((5, 5)))[1 - 2 * 3268 :],
        xmp.pack(**KNOWN, priority=float("nan")),
        xmp.pack(source="gaussian", sigma=-1.0),
        xmp.pack(source="disk", radius=float("inf")),
        b"\xff" * xmp.PARAMS.size,
    ],
    ids=["psf", "nan", "negative", "infinite", "ones"],
)
def test_damaged_parameters_pass_the_picture_through(export, params):
    plain, _ = export("blurred.tif", xmp.pack())
    damaged, log = export("blurred.tif", params)
    np.testing.assert_array_equal(damaged, plain)
    assert "damaged parameters" in log


@pytest.mark.parametrize("size", [0, 1, xmp.PARAMS.size - 4, xmp.PARAMS.size + 4])
def test_wrong_size_of_parameters(export, size):
    _, log = export("blurred.tif", (xmp.pack(**KNOWN) + b"\0" * 4)[:size])
    assert "version mismatch" in log or size == 0


def test_random_parameters(darktable, pictures, tmp_path):
    random = np.random.default_rng(0)
    for i in range(int(os.environ.get("DCV_FUZZ", 6))):
        blob = bytearray(xmp.pack(**KNOWN) if i % 2 else random.bytes(xmp.PARAMS.size))
        for _ in range(random.integers(1, 8)):  # few wrong bytes among good ones, so that much of the module runs
            blob[random.integers(0, len(blob) if i % 4 == 1 else 80)] = random.integers(0, 256)
        pixels, _ = darktable.export(pictures / "blurred.tif", bytes(blob), tmp_path / f"{i}.tif")
        assert np.isfinite(pixels).all()


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


def test_second_start_on_an_image_edited_without_the_module(prefix, darktable, pictures, tmp_path):
    """An image known to the library with a built-in order: darktable keeps it, with the module entered, when it is edited again."""
    library = darktable.home / "library.db"
    out = tmp_path / "first.tif"
    status, log = darktable.run(pictures / "blurred.tif", out, launcher="darktable-cli", library=library)
    assert status == 0, log
    with sqlite3.connect(library) as db:
        assert db.execute("SELECT version, iop_list FROM module_order").fetchall() == [(2, None)]
    pixels, _ = darktable.export(pictures / "blurred.tif", xmp.pack(**KNOWN), tmp_path / "second.tif", library=library)
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
            " multi_priority, multi_name) VALUES (1, 0, 1, 'deconvolution', ?, 1, ?, 11, 0, '')",
            (params, b""),
        )
    out = tmp_path / "styled.tif"
    core = ["--conf", "plugins/imageio/format/tiff/bpp=32", "-d", "perf"]
    status, log = darktable.run(
        pictures / "blurred.tif", out, "--icc-type", "LIN_REC2020", "--style", "deblur", library=library, core=core
    )
    assert status == 0, log
    done = re.findall(r"processed `([^']+)'", log)
    assert done[done.index("deconvolution") - 1] == "input color profile"


def test_uninstall_leaves_nothing(tmp_path):
    tool, target = PROJECT / "tools" / "install-darktable", tmp_path / "target"
    command = [tool, "--prefix", target]
    if os.environ.get("LIBDCV"):
        command += ["--libdcv", os.environ["LIBDCV"]]
    for _ in range(2):  # idempotent
        done = subprocess.run(command, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
    subprocess.run([*command, "--uninstall"], check=True, capture_output=True)
    assert [p for p in target.rglob("*") if not p.is_dir()] == []
    assert Darktable  # the class is imported for its fixture
