"""Behaviour of pyref.prototype that no recorded vector covers."""

import numpy as np
import pytest
from scipy.signal import convolve2d, correlate2d

from pyref import prototype


def scene(rows=33, cols=37, width=5, seed=0):
    """Smooth blurred picture in 0.1..0.9, its edge-padded copy and a smooth PSF."""
    rng = np.random.default_rng(seed)
    sharp = prototype.resize(rng.uniform(0.1, 0.9, (9, 10, 3)), (rows, cols))
    psf = prototype.normalise_kernel(rng.uniform(0.5, 1, (width, width, 3)))
    image = prototype.convolve(prototype.edge_pad(sharp, width // 2), psf, "valid")
    return image, prototype.edge_pad(image, width // 2), psf


WINDOW = (3, 30, 3, 34)


@pytest.mark.parametrize("repaired", [False, True])
def test_terms_at_a_small_lambda(repaired):
    """The recorded runs have lam = 1e4, which hides (u - ut); here it is written out."""
    f, u, k = scene()
    lam, eps, inside = 2.0, 1e-6, np.s_[2:-2, 2:-2]
    out = prototype.richardson_lucy_mm(f, u, k, WINDOW, iterations=1, lam=lam, blind=False,
                                       repaired_tv=repaired, dtype=np.float64)
    ut, u, f = u.copy(), u.copy(), f.copy()
    for _ in range(5):
        g, r, share = np.zeros_like(u), np.zeros_like(u), np.full_like(u, 2)
        for c in range(3):
            e = convolve2d(u[..., c], k[..., c], "valid") - f[..., c]
            g[..., c] = correlate2d(e, k[..., c], "full")
        mask = (g[inside] - f)**2 / (g[inside] + f)**2 / lam
        if repaired:
            share[1:-1, 1:-1] = 4
            div = prototype.tv(u, 2, 2, eps)[1]
            for norm in (1, 2):
                weights = 2 * np.multiply(*(prototype.tv(v, 2, norm, eps)[0] for v in (u, ut)))
                r[1:-1, 1:-1] += div[1:-1, 1:-1] / weights[1:-1, 1:-1]
        grad = r + lam * g + (u - ut) / share
        for c in range(3):
            u[..., c] -= 1e-3 * u[..., c].max() / np.abs(grad[..., c]).max() * grad[..., c]
            if repaired:
                f[..., c] -= (1e-3 * f[..., c].max() / np.abs(r[..., c]).max() / lam
                              * r[inside][..., c])
        u[inside] += mask * (f - u[inside])
    np.testing.assert_allclose(out.u_padded, u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(out.image, f, rtol=0, atol=1e-13)


@pytest.mark.parametrize("blind", [True, False])
def test_single_and_double_precision_agree(blind):
    out = {d: prototype.richardson_lucy_mm(*scene(), WINDOW, iterations=3, blind=blind,
                                           dtype=d) for d in (np.float32, np.float64)}
    for name in ("u", "u_padded", "psf", "image", "mask"):
        single, double = (getattr(out[d], name) for d in (np.float32, np.float64))
        assert (single.dtype, double.dtype) == (np.float32, np.float64)
        # 15 steps of rounding 6e-8 each, on values below 2
        np.testing.assert_allclose(single, double, rtol=0, atol=2e-5 if name == "mask" else 2e-6)


def test_inputs_are_left_alone():
    image, u, psf = scene()
    before = [a.copy() for a in (image, u, psf)]
    prototype.richardson_lucy_mm(image, u, psf, WINDOW, iterations=1, repaired_tv=True,
                                 dtype=np.float64)
    prototype.log_tv_mm(image, u, psf, eps=1e-3, tau=1e-3, iterations=1, dtype=np.float64)
    prototype.langer_mm(image, u, psf, WINDOW, iterations=5, dtype=np.float64)
    for a, b in zip((image, u, psf), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("width", "widths"), [
    (3, [3]), (7, [3, 5, 7]), (9, [3, 5, 7, 9]), (13, [3, 5, 7, 9, 13]),
    (15, [3, 5, 7, 11, 15])])
def test_pyramid_levels(width, widths):
    levels = prototype.pyramid_levels(width)
    assert [k for _, k in levels] == widths
    np.testing.assert_allclose([s for s, _ in levels],
                               [2 ** (-i / 2) for i in range(len(widths))][::-1])


@pytest.mark.parametrize(("given", "expected"), [
    ((4, 14, 2, 12), (3, 14, 2, 13)),   # even square: one row above, one column right
    ((4, 14, 2, 14), (4, 15, 3, 14)),   # wider than high
    ((4, 16, 2, 12), (5, 16, 2, 13)),   # higher than wide
    ((4, 13, 2, 13), (4, 13, 2, 13))])  # odd already
def test_level_window(given, expected):
    assert prototype.level_window(1, *given) == expected


def naive_log_tv(u, ut, eps, tau, neighbours):
    """Pixel by pixel, one channel, written from the table of differences."""
    rows, cols = u.shape

    def differences(v, i, j):
        inner_i, inner_j = 0 < i < rows - 1, 0 < j < cols - 1
        i2, j2 = (1 if i == 0 else i - 1), (1 if j == 0 else j - 1)
        c = v[i, j]
        if not inner_i and not inner_j:
            return [c - v[i2, j], c - v[i, j2]]
        if not inner_i:
            return [c - v[i2, j], c - (v[i, j - 1] + v[i, j + 1]) / 2]
        if not inner_j:
            return [c - v[i, j2], c - (v[i - 1, j] + v[i + 1, j]) / 2]
        if neighbours == 2:
            return [c - v[i - 1, j], c - v[i, j - 1]]
        if neighbours == 4:
            return [c - (v[i - 1, j] + v[i + 1, j]) / 2, c - (v[i, j - 1] + v[i, j + 1]) / 2]
        return [1.02301186 * c - 0.22698814 * (v[i - 1, j] + v[i + 1, j]),
                1.02301186 * c - 0.22698814 * (v[i, j - 1] + v[i, j + 1]),
                c - 0.15376483 * (v[i - 1, j - 1] + v[i + 1, j + 1]),
                c - 0.15376483 * (v[i - 1, j + 1] + v[i + 1, j - 1])]

    out = np.empty_like(u)
    for i in range(rows):
        for j in range(cols):
            d, t = differences(u, i, j), differences(ut, i, j)
            share = 4 if 0 < i < rows - 1 and 0 < j < cols - 1 else 2
            out[i, j] = (sum(d) / (sum(map(abs, d)) + 2 * eps)
                         / (sum(map(abs, t)) + 2 * eps + 2 * tau) / share)
    return out


@pytest.mark.parametrize("neighbours", [2, 4, 8])
def test_log_tv_term(neighbours):
    u, ut = np.random.default_rng(neighbours).uniform(size=(2, 6, 7, 1))
    expected = naive_log_tv(u[..., 0], ut[..., 0], 1e-3, 1e-2, neighbours)
    term = prototype.log_tv_term(u, ut, 1e-3, 1e-2, neighbours)[..., 0]
    np.testing.assert_allclose(term, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("neighbours", "wanted"), [(2, 0), (4, 0), (8, 1)])
def test_log_tv_of_a_constant(neighbours, wanted):
    """The 8-neighbour form penalises constants: a defect kept on record."""
    u = np.full((5, 6, 3), 0.5)
    term = prototype.log_tv_term(u, u, 1e-3, 1e-2, neighbours)
    assert np.all((term[1:-1, 1:-1] > 0) == wanted)
    assert np.all(term[0] == 0)


def test_log_tv_rejects_other_neighbourhoods():
    with pytest.raises(ValueError, match="neighbours"):
        prototype.log_tv_term(np.ones((4, 4, 3)), np.ones((4, 4, 3)), 1e-3, 1e-2, 6)


@pytest.mark.parametrize("blind", [True, False])
def test_log_tv_stops_on_a_small_decrease(blind):
    """With a huge eps the second round always falls short: 10 steps are done."""
    args = dict(eps=1e9, tau=1e-3, blind=blind, dtype=np.float64)
    stopped, _ = prototype.log_tv_mm(*scene(), iterations=50, **args)
    ten, _ = prototype.log_tv_mm(*scene(), iterations=10, stopping=False, **args)
    np.testing.assert_array_equal(stopped, ten)


@pytest.mark.parametrize("blind", [True, False])
def test_langer_rolls_back(blind):
    """When the rule fires, the state is that of one round before."""
    args = dict(blind=blind, step=0.05, dtype=np.float64)
    u, psf, trace = prototype.langer_mm(*scene(), WINDOW, iterations=500, **args)
    assert 10 < trace[-1][0] < 500
    before, psf_before, _ = prototype.langer_mm(
        *scene(), WINDOW, iterations=trace[-1][0] - 5, stopping=False, **args)
    np.testing.assert_array_equal(u, before)
    np.testing.assert_array_equal(psf, psf_before)


def test_langer_terms_at_a_small_lambda():
    """At the recorded lam = 1e4 the square of (ut - u) is below rounding."""
    f, u, k = scene()
    lam, step, p = 1e-4, 0.05, 4
    out, *_ = prototype.langer_mm(f, u, k, WINDOW, iterations=5, lam=lam, step=step, p=p,
                                  blind=False, stopping=False, dtype=np.float64)
    ut, u, part = u.copy(), u.copy(), np.s_[1:f.shape[0], 1:f.shape[1]]
    eps = prototype.langer_epsilon(ut, lam, p) / 2

    def wrong_tv(v):
        a = [v[i:i + f.shape[0] - 1, j:j + f.shape[1] - 1]
             for i, j in ((0, 1), (1, 0), (1, 2), (2, 1), (1, 1))]
        return np.sqrt((a[0] + a[3] + 2 * a[4])**2 + (a[1] + a[2] + 2 * a[4])**2 + eps**2)

    for _ in range(5):
        grad = np.zeros_like(u)
        for c in range(3):
            e = convolve2d(u[..., c], k[..., c], "valid") - f[..., c]
            grad[..., c] = correlate2d(e, k[..., c], "full")
        grad[part] += (wrong_tv(u) / wrong_tv(ut))**p / lam
        grad[:f.shape[0], :f.shape[1]] += ((ut - u)**2 / (4 * lam))[:f.shape[0], :f.shape[1]]
        u -= step * u.max() / np.abs(grad).max() * grad
    np.testing.assert_allclose(out, u, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("blind", "tau", "step"), [
    (True, 0.0, 3e-3), (True, 0.2, 3e-3), (False, 0.0, 3e-3), (False, 0.05, 3e-3),
    (False, 0.2, 3e-3), (False, 0.2, 0.05)])
def test_langer_stops_by_whiteness(blind, tau, step):
    """The first rise of M_r after 10 steps; not blind, beyond tau, or above the first."""
    args = dict(blind=blind, step=step, dtype=np.float64)
    *_, full = prototype.langer_mm(*scene(), WINDOW, iterations=100, stopping=False, **args)
    m_r = [row[1] for row in full]
    slack = 1 if blind else 1 + tau
    rises = [i for i in range(2, len(m_r)) if m_r[i] > slack * m_r[i - 1]
             or (not blind and m_r[i] > slack * m_r[0])]
    *_, trace = prototype.langer_mm(*scene(), WINDOW, iterations=100, tau=tau, **args)
    assert rises
    assert len(trace) == rises[0] + 1


def test_langer_energy_stop():
    """A flat picture stops after the first round, at its start value."""
    image, u, psf = (0.5 + 0.01 * scene()[0], 0.5 + 0.01 * scene()[1], scene()[2])
    out, psf_out, trace = prototype.langer_mm(image, u, psf, WINDOW, iterations=50,
                                              dtype=np.float64)
    assert len(trace) == 1
    np.testing.assert_array_equal(out, u)
    np.testing.assert_array_equal(psf_out, psf)


def test_psf_barely_moves():
    """The blind mode of HEAD estimates nothing: u is reset to f, k stays uniform."""
    image, u, psf = scene(width=7)
    start = prototype.uniform_psf(7)
    out = prototype.richardson_lucy_mm(image, u, start, WINDOW, iterations=20, blind=True)
    assert np.abs(out.psf - start).max() < 0.02 * np.abs(psf - start).max()


def picture(rows, cols, seed=1):
    rng = np.random.default_rng(seed)
    return np.rint(prototype.resize(rng.uniform(40, 220, (8, 8, 3)), (rows, cols)))


@pytest.mark.parametrize("shape", [(40, 47), (41, 46), (44, 44), (45, 45)])
def test_deblur_keeps_the_size(shape):
    out = prototype.deblur(picture(*shape), 3, mask_size=25, iterations=1)
    assert out.saved.shape == (*shape, 3)
    assert out.saved.dtype == np.uint16
    assert len(out.calls) == 2
    # gamma applied twice and taken back once: saved is near picture / 255
    np.testing.assert_allclose(out.saved / 65535, picture(*shape) / 255, atol=0.05)


def test_deblur_preview_and_motion():
    out = prototype.deblur(picture(61, 61), 5, mask_size=41, iterations=1, preview=True,
                           blur="motion", quality="high")
    assert out.saved.shape == (40, 40, 3)
    # defect: the pyramid goes on with the un-normalised PSF of the first step
    first = out.calls[0].result
    assert np.ptp(first.psf, axis=2).max() < 1e-7
    assert np.ptp(first.psf_caller, axis=2).max() > 1e-7


@pytest.mark.parametrize(("width", "extra", "message"), [
    (4, {}, "odd"), (1, {}, "odd"),
    (3, dict(mask=(5, 20)), "outside"), (3, dict(mask=(20, 36)), "outside")])
def test_deblur_refuses(width, extra, message):
    with pytest.raises(ValueError, match=message):
        prototype.deblur(picture(40, 40), width, mask_size=25, **extra)
