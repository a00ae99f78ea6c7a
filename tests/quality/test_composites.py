# SPDX-License-Identifier: GPL-3.0-or-later
"""Refocus on composites of photographs: the background stays, the subject gains, a sharp picture is left alone."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

import dcv

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("refocus")
    finally:
        sys.path.remove(str(TOOLS))


# Backgrounds that are soft by themselves (chelsea, coffee) may do worse: docs/refocus.md.
@pytest.mark.parametrize(
    ("psf", "sigma"),
    [(dcv.psf.disk(3), 0.01), (dcv.psf.gaussian(1.5, 11), 0.005), (dcv.psf.disk(5), 0.005), ("shake 17", 0.005)],
    ids=["disk 3", "Gaussian", "disk 5", "shake"],
)
def test_composite(tool: ModuleType, psf, sigma: float) -> None:
    sharp = tool.scenes.crop(tool.scenes.sharp_picture("astronaut"), tool.SIDE)
    figures = tool.measure(sharp, tool.scenes.psfs()[psf] if isinstance(psf, str) else psf, sigma, "half")
    assert figures["background"] > 45
    assert figures["share"] > 0.8
    assert figures["all blurred"] > 0.95
    assert figures["all sharp"] > 45


@pytest.mark.parametrize("window", ["inside", "half beside"])
def test_a_window_brings_a_faint_subject_back(tool: ModuleType, window: str) -> None:
    sharp = tool.scenes.crop(tool.scenes.sharp_picture("chelsea"), tool.SIDE)
    figures = tool.measure(sharp, dcv.psf.disk(3), 0.02, "half", seed=7, window=window)
    assert figures["background"] > 45
    assert figures["share"] > 0.9  # 0.5 without
    assert figures["all blurred"] > 0.75  # 0.48 without
