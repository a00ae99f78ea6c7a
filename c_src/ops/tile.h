/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tile: how a picture is cut into overlapping tiles, read into planes, and put together again.
 *
 * Along each axis the picture is divided at X_i = i * side / tiles. Tile i contributes to [X_i - blend, X_{i+1} + blend) with a weight that
 * ramps smoothly over the 2 * blend pixels around each cut and sums to one with its neighbour's; it reads `halo` pixels more on each side. The frame of the picture
 * ends a tile early. What it has read (its data) lies at the origin of the transform; the rest of the transform joins the right edge to the left one
 * (bottom to top) and is at least `gap` wide along an axis where the data reach the frame, CUT_GAP (16) wide elsewhere.
 *
 * Weights add to 1. Nothing here depends on the number of threads, and tiles are added in a fixed order: neither do the bits of the result.
 */
#ifndef DCV_TILE_H
#define DCV_TILE_H

#include "maths/fft.h"

typedef struct dcv_tiling {
  int width, height; /* of the picture */
  int halo, blend, gap;
  int taper; /* width of the data of inner tiles that fade towards a cut (dcv_boundary_taper), 0: none; not set by dcv_tiling_choose */
  int tiles_x, tiles_y;
  int transform_width, transform_height;
} dcv_tiling;

/* Chooses the number of tiles and the transform for the least estimated work, with a few threads in mind: transforms no longer than `longest` on a
 * side unless halo and gap demand it, and at least least_x x least_y tiles where halo and blend allow. frame_cost: work of a tile at the frame, relative to an
 * inner one. */
void dcv_tiling_choose(dcv_tiling *tiling, int width, int height, int halo, int blend, int gap, int longest, int least_x, int least_y, double frame_cost);

/* Data of tile (ix, iy) in picture coordinates, half open. */
typedef struct dcv_tile {
  int x0, y0, x1, y1;
  bool frame_x, frame_y; /* the data reach the picture's frame, left or right, top or bottom */
} dcv_tile;
dcv_tile dcv_tiling_at(const dcv_tiling *tiling, int ix, int iy);

/* Range [*a, *b) of one axis, of `side` pixels in `tiles`, that tile i contributes to, and its weights there (up to the transform's length). The ramp around
 * a cut X is (1 + sin(pi (x + 1/2 - X) / (2 blend))) / 2. */
void dcv_tile_contribution(int side, int tiles, int i, int blend, int *a, int *b, float *weight);

/* Reads the tile's data into `planes` (at the origin; the rest is not written). */
void dcv_tile_load(const dcv_image *in, const dcv_tile *tile, int channels, const dcv_fft *fft, float *const *planes);

/* Adds weight * max(planes, min(y, 0)) to `out` over the pixels the tile contributes to, y the input, 0 where not finite: light is not negative, but noise and
 * colours outside the gamut may be. ramp: scratch of transform_width + transform_height floats. */
void dcv_tile_add(const dcv_tiling *tiling, int ix, int iy, int channels, const dcv_fft *fft, float *const *planes, float *ramp, const dcv_image *in,
                  dcv_image *out);

#endif
