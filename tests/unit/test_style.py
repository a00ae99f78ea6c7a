# SPDX-License-Identifier: GPL-3.0-or-later
"""Python sources pass ruff, the package passes mypy (settings in pyproject.toml)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("command", [["ruff", "check", "--no-cache"], ["mypy", "--no-incremental"]], ids=lambda command: command[0])
def test_sources_are_clean(command: list[str], root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=root, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
