# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures on disk: TIFF (8, 16 bits, 16- and 32-bit float), PNG (8, 16 bits), JPEG.

A `Picture` keeps what the file said: depth, alpha, ICC profile byte for byte. Its pixels are linear light. The format of a file is told by its
first bytes when reading, by its suffix when writing.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from . import colour, metadata

SUFFIXES = {".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
DEPTHS = {"8": np.uint8, "16": np.uint16, "16f": np.float16, "32f": np.float32}
FORMAT_DEPTHS = {"TIFF": ("8", "16", "16f", "32f"), "PNG": ("8", "16"), "JPEG": ("8",)}
JPEG_QUALITY = 95
# A JPEG quantiser of step q moves a coefficient by q / sqrt(12) (standard deviation), but not by more than the coefficient is worth: fine
# detail and noise of about 2.5 codes. The error is smooth like the picture, so that no measurement of noise sees it.
JPEG_DETAIL_CODES = 2.5
PNG_KEPT = (b"cHRM", b"gAMA", b"sRGB", b"cICP", b"pHYs")


class PictureError(ValueError):
    """A file that cannot be read or written as a picture; the message says why."""


@dataclass
class Picture:
    """A picture with what its file said about it.

    `pixels` is float32 (M, N, 1 or 3), linear light, white = 1; `alpha` the (M, N) codes of the file or None; `curves` how the codes were made
    linear; `coding_noise` the standard deviation in linear light of what a lossy file format did to the pixels; `chunks` the PNG chunks to pass
    on; `notes` what the user should know.
    """

    path: Path
    format: str
    depth: str
    pixels: np.ndarray
    curves: tuple[colour.Curve, ...]
    alpha: np.ndarray | None = None
    associated_alpha: bool = False
    icc: bytes | None = None
    compressed: bool = False
    coding_noise: float = 0.0
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def integer(self) -> bool:
        """Whether the file held integers, whose largest value means "at least white"."""
        return self.depth in ("8", "16")


@dataclass
class _Codes:
    """A decoded file before any colour: `codes` (M, N, C) with alpha."""

    codes: np.ndarray
    has_alpha: bool
    icc: bytes | None
    associated_alpha: bool = False
    compressed: bool = False
    code_noise: float = 0.0
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path, *, linear: bool = False) -> Picture:
    """Read a picture into linear light; `linear` says that the file's values are linear already, whatever its profile.

    Raises
    ------
    OSError
        The file cannot be opened.
    PictureError
        Unknown format, damaged, or of a kind that is not supported.
    """
    with open(path, "rb") as stream:
        start = stream.read(8)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        kind, reader = "TIFF", _read_tiff
    elif start == b"\x89PNG\r\n\x1a\n":
        kind, reader = "PNG", _read_png
    elif start[:3] == b"\xff\xd8\xff":
        kind, reader = "JPEG", _read_jpeg
    else:
        raise PictureError("unknown format: TIFF, PNG and JPEG are read")
    try:
        decoded = reader(path)
    except (PictureError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise PictureError(f"damaged {kind} file ({reason})") from error

    codes = decoded.codes
    if codes.dtype == np.float64:
        codes = codes.astype(np.float32)
    depth = next((name for name, kind_ in DEPTHS.items() if codes.dtype == kind_), None)
    if depth is None:
        raise PictureError(f"{codes.dtype.name} pixels are not supported: 8 or 16 bits, 16- or 32-bit float")
    if codes.ndim != 3 or codes.shape[2] - decoded.has_alpha not in (1, 3):
        raise PictureError("neither gray nor RGB")
    alpha = np.ascontiguousarray(codes[:, :, -1]) if decoded.has_alpha else None
    light = codes[:, :, :-1] if decoded.has_alpha else codes
    notes = list(decoded.notes)
    curves = _curves(decoded.icc, depth, light.shape[2], linear, notes)
    pixels = np.empty(light.shape, np.float32)
    colour.linearise(light, curves, pixels)
    return Picture(
        path=path,
        format=kind,
        depth=depth,
        pixels=pixels,
        curves=curves,
        alpha=alpha,
        associated_alpha=decoded.associated_alpha,
        icc=decoded.icc,
        compressed=decoded.compressed,
        coding_noise=decoded.code_noise * _slope(light, curves[0]) if decoded.code_noise else 0.0,
        chunks=decoded.chunks,
        notes=notes,
    )


def _slope(codes: np.ndarray, curve: colour.Curve) -> float:
    """Root mean square slope of the curve over the picture's 8-bit codes, light per code range."""
    share = np.bincount(codes.ravel(), minlength=256) / codes.size
    slope = np.gradient(curve.decode(np.linspace(0, 1, 256)), 1 / 255)
    return float(np.sqrt(np.sum(share * slope**2)))


def _curves(icc: bytes | None, depth: str, channels: int, linear: bool, notes: list[str]) -> tuple[colour.Curve, ...]:
    """The profile's curves; without a profile sRGB for integers and linear light for floats."""
    if linear:
        return (colour.LINEAR,) * channels
    if icc:
        try:
            return colour.profile_curves(icc, channels)
        except colour.ProfileError as error:
            notes.append(f"ICC profile not usable for the step into linear light, {error}: sRGB curve assumed")
            return (colour.SRGB,) * channels
    if depth in ("8", "16"):
        notes.append("no ICC profile: sRGB curve assumed")
        return (colour.SRGB,) * channels
    return (colour.LINEAR,) * channels


def _read_tiff(path: Path) -> _Codes:
    import tifffile

    with warnings.catch_warnings(), tifffile.TiffFile(path) as tiff:
        warnings.simplefilter("ignore")
        page = tiff.pages.first
        photometric = tifffile.PHOTOMETRIC(page.photometric)
        white_is_zero = photometric == tifffile.PHOTOMETRIC.MINISWHITE
        if photometric not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB) and not (
            white_is_zero or (photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression == tifffile.COMPRESSION.JPEG)
        ):
            raise PictureError(f"{photometric.name} TIFF is not supported: gray or RGB")
        size = path.stat().st_size
        if any(offset + count > size for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)):
            raise PictureError("damaged TIFF file (it ends before its pixels do)")
        codes = page.asarray()
        notes = [f"only the first of {len(tiff.pages)} pages is read"] if len(tiff.pages) > 1 else []
        if page.axes == "SYX":
            codes = np.moveaxis(codes, 0, -1)
        elif page.axes == "YX":
            codes = codes[:, :, np.newaxis]
        elif page.axes != "YXS":
            raise PictureError(f"a TIFF with axes {page.axes} is not a picture")
        if white_is_zero and codes.dtype.kind == "u":
            codes = np.iinfo(codes.dtype).max - codes
        extra = [int(value) for value in page.extrasamples]
        has_alpha = len(extra) == 1
        icc = page.tags.valueof(34675)
        return _Codes(codes, has_alpha, bytes(icc) if icc else None, extra[:1] == [1], page.compression != 1, notes=notes)


