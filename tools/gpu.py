# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the OpenCL backend on one device.

In this order: the device; each kernel beside pyref and the whole path beside the processor; the first plan of a process with and without kept programs;
dcv-bench, with every stage beside the bandwidth of the device's memory, in batches of tiles, tile by tile and in the largest tiles; a picture under a limit
of memory beside the same without; Richardson-Lucy with the same number of transforms in CuPy and RedLionfish, where these are installed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import scenes

import dcv

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "build/release/c_src/bench/dcv-bench"

FIRST_PLAN = """
import sys, time
import numpy as np, dcv
number, file = int(sys.argv[1]), sys.argv[2]
y = np.random.default_rng(0).random((512, 512, 3), np.float32)
start = time.perf_counter()
found = dcv.programs.load(file)
dcv.Plan(y, dcv.psf.gaussian(2), channel_axis=-1, noise=0.01, gradient=0.05, backend="opencl", device=number).close()
print(f"{1e3 * (time.perf_counter() - start):.0f} ms with {'' if found else 'no '}kept programs")
dcv.programs.save(file)
"""


def heading(text: str) -> None:
    """One line between blank ones."""
    print(f"\n== {text}", flush=True)


def call(*command: str | Path, **environment: str) -> None:
    """Run a command of this checkout; its failure is told, and the rest goes on."""
    print("$", *command, flush=True)
    done = subprocess.run([*map(str, command)], cwd=ROOT, env=os.environ | environment, check=False)
    if done.returncode:
        print(f"FAILED with exit code {done.returncode}", flush=True)


