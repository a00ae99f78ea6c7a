# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoration from Python: types, layouts, errors, cancelling. How good it is, is tested elsewhere; here a gain is enough."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

import dcv

SIGMA = 0.004


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    return dcv.from_srgb(skimage.data.astronaut()[:120, 140:300])


@pytest.fixture(scope="module")
def psf() -> np.ndarray:
    return dcv.psf.disk(2)


@pytest.fixture(scope="module")
def blurred(sharp: np.ndarray, psf: np.ndarray) -> np.ndarray:
    soft = np.stack([scipy.ndimage.convolve(sharp[:, :, c], psf, mode="mirror") for c in range(3)], axis=-1)
    return (soft + SIGMA * np.random.default_rng(1).normal(size=soft.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def restored(blurred: np.ndarray, psf: np.ndarray) -> np.ndarray:
    return dcv.deconvolve(blurred, psf, channel_axis=-1)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a - b))))


def test_restores(sharp: np.ndarray, blurred: np.ndarray, restored: np.ndarray) -> None:
    # 3 dB: more than chance, less than is within reach.
    assert error(restored, sharp) < 0.7 * error(blurred, sharp)
    assert restored.dtype == np.float32
    assert restored.shape == blurred.shape


def test_input_is_left_alone(blurred: np.ndarray, psf: np.ndarray) -> None:
    picture, kernel = blurred.copy(), psf.copy()
    picture.flags.writeable = kernel.flags.writeable = False
    dcv.deconvolve(picture, kernel, channel_axis=-1)
    assert np.array_equal(picture, blurred)
    assert np.array_equal(kernel, psf)


