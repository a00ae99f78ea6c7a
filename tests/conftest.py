# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings for all tests: plots without a display, hypothesis without a clock, no writing outside temporary folders."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

os.environ["MPLBACKEND"] = "Agg"

# Deterministic, and without deadlines: machines of any speed and load run these tests.
hypothesis.settings.register_profile("dcv", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("dcv")


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sends what belongs in the user's cache folder (FFTW wisdom) to a folder of this run; what PoCL compiles, seconds a program, to build/."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.setdefault("POCL_CACHE_DIR", str(Path(__file__).resolve().parents[1] / "build/pocl"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]
