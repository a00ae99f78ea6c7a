# SPDX-License-Identifier: GPL-3.0-or-later
"""``dcv xmp``: sidecars written, edited, shown, taken apart; and darktable-cli with one of them."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import tifffile

import dcv
from dcv.cli import main, xmp_params
from dcv.cli.xmp_params import XmpError
from dcv.cli.xmp_sidecar import DARKTABLE, RDF, Sidecar

LIST = "rawprepare,0,demosaic,0,denoiseprofile,0,denoiseprofile,1,colorin,0,channelmixerrgb,0,exposure,0,gamma,0"
OLD_STEP = """
     <rdf:li
      darktable:num="{num}"
      darktable:operation="{operation}"
      darktable:enabled="1"
      darktable:modversion="{version}"
      darktable:params="{params}"
      darktable:multi_name="kept"
      darktable:multi_priority="{instance}"
      darktable:blendop_version="11"
      darktable:blendop_params="gz14eJxjYIAACQYYOOHEgAZY0QVwggZ7CB6pfNoAAE8gGQg="/>"""


def old_sidecar(*steps: tuple[str, int, str, int], end: int | None = None, masks: str = "", order: str = f'\n   darktable:iop_order_list="{LIST}"') -> str:
    """As darktable writes it. Steps: (operation, version, params, instance)."""
    items = "".join(OLD_STEP.format(num=i, operation=o, version=v, params=p, instance=m) for i, (o, v, p, m) in enumerate(steps))
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="{RDF}">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmlns:darktable="{DARKTABLE}"
   xmpMM:DerivedFrom="a &lt;b> history_end=&quot;7&quot; ü.raw"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1"
   darktable:history_end="{len(steps) if end is None else end}"
   darktable:iop_order_version="0"{order}
   darktable:history_current_hash="2ead273298b0de5955aed28fac8867bd">
   <!-- a remark: <rdf:li> -->
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Straße</rdf:li></rdf:Alt></dc:title>
   <darktable:masks_history>
    <rdf:Seq>{masks}</rdf:Seq>
   </darktable:masks_history>
   <darktable:history>
    <rdf:Seq>{items}
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""


EXPOSURE = ("exposure", 6, "00000000000080b90000003f00004842000080c0", 0)
FLIP = ("flip", 2, "ffffffff", 0)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    def call(*arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["xmp", *(str(argument) for argument in arguments)])
        out, err = capsys.readouterr()
        assert int(caught.value.code or 0) == code, err
        assert "Traceback" not in err
        assert len(err.splitlines()) == (code != 0)
        return out, err

    return call


@pytest.fixture
def shaken(tmp_path: Path) -> Path:
    """A stored PSF: no symmetry, three channels."""
    psf = np.random.default_rng(3).random((11, 11, 3)) ** 4
    dcv.psf.save(tmp_path / "psf.tif", psf, {"confidence": 0.75})
    return tmp_path / "psf.tif"


def shown(run, path: Path) -> dict:
    return json.loads(run("show", path, "--json")[0])


def history(data: bytes) -> list[dict[str, str]]:
    """Attributes of the steps, read by another parser; sorted by number."""
    path = f".//{{{DARKTABLE}}}history/{{{RDF}}}Seq/{{{RDF}}}li"
    steps = [{key.split("}")[1]: value for key, value in item.attrib.items()} for item in ET.fromstring(data).findall(path)]
    return sorted(steps, key=lambda step: int(step["num"]))


def description(data: bytes) -> dict[str, str]:
    (found,) = ET.fromstring(data).findall(f".//{{{RDF}}}Description")
    return {key.split("}")[1]: value for key, value in found.attrib.items()}


# ---- parameters ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_struct_round_trip(channels: int) -> None:
    psf = dcv.psf.normalise(np.random.default_rng(1).random((33, 33, 3)[: 2 + (channels == 3)]))
    values = {"priority": -0.25, "flavour": "best", "noise": 0.125, "iterations": 12, "blur": int(channels == 3), "window": (0.0, 0.25, 0.5, 1.0)}
    data = xmp_params.pack(psf, **values)
    assert len(data) == 6640
    fields = xmp_params.unpack(xmp_params.decode(xmp_params.encode(data)))
    assert {name: fields[name] for name in values} == values
    # 16 bits a value
    np.testing.assert_allclose(fields["psf"], psf, atol=psf.max() / 65535)
    # nothing is lost when other fields are edited
    assert xmp_params.pack(**fields) == data


def test_struct_has_the_layout_of_the_module(root: Path) -> None:
    """Order and types of the C struct, and its ranges."""
    source = (root / "c_src" / "darktable" / "deconvolution.c").read_text("utf-8")
    body = source.split("typedef struct dt_iop_deconvolution_params_t\n{")[1].split("\n}")[0]
    declared = re.findall(r"^\s*([\w ]+?) (\w+)(\[\d+\])?;(.*)$", body, flags=re.M)
    names = [name for _, name, _, _ in declared]
    before = [name for name in xmp_params.FIELDS if name not in xmp_params.BEHIND]
    assert names == [*before, "psf_size", "psf_channels", "psf_check", "psf", *xmp_params.BEHIND]
    codes = "".join({"float": "f", "unsigned int": "I", "uint16_t": "H"}.get(kind, "i") * int(count[1:-1] or 1 if count else 1) for kind, _, count, _ in declared)
    assert codes == "iifffffiffffiifffffiiI" + "H" * 3268 + "fiif"
    assert struct.calcsize("<" + codes) == xmp_params.LAYOUT.size
    for _, name, _, comment in declared:
        limits = re.findall(r"\$(?:MIN|MAX): ([-\d.]+)", comment)
        if limits and name in xmp_params.FIELDS:
            assert tuple(map(float, limits)) == xmp_params.FIELDS[name][1:], name


def test_checksum() -> None:
    # FNV-1a of the bytes 01 00 01 00 ff ff, computed step by step from its definition
    value = 0x811C9DC5
    for byte in b"\1\0\1\0\xff\xff":
        value = ((value ^ byte) * 0x01000193) % 2**32
    assert xmp_params.checksum(1, 1, np.array([65535])) == value


def test_limits_are_those_of_single_precision() -> None:
    fields = xmp_params.unpack(xmp_params.pack(source="gaussian", sigma=0.3, noise=0.2))
    assert fields["sigma"] == np.float32(0.3)


@pytest.mark.parametrize("values", [{"sigma": 0.2}, {"priority": float("nan")}, {"noise": float("inf")}, {"source": "lens"}, {"window": (0, 0, 2, 1)}])
def test_values_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(XmpError, match=next(iter(values))):
        xmp_params.pack(**values)


def test_large_psfs_are_trimmed_only_where_they_are_empty() -> None:
    psf = np.pad(dcv.psf.disk(3), 20)
    np.testing.assert_array_equal(xmp_params.unpack(xmp_params.pack(psf))["psf"].shape, (33, 33))
    with pytest.raises(XmpError, match="33 at most"):
        xmp_params.pack(np.ones((35, 35)))


def flipped(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]


GOOD = xmp_params.pack(np.ones((3, 3)))
PSF_START = xmp_params.LAYOUT_1.size - 2 * 3268


@pytest.mark.parametrize(
    "text, reason",
    [
        ("gz02*%", "damaged"),
        ("gz02" + base64.b64encode(b"no zlib").decode(), "damaged"),
        ("gz02" + base64.b64encode(zlib.compress(GOOD)[:-9]).decode(), "too early"),
        (xmp_params.encode(GOOD[:-8]), "6632 bytes"),
        (xmp_params.encode(GOOD + b"\0"), "6641 bytes"),
        (xmp_params.encode(flipped(GOOD, PSF_START)), "checksum"),
        (xmp_params.encode(b"\xff" * len(GOOD)), "source"),
        ("0123x", "damaged"),
        ("", "0 bytes"),
        (xmp_params.encode(b"\0" * (1 << 25)), "too early"),
    ],
    ids=["base64", "zlib", "cut", "short", "long", "psf", "ones", "hex", "empty", "bomb"],
)
def test_damaged_parameters(text: str, reason: str, run, tmp_path: Path) -> None:
    path = tmp_path / "a.raw.xmp"
    path.write_text(old_sidecar(EXPOSURE, ("deconvolution", 1, text, 0)))
    before = path.read_bytes()
    for command in (("show", path), ("psf", path, tmp_path / "psf.tif"), ("write", path, "--disk", 2, "--overwrite")):
        _, err = run(*command, code=1)
        assert reason in err
        assert str(path) in err
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    run("write", path, "--disk", 2, "--overwrite", "--reset")
    assert shown(run, path)["radius"] == 2


@pytest.mark.parametrize("version, size", [(1, xmp_params.LAYOUT_1.size), (2, xmp_params.LAYOUT_2.size)])
def test_parameters_of_earlier_versions(version: int, size: int, run, tmp_path: Path) -> None:
    """Read, and written as the present version when edited."""
    path = tmp_path / "a.xmp"
    path.write_text(old_sidecar(("deconvolution", version, xmp_params.encode(GOOD[:size]), 0)))
    run("write", path, "--priority", 0.5, "--refocus", "--overwrite")
    step = Sidecar(path.read_bytes()).step()
    assert step and step.element.own("modversion") == "3"
    assert step.params() == xmp_params.pack(np.ones((3, 3)), priority=0.5, refocus=1)


def test_parameters_of_another_version(run, tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_text(old_sidecar(("deconvolution", 4, xmp_params.encode(GOOD), 0)))
    assert "version 4" in run("show", path, code=1)[1]


# ---- sidecars --------------------------------------------------------------------------------------------------------------------------


def test_new_sidecar(run, tmp_path: Path, shaken: Path) -> None:
    picture = tmp_path / "a.raw"
    picture.write_bytes(b"raw")
    run("write", picture, "--psf", shaken, "--priority", 0.5, "--flavour", "best", "--noise", 0.01)
    path = tmp_path / "a.raw.xmp"
    (step,) = history(path.read_bytes())
    assert (step["num"], step["operation"], step["enabled"], step["modversion"]) == ("0", "deconvolution", "1", "3")
    about = description(path.read_bytes())
    assert (about["history_end"], about["iop_order_version"], about["xmp_version"]) == ("1", "2", "5")
    told = shown(run, path)
    assert (told["source"], told["priority"], told["flavour"], told["noise"], told["confidence"]) == ("estimated", 0.5, "best", 0.01, 0.75)
    assert (told["blur"], told["psf"]["size"], told["psf"]["channels"], told["measured_noise"]) == (1, 11, 3, 0)
    out = tmp_path / "out.tif"
    run("psf", path, out)
    np.testing.assert_allclose(dcv.psf.load(out), dcv.psf.load(shaken), atol=1e-6)
    run("psf", path, out, code=4)
    run("write", picture, "--disk", 2, code=4)


@pytest.mark.parametrize(
    "options, psf",
    [
        (("--gaussian", 1.25), dcv.psf.gaussian(1.25)),
        (("--disk", 2.5), dcv.psf.disk(2.5)),
        (("--motion", "9,120"), dcv.psf.motion(9, -60)),
        (("--motion", 7), dcv.psf.motion(7)),
    ],
)
def test_described_blurs(options: tuple, psf: np.ndarray, run, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"raw")
    run("write", tmp_path / "a.raw", *options, "-o", tmp_path / "b.xmp")
    run("psf", tmp_path / "b.xmp", tmp_path / "psf.tif")
    np.testing.assert_allclose(dcv.psf.load(tmp_path / "psf.tif"), psf, atol=1e-7)
    assert not (tmp_path / "a.raw.xmp").exists()


def without_ours(text: str) -> str:
    """A sidecar's text without what adding the module changes."""
    text = re.sub(r'\s+<rdf:li\s+darktable:num="\d+"\s+darktable:operation="deconvolution"[^>]*/>', "", text)
    text = re.sub(r'\s+darktable:history_current_hash="[^"]*"', "", text)
    return text.replace("deconvolution,0,", "")


