# SPDX-License-Identifier: GPL-3.0-or-later
"""The package as a whole: versions, names, and that each status of the library has its exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dcv
from dcv._core import check, lib
from dcv.errors import BY_STATUS


def test_version_is_the_headers(root: Path) -> None:
    header = (root / "c_src/include/dcv.h").read_text("utf-8")
    wanted = [re.search(rf"#define DCV_VERSION_{part} (\d+)", header)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    assert dcv.__version__ == ".".join(wanted)
    assert dcv.__version__ in dcv.build_info()
    assert dcv.max_threads() >= 1


def test_every_status_has_its_exception() -> None:
    assert sorted(BY_STATUS) == list(range(1, lib.DCV_STATUS_COUNT))
    builtin = {
        1: ValueError,
        2: ValueError,
        3: ValueError,
        4: MemoryError,
        5: Exception,
        6: RuntimeError,
        7: RuntimeError,
        8: ValueError,
        9: ValueError,
        10: RuntimeError,
    }
    for status, kind in BY_STATUS.items():
        with pytest.raises(kind, match=r"\w") as caught:
            check(status)
        assert isinstance(caught.value, dcv.DcvError)
        assert isinstance(caught.value, builtin[status])
        assert caught.value.status == status


def test_public_names_exist_and_are_documented() -> None:
    for name in dcv.__all__:
        assert getattr(dcv, name).__doc__, name
