# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``dcv``, or ``python -m dcv``."""

from .commands import cli, main
from .xmp_commands import xmp_group

cli.add_command(xmp_group)

__all__ = ["main"]
