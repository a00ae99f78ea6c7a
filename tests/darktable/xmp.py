# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidecars that switch the deconvolution module on: its parameter struct, version 1, as bytes, and the XMP around it."""

import base64
import re
import struct
import zlib

import numpy as np

SOURCE = {"estimated": 0, "gaussian": 1, "disk": 2, "motion": 3}
FLAVOUR = {"fast": 0, "normal": 1, "best": 2}
PSF_VALUES = 33 * 33 * 3  # the array in the struct is one longer, for its alignment
PARAMS = struct.Struct("<ii4ffi4fii5fiiI3268H")

DEFAULTS = {
    "source": "estimated",
    "blur_size": 9,
    "window": (0.35, 0.35, 0.65, 0.65),
    "priority": 0.0,
    "flavour": "normal",
    "sigma": 1.5,
    "radius": 3.0,
    "length": 9.0,
    "angle": 0.0,
    "blur": 0,
    "iterations": 0,
    "noise": 0.0,
    "clipping": 0.0,
    "measured_noise": 0.0,
    "measured_gradient": 0.0,
    "confidence": 0.0,
}

NAMES = ("source", "blur_size", "window", "priority", "flavour", "sigma", "radius", "length", "angle", "blur", "iterations", "noise")
NAMES += ("clipping", "measured_noise", "measured_gradient", "confidence")

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


def checksum(size, channels, code):
    """FNV-1a, 32 bits, over size, channels and the used values as little-endian 16-bit numbers."""
    value = 2166136261
    for byte in np.array([size, channels, *code], "<u2").tobytes():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def pack(psf=None, **fields):
    """Bytes of the struct. psf: (S, S) or (3, S, S), S odd and at most 33; fields: as in DEFAULTS."""
    unknown = set(fields) - set(DEFAULTS)
    if unknown:
        raise TypeError(f"no parameter {', '.join(unknown)}")
    f = DEFAULTS | fields
    size = channels = check = 0
    stored = np.zeros(PSF_VALUES + 1, np.uint16)
    if psf is not None:
        planes = np.atleast_3d(np.asarray(psf, float).T).T if np.ndim(psf) == 2 else np.asarray(psf, float)
        channels, size, _ = planes.shape
        code = np.rint(65535 * planes / planes.max(axis=(1, 2), keepdims=True)).astype(np.uint16).ravel()
        stored[: code.size] = code
        check = checksum(size, channels, code)
    named = {"source": SOURCE[f["source"]], "flavour": FLAVOUR[f["flavour"]]}
    values = [v for name in NAMES for v in np.atleast_1d(named.get(name, f[name]))]
    return PARAMS.pack(*values, size, channels, check, *stored)


def unpack(params):
    """The fields of a struct as a dict; "psf" is None or (channels, S, S), peak 1 in each channel."""
    values = list(PARAMS.unpack(params))
    fields = {name: tuple(values.pop(0) for _ in range(4)) if name == "window" else values.pop(0) for name in NAMES}
    size, channels, _ = values[:3]
    fields["psf"] = np.reshape(values[3 : 3 + size * size * channels], (channels, size, size)) / 65535 if size else None
    return fields


def encode(params):
    """darktable's compressed text form of a parameter struct."""
    packed = zlib.compress(params)
    return f"gz{min(len(params) // len(packed) + 1, 99):02d}{base64.b64encode(packed).decode()}"


def decode(text):
    """The struct's bytes from either text form."""
    return zlib.decompress(base64.b64decode(text[4:])) if text.startswith("gz") else bytes.fromhex(text)


def sidecar(params, order=2, version=1, others=(), blend=None):
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
