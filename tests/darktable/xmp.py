# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidecars for the tests: any bytes as the module's parameters, any other steps, blending. The parameters themselves: `dcv.cli.xmp_params`."""

import re
import struct

from dcv.cli.xmp_params import FIELDS, LAYOUT, VERSION, defaults, encode, pack, unpack

__all__ = ["LAYOUT", "VERSION", "defaults", "encode", "pack", "unpack"]

SIDECAR = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:darktable="http://darktable.sf.net/"
   darktable:xmp_version="5"
   darktable:auto_presets_applied="1"
   darktable:iop_order_version="{order}"
   darktable:history_end="{end}">
   <darktable:history>
    <rdf:Seq>{steps}
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

STEP = """
     <rdf:li
      darktable:num="{num}"
      darktable:operation="{operation}"
      darktable:enabled="1"
      darktable:modversion="{version}"
      darktable:params="{params}"
      darktable:multi_name=""
      darktable:multi_priority="0"{blend}/>"""

BLEND = '\n      darktable:blendop_version="11"\n      darktable:blendop_params="{params}"'


def spoilt(name, value, **fields):
    """Parameters with a number that `pack` refuses; name: a field before the PSF."""
    numbers = list(LAYOUT.unpack(pack(**fields)))
    places = [n for n in FIELDS for _ in range(4 if n == "window" else 1)]
    numbers[places.index(name)] = value
    return LAYOUT.pack(*numbers)


def sidecar(params, order=2, version=VERSION, others=(), blend=None):
    """XMP that switches the module on.

    Parameters
    ----------
    params : bytes
        The module's parameter struct.
    order : int
        Number of a built-in module order (2: v3.0 raw, 3: v3.0 JPEG).
    others : sequence of (operation, version, params)
        Further history steps.
    blend : bytes, optional
        Blending parameters of the module, version 11.
    """
    steps = []
    for operation, step_version, step_params in [("deconvolution", version, params), *others]:
        blending = BLEND.format(params=encode(blend)) if blend and operation == "deconvolution" else ""
        steps.append(STEP.format(num=len(steps), operation=operation, version=step_version, params=encode(step_params), blend=blending))
    return SIDECAR.format(order=order, end=len(steps), steps="".join(steps))


def uniform_blend(percent):
    """Blending parameters (version 11): normal mode in scene-referred RGB, uniform opacity."""
    blendif = [0.0, 0.0, 1.0, 1.0] * 16
    fields = [1, 4, 0x18, 0.0, percent, 0, 0, 0, 0.0, 5, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, *blendif, *[0.0] * 16]
    return struct.pack("<IiIffIIIfIffff3I64f16f20siii", *fields, b"", 0, 0, 0)


def module_order(xmp):
    """Operations in the order a sidecar states, None where it names a built-in table."""
    found = re.search(r'iop_order_list="([^"]*)"', xmp)
    return found[1].split(",")[::2] if found else None
