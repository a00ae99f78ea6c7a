# SPDX-License-Identifier: GPL-3.0-or-later
"""EXIF, XMP and IPTC from one file to another, through exiv2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Tags that say how the pixels of one particular file are stored (TIFF 6.0, section 8), or that travel by another way (ICC, XMP, IPTC).
STRUCTURE = """
    NewSubfileType SubfileType ImageWidth ImageLength BitsPerSample Compression PhotometricInterpretation
    FillOrder StripOffsets SamplesPerPixel RowsPerStrip StripByteCounts MinSampleValue MaxSampleValue
    PlanarConfiguration Predictor ColorMap TileWidth TileLength TileOffsets TileByteCounts SubIFDs
    ExtraSamples SampleFormat SMinSampleValue SMaxSampleValue JPEGTables YCbCrCoefficients YCbCrSubSampling
    YCbCrPositioning ReferenceBlackWhite InterColorProfile XMLPacket IPTCNAA ImageResources ExifTag GPSTag
    JPEGInterchangeFormat JPEGInterchangeFormatLength
"""
STRUCTURE_KEYS = frozenset("Exif.Image." + name for name in STRUCTURE.split())
# How descriptions begin in which tifffile, ImageJ and OME keep the shape of the pixels; readers refuse a file whose pixels have another.
LAYOUTS = ('{"shape"', "ImageJ=", "<?xml")


def _is_structure(datum: Any) -> bool:
    key = datum.key()
    if key == "Exif.Image.ImageDescription":
        return str(datum.value()).startswith(LAYOUTS)
    return key in STRUCTURE_KEYS or key.startswith(("Exif.Thumbnail.", "Exif.SubImage", "Exif.Image2.", "Exif.Image3."))


class MetadataError(OSError):
    """The target's metadata could not be written, so the target may be damaged."""


def copy(source: Path, target: Path) -> str:
    """Copy the metadata of the photograph; the target's own description of its pixels stays.

    Returns "", or why there was nothing to copy from. MetadataError when the target cannot be written.
    """
    try:
        import exiv2
    except ImportError:
        return "the package exiv2 is not installed"
    exiv2.LogMsg.setLevel(exiv2.LogMsg.Level.mute)
    try:
        old = exiv2.ImageFactory.open(str(source))
        old.readMetadata()
    except exiv2.Exiv2Error as error:
        return str(error).splitlines()[0]
    kept = [datum for datum in old.exifData() if not _is_structure(datum)]
    if not kept and old.iptcData().empty() and not old.xmpPacket():
        return ""
    try:
        new = exiv2.ImageFactory.open(str(target))
        new.readMetadata()
        exif = new.exifData()
        for datum in kept:
            exif[datum.key()] = datum.value()
        new.setIptcData(old.iptcData())
        if old.xmpPacket():
            new.setXmpPacket(old.xmpPacket())
            new.writeXmpFromPacket(True)
        new.writeMetadata()
    except exiv2.Exiv2Error as error:
        raise MetadataError(f"metadata not written: {str(error).splitlines()[0]}") from None
    return ""
