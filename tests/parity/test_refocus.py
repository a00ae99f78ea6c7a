# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring only where the PSF explains the blur: the core against pyref, regions against the whole, and what both are for."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

import dcv
from dcv import params
from dcv._core import ffi, image_struct, lib, psf_struct
from pyref import refocus
from tests.parity import _ops
from tests.parity.record import compare

SIGMA = 0.005


def textured(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """Sharp picture of overlapping rectangles and grain, (rows, cols, 3)."""
    rng = np.random.default_rng(seed)
    out = np.full((rows, cols, 3), 0.3)
    for _ in range(rows * cols // 60):
        y, x, h, w = rng.integers(0, rows), rng.integers(0, cols), rng.integers(3, 30), rng.integers(3, 30)
        out[y : y + h, x : x + w] = rng.uniform(0.05, 0.9, 3)
    return out


def blurred(sharp: np.ndarray, psf: np.ndarray) -> np.ndarray:
    n = psf.shape[0] // 2
    padded = np.pad(sharp, ((n, n), (n, n), (0, 0)), mode="symmetric")
    return np.stack([scipy.signal.fftconvolve(padded[..., c], psf, "valid") for c in range(3)], axis=-1)


def composite(psf: np.ndarray, rows: int = 160, cols: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(picture, sharp, mask): the left half blurred, the right half sharp."""
    sharp = textured(rows, cols)
    subject = np.arange(cols) < cols // 2
    noise = SIGMA * np.random.default_rng(1).normal(size=sharp.shape)
    return (np.where(subject[:, None], blurred(sharp, psf), sharp) + noise).astype(np.float32), sharp, np.broadcast_to(subject, (rows, cols))


PSFS = {"disk": dcv.psf.disk(3), "motion": dcv.psf.motion(9, 30), "Gaussian": dcv.psf.gaussian(1.5, 11)}
LOPSIDED = np.triu(np.outer(np.arange(1, 8), np.arange(7, 0, -1))).astype(np.float32)  # no symmetry hides the direction of a correlation
ALL = {**PSFS, "lopsided": LOPSIDED / LOPSIDED.sum()}


@pytest.mark.parametrize("psf", ALL.values(), ids=ALL)
def test_kernels_and_constants(psf):
    lib, ffi = _ops.load().lib, _ops.load().ffi
    own, fitted = refocus.bands(), refocus.matched(psf)
    struct, _psf = _ops.psf_struct(psf)
    bank = ffi.new("dcv_refocus_bank *")
    assert lib.dcv_refocus_bank_init(bank, struct) == 0
    assert bank.side == refocus.matched_side(psf) == fitted.shape[-1]
    for pointer, expected in ((bank.bands, own), (bank.matched, fitted)):
        found = np.frombuffer(ffi.buffer(pointer, 4 * expected.size), np.float32).reshape(expected.shape)
        compare("refocus kernels", found, expected)
        np.testing.assert_allclose(found.sum(axis=(-2, -1)), 0, atol=1e-6)
    g, more, noise, noise_m = refocus.constants(psf)
    compare("refocus constants", np.array(list(bank.g)), np.append(g, more[:3]))
    compare("refocus constants", np.array(list(bank.s)[36:]), more[3:])
    compare("refocus constants", np.array(list(bank.noise)), np.append(noise, noise_m))
    variance = refocus.variances(own).mean(axis=0)
    radii = np.append(np.tile(refocus.footprint(variance, variance.max()), 6), refocus.footprint(refocus.variances(fitted), variance.max()))
    assert list(bank.radii) == list(radii)
    assert radii.max() <= 5  # which the reach counts on
    assert lib.dcv_refocus_reach(psf.shape[0]) == refocus.reach(psf)
    lib.dcv_refocus_bank_clear(bank)


@pytest.mark.parametrize("psf", ALL.values(), ids=ALL)
@pytest.mark.parametrize("shape", [(160, 200), (61, 83), (1, 40), (700, 40)])
def test_parity(psf, shape):
    y = composite(psf, *shape)[0]
    with dcv.Plan(y, psf, channel_axis=-1, noise=SIGMA, gradient=0.1) as plan:
        restored, m = plan.execute(y, refocus=True), plan.map
        expected = refocus.subject(refocus.map_of(y.astype(float), psf.astype(float), SIGMA))
        compare("refocus map", m, expected, 1.0)
        prepared = refocus.prepare(y.astype(float), psf.astype(float), m.astype(float), SIGMA)
        compare("refocus blend", restored, refocus.blend(y.astype(float), plan.execute(prepared.astype(np.float32)), m))


def test_noise_is_that_of_the_window_and_gradient_also_that_of_the_subject():
    psf = PSFS["disk"]
    y, _, subject = composite(psf)
    y = y + np.where(subject[..., None], 0, 0.02 * np.random.default_rng(3).normal(size=y.shape)).astype(np.float32)  # grain
    left, across = (10, 20, 60, 100), (80, 20, 80, 100)
    measured, few = ("noise", "gradient", "edge"), {"channel_axis": -1, "iterations": 5, "planning": "estimate"}
    for window, given in ((left, {}), (left[:2] + (31, 100), {}), (across, {}), (None, {}), (left, {"gradient": 0.1}), (left, {"noise": 0.01}), (left, {"edge": 2.0})):
        with dcv.Plan(y, psf, **few, **given) as plan:
            noise, gradient, edge = (float(getattr(plan._params, name)) for name in measured)
            restored, m = plan.execute(y, refocus=True, window=window), plan.map
            used = plan.info
            prepared = refocus.prepare(y.astype(float), psf.astype(float), m.astype(float), noise).astype(np.float32)
            plan.execute(y)
            assert plan.info.noise == pytest.approx(noise)
        if window == left and "noise" not in given:
            with dcv.Plan(y[20:120, 10:70], psf, channel_axis=-1) as other:
                assert other.info.noise < 0.97 * noise
                noise = other.info.noise
        assert used.noise == pytest.approx(noise)
        if "gradient" not in given:
            with dcv.Plan(np.where(m[..., None] > 0.5, y, np.float32(np.nan)), psf, channel_axis=-1, noise=noise) as other:
                assert other._params.gradient < 0.9 * gradient
                gradient = (gradient * other._params.gradient) ** 0.5
                edge = given.get("edge", other._params.edge)
        with dcv.Plan(y, psf, **few, noise=noise, gradient=gradient, edge=edge or None) as other:
            compare("refocus blend", restored, refocus.blend(y.astype(float), other.execute(prepared), m))


WINDOWS = {"subject": (12, 30, 50, 60), "background": (130, 20, 50, 100), "half": (70, 40, 60, 70), "all": (0, 0, 200, 160), "a pixel": (60, 80, 1, 1)}


@pytest.mark.parametrize("psf", [PSFS["motion"], LOPSIDED / LOPSIDED.sum()], ids=["motion", "lopsided"])
def test_window_parity(psf):
    y = composite(psf)[0]
    e = refocus.evidence(y.astype(float), psf.astype(float), SIGMA)
    maps = [refocus.spread_from(e, window) for window in WINDOWS.values()]
    with dcv.Plan(y, psf, channel_axis=-1, noise=SIGMA, gradient=0.1) as plan:
        for window, m in zip(WINDOWS.values(), maps):
            plan.execute(y, refocus=True, window=window)
            compare("refocus map", plan.map, refocus.subject(m, window), 1.0)


@pytest.mark.parametrize(("seed", "doubt"), [(2, 0.9), (4, 0.6), (9, 0.3), (0, 0.0)])
def test_doubt_that_a_window_leaves(seed, doubt):
    """On evidence that needs another doubt each time: a faint subject, a fainter part of it, and a soft part of the background."""
    rng = np.random.default_rng(seed)
    e = np.full((150, 170), -2.0)
    e[20:110, 20:100] = rng.uniform(-0.2, 1.5)
    e[20:110, 60:100] -= rng.uniform(0, 1)
    e[90:140, 110:160] = rng.uniform(0, 2)
    e = (e + scipy.ndimage.gaussian_filter(rng.normal(size=e.shape), 3) * 4).astype(np.float32)
    window = (25, 30, 60, 70)
    expected = refocus.spread_from(e.astype(float), window)
    np.testing.assert_array_equal(expected, refocus.spread(e.astype(float), doubt))
    m = np.full(e.shape + (1,), np.nan, np.float32)
    parity = _ops.load()
    struct, held = _ops.image_struct(m)
    assert parity.lib.dcv_refocus_spread(parity.ffi.from_buffer("float[]", e), parity.ffi.new("int32_t[4]", window), 1, struct) == 0
    compare("refocus map", held[..., 0], expected, 1.0)


def subject(m: np.ndarray, window: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """By the core, on a map that lies in the first float of three."""
    held = np.full(m.shape + (3,), 0.5, np.float32)
    held[..., 0] = m
    assert lib.dcv_refocus_subject(image_struct(held), ffi.NULL if window is None else ffi.new("int32_t[4]", window)) == 0
    assert (held[..., 1:] == 0.5).all()
    return held[..., 0]


@pytest.mark.parametrize("window", [None, (60, 20, 12, 30), (20, 10, 40, 60)])
@pytest.mark.parametrize("level", [-9, 0, 0.05, 0.1])
def test_lesser_regions_go(level, window):
    field = scipy.ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(90, 140)), 7)
    m = np.clip(field / field.max() - level, 0, 1).astype(np.float32)
    kept = refocus.subject(m, window)
    np.testing.assert_array_equal(subject(m, window), kept)
    assert level < 0 or 0 < (kept > 0).sum() < (m > 0).sum()


def test_regions_meet_at_sides_and_need_a_size():
    m = np.zeros((40, 50), np.float32)
    m[:20, :25] = 1  # a quarter of the picture
    m[20:27, 25:] = 1  # 35 % of that: kept
    m[27, :25] = 1  # touches a corner only
    kept = m.copy()
    kept[27] = 0
    np.testing.assert_array_equal(subject(m), kept)
    m[20, 25] = 0
    kept[20:] = 0
    np.testing.assert_array_equal(subject(m), kept)
    for rows, stays in ((9, False), (10, True)):  # 5 % of all
        m = np.zeros((40, 50), np.float32)
        m[:rows, :10] = 1
        np.testing.assert_array_equal(subject(m), m if stays else 0)


def test_regions_that_meet_the_window_stay():
    m = np.zeros((40, 50), np.float32)
    m[:10, :20] = m[12:40, :20] = m[:, 30:40] = 1  # 10, 28 and 20 % of the picture
    for window, columns, rows in (((18, 5, 2, 5), slice(0, 20), slice(0, 10)), ((10, 9, 21, 1), slice(30, 40), slice(0, 40)), ((25, 0, 5, 40), slice(0), slice(0))):
        kept = np.zeros_like(m)
        kept[rows, columns] = 1
        if window[0] == 10:
            kept[:10, :20] = 1  # half of the other one that meets the window
        np.testing.assert_array_equal(subject(m, window), kept)
    np.testing.assert_array_equal(subject(m, (0, 0, 50, 40)), subject(m))
    m[:, 40:44] = 1  # now 66 % of the picture
    np.testing.assert_array_equal(subject(m, (18, 5, 2, 5)), m)
    m[:, 38:] = 0  # 54 %
    np.testing.assert_array_equal(subject(m, (45, 5, 2, 5)), 0)


def test_window_must_lie_inside():
    m = np.zeros((40, 50, 1), np.float32)
    for window in ((-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0), (46, 0, 5, 5), (0, 36, 5, 5)):
        assert lib.dcv_refocus_subject(image_struct(m), ffi.new("int32_t[4]", window)) == lib.DCV_ERROR_SIZE
        with pytest.raises(dcv.errors.SizeError, match="window"):
            dcv.deconvolve(m[..., 0], PSFS["disk"], noise=SIGMA, refocus=True, window=window)
    with pytest.raises(dcv.errors.ArgumentError, match="refocus"):
        dcv.deconvolve(m[..., 0], PSFS["disk"], noise=SIGMA, window=(0, 0, 5, 5))


def test_per_channel_grey_and_unknown_pixels():
    y = composite(PSFS["disk"])[0]
    planes = np.stack([np.pad(dcv.psf.disk(r), (4 - r) // 1) for r in (2, 3, 4)], axis=-1)
    with dcv.Plan(y, planes, channel_axis=-1, noise=SIGMA) as plan:
        plan.execute(y, refocus=True)
        compare("refocus map", plan.map, refocus.subject(refocus.map_of(y.astype(float), planes.astype(float), SIGMA)), 1.0)
    grey = y[..., 1].copy()
    grey[40:43, 50:52] = np.nan
    restored, m = dcv.deconvolve(grey, PSFS["disk"], noise=SIGMA, refocus=True, return_map=True)
    assert np.isfinite(restored).all()
    compare("refocus map", m, refocus.subject(refocus.map_of(grey[..., None].astype(float), PSFS["disk"].astype(float), SIGMA)), 1.0)


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_background_stays_and_subject_gains(psf):
    y, sharp, subject = composite(psf)
    restored, m = dcv.deconvolve(y, psf, channel_axis=-1, noise=SIGMA, refocus=True, return_map=True)
    assert m.min() >= 0 and m.max() <= 1
    far = np.abs(np.arange(y.shape[1]) - y.shape[1] // 2) > 10
    behind, before = ~subject & far, subject & far
    assert -10 * np.log10(np.mean(np.square(restored - y)[behind]) + 1e-12) > 45
    full = dcv.deconvolve((blurred(sharp, psf) + SIGMA * np.random.default_rng(1).normal(size=y.shape)).astype(np.float32), psf, channel_axis=-1, noise=SIGMA)

    def psnr(a):
        return -10 * np.log10(np.mean(np.square(a - sharp)[before]))

    assert psnr(restored) - psnr(y) > 0.8 * (psnr(full) - psnr(y))


@pytest.mark.parametrize("psf", PSFS.values(), ids=PSFS)
def test_sharp_picture_stays(psf):
    sharp = textured(150, 170)
    y = (sharp + SIGMA * np.random.default_rng(1).normal(size=sharp.shape)).astype(np.float32)
    restored = dcv.deconvolve(y, psf, channel_axis=-1, noise=SIGMA, refocus=True)
    assert -10 * np.log10(np.mean(np.square(restored - y)) + 1e-12) > 45


def test_threads_and_regions():
    psf = PSFS["disk"]
    y = composite(psf, 520, 700)[0]
    mapped = {"channel_axis": -1, "noise": SIGMA, "iterations": 1, "refocus": True, "return_map": True}
    whole = [dcv.deconvolve(y, psf, threads=n, **mapped)[1] for n in (1, 2)]
    np.testing.assert_array_equal(*whole)
    reach = refocus.reach(psf)
    part = y[: 200 + reach, 300 - reach : 420 + reach]
    m = dcv.deconvolve(part, psf, **mapped)[1]
    np.testing.assert_allclose(m[:200, reach:-reach], whole[0][:200, 300:420], atol=2e-5)


@pytest.mark.parametrize("n", [1, 7, 33])
def test_halo_is_that_of_all_steps(n):
    values = params.make(channels=3, noise=SIGMA, gradient=0.1)
    planes, halo, both = np.full((1, n, n), 1 / n**2, np.float32), ffi.new("int32_t *"), ffi.new("int32_t *")
    psf = psf_struct(planes)
    assert lib.dcv_halo(values, psf, halo) == lib.dcv_refocus_halo(values, psf, both) == 0
    assert both[0] - halo[0] >= refocus.reach(np.empty((n, n))) + n // 2, "the map's reach, and the blur's"
    assert both[0] - halo[0] <= 250 + 3 * n, "as dcv.h says"


def test_threads_with_a_window():
    y = composite(PSFS["disk"])[0]
    given = {"channel_axis": -1, "noise": SIGMA, "refocus": True, "window": (30, 40, 60, 70), "return_map": True}
    np.testing.assert_array_equal(*(dcv.deconvolve(y, PSFS["disk"], threads=n, **given)[1] for n in (1, 2)))


def test_map_needs_refocus():
    with pytest.raises(dcv.errors.ArgumentError, match="refocus"):
        dcv.deconvolve(np.zeros((20, 20), np.float32), PSFS["disk"], return_map=True)
