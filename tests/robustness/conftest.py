# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line in a process of its own, and pictures to give it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage.data

import dcv

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """``dcv`` with the arguments; keywords `env`, `cwd`, `preexec_fn`."""

    def call(*arguments: object, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dcv", *(str(argument) for argument in arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | (env or {}),
            check=False,
            **options,
        )

    return call


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """blurred.png and psf.tif."""
    path = tmp_path_factory.mktemp("pictures")
    codes = np.ascontiguousarray(skimage.data.astronaut()[:100, 140:260])
    (path / "blurred.png").write_bytes(imagecodecs.png_encode(codes))
    dcv.psf.save(path / "psf.tif", dcv.psf.disk(2))
    return path
