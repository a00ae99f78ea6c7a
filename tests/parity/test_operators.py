# SPDX-License-Identifier: GPL-3.0-or-later
"""Every operator of the core against pyref: any shape, adjoints, constants, scaling, extreme values."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from pyref import admm, boundary, fft, highlight, mm, noise, psf, solver, tv
from pyref.whiteness import whiteness
from tests.parity import _ops
from tests.parity.record import compare

# Odd, even, prime; one pixel, one row.
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
MAGNITUDES = st.sampled_from([1.0, 1e-6, 1e4])
SEEDS = st.integers(0, 2**32 - 1)


def edges(function):
    """A pixel, a row, a column, primes, a size of the fast list."""
    for shape in ((1, 1), (1, 17), (13, 1), (31, 37), (64, 48)):
        function = example(shape=shape, magnitude=1.0, seed=0)(function)
    return settings(max_examples=25)(given(shape=SHAPES, magnitude=MAGNITUDES, seed=SEEDS)(function))


def picture(shape, magnitude, seed, channels=3):
    """Noise on an offset, some values exactly 0."""
    rng = np.random.default_rng(seed)
    y = rng.normal(0.5, 1, (*shape, channels)) * (rng.random((*shape, channels)) > 0.1)
    return (magnitude * y).astype(np.float32)


def exact(a):
    return a.astype(np.float64)


@edges
def test_fft(shape, magnitude, seed):
    d = _ops.Domain(*shape)
    y = picture(shape, magnitude, seed, 1)[..., 0]
    p = d.plane(y)
    d.lib.dcv_fft_forward(d.fft, p)
    compare("fft forward", d.spectrum(p), fft.forward(exact(y)))
    d.lib.dcv_fft_inverse(d.fft, p)
    compare("fft inverse", d.pixels(p) / y.size, y)


@pytest.mark.parametrize("n", [1, 2, 3, 47, 48, 49, 63, 64, 65, 100, 301, 1025, 4000])
def test_fast_size(n):
    size = _ops.load().lib.dcv_fft_fast_size(n)
    rest = size
    for p in (2, 3, 5, 7):
        while rest % p == 0:
            rest //= p
    assert rest == 1
    assert n <= size <= max(1.34 * n, n + 3)


@given(shape=SHAPES, size=st.sampled_from([1, 3, 7, 15]), seed=SEEDS, channel=st.integers(0, 2))
@settings(max_examples=40)
def test_convolution(shape, size, seed, channel):
    rng = np.random.default_rng(seed)
    k = rng.random((size, size, 3)).astype(np.float32)
    k /= k.sum(axis=(0, 1))
    d = _ops.Domain(*shape)
    struct, _kept = _ops.psf_struct(k)
    otf = d.plane()
    d.lib.dcv_otf(d.fft, struct, channel, otf)
    # A PSF wider than the domain wraps round: the same as its sum over periods.
    wrapped = np.zeros(shape)
    for i in range(size):
        for j in range(size):
            wrapped[(i - size // 2) % shape[0], (j - size // 2) % shape[1]] += k[i, j, channel]
    K = fft.forward(wrapped)
    if size <= min(shape):
        np.testing.assert_allclose(K, fft.otf(exact(k[..., channel]), shape), rtol=0, atol=1e-12)
    compare("otf", d.spectrum(otf), K)

    x, y = (picture(shape, 1, seed + n, 1)[..., 0] for n in (0, 1))
    px, py = d.plane(x), d.plane(y)
    for p in (px, py):
        d.lib.dcv_fft_forward(d.fft, p)
    v, w = d.plane(), d.plane()
    d.lib.dcv_convolution_multiply(d.fft, otf, px, v)
    d.lib.dcv_convolution_correlate(d.fft, otf, py, w)
    for p in (v, w):
        d.lib.dcv_fft_inverse(d.fft, p)
    kx, ky = d.pixels(v) / x.size, d.pixels(w) / x.size
    compare("convolution", kx, fft.inverse(K * fft.forward(exact(x)), shape), np.abs(x).max())
    compare("correlation", ky, fft.inverse(np.conj(K) * fft.forward(exact(y)), shape), np.abs(y).max())
    norm = np.linalg.norm(exact(kx)) * np.linalg.norm(exact(y)) or 1
    compare("convolution adjoint", np.vdot(exact(kx), exact(y)) / norm, np.vdot(exact(x), exact(ky)) / norm, 1)


@pytest.mark.parametrize("n", [1, 2, 7, 64, 375])
def test_otf_difference(n):
    lib, ffi = _ops.load().lib, _ops.load().ffi
    square = ffi.new("float[]", n)
    lib.dcv_otf_difference(n, n, square)
    compare("otf difference", list(square), 2 - 2 * np.cos(2 * np.pi * np.arange(n) / n), 4)


@edges
def test_colour(shape, magnitude, seed):
    d = _ops.Domain(*shape)
    y = picture(shape, magnitude, seed)
    (kept, array), (out, to) = d.planes(y), d.planes(np.zeros_like(y))
    d.lib.dcv_colour_turn(d.fft, array, to)
    turned = d.stack(out)
    compare("colour turn", turned, exact(y) @ solver.COLOUR.T, np.abs(y).max())
    np.testing.assert_array_equal(d.stack(kept), y)
    d.lib.dcv_colour_turn(d.fft, array, array)  # in place
    np.testing.assert_array_equal(d.stack(kept), turned)
    d.lib.dcv_colour_turn_back(d.fft, array)
    compare("colour turn back", d.stack(kept), y, np.abs(y).max())


def all_differences(x):
    """The six directions of ops/difference."""
    return np.concatenate([tv.gradient(x), mm.second(x)])


def all_adjoints(d, direction):
    full = np.zeros((2 if direction < 2 else 4, *d.shape))
    full[direction if direction < 2 else direction - 2] = d
    return (tv.gradient_adjoint if direction < 2 else mm.second_adjoint)(full)


@edges
def test_differences(shape, magnitude, seed):
    d = _ops.Domain(*shape)
    x, y, onto = (picture(shape, magnitude, seed + n, 1)[..., 0] for n in range(3))
    expected = all_differences(exact(x))
    for direction in range(6):
        px, py, out = d.plane(x), d.plane(y), d.plane()
        d.lib.dcv_difference(d.fft, direction, 1.5, px, out)
        dx = d.pixels(out)
        compare("difference", dx, 1.5 * expected[direction], 6 * np.abs(x).max())
        out = d.plane(onto)
        d.lib.dcv_difference_adjoint_add(d.fft, direction, -0.5, py, out)
        compare("difference adjoint", d.pixels(out), exact(onto) - 0.5 * all_adjoints(exact(y), direction), 6 * np.abs([y, onto]).max())
        zero = d.plane(np.zeros(shape))
        d.lib.dcv_difference_adjoint_add(d.fft, direction, 1.5, py, zero)
        norm = np.linalg.norm(exact(dx)) * np.linalg.norm(exact(y)) or 1
        compare("difference adjointness", np.vdot(exact(dx), exact(y)) / norm, np.vdot(exact(x), exact(d.pixels(zero))) / norm, 1)
        d.lib.dcv_difference(d.fft, direction, 1, d.plane(np.full(shape, 0.7)), out)
        np.testing.assert_allclose(d.pixels(out), 0, atol=1e-6)  # constants vanish


@edges
def test_difference_power(shape, magnitude, seed):
    d = _ops.Domain(*shape)
    power = d.plane()
    d.lib.dcv_difference_power(d.fft, power)
    compare("difference power", d.view(power)[:, : d.columns], mm.smooth_power(shape), 40)
    delta = np.zeros(shape)
    delta[0, 0] = 1
    applied = tv.gradient_adjoint(tv.gradient(delta)) + mm.second_adjoint(mm.second(delta))
    np.testing.assert_allclose(mm.smooth_power(shape), fft.forward(applied).real, atol=1e-12)


@pytest.mark.parametrize(("first", "last"), [(0, 2), (2, 6)])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (16, 21)])
def test_difference_square_and_curvature(shape, channels, first, last):
    d = _ops.Domain(*shape)
    x = picture(shape, 1, 5, channels)
    u = picture(shape, 1, 6, channels * (last - first))
    weights = np.array([1, 2, 3][:channels])
    (_x, px), (_u, pu) = d.planes(x), d.planes(u)
    total, scratch = d.plane(), d.plane()
    differences = (weights * all_differences(exact(x)))[first:last]
    shifted = differences + np.moveaxis(exact(u).reshape(*shape, channels, last - first), -1, 0)
    for with_u, values in ((pu, shifted), (d.ffi.NULL, differences)):
        d.lib.dcv_difference_square(d.fft, channels, [float(w) for w in weights], first, last, px, with_u, total, scratch)
        compare("difference square", d.pixels(total), (values**2).sum(axis=(0, 3)))
    if first == 0:
        n = picture(shape, 1, 7, 1)[..., 0]
        out, po = d.planes(x)
        d.lib.dcv_difference_curvature(d.fft, channels, [float(w) for w in weights], px, d.plane(n), po, scratch)
        flow = weights * differences * exact(n)[..., None]
        size = np.abs(x).max() + np.abs(flow).max() * 4
        compare("curvature", d.stack(out), exact(x) + tv.gradient_adjoint(flow), size)


@given(shape=st.tuples(st.integers(1, 24), st.integers(1, 24)), more=st.tuples(st.integers(4, 40), st.integers(4, 40)), seed=SEEDS)
@settings(max_examples=40)
@example(shape=(1, 1), more=(5, 5), seed=1)
@example(shape=(20, 20), more=(40, 8), seed=2)
def test_boundary(shape, more, seed):
    rng = np.random.default_rng(seed)
    y = picture(shape, 1, seed, 1)
    y[rng.random(y.shape) < 0.2] = np.nan
    y[rng.random(y.shape) < 0.05] = -np.inf
    whole = (shape[0] + more[0], shape[1] + more[1])
    d = _ops.Domain(*whole)
    plane, scratch, bound = d.plane(y[..., 0]), d.plane(), d.plane()
    white, edge = 1.0, min(3, (min(more) - 1) // 2)
    p = solver.problem(y, np.ones((5, 5)) / 25, white, shape=whole)
    unknown = d.lib.dcv_boundary_bound(d.fft, plane, shape[1], shape[0], white, boundary.reach(2), bound)
    np.testing.assert_array_equal(d.pixels(bound), p.bound[..., 0].astype(np.float32))
    assert unknown == bool((p.bound[: shape[0], : shape[1]] != np.inf).any())
    count = d.lib.dcv_boundary_fill_holes(d.fft, plane, shape[1], shape[0], scratch)
    filled, known = boundary.fill_holes(exact(y))
    assert count == (~known).sum()
    compare("boundary holes", d.pixels(plane)[: shape[0], : shape[1]], filled[..., 0], max(np.abs(filled).max(), 1))
    d.lib.dcv_boundary_extend(d.fft, plane, shape[1], shape[0], edge, edge)
    z = d.pixels(plane)
    source = boundary.extend(exact(z[: shape[0], : shape[1], None]), whole, edge)
    compare("boundary extend", z, source[..., 0], max(np.abs(z).max(), 1))
    model = picture(whole, 1, seed + 1, 1)
    d.lib.dcv_boundary_impute(d.fft, 1.9, d.plane(model[..., 0]), bound, plane)
    compare("boundary impute", d.pixels(plane), p.impute(exact(z)[..., None], exact(model), 1.9)[..., 0], 4 * max(np.abs(z).max(), np.abs(model).max()))


@pytest.mark.parametrize("channels", [1, 2, 3])
@edges
def test_tv_shrink(channels, shape, magnitude, seed):
    d = _ops.Domain(*shape)
    x, old = picture(shape, magnitude, seed, channels), picture(shape, magnitude, seed + 1, 2 * channels)
    weights, rho, growth = np.array([1.0, 2.0, 2.0][:channels]), 0.7 / magnitude, 1.5
    (kx, px), (ku, pu) = d.planes(x), d.planes(old)
    scratch = d.ffi.gc(d.lib.dcv_alloc_floats(d.lib.dcv_tv_scratch(d.fft, channels)), d.lib.dcv_release)
    d.lib.dcv_tv_shrink(d.fft, channels, list(weights), rho, growth, px, pu, scratch)
    u = np.moveaxis(exact(old).reshape(*shape, channels, 2), -1, 0)
    v = weights * tv.gradient(exact(x)) + u
    s = tv.shrink_factor(v, rho)
    compare("tv shrink u", d.stack(ku), np.moveaxis((1 - s) * v / growth, 0, -1).reshape(*shape, 2 * channels), np.abs(v).max())
    compare("tv shrink x", d.stack(kx), tv.gradient_adjoint(weights * (2 * s - 1) * v), 8 * np.abs(v).max())


@pytest.mark.parametrize(("shape", "channels"), [((96, 96), 3), ((203, 131), 3), ((150, 97), 1), ((95, 200), 3)])
@pytest.mark.parametrize("step", [0, 0.0012, 0.01])
@pytest.mark.parametrize("softness", [0, 0.6])
def test_processing(shape, channels, step, softness):
    """Errors of a coder's blocks, at any place; noise that went through a filter; holes."""
    rng = np.random.default_rng(6)
    blocks = np.kron(rng.normal(0, step, (40, 40)), np.ones((8, 8)))[3 : 3 + shape[0], 5 : 5 + shape[1]]
    noise_part = gaussian_filter(rng.normal(0, 0.005, (*shape, channels)), (softness, softness, 0))
    y = (np.linspace(0.2, 0.8, shape[1])[None, :, None] + blocks[..., None] + noise_part).astype(np.float32)
    y[10:12, 20:30] = np.nan
    lib, ffi = _ops.load().lib, _ops.load().ffi
    image, _kept = _ops.image_struct(y)
    level, processing = ffi.new("float *"), ffi.new("dcv_processing *")
    assert lib.dcv_noise_level(image, channels, 2, level, processing) == 0
    expected, (share, blocking) = noise.estimate(exact(y))
    compare("noise", (level[0], processing.share, processing.blocking), (expected, share, blocking))
    compare("noise", lib.dcv_noise_with_processing(0.01, processing[0], 0.1, channels), noise.with_processing(0.01, (share, blocking), 0.1, channels))
    assert (share > 0) == (softness > 0 and channels == 3)
    if step == 0 or min(shape) < 96:
        assert blocking == 0
    elif step == 0.01:
        assert 0.3 * step < blocking < 1.5 * step


