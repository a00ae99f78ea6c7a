# SPDX-License-Identifier: GPL-3.0-or-later
"""Each OpenCL kernel alone against pyref, through pyopencl on the first device found (PoCL serves)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyref import blind, boundary, fft, solver, tv
from tests.parity.record import compare

cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")

ROOT = Path(__file__).resolve().parents[2] / "opencl"
TILES, WIDTH, HEIGHT, DATA = 2, 36, 30, (23, 27)  # at work together; transform; data (rows, cols) of the first
COLUMNS = WIDTH // 2 + 1
STRIDE, PLANE = 2 * COLUMNS, 2 * COLUMNS * HEIGHT
SIZES = DATA, (20, 31)  # of the data of each tile
FIRST = np.int32(1)  # place of the first tile in the list


class Device:
    """Kernels for three channels, and planes of the tiles to and from them."""

    def __init__(self) -> None:
        try:
            device = cl.get_platforms()[0].get_devices()[0]
        except (cl.Error, IndexError):
            pytest.skip("no OpenCL platform here (PoCL would do)")
        self.context = cl.Context([device])
        self.queue = cl.CommandQueue(self.context)
        source = "\n".join((ROOT / f"{name}.cl").read_text("utf-8") for name in ("picture", "boundary", "admm", "blind"))
        self.program = cl.Program(self.context, source).build(options=["-cl-std=CL1.2", "-DDCV_CHANNELS=3", "-I", str(ROOT)])

    def buffer(self, array: Any) -> Any:
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        return cl.Buffer(self.context, flags, hostbuf=np.ascontiguousarray(array))

    def planes(self, *tiles: np.ndarray) -> Any:
        """(M, N, C) of each tile at the origin of planes of NaN."""
        out = np.full((len(tiles), tiles[0].shape[2], HEIGHT, STRIDE), np.nan, np.float32)
        for planes, x in zip(out, tiles, strict=True):
            planes[:, : x.shape[0], : x.shape[1]] = np.moveaxis(x, -1, 0)
        return self.buffer(out)

    def spectra(self, *tiles: np.ndarray) -> Any:
        return self.buffer(np.stack([np.moveaxis(x, -1, 0) for x in tiles]).astype(np.complex64))

    def read(self, buffer: Any, channels: int = 3) -> np.ndarray:
        """(T, HEIGHT, WIDTH, C)."""
        out = np.empty((TILES, channels, HEIGHT, STRIDE), np.float32)
        cl.enqueue_copy(self.queue, out, buffer)
        return np.moveaxis(out[..., :WIDTH], 1, -1)

    def read_spectra(self, buffer: Any) -> np.ndarray:
        out = np.empty((TILES, 3, HEIGHT, COLUMNS), np.complex64)
        cl.enqueue_copy(self.queue, out, buffer)
        return np.moveaxis(out, 1, -1)

    def get(self, buffer: Any, like: np.ndarray) -> np.ndarray:
        out = np.empty_like(like)
        cl.enqueue_copy(self.queue, out, buffer)
        return out

    def run(self, name: str, size: tuple[int, ...], *arguments: Any) -> None:
        kernel = cl.Kernel(self.program, name)
        kernel.set_args(*arguments)
        cl.enqueue_nd_range_kernel(self.queue, kernel, size, None)
        self.queue.finish()


@pytest.fixture(scope="module")
def device() -> Device:
    return Device()


TILE = np.array([WIDTH, HEIGHT, COLUMNS, STRIDE, PLANE], np.int32).tobytes()
ORIGINS = (11, 9), (3, 2)  # (x, y) of the tiles in the strip
FULL = (WIDTH + 5, HEIGHT + 3, TILES)  # larger than the tile, as the library rounds up
FULL3 = (*FULL[:2], TILES * 3)


def places(device: Device, *, edge: int = 0, reach: int = 0) -> Any:
    """The tiles' own numbers, after one of no tile at work."""
    rows = [[*at, size[1], size[0], edge, edge, reach] for at, size in zip(ORIGINS, SIZES, strict=True)]
    return device.buffer(np.array([[0, 0, 1, 1, 9, 9, 9], *rows], np.int32))


