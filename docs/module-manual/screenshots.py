#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Screenshots for the module's manual page: a picture blurred by a known disk, restored in the darkroom with the blur estimated from it.

Usage: screenshots.py PREFIX OUT [END], PREFIX being where install-darktable put the launchers; END goes behind the files' names. Needs Xvfb,
xdotool, ImageMagick and D-Bus.
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


def write(path, linear):
    """16-bit TIFF, with noise."""
    noisy = linear + np.random.default_rng(0).normal(0, NOISE, linear.shape)
    tifffile.imwrite(path, np.rint(65535 * to_srgb(noisy)).astype(np.uint16), photometric="rgb")


def pictures(folder):
    """The scan of a portrait that comes with scikit-image (NASA, public domain): out of focus, and with only the subject out of focus."""
    sharp = to_linear(data.astronaut() / 255)
    soft = np.stack([convolve(sharp[..., c], disk(RADIUS), mode="nearest") for c in range(3)], -1)
    y, x = np.mgrid[: sharp.shape[0], : sharp.shape[1]]
    subject = ((x - 215) / 125) ** 2 + ((y - 150) / 160) ** 2 < 1  # head and collar
    write(folder / "portrait.tif", soft)
    write(folder / "subject.tif", np.where(subject[..., None], soft, sharp))


def crop(source, box, target):
    """Part (left, top, right, bottom) of a picture file."""
    Image.open(source).convert("RGB").crop(box).save(target, optimize=True, quality=88)


def beside(first, second, box, target):
    """The same part of two screenshots, side by side."""
    width, height = box[2] - box[0], box[3] - box[1]
    pair = Image.new("RGB", (2 * width, height))
    for i, name in enumerate((first, second)):
        pair.paste(Image.open(name).convert("RGB").crop(box), (i * width, 0))
    pair.save(target, quality=90, optimize=True)


WHOLE, MODULE, PICTURE = (0, 0, 1600, 1000), (1215, 250, 1600, 870), (600, 200, 960, 650)


def estimate(launcher, scratch, out, end):
    """unknown, estimated, off-on: the window drawn, the blur estimated, the module off and on at 100 %."""
    screen, off = scratch / "screen.png", scratch / "off.png"
    with Darkroom(launcher, scratch / "home", scratch / "portrait.tif") as room:

        def settle():
            room.wait(lambda: room.idle(), 60, "darktable is still working")

        room.action("iop/deconvolution", "enable", "on")
        room.action("iop/deconvolution", "show")
        settle()
        room.screenshot(screen)
        crop(screen, MODULE, out / f"unknown{end}.png")
        room.action("iop/deconvolution/pick sample window")
        room.wait(lambda: room.runs() > 1, 30, "the module did not run")
        room.drag(600, 130, 960, 480)
        room.action("iop/deconvolution/estimate blur")
        room.wait(lambda: "measuring the sample took" in room.log.read_text(), 120, "the blur was not estimated")
        settle()
        room.screenshot(screen)
        crop(screen, WHOLE, out / f"estimated{end}.jpg")
        room.key("alt+1")
        settle()
        room.screenshot(screen)
        room.action("iop/deconvolution", "enable", "off")
        settle()
        room.screenshot(off)
        beside(off, screen, PICTURE, out / f"off-on{end}.jpg")


def shown(launcher, scratch, out, name, params, picture, box, mask):
    """The module with given parameters."""
    screen = scratch / "screen.png"
    (scratch / f"{picture}.tif.xmp").write_text(xmp.sidecar(params, 3))
    with Darkroom(launcher, scratch / name, scratch / f"{picture}.tif") as room:
        room.action("iop/deconvolution", "show")
        room.wait(lambda: room.idle(), 60, "darktable is still working")
        room.key("alt+1")
        if mask:
            room.action("iop/deconvolution/show where the blur is found")
            room.wait(lambda: room.idle(), 60, "darktable is still working")
        room.screenshot(screen)
        crop(screen, box, out / name)


def main(prefix, out, end=""):
    """Writes unknown.png, estimated.jpg, off-on.jpg, mask.jpg and damaged.png; `end` goes behind the names."""
    out.mkdir(parents=True, exist_ok=True)
    launcher = prefix / "bin" / "darktable-dcv"
    known = {"source": "disk", "radius": RADIUS, "measured_noise": NOISE, "measured_gradient": 0.06}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        pictures(scratch)
        estimate(launcher, scratch, out, end)
        shown(launcher, scratch, out, f"mask{end}.jpg", xmp.pack(**known, refocus=1), "subject", WHOLE, True)
        shown(launcher, scratch, out, f"damaged{end}.png", xmp.spoilt("sigma", -1.0), "portrait", MODULE, False)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
