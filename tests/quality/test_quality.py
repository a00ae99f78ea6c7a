# SPDX-License-Identifier: GPL-3.0-or-later
"""The small part of tools/quality: figures beside the stored baseline, and limits that hold whatever the baseline says."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("quality")
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def figures(bench: ModuleType) -> dict[str, float]:
    return bench.quick()


def test_no_figure_is_worse_than_the_baseline(bench: ModuleType, figures: dict[str, float]) -> None:
    before = json.loads((HERE / "baseline.json").read_text("utf-8"))
    assert figures.keys() == before.keys()
    assert not {name: (value, before[name]) for name, value in figures.items() if bench.worse(name, value, before[name])}


# Why each limit: every restoration with the true PSF has to pay; the noise within half an octave; the frame's gain within 2 dB of the interior's; lamps far
# above white no worse than the input beside them (1 and rounding), no ring above 2 % of white and the noise, the rest improved; at priority -1 nothing
# is sharpened; on even ground no pixel of a ring above 2 % of white either; light stays above 0; sharp pictures above 45 dB to
# themselves.
LIMITS = {
    "non-blind: smallest_gain": (1.0, np.inf),
    "non-blind: noise, octaves, rms_error": (0, 0.5),
    "frame: loss of gain in the outer 16 px, mean, dB_error": (-np.inf, 2),
    "highlights 20: beside the lamps, over the input's, worst_error": (0, 1.001),
    "highlights 20: overshoot, 99 %, worst_error": (0, 0.025),
    "highlights 2: overshoot, 99 %, worst_error": (0, 0.02),
    "highlights 20: elsewhere, smallest_gain": (0.5, np.inf),
    "rings: lamp of 1.2 white, worst_error": (0, 0.02),
    "rings: lamp of 1.5 white, worst_error": (0, 0.02),
    "rings: lamp of 2 white, worst_error": (0, 0.02),
    "rings: lamp of 5 white, worst_error": (0, 0.02),
    "rings: lamp of 50 white, worst_error": (0, 0.02),
    "shot noise: loss to the true mean noise, dB_error": (-np.inf, 0.2),
    "text: smallest_gain": (6, np.inf),
    "highlights 1.05: beside the lamps, over the input's, worst_error": (0, 1),
    "sharp: delta as PSF, smallest_db": (45, np.inf),
    "priority: steps not monotone in noise_error": (0, 0),
    "priority: steps not monotone in sharpness_error": (0, 0),
    "priority: gradient at -1 beside that of the clean input_error": (0, 0.05),
    "priority: PSNR lost at 0, dB_error": (0, 0.3),
    "awkward: star, undershoot over its height_error": (0, 1e-3),
    "awkward: black, largest change_error": (0, 1e-6),
    "awkward: white, largest change_error": (0, 1e-5),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(figures: dict[str, float], name: str) -> None:
    least, most = LIMITS[name]
    assert least <= figures[name] <= most


def test_a_loss_is_seen(bench: ModuleType) -> None:
    assert bench.worse("a: mean_db", 29.8, 30.0) and not bench.worse("a: mean_db", 29.9, 30.0)
    assert bench.worse("a_error", 0.12, 0.1) and not bench.worse("a_error", 0.105, 0.1)
