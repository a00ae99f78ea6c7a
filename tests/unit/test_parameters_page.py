# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/parameters.md agrees with the table in the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_page_is_up_to_date(root: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "parameters.md"
    subprocess.run([sys.executable, root / "tools/parameters_page.py", fresh], check=True)
    assert fresh.read_text("utf-8") == (root / "docs/parameters.md").read_text("utf-8"), "run tools/parameters-page"
