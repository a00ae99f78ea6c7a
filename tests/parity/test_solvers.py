# SPDX-License-Identifier: GPL-3.0-or-later
"""The C solvers against their twins in pyref, their identities, and the C form of the prototype against its recorded results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dcv
from pyref import admm, boundary, mm, pam, pd, prototype, psf, rl, solver
from tests.parity import _ops
from tests.parity import test_prototype_golden as golden
from tests.parity.record import compare
from tests.parity.test_blind import scene as rectangles

METHODS = {"admm": admm, "mm": mm, "pam": pam, "pd": pd, "rl": rl}


def scene(shape, channels, seed=0, sigma=0.02):
    """Steps and a ramp with noise, in 0..1."""
    rng = np.random.default_rng(seed)
    i, j = np.indices(shape)
    y = 0.3 + 0.2 * ((i // 7 + j // 5) % 2) + 0.3 * j / shape[1]
    y = y[..., None] * np.linspace(1, 0.6, channels)
    return (y + rng.normal(0, sigma, y.shape)).astype(np.float32)


def random_psf(size, seed, channels=0):
    k = np.random.default_rng(seed).random((size, size, channels) if channels else (size, size)) ** 2
    return (k / k.sum(axis=(0, 1))).astype(np.float32)


def both(name, y, k, iterations, white=None, frame=True, shape=None, taper=0):
    """(C, pyref in double precision) on the same domain."""
    method = METHODS[name]
    params = method.parameters(y, k)
    shape = shape or boundary.domain(y.shape, boundary.gap(k.shape[0] // 2))
    problem = solver.problem(y.astype(float), k.astype(float), white, shape=shape, frame=frame, taper=taper)
    expected = method.solve(problem, params, iterations)[: y.shape[0], : y.shape[1]]
    return _ops.solve(name, y, k, shape, params, iterations=iterations, white=white, frame=frame, taper=taper), expected


@pytest.mark.parametrize("name", METHODS)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.sampled_from([1, 3, 7, 11]),
    channels=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    iterations=st.sampled_from([1, 2, 5, 12]),
)
@settings(max_examples=15)
@example(shape=(1, 1), size=3, channels=3, seed=0, iterations=2)
@example(shape=(1, 29), size=5, channels=1, seed=0, iterations=5)
@example(shape=(31, 37), size=7, channels=3, seed=1, iterations=12)
def test_solver(name, shape, size, channels, seed, iterations):
    y = scene(shape, channels, seed)
    actual, expected = both(name, y, random_psf(size, seed), iterations)
    compare(name, actual, expected)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("frame", [True, False], ids=["frame", "inner"])
@pytest.mark.parametrize("case", ["holes", "clipped", "per-channel PSF", "bright", "negative"])
def test_solver_on_awkward_data(name, case, frame):
    y, k, white = scene((33, 46), 3), random_psf(7, 3), None
    if case == "holes":
        y[5:9, 7:11] = np.nan
        y[20, 3, 1] = np.inf
    if case == "clipped":
        white = 0.6
        y = np.minimum(y, np.float32(white))
    if case == "per-channel PSF":
        k = random_psf(7, 3, channels=3)
    if case == "bright":
        y[10:14, 30:34] = 40
    if case == "negative":
        y -= 0.5
    actual, expected = both(name, y, k, 8, white, frame)
    compare(name, actual, expected)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channels", [0, 3], ids=["one PSF", "per-channel PSF"])
def test_tapered_tile(name, channels):
    """An inner tile whose data fade towards its cuts."""
    y, k = scene((33, 46), 3), random_psf(7, 3, channels)
    actual, expected = both(name, y, k, 5, frame=False, taper=12)
    compare(name, actual, expected)


def test_tiles_of_a_blur_that_reaches_further():
    """A blur with zeros at which any joint rings through its tile: tapered tiles agree with the whole picture; untapered ones differ by 2.3e-2."""
    i, j = np.indices((420, 420))
    sharp = 0.5 + 0.4 * np.sign(np.sin(i / 17) * np.sin(j / 23))
    k = np.full((9, 9), 1 / 81, np.float32)
    blurred = scipy.signal.fftconvolve(np.pad(sharp, 4, mode="reflect"), k, mode="valid")
    y = (blurred + np.random.default_rng(2).normal(0, 0.002, blurred.shape)).astype(np.float32)
    options = {"noise": 0.002, "gradient": 0.05, "planning": "estimate"}
    with dcv.Plan(y, k, halo=64, tile=256, **options) as plan:
        assert plan.info.tiles_x > 2
        tiled = plan.execute(y)
    error = (tiled - dcv.deconvolve(y, k, tile=1024, halo=512, **options))[40:-40, 40:-40]
    assert np.sqrt(np.mean(error**2)) < 6e-3


@pytest.mark.parametrize("name", METHODS)
def test_scaling(name):
    """f(a x) = a f(x): no constant of the solver is tied to white = 1."""
    y, k = scene((40, 30), 3), random_psf(5, 1)
    shape = (72, 64)
    params = METHODS[name].parameters(y, k)
    plain = _ops.solve(name, y, k, shape, params, iterations=6)
    for a in (2.0**-6, 2.0**6):
        scaled = SimpleNamespace(sigma=params.sigma * a, gradient=params.gradient * a, edge=params.edge * a, lam=params.lam / a)
        compare("solver scaling", _ops.solve(name, y * np.float32(a), k, shape, scaled, iterations=6) / a, plain)


@pytest.mark.parametrize("scale", [0.2, 0.37, 0.9, 2.0])
def test_picture_of_another_size(scale):
    """Parameters and PSF of the full size, at any scale; numbers given and numbers by the rule."""
    y, k = scene((90, 110), 3), random_psf(9, 4)
    for lam in (None, 800.0):
        full = admm.parameters(y, k, 0.02)
        full = replace(full, lam=lam or full.lam)
        with dcv.Plan(y, k, channel_axis=-1, noise=0.02, gradient=full.gradient, edge=full.edge, lam=lam, scale=scale) as plan:
            actual, info = plan.execute(y), plan.info
        shape = (info.transform_height, info.transform_width)
        expected = solver.restore(admm, y.astype(float), psf.reduce(k, scale), admm.at_scale(full, scale), shape=shape, halo=info.halo + 8)
        compare("admm", actual, expected)


@pytest.mark.parametrize("name", METHODS)
def test_constant_picture_stays(name):
    y = np.full((24, 31, 3), 0.4, np.float32)
    params = SimpleNamespace(sigma=0.01, gradient=0.05, edge=0.0, lam=1000.0)
    np.testing.assert_allclose(_ops.solve(name, y, random_psf(7, 2), (64, 64), params, iterations=5), y, rtol=2e-6)


@pytest.mark.parametrize("name", [n for n in METHODS if n != "admm"])
@pytest.mark.parametrize("turned", [True, False])
def test_stopped_run_returns_the_state_asked_about(name, turned):
    """Stopped after 5 of 9 iterations: the state of a run of 5 (no solver but admm depends on the number to come)."""
    y, k = scene((26, 35), 3 if turned else 1), random_psf(5, 4)
    params = METHODS[name].parameters(y, k)
    stopped = _ops.solve(name, y, k, (64, 64), params, iterations=9, stop_at=5)
    compare(name, stopped, _ops.solve(name, y, k, (64, 64), params, iterations=5))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("priority", [-1, 0, 0.4])
def test_lam(name, priority):
    """The weight of the data from noise, gradient, PSF and priority."""
    y, k = scene((26, 35), 3), random_psf(7, 4, channels=3)
    params = METHODS[name].parameters(y, k, priority=priority)
    struct, _k = _ops.psf_struct(k)
    compare("lam", _ops.load().lib.ops_lam(_ops.SOLVERS.index(name), 3, struct, params.sigma, params.gradient, priority), params.lam)


@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)), size=st.sampled_from([3, 7, 11]), rounds=st.sampled_from([1, 2, 12]))
@settings(max_examples=15)
@example(shape=(31, 37), size=7, rounds=12)
def test_pam_blind(shape, size, rounds):
    y, k = scene(shape, 1, seed=2)[..., 0], random_psf(size, 5)
    k[0] = 0
    k /= k.sum()
    domain = tuple(_ops.load().lib.dcv_fft_fast_size(n + boundary.gap(size // 2)) for n in shape)
    expected = pam.alternate(y.astype(float), k.astype(float), 500.0, 0.01, rounds, domain)
    compare("pam blind", _ops.pam_blind(y, k, 500.0, 0.01, rounds), expected)


def test_pam_blind_moves_towards_the_blur():
    """From the uniform start to a PSF closer to the true one (wherever it lies), of sum 1 and without negative values."""

    def likeness(a):
        return scipy.signal.correlate(a, k).max() / np.sqrt((a**2).sum() * (k**2).sum())

    k = psf.motion(5, 30, 7)
    y = scipy.signal.fftconvolve(rectangles(70, 76), k, "valid")
    start = psf.uniform(7)
    found = pam.alternate(y, start, 100.0, 0.01, 100)
    assert found.sum() == pytest.approx(1)
    assert found.min() >= 0
    assert likeness(start) < 0.45
    assert likeness(found) > 0.65


def test_pd_and_admm_meet():
    """Two roads to one minimum: many iterations of pd against admm without growth, both in pyref."""
    y, k = scene((32, 40), 3).astype(float), psf.gaussian(1.2, 7)
    params = admm.parameters(y, k, 0.1)  # with less noise the data weigh more, and pd needs thousands of iterations
    shape = boundary.domain(y.shape, boundary.gap(3))
    a = solver.restore(pd, y, k, params, 600, shape=shape)
    b = solver.restore(pd, y, k, params, 1200, shape=shape)
    c = solver.restore(admm, y, k, params, 600, shape=shape)
    assert np.abs(b - a).max() < 2e-3
    assert np.abs(c - b).max() < 5e-3


def energy(problem, x, params, prior):
    turned = problem.turn(x)
    from pyref import fft

    r = problem.residual(problem.blur(fft.forward(turned)))
    return params.lam / 2 * (r**2).sum() + prior(problem.weights, turned)


def test_solvers_descend():
    """pam and mm lower what they say they minimise, and end below admm in the logarithmic prior's terms."""
    from pyref import tv

    y, k = scene((40, 40), 3).astype(float), psf.disk(2)
    p = solver.problem(y, k)

    def smooth_tv(w, x):
        e = pam.SMOOTH * params.gradient
        return np.sqrt(((w * tv.gradient(x)) ** 2).sum(axis=(0, 3)) + e * e).sum()

    def log_prior(w, x):
        eps = mm.EPS[0] * params.gradient + mm.EPS[1] * params.sigma
        norms = (np.sqrt(((w * h(x)) ** 2).sum(axis=(0, 3))) for h in (tv.gradient, mm.second))
        return sum(a * eps * np.log1p(n / eps).sum() for a, n in zip(mm.ORDERS, norms, strict=True))

    for method, prior in ((pam, smooth_tv), (mm, log_prior)):
        params = method.parameters(y, k)
        start, few, many = (energy(p, x, params, prior) for x in (p.y, method.solve(p, params, 8), method.solve(p, params, 60)))
        assert many < few < start


# Recorded files that the C form of the prototype reproduces as well, and how many quantities each holds.
BY_C = {"rl_head_psf5": 25, "rl_headfixtv_psf5": 28, "pyramid_head_129": 41}


def by_c(name):
    """(quantity, error, tolerance) of a recorded file, the prototype's MM call made by the C core."""

    def call(image, u, psf, window, dtype=np.float32, **options):
        assert dtype == np.float32
        return SimpleNamespace(**_ops.prototype(image, u, psf, window, **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prototype, "richardson_lucy_mm", call)
        return list(golden.CASES[name](golden.Golden(name)))


@pytest.mark.parametrize("name", BY_C)
def test_prototype_mode_reproduces_the_recorded_results(name):
    """The recorded vectors and their tolerances are those of test_prototype_golden."""
    rows = by_c(name)
    beyond = [(key, error, tolerance) for key, error, tolerance in rows if not error <= tolerance]
    assert len(rows) == BY_C[name]
    assert not beyond