def _read_png(path: Path) -> _Codes:
    import imagecodecs

    data = path.read_bytes()
    chunks = list(_png_chunks(data))
    if not chunks or chunks[-1][0] != b"IEND":
        raise PictureError("damaged PNG file (it ends before its pixels do)")
    icc = None
    for name, body in chunks:
        if name == b"iCCP":
            icc = zlib.decompress(body[body.index(b"\0") + 2 :])
    codes = imagecodecs.png_decode(data)
    if codes.ndim == 2:
        codes = codes[:, :, np.newaxis]
    return _Codes(codes, codes.shape[2] in (2, 4), icc, chunks=[chunk for chunk in chunks if chunk[0] in PNG_KEPT])


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(name, body) of each whole chunk, the pixels' bodies left out."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        chunks.append((name, b"" if name == b"IDAT" else data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def _read_jpeg(path: Path) -> _Codes:
    from PIL import Image, JpegImagePlugin

    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
            raise PictureError(f"{image.mode} JPEG is not supported: gray or RGB")
        codes = np.asarray(image)
        icc = image.info.get("icc_profile")
        steps = np.asarray(image.quantization[0], np.float64)
    code_noise = float(np.sqrt(np.mean(np.minimum(steps**2 / 12, JPEG_DETAIL_CODES**2)))) / 255
    return _Codes(codes[:, :, np.newaxis] if codes.ndim == 2 else codes, False, icc or None, code_noise=code_noise)


# ---- writing -------------------------------------------------------------------------------------------------------------------------


def target_format(path: Path) -> str:
    """The format that a suffix asks for; PictureError for an unknown one."""
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise PictureError(f"{path.name}: unknown format, end the name with {', '.join(SUFFIXES)}") from None


