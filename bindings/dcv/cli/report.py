# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line shows: messages and progress on stderr, plots of PSFs, pictures side by side."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..restoration import to_srgb


class Report:
    """Messages of one run: errors always, notes unless quiet, details when verbose; progress only on a terminal."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose

    def error(self, text: str) -> None:
        print(f"dcv: error: {' '.join(text.split())}", file=sys.stderr)

    def note(self, text: str) -> None:
        if not self.quiet:
            print(f"dcv: {text}", file=sys.stderr)

    def detail(self, text: str) -> None:
        if self.verbose:
            print(f"dcv: {text}", file=sys.stderr)

    def log(self, level: str, message: str) -> None:
        """Takes the library's messages."""
        (self.note if level == "warning" else self.detail)(message)

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[float], None] | None]:
        """A bar for the length of the block, or None off a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(what, total=1.0)
            yield lambda fraction: bars.update(task, completed=fraction)


class Stopwatch:
    """Seconds of named stages; a stage entered twice adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def text(self) -> str:
        return ", ".join(f"{stage} {seconds:.3f} s" for stage, seconds in self.seconds.items())


def print_json(value: dict[str, Any]) -> None:
    """One object on stdout; numbers that JSON does not know become null."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(entry) for key, entry in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(entry) for entry in item]
        if isinstance(item, np.ndarray):
            return plain(item.tolist())
        if isinstance(item, np.generic):
            return plain(item.item())
        if isinstance(item, Path):
            return str(item)
        if isinstance(item, float) and not np.isfinite(item):
            return None
        return item

    print(json.dumps(plain(value), indent=2, allow_nan=False))


# ---- pictures for people -------------------------------------------------------------------------------------------------------------


def display(linear: np.ndarray) -> np.ndarray:
    """Linear (M, N, 1 or 3) as 8-bit sRGB (M, N, 3)."""
    codes = np.rint(np.clip(to_srgb(linear), 0, 1) * 255).astype(np.uint8)
    return np.repeat(codes, 3, axis=2) if codes.shape[2] == 1 else codes


def psf_picture(psf: np.ndarray, side: int) -> np.ndarray:
    """A PSF enlarged to about `side` pixels without smoothing, its largest value white, gamma 2 for the tails; 8 bits (M, M, 3)."""
    values = np.sqrt(np.clip(psf / psf.max(), 0, 1))
    if values.ndim == 2:
        values = np.repeat(values[:, :, np.newaxis], 3, axis=2)
    factor = max(1, side // psf.shape[0])
    return np.rint(255 * np.kron(values, np.ones((factor, factor, 1)))).astype(np.uint8)


def side_by_side(panels: list[tuple[str, np.ndarray]], gap: int = 6) -> np.ndarray:
    """8-bit panels (M, N, 3) of any sizes in one row on gray, each under its title."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    bar = 24
    height = max(panel.shape[0] for _, panel in panels) + bar + gap
    width = sum(panel.shape[1] + gap for _, panel in panels) + gap
    sheet = Image.new("RGB", (width, height), (46, 46, 46))
    draw = ImageDraw.Draw(sheet)
    x = gap
    for title, panel in panels:
        sheet.paste(Image.fromarray(panel), (x, bar))
        draw.text((x, 3), title, fill=(232, 232, 232), font=font)
        x += panel.shape[1] + gap
    return np.asarray(sheet)


def plot_psf(psf: np.ndarray, title: str, format_: str) -> bytes:
    """A figure of a PSF: the picture, its rows and columns through the middle, and |OTF|. Contents of a PNG, PDF or SVG file."""
    import io

    from matplotlib.figure import Figure

    planes = psf[np.newaxis] if psf.ndim == 2 else np.moveaxis(psf, -1, 0)
    colours = ["black"] if len(planes) == 1 else ["tab:red", "tab:green", "tab:blue"]
    size = psf.shape[0]
    x = np.arange(size) - size // 2
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    picture, profile, transfer = figure.subplots(1, 3)
    picture.imshow(psf / psf.max(), cmap="gray", extent=(x[0] - 0.5, x[-1] + 0.5, x[-1] + 0.5, x[0] - 0.5), interpolation="nearest")
    picture.set(title=title, xlabel="x / px", ylabel="y / px")
    n = 256
    frequency = np.fft.rfftfreq(n)
    for plane, tint in zip(planes, colours, strict=True):
        profile.plot(x, plane.sum(axis=0), "-", color=tint, label="summed over y")
        profile.plot(x, plane.sum(axis=1), "--", color=tint, label="summed over x")
        otf = np.abs(np.fft.fft2(plane, (n, n)))
        transfer.plot(frequency, otf[0, : n // 2 + 1], "-", color=tint, label="along x")
        transfer.plot(frequency, otf[: n // 2 + 1, 0], "--", color=tint, label="along y")
    profile.set(title="profiles", xlabel="px", ylabel="share of the light")
    transfer.set(title="|OTF|", xlabel="cycles / px", ylim=(0, 1.02))
    profile.legend(*[part[:2] for part in profile.get_legend_handles_labels()])
    transfer.legend(*[part[:2] for part in transfer.get_legend_handles_labels()])
    stream = io.BytesIO()
    figure.savefig(stream, format=format_, dpi=100)
    return stream.getvalue()
