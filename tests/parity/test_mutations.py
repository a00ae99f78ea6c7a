# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of mutations against the sources, without making them."""

from __future__ import annotations

import pytest

from tests.parity.mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("file", MUTATIONS)
def test_every_mutation_finds_its_text(file):
    text = (ROOT / file).read_text("utf-8")
    assert not [old for old, _ in MUTATIONS[file][1] if old not in text]
