# SPDX-License-Identifier: GPL-3.0-or-later
"""A Bayer DNG of a known picture, as a camera with the primaries of sRGB would have written it."""

from fractions import Fraction

import numpy as np
import tifffile

# from CIE XYZ (D65) to linear sRGB, IEC 61966-2-1
XYZ_TO_SRGB = [3.2404542, -1.5371385, -0.4985314, -0.9692660, 1.8760108, 0.0415560, 0.0556434, -0.2040259, 1.0572252]
BLACK, WHITE = 512, 16383


def write(path, linear, neutral=(1.0, 1.0, 1.0)):
    """Mosaics linear sRGB (M, N, 3), white at 1, to RGGB with 14 bits and writes it. neutral: what the camera's channels make of white, at most 1.

    References
    ----------
    Adobe, Digital Negative (DNG) Specification, version 1.4.
    """
    linear = linear * np.array(neutral)
    raw = linear[..., 1].copy()
    raw[0::2, 0::2] = linear[0::2, 0::2, 0]
    raw[1::2, 1::2] = linear[1::2, 1::2, 2]
    raw = np.rint(BLACK + (WHITE - BLACK) * raw).clip(0, WHITE).astype(np.uint16)

    def rationals(values):
        pairs = [Fraction(v).limit_denominator(10**6) for v in values]
        return [n for pair in pairs for n in (pair.numerator, pair.denominator)]

    model = b"dtdeconv test camera\0"
    tags = [
        (271, 2, 9, b"dtdeconv\0", True),  # Make
        (272, 2, 12, b"test camera\0", True),  # Model
        (274, 3, 1, 1, True),  # Orientation
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, (0, 1, 1, 2), True),  # CFAPattern: R G / G B
        (50706, 1, 4, (1, 4, 0, 0), True),  # DNGVersion
        (50707, 1, 4, (1, 1, 0, 0), True),  # DNGBackwardVersion
        (50708, 2, len(model), model, True),  # UniqueCameraModel
        (50714, 3, 1, BLACK, True),  # BlackLevel
        (50717, 3, 1, WHITE, True),  # WhiteLevel
        (50721, 10, 9, rationals(np.repeat(neutral, 3) * XYZ_TO_SRGB), True),  # ColorMatrix1
        (50728, 5, 3, rationals(neutral), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    tifffile.imwrite(path, raw, photometric=32803, extratags=tags, metadata=None, software=False)
