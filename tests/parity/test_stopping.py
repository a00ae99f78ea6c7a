# SPDX-License-Identifier: GPL-3.0-or-later
"""The stop rules: the rule itself, and the run on a sample window in C against pyref."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyref import highlight, mm, pam, pd, psf, rl, stopping
from tests.parity import _ops
from tests.parity.record import compare
from tests.parity.test_solvers import scene

METHODS = {"mm": mm, "pam": pam, "pd": pd, "rl": rl}


def ask_all(rule, changes, whiteness):
    for t, (change, white) in enumerate(zip(changes, whiteness, strict=True), 1):
        if rule.ask(t, change, white):
            return t
    return None


def test_stagnation_needs_three_in_a_row():
    rule = stopping.Rule(tolerance=1.0)
    assert ask_all(rule, [5, 0.5, 0.5, 1.0, 0.5, 0.9, 0.1, 0.1], [0] * 8) == 7
    assert rule.reason == "stagnation"


def test_whiteness_needs_patience():
    rule = stopping.Rule(tolerance=0.0, patience=3)
    assert ask_all(rule, [1] * 9, [-5, -4, -4.5, -3, -3, -3, -3.5, -1, -1]) == 7
    assert rule.reason == "whiteness"
    assert rule.whitest_at == 4
    assert ask_all(stopping.Rule(tolerance=0.0), [1] * 9, [-1, *[-9] * 8]) is None


@given(numbers=st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([-3.0, -2.0, -1.0])), min_size=1, max_size=30),
       patience=st.integers(0, 6))  # fmt: skip
def test_rule(numbers, patience):
    """The rule of the core, on any changes and whiteness."""
    rule, module = stopping.Rule(1.0, patience), _ops.load()
    core = module.ffi.new("dcv_stop_rule *", {"tolerance": 1.0, "patience": patience})
    for t, (change, white) in enumerate(numbers, 1):
        over = rule.ask(t, change, white)
        assert module.lib.dcv_stop_ask(core, t, change, white) == over
        assert (_ops.REASONS[core.reason], core.quiet, core.whitest, core.whitest_at) == (rule.reason, rule.quiet, rule.whitest, rule.whitest_at)
        if over:
            break


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("tolerance", [0.2, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_run_on_a_sample(name, tolerance, channels):
    y, k = scene((48, 64 - 32), channels, seed=5), psf.gaussian(1.2, 5).astype(np.float32)
    y[3, 4] = np.nan
    params = METHODS[name].parameters(y, k)
    # What the core's list of fast sizes makes of it: both gaps are at least 40.
    shape = tuple(_ops.load().lib.dcv_fft_fast_size(n + 40) for n in y.shape[:2])
    run = stopping.iterations(METHODS[name], y, k, params, tolerance, shape=shape)
    iterations, reason, change, white = _ops.stop(name, y, k, params, tolerance)
    assert reason == run.reason
    assert iterations == run.iterations
    compare("stop change", change, run.change, 1)
    compare("stop whiteness", white, run.whiteness, 1)


@pytest.mark.parametrize("name", METHODS)
def test_clipped_values_and_lamps_do_not_count(name):
    """A clipped corner, a lamp, and a channel of a pixel unknown: the same run in both, and another one than without the lamp."""
    y, k, white = scene((48, 32), 3, seed=5), psf.gaussian(1.2, 5).astype(np.float32), 0.9
    y[3, 4, 1] = np.nan
    y[:4, :6] = white
    params = METHODS[name].parameters(y, k, white=white)
    shape = tuple(_ops.load().lib.dcv_fft_fast_size(n + 40) for n in y.shape[:2])
    plain = stopping.iterations(METHODS[name], y, k, params, 0.2, white, shape=shape)
    y[20:23, 10:13] = white
    y[23, 10:13] = 0.1
    assert highlight.find(y, k, white, params.sigma)[0].any()
    run = stopping.iterations(METHODS[name], y, k, params, 0.2, white, shape=shape)
    iterations, reason, change, white_ = _ops.stop(name, y, k, params, 0.2, white)
    assert (iterations, reason) == (run.iterations, run.reason)
    compare("stop change", change, run.change, 1)
    compare("stop whiteness", white_, run.whiteness, 1)
    assert abs(plain.whiteness[0] - run.whiteness[0]) > 1e-3


def test_sample_without_data_or_lags():
    params = pd.parameters(scene((40, 40), 3), psf.gaussian(1.2, 5))
    for y in (np.full((40, 40, 3), np.nan, np.float32), scene((4, 90), 3)):
        assert _ops.stop("pd", y, psf.gaussian(1.2, 5), params, 0.2)[:2] == (pd.ITERATIONS, "iterations")
        assert stopping.iterations(pd, y, psf.gaussian(1.2, 5), params).iterations == pd.ITERATIONS


def test_window_is_the_middle():
    y = np.zeros((300, 1000, 1))
    y[22:278, 372:628] = 1
    assert stopping.window(y).shape == (256, 256, 1)
    assert stopping.window(y).all()
