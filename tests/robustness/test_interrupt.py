# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C in the middle: exit code 130, one line, no partial file; and Python callers get their KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

import dcv


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A shell's background jobs start with SIGINT ignored, and hand that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that takes seconds."""
    path = tmp_path_factory.mktemp("large") / "large.tif"
    tifffile.imwrite(path, np.random.default_rng(0).random((2400, 3000, 3), dtype=np.float32), photometric="rgb")
    dcv.psf.save(path.parent / "psf.tif", dcv.psf.disk(3))
    return path


@pytest.mark.parametrize(("kind", "wait"), [(signal.SIGINT, 0.1), (signal.SIGINT, 0.5), (signal.SIGINT, 1.5), (signal.SIGTERM, 0.5)])
def test_interrupted_command(kind: signal.Signals, wait: float, large: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = [
        sys.executable,
        "-m",
        "dcv",
        "deblur",
        str(large),
        str(out / "out.tif"),
        "--psf",
        str(large.parent / "psf.tif"),
        "-v",
        "--threads",
        "1",
    ]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    # The program says so itself when it has begun; only then is an interruption its business.
    deadline = time.monotonic() + 60
    while not _started(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(kind)
    started = time.monotonic()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert text.strip().splitlines()[-1] == "dcv: error: interrupted"
    assert "Traceback" not in text
    assert list(out.iterdir()) == []
    # A transform or a tile may be finished first.
    assert time.monotonic() - started < 20


def _started(pid: int) -> bool:
    """Whether the process has installed its handler of SIGTERM, the first thing ``dcv`` does."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1))


def test_interrupted_python() -> None:
    picture = np.random.default_rng(0).random((1500, 2000, 3), dtype=np.float32)
    out = np.zeros_like(picture)
    with dcv.Plan(picture, dcv.psf.disk(3), channel_axis=-1, planning="estimate", threads=1) as plan:

        def interrupt(fraction: float) -> None:
            if fraction > 0:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            plan.execute(picture, out, progress=interrupt)
        assert np.array_equal(out, picture), "cancelled: a copy of the input"
        assert np.isfinite(plan.execute(picture)).all()
