# SPDX-License-Identifier: GPL-3.0-or-later
"""Blind and non-blind deconvolution of photographs.

>>> estimate = dcv.estimate_psf(image, 15, channel_axis=-1)  # doctest: +SKIP
>>> sharp = dcv.deconvolve(image, estimate.psf, channel_axis=-1)  # doctest: +SKIP

Pictures are numpy arrays of float32 or float64 in linear light, white = 1.
"""

from . import errors, programs, psf, wisdom
from ._core import ffi as _ffi
from ._core import lib as _lib
from .devices import Device, devices
from .errors import DcvError
from .estimation import PsfEstimate, Scale, choose_window, estimate_noise, estimate_psf
from .grid import PsfGrid, estimate_psf_grid
from .params import Parameter
from .params import table as parameters
from .plan import Plan, PlanInfo, Result
from .restoration import deconvolve, from_srgb, to_srgb

__version__ = f"{_lib.DCV_VERSION_MAJOR}.{_lib.DCV_VERSION_MINOR}.{_lib.DCV_VERSION_PATCH}"


def build_info() -> str:
    """Version, compiler, FFTW, OpenMP and the instruction set in use, as one text."""
    text: str = _ffi.string(_lib.dcv_build_info()).decode()
    return text


def max_threads() -> int:
    """Threads used when `threads` is None."""
    return int(_lib.dcv_max_threads())


__all__ = [
    "DcvError",
    "Device",
    "Parameter",
    "Plan",
    "PlanInfo",
    "PsfEstimate",
    "PsfGrid",
    "Result",
    "Scale",
    "build_info",
    "choose_window",
    "deconvolve",
    "devices",
    "errors",
    "estimate_noise",
    "estimate_psf",
    "estimate_psf_grid",
    "from_srgb",
    "max_threads",
    "parameters",
    "programs",
    "psf",
    "to_srgb",
    "wisdom",
]
