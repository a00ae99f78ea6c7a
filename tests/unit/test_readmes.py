# SPDX-License-Identifier: GPL-3.0-or-later
"""Each folder's README names every file in it, and its tables name nothing else."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READMES = sorted(p for top in ("c_src", "opencl", "pyref", "bindings", "tests", "tools", "docs") for p in (ROOT / top).rglob("README.md"))
UNNAMED = {"README.md", "meson.build", "__init__.py", "__main__.py", "__pycache__", "py.typed"}  # these need no word


def named(text: str) -> set[str]:
    """What stands in backticks: `tile.c`, `dcv/plan.py`, `psf_codec.[ch]`, `images/`."""
    return set(re.findall(r"`([^`\s]+)`", text))


def entries(readme: Path) -> list[Path]:
    """Files below a README's folder, and folders in place of the files that a README of their own names."""
    others = {other.parent for other in READMES if readme.parent in other.parent.parents}
    return [
        path.relative_to(readme.parent)
        for path in sorted(readme.parent.rglob("*"))
        if path in others or (path.is_file() and not others & set(path.parents))
        if not {*path.parts} & UNNAMED and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_readme_names_every_file(readme: Path) -> None:
    names = named(readme.read_text("utf-8"))
    files = {Path(name).name for name in names}
    folders = {name.removesuffix("/") for name in names if name.endswith("/")}
    assert not [e for e in entries(readme) if not any(fnmatch(e.name, f) or fnmatch(e.stem, f) for f in files) and not {*e.parts} & folders]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_tables_name_what_is_there(readme: Path) -> None:
    first_cells = re.findall(r"^\| ([^|]*`[^|]*) \|", readme.read_text("utf-8"), flags=re.M)
    files = {Path(name).name for cell in first_cells for name in named(cell) if "." in name}
    assert not {name for name in files if not list(readme.parent.rglob(name))}
