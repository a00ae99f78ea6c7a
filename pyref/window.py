"""Choice of the sample window for the estimation of the PSF.

Blocks of 16 x 16 pixels carry the structure tensor of v = sqrt(luminance), in which shot noise is even, sums of (dx^2, dy^2, dx dy) of the backward
differences, divided by sqrt(trace) + sqrt(mean trace): one hard edge shall not outweigh structure all over. A window of whole blocks scores

    (smaller eigenvalue of the sum of its tensors) max(0, 1 - 20 clipped share) (1 - distance / 2)

with the share of its pixels within half a percent of the largest v, and its distance from the middle of the search, 1/2 at the end of an axis.
"""
import numpy as np

SIDE, WHOLE, BLOCK = 512, 528, 16


def margin(length, side):
    """Frame left out of the search: a fifth of the picture, if the window and a block still fit."""
    return max(0, min(length // 5, (length - side) // 2 - BLOCK))


def blocks(a):
    """Sums over whole blocks of (M, N)."""
    rows, cols = a.shape[0] // BLOCK, a.shape[1] // BLOCK
    return a[: rows * BLOCK, : cols * BLOCK].reshape(rows, BLOCK, cols, BLOCK).sum(axis=(1, 3))


def windows(a, m, n):
    """Sums over all windows of m x n blocks."""
    total = np.pad(a, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[m:, n:] - total[:-m, n:] - total[m:, :-n] + total[:-m, :-n]


def scores(v, down, across):
    """Score of every window of down x across pixels, (rows, columns) of its first block."""
    dx, dy = np.zeros_like(v), np.zeros_like(v)
    dx[:, 1:], dy[1:] = np.diff(v, axis=1), np.diff(v, axis=0)
    tensor = np.stack([blocks(dx * dx), blocks(dy * dy), blocks(dx * dy)])
    trace = tensor[0] + tensor[1]
    tensor = tensor / (np.sqrt(trace) + np.sqrt(trace.mean()) + 1e-12)
    m, n = down // BLOCK, across // BLOCK
    xx, yy, xy = (windows(t, m, n) for t in tensor)
    smaller = (xx + yy - np.hypot(xx - yy, 2 * xy)) / 2
    share = windows(blocks((v >= 0.995 * v.max()).astype(float)), m, n) / (down * across)
    rows, cols = np.indices(smaller.shape)
    distance = np.hypot(rows / max(1, smaller.shape[0] - 1) - 0.5, cols / max(1, smaller.shape[1] - 1) - 0.5)
    return smaller * np.maximum(0, 1 - 20 * share) * (1 - 0.5 * distance)


def choose(y):
    """(x, y, width, height) of the best window of a picture (M, N, C); all of it up to 528 x 528. Non-finite and negative values count as 0."""
    height, width = y.shape[:2]
    if max(width, height) <= WHOLE:
        return 0, 0, width, height
    across, down = min(SIDE, width), min(SIDE, height)
    left, top = margin(width, across), margin(height, down)
    if min(across, down) < BLOCK:
        return left, top, across, down
    grey = y[top : height - top, left : width - left].mean(axis=2)
    v = np.sqrt(np.maximum(np.where(np.isfinite(grey), grey, 0), 0))
    s = scores(v, down, across)
    row, col = np.unravel_index(np.argmax(s), s.shape)
    return min(left + int(col) * BLOCK, width - across), min(top + int(row) * BLOCK, height - down), across, down
