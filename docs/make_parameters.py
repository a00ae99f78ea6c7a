# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/parameters.md from the table in the library (c_src/params.def). ``--print``: to stdout instead."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import dcv

HEAD = """<!-- Made by docs/make_parameters.py from c_src/params.def. -->
# Parameters

The same names serve in C (fields of `dcv_params`), in Python (keyword arguments of `dcv.deconvolve` and `dcv.Plan`; `None` leaves the default)
and on the command line (`dcv deblur --name`, with - for _). Light is linear, white = 1. `channels` follows from the picture; `blur` belongs to the estimation
(`per_channel=` in Python).

| Name | Values | Unit | Default | Meaning |
|---|---|---|---|---|
"""


def number(value: float) -> str:
    """Short: 1e+06 as 1e6."""
    return re.sub(r"e\+0*", "e", f"{value:g}")


def row(parameter: dcv.Parameter) -> str:
    """One line of the table."""
    if parameter.choices:
        values = ", ".join(f"`{choice}`" for choice in parameter.choices)
        default = f"`{parameter.choices[int(parameter.default)]}`"
    else:
        kind = "whole number" if parameter.type == "int" else "number"
        values = f"{kind}, {number(parameter.min)} to {number(parameter.max)}"
        default = number(parameter.default)
    return f"| `{parameter.name}` | {values} | {parameter.unit} | {default} | {parameter.doc} |\n"


def main() -> None:
    """Make the page."""
    page = HEAD + "".join(row(parameter) for parameter in dcv.parameters())
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(page)
    else:
        (Path(__file__).parent / "parameters.md").write_text(page, "utf-8")


if __name__ == "__main__":
    main()
