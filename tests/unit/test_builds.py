# SPDX-License-Identifier: GPL-3.0-or-later
"""The C unit tests in other builds: address and undefined-behaviour sanitizers, without OpenMP, without SIMD, with clang when it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BUILDS = {
    # Dispatch by the loader runs before the sanitizer is ready, hence no SIMD.
    "sanitizers": ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dbuildtype=debugoptimized", "-Db_ndebug=false", "-Dsimd=false"],
    "no-openmp": ["-Dopenmp=disabled"],
    "no-simd": ["-Dsimd=false"],
    "clang": [],
}


def run(command: list[str | Path], env: dict[str, str]) -> None:
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1800, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_build(name: str, root: Path, tmp_path: Path) -> None:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if name == "clang":
        if not shutil.which("clang"):
            pytest.skip("no clang here")
        env["CC"] = "clang"
    run(["meson", "setup", tmp_path / "build", root, "-Dunit_tests=enabled", "-Dwerror=true", *BUILDS[name]], env)
    run(["meson", "compile", "-C", tmp_path / "build"], env)
    run(["meson", "test", "-C", tmp_path / "build", "--print-errorlogs", "--timeout-multiplier", "5"], env)
    run([tmp_path / "build/c_src/bench/dcv-bench", "--sizes", "200x150", "--psf", "5", "--repeat", "1", "--set", "planning=estimate"], env)
