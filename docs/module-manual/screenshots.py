#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Screenshots for the module's manual page: a picture blurred by a known disk, restored in the darkroom with the blur estimated from it.

Usage: screenshots.py PREFIX OUT, PREFIX being where install-darktable put the launchers. Needs Xvfb, xdotool, ImageMagick and D-Bus.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.ndimage import convolve
from skimage import data

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "darktable"))
import xmp
from conftest import to_linear, to_srgb
from darkroom import Darkroom

RADIUS, NOISE = 2.5, 0.003


def disk(radius, oversampling=16):
    """Area-sampled disk, sum 1."""
    size = 2 * int(np.ceil(radius)) + 1
    y, x = (np.mgrid[: size * oversampling, : size * oversampling] + 0.5) / oversampling - size / 2
    inside = (x**2 + y**2 <= radius**2).reshape(size, oversampling, size, oversampling).mean(axis=(1, 3))
    return inside / inside.sum()


def picture(path):
    """The scan of a portrait that comes with scikit-image (NASA, public domain), out of focus, with noise."""
    sharp = to_linear(data.astronaut() / 255)
    kernel = disk(RADIUS)
    blurred = np.stack([convolve(sharp[..., c], kernel, mode="nearest") for c in range(3)], -1)
    blurred += np.random.default_rng(0).normal(0, NOISE, blurred.shape)
    tifffile.imwrite(path, np.rint(65535 * to_srgb(blurred)).astype(np.uint16), photometric="rgb")


def crop(source, box, target):
    """Part (left, top, right, bottom) of a picture file."""
    Image.open(source).crop(box).save(target, optimize=True)


def main(prefix, out):
    """Writes unknown.png, estimated.jpg, off-on.jpg and damaged.png."""
    out.mkdir(parents=True, exist_ok=True)
    launcher = prefix / "bin" / "darktable-dcv"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        screen, path = scratch / "screen.png", scratch / "portrait.tif"
        picture(path)
        with Darkroom(launcher, scratch / "home", path) as room:
            room.action("iop/deconvolution", "enable", "on")
            room.action("iop/deconvolution", "show")
            room.screenshot(screen)
            crop(screen, (1290, 280, 1600, 900), out / "unknown.png")
            room.action("iop/deconvolution/pick sample window")
            room.wait(lambda: room.runs() > 1, 30, "the module did not run")
            room.drag(600, 130, 960, 480)
            room.action("iop/deconvolution/estimate blur")
            room.wait(lambda: "measuring the sample took" in room.log.read_text(), 120, "the blur was not estimated")
            before = room.runs()
            room.wait(lambda: room.runs() > before + 1, 60, "the picture was not restored")
            room.wait(lambda: room.idle(), 30, "darktable is still working")
            room.screenshot(screen)
            Image.open(screen).convert("RGB").save(out / "estimated.jpg", quality=88, optimize=True)
            room.action("iop/deconvolution", "enable", "off")
            room.wait(lambda: room.idle(), 30, "darktable is still working")
            off = scratch / "off.png"
            room.screenshot(off)
            sides = [Image.open(name).convert("RGB").crop((640, 110, 1000, 560)) for name in (off, screen)]
            pair = Image.new("RGB", (720, 450))
            for i, side in enumerate(sides):
                pair.paste(side, (360 * i, 0))
            pair.save(out / "off-on.jpg", quality=90, optimize=True)
        (scratch / "portrait.tif.xmp").write_text(xmp.sidecar(xmp.spoilt("sigma", -1.0)))
        with Darkroom(launcher, scratch / "damaged", path) as room:
            room.action("iop/deconvolution", "show")
            room.wait(lambda: room.idle(), 30, "darktable is still working")
            room.screenshot(screen)
            crop(screen, (1290, 280, 1600, 900), out / "damaged.png")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
