# SPDX-License-Identifier: GPL-3.0-or-later
"""Each OpenCL kernel alone against pyref, through pyopencl on the first device found (PoCL serves)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyref import boundary, fft, highlight, solver, tv
from tests.parity.record import compare

cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")

ROOT = Path(__file__).resolve().parents[2] / "opencl"
WIDTH, HEIGHT, DATA = 36, 30, (23, 27)  # transform; data (rows, cols)
COLUMNS = WIDTH // 2 + 1
STRIDE, PLANE = 2 * COLUMNS, 2 * COLUMNS * HEIGHT


class Device:
    """Kernels for three channels, and planes of a tile to and from them."""

    def __init__(self) -> None:
        try:
            device = cl.get_platforms()[0].get_devices()[0]
        except (cl.Error, IndexError):
            pytest.skip("no OpenCL platform here (PoCL would do)")
        self.context = cl.Context([device])
        self.queue = cl.CommandQueue(self.context)
        source = "\n".join((ROOT / f"{name}.cl").read_text("utf-8") for name in ("picture", "boundary", "admm"))
        self.program = cl.Program(self.context, source).build(options=["-cl-std=CL1.2", "-DDCV_CHANNELS=3", "-I", str(ROOT)])

    def buffer(self, array: Any) -> Any:
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        return cl.Buffer(self.context, flags, hostbuf=np.ascontiguousarray(array))

    def planes(self, x: np.ndarray) -> Any:
        """(M, N, C) at the origin of planes of NaN."""
        out = np.full((x.shape[2], HEIGHT, STRIDE), np.nan, np.float32)
        out[:, : x.shape[0], : x.shape[1]] = np.moveaxis(x, -1, 0)
        return self.buffer(out)

    def spectra(self, x: np.ndarray) -> Any:
        return self.buffer(np.ascontiguousarray(np.moveaxis(x, -1, 0), np.complex64))

    def read(self, buffer: Any, channels: int = 3, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
        out = np.empty((channels, HEIGHT, STRIDE), np.float32)
        cl.enqueue_copy(self.queue, out, buffer)
        return np.moveaxis(out[:, : shape[0], : shape[1]], 0, -1)

    def read_spectra(self, buffer: Any) -> np.ndarray:
        out = np.empty((3, HEIGHT, COLUMNS), np.complex64)
        cl.enqueue_copy(self.queue, out, buffer)
        return np.moveaxis(out, 0, -1)

    def run(self, name: str, size: tuple[int, ...], *arguments: Any) -> None:
        kernel = cl.Kernel(self.program, name)
        kernel.set_args(*arguments)
        cl.enqueue_nd_range_kernel(self.queue, kernel, size, None)
        self.queue.finish()


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


def tile(edge: int = 0, reach: int = 0) -> bytes:
    return np.array([WIDTH, HEIGHT, COLUMNS, STRIDE, PLANE, DATA[1], DATA[0], edge, edge, reach], np.int32).tobytes()


def strip(width: int, step: int, x0: int, y0: int) -> bytes:
    return np.array([width, step, x0, y0], np.int32).tobytes()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def turned() -> solver.Problem:
    return solver.problem(noise(*DATA, 3), np.ones((1, 1)), dtype=np.float64, shape=(HEIGHT, WIDTH))


FULL = (WIDTH + 5, HEIGHT + 3)  # larger than the tile, as the library rounds up
FULL3 = (*FULL, 3)


def test_load_and_add(device: Device) -> None:
    picture = noise(40, 50, 4)
    z = device.planes(np.full((*DATA, 3), np.nan, np.float32))
    device.run("dcv_load", FULL, strip(50, 4, 11, 9), tile(), device.buffer(picture), z)
    data = device.read(z, shape=DATA)
    compare("cl copy", data, picture[9 : 9 + DATA[0], 11 : 11 + DATA[1], :3])
    wx, wy, out = np.linspace(0, 1, 20, dtype=np.float32), np.linspace(1, 0.5, 18, dtype=np.float32), device.buffer(picture)
    numbers = [np.int32(n) for n in (3, 2, 12, 10)]
    device.run("dcv_add", FULL, strip(50, 4, 20, 15), tile(), *numbers, device.buffer(wx), device.buffer(wy), np.int32(5), np.int32(4), z, out)
    expected = picture.astype(float)
    expected[15:25, 20:32, :3] += (wy[4:14, None] * wx[None, 5:17])[..., None].astype(float) * data[2:12, 3:15]
    actual = np.empty_like(picture)
    cl.enqueue_copy(device.queue, actual, out)
    compare("cl pixels", actual, expected)


def test_start_and_count_and_census(device: Device) -> None:
    picture = noise(12, 20, 4)
    picture[3, 4, 1], picture[5, 6, 0], picture[7, 8, 2], picture[7, 9, 2] = np.nan, np.inf, 40, 41
    source, out = device.buffer(picture), device.buffer(np.full((12, 20, 4), 5, np.float32))
    device.run("dcv_start", (32, 12), strip(20, 4, 0, 2), strip(20, 4, 0, 4), np.int32(6), source, out)
    actual = np.empty_like(picture)
    cl.enqueue_copy(device.queue, actual, out)
    expected = np.full_like(picture, 5)
    expected[4:10, :, :3], expected[4:10, :, 3] = 0, picture[2:8, :, 3]
    compare("cl copy", actual, expected)
    counts = np.zeros(2, np.int32)
    buffer = device.buffer(counts)
    device.run("dcv_count", (32,), strip(20, 4, 0, 0), np.int32(12), np.float32(30), source, buffer)
    cl.enqueue_copy(device.queue, counts, buffer)
    assert counts.tolist() == [2, 2]
    flags = np.zeros(4, np.int32)
    buffer = device.buffer(flags)
    for index, (x0, y0) in enumerate([(1, 0), (2, 2), (7, 6), (12, 0)]):
        area = np.array([WIDTH, HEIGHT, COLUMNS, STRIDE, PLANE, 4, 4, 0, 0, 0], np.int32).tobytes()
        device.run("dcv_census", (32,), strip(20, 4, x0, y0), area, np.float32(30), np.int32(index), source, buffer)
    cl.enqueue_copy(device.queue, flags, buffer)
    assert flags.tolist() == [3, 3, 5, 0]  # unknown and holes; the same; unknown and clipped; nothing


def test_bound(device: Device) -> None:
    y = noise(*DATA, 3)
    y[4, 5, 1], y[6, 7] = np.nan, 3
    bound = device.planes(np.zeros((HEIGHT, WIDTH, 3)))
    device.run("dcv_bound", FULL3, tile(reach=2), np.float32(2.5), device.planes(y), bound)
    expected = np.where(boundary.known(np.isfinite(y), (HEIGHT, WIDTH), 2), np.inf, -np.inf)
    clipped = np.isfinite(y) & (y >= 2.5)
    expected[: DATA[0], : DATA[1]][clipped] = y[clipped]
    assert clipped.any() and np.array_equal(device.read(bound), expected.astype(np.float32))


def test_fill_holes(device: Device) -> None:
    y = noise(*DATA, 3)
    y[2:9, 3:20, 0], y[:, :, 2] = np.nan, np.inf
    here, there = device.planes(y), device.planes(y)
    for step in range(33):
        pair = (here, here) if step == 32 else (here, there) if step % 2 == 0 else (there, here)
        device.run("dcv_fill_holes", FULL3, tile(), np.int32(step == 32), *pair)
    compare("cl holes", device.read(here, shape=DATA), boundary.fill_holes(y.astype(float))[0])


@pytest.mark.parametrize("edge", [0, 2])
def test_extend(device: Device, edge: int) -> None:
    y = noise(*DATA, 3)
    z = device.planes(y)
    device.run("dcv_extend_columns", FULL3, tile(edge=edge), z)
    device.run("dcv_extend_rows", FULL3, tile(edge=edge), z)
    compare("cl pixels", device.read(z), boundary.extend(y.astype(float), (HEIGHT, WIDTH), edge))


def test_impute(device: Device) -> None:
    problem = turned()
    z, model = noise(HEIGHT, WIDTH, 3), noise(HEIGHT, WIDTH, 3)[::-1]
    problem.bound = np.where(z > 0.5, np.inf, np.where(z > 0, z, -np.inf))
    buffer = device.planes(z)
    device.run("dcv_impute", FULL3, tile(), device.planes(model), device.planes(problem.bound), buffer)
    compare("cl pixels", device.read(buffer), problem.impute(z.astype(float), model.astype(float), 1.9))


def test_turn(device: Device) -> None:
    problem, x = turned(), noise(HEIGHT, WIDTH, 3)
    there = device.planes(np.zeros_like(x))
    device.run("dcv_turn", FULL, tile(), device.planes(x), there)
    compare("cl pixels", device.read(there), problem.turn(x.astype(float)))
    device.run("dcv_turn_back", FULL, tile(), there)
    compare("cl pixels", device.read(there), x)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("rho", [0.3, 1.0])
def test_tv_shrink(device: Device, colour: bool, rho: float) -> None:
    x, u = noise(HEIGHT, WIDTH, 3), 0.5 * noise(HEIGHT, WIDTH, 6)[::-1]
    new_x, new_u = device.planes(np.zeros_like(x)), device.planes(np.zeros_like(u))
    device.run("dcv_tv_shrink", FULL, tile(), np.int32(colour), np.float32(rho), np.float32(1.6), device.planes(x), device.planes(u), new_x, new_u)
    w = np.array([1.0, 2, 2] if colour else [1.0, 1, 1])
    v = w * tv.gradient(x.astype(float)) + np.stack([u[..., ::2], u[..., 1::2]])
    s = tv.shrink_factor(v, rho)
    largest = float(np.abs(v).max())
    compare("cl shrink", device.read(new_u, 6).reshape(HEIGHT, WIDTH, 3, 2).transpose(3, 0, 1, 2), (1 - s) * v / 1.6, largest)
    compare("cl shrink", device.read(new_x), tv.gradient_adjoint(w * (2 * s - 1) * v), largest)


@pytest.mark.parametrize("shared", [True, False])
def test_divide_and_multiply(device: Device, shared: bool) -> None:
    shape = (HEIGHT, COLUMNS, 3)
    rng = np.random.default_rng(3)
    k, b, x = (rng.standard_normal((*shape, 2)) @ [1, 1j] for _ in range(3))
    if shared:
        k = np.repeat(k[..., :1], 3, axis=2)
    r, next_, otf = 0.37, np.int32(0 if shared else PLANE), device.spectra(k)
    power = device.buffer(np.concatenate([4 * np.sin(np.pi * np.arange(n) / m) ** 2 for n, m in ((COLUMNS, WIDTH), (HEIGHT, HEIGHT))]).astype(np.float32))
    buffer = device.spectra(x)
    device.run("dcv_divide", FULL, tile(), np.int32(1), np.float32(r), next_, otf, power, device.spectra(b), buffer)
    smooth = r * np.array([1.0, 4, 4]) * fft.gradient_power((HEIGHT, WIDTH))[..., None]
    compare("cl spectrum", device.read_spectra(buffer), (b + r * x) / (np.abs(k) ** 2 + smooth) / (WIDTH * HEIGHT))
    for correlate, expected in ((0, k * x), (1, np.conj(k) * x)):
        device.run("dcv_multiply", FULL, tile(), np.int32(correlate), next_, otf, device.spectra(x), buffer)
        compare("cl spectrum", device.read_spectra(buffer), expected)


def test_fade(device: Device) -> None:
    y, x, w = noise(*DATA, 3), noise(HEIGHT, WIDTH, 3)[::-1], np.abs(noise(HEIGHT, WIDTH, 1)) % 1
    y[3, 4] = np.nan
    buffer = device.planes(x)
    device.run("dcv_fade", FULL, strip(DATA[1], 3, 0, 0), tile(), device.planes(w), device.buffer(y), buffer)
    inside = np.s_[: DATA[0], : DATA[1]]
    compare("cl pixels", device.read(buffer, shape=DATA), highlight.fade(x[inside].astype(float), y.astype(float), w[inside][..., 0]))
