# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark dcv-bench: it verifies, measures, reads pictures and says no in the right way."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

QUICK = ["--sizes", "160x120", "--psf", "5", "--threads", "1,2", "--repeat", "2", "--window", "64", "--set", "planning=estimate"]


@pytest.fixture(scope="session")
def bench(root: Path) -> Path:
    return root / "build/release/c_src/bench/dcv-bench"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_json_is_complete_and_plausible(bench: Path) -> None:
    done = run(bench, *QUICK, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["passed"] is True
    assert [row["psf"] for row in answer["verification"]] == [5]
    assert all(row["passed"] and row["psnr_restored_db"] > row["psnr_blurred_db"] for row in answer["verification"])
    assert [row["threads"] for row in answer["estimate"]] == [1, 2]
    assert [row["threads"] for row in answer["restoration"]] == [1, 2]
    for row in answer["restoration"]:
        assert (row["width"], row["height"]) == (160, 120)
        assert row["transforms"] >= 3 * (1 + row["iterations"])
        assert row["ratio"] == pytest.approx(row["execute_seconds"] / row["bare_fft_seconds"], rel=1e-2)
        assert row["ns_per_pixel"] == pytest.approx(1e9 * row["execute_seconds"] / (160 * 120), rel=1e-2)
        assert 0 < row["plan_bytes"] < answer["peak_bytes"]


def test_stages_on_a_device(bench: Path) -> None:
    done = run(bench, *QUICK[:5], "1", *QUICK[6:], "--device", "0", "--set", "iterations=2", "--json")
    if "no OpenCL" in done.stderr or "without OpenCL" in done.stderr:
        pytest.skip("no OpenCL device here (PoCL would do)")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    (row,) = answer["restoration"]
    stages = {stage["stage"]: stage for stage in row["stages"]}
    assert answer["bandwidth"] > 1e8
    assert stages["transform"]["calls"] == row["transforms"] / 3  # planes together
    values = 4 * 3 * (row["transform_width"] + 2) * row["transform_height"]
    assert stages["transform"]["bytes"] == stages["transform"]["calls"] * 4 * values
    assert sum(stage["seconds"] for stage in stages.values()) > 0
    assert stages["upload"]["bytes"] == stages["download"]["bytes"] == 160 * 120 * 12


def test_table_has_a_line_for_each_case(bench: Path) -> None:
    done = run(bench, *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  160 x 120") == 2
    assert "verified" in done.stdout


@pytest.mark.parametrize("kind", ["ppm8", "ppm16", "pfm"])
def test_reads_a_picture(bench: Path, tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).uniform(0.2, 0.8, (40, 50, 3))
    path = tmp_path / "picture"
    if kind == "pfm":
        path.write_bytes(b"PF\n50 40\n-1.0\n" + pixels.astype("<f4").tobytes())
    else:
        top, dtype = (255, ">u1") if kind == "ppm8" else (65535, ">u2")
        path.write_bytes(b"P6\n# a comment\n50 40\n%d\n" % top + (pixels * top).astype(dtype).tobytes())
    done = run(bench, *QUICK, "--input", path, "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["restoration"][0]
    assert (row["width"], row["height"]) == (50, 40)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be opened"),
        (b"GIF89a", "neither"),
        (b"P6\n50 forty", "header"),
        (b"P6\n50 40\n255\n" + bytes(100), "truncated"),
        (b"P6\n0 40\n255\n", "size"),
        (b"PF\n1 1\n-1.0\n" + struct.pack("<3f", 1, 2, 3)[:-1], "truncated"),
    ],
)
def test_damaged_pictures_are_refused_in_one_line(bench: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "picture"
    if content is not None:
        path.write_bytes(content)
    done = run(bench, "--input", path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sizes", "10"], ["--sizes", "0x5"], ["--psf", "4"], ["--psf", "129"], ["--threads", "0"], ["--repeat", "x"], ["--blur", "none"],
        ["--set", "noise=2"], ["--set", "nothing=1"], ["--set", "solver=none"], ["--solvers", "admm,none"], ["--flavour", "worst"],
        ["--bogus", "1"], ["--json", "--psf"],
    ],
)  # fmt: skip
def test_wrong_usage(bench: Path, arguments: list[str]) -> None:
    done = run(bench, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("dcv-bench: ")
    assert done.stderr.count("\n") == 1
    assert not done.stdout
