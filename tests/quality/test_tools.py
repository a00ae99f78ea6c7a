# SPDX-License-Identifier: GPL-3.0-or-later
"""The measuring tools on a small part of a picture: they run, and their figures are what they are called."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from scipy.ndimage import gaussian_filter

import dcv

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(TOOLS))
    try:
        yield {name: importlib.import_module(name) for name in ("blind", "generated", "levin", "quality", "scenes", "train_confidence")}
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def bench(tools: dict[str, ModuleType]) -> Any:
    sharp = np.ascontiguousarray(tools["scenes"].sharp_picture("astronaut")[40:136, 180:276])
    return tools["quality"].Bench({"astronaut": sharp}, {"disk 2": dcv.psf.disk(2)}, (0.01,), 80)


def test_known(tools: dict[str, ModuleType], bench: Any) -> None:
    figures = tools["quality"].known(bench, lambda _name, _row: None)
    assert len(figures) == 4 * 4  # three PSFs and the mean
    assert all(figures[f"known: mean, restored, {part}_db"] > figures[f"known: mean, blurred, {part}_db"] + 1 for part in ("whole", "inside"))


def test_processed(tools: dict[str, ModuleType], bench: Any) -> None:
    """Without its error counted as noise, half the pictures that JPEG coded at quality 80 came out worse than they went in."""
    sharp = np.ascontiguousarray(tools["scenes"].sharp_picture("astronaut")[40:180, 150:290])
    figures = tools["quality"].processed(replace(bench, sharps={"astronaut": sharp}, sigmas=(0.002,), side=128), lambda _name, _row: None)
    assert min(value for name, value in figures.items() if name.endswith("least_gain")) > 1


def test_solvers(tools: dict[str, ModuleType], bench: Any) -> None:
    figures = tools["quality"].solvers(bench, lambda _name, _row: None)
    y, truth = tools["quality"].known_scene(bench.sharps["astronaut"], bench.psfs["disk 2"], 0.01, 0, bench.side)
    for solver in dcv.params.TABLE["solver"].choices:
        whole, *parts = (figures[f"solvers: {solver}, {part}_db"] for part in ("whole", "inside", "outer 16 px"))
        assert whole > tools["scenes"].psnr(y, truth) + 1
        assert min(parts) < whole < max(parts)


def test_sharp_pictures_are_counted(tools: dict[str, ModuleType], bench: Any) -> None:
    figures = tools["quality"].sharp(bench, lambda _name, _row: None)
    assert figures["sharp: cases"] == 3
    assert figures["sharp: taken for blurred_error"] == len(figures) - 2
    blurred = replace(bench, sharps={"soft": gaussian_filter(bench.sharps["astronaut"], (2, 2, 0))})
    assert tools["quality"].sharp(blurred, lambda _name, _row: None)["sharp: taken for blurred_error"] > 0


@pytest.fixture(scope="module")
def shaken(tools: dict[str, ModuleType], bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of one gray picture of 80 px."""
    k, x = dcv.psf.motion(5, 30), bench.sharps["astronaut"].mean(axis=2)
    half = k.shape[0] // 2
    y = scipy.signal.fftconvolve(x, k, "valid") + 0.002 * np.random.default_rng(0).normal(size=[n - 2 * half for n in x.shape])
    path = tmp_path_factory.mktemp("levin") / "one.npz"
    np.savez(path, images=[7], x=x[None, half:-half, half:-half], x_index=[[0]], y=y[None, None], k1=k)
    return path


def test_error_ratios(tools: dict[str, ModuleType], shaken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levin = tools["levin"]
    monkeypatch.setattr(levin, "STEPS", 20)
    monkeypatch.setattr(levin, "SIZES", {"7": lambda _n: 7})
    (one,) = levin.measure(levin.load(shaken))
    assert (one["image"], one["psf"]) == (7, 1)
    assert one["true_psf_db"] > 25
    assert 0.5 < one["7"]["ratio"] < 5


def test_error_ratio_does_not_see_a_shift(tools: dict[str, ModuleType], shaken: Path) -> None:
    levin = tools["levin"]
    (case,) = levin.load(shaken)
    wide = np.pad(case.k, 3)
    distances = [levin.distance(levin.restore(case.y, psf), case.x) for psf in (case.k, np.roll(wide, (2, -1), (0, 1)), np.pad([[1.0]], 4))]
    assert distances[1] == pytest.approx(distances[0], rel=0.1)  # the frame's surroundings differ
    assert distances[2] > 2 * distances[0]  # no blur at all explains the picture worse


def test_differences_have_adjoints(tools: dict[str, ModuleType]) -> None:
    levin, rng = tools["levin"], np.random.default_rng(1)
    x = rng.normal(size=(7, 9))
    for axes in levin.DIFFERENCES:
        d = rng.normal(size=levin.differences(x, axes).shape)
        assert np.vdot(d, levin.differences(x, axes)) == pytest.approx(np.vdot(levin.adjoint(d, axes), x))


def test_generated_blurs_differ_by_processing_alone(tools: dict[str, ModuleType]) -> None:
    generated = tools["generated"]
    pictures = generated.pool([])
    white, *processed = (generated.scene(pictures, 3, how) for how in generated.PROCESSING)
    noise = np.std(white.y - scipy.ndimage.uniform_filter(white.y, (3, 3, 0)))
    for scene in processed:
        assert (scene.picture, scene.size, scene.sigma) == (white.picture, white.size, white.sigma)
        assert np.array_equal(scene.truth, white.truth)
        assert 0 < np.abs(scene.y - white.y).mean() < 3 * noise
    assert np.array_equal(generated.scene(pictures, 3).y, white.y)
    assert not np.array_equal(generated.scene(pictures, 4).psf, white.psf)


def test_generated_cases_are_counted(tools: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    tools["blind"].main(["--generated", "1", "--processing", "jpeg", "--seed", "2", "--json"], standalone_mode=False)
    (one,) = json.loads(capsys.readouterr().out)
    assert one["way"] == "jpeg"
    tools["blind"].print_table([one])
    assert "jpeg" in capsys.readouterr().out


def test_the_confidence_is_fitted(tools: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    train = tools["train_confidence"]
    train.POOL.update(tools["generated"].pool([]))
    one = train.case(1)
    assert json.loads(json.dumps(one))["picture"] in train.POOL
    assert one["true_psf_db"] > one["input_db"]
    rng, true = np.random.default_rng(2), np.array([0.5, 6.0, 3.0, 1.0])
    evidence = np.stack([rng.uniform(0, 0.5, 4000), rng.uniform(0, 1, 4000), rng.uniform(-5, -3, 4000)], axis=1)
    x = train.features([{"evidence": row} for row in evidence])
    good = rng.random(4000) < train.chance(x, true)
    assert train.fit(x, good.astype(float)) == pytest.approx(true, abs=1)  # three standard errors
    told = [
        {"picture": str(i % 10), "input_db": 20, "true_psf_db": 25, "estimate_db": 20 + 5 * g, "confidence": 0.5, "evidence": row}
        for i, (g, row) in enumerate(zip(good, evidence, strict=True))
    ]
    train.report([*told, {**told[0], "evidence": (0, 0, 0)}])
    assert "4001 estimates, 4000 with a blur" in capsys.readouterr().out
