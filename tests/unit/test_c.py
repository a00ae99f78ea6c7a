# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the C unit tests: each cmocka program of build/release, one case of a program after the other."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "build" / "release" / "tests" / "unit"
SOURCES = sorted(Path(__file__).parent.glob("test_*.c"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem.removeprefix("test_"))
def test_c_program(source: Path) -> None:
    program = PROGRAMS / source.stem
    assert program.exists(), f"{program} is not built: run tools/setup (libcmocka-dev is needed)"
    # Threads that spin while they wait would starve each other on a busy machine: the tests ask for more threads than it has.
    env = os.environ | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run([program], env=env, capture_output=True, text=True, timeout=600, check=False)
    passed = re.findall(r"^\[ +OK +\] (\w+)", done.stdout + done.stderr, flags=re.M)
    assert done.returncode == 0, done.stdout + done.stderr
    assert passed, "no case was run"
