"""A PSF that varies over the picture: a grid of PSFs, interpolated, each tile restored with the one at its middle."""
import numpy as np

from . import admm


def node(position, length, cells):
    """Node below a position on an axis of `length` pixels in so many cells, and the share of the next; constant beyond the outer middles."""
    at = min(max(position / length * cells - 0.5, 0), cells - 1)
    below = min(int(at), max(cells - 2, 0))
    return below, at - below


def at(grid, x, y, width, height):
    """PSF at (x, y), pixels, of a picture of width x height: bilinear between the middles of the cells of grid (rows, columns, n, n[, C])."""
    rows, columns = grid.shape[:2]
    j, down = node(y, height, rows)
    i, right = node(x, width, columns)
    a, b = min(j + 1, rows - 1), min(i + 1, columns - 1)
    return (1 - down) * ((1 - right) * grid[j, i] + right * grid[j, b]) + down * ((1 - right) * grid[a, i] + right * grid[a, b])


def contribution(side, tiles, i, blend):
    """Weights (side,) of tile i along an axis: 1 in its part, ramps (1 + sin(pi (x + 1/2 - X) / (2 blend))) / 2 around the cuts X = i side / tiles."""
    x = np.arange(side) + 0.5
    ramps = [0.5 + 0.5 * np.sin(np.pi / 2 * np.clip((x - k * side // tiles) / blend, -1, 1)) for k in (i, i + 1)]
    return (ramps[0] if i > 0 else 1) * (1 - ramps[1] if i < tiles - 1 else 1)


def restore(y, grid, params, tiles, halo, blend, shape):
    """Picture (M, N, C) restored by admm in tiles[0] x tiles[1] (rows, columns) tiles that all reach the frame, so at most 2 x 2.

    params(psf) gives admm.Parameters; a tile reads halo + blend pixels beyond its part; shape: the periodic domain.
    """
    rows, cols = y.shape[:2]
    out = np.zeros(y.shape)
    for j in range(tiles[0]):
        for i in range(tiles[1]):
            psf = at(grid, (i + 0.5) * cols / tiles[1], (j + 0.5) * rows / tiles[0], cols, rows)
            parts = []
            for side, count, k in ((rows, tiles[0], j), (cols, tiles[1], i)):
                a, b = k * side // count, (k + 1) * side // count
                parts.append(slice(0 if k == 0 else max(a - halo - blend, 0), side if k == count - 1 else min(b + halo + blend, side)))
            x = admm.restore(y[tuple(parts)], psf, params(psf), shape=shape, halo=halo + blend)
            weight = np.outer(contribution(rows, tiles[0], j, blend), contribution(cols, tiles[1], i, blend))
            out[tuple(parts)] += weight[tuple(parts)][..., None] * x
    return out
