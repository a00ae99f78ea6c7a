# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of the core with pyref, and the largest error seen of each operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.tolerances import TOLERANCES

SEEN: dict[str, tuple[int, float, str]] = {}  # comparisons, largest error, name of the tolerance


def compare(name: str, actual: Any, expected: Any, scale: float | None = None, label: str | None = None) -> None:
    """Assert that `actual` is within the tolerance of `name`: largest difference over `scale` (default: the largest expected magnitude, 0: absolute).

    The table of errors shows it as `label` (default: `name`)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all(), name
    unit = float(np.abs(expected).max(initial=0)) if scale is None else scale
    error = float(np.abs(actual - expected).max(initial=0)) / (unit or 1.0)
    count, largest, _ = SEEN.get(label or name, (0, 0.0, name))
    SEEN[label or name] = count + 1, max(largest, error), name
    assert error <= TOLERANCES[name][0], f"{name}: error {error:.2e}, tolerance {TOLERANCES[name][0]:.0e} ({TOLERANCES[name][1]})"
