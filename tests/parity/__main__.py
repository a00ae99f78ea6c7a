# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.parity``: run the parity suite, then print comparisons and largest error of each operator beside its tolerance.

Arguments go to pytest: ``-k opencl`` for the OpenCL kernels and the whole path alone.
"""

import sys
from pathlib import Path

import pytest

from tests.parity.record import SEEN
from tests.tolerances import TOLERANCES

status = pytest.main([str(Path(__file__).parent), "-q", *sys.argv[1:]])
print(f"\n{'operator':24s} {'comparisons':>11s} {'largest error':>13s} {'tolerance':>10s}")
for name, (count, error, tolerance) in SEEN.items():
    print(f"{name:24s} {count:11d} {error:13.1e} {TOLERANCES[tolerance][0]:10.0e}")
print(f"{sum(count for count, _, _ in SEEN.values())} comparisons of {len(SEEN)} operators")
sys.exit(status)