def test_edit_keeps_everything_else(run, tmp_path: Path) -> None:
    path, out = tmp_path / "a.raw.xmp", tmp_path / "out.xmp"
    before = old_sidecar(EXPOSURE, FLIP)
    path.write_text(before)
    run("write", path, "--gaussian", 1.5, "-o", out)
    assert path.read_text() == before
    after = out.read_text()
    assert without_ours(after) == without_ours(before).replace('history_end="2"', 'history_end="3"')
    steps = history(out.read_bytes())
    assert [(step["num"], step["operation"]) for step in steps] == [("0", "exposure"), ("1", "flip"), ("2", "deconvolution")]
    modules = description(out.read_bytes())["iop_order_list"].split(",")
    assert modules[modules.index("colorin") + 2 :][:2] == ["deconvolution", "0"]
    assert "history_current_hash" not in after
    run("write", path, "--gaussian", 1.5, code=4)
    run("write", path, "--gaussian", 1.5, "--overwrite")
    assert path.read_text() == after


def test_undone_steps_and_their_masks_move_up(run, tmp_path: Path) -> None:
    path = tmp_path / "a.raw.xmp"
    masks = '<rdf:li darktable:mask_num="0" darktable:mask_id="1"/><rdf:li darktable:mask_num="1" darktable:mask_id="2"/>'
    path.write_text(old_sidecar(EXPOSURE, FLIP, ("deconvolution", 2, "ff", 0), end=1, masks=masks))
    run("write", path, "--disk", 2, "--overwrite")
    data = path.read_bytes()
    assert [(step["num"], step["operation"]) for step in history(data)] == [("0", "exposure"), ("1", "deconvolution"), ("2", "flip"), ("3", "deconvolution")]
    assert description(data)["history_end"] == "2"
    assert re.findall(rb'mask_num="(\d)"', data) == [b"0", b"2"]
    assert shown(run, path)["source"] == "disk"


