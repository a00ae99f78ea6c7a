# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: the module built once for the darktable installed here, and darktable-cli with it. Without darktable these tests are skipped."""

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).parent))
import xmp

PROJECT = Path(__file__).resolve().parents[2]


# What a machine may lack: the installer says so, and the test is skipped with its line.
LACKING = ("darktable is not installed", "missing development packages", "missing tool", "could not be fetched", "no package archive offers")


def install(prefix, *arguments):
    """Runs the project's installer for the darktable installed here."""
    command = [PROJECT / "tools" / "install-darktable", "--prefix", prefix, *arguments]
    if os.environ.get("LIBDCV"):
        command += ["--libdcv", os.environ["LIBDCV"]]
    done = subprocess.run(command, text=True, capture_output=True)
    if any(words in done.stderr for words in LACKING):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def prefix(tmp_path_factory):
    """Prefix with the module and its launchers, installed by the project's own script."""
    if not shutil.which("darktable-cli"):
        pytest.skip("darktable is not installed")
    path = tmp_path_factory.mktemp("prefix")
    install(path)
    return path


@pytest.fixture(scope="session")
def installer():
    """The installer's script as a module."""
    loader = importlib.machinery.SourceFileLoader("install_darktable", str(PROJECT / "tools" / "install-darktable"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("install_darktable", loader))
    loader.exec_module(module)
    return module


class Darktable:
    """darktable-cli in a home of its own."""

    def __init__(self, prefix, home, opencl=False):
        self.prefix, self.home, self.locale = prefix, home, "C.UTF-8"
        self.backend = ["--conf", "opencl=TRUE", "--conf", "clplatform_other=TRUE"] if opencl else ["--disable-opencl"]
        home.mkdir(parents=True, exist_ok=True)

    def run(self, *arguments, core=(), launcher="darktable-cli-dcv", library=":memory:", timeout=300):
        binary = self.prefix / "bin" / launcher if launcher.endswith("dcv") else shutil.which(launcher)
        core = ["--core", "--configdir", self.home, "--cachedir", self.home, "--library", library, *self.backend, *core]
        env = {**os.environ, "HOME": str(self.home), "LC_ALL": self.locale}
        done = subprocess.run([str(a) for a in (binary, *arguments, *core)], text=True, capture_output=True, env=env, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def export(self, picture, params, out, order=2, options=(), core=(), others=(), blend=None, version=xmp.VERSION, **kwargs):
        """Exports with one history step; the pixels as float (linear Rec2020 from a float TIFF) and what was printed."""
        sidecar = out.with_suffix(".in.xmp")
        sidecar.write_text(xmp.sidecar(params, order, version, others, blend))
        core = [*core, "--conf", "plugins/imageio/format/tiff/bpp=32"]
        status, log = self.run(picture, sidecar, out, "--icc-type", "LIN_REC2020", *options, core=core, **kwargs)
        assert status == 0 and out.exists(), log
        return tifffile.imread(out).astype(np.float64), log


@pytest.fixture
def darktable(prefix, tmp_path):
    return Darktable(prefix, tmp_path / "home")


def to_srgb(linear):
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def to_linear(srgb):
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


SIGMA, NOISE = 1.5, 0.005


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Files of one picture: sharp, and blurred (Gaussian) with noise added in linear light, as 16-bit TIFF and as JPEG."""
    from skimage import data

    folder = tmp_path_factory.mktemp("pictures")
    sharp = to_linear(data.astronaut()[:384, :416] / 255)
    blurred = gaussian_filter(sharp, (SIGMA, SIGMA, 0), mode="nearest")
    noisy = blurred + np.random.default_rng(1).normal(0, NOISE, blurred.shape)
    grainy = sharp + np.random.default_rng(2).normal(0, 4 * NOISE, sharp.shape)
    for name, linear in (("sharp", sharp), ("blurred", noisy), ("noisy", grainy)):
        tifffile.imwrite(folder / f"{name}.tif", np.rint(65535 * to_srgb(linear)).astype(np.uint16), photometric="rgb")
        eight = np.rint(255 * to_srgb(linear)).astype(np.uint8)
        (folder / f"{name}.jpg").write_bytes(imagecodecs.jpeg_encode(eight, level=97, subsampling="444"))
    return folder


def psnr(a, b):
    """dB, on sRGB-encoded values as the eye sees them; infinite between equal pictures."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(np.mean((to_srgb(a) - to_srgb(b)) ** 2))
