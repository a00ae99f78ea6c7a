# SPDX-License-Identifier: GPL-3.0-or-later
"""process_cl in stock darktable-cli on the first OpenCL device (PoCL serves): same pixels as process(), and the right picture when any call fails."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xmp
from conftest import NOISE, PROJECT, SIGMA, Darktable

pytestmark = pytest.mark.slow  # darktable compiles its own kernels first: two minutes on PoCL

KNOWN = {"source": "gaussian", "sigma": SIGMA, "measured_noise": NOISE, "measured_gradient": 0.06}
# darktable's own conversions around the module differ by 6e-5 between its CPU and OpenCL code, which the restoration amplifies; the core alone: 5e-6
TOLERANCE = 5e-4


@pytest.fixture(scope="module")
def device(prefix, tmp_path_factory):
    """A home in which darktable uses OpenCL, on a processor too: it leaves those out unless its configuration says otherwise.

    DARKTABLE_OPENCL_HOME names a folder to keep, with what darktable has compiled.
    """
    home = Path(os.environ.get("DARKTABLE_OPENCL_HOME") or tmp_path_factory.mktemp("opencl"))
    home.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(home / "small.tif", np.zeros((32, 32, 3), np.uint16), photometric="rgb")
    darktable = Darktable(prefix, home, opencl=True)
    darktable.run(home / "small.tif", home / "out.tif")  # writes what it found to its configuration
    settings = home / "darktablerc"
    text = settings.read_text()
    names = re.findall(r"^(cldevice_v\d+_\w+)=(?:\S+ ){9,}\S+$", text, re.MULTILINE)
    if not names:
        pytest.skip("darktable finds no OpenCL device here (PoCL would do)")
    text = re.sub(r"^(cldevice_v\d+_\w+=(?:\S+ ){7})1 ", r"\g<1>0 ", text, flags=re.MULTILINE)
    text = re.sub(r"^cldevice_v\d+_\w+_building=.*\n", "", text, flags=re.MULTILINE)
    kernels = Path(shutil.which("darktable-cli")).resolve().parent.parent / "share" / "darktable" / "kernels"
    settings.write_text(text + "".join(f"{name}_building=-cl-fast-relaxed-math -I{kernels}\n" for name in names))
    status, log = darktable.run(home / "small.tif", home / "out.tif", core=["-d", "opencl"], timeout=900)
    assert status == 0 and "opencl is AVAILABLE" in log, log[-2000:]
    return darktable


CASES = {
    "whole": {},
    "padded": {"others": [("crop", 1, struct.pack("<4f2i", 0.3, 0.2, 0.8, 0.7, -1, -1))]},
    "blended": {"blend": xmp.uniform_blend(50.0)},
    "reduced": {"options": ["--width", "300", "--height", "300", "--hq", "0"]},
}


@pytest.mark.parametrize("name", CASES)
def test_same_picture_as_the_processor(device, prefix, pictures, tmp_path, name):
    # no clipping level: one value just at it, above on the device and below here, is a difference of 0.02 around
    params = xmp.pack(**KNOWN, clipping=16.0)
    core = ["-d", "opencl", "-d", "perf"]
    there, log = device.export(pictures / "blurred.tif", params, tmp_path / "there.tif", order=3, core=core, **CASES[name])
    assert re.search(r"\[deconvolution\] restored \d+ x \d+ pixels in .* on device 0", log)
    assert "processed `deconvolution' on GPU" in log
    plain = Darktable(prefix, tmp_path / "home")
    here, _ = plain.export(pictures / "blurred.tif", params, tmp_path / "here.tif", order=3, **CASES[name])
    blurred, _ = plain.export(pictures / "blurred.tif", xmp.pack(), tmp_path / "off.tif", order=3, **CASES[name])
    assert np.abs(here - blurred).max() > 0.05
    np.testing.assert_allclose(there, here, atol=TOLERANCE)


@pytest.mark.parametrize("params", [xmp.pack(), xmp.spoilt("sigma", -1.0)], ids=["unknown", "damaged"])
def test_passes_through_on_the_device(device, prefix, pictures, tmp_path, params):
    there, log = device.export(pictures / "blurred.tif", params, tmp_path / "there.tif", core=["-d", "perf"])
    here, _ = Darktable(prefix, tmp_path / "home").export(pictures / "blurred.tif", xmp.pack(), tmp_path / "here.tif")
    assert "processed `deconvolution' on GPU" in log
    assert ("damaged parameters" in log) == (params != xmp.pack())
    np.testing.assert_allclose(there, here, atol=TOLERANCE)


def test_best_runs_on_the_processor(device, pictures, tmp_path):
    _, log = device.export(pictures / "blurred.tif", xmp.pack(**KNOWN, flavour="best"), tmp_path / "out.tif", core=["-d", "perf"])
    assert "processed `deconvolution' on CPU" in log


@pytest.fixture(scope="module")
def injecting(installer, prefix, device, tmp_path_factory):
    """The same home with a module in which calls fail."""
    binary, version, system = installer.find_darktable("darktable")
    folder = tmp_path_factory.mktemp("inject")
    objects = installer.compile_module(version, installer.find_source(None, version, installer.cache_folder()), folder)
    flags = ["-I", PROJECT / "c_src", "-I", PROJECT / "c_src" / "include", "-fPIC", "-fopenmp", "-c"]
    subprocess.run(["gcc", *flags, Path(__file__).with_name("inject.c"), "-o", folder / "inject.o"], check=True)
    wrapped = [f"-Wl,--wrap={name}" for name in ("dcv_plan_create_cl", "dcv_plan_destroy")]
    module = installer.link_module([*objects, folder / "inject.o", *wrapped], system, installer.core_library(None), folder)
    installer.install(module, binary, system, folder / "prefix")
    return Darktable(folder / "prefix", device.home, opencl=True)


def test_any_failing_call_leaves_the_right_picture(injecting, prefix, tmp_path, monkeypatch):
    """One small picture, many times in one start of darktable: in each another OpenCL call of the module fails."""
    params = xmp.pack(**KNOWN, iterations=2)
    picture = np.random.default_rng(0).integers(0, 65536, (40, 48, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "one.tif", picture, photometric="rgb")
    plain, _ = Darktable(prefix, tmp_path / "home").export(tmp_path / "one.tif", params, tmp_path / "plain.tif")
    there, log = injecting.export(tmp_path / "one.tif", params, tmp_path / "there.tif", core=["-d", "opencl"])
    calls = int(re.findall(r"\[inject\] (\d+) calls so far", log)[0])
    np.testing.assert_allclose(there, plain, atol=TOLERANCE)

    fresh, count = 8, 60
    step = max(1, calls // (count - fresh))
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for i in range(count):
        shutil.copy(tmp_path / "one.tif", folder / f"{i:02}.tif")
        (folder / f"{i:02}.tif.xmp").write_text(xmp.sidecar(params))
    monkeypatch.setenv("DCV_FAIL_STEP", str(step))
    core = ["-d", "opencl", "--conf", "plugins/imageio/format/tiff/bpp=32"]
    status, log = injecting.run(folder, out, "--out-ext", "tif", "--icc-type", "LIN_REC2020", core=core, timeout=900)
    assert status == 0, log[-2000:]
    failing = [int(n) for n in re.findall(r"\[inject\] plan \d+: \d+ calls before, call (\d+) fails", log)]
    assert len(failing) == count
    reached = sum(n < calls - 20 for n in failing)  # the last ones may lie past the end of a plan that finds everything compiled
    assert len(re.findall(r"\[deconvolution\] not restored on device 0", log)) >= reached > 40
    written = sorted(out.glob("*.tif"))
    assert len(written) == count
    for path in written:
        np.testing.assert_allclose(tifffile.imread(path), plain, atol=TOLERANCE)