def test_replace_keeps_what_is_not_said(run, tmp_path: Path, shaken: Path) -> None:
    path = tmp_path / "a.raw.xmp"
    first = xmp_params.encode(xmp_params.pack(source="disk", radius=4.0))
    second = xmp_params.encode(xmp_params.pack(dcv.psf.load(shaken), priority=0.5, measured_noise=0.003))
    before = old_sidecar(("deconvolution", 3, first, 0), ("deconvolution", 3, second, 3), EXPOSURE).replace('enabled="1"', 'enabled="0"')
    path.write_text(before)
    told = shown(run, path)
    assert (told["num"], told["instance"], told["enabled"], told["priority"]) == (1, 3, False, 0.5)
    run("write", path, "--flavour", "fast", "--overwrite")
    told = shown(run, path)
    assert (told["num"], told["enabled"], told["flavour"], told["priority"], told["measured_noise"]) == (1, True, "fast", 0.5, 0.003)
    run("psf", path, tmp_path / "out.tif")
    np.testing.assert_allclose(dcv.psf.load(tmp_path / "out.tif"), dcv.psf.load(shaken), atol=1e-6)
    old, new = history(before.encode()), history(path.read_bytes())
    assert [old[0], old[2]] == [new[0], new[2]]
    assert {key for key in old[1] if old[1][key] != new[1][key]} == {"enabled", "params"}
    # the instance that the step is of
    assert "colorin,0,deconvolution,3," in path.read_text()
    run("write", path, "--reset", "--disk", 2, "--overwrite")
    assert shown(run, path)["priority"] == 0


