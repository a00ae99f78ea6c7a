# SPDX-License-Identifier: GPL-3.0-or-later
"""The library's table of parameters, and a filled-in ``dcv_params`` for a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import errors
from ._core import check, enum_names, ffi, lib

FLAVOURS = {name: value for value, name in enum_names("dcv_flavour", "DCV_").items()}


@dataclass(frozen=True)
class Parameter:
    """One row of the table: `type` is "int", "float" or "enum"; `choices` is empty unless an enum."""

    name: str
    type: str
    default: float
    min: float
    max: float
    unit: str
    choices: tuple[str, ...]
    doc: str


def _shortest(value: float) -> float:
    """The number with the fewest digits that is `value` in single precision: as params.def says it."""
    return float(str(np.float32(value)))


def table() -> tuple[Parameter, ...]:
    """All parameters, in the order of the library."""
    rows: list[Parameter] = []
    while (row := lib.dcv_params_describe(len(rows))) != ffi.NULL:
        rows.append(
            Parameter(
                name=ffi.string(row.name).decode(),
                type=("int", "float", "enum")[row.type],
                default=_shortest(row.value),
                min=_shortest(row.min),
                max=_shortest(row.max),
                unit=ffi.string(row.unit).decode() if row.unit else "",
                choices=tuple(ffi.string(row.choices).decode().split("|")) if row.choices else (),
                doc=ffi.string(row.doc).decode(),
            )
        )
    return tuple(rows)


TABLE = {row.name: row for row in table()}


def field_value(name: str, value: Any) -> int | float:
    """`value` as the number that the library's field `name` holds; ArgumentError or TypeError when it cannot be one."""
    row = TABLE[name]
    if row.type == "enum":
        if value not in row.choices:
            raise errors.ArgumentError(f"{name} must be one of {', '.join(map(repr, row.choices))}, not {value!r}")
        return row.choices.index(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if not row.min <= number <= row.max:
        raise errors.ArgumentError(f"{name} must lie between {row.min:g} and {row.max:g}, not {value!r}")
    if row.type == "int" and number != int(number):
        raise errors.ArgumentError(f"{name} must be a whole number, not {value!r}")
    return int(number) if row.type == "int" else number


def make(flavour: str = "normal", **values: Any) -> Any:
    """A checked ``dcv_params *``: defaults, then the flavour, then every value that is not None."""
    if flavour not in FLAVOURS:
        raise errors.ArgumentError(f"flavour must be one of {', '.join(map(repr, FLAVOURS))}, not {flavour!r}")
    params = ffi.new("dcv_params *")
    check(lib.dcv_params_init(params))
    check(lib.dcv_params_flavour(params, FLAVOURS[flavour]))
    for name, value in values.items():
        if value is not None:
            setattr(params, name, field_value(name, value))
    field = ffi.new("const char **")
    status = lib.dcv_params_check(params, field)
    if status:
        name = ffi.string(field[0]).decode() if field[0] else "parameter"
        raise errors.ArgumentError(f"{name} is out of its range, or too small")
    return params
