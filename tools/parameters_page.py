# SPDX-License-Identifier: GPL-3.0-or-later
"""The page docs/parameters.md, from the table that the library carries. Usage: ``parameters_page.py FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from dcv.params import Parameter, table

HEAD = """# Parameters

The same names are fields of `dcv_params` in C, keyword arguments in Python and options of the command line (`--name`). Written by
`tools/parameters-page` from `c_src/params.def`; do not edit.

| name | default | range | unit | meaning |
|---|---|---|---|---|
"""


def number(value: float) -> str:
    """Shortest decimal that single precision cannot tell from `value`."""
    return f"{value:.7g}"


def line(row: Parameter) -> str:
    """One row of the page's table."""
    if row.type == "enum":
        default, span = row.choices[int(row.default)], ", ".join(row.choices)
    else:
        default, span = number(row.default), f"{number(row.min)} to {number(row.max)}"
    return f"| `{row.name}` | {default} | {span} | {row.unit} | {row.doc} |\n"


def page() -> str:
    """The whole text."""
    return HEAD + "".join(line(row) for row in table())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).write_text(page(), "utf-8")
