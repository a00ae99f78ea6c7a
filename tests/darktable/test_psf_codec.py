# SPDX-License-Identifier: GPL-3.0-or-later
"""The compact PSF: round trip, and any bytes."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcv.cli import xmp_params

SOURCE = Path(__file__).resolve().parents[2] / "c_src" / "darktable" / "psf_codec.c"
OK, EMPTY, DAMAGED = 0, 1, 2
VALUES = 33 * 33 * 3


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("codec") / "psf_codec.so"
    subprocess.run(["gcc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", SOURCE, "-lm", "-o", library], check=True)
    return ctypes.CDLL(str(library))


def encode(codec, psf, size, channels):
    psf = np.ascontiguousarray(psf, np.float32)
    code, check = np.full(VALUES, 7, np.uint16), ctypes.c_uint32(7)
    pointer = psf.ctypes.data_as(ctypes.c_void_p)
    return codec.psf_encode(pointer, size, channels, code.ctypes.data_as(ctypes.c_void_p), ctypes.byref(check)), code, check.value


def decode(codec, code, size, channels, check):
    code = np.ascontiguousarray(code, np.uint16)
    guard = 16
    psf = np.full(VALUES + guard, -1.0, np.float32)
    status = codec.psf_decode(code.ctypes.data_as(ctypes.c_void_p), size, channels, ctypes.c_uint32(check), psf.ctypes.data_as(ctypes.c_void_p))
    assert (psf[VALUES:] == -1.0).all()
    return status, psf[:VALUES]


@pytest.mark.parametrize("size", [1, 3, 9, 33])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(codec, size, channels):
    psf = np.random.default_rng(size).random((channels, size, size)) ** 8
    psf /= psf.sum(axis=(1, 2), keepdims=True)
    status, code, check = encode(codec, psf, size, channels)
    assert status == OK and not code[psf.size :].any()
    status, back = decode(codec, code, size, channels, check)
    assert status == OK
    back = back[: psf.size].reshape(psf.shape)
    np.testing.assert_allclose(back.sum(axis=(1, 2)), 1, atol=1e-5)
    # half a step of rounding, and as much again for the changed sum: at most one step a value on average
    step = psf.max(axis=(1, 2), keepdims=True) / 65535
    assert (np.abs(back - psf) <= step * (0.5 + 0.5 * psf.shape[-1] ** 2 * psf)).all()
    # the sidecar writer of the scripts makes the same bytes
    assert xmp_params.checksum(size, channels, code[: psf.size]) == check


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e-3])
def test_encode_refuses_values(codec, bad):
    psf = np.ones((1, 5, 5))
    psf[0, 2, 3] = bad
    status, code, check = encode(codec, psf, 5, 1)
    assert status == DAMAGED and (code == 7).all() and check == 7


@pytest.mark.parametrize("size, channels", [(0, 1), (4, 1), (35, 1), (-3, 1), (5, 0), (5, 2), (5, 4)])
def test_encode_refuses_shapes(codec, size, channels):
    assert encode(codec, np.ones((4, 35, 35)), size, channels)[0] == DAMAGED


def test_zero_plane_refused(codec):
    psf = np.ones((3, 5, 5))
    psf[1] = 0
    assert encode(codec, psf, 5, 3)[0] == DAMAGED


def test_empty(codec):
    assert decode(codec, np.zeros(VALUES), 0, 0, 12345)[0] == EMPTY


@settings(max_examples=300, deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_bytes(codec, size, channels, check, seed):
    code = np.random.default_rng(seed).integers(0, 65536, VALUES, dtype=np.uint16)
    status, psf = decode(codec, code, size, channels, check)
    assert status in (EMPTY, DAMAGED) and (psf == -1.0).all()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 17 * 17 - 1), st.integers(1, 65535))
def test_one_changed_value_is_seen(codec, where, change):
    psf = np.random.default_rng(3).random((1, 17, 17))
    _, code, check = encode(codec, psf, 17, 1)
    code[where] = (int(code[where]) + change) % 65536
    assert decode(codec, code, 17, 1, check)[0] == DAMAGED
