# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as a user sees them: what they write, print and return."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import tifffile
from PIL import Image

import dcv
from dcv.cli import main


class Done:
    """Exit code, stdout and stderr of a command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> dict:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        done = Done(int(caught.value.code or 0), *capsys.readouterr())
        assert "Traceback" not in done.err
        return done

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sharp.tif, blurred.tif (linear floats), blurred.png (sRGB, 8 bits), blurred.jpg and psf.tif."""
    path = tmp_path_factory.mktemp("pictures")
    psf = dcv.psf.disk(2)
    sharp = dcv.from_srgb(skimage.data.astronaut()[:120, 140:300])
    soft = np.stack([scipy.ndimage.convolve(sharp[:, :, c], psf, mode="mirror") for c in range(3)], axis=-1)
    soft = np.clip(soft + 0.003 * np.random.default_rng(1).normal(size=soft.shape), 0, 1).astype(np.float32)
    tifffile.imwrite(path / "sharp.tif", sharp, photometric="rgb")
    tifffile.imwrite(path / "blurred.tif", soft, photometric="rgb")
    codes = np.rint(255 * dcv.to_srgb(soft)).astype(np.uint8)
    (path / "blurred.png").write_bytes(imagecodecs.png_encode(codes))
    Image.fromarray(codes).save(path / "blurred.jpg", quality=92)
    dcv.psf.save(path / "psf.tif", psf)
    return path


def psnr(run, a: Path, b: Path) -> float:
    return run("compare", a, b, "--json", "-q", "--border", 4).json["psnr_linear_db"]


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_deblur_with_a_psf_gains(suffix: str, run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out{suffix}"
    done = run("deblur", folder / f"blurred{suffix}", out, "--psf", folder / "psf.tif", "--json", "-q")
    assert done.code == 0
    assert done.err == ""
    (told,) = done.json["files"]
    assert (told["width"], told["height"], told["channels"]) == (160, 120, 3)
    assert told["depth"] == ("32f" if suffix == ".tif" else "8")
    assert set(told["seconds"]) >= {"read", "plan", "restore", "write"}
    assert told["plan"]["noise"] > 0
    assert told["peak_memory_mb"] > 10
    # 1 dB: the least of the three, a JPEG, gains 2.
    assert psnr(run, out, folder / "sharp.tif") > psnr(run, folder / f"blurred{suffix}", folder / "sharp.tif") + 1
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


def test_without_the_device_the_processor_restores(run, folder: Path, tmp_path: Path) -> None:
    options = ["--psf", folder / "psf.tif", "--noise", 0.003]
    run("deblur", folder / "blurred.png", tmp_path / "cpu.png", *options, "-q")
    done = run("deblur", folder / "blurred.png", tmp_path / "out.png", *options, "--backend", "opencl", "--device", 31)
    assert done.code == 0 and "restored by the processor instead" in done.err
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "cpu.png").read_bytes()


def test_deblur_blind(run, folder: Path, tmp_path: Path) -> None:
    done = run(
        "deblur", folder / "blurred.png", tmp_path / "out.png", "--blur-size", 7, "--window", "10,10,120,100",
        "--save-psf", tmp_path / "psf.tif", "--json",
    )  # fmt: skip
    assert done.code == 0
    told = done.json["files"][0]
    assert told["psf"]["size"] == 7
    assert told["psf"]["window"] == [10, 10, 120, 100]
    assert dcv.psf.load(tmp_path / "psf.tif").shape == (7, 7)
    assert dcv.psf.read_metadata(tmp_path / "psf.tif")["of"] == "blurred.png"
    assert "sRGB" in done.err
    # The PSF that was saved restores to the same picture.
    again = run("deblur", folder / "blurred.png", tmp_path / "again.png", "--psf", tmp_path / "psf.tif", "-q")
    assert again.code == 0
    difference = imagecodecs.imread(tmp_path / "again.png").astype(int) - imagecodecs.imread(tmp_path / "out.png")
    assert np.abs(difference).max() <= 1


def test_no_blur_is_said(run, tmp_path: Path) -> None:
    noise = (0.3 + 0.01 * np.random.default_rng(0).normal(size=(100, 120, 3))).astype(np.float32)
    tifffile.imwrite(tmp_path / "in.tif", noise, photometric="rgb")
    done = run("deblur", tmp_path / "in.tif", tmp_path / "out.tif", "--blur-size", 7)
    assert done.code == 0
    assert "no blur found" in done.err


def test_a_blur_size_too_small_grows(run, folder: Path, tmp_path: Path) -> None:
    grown = run("estimate", folder / "blurred.tif", tmp_path / "grown.tif", "--blur-size", 3, "--json")
    assert grown.json["size"] == 7
    assert "at the edge" not in grown.err


