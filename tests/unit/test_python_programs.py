# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs compiled for OpenCL devices, in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dcv


@pytest.fixture(scope="module")
def compiled() -> None:
    if not dcv.devices():
        pytest.skip("no OpenCL device here (PoCL would do)")
    picture = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    dcv.deconvolve(picture, dcv.psf.disk(1), noise=0.01, gradient=0.1, iterations=1, backend="opencl")


@pytest.mark.usefixtures("compiled")
def test_saved_once_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "programs"
    assert not dcv.programs.load(path)
    assert dcv.programs.save(path)
    assert not dcv.programs.save(path), "unchanged, so not written again"
    assert dcv.programs.load(path)
    assert path.read_bytes() == dcv.programs.export_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["programs"]


@pytest.mark.usefixtures("compiled")
def test_damaged_programs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "programs"
    path.write_bytes(dcv.programs.export_bytes()[:-1])
    with pytest.raises(dcv.errors.ArgumentError):
        dcv.programs.load(path)


@pytest.mark.usefixtures("compiled")
def test_a_plan_says_how_it_works_on_a_device() -> None:
    told: list[tuple[str, str]] = []
    picture = np.random.default_rng(0).random((20, 20), dtype=np.float32)
    dcv.deconvolve(picture, dcv.psf.disk(1), noise=0.01, gradient=0.1, iterations=1, backend="opencl", log=lambda *line: told.append(line))
    assert len(told) == 1
    assert told[0][0] == "debug" and "1 x 1 tiles" in told[0][1]


@pytest.mark.usefixtures("compiled")
def test_too_little_device_memory_is_told() -> None:
    picture = np.random.default_rng(0).random((64, 20000), dtype=np.float32)
    with pytest.raises(dcv.errors.OutOfMemoryError, match="MB of device memory needed, 1 offered"):
        dcv.deconvolve(picture, dcv.psf.disk(1), noise=0.01, gradient=0.1, backend="opencl", device_memory=1)


def test_the_users_file_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert dcv.programs.default_path().is_relative_to(tmp_path)


def test_nonsense_is_refused() -> None:
    ffi, lib = dcv._core.ffi, dcv._core.lib
    argument, backend, bytes_per_second = 1, 10, ffi.new("double *")
    assert lib.dcv_device_bandwidth(-1, bytes_per_second) == lib.dcv_device_bandwidth(0, ffi.NULL) == argument
    assert lib.dcv_device_bandwidth(31, bytes_per_second) == backend
    assert lib.dcv_plan_time_stages(ffi.NULL, 1) == argument
    assert lib.dcv_plan_stages(ffi.NULL, ffi.NULL, 0) == 0
    assert lib.dcv_devices_cache_export(ffi.NULL) == ffi.NULL