def target_depth(picture: Picture, kind: str, asked: str) -> str:
    """Depth of the output: the one asked for, or the picture's own, or the best its format has. PictureError when that cannot be."""
    possible = FORMAT_DEPTHS[kind]
    if asked == "keep":
        return picture.depth if picture.depth in possible else possible[-1]
    if asked not in possible:
        raise PictureError(f"{kind} cannot hold depth {asked}: {', '.join(possible)}")
    return asked


def target_curves(picture: Picture, depth: str) -> tuple[colour.Curve, ...]:
    """How the output's codes are made: as the input's, except that a file without profile is sRGB in integers and linear in floats."""
    if picture.icc:
        return picture.curves
    return (colour.SRGB if depth in ("8", "16") else colour.LINEAR,) * len(picture.curves)


def write(stream: BinaryIO, temporary: Path, picture: Picture, kind: str, depth: str, *, linear: bool = False) -> list[str]:
    """Write a picture, with the metadata of the file at its `path`; returns notes for the user.

    `stream` is open for writing at `temporary`, whose metadata are added once the pixels are there. `linear`: leave the values linear.
    """
    notes = [] if picture.alpha is None or kind != "JPEG" else ["JPEG has no alpha: left out"]
    codes = _codes(picture, kind, depth, linear)
    if kind == "TIFF":
        try:
            _write_tiff(stream, codes, picture)
        except OSError as error:
            if error.errno:
                raise
            raise PictureError("the output could not be written in full: no space left?") from None
    elif kind == "PNG":
        _write_png(stream, codes, picture)
    else:
        _write_jpeg(stream, codes, picture)
    del codes
    stream.flush()
    failure = metadata.copy(picture.path, temporary)
    return [*notes, f"EXIF and XMP not copied: {failure}"] if failure else notes


def _codes(picture: Picture, kind: str, depth: str, linear: bool) -> np.ndarray:
    """The file's values, (M, N) or (M, N, C), with alpha where the format has it."""
    height, width, light = picture.pixels.shape
    alpha = picture.alpha if kind != "JPEG" else None
    codes = np.empty((height, width, light + (alpha is not None)), DEPTHS[depth])
    colour.encode(picture.pixels, picture.curves if linear else target_curves(picture, depth), codes[:, :, :light])
    if alpha is not None:
        codes[:, :, light] = _convert_alpha(alpha, codes.dtype)
    return codes[:, :, 0] if codes.shape[2] == 1 else codes


def _convert_alpha(alpha: np.ndarray, kind: np.dtype) -> np.ndarray:
    if alpha.dtype == kind:
        return alpha
    share = alpha / np.float32(np.iinfo(alpha.dtype).max) if alpha.dtype.kind == "u" else alpha.astype(np.float32)
    if kind.kind == "u":
        share = np.rint(np.clip(share, 0, 1) * np.iinfo(kind).max)
    return share.astype(kind)


def _write_tiff(stream: BinaryIO, codes: np.ndarray, picture: Picture) -> None:
    import tifffile

    tifffile.imwrite(
        stream,
        codes,
        photometric="rgb" if picture.pixels.shape[2] == 3 else "minisblack",
        extrasamples=["assocalpha" if picture.associated_alpha else "unassalpha"] if picture.alpha is not None else None,
        planarconfig="contig" if codes.ndim == 3 else None,
        compression="zlib" if picture.compressed else None,
        predictor=picture.compressed,
        rowsperstrip=max(1, 2**20 // (codes[0].nbytes or 1)),
        iccprofile=picture.icc,
        metadata=None,
        software=False,
    )


def _write_png(stream: BinaryIO, codes: np.ndarray, picture: Picture) -> None:
    import imagecodecs

    data = imagecodecs.png_encode(codes)
    head = 8 + 12 + 13  # signature and IHDR
    stream.write(data[:head])
    if picture.icc:
        stream.write(_png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(picture.icc)))
    for name, body in picture.chunks:
        if not (picture.icc and name in (b"cHRM", b"gAMA", b"sRGB", b"cICP")):
            stream.write(_png_chunk(name, body))
    stream.write(data[head:])


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def _write_jpeg(stream: BinaryIO, codes: np.ndarray, picture: Picture) -> None:
    from PIL import Image

    # By way of memory: Pillow's encoder does not notice when a file ends short.
    data = io.BytesIO()
    Image.fromarray(codes).save(data, "JPEG", quality=JPEG_QUALITY, subsampling=0, icc_profile=picture.icc)
    stream.write(data.getbuffer())