def test_double_precision_comes_back(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    result = dcv.deconvolve(blurred.astype(np.float64), psf, channel_axis=-1)
    assert result.dtype == np.float64
    assert np.array_equal(result, restored)


@pytest.mark.parametrize(
    "layout",
    [
        lambda a: a[::-1][::-1].copy()[::-1][::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
        lambda a: np.dstack([a, a[:, :, :1]])[:, :, :3],
        lambda a: np.pad(a, ((2, 3), (4, 5), (0, 0)))[2:-3, 4:-5],
        lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda a: a.astype(">f4"),
        lambda a: np.frombuffer(b"x" + a.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(a.shape),
    ],
    ids=["negative twice", "columns first", "negative strides", "RGB of RGBA", "inner part", "steps", "big-endian", "unaligned"],
)
def test_memory_layout_does_not_matter(layout, blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    view = layout(blurred)
    assert np.array_equal(view, blurred)
    assert np.array_equal(dcv.deconvolve(view, psf, channel_axis=-1), restored)


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
def test_channel_axis(axis: int, blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    result = dcv.deconvolve(np.moveaxis(blurred, -1, axis), psf, channel_axis=axis)
    assert np.array_equal(np.moveaxis(result, axis, -1), restored)


def test_gray_is_one_channel(blurred: np.ndarray, psf: np.ndarray) -> None:
    gray = blurred.mean(axis=2)
    result = dcv.deconvolve(gray, psf)
    assert result.shape == gray.shape
    assert np.array_equal(dcv.deconvolve(gray[:, :, None], psf, channel_axis=-1)[:, :, 0], result)


def test_alpha_is_copied(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    alpha = np.random.default_rng(2).random(blurred.shape[:2], dtype=np.float32)
    result = dcv.deconvolve(np.dstack([blurred, alpha]), psf, channel_axis=-1)
    assert np.array_equal(result[:, :, :3], restored)
    assert np.array_equal(result[:, :, 3], alpha)
    gray = blurred[:, :, 1]
    pair = dcv.deconvolve(np.dstack([gray, alpha]), psf, channel_axis=-1)
    assert np.array_equal(pair[:, :, 0], dcv.deconvolve(gray, psf))
    assert np.array_equal(pair[:, :, 1], alpha)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_out(dtype: type, blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    room = np.full((blurred.shape[0] + 2, blurred.shape[1] + 2, 3), 7, dtype)
    out = room[1:-1, 1:-1]
    assert dcv.deconvolve(blurred, psf, channel_axis=-1, out=out) is out
    assert np.array_equal(out, restored)
    room[1:-1, 1:-1] = 7
    assert (room == 7).all(), "written beside out"


def test_out_of_another_axis_order(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    out = np.empty((3, *blurred.shape[:2]), np.float32)
    dcv.deconvolve(np.moveaxis(blurred, -1, 0), psf, channel_axis=0, out=out)
    assert np.array_equal(np.moveaxis(out, 0, -1), restored)


def test_unusable_out(blurred: np.ndarray, psf: np.ndarray) -> None:
    frozen = np.empty_like(blurred)
    frozen.flags.writeable = False
    for out, kind in [(blurred[:-1], ValueError), (frozen, ValueError), (blurred, ValueError), (np.zeros(blurred.shape, int), TypeError)]:
        with pytest.raises(kind) as caught:
            dcv.deconvolve(blurred, psf, channel_axis=-1, out=out)
        assert isinstance(caught.value, dcv.DcvError)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, bool, np.float16, np.complex64, object])
def test_other_types_are_refused_with_advice(dtype: type, psf: np.ndarray) -> None:
    with pytest.raises(dcv.errors.PixelTypeError, match="float32") as caught:
        dcv.deconvolve(np.ones((40, 40), dtype), psf)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("shape", [(), (5,), (40, 40, 3), (2, 40, 40, 3), (0, 40), (40, 0)])
def test_shapes_without_channel_axis(shape: tuple[int, ...], psf: np.ndarray) -> None:
    with pytest.raises(dcv.errors.SizeError):
        dcv.deconvolve(np.ones(shape, np.float32), psf)


def test_forgotten_channel_axis_is_named(blurred: np.ndarray, psf: np.ndarray) -> None:
    with pytest.raises(ValueError, match="channel_axis=-1"):
        dcv.deconvolve(blurred, psf)


@pytest.mark.parametrize(("shape", "axis"), [((40, 40), -1), ((40, 40, 5), -1), ((40, 40, 3), 3), ((40, 40, 3), 0)])
def test_wrong_channel_axis(shape: tuple[int, ...], axis: int, psf: np.ndarray) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - SizeError or ArgumentError, both with a text of their own
        dcv.deconvolve(np.ones(shape, np.float32), psf, channel_axis=axis)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (np.ones((4, 4)), "odd"),
        (np.ones((3, 5)), "shape"),
        (np.ones(9), "shape"),
        (np.ones((3, 3, 2)), "shape"),
        (np.full((3, 3), -1.0), "negative"),
        (np.eye(3) - 0.01, "negative"),
        (np.zeros((3, 3)), "positive sum"),
        (np.full((3, 3), np.nan), "finite"),
        (np.full((3, 3), np.inf), "finite"),
        (np.ones((129, 129)), "127"),
        (np.ones((3, 3), complex), "real"),
        (np.dstack([np.eye(3), np.eye(3), np.zeros((3, 3))]), "positive sum"),
    ],
)
def test_unusable_psf(bad: np.ndarray, text: str, blurred: np.ndarray) -> None:
    with pytest.raises(dcv.errors.PsfError, match=text) as caught:
        dcv.deconvolve(blurred, bad, channel_axis=-1)
    assert isinstance(caught.value, ValueError)


def test_psf_of_three_planes(sharp: np.ndarray, blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    assert np.array_equal(dcv.deconvolve(blurred, np.dstack([psf] * 3), channel_axis=-1), restored)  # equal planes are one shared PSF
    # Colours cannot be turned into luminance and chroma with a PSF for each, so the result is as good, but not the same.
    similar = dcv.deconvolve(blurred, np.dstack([psf, psf, dcv.psf.disk(2.01, psf.shape[0])]), channel_axis=-1)
    assert not np.array_equal(similar, restored)
    assert error(similar, sharp) < 1.1 * error(restored, sharp)
    with pytest.raises(dcv.errors.PsfError, match="gray"):
        dcv.deconvolve(blurred[:, :, 0], np.dstack([psf] * 3))


def test_scale_of_the_psf_does_not_matter(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    # The sum is rounded to float32 once more, which moves results by a few units in the last place, amplified by the inverse filter.
    assert np.abs(dcv.deconvolve(blurred, 7 * psf.astype(np.float64), channel_axis=-1) - restored).max() < 1e-3


def test_unknown_pixels_come_back_finite(blurred: np.ndarray, psf: np.ndarray) -> None:
    holes = blurred.copy()
    holes[10:14, 20:25] = np.nan
    holes[60, 70, 1] = np.inf
    with dcv.Plan(holes, psf, channel_axis=-1) as plan:
        assert np.isfinite(plan.execute(holes)).all()
        assert plan.result.unknown_pixels == 21
    with pytest.raises(dcv.errors.DataError):
        dcv.deconvolve(np.full_like(blurred, np.nan), psf, channel_axis=-1)


def test_masked_pixels_are_unknown(blurred: np.ndarray, psf: np.ndarray) -> None:
    mask = np.zeros(blurred.shape, bool)
    mask[10:14, 20:25] = True
    masked = np.ma.masked_array(blurred, mask)
    assert np.array_equal(dcv.deconvolve(masked, psf, channel_axis=-1), dcv.deconvolve(np.where(mask, np.nan, blurred), psf, channel_axis=-1))
    assert np.array_equal(masked.mask, mask)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))
def test_any_small_size(height: int, width: int, channels: int) -> None:
    picture = np.random.default_rng(height * 100 + width).random((height, width, channels), dtype=np.float32)
    result = dcv.deconvolve(picture, dcv.psf.gaussian(0.8, 5), channel_axis=-1, noise=0.02, planning="estimate")
    assert result.shape == picture.shape
    assert np.isfinite(result).all()


# ---- plans ---------------------------------------------------------------------------------------------------------------------------


def test_plan_is_the_same_and_can_be_used_again(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    with dcv.Plan(blurred, psf, channel_axis=-1) as plan:
        for _ in range(2):
            assert np.array_equal(plan.execute(blurred), restored)
        assert (plan.info.height, plan.info.width) == blurred.shape[:2]
        assert plan.info.noise == pytest.approx(SIGMA, rel=0.5)
        assert plan.info.bytes > 0
        assert plan.result.iterations == plan.info.iterations
    with pytest.raises(dcv.DcvError, match="closed"):
        plan.execute(blurred)
    plan.close()


def test_plan_for_another_size(blurred: np.ndarray, psf: np.ndarray) -> None:
    with dcv.Plan(blurred, psf, channel_axis=-1, shape=(50, 60)) as plan:
        assert plan.execute(blurred[:50, :60]).shape == (50, 60, 3)
        with pytest.raises(dcv.errors.SizeError, match="60 x 50"):
            plan.execute(blurred)
        with pytest.raises(dcv.errors.SizeError):
            plan.execute(np.dstack([blurred[:50, :60], blurred[:50, :60, :1]]))


def test_plans_work_in_parallel(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    results: list[np.ndarray] = []
    work = [threading.Thread(target=lambda: results.append(dcv.deconvolve(blurred, psf, channel_axis=-1))) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, restored) for result in results)


def test_one_plan_in_several_threads_waits(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    results: list[np.ndarray] = []
    with dcv.Plan(blurred, psf, channel_axis=-1) as plan:
        work = [threading.Thread(target=lambda: results.append(plan.execute(blurred))) for _ in range(4)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, restored) for result in results)


def test_number_of_threads_does_not_matter(blurred: np.ndarray, psf: np.ndarray, restored: np.ndarray) -> None:
    for threads in (1, 2, 3):
        assert np.array_equal(dcv.deconvolve(blurred, psf, channel_axis=-1, threads=threads), restored)


def test_the_interpreter_runs_meanwhile(blurred: np.ndarray, psf: np.ndarray) -> None:
    big = np.tile(blurred, (6, 4, 1))
    ticks = 0
    done = threading.Event()

    def work() -> None:
        dcv.deconvolve(big, psf, channel_axis=-1, threads=1, planning="estimate")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.wait(0.001):
        ticks += 1
    thread.join()
    # A call that held the interpreter would let this loop turn once or twice.
    assert ticks > 5


# ---- callbacks -----------------------------------------------------------------------------------------------------------------------


def test_progress_rises_to_one(blurred: np.ndarray, psf: np.ndarray) -> None:
    seen: list[float] = []
    dcv.deconvolve(blurred, psf, channel_axis=-1, progress=seen.append)
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_exception_in_progress_cancels_and_is_passed_on(kind: type[BaseException], blurred: np.ndarray, psf: np.ndarray) -> None:
    calls = 0

    def stop(_fraction: float) -> None:
        nonlocal calls
        calls += 1
        raise kind

    with dcv.Plan(blurred, psf, channel_axis=-1) as plan:
        with pytest.raises(kind):
            plan.execute(blurred, progress=stop)
        assert calls == 1, "called again after it had failed"
        assert np.isfinite(plan.execute(blurred)).all(), "the plan is usable afterwards"


def test_srgb_there_and_back() -> None:
    codes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(np.rint(255 * dcv.to_srgb(dcv.from_srgb(codes))), codes)
    assert dcv.from_srgb(np.uint16([65535]))[0] == 1
    # IEC 61966-2-1: code 0.5 is 0.2140 of white; the curve is odd about 0.
    assert dcv.from_srgb(np.array([0.5, -0.5])) == pytest.approx([0.21404, -0.21404], abs=1e-5)
    with pytest.raises(TypeError):
        dcv.to_srgb(codes)
    with pytest.raises(TypeError):
        dcv.from_srgb(codes.astype(np.int64))