def strip(width: int, step: int, x0: int = 0, y0: int = 0) -> bytes:
    return np.array([width, step, x0, y0], np.int32).tobytes()


def noise(*shape: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def data(channels: int = 3) -> list[np.ndarray]:
    """Data of each tile."""
    return [noise(*size, channels, seed=7 + i) for i, size in enumerate(SIZES)]


def full(channels: int = 3, seed: int = 20) -> np.ndarray:
    """Whole planes of each tile, (T, HEIGHT, WIDTH, C)."""
    return noise(TILES, HEIGHT, WIDTH, channels, seed=seed)


def same(name: str, label: str, actual: Any, expected: Any, scale: float | None = None) -> None:
    compare(f"cl {name}", actual, expected, scale, label=label)


def turned() -> solver.Problem:
    return solver.problem(noise(*DATA, 3), np.ones((1, 1)), dtype=np.float64, shape=(HEIGHT, WIDTH))


def test_load_and_add(device: Device) -> None:
    picture = noise(40, 50, 4)
    z = device.planes(*[np.full((*size, 3), np.nan, np.float32) for size in SIZES])
    device.run("dcv_load", FULL, strip(50, 4), TILE, places(device), FIRST, device.buffer(picture), z)
    loaded = device.read(z)
    for x, size, at in zip(loaded, SIZES, ORIGINS, strict=True):
        same("copy", "dcv_load", x[: size[0], : size[1]], picture[at[1] : at[1] + size[0], at[0] : at[0] + size[1], :3])
    wx, wy, out = np.linspace(0, 1, 20, dtype=np.float32), np.linspace(1, 0.5, 18, dtype=np.float32), device.buffer(picture)
    numbers = [np.int32(n) for n in (1, 3, 2, 12, 10)]  # the second tile
    given = noise(40, 50, 4, seed=21)
    given[7, 24] = np.nan
    tables = device.buffer(wx), device.buffer(wy), np.int32(5), np.int32(4), z
    device.run("dcv_add", FULL[:2], strip(50, 4, 20, 6), strip(50, 4, 20, 15), TILE, *numbers, *tables, device.buffer(given), out)
    expected = picture.astype(float)
    added = solver.positive(loaded[1, 2:12, 3:15].astype(float), given[6:16, 20:32, :3].astype(float))
    expected[15:25, 20:32, :3] += (wy[4:14, None] * wx[None, 5:17])[..., None].astype(float) * added
    same("pixels", "dcv_add", device.get(out, picture), expected)


def test_start_and_count_and_census(device: Device) -> None:
    picture = noise(12, 20, 4)
    picture[3, 4, 1], picture[5, 6, 0], picture[7, 8, 2], picture[7, 9, 2] = np.nan, np.inf, 40, 41
    source, out = device.buffer(picture), device.buffer(np.full((12, 20, 4), 5, np.float32))
    device.run("dcv_start", (32, 12), strip(20, 4, 0, 2), strip(20, 4, 0, 4), np.int32(6), source, out)
    expected = np.full_like(picture, 5)
    expected[4:10, :, :3], expected[4:10, :, 3] = 0, picture[2:8, :, 3]
    same("copy", "dcv_start", device.get(out, picture), expected)
    counts = np.zeros(2, np.int32)
    buffer = device.buffer(counts)
    device.run("dcv_count", (32,), strip(20, 4), np.int32(12), np.float32(30), source, buffer)
    same("copy", "dcv_count", device.get(buffer, counts), [2, 2])
    flags = np.zeros(5, np.int32)
    buffer = device.buffer(flags)
    rows = [[x, y, 4, 4, 0, 0, 0] for x, y in ((1, 0), (2, 2), (7, 6), (12, 0))]
    device.run("dcv_census", (32, 8), strip(20, 4), device.buffer(np.array(rows, np.int32)), np.int32(4), np.float32(30), source, buffer)
    same("copy", "dcv_census", device.get(buffer, flags), [3, 3, 5, 0, 0])  # unknown and holes; the same; unknown and clipped; nothing; no tile


def test_bound(device: Device) -> None:
    y = data()
    y[0][4, 5, 1], y[0][6, 7] = np.nan, 3
    bound = device.planes(*full())
    device.run("dcv_bound", FULL3, TILE, places(device, reach=2), FIRST, np.float32(2.5), device.planes(*y), bound)
    for actual, tile in zip(device.read(bound), y, strict=True):
        expected = np.where(boundary.known(np.isfinite(tile), (HEIGHT, WIDTH), 2), np.inf, -np.inf)
        clipped = np.isfinite(tile) & (tile >= 2.5)
        expected[: tile.shape[0], : tile.shape[1]][clipped] = tile[clipped]
        assert clipped.any()
        same("copy", "dcv_bound", *(np.nan_to_num(a, posinf=1e6, neginf=-1e6) for a in (actual, expected.astype(np.float32))))


def test_fill_holes(device: Device) -> None:
    y = data()
    y[0][2:9, 3:20, 0], y[0][:, :, 2], y[1][5:7, 8:30] = np.nan, np.inf, np.nan
    here, there = device.planes(*y), device.planes(*y)
    for number in range(33):
        pair = (here, here) if number == 32 else (here, there) if number % 2 == 0 else (there, here)
        device.run("dcv_fill_holes", FULL3, TILE, places(device), FIRST, np.int32(2 ** (number // 8) if number < 32 else 0), *pair)
    for actual, tile in zip(device.read(here), y, strict=True):
        same("holes", "dcv_fill_holes", actual[: tile.shape[0], : tile.shape[1]], boundary.fill_holes(tile.astype(float))[0])


@pytest.mark.parametrize("edge", [0, 2])
def test_extend(device: Device, edge: int) -> None:
    y = data()
    z, where = device.planes(*y), places(device, edge=edge)
    device.run("dcv_extend_columns", FULL3, TILE, where, FIRST, z)
    device.run("dcv_extend_rows", FULL3, TILE, where, FIRST, z)
    for actual, tile in zip(device.read(z), y, strict=True):
        same("pixels", "dcv_extend_columns, _rows", actual, boundary.extend(tile.astype(float), (HEIGHT, WIDTH), edge))


@pytest.mark.parametrize("reach", [0, 2], ids=["inner", "frame"])
def test_taper(device: Device, reach: int) -> None:
    z, notch = full(), full(seed=21)
    buffer, expected = device.planes(*z), z.astype(float)
    device.run("dcv_taper", FULL3, TILE, places(device, reach=reach), FIRST, np.int32(8), device.planes(*notch), buffer)
    for tile, part, size in zip(expected, notch, SIZES, strict=True):
        weights = [np.arange(period) < n if reach else boundary.fade(n, period, 8) for n, period in zip(size, (HEIGHT, WIDTH), strict=True)]
        tile -= (1 - np.multiply.outer(*weights))[..., None] * part
    same("pixels", "dcv_taper", device.read(buffer), expected)


def test_impute(device: Device) -> None:
    z, model = full(), full(seed=21)
    bound = np.where(z > 0.5, np.inf, np.where(z > 0, z, -np.inf))
    buffer = device.planes(*z)
    device.run("dcv_impute", FULL3, TILE, device.planes(*model), device.planes(*bound), buffer)
    problem, expected = turned(), np.empty(z.shape)
    for i in range(TILES):
        problem.bound = bound[i]
        expected[i] = problem.impute(z[i].astype(float), model[i].astype(float), 1.9)
    same("pixels", "dcv_impute", device.read(buffer), expected)


def test_turn(device: Device) -> None:
    problem, x = turned(), full()
    there = device.planes(*np.zeros_like(x))
    device.run("dcv_turn", FULL, TILE, device.planes(*x), there)
    same("pixels", "dcv_turn", device.read(there), np.stack([problem.turn(tile.astype(float)) for tile in x]))
    device.run("dcv_turn_back", FULL, TILE, there)
    same("pixels", "dcv_turn_back", device.read(there), x)


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("rho", [0.3, 1.0])
def test_tv_shrink(device: Device, colour: bool, rho: float) -> None:
    x, u = full(), 0.5 * full(6, seed=22)
    new_x, new_u = device.planes(*np.zeros_like(x)), device.planes(*np.zeros_like(u))
    device.run("dcv_tv_shrink", FULL, TILE, np.int32(colour), np.float32(rho), np.float32(1.6), device.planes(*x), device.planes(*u), new_x, new_u)
    w = np.array([1.0, 2, 2] if colour else [1.0, 1, 1])
    for i in range(TILES):
        v = w * tv.gradient(x[i].astype(float)) + np.stack([u[i][..., ::2], u[i][..., 1::2]])
        s = tv.shrink_factor(v, rho)
        largest = float(np.abs(v).max())
        duals = device.read(new_u, 6)[i].reshape(HEIGHT, WIDTH, 3, 2).transpose(3, 0, 1, 2)
        same("shrink", "dcv_tv_shrink", duals, (1 - s) * v / 1.6, largest)
        same("shrink", "dcv_tv_shrink", device.read(new_x)[i], tv.gradient_adjoint(w * (2 * s - 1) * v), largest)


@pytest.mark.parametrize("shared", [True, False])
def test_divide_notch_and_multiply(device: Device, shared: bool) -> None:
    rng = np.random.default_rng(3)
    k, b, x = (rng.standard_normal((*shape, HEIGHT, COLUMNS, 3, 2)) @ [1, 1j] for shape in ((), (TILES,), (TILES,)))
    if shared:
        k = np.repeat(k[..., :1], 3, axis=2)
    r, next_, otf = 0.37, np.int32(0 if shared else PLANE), device.spectra(k)
    power = device.buffer(np.concatenate([4 * np.sin(np.pi * np.arange(n) / m) ** 2 for n, m in ((COLUMNS, WIDTH), (HEIGHT, HEIGHT))]).astype(np.float32))
    buffer, notched = device.spectra(*x), device.spectra(*x)
    device.run("dcv_divide", FULL, TILE, np.int32(1), np.float32(r), next_, otf, power, device.spectra(*b), buffer)
    half = k / np.abs(k).max()
    device.run("dcv_notch", FULL, TILE, next_, device.spectra(half), notched)
    same("spectrum", "dcv_notch", device.read_spectra(notched), (1 - np.abs(half) ** 2) ** 8 * x / (WIDTH * HEIGHT))
    smooth = r * np.array([1.0, 4, 4]) * fft.gradient_power((HEIGHT, WIDTH))[..., None]
    same("spectrum", "dcv_divide", device.read_spectra(buffer), (b + r * x) / (np.abs(k) ** 2 + smooth) / (WIDTH * HEIGHT))
    for correlate, share, expected in ((0, 1, k * x), (1, 1, np.conj(k) * x), (0, 0.3, 0.7 * x + 0.3 * k * x)):
        device.run("dcv_multiply", FULL, TILE, np.int32(correlate), np.float32(share), next_, otf, device.spectra(*x), buffer)
        same("spectrum", "dcv_multiply", device.read_spectra(buffer), expected)


def test_edges(device: Device) -> None:
    x, out = full(), device.planes(*full())
    device.run("dcv_edges", FULL[:2], TILE, np.float32(1.5), device.planes(*x), out)
    gx, gy = blind.gradient(x[0, ..., 0].astype(float))
    keep = gx * gx + gy * gy >= 1.5
    assert 0.2 < keep.mean() < 0.8
    gx, gy = gx * keep, gy * keep
    same("pixels", "dcv_edges", device.read(out)[0, ..., 0], np.roll(gx, 1, 1) - gx + np.roll(gy, 1, 0) - gy)


def test_place(device: Device) -> None:
    psf, plane = noise(7, 7), device.planes(*np.zeros((TILES, HEIGHT, WIDTH, 3), np.float32))
    device.run("dcv_place", (8, 8), TILE, np.int32(7), device.buffer(psf), plane)
    expected = np.zeros((HEIGHT, WIDTH), np.float32)
    expected[:7, :7] = psf
    same("copy", "dcv_place", device.read(plane)[0, ..., 0], np.roll(expected, (-3, -3), (0, 1)))
