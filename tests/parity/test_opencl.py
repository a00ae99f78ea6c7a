# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenCL backend against the CPU, on the first device found (PoCL serves): whole path, pictures on the device, failures, cancelling, leaks, locale."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.parity import _opencl
from tests.parity.record import compare

ARGUMENT, MEMORY, CANCELLED, DATA, BACKEND = 1, 4, 5, 9, 10


@pytest.fixture(autouse=True, scope="module")
def library() -> None:
    if _opencl.load() is None:
        pytest.skip("the library was built without OpenCL (-Dopencl)")
    if _opencl.load().lib.dcv_devices(_opencl.load().ffi.NULL, 0) == 0:
        pytest.skip("no OpenCL platform here (PoCL would do)")


def psf_of(size: int, *, channels: int | None = None) -> np.ndarray:
    r = np.arange(size) - size // 2
    shapes = [np.exp(-(r[:, None] ** 2 + (r[None, :] + c) ** 2) / (2 * (size / 6) ** 2)) for c in range(channels or 1)]
    planes = np.stack([s / s.sum() for s in shapes], -1).astype(np.float32)
    return planes if channels else planes[..., 0]


def scene(rows: int, cols: int, channels: int = 3) -> np.ndarray:
    """Edges, a gradient and noise, 0 to 1."""
    rng = np.random.default_rng(5)
    i, j = np.mgrid[:rows, :cols]
    base = 0.4 + 0.3 * np.sign(np.sin(i / 9.0) * np.cos(j / 13.0)) + 0.2 * j / cols
    return (base[..., None] * np.linspace(1, 0.6, channels) + 0.003 * rng.standard_normal((rows, cols, channels))).astype(np.float32)