def test_an_edge_is_no_block():
    """The edges of a clipped lamp, however steep, are not taken for a coder's."""
    y = (0.3 + np.random.default_rng(7).normal(0, 0.003, (200, 200, 3))).astype(np.float32)
    y[72:112, 88:136] = 1
    assert noise.blocking(exact(y)) == 0


@pytest.mark.parametrize("shape", [(40, 40), (67, 45), (3, 3), (200, 131)])
@pytest.mark.parametrize("sigma", [0.002, 0.05])
@pytest.mark.parametrize("texture", [0, 0.02])
def test_noise(shape, sigma, texture):
    rng = np.random.default_rng(4)
    y = (np.linspace(0.2, 0.8, shape[1])[None, :, None] + rng.normal(0, sigma, (*shape, 3))).astype(np.float32)
    y[:, shape[1] // 3] += 0.4  # a line far above the noise
    y[1, 1] = 0.9  # too few to be a lamp
    y += np.float32(texture) * (np.sin(np.arange(shape[0])[:, None]) * np.sin(1.1 * np.arange(shape[1])))[..., None]  # without colour
    lib, ffi = _ops.load().lib, _ops.load().ffi
    image, _kept = _ops.image_struct(y)
    each, processing, level, gradient, edge = ffi.new("float[3]"), ffi.new("dcv_processing *"), *(ffi.new("float *") for _ in range(3))
    assert lib.dcv_noise_estimate(image, 3, each) == 0
    compare("noise", list(each), noise.measure(exact(y))[0])
    assert lib.dcv_noise_level(image, 3, 2, level, processing) == 0
    expected, shares = noise.estimate(exact(y))
    compare("noise", (level[0], processing.share, processing.blocking), (expected, *shares))
    for white in (np.inf, 0.7):
        assert lib.dcv_noise_gradient(image, 3, sigma / 2, white, 9, 2, gradient, edge) == 0
        expected = noise.gradient_scale(exact(y), np.float32(sigma / 2), 9, np.float32(white))
        compare("gradient", gradient[0], expected)
        compare("gradient", edge[0], noise.edge_scale(exact(y), np.float32(sigma / 2), expected, 9, np.float32(white)))


@given(shape=st.tuples(st.integers(5, 60), st.integers(5, 60)), channels=st.integers(1, 3), seed=SEEDS, kind=st.sampled_from(["white", "smooth", "constant"]))
@settings(max_examples=30)
def test_whiteness(shape, channels, seed, kind):
    r = np.random.default_rng(seed).normal(0.1, 1, (*shape, channels))
    if kind == "smooth":
        r = r + np.roll(r, 1, 0) + np.roll(r, 1, 1)
    if kind == "constant":
        r[:] = 0.25
    r = r.astype(np.float32)
    d = _ops.Domain(*shape)
    _kept, array = d.planes(r)
    compare("whiteness", d.lib.dcv_whiteness(array, channels, shape[1], shape[0], d.stride), whiteness(exact(r)), 1)


def make_psf(kind, size, a=1.0, b=0.0):
    lib = _ops.load().lib
    struct, data = _ops.psf_struct(np.zeros((size, size), np.float32))
    assert lib.dcv_psf_make(struct, kind, a, b) == 0
    return data


@pytest.mark.parametrize(
    ("kind", "expected", "a", "b"),
    [
        *[(0, lambda n, s=s: psf.gaussian(s, n), s, 0) for s in (0.3, 1.5, 4)],
        *[(1, lambda n, r=r: psf.disk(r, n), r, 0) for r in (0.4, 1, 3, 6.3)],
        *[(2, lambda n, v=v, t=t: psf.motion(v, t, n), v, t) for v, t in ((1, 0), (9, 30), (7.5, -100), (12, 90))],
        (3, psf.uniform, 1, 0),
        *[(4, lambda n, s=s: psf.kaiser(n, s), s, 0) for s in (0, 3, 8.5)],
        *[(5, lambda n, s=s: psf.exponential(n, s), s, 0) for s in (0.5, 2)],
    ],
)
@pytest.mark.parametrize("size", [1, 3, 13, 17])
def test_psf_families(kind, expected, a, b, size):
    compare("psf", make_psf(kind, size, a, b), expected(size))


@pytest.mark.parametrize(
    ("kind", "expected", "a", "b"),
    [
        *[(0, psf.gaussian(s), s, 0) for s in (0.3, 1.5, 4)],
        *[(1, psf.disk(r), r, 0) for r in (0.4, 1, 3, 6.3)],
        *[(2, psf.motion(v, t), v, t) for v, t in ((1, 0), (9, 30), (7.5, -100), (12, 90))],
    ],
)
def test_psf_natural_size(kind, expected, a, b):
    assert _ops.load().lib.dcv_psf_natural_size(kind, a, b) == expected.shape[0]


@given(size=st.sampled_from([1, 3, 9, 15]), channels=st.sampled_from([0, 3]), seed=SEEDS)
@settings(max_examples=20)
def test_psf_radius(size, channels, seed):
    k = (np.random.default_rng(seed).random((size, size, channels) if channels else (size, size)) ** 4).astype(np.float32)
    (struct, _k), found = _ops.psf_struct(k), _ops.load().ffi.new("float *")
    assert _ops.load().lib.dcv_psf_radius(struct, found) == 0
    compare("psf", found[0], psf.radius(exact(k)))


@given(size=st.sampled_from([3, 5, 9, 15]), seed=SEEDS)
@settings(max_examples=25)
def test_psf_centre(size, seed):
    rng = np.random.default_rng(seed)
    k = (rng.random((size, size)) ** 8).astype(np.float32)
    k[: size // 2] *= 0.01
    off = np.abs(np.array(psf.centroid(exact(k))) % 1 - 0.5).min()
    if off < 1e-4:
        return  # a tie: rounding decides
    struct, data = _ops.psf_struct(k)
    assert _ops.load().lib.dcv_psf_centre(struct) == 0
    compare("psf", data, psf.centre(exact(k)))


@given(size=st.sampled_from([1, 3, 5, 9, 15]), scale=st.floats(0.1, 6), channels=st.sampled_from([0, 3]), seed=SEEDS)
@settings(max_examples=40)
@example(size=9, scale=1.0, channels=0, seed=0)
@example(size=5, scale=1 / 3, channels=3, seed=0)
def test_psf_resample(size, scale, channels, seed):
    rng = np.random.default_rng(seed)
    k = psf.normalise(rng.random((size, size, channels) if channels else (size, size)) ** 3).astype(np.float32)
    expected = psf.resample(exact(k), scale)
    lib = _ops.load().lib
    (source, _k), (out, data) = _ops.psf_struct(k), _ops.psf_struct(np.zeros(expected.shape, np.float32))
    assert lib.dcv_psf_resampled_size(size, scale) == expected.shape[0]
    assert lib.dcv_psf_resample(source, scale, out) == 0
    compare("psf resample", data if not channels else np.moveaxis(data, 0, 2), expected)


@pytest.mark.parametrize("k", [psf.disk(3), psf.motion(9, 30), psf.motion(15, 10), psf.gaussian(1, 7), np.stack([psf.gaussian(s, 7) for s in (0.5, 1, 1.5)], axis=2)])
@pytest.mark.parametrize(("shape", "channels"), [((40, 80), 3), ((31, 29), 1), ((1, 30), 2)])
def test_highlight(k, shape, channels):
    """Lamps at the frame and inside, a bright sky, holes: what is reached, the weight around those in doubt, the result."""
    rng = np.random.default_rng(3)
    y = rng.uniform(0.3, 0.32, (*shape, channels)).astype(np.float32)
    y[:, :4] = 1.02
    if shape[1] > 50:
        y[:, 62:] += 0.05 * np.arange(shape[1] - 62, dtype=np.float32)[:, None]  # up to a sky that is no lamp
    y[: max(shape[0] // 3, 1), 5:7] = 0.7
    y[shape[0] // 2 :, 20:22] = 1.3
    y[0, 12] = np.nan
    d = _ops.Domain(shape[0] + 3, shape[1] + 5)
    struct, _psf = _ops.psf_struct(k.astype(np.float32))
    found = d.ffi.new("dcv_highlight *", d.lib.dcv_highlight_of(struct, 1.0, 0.004))
    assert (found.rows, found.columns) == highlight.spread(k.astype(np.float32))
    compare("highlight blend", np.array([list(row) for row in found.common]), highlight.common(k.astype(np.float32)))
    assert found.stride == highlight.stride(k.astype(np.float32))
    marks, scratch = d.plane(), d.plane()
    kept, planes = d.planes(y)
    any_lamp = d.lib.dcv_highlight_find(found, d.fft, channels, planes, shape[1], shape[0], marks, scratch)
    reached = highlight.find(y, k.astype(np.float32), 1.0, 0.004)
    assert any_lamp == reached.any()
    assert reached.any()
    assert not reached[:, 75:].any()
    inside = np.s_[: shape[0], : shape[1]]
    compare("highlight marks", d.pixels(marks)[inside], 1.0 * reached)
    doubt = rng.random(shape) < 0.01
    plane = d.plane(1.0 * doubt)
    _rest, rests = d.planes(np.full_like(y, 7))
    d.lib.dcv_highlight_doubtful(found, d.fft, marks, channels, rests, planes, shape[1], shape[0], plane, scratch)
    hidden, share = highlight.doubtful(doubt, reached, k.astype(np.float32))
    np.testing.assert_array_equal(d.stack(kept)[inside], np.where(hidden[..., None] & ~np.isnan(y), np.float32(7), y))
    compare("highlight weight", d.pixels(plane)[inside], share, 1)
    picture_struct, _y = _ops.image_struct(y)
    x, light = rng.random((*shape, channels)).astype(np.float32), 0.5 * rng.random((*shape, channels)).astype(np.float32)
    weight = d.plane(share)
    expected = highlight.join(exact(x), exact(light), exact(y), 1.0, share)
    for c in range(channels):
        plane = d.plane(x[..., c])
        d.lib.dcv_highlight_join(found, d.fft, weight, d.plane(light[..., c]), picture_struct, 0, 0, c, shape[1], shape[0], plane)
        compare("highlight blend", d.pixels(plane)[inside], expected[..., c], 1)


@pytest.mark.parametrize("k", [psf.disk(3), np.stack([psf.gaussian(s, 7) for s in (0.5, 1, 1.5)], axis=2)])
@pytest.mark.parametrize(("origin", "kept"), [((0, 0), 0.0), ((20, 30), 0.3)])
def test_highlight_separate(k, origin, kept):
    """A bright lamp and a weak one, at the frame and where blocks meet, and a hole: data, light, and where there is doubt about it."""
    rng = np.random.default_rng(6)
    rows, cols, channels, noise = 86, 133, 3, 0.004
    sharp = np.full((rows, cols, channels), 0.3)
    sharp[24:32, 15:22], sharp[30:33, 48:52] = 30.0, 3.0
    sharp[:, 90:92, 0] = 2.0
    k = k.astype(np.float32)
    transfer = fft.otf(k, (rows, cols))
    transfer = transfer[..., None] if transfer.ndim == 2 else transfer
    y = fft.inverse(transfer * fft.forward(sharp), (rows, cols)) + noise * rng.normal(size=sharp.shape)
    y = np.minimum(y, 1).astype(np.float32)
    y[5, 9] = np.nan
    reached = highlight.find(exact(y), k, 1.0, noise)
    d = _ops.Domain(rows + 35, cols + 42)
    struct, _psf = _ops.psf_struct(k)
    found = d.ffi.new("dcv_highlight *", d.lib.dcv_highlight_of(struct, 1.0, noise))
    assert d.lib.dcv_highlight_block(struct) == highlight.block_side(k)
    block = _ops.Domain(highlight.block_side(k), highlight.block_side(k))
    place = d.ffi.new("dcv_highlight_place *", (origin[1], origin[0], cols, rows))
    work = d.ffi.gc(d.lib.dcv_alloc_floats(d.lib.dcv_highlight_floats(d.fft, block.fft)), d.lib.dcv_release)
    otfs = [d.plane() for c in range(channels)]
    for c, otf in enumerate(otfs):
        d.lib.dcv_otf(d.fft, struct, c if k.ndim == 3 else 0, otf)
    (data, planes), (rest, rests), (light, lights) = d.planes(y), d.planes(y), d.planes(y)
    doubt = d.plane()
    d.lib.dcv_highlight_separate(
        found, d.fft, d.ffi.new("float *[]", otfs), block.fft, struct, place, kept, d.plane(1.0 * reached), channels, planes, rests, lights, doubt, work
    )
    data, rest, light = (np.stack([d.pixels(p)[:rows, :cols] for p in kept_planes], axis=-1) for kept_planes in (data, rest, light))
    domain = d.rows, d.cols
    transfer = fft.otf(k, domain)
    transfer = transfer[..., None] if transfer.ndim == 2 else transfer
    expected = highlight.separate(exact(y), k, 1.0, noise, domain, transfer, reached, kept, origin)
    np.testing.assert_array_equal(np.isnan(data), np.isnan(y))
    np.testing.assert_array_equal(np.isnan(rest), np.isnan(expected[1]))
    compare("highlight light", np.nan_to_num(data), np.nan_to_num(expected[0]), 1)
    compare("highlight light", np.nan_to_num(rest), np.nan_to_num(expected[1]), 1)
    compare("highlight light", light, expected[2])
    compare("highlight marks", d.pixels(doubt)[:rows, :cols], 1.0 * expected[3])
    assert expected[2][27:36, 45:55].sum(axis=(0, 1)).max() > 10
    assert expected[3].any()
    assert not expected[3][(y >= 1).any(axis=2)].all()


@pytest.mark.parametrize("k", [psf.disk(3), psf.motion(9, 30), psf.motion(15, 10), np.stack([psf.gaussian(s, 7) for s in (0.5, 1, 1.5)], axis=2)])
@pytest.mark.parametrize(("shape", "channels"), [((70, 133), 3), ((31, 29), 1), ((1, 130), 2)])
@pytest.mark.parametrize("lamp", [None, 8])
def test_highlight_hold(k, shape, channels, lamp):
    """Far beyond the input's range: held where something clipped is near, left elsewhere; unknown pixels do not count."""
    rng = np.random.default_rng(5)
    y = rng.uniform(0.3, 0.33, (*shape, channels)).astype(np.float32)
    y[:, ::6] += 0.1  # narrow structure
    y[0, :2, 0] = 1
    y[0, 9], y[0, 20:] = np.nan, np.inf
    x = rng.normal(0.35, 0.3, (*shape, channels)).astype(np.float32)
    d = _ops.Domain(shape[0] + 3, shape[1] + 5)
    struct, _psf = _ops.psf_struct(k.astype(np.float32))
    found = d.ffi.new("dcv_highlight *", d.lib.dcv_highlight_of(struct, 1.0, 0.004))
    picture_struct, _y = _ops.image_struct(np.pad(y, ((2, 0), (3, 0), (0, 0))))
    kept, planes = d.planes(x)
    scratch = d.ffi.gc(d.lib.dcv_alloc_floats(4 * d.fft.plane), d.lib.dcv_release)
    reached = np.zeros(shape, bool) if lamp is None else np.arange(shape[1]) < lamp + np.zeros(shape)
    marks = d.ffi.NULL if lamp is None else d.plane(1.0 * reached)
    d.lib.dcv_highlight_hold(found, d.fft, picture_struct, 3, 2, channels, shape[1], shape[0], marks, scratch, planes)
    expected = highlight.hold(exact(x), exact(y), k.astype(np.float32), 1.0, 0.004, reached)
    compare("highlight blend", d.stack(kept)[: shape[0], : shape[1]], expected, 1)
    changed = np.abs(expected - x) > 1e-6
    assert changed[:, :15].any()
    assert not changed[:, 120:].any()


@pytest.mark.parametrize("width", [4, 20])
def test_boundary_taper(width):
    """Data that fade towards the cuts of a tile: weights, and the filter; and the gap at a frame."""
    shape, data = (45, 36), (31, 24)
    d = _ops.Domain(*shape)
    weight = np.full(sum(shape), np.nan, np.float32)
    pointer = d.ffi.from_buffer("float[]", weight)
    d.lib.dcv_boundary_fade(data[1], shape[1], width, pointer)
    d.lib.dcv_boundary_fade(data[0], shape[0], width, pointer + shape[1])
    rows, cols = (boundary.fade(n, period, width) for n, period in zip(data, shape, strict=True))
    compare("boundary taper", weight, np.concatenate([cols, rows]))
    z, k = picture(shape, 1, 4, 1), fft.otf(psf.motion(7, 30), shape)
    notch, plane = d.plane(fft.forward(z[..., 0])), d.plane(z[..., 0])
    d.lib.dcv_boundary_notch(d.fft, d.plane(k), notch)
    d.lib.dcv_fft_inverse(d.fft, notch)
    d.lib.dcv_boundary_taper(d.fft, pointer, notch, plane)
    expected = boundary.taper(exact(z), k[..., None], (rows, cols))
    assert np.abs(expected - z).max() > 0.1
    compare("boundary taper", d.pixels(plane), expected[..., 0])
    plane = d.plane(z[..., 0])
    d.lib.dcv_boundary_clear_gap(d.fft, data[1], data[0], notch, plane)
    expected = boundary.taper(exact(z), k[..., None], [np.arange(period) < n for n, period in zip(data, shape, strict=True)])
    compare("boundary taper", d.pixels(plane), expected[..., 0])


@pytest.mark.parametrize("radius", [0, 1, 7, 63])
@pytest.mark.parametrize("halo", [0, 33, 400])
def test_boundary_widths(radius, halo):
    lib = _ops.load().lib
    assert lib.dcv_boundary_reach(radius) == boundary.reach(radius)
    gap = boundary.gap(radius, halo)
    assert lib.dcv_boundary_gap(radius, halo) == gap
    assert lib.dcv_boundary_edge(gap) == boundary.edge(gap)


@pytest.mark.parametrize("sigma", [0.002, 0.02])
@pytest.mark.parametrize(
    "k",
    [psf.gaussian(2, 13), psf.disk(3), psf.motion(9, 30), psf.normalise(np.tril(np.arange(1.0, 50).reshape(7, 7)))],
    ids=["gaussian", "disk", "motion", "lopsided"],
)
def test_halo(k, sigma):
    params = SimpleNamespace(rho=0.5, lam=0.1 / sigma**2, iterations=1)
    found = _ops.load().ffi.new("int *")
    struct, _kept = _ops.psf_struct(k.astype(np.float32))
    assert _ops.load().lib.dcv_halo_measure(struct, params.rho / params.lam, found) == 0
    compare("halo", found[0], admm.halo(k, params, most=256), 1)


@given(size=st.tuples(st.integers(1, 150), st.integers(1, 150)), halo=st.integers(0, 12), blend=st.integers(1, 8), channels=st.integers(1, 3))
@settings(max_examples=30)
def test_tiles(size, halo, blend, channels):
    """What tiles read is the picture; read and added, they give it back, where it is not below both 0 and the input."""
    lib, ffi = _ops.load().lib, _ops.load().ffi
    y = picture(size, 1, 3, channels) - np.float32(0.4)
    given = picture(size, 1, 4, channels) - np.float32(0.4)
    given[:: max(size[0] - 1, 1), 0] = np.nan
    floor, _given = _ops.image_struct(given)
    image, _y = _ops.image_struct(y)
    out, result = _ops.image_struct(np.zeros_like(y))
    tiling = ffi.new("dcv_tiling *")
    lib.dcv_tiling_choose(tiling, size[1], size[0], halo, blend, 16, 64, 1, 1, 1.5)
    d = _ops.Domain(tiling.transform_height, tiling.transform_width)
    ramp = ffi.new("float[]", tiling.transform_width + tiling.transform_height)
    for iy in range(tiling.tiles_y):
        for ix in range(tiling.tiles_x):
            tile = ffi.new("dcv_tile *", lib.dcv_tiling_at(tiling, ix, iy))
            kept, array = d.planes(np.full((d.rows, d.cols, channels), np.nan))
            lib.dcv_tile_load(image, tile, channels, d.fft, array)
            rows, cols = tile.y1 - tile.y0, tile.x1 - tile.x0
            assert rows <= d.rows
            assert cols <= d.cols
            compare("tile load", d.stack(kept)[:rows, :cols], y[tile.y0 : tile.y1, tile.x0 : tile.x1])
            lib.dcv_tile_add(tiling, ix, iy, channels, d.fft, array, ramp, floor, out)
    compare("tile add", result, solver.positive(exact(y), exact(given)))


def test_tiles_of_an_unreachable_size():
    """Tiles whose halo and gap leave no transform as short as asked for: the shortest possible, but no more tiles than that takes."""
    module = _ops.load()
    tiling = module.ffi.new("dcv_tiling *")
    module.lib.dcv_tiling_choose(tiling, 1774, 1342, 160, 8, 168, 512, 1, 1, 1.2)
    assert (tiling.transform_width, tiling.transform_height) == (640, 640)
    assert tiling.tiles_x * tiling.tiles_y < 100
