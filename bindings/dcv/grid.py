# SPDX-License-Identifier: GPL-3.0-or-later
"""PSFs on a grid, for a blur that varies over the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import errors
from ._core import Log, Progress, check_pixels, lib
from .estimation import BlurSize, PsfEstimate, check_size, choose_window, estimate_psf

# A cell below this share of the best confidence takes its neighbours' PSF.
TRUSTED = 0.6
# Windows reach beyond their cell by this share of it on each side: more structure, and neighbours that agree.
OVERLAP = 0.15


@dataclass(frozen=True, eq=False)
class PsfGrid:
    """Result of `estimate_psf_grid`.

    Attributes
    ----------
    psf : (rows, columns, n, n[, 3]) array of float32
        For `dcv.deconvolve`.
    confidence : (rows, columns) array
        Of the estimate in each cell, from 0 to 1.
    trusted : (rows, columns) array of bool
        False where the PSF was taken from the neighbours.
    cells : tuple of tuple of PsfEstimate
        The estimates themselves, with their windows.
    """

    psf: np.ndarray = field(repr=False)
    confidence: np.ndarray
    trusted: np.ndarray
    cells: tuple[tuple[PsfEstimate, ...], ...]


def estimate_psf_grid(
    image: Any,
    size: BlurSize = "auto",
    grid: tuple[int, int] = (3, 3),
    *,
    channel_axis: int | None = None,
    per_channel: bool = False,
    noise: float | None = None,
    saturation: float | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> PsfGrid:
    """Estimate PSFs of the parts of a picture whose blur varies over the frame.

    Each cell is estimated on the best window in and closely around it. A cell whose confidence is below 0.6 of the best one takes the mean PSF of
    its trusted neighbours, weighted by confidence.

    Parameters
    ----------
    image : (M, N[, C]) array of float32 or float64
        Blurred picture, scene-linear, white = 1.
    size : int or "auto"
        Width of the PSFs in pixels that is expected, odd, 3 to 33, or "auto": found in each cell. The largest that a cell needs serves all.
    grid : (rows, columns)
        Number of cells, each at least 2 `size` (66 for "auto") and 48 pixels wide and high.
    channel_axis, per_channel, noise, saturation, threads, progress, log
        As for `estimate_psf`.

    Returns
    -------
    grid : PsfGrid

    Raises
    ------
    ArgumentError
        Size even or out of range; a grid with no cells or too small ones.
    """
    array = check_pixels(image, channel_axis)
    if size != "auto":
        size = check_size(size)
    rows, columns = (int(count) for count in grid)
    least = max(2 * (lib.DCV_ESTIMATE_MAX if size == "auto" else size), 48)
    if not (1 <= rows <= lib.DCV_GRID_MAX and 1 <= columns <= lib.DCV_GRID_MAX) or array.shape[0] < least * rows or array.shape[1] < least * columns:
        raise errors.ArgumentError(f"a grid of {rows} x {columns} cells of at least {least} pixels does not fit {array.shape[1]} x {array.shape[0]} pixels")
    axis = None if channel_axis is None else -1
    done = 0

    def cell(row: int, column: int) -> PsfEstimate:
        nonlocal done
        top, bottom = _range(array.shape[0], rows, row)
        left, right = _range(array.shape[1], columns, column)
        part = array[top:bottom, left:right] if axis is not None else array[top:bottom, left:right, 0]
        x, y, width, height = choose_window(part, channel_axis=axis)
        step = done / (rows * columns)
        result = estimate_psf(
            array if axis is not None else array[:, :, 0],
            size,
            window=(left + x, top + y, width, height),
            channel_axis=axis,
            per_channel=per_channel,
            noise=noise,
            saturation=saturation,
            threads=threads,
            progress=None if progress is None else lambda fraction: progress(step + fraction / (rows * columns)),
            log=log,
        )
        done += 1
        return result

    cells = tuple(tuple(cell(row, column) for column in range(columns)) for row in range(rows))
    side = max(estimate.psf.shape[0] for line in cells for estimate in line)
    psf = np.array([[_padded(estimate.psf, side) for estimate in line] for line in cells], np.float32)
    confidence = np.array([[estimate.confidence for estimate in line] for line in cells])
    trusted = confidence >= TRUSTED * confidence.max()
    return PsfGrid(_fill(psf, confidence, trusted), confidence, trusted, cells)


def _range(length: int, cells: int, i: int) -> tuple[int, int]:
    """Pixels of cell i with its overlap."""
    reach = OVERLAP * length / cells if cells > 1 else 0
    return max(0, round(i * length / cells - reach)), min(length, round((i + 1) * length / cells + reach))


def _padded(psf: np.ndarray, side: int) -> np.ndarray:
    """The PSF in the middle of zeros."""
    more = (side - psf.shape[0]) // 2
    return np.pad(psf, ((more, more), (more, more)) + ((0, 0),) * (psf.ndim - 2))


def _fill(psf: np.ndarray, confidence: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """Cells not trusted become the mean of the nearest trusted ones (Chebyshev distance), weighted by confidence."""
    out = psf.copy()
    place = np.argwhere(trusted)
    for row, column in np.argwhere(~trusted):
        distance = np.abs(place - (row, column)).max(axis=1)
        near = place[distance == distance.min()]
        weight = confidence[near[:, 0], near[:, 1]]
        out[row, column] = np.average(psf[near[:, 0], near[:, 1]], axis=0, weights=np.maximum(weight, 1e-6))
    return out