def test_an_order_that_has_the_module_stays(run, tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_text(old_sidecar(EXPOSURE).replace("exposure,0,gamma", "exposure,0,deconvolution,0,gamma"))
    run("write", path, "--disk", 2, "--overwrite")
    assert description(path.read_bytes())["iop_order_list"] == LIST.replace("exposure,0,gamma", "exposure,0,deconvolution,0,gamma")


def packet(inside: str) -> str:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">{inside}</rdf:RDF></x:xmpmeta>'


@pytest.mark.parametrize(
    "text",
    [
        packet('<rdf:Description rdf:about=""/>'),
        packet("<rdf:Description rdf:about='' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='3'></rdf:Description>"),
        packet(f'<rdf:Description xmlns:dt="{DARKTABLE}" dt:history_end="0"><dt:history><rdf:Seq/></dt:history></rdf:Description>'),
        packet(f'<rdf:Description xmlns:darktable="{DARKTABLE}"><darktable:history></darktable:history></rdf:Description>'),
        "\ufeff" + packet('<rdf:Description rdf:about="ö" />').replace("rdf:", "r:").replace(":rdf=", ":r="),
        packet('<rdf:Description rdf:about=""/>').replace(">", ">\r\n"),
    ],
    ids=["empty", "other", "prefix", "no list", "byte order mark", "lines"],
)
def test_sidecars_without_history(text: str, run, tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(text.encode())
    run("write", path, "--disk", 2, "--overwrite")
    data = path.read_bytes()
    (step,) = history(data)
    assert (step["operation"], step["num"]) == ("deconvolution", "0")
    about = description(data)
    assert (about["history_end"], about["xmp_version"], about["iop_order_version"]) == ("1", "5", "2")
    assert about.get("Rating") == ("3" if "Rating" in text else None)
    assert about.get("about") == ("ö" if "ö" in text else "" if "about" in text else None)
    assert shown(run, path)["radius"] == 2
    run("write", path, "--disk", 3, "--overwrite")
    assert len(history(path.read_bytes())) == 1


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "no element"),
        ("<x>", "no element"),
        ("<x/>", "rdf:Description"),
        ("\xff\xfe", "UTF-8"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + packet("&a;"), "document type"),
        (old_sidecar(EXPOSURE).replace('history_end="1"', 'history_end="one"'), "history_end"),
        (old_sidecar(EXPOSURE).replace('xmp_version="5"', 'xmp_version="3"'), "version 3"),
        (old_sidecar(EXPOSURE).replace("colorin,0,", ""), "colorin"),
        (old_sidecar(EXPOSURE).replace("colorin,0,", "colorin,"), "order"),
        (old_sidecar(EXPOSURE).replace('darktable:num="0"', ""), "as darktable writes"),
        (packet(f'<rdf:Description xmlns:d="{DARKTABLE}"><d:history_end>1</d:history_end></rdf:Description>'), "as darktable writes"),
    ],
    ids=["empty", "open", "no xmp", "bytes", "entity", "end", "old", "no colorin", "odd", "no number", "elements"],
)
def test_files_that_are_refused(text: str, reason: str, run, tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_bytes(text.encode("latin-1" if text.startswith("\xff") else "utf-8"))
    before = path.read_bytes()
    assert reason in run("write", path, "--disk", 2, "--overwrite", code=1)[1]
    assert path.read_bytes() == before


def test_random_damage_is_an_error_or_nothing() -> None:
    """Wrong bytes anywhere in a sidecar: it is refused with XmpError, or read and edited into one that can be read again."""
    random = np.random.default_rng(7)
    good = old_sidecar(EXPOSURE, ("deconvolution", 1, xmp_params.encode(GOOD), 0), FLIP).encode()
    refused = 0
    for _ in range(600):
        data = bytearray(good)
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.choice(np.frombuffer(b"\"'<>/=:& 0a\0\xff", np.uint8))
        try:
            Sidecar(Sidecar(bytes(data)).with_params(GOOD)).step()
        except XmpError:
            refused += 1
    assert 200 < refused < 600


def test_usage(run, tmp_path: Path, shaken: Path) -> None:
    picture = tmp_path / "a.raw"
    assert "a.raw" in run("write", picture, "--disk", 2, code=1)[1]
    for command in ("show", tmp_path / "no.xmp"), ("psf", tmp_path / "no.xmp", tmp_path / "p.tif"), ("write", tmp_path / "no.xmp", "--disk", 2):
        assert "no.xmp" in run(*command, code=1)[1]
    picture.write_bytes(b"raw")
    for options in (), ("--disk", 2, "--gaussian", 2), ("--disk", 99), ("--motion", "a,b"), ("--motion", "99,0"), ("--disk", 2, "--noise", 0.5):
        run("write", picture, *options, code=2)
    run("write", picture, "--disk", 2, "-o", picture, "--overwrite", code=2)
    assert "unknown format" in run("write", picture, "--disk", 2, "--measure", code=1)[1]
    (tmp_path / "a.xmp").write_text(old_sidecar(EXPOSURE))
    assert "no deconvolution" in run("show", tmp_path / "a.xmp", code=1)[1]
    run("psf", tmp_path / "a.xmp", tmp_path / "p.jpg", code=2)
    assert picture.read_bytes() == b"raw"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.raw", "a.xmp", shaken.name]


def test_unknown_blur(run, tmp_path: Path) -> None:
    path = tmp_path / "a.xmp"
    path.write_text(old_sidecar(("deconvolution", 1, xmp_params.encode(xmp_params.pack()), 0)))
    assert "not known" in run("show", path)[0]
    assert shown(run, path)["psf"] is None
    assert "not known" in run("psf", path, tmp_path / "p.tif", code=1)[1]
    assert "not known" in run("write", path, "--priority", 1, "--overwrite", code=2)[1]


SIGMA, NOISE = 1.5, 0.005


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sharp.tif and blurred.tif, 16 bits."""
    path = tmp_path_factory.mktemp("pictures")
    sharp = dcv.from_srgb(skimage.data.astronaut()[:256, :288])
    blurred = scipy.ndimage.gaussian_filter(sharp, (SIGMA, SIGMA, 0), mode="nearest") + np.random.default_rng(1).normal(0, NOISE, sharp.shape)
    for name, linear in (("sharp", sharp), ("blurred", blurred)):
        tifffile.imwrite(path / f"{name}.tif", np.rint(65535 * dcv.to_srgb(np.clip(linear, 0, 1))).astype(np.uint16), photometric="rgb")
    return path


def test_measure(run, folder: Path, tmp_path: Path) -> None:
    picture, path = folder / "blurred.tif", tmp_path / "a.xmp"
    run("write", picture, "--gaussian", SIGMA, "-q", "-o", path)
    told = shown(run, path)
    assert told["measured_noise"] == pytest.approx(NOISE, rel=0.25)
    assert 0 < told["measured_gradient"] < 1
    assert description(path.read_bytes())["iop_order_version"] == "3"
    run("write", picture, "--gaussian", SIGMA, "--no-measure", "-o", path, "--overwrite")
    assert shown(run, path)["measured_noise"] == 0


def test_measure_a_star_on_an_even_ground(run, tmp_path: Path) -> None:
    """Unclipped, it is steeper than the gradient tells: its edge counts, and what the sidecar holds restores it as the command line does."""
    y, x = np.mgrid[-64:64, -64:64]
    star = 0.1 + 0.7 * np.exp(-(x**2 + y**2) / (2 * SIGMA**2))
    linear = np.float32(np.clip(star[:, :, None] + np.random.default_rng(1).normal(0, NOISE, (128, 128, 3)), 0, 1))
    picture, path = tmp_path / "star.tif", tmp_path / "star.xmp"
    tifffile.imwrite(picture, linear, photometric="rgb")
    run("write", picture, "--gaussian", SIGMA, "-q", "-o", path)
    told = shown(run, path)
    assert told["measured_edge"] > 3 * told["measured_gradient"] > 0
    given = {"noise": told["measured_noise"], "gradient": told["measured_gradient"]}
    own, stored, without = (
        dcv.deconvolve(linear, dcv.psf.gaussian(SIGMA), channel_axis=-1, **values) for values in ({}, {**given, "edge": told["measured_edge"]}, given)
    )
    np.testing.assert_allclose(stored, own, atol=1e-5)
    assert np.abs(without - own).max() > 0.01
    run("write", path, "--priority", 0.5, "--no-measure", "--overwrite")
    assert shown(run, path)["measured_edge"] == told["measured_edge"]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """darktable-cli with the module, installed by the project's own script."""
    if not shutil.which("darktable-cli"):
        pytest.skip("darktable is not installed")
    prefix = tmp_path_factory.mktemp("prefix")
    command = [root / "tools" / "install-darktable", "--prefix", prefix]
    if os.environ.get("LIBDCV"):
        command += ["--libdcv", os.environ["LIBDCV"]]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return prefix / "bin" / "darktable-cli-dcv"


@pytest.fixture
def export(cli: Path, tmp_path: Path):
    """Exports a picture with a sidecar or without: its linear Rec2020 pixels and the modules that ran."""
    home = tmp_path / "home"
    home.mkdir()
    settings = ["--core", "--configdir", home, "--cachedir", home, "--library", ":memory:", "--disable-opencl", "-d", "perf"]
    settings += ["--conf", "plugins/imageio/format/tiff/bpp=32"]

    def call(picture: Path, sidecar: Path | None) -> tuple[np.ndarray, list[str]]:
        inputs = [picture] if sidecar is None else [picture, sidecar]
        out = tmp_path / ("-".join(path.stem for path in inputs) + ".export.tif")
        command = [str(part) for part in (cli, *inputs, out, "--icc-type", "LIN_REC2020", *settings)]
        environment = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, text=True, capture_output=True, check=False, env=environment, timeout=300)
        log = done.stdout + done.stderr
        assert done.returncode == 0 and out.exists(), log
        return tifffile.imread(out).astype(np.float64), re.findall(r"processed `([^']+)'", log)

    return call


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, on sRGB-encoded values."""
    difference = dcv.to_srgb(np.clip(a, 0, 1)) - dcv.to_srgb(np.clip(b, 0, 1))
    return float(-10 * np.log10(np.mean(difference**2)))


def module_test(root: Path, name: str):
    """A file of the module's own tests."""
    spec = importlib.util.spec_from_file_location(f"darktable_{name}", root / "tests" / "darktable" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_darktable_restores_with_the_sidecar(run, export, root: Path, folder: Path, tmp_path: Path) -> None:
    """New and edited sidecars give the pixels of one written by the module's own tests; a stored PSF those of the described one."""
    picture, sharp = folder / "blurred.tif", folder / "sharp.tif"
    new, stored, off, on = (tmp_path / f"{name}.xmp" for name in ("new", "stored", "off", "on"))
    run("write", picture, "--gaussian", SIGMA, "-q", "-o", new)
    run("psf", new, tmp_path / "psf.tif")
    run("write", picture, "--psf", tmp_path / "psf.tif", "-q", "-o", stored)
    step = Sidecar(new.read_bytes()).step()
    assert step
    fields = xmp_params.unpack(step.params())
    known = {name: fields[name] for name in ("source", "sigma", "measured_noise", "measured_gradient", "measured_edge")}
    sidecar = module_test(root, "xmp").sidecar
    off.write_text(sidecar(xmp_params.pack(), 3))
    on.write_text(sidecar(xmp_params.pack(**known), 3))
    edited = tmp_path / "blurred.tif.xmp"
    shutil.copy(picture, tmp_path)
    shutil.copy(off, edited)
    run("write", tmp_path / "blurred.tif", "--gaussian", SIGMA, "-q", "--overwrite")

    best, before, expected = export(sharp, off)[0], export(picture, off)[0], export(picture, on)[0]
    after, modules = export(picture, new)
    assert modules[modules.index("deconvolution") - 1] == "input color profile"
    np.testing.assert_array_equal(after, expected)
    np.testing.assert_array_equal(export(picture, edited)[0], expected)
    assert psnr(after, best) > psnr(before, best) + 2
    # 16 bits a value
    assert psnr(export(picture, stored)[0], after) > 80


@pytest.mark.slow
def test_new_sidecar_keeps_the_default_development(run, export, root: Path, tmp_path: Path) -> None:
    """A RAW never opened is developed with the user's automatic presets (exposure, filmic, ...), as without a sidecar."""
    picture = tmp_path / "a.dng"
    module_test(root, "dng").write(picture, 0.8 * dcv.from_srgb(skimage.data.astronaut()[:96, :128]).astype(np.float64))
    plain = export(picture, None)[1]
    run("write", picture, "--disk", 2)
    modules = export(picture, tmp_path / "a.dng.xmp")[1]
    assert "exposure" in plain
    assert modules[modules.index("deconvolution") - 1] == "input color profile"
    assert [name for name in modules if name != "deconvolution"] == plain
