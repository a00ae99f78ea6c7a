"""pyref.prototype against the real prototype on random inputs.

``pytest tests/parity --prototype DIR``: DIR is a checkout of Image-Cases-Studies at its
last commit, 7ebf283, in which the user has run ``python setup.py build_ext --inplace``, so
that ``lib/deconvolution*.so`` is there. Nothing is built here.
"""

import importlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pyref import prototype


def load(folder):
    """Its module lib.deconvolution; a failure says what is missing."""
    if not Path(folder, "lib/deconvolution.pyx").exists():
        pytest.fail(f"{folder} is no checkout of the prototype: it has no lib/deconvolution.pyx")
    built = [p.name for p in Path(folder, "lib").glob("deconvolution*.so")]
    if not {f"deconvolution{suffix}" for suffix in EXTENSION_SUFFIXES} & set(built):
        pytest.fail(f"{folder}/lib holds no deconvolution module for this Python {EXTENSION_SUFFIXES[0]} (it holds {built}): "
                    "run `python setup.py build_ext --inplace` there with it")
    try:
        module = importlib.import_module("lib.deconvolution")
    except ImportError as error:
        pytest.fail(f"the prototype's module does not load, is everything that it imports installed? {error}")
    for name in ("richardson_lucy_MM", "normalize_kernel"):
        if not hasattr(module, name):
            pytest.fail(f"the prototype in {folder} has no {name}: is it at commit 7ebf283?")
    return module


@pytest.fixture
def real(request, monkeypatch):
    folder = request.config.getoption("--prototype", default=None)
    if folder is None:
        pytest.skip("no built prototype given: pytest tests/parity --prototype DIR")
    monkeypatch.syspath_prepend(folder)
    return load(folder)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    def answer():
        with pytest.raises(pytest.fail.Exception) as failure:
            load(tmp_path)
        return str(failure.value)

    assert "no checkout" in answer()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/deconvolution.pyx").touch()
    (tmp_path / "lib/deconvolution.cpython-35m-x86_64-linux-gnu.so").touch()
    assert "build_ext --inplace" in answer()
    (tmp_path / f"lib/deconvolution{EXTENSION_SUFFIXES[0]}").touch()
    package = ModuleType("lib")
    package.__path__ = [str(tmp_path / "lib")]
    monkeypatch.setitem(sys.modules, "lib", package)
    assert "does not load" in answer()
    monkeypatch.setitem(sys.modules, "lib.deconvolution", ModuleType("lib.deconvolution"))
    assert "has no richardson_lucy_MM" in answer()


@pytest.mark.parametrize("lam", [1e4, 1.0])  # 1: the (u - ut) term counts
@pytest.mark.parametrize(("blind", "correlation"),
                         [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize(("rows", "cols", "width"), [(41, 53, 3), (64, 47, 5), (70, 71, 9)])
def test_mm_call(real, rows, cols, width, blind, correlation, lam):
    # moderate contrast: the mask divides by g + f, near 0 where residuals reach f
    rng = np.random.default_rng(rows)
    image = rng.uniform(0.4, 0.6, (rows, cols, 3)).astype(np.float32)
    u = prototype.edge_pad(image, width // 2)
    psf = prototype.uniform_psf(width)
    if not blind:
        psf = prototype.normalise_kernel(rng.uniform(size=psf.shape).astype(np.float32))
    top, bottom, left, right = window = (4, rows - 5, 3, cols - 6)

    # two outer iterations: the stop test begins with the third
    expected = prototype.richardson_lucy_mm(image, u, psf, window, iterations=2, blind=blind,
                                            lam=lam, correlation=correlation)
    inner = real.richardson_lucy_MM(image, u, psf, top, bottom, left, right, 0.0, rows, cols,
                                    3, width, 2, 1e-3, lam, blind=blind,
                                    correlation=correlation)
    # 10 steps of single precision: u below 1, the PSF below 0.2
    np.testing.assert_allclose(expected.u, inner, rtol=0, atol=2e-6)
    np.testing.assert_allclose(expected.u_padded, u, rtol=0, atol=2e-6)
    np.testing.assert_allclose(expected.psf_caller, psf, rtol=0, atol=2e-7)


def test_normalise_kernel(real):
    kernel = np.random.default_rng(3).uniform(-0.2, 0.8, (7, 7, 3)).astype(np.float32)
    expected = prototype.normalise_kernel(kernel)
    real.normalize_kernel(kernel, 7)
    np.testing.assert_allclose(expected, kernel, rtol=0, atol=1e-7)