def first_plans(device: int) -> None:
    """Two processes, the second with what the first has compiled; the driver's own cache is kept out as far as it can be."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            empty = str(Path(folder, name))  # of PoCL, and of NVIDIA's driver
            subprocess.run([sys.executable, "-c", FIRST_PLAN, str(device), str(Path(folder, "programs"))], check=False,
                           env=os.environ | {"POCL_CACHE_DIR": empty, "CUDA_CACHE_DISABLE": "1"})  # fmt: skip


def picture(width: int, height: int, psf: np.ndarray) -> np.ndarray:
    """A photograph repeated to the size, blurred, with noise of 0.005."""
    sharp = scenes.sharp_picture("astronaut")
    tiles = np.vstack([np.hstack([sharp, sharp[:, ::-1]]), np.hstack([sharp, sharp[:, ::-1]])[::-1]])
    blurred, _ = scenes.blurred(tiles, psf, 0.005, 0)
    rows, cols = -(-height // blurred.shape[0]), -(-width // blurred.shape[1])
    return np.ascontiguousarray(np.tile(blurred, (rows, cols, 1))[:height, :width], np.float32)


def restored(y: np.ndarray, psf: np.ndarray, **options: Any) -> tuple[np.ndarray, dcv.PlanInfo, float]:
    """Picture, plan and seconds of the second execute."""
    with dcv.Plan(y, psf, channel_axis=-1, noise=0.005, gradient=0.05, planning="estimate", **options) as plan:
        plan.execute(y)
        start = time.perf_counter()
        return plan.execute(y), plan.info, time.perf_counter() - start


def limits(device: int, size: tuple[int, int], memory: int, *, cpu: bool) -> None:
    """The picture with all memory, with little, in one batch of one tile, and (slow) by the processor."""
    psf = scenes.shake(0, 15)
    y = picture(*size, psf)
    base, *_ = cases = {
        "all memory": {"backend": "opencl", "device": device},
        f"{memory} MB": {"backend": "opencl", "device": device, "device_memory": memory},
        "one tile at a time": {"backend": "opencl", "device": device, "batch": 1},
    } | ({"processor": {}} if cpu else {})
    pictures: dict[str, np.ndarray] = {}
    for name, options in cases.items():
        x, plan, seconds = restored(y, psf, **options)
        pictures[name] = x
        difference = float(np.abs(x - pictures[base]).max())
        place = f"{plan.bytes / 2**20:.0f} MB of the device" if options else "memory of the host"
        tiles = f"{plan.tiles_x} x {plan.tiles_y} tiles of {plan.transform_width} x {plan.transform_height}, {plan.batch} at once"
        print(f"{name:20s} {seconds:8.3f} s, {place}, {tiles}; largest difference {difference:.2e}", flush=True)


def richardson_lucy(xp: Any, fft: Any, y: Any, psf: np.ndarray, iterations: int) -> Any:
    """Richardson-Lucy with periodic borders on each channel of y (M, N, C), in the arrays of module `xp`: 4 `iterations` + 1 transforms a channel."""
    shape = y.shape[:2]
    kernel = np.zeros(shape, np.float32)
    kernel[: psf.shape[0], : psf.shape[1]] = psf
    otf = fft.rfft2(xp.asarray(np.roll(kernel, [-(n // 2) for n in psf.shape], (0, 1))))
    out = xp.empty_like(y)
    for c in range(y.shape[2]):
        x = y[..., c].copy()
        for _ in range(iterations):
            ratio = y[..., c] / xp.maximum(fft.irfft2(fft.rfft2(x) * otf, shape), 1e-6)
            x = x * fft.irfft2(fft.rfft2(ratio) * xp.conj(otf), shape)
        out[..., c] = x
    return out


def timed(name: str, work: Callable[[], Any]) -> None:
    """Seconds of the second of two runs."""
    work()
    start = time.perf_counter()
    work()
    print(f"{name:60s} {time.perf_counter() - start:8.3f} s", flush=True)


def peers(device: int, size: tuple[int, int]) -> None:
    """Ours and Richardson-Lucy of three iterations: 13 transforms a channel each (ours: 10 more in tiles at the frame)."""
    psf = scenes.shake(0, 15)
    y = picture(*size, psf)
    with dcv.Plan(y, psf, channel_axis=-1, noise=0.005, gradient=0.05, backend="opencl", device=device) as plan:
        timed("dcv, transfers included", lambda: plan.execute(y))
        assert plan.result is not None
        print(f"{'dcv, without transfers':60s} {plan.result.seconds_pixel:8.3f} s")
    try:
        cupy = importlib.import_module("cupy")
        fft = importlib.import_module("cupyx.scipy.fft")
    except ImportError as error:
        print(f"CuPy: {error}")
    else:

        def on_gpu() -> None:
            cupy.asnumpy(richardson_lucy(cupy, fft, cupy.asarray(y), psf, 3))

        timed("CuPy, Richardson-Lucy x 3, transfers included", on_gpu)
        there = cupy.asarray(y)

        def inside() -> None:
            richardson_lucy(cupy, fft, there, psf, 3)
            cupy.cuda.Device().synchronize()

        timed("CuPy, Richardson-Lucy x 3, without transfers", inside)
    try:
        lionfish = importlib.import_module("RedLionfishDeconv")
    except ImportError as error:
        print(f"RedLionfish: {error}")
    else:

        def volumes() -> None:  # for volumes: a channel is one of a single layer
            for c in range(3):
                lionfish.doRLDeconvolutionFromNpArrays(y[None, ..., c], psf[None].astype(np.float32), niter=3, method="gpu", resAsUint8=False)

        timed("RedLionfish, Richardson-Lucy x 3, transfers included", volumes)


def parse_size(_: Any, __: Any, text: str) -> tuple[int, int]:
    """WxH as two numbers."""
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        raise click.BadParameter("not WIDTHxHEIGHT") from None
    return width, height


@click.command(help=__doc__)
@click.option("--device", default=0, show_default=True, help="Number of the device (dcv info).")
@click.option("--sizes", default="6000x4000,11600x8700", show_default=True, help="Pictures of dcv-bench.")
@click.option("--psf", default="15,33", show_default=True, help="PSF sizes of dcv-bench.")
@click.option("--size", default="6000x4000", show_default=True, callback=parse_size, help="Picture of the other comparisons.")
@click.option("--memory", default=1024, show_default=True, help="Limit of device memory to try, MB.")
@click.option("--repeat", default=5, show_default=True, help="Repetitions of dcv-bench.")
@click.option("--bandwidth", type=float, help="Of the device's memory, GB/s, from its data sheet; otherwise measured.")
@click.option("--cpu/--no-cpu", default=True, show_default=True, help="The same by the processor.")
@click.option("--parity/--no-parity", default=True, show_default=True, help="Comparison of the kernels.")
def main(device: int, sizes: str, psf: str, size: tuple[int, int], memory: int, repeat: int, bandwidth: float | None, cpu: bool, parity: bool) -> None:
    """Everything, to standard output."""
    found = dcv.devices()
    if device >= len(found):
        raise SystemExit(f"no OpenCL device {device}; there are {len(found)}")
    heading("device")
    print(dcv.build_info())
    print(json.dumps({name: getattr(found[device], name) for name in ("name", "platform", "driver", "memory", "largest", "units", "gpu")}))
    if parity:
        heading("parity: largest error of each kernel and of the whole path beside its tolerance (first device)")
        call(sys.executable, "-m", "tests.parity", "-k", "opencl")
    heading("first plan of a process, 512 x 512")
    first_plans(device)
    common = ("--sizes", sizes, "--psf", psf, "--window", "33", "--repeat", repeat, "--threads", dcv.max_threads())
    limit = ("--bandwidth", bandwidth) if bandwidth else ()
    for name, settings in (("batches of tiles", ()), ("tile by tile", ("--set", "batch=1")), ("largest tiles", ("--set", "tile=8192"))):
        heading(f"times: {name}")
        call(BENCH, "--device", str(device), *map(str, (*common, *limit)), *settings)
    if cpu:
        heading("times: the processor")
        call(BENCH, *map(str, common))
    heading(f"memory and batches, {size[0]} x {size[1]}")
    limits(device, size, memory, cpu=cpu)
    heading("Richardson-Lucy elsewhere")
    peers(device, size)


if __name__ == "__main__":
    main()
