# SPDX-License-Identifier: GPL-3.0-or-later
"""Status codes of the library as exceptions: each is a `DcvError` and the built-in exception that a Python caller expects."""

from __future__ import annotations


class DcvError(Exception):
    """Any failure reported by dcv. ``status`` is the library's code (0 when Python found the mistake itself)."""

    status = 0


class ArgumentError(DcvError, ValueError):
    """A value out of its range."""

    status = 1


class SizeError(DcvError, ValueError):
    """A picture or window of unusable size, or of another size than the plan's."""

    status = 2


class PsfError(DcvError, ValueError):
    """A PSF of even or wrong size, with negative or non-finite values, or without positive sum."""

    status = 3


class OutOfMemoryError(DcvError, MemoryError):
    """Not enough memory."""

    status = 4


class CancelledError(DcvError):
    """The caller asked to stop."""

    status = 5


class FftError(DcvError, RuntimeError):
    """FFTW could not make a plan."""

    status = 6


class StructError(DcvError, RuntimeError):
    """Bindings and library do not fit together."""

    status = 7


class UnresolvedError(DcvError, ValueError):
    """An automatic parameter that needs the picture was left open."""

    status = 8


class DataError(DcvError, ValueError):
    """No finite pixel to work from."""

    status = 9


class BackendError(DcvError, RuntimeError):
    """OpenCL cannot do it here: not built in, no such device, another solver than admm, or a failure of the device."""

    status = 10


class PixelTypeError(DcvError, TypeError):
    """Pixels that are not float32 or float64."""


BY_STATUS: dict[int, type[DcvError]] = {
    error.status: error
    for error in (
        ArgumentError,
        SizeError,
        PsfError,
        OutOfMemoryError,
        CancelledError,
        FftError,
        StructError,
        UnresolvedError,
        DataError,
        BackendError,
    )
}
