# SPDX-License-Identifier: GPL-3.0-or-later
"""FFTW's wisdom in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dcv


def test_saved_once_and_loaded(tmp_path: Path) -> None:
    dcv.deconvolve(np.random.default_rng(0).random((64, 64), dtype=np.float32), dcv.psf.disk(1))
    path = tmp_path / "sub" / "wisdom"
    assert not dcv.wisdom.load(path)
    assert dcv.wisdom.save(path)
    assert not dcv.wisdom.save(path), "unchanged, so not written again"
    assert dcv.wisdom.load(path)
    assert path.read_text("ascii") == dcv.wisdom.export_text()
    assert [entry.name for entry in path.parent.iterdir()] == ["wisdom"]


def test_damaged_wisdom_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wisdom"
    path.write_bytes(b"\xff\xfe not wisdom")
    with pytest.raises(dcv.errors.ArgumentError):
        dcv.wisdom.load(path)


def test_the_users_file_is_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert dcv.wisdom.default_path().is_relative_to(tmp_path)