def test_a_blur_size_that_cannot_grow_is_said(run, folder: Path, tmp_path: Path) -> None:
    small = run("estimate", folder / "blurred.tif", tmp_path / "small.tif", "--blur-size", 3, "--window", "40,40,19,60")
    assert "at the edge of its 3 px" in small.err


def test_blur_size_is_found(run, folder: Path, tmp_path: Path) -> None:
    told = [run("deblur", folder / "blurred.tif", tmp_path / f"{i}.tif", "--json", *more).json for i, more in enumerate(((), ("--blur-size", "auto")))]
    sizes = [one["files"][0]["psf"]["size"] for one in told]
    assert sizes[0] == sizes[1]
    assert sizes[0] % 2 == 1
    assert 3 <= sizes[0] <= 33


def test_options_reach_the_library(run, folder: Path, tmp_path: Path) -> None:
    values = {"noise": 0.02, "lam": 100.0, "iterations": 3, "priority": 0.5, "threads": 1, "halo": 20, "planning": "estimate"}
    options = [text for name, value in values.items() for text in (f"--{name}", value)]
    done = run("deblur", folder / "blurred.tif", tmp_path / "out.tif", "--psf", folder / "psf.tif", "--flavour", "fast", "--json", *options)
    told = done.json["files"][0]
    assert told["plan"]["noise"] == pytest.approx(0.02)
    assert told["result"]["iterations"] == 3
    assert told["plan"]["threads"] == 1
    values.pop("noise")
    with dcv.Plan(tifffile.imread(folder / "blurred.tif"), dcv.psf.load(folder / "psf.tif"), channel_axis=-1, flavour="fast", noise=0.02, **values) as plan:
        assert np.array_equal(plan.execute(tifffile.imread(folder / "blurred.tif")), tifffile.imread(tmp_path / "out.tif"))


def test_saturation_is_set_for_integers_only(run, folder: Path, tmp_path: Path) -> None:
    codes = imagecodecs.imread(folder / "blurred.png").copy()
    codes[50:60, 70:90] = 255
    (tmp_path / "in.png").write_bytes(imagecodecs.png_encode(codes))
    tifffile.imwrite(tmp_path / "in.tif", dcv.from_srgb(codes), photometric="rgb")

    def clipped(name: str, *options: object) -> int:
        done = run("deblur", tmp_path / name, tmp_path / f"out_{name}", "--psf", folder / "psf.tif", "--json", "-q", "--overwrite", *options)
        return done.json["files"][0]["result"]["clipped_pixels"]

    assert clipped("in.png") >= 200
    assert clipped("in.png", "--saturation", 0) == 0
    assert clipped("in.tif") == 0
    assert clipped("in.tif", "--saturation", 0.99) >= 200


def test_gray_picture(run, folder: Path, tmp_path: Path) -> None:
    codes = imagecodecs.imread(folder / "blurred.png")[:, :, 1].copy()
    (tmp_path / "gray.png").write_bytes(imagecodecs.png_encode(codes))
    assert run("deblur", tmp_path / "gray.png", tmp_path / "out.png", "--psf", folder / "psf.tif").code == 0
    assert imagecodecs.imread(tmp_path / "out.png").shape == codes.shape
    dcv.psf.save(tmp_path / "colour.tif", np.dstack([dcv.psf.disk(2)] * 3))
    done = run("deblur", tmp_path / "gray.png", tmp_path / "no.png", "--psf", tmp_path / "colour.tif")
    assert done.code == 1
    assert "gray" in done.err


