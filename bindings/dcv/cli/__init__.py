# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``dcv``, or ``python -m dcv``."""

from .commands import main

__all__ = ["main"]