def with_holes(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[20:60, 30:45] = np.nan
    y[90, 10:100, 0] = np.inf
    return y


def with_lamp(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[40:46, 100:108] = 1
    return np.minimum(y, 1)


CASES = {
    "plain": (scene(140, 180), psf_of(9), {}),
    "tiles": (scene(200, 260), psf_of(9), {"tile": 160, "halo": 16}),
    "inner tiles": (scene(200, 260), np.full((9, 9), 1 / 81, np.float32), {"tile": 96, "halo": 16}),  # tapered
    "inner tiles with holes": (with_holes(scene(200, 260)), psf_of(7, channels=3), {"tile": 96, "halo": 8}),
    "gray": (scene(129, 131, 1), psf_of(7), {}),
    "two channels": (scene(100, 90, 2), psf_of(5), {}),
    "psf per channel": (scene(120, 100), psf_of(7, channels=3), {}),
    "holes": (with_holes(scene(150, 190)), psf_of(7), {"tile": 128, "halo": 16}),
    "clipped": (scene(150, 190), psf_of(7), {"saturation": 0.85}),
    "lamp": (with_lamp(0.2 * scene(150, 190)), psf_of(7), {"saturation": 0.99}),
    "denoise": (scene(150, 190), psf_of(7), {"priority": -0.7, "tile": 128}),
    "denoise, psf per channel": (scene(120, 100), psf_of(7, channels=3), {"priority": -1.0}),
    "one iteration": (scene(60, 70), psf_of(5), {"iterations": 1}),
    "small": (scene(1, 3), psf_of(5), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_same_picture_as_the_cpu(name: str) -> None:
    y, psf, values = CASES[name]
    expected, cpu = _opencl.restore(y, psf, opencl=False, **values)
    actual, device = _opencl.restore(y, psf, opencl=True, **values)
    assert (cpu.status, device.status) == (0, 0)
    assert (cpu.tiles, cpu.unknown, cpu.clipped) == (device.tiles, device.unknown, device.clipped)
    assert np.abs(expected - np.where(np.isfinite(y), y, 0)).max() > 1e-3  # something happened
    compare("opencl", actual, expected)


def test_deterministic() -> None:
    y, psf, values = CASES["tiles"]
    assert np.array_equal(*(_opencl.restore(y, psf, opencl=True, **values)[0] for _ in range(2)))


@pytest.mark.parametrize(("values", "reason"), [({"device": 31}, "no OpenCL device of this number"), ({"solver": 1}, "admm")])
def test_refusals_have_a_reason(values: dict[str, int], reason: str) -> None:
    _, answer = _opencl.restore(scene(40, 40), psf_of(5), opencl=True, **values)
    assert answer.create_status == BACKEND
    assert reason in _opencl.load().ffi.string(answer.message).decode()


@pytest.mark.parametrize("name", ["tiles", "holes", "lamp"])
def test_batches_and_memory_do_not_change_the_picture(name: str) -> None:
    y, psf, values = CASES[name]
    y, values = np.concatenate([y] * 3, axis=1), values | {"tile": 96, "halo": 16}
    alone, one = _opencl.restore(y, psf, opencl=True, batch=1, **values)
    together, many = _opencl.restore(y, psf, opencl=True, batch=100, **values)
    limit = (one.bytes + many.bytes) // 2 >> 20
    limited, few = _opencl.restore(y, psf, opencl=True, batch=100, device_memory=limit, **values)
    assert (one.status, many.status, few.status) == (0, 0, 0)
    assert one.batch == 1 < few.batch < many.batch
    assert few.bytes <= limit << 20 < many.bytes
    assert np.array_equal(alone, together) and np.array_equal(alone, limited)


def test_less_memory_than_a_tile_takes_smaller_tiles() -> None:
    y, psf, values = scene(200, 260), psf_of(9), {"halo": 16, "tile": 320}
    whole, one = _opencl.restore(y, psf, opencl=True, **values)
    parts, many = _opencl.restore(y, psf, opencl=True, device_memory=4, **values)
    assert (one.status, many.status) == (0, 0) and one.tiles < many.tiles
    assert many.bytes <= 4 << 20 < one.bytes
    compare("opencl tiles", parts[20:-20, 20:-20], whole[20:-20, 20:-20])


def test_a_device_without_room_is_refused() -> None:
    out, answer = _opencl.restore(scene(300, 400), psf_of(9), opencl=True, device_memory=1)
    assert answer.create_status == MEMORY and (out == 7).all()
    assert "needed, 1 offered" in _opencl.load().ffi.string(answer.message).decode()


def test_cancelled_between_iterations_leaves_a_copy() -> None:
    y, psf, values = CASES["tiles"]
    _, whole = _opencl.restore(y, psf, opencl=True, **values)
    assert whole.asked == whole.tiles * 7  # before a tile, after each iteration
    assert (whole.falls, whole.progress) == (0, 1) and whole.reports >= whole.tiles * 6
    for at in (1, 2, 5, 7, 8, whole.asked):
        out, answer = _opencl.restore(y, psf, opencl=True, cancel_at=at, **values)
        assert (answer.status, answer.asked) == (CANCELLED, at)
        assert np.array_equal(out, y)


def kept_programs() -> bytes:
    module = _opencl.load()
    size = module.ffi.new("size_t *")
    data = module.lib.dcv_devices_cache_export(size)
    kept = bytes(module.ffi.buffer(data, size[0]))
    module.lib.dcv_free(data)
    return kept


def test_damaged_programs_are_refused() -> None:
    _opencl.restore(scene(20, 20), psf_of(3), opencl=True)
    kept, add = kept_programs(), _opencl.load().lib.dcv_devices_cache_import
    assert add(kept, len(kept)) == 0
    damaged = [kept[:n] for n in (0, 7, 20, len(kept) // 2, len(kept) - 1)]
    for at in (0, 8, 16, 24, 40, len(kept) // 2, len(kept) - 1):  # format; key, length and sum of the first; its bytes
        damaged.append(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
    assert all(add(data, len(data)) == ARGUMENT for data in damaged)
    assert kept_programs() == kept


PROGRAMS_SCRIPT = """
import pathlib, struct, sys
from tests.parity import test_opencl as t
file, mode = pathlib.Path(sys.argv[1]), sys.argv[2]
add = t._opencl.load().lib.dcv_devices_cache_import

def hashed(state, data):
    for byte in data:
        state = (state ^ byte) * 1099511628211 % 2**64
    return state

def nonsense(data):  # the same keys with other bytes, and sums that agree
    at, out = 8, data[:8]
    while at < len(data):
        key, size = struct.unpack_from("<QQ", data, at)
        head = struct.pack("<QQ", key, 5)
        out += head + struct.pack("<Q", hashed(hashed(14695981039346656037, head), b"bytes")) + b"bytes"
        at += 24 + size
    return out

data = file.read_bytes() if file.exists() else b""
data = nonsense(data) if mode == "nonsense" else data
if data:
    assert add(data, len(data)) == 0
out, answer = t._opencl.restore(*t.CASES["small"][:2], opencl=True)
assert answer.status == 0, answer.status
programs = t.kept_programs()
file.write_bytes(programs)
sys.stdout.buffer.write(out.tobytes() + b"%d" % answer.calls)
"""


@pytest.mark.slow  # compiles everything twice
def test_programs_serve_the_next_process(tmp_path: Path, root: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(root)}
    outputs, files = [], []
    for mode in ("fresh", "kept", "nonsense"):
        done = subprocess.run([sys.executable, "-c", PROGRAMS_SCRIPT, tmp_path / "programs", mode], env=env, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
        files.append((tmp_path / "programs").read_bytes())
    pixels = [output[: 3 * 3 * 4] for output in outputs]
    assert pixels[0] == pixels[1] == pixels[2]
    calls = [int(output[3 * 3 * 4 :]) for output in outputs]
    assert calls[0] == calls[1] < calls[2]  # compiling instead of loading; nonsense costs a call for each program
    assert files[0] == files[1] and len(files[2]) > len(files[0]) / 2  # nonsense is replaced


def test_nothing_finite() -> None:
    y = np.full((30, 40, 3), np.nan, np.float32)
    out, answer = _opencl.restore(y, psf_of(5), opencl=True)
    assert answer.status == DATA and np.isnan(out).all()


def test_any_failing_call_gives_a_status_and_no_picture() -> None:
    y, psf, values = scene(48, 56), psf_of(3), {"iterations": 2}
    _opencl.restore(y, psf, opencl=True, **values)
    expected, whole = _opencl.restore(y, psf, opencl=True, **values)
    fresh, recovered = 24, 0  # the first calls only happen before anything is kept ready
    for n in [*range(1, fresh), *range(fresh, whole.calls + 1, max(1, whole.calls // 60)), whole.calls]:
        if n < fresh:
            _opencl.load().lib.dcv_devices_release()
        out, answer = _opencl.restore(y, psf, opencl=True, fail_at=n, **values)
        assert answer.status in (0, BACKEND), n
        if answer.status == 0:  # a program was compiled again instead of loaded
            recovered += 1
            assert np.array_equal(out, expected), n
            continue
        assert _opencl.load().ffi.string(answer.message), n
        assert answer.create_status or (answer.warnings == 1 and np.array_equal(out, y)), n
        again, answer = _opencl.restore(y, psf, opencl=True, **values)
        assert answer.status == 0 and np.array_equal(again, expected), n
    assert recovered > 0


def test_plans_leave_nothing_behind() -> None:
    y, psf = scene(32, 32, 1), psf_of(3)

    def memory() -> int:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()

    for _ in range(10):
        _opencl.restore(y, psf, opencl=True, iterations=1)
    before = memory()
    for _ in range(80):
        _opencl.restore(y, psf, opencl=True, iterations=1)
    assert memory() - before < 2e6  # a plan of this size holds 0.5 MB; measured: nothing


@pytest.mark.parametrize("kind", ["buffer", "image"])
def test_pictures_on_the_device(kind: str) -> None:
    cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")
    y, psf, values = with_holes(scene(150, 190)), psf_of(7), {"saturation": 0.9, "tile": 128, "halo": 16}
    expected, cpu = _opencl.restore(y, psf, opencl=False, **values)
    rgba = np.dstack([y, np.linspace(0, 1, y[..., 0].size, dtype=np.float32).reshape(y.shape[:2])]).copy()
    context = cl.Context(cl.get_platforms()[0].get_devices()[:1])
    queue = cl.CommandQueue(context)
    if kind == "buffer":
        source = cl.Buffer(context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=rgba)
        target = cl.Buffer(context, cl.mem_flags.READ_WRITE, rgba.nbytes)
    else:
        source, target = (cl.create_image(context, cl.mem_flags.READ_WRITE, cl.ImageFormat(cl.channel_order.RGBA, cl.channel_type.FLOAT), rgba.shape[1::-1])
                          for _ in range(2))  # fmt: skip
        cl.enqueue_copy(queue, source, rgba, origin=(0, 0), region=rgba.shape[1::-1])
    handles = [context.int_ptr, context.devices[0].int_ptr, queue.int_ptr]
    references = context.reference_count  # each object made in it holds one
    answer = _opencl.restore_there(y.shape, source.int_ptr, target.int_ptr, psf, handles, **values)
    _opencl.load().lib.dcv_devices_release()
    for _ in range(100):  # PoCL's own threads let go of finished commands a little later
        if context.reference_count == references:
            break
        time.sleep(0.05)
    assert context.reference_count == references
    assert (answer.status, answer.unknown, answer.clipped, answer.tiles) == (0, cpu.unknown, cpu.clipped, cpu.tiles)
    out = np.empty_like(rgba)
    if kind == "buffer":
        cl.enqueue_copy(queue, out, target)
    else:
        cl.enqueue_copy(queue, out, target, origin=(0, 0), region=rgba.shape[1::-1])
    queue.finish()
    compare("opencl", out[..., :3], expected)
    assert np.array_equal(out[..., 3], rgba[..., 3])


def blurred(side: int, psf: np.ndarray) -> np.ndarray:
    """Discs and bars, blurred, with a little noise."""
    rng, margin = np.random.default_rng(2), len(psf) // 2
    i, j = np.mgrid[: side + 2 * margin, : side + 2 * margin]
    sharp = np.full(i.shape, 0.3)
    for row, col, radius, level in zip(*rng.uniform(0, len(i), (2, 60)), rng.uniform(4, 16, 60), rng.uniform(0, 1, 60), strict=True):
        sharp[np.hypot(i - row, j - col) < radius] = level
        sharp[(np.abs(i - col) < radius / 3) & (np.abs(j - row) < 1.5 * radius)] = 1 - level
    windows = np.lib.stride_tricks.sliding_window_view(sharp, psf.shape)
    return np.einsum("ijkl,kl", windows, psf[::-1, ::-1]) + 0.002 * rng.standard_normal((side, side))


@pytest.fixture(scope="module")
def shaken() -> np.ndarray:
    psf = np.zeros((9, 9))
    psf[[2, 3, 4, 4, 5, 6], [2, 2, 3, 4, 5, 5]] = [1, 1, 2, 2, 1, 1]
    return blurred(128, psf / psf.sum())


def test_estimate_with_a_device(shaken: np.ndarray) -> None:
    expected, cpu = _opencl.estimate(shaken, 9, opencl=False)
    actual, device = _opencl.estimate(shaken, 9, opencl=True)
    assert (cpu.status, device.status, cpu.calls, device.warnings) == (0, 0, 0, 0) and device.calls > 1000
    compare("opencl estimate", actual, expected)


def test_estimate_goes_on_without_a_failed_device(shaken: np.ndarray) -> None:
    expected, _ = _opencl.estimate(shaken, 9, opencl=False)
    _opencl.estimate(shaken, 9, opencl=True)  # with the calls that open the device, which are made once
    _, whole = _opencl.estimate(shaken, 9, opencl=True)
    for n in (1, 3, 5, 14, 30, whole.calls // 2, whole.calls):  # opening; the first step; later ones
        actual, answer = _opencl.estimate(shaken, 9, opencl=True, fail_at=n)
        assert (answer.status, answer.falls, answer.progress) == (0, 0, 1), n
        assert answer.warnings == 1, n
        compare("opencl estimate", actual, expected)


LOCALE_SCRIPT = """
import locale, sys
if sys.argv[1] != "C":
    locale.setlocale(locale.LC_ALL, "")
    assert locale.localeconv()["decimal_point"] == ",", "no comma"
from tests.parity import test_opencl as t
out, answer = t._opencl.restore(*t.CASES["tiles"][:2], opencl=True, **t.CASES["tiles"][2])
assert answer.status == 0, answer.status
assert sys.argv[1] == "C" or locale.localeconv()["decimal_point"] == ",", "changed"
sys.stdout.buffer.write(out.tobytes())
"""


@pytest.mark.slow  # compiles everything twice
def test_decimal_comma_changes_nothing(tmp_path: Path, root: Path) -> None:
    if not shutil.which("localedef"):
        pytest.skip("no German locale can be made here")
    subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8"], capture_output=True, check=False)
    outputs = []
    for name in ("C", "de_DE.UTF-8"):
        env = os.environ | {"LC_ALL": name, "LOCPATH": str(tmp_path), "PYTHONPATH": str(root), "POCL_CACHE_DIR": str(tmp_path / name)}
        done = subprocess.run([sys.executable, "-c", LOCALE_SCRIPT, name], env=env, capture_output=True, check=False)
        if b"unsupported locale" in done.stderr:
            pytest.skip("no German locale can be made here")
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