def test_batch(run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    done = run("deblur", folder / "blurred.png", folder / "blurred.jpg", out, "--psf", folder / "psf.tif", "--json")
    assert done.code == 0
    assert sorted(entry.name for entry in out.iterdir()) == ["blurred.jpg", "blurred.png"]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    some = run("deblur", folder / "blurred.png", tmp_path / "bad.png", out, "--psf", folder / "psf.tif", "--overwrite", "--json")
    assert some.code == 3
    assert "unknown format" in some.json["files"][1]["error"]
    assert sorted(entry.name for entry in out.iterdir()) == ["blurred.jpg", "blurred.png"]
    assert run("deblur", tmp_path / "bad.png", tmp_path / "none.png", out, "--psf", folder / "psf.tif").code == 1
    assert run("deblur", folder / "blurred.png", out, "--psf", folder / "psf.tif").code == 4, "one input may go into a folder, too"


def test_estimate_beside_lamps(run, folder: Path, tmp_path: Path) -> None:
    """Integer files end at white: their lamps are left out of the estimate unless `--saturation 0` says that nothing is clipped."""
    lit = imagecodecs.imread(folder / "blurred.png") // 2
    for y in range(20, lit.shape[0] - 20, 50):
        for x in range(20, lit.shape[1] - 20, 50):
            lit[y : y + 4, x : x + 9] = np.iinfo(lit.dtype).max
    imagecodecs.imwrite(tmp_path / "lit.png", lit)
    error = []
    for given in ((), ("--saturation", 0), ("--saturation", 0.98)):
        assert run("estimate", tmp_path / "lit.png", tmp_path / "found.tif", "--blur-size", 7, *given, "--overwrite").code == 0
        error.append(abs(dcv.psf.radius(dcv.psf.load(tmp_path / "found.tif")) - dcv.psf.radius(dcv.psf.load(folder / "psf.tif"))))
    assert error[0] == error[2] < error[1]



def test_estimate_writes_a_psf(run, folder: Path, tmp_path: Path) -> None:
    done = run("estimate", folder / "blurred.tif", tmp_path / "psf.tif", "--blur-size", 7, "--json")
    assert done.code == 0
    assert done.json["size"] == 7
    psf = dcv.psf.load(tmp_path / "psf.tif")
    assert np.array_equal(psf, dcv.psf.normalise(dcv.estimate_psf(tifffile.imread(folder / "blurred.tif"), 7, channel_axis=-1).psf))
    assert dcv.psf.read_metadata(tmp_path / "psf.tif")["confidence"] == pytest.approx(done.json["confidence"])
    done = run("estimate", folder / "blurred.tif", tmp_path / "rgb.png", "--blur-size", 7, "--blur", "per-channel", "-q")
    assert "confidence" in done.out
    assert imagecodecs.imread(tmp_path / "rgb.png").shape == (7, 7, 3)


def test_compare(run, folder: Path, tmp_path: Path) -> None:
    same = run("compare", folder / "sharp.tif", folder / "sharp.tif", "--json")
    assert same.json["psnr_linear_db"] is None, "infinite, which JSON cannot say"
    assert same.json["ssim_srgb"] == pytest.approx(1)
    a, b = tifffile.imread(folder / "sharp.tif"), tifffile.imread(folder / "blurred.tif")
    done = run("compare", folder / "sharp.tif", folder / "blurred.tif", "--json", "--sheet", tmp_path / "sheet.png")
    assert done.json["psnr_linear_db"] == pytest.approx(-10 * np.log10(np.mean((a.astype(float) - b) ** 2)), abs=1e-6)
    assert done.json["ssim_srgb"] < 0.99
    assert imagecodecs.imread(tmp_path / "sheet.png").shape[1] > 3 * 160
    assert "dB" in run("compare", folder / "sharp.tif", folder / "blurred.tif").out
    tifffile.imwrite(tmp_path / "small.tif", a[:50], photometric="rgb")
    done = run("compare", folder / "sharp.tif", tmp_path / "small.tif")
    assert done.code == 1
    assert "160 x 50" in done.err
    assert run("compare", folder / "sharp.tif", folder / "blurred.tif", "--border", 60).code == 1


def test_info(run) -> None:
    done = run("info", "--json", "-v")
    assert done.json["version"] == dcv.__version__
    assert done.json["devices"][0] == "cpu" and len(done.json["devices"]) == 1 + len(dcv.devices())
    assert [row["name"] for row in done.json["parameters"]] == [row.name for row in dcv.parameters()]
    text = run("info").out
    assert dcv.__version__ in text
    assert "wisdom" in text


def test_psf_commands(run, tmp_path: Path) -> None:
    tif, png = tmp_path / "psf.tif", tmp_path / "psf.png"
    assert run("psf", "make", "motion", tif, "--length", 9, "--angle", 30).code == 0
    assert np.allclose(dcv.psf.load(tif), dcv.psf.motion(9, 30), rtol=3e-7)
    assert dcv.psf.read_metadata(tif)["angle"] == 30
    shown = run("psf", "show", tif)
    assert "kind: motion" in shown.out
    assert "@" in shown.out
    assert run("psf", "show", tif, "--json", "-v").json["values"] == dcv.psf.load(tif).tolist()
    assert run("psf", "convert", tif, png).code == 0
    assert np.abs(dcv.psf.load(png) - dcv.psf.load(tif)).max() < 1e-5
    assert run("psf", "convert", tif, tmp_path / "half.tif", "--scale", 0.5, "--centre").code == 0
    assert dcv.psf.read_metadata(tmp_path / "half.tif")["scaled_by"] == 0.5
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        assert run("psf", "plot", tif, tmp_path / f"plot{suffix}").code == 0
        assert (tmp_path / f"plot{suffix}").read_bytes().startswith(start)
    dcv.psf.save(tmp_path / "rgb.tif", np.dstack([dcv.psf.gaussian(s, 9) for s in (1, 1.2, 1.5)]))
    assert run("psf", "plot", tmp_path / "rgb.tif", tmp_path / "rgb.png").code == 0
    assert run("psf", "show", tmp_path / "rgb.tif").code == 0


@pytest.mark.parametrize("kind", ["gaussian --sigma 2", "disk --radius 3", "uniform --size 5", "kaiser --beta 4 --size 9", "exponential --decay 1"])
def test_psf_make(kind: str, run, tmp_path: Path) -> None:
    name, *options = kind.split()
    assert run("psf", "make", name, tmp_path / "psf.tif", *options).code == 0
    dcv.psf.validate(dcv.psf.load(tmp_path / "psf.tif"))


USAGE = [
    ("deblur", "in.png"),
    ("deblur", "in.png", "out.xyz"),
    ("deblur", "in.png", "out.png", "--blur-size", "8"),
    ("deblur", "in.png", "out.png", "--blur-size", "35"),
    ("deblur", "in.png", "out.png", "--blur-size", "large"),
    ("deblur", "in.png", "out.png", "--window", "0,0,15,100"),
    ("deblur", "in.png", "out.png", "--blur-size", "21", "--window", "0,0,20,100"),
    ("deblur", "in.png", "out.png", "--window", "0,0,20"),
    ("deblur", "in.png", "out.png", "--window", "-1,0,20,20"),
    ("deblur", "in.png", "out.png", "--psf", "psf.tif", "--blur-size", "9"),
    ("deblur", "in.png", "out.png", "--psf", "psf.tif", "--window", "0,0,40,40"),
    ("deblur", "in.png", "out.png", "--flavour", "great"),
    ("deblur", "in.png", "out.png", "--priority", "2"),
    ("deblur", "in.png", "out.png", "--depth", "12"),
    ("deblur", "in.png", "out.png", "--mask", "mask.png"),
    ("deblur", "in.png", "out.png", "--refocus", "--mask", "mask.jpg"),
    ("deblur", "in.png", "out.png", "--grid", "3"),
    ("deblur", "in.png", "out.png", "--grid", "0x3"),
    ("deblur", "in.png", "out.png", "--grid", "2x2", "--refocus"),
    ("deblur", "in.png", "out.png", "--save-psf", "psf.jpg"),
    ("deblur", "a.png", "b.png", "folder", "--save-psf", "psf.tif"),
    ("deblur", "a.png", "sub/a.png", "folder"),
    ("estimate", "in.png", "psf.jpg"),
    ("psf", "make", "gaussian", "psf.tif"),
    ("psf", "make", "gaussian", "psf.tif", "--radius", "2"),
    ("psf", "make", "uniform", "psf.tif"),
    ("psf", "make", "disk", "psf.tif", "--radius", "2", "--size", "8"),
    ("psf", "make", "disk", "psf.jpg", "--radius", "2"),
    ("psf", "plot", "psf.tif", "plot.gif"),
    ("compare", "a.png", "b.png", "--sheet", "sheet.gif"),
    ("sharpen",),
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_command_lines(arguments: tuple[str, ...], run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("psf",), ("xmp",)], ids=str)
def test_without_a_command_the_help_is_shown(arguments: tuple[str, ...], run) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.err.startswith("Usage: dcv")
    assert len(done.err.splitlines()) > 8


def test_a_missing_folder_is_told_before_any_work(run, folder: Path, tmp_path: Path) -> None:
    for arguments in (("deblur", folder / "blurred.png", tmp_path / "none" / "out.png"), ("estimate", folder / "blurred.png", tmp_path / "none" / "psf.tif")):
        done = run(*arguments)
        assert done.code == 1
        assert len(done.err.splitlines()) == 1, "nothing was read: it would have been told that there is no profile"
        assert "none: No such file or directory" in done.err


def test_never_onto_the_input(run, folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    source.write_bytes((folder / "blurred.png").read_bytes())
    (tmp_path / "link.png").symlink_to(source)
    before = source.read_bytes()
    for out in (source, tmp_path / "link.png", tmp_path / "." / "in.png"):
        done = run("deblur", source, out, "--psf", folder / "psf.tif", "--overwrite")
        assert done.code != 0
        assert "input" in done.err
    done = run("deblur", source, tmp_path, "--psf", folder / "psf.tif", "--overwrite")
    assert done.code != 0
    assert source.read_bytes() == before


def test_existing_output_is_kept_without_overwrite(run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    out.write_bytes(b"precious")
    done = run("deblur", folder / "blurred.png", out, "--psf", folder / "psf.tif")
    assert done.code == 4
    assert "--overwrite" in done.err
    assert out.read_bytes() == b"precious"
    assert run("deblur", folder / "blurred.png", out, "--psf", folder / "psf.tif", "--overwrite").code == 0
    assert out.read_bytes() != b"precious"
    for arguments in (
        ("estimate", folder / "blurred.png", out),
        ("psf", "convert", folder / "psf.tif", out),
        ("psf", "plot", folder / "psf.tif", out),
    ):
        assert run(*arguments).code == 4


def test_quiet_says_nothing_and_verbose_says_the_times(run, folder: Path, tmp_path: Path) -> None:
    assert run("deblur", folder / "blurred.png", tmp_path / "a.png", "--psf", folder / "psf.tif", "-q").err == ""
    text = run("deblur", folder / "blurred.png", tmp_path / "b.png", "--psf", folder / "psf.tif", "-v").err
    for word in ("read", "plan", "restore", "write", "noise", "lam"):
        assert word in text


def test_wisdom_is_kept_and_harmless(run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run("deblur", folder / "blurred.png", tmp_path / "a.png", "--psf", folder / "psf.tif", "-q")
    path = dcv.wisdom.default_path()
    assert path.read_text("ascii") == dcv.wisdom.export_text()
    path.write_bytes(b"damaged")
    assert run("deblur", folder / "blurred.png", tmp_path / "b.png", "--psf", folder / "psf.tif", "-q").err == ""
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run("deblur", folder / "blurred.png", tmp_path / "c.png", "--psf", folder / "psf.tif", "-q").err == ""


def test_refocus_writes_its_mask(run, folder: Path, tmp_path: Path) -> None:
    done = run(
        "deblur", folder / "blurred.tif", tmp_path / "out.tif", "--psf", folder / "psf.tif", "--refocus", "--mask", tmp_path / "mask.png", "--json",
        "--planning", "estimate",
    )  # fmt: skip
    assert done.code == 0, done.err
    mask = imagecodecs.png_decode((tmp_path / "mask.png").read_bytes())
    assert mask.shape == (120, 160)
    assert mask.dtype == np.uint16
    share = done.json["files"][0]["refocus"]["restored_share"]
    assert share == pytest.approx(mask.mean() / 65535, abs=1e-3)
    assert share > 0.8


def test_refocus_keeps_to_the_window(run, folder: Path, tmp_path: Path) -> None:
    sharp, soft = (tifffile.imread(folder / name) for name in ("sharp.tif", "blurred.tif"))
    half = np.where(np.arange(160)[:, np.newaxis] < 80, soft, sharp + 0.003 * np.random.default_rng(2).normal(size=sharp.shape)).astype(np.float32)
    tifffile.imwrite(tmp_path / "half.tif", half, photometric="rgb")

    def told(name: str, *options: str) -> dict:
        done = run("deblur", tmp_path / "half.tif", tmp_path / name, "--refocus", "--json", "--planning", "estimate", *options)
        assert done.code == 0, done.err
        return done.json["files"][0]

    psf = ("--psf", str(folder / "psf.tif"))
    left, right = (told(f"{x}.tif", *psf, "--window", f"{x},20,60,60")["refocus"] for x in (10, 90))
    assert left["window"] == [10, 20, 60, 60]
    assert left["restored_share"] > 0.4
    assert right["restored_share"] == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "90.tif"), half)
    assert "window" not in told("none.tif", *psf)["refocus"]
    estimated = told("estimated.tif", "--blur-size", "7", "--window", "8,8,64,100")
    assert estimated["refocus"]["window"] == estimated["psf"]["window"] == [8, 8, 64, 100]
    assert run("deblur", tmp_path / "half.tif", tmp_path / "no.tif", "--refocus", *psf, "--window", "120,20,60,60").code == 1


def test_grid(run, folder: Path, tmp_path: Path) -> None:
    done = run("deblur", folder / "blurred.tif", tmp_path / "out.tif", "--grid", "2x1", "--blur-size", 7, "--json", "--planning", "estimate")
    assert done.code == 0, done.err
    told = done.json["files"][0]
    assert len(told["psf"]["cells"]) == 1
    assert len(told["psf"]["cells"][0]) == 2
    assert tifffile.imread(tmp_path / "out.tif").shape == (120, 160, 3)
