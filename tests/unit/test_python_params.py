# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyword arguments, command-line options and the documented table agree with params.def."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dcv
from dcv.cli.commands import cli
from dcv.params import FLAVOURS, TABLE, make

# Set by the picture itself, or only used by the estimation.
NOT_RESTORATION = {"channels", "blur"}


def rows_of_source(root: Path) -> list[str]:
    text = re.sub(r"/\*.*?\*/", "", (root / "c_src/params.def").read_text("utf-8"), flags=re.S)
    return re.findall(r"^DCV_(?:INT|FLOAT|ENUM)\s*\(\s*(\w+)", text, flags=re.M)


def test_table_has_the_rows_of_the_source_in_its_order(root: Path) -> None:
    assert [row.name for row in dcv.parameters()] == rows_of_source(root)


@pytest.mark.parametrize("function", [dcv.deconvolve, dcv.Plan.__init__])
def test_keywords_are_those_of_the_table(function: object) -> None:
    signature = inspect.signature(function).parameters
    assert set(TABLE) - NOT_RESTORATION <= set(signature)
    for name in set(TABLE) - NOT_RESTORATION:
        row, default = TABLE[name], signature[name].default
        if default is not None:
            assert default == (row.choices[int(row.default)] if row.choices else row.default)
        assert signature[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("row", dcv.parameters(), ids=lambda row: row.name)
def test_documented_in_deconvolve_and_as_an_option(row: dcv.Parameter) -> None:
    options = {option.name: option for option in cli.commands["deblur"].params}
    if row.name == "channels":
        assert row.name not in options
        return
    kind = options[row.name].type
    if row.choices:
        assert tuple(kind.choices) == row.choices
    else:
        assert (kind.min, kind.max) == (row.min, row.max)
    if row.name not in NOT_RESTORATION:
        assert row.name in dcv.deconvolve.__doc__
        assert all(f'"{choice}"' in dcv.deconvolve.__doc__ for choice in row.choices)


@pytest.mark.parametrize("row", [row for row in dcv.parameters() if not row.choices], ids=lambda row: row.name)
def test_ends_of_the_range_are_accepted_and_no_more(row: dcv.Parameter) -> None:
    for inside in (row.min, row.max):
        assert getattr(make(**{row.name: inside}), row.name) == pytest.approx(inside)
    for outside in (np.nextafter(row.min, -np.inf) - 1, row.max * 1.001 + 1, float("nan"), float("inf"), -float("inf")):
        with pytest.raises(dcv.errors.ArgumentError, match=row.name):
            make(**{row.name: outside})


@pytest.mark.parametrize("row", [row for row in dcv.parameters() if row.choices], ids=lambda row: row.name)
def test_choices_are_numbered_in_order(row: dcv.Parameter) -> None:
    assert [getattr(make(**{row.name: choice}), row.name) for choice in row.choices] == list(range(len(row.choices)))
    with pytest.raises(dcv.errors.ArgumentError, match=row.name):
        make(**{row.name: "no such choice"})


def test_whole_numbers_stay_whole() -> None:
    with pytest.raises(dcv.errors.ArgumentError, match="whole"):
        make(iterations=2.5)
    with pytest.raises(TypeError, match="iterations"):
        make(iterations="many")


def test_unknown_flavour() -> None:
    with pytest.raises(dcv.errors.ArgumentError, match="flavour"):
        make("splendid")


def test_flavours_leave_what_is_measured_open() -> None:
    for flavour in FLAVOURS:
        params = make(flavour)
        assert params.noise == 0
        assert params.lam == 0


def test_documentation_is_up_to_date(root: Path) -> None:
    made = subprocess.run([sys.executable, root / "docs/make_parameters.py", "--print"], capture_output=True, text=True, check=True).stdout
    assert made == (root / "docs/parameters.md").read_text("utf-8")
