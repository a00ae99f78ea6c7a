/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What C and OpenCL share: constants of the formulas, and the description of a tile that kernels take. Read by both compilers: plain macros and ints only.
 */
#ifndef DCV_SHARED_H
#define DCV_SHARED_H

#define DCV_OMEGA 1.9f          /* over-relaxation of unknown data */
#define DCV_CHROMA 2.0f         /* weight of chroma differences */
#define DCV_GROWTH 10.0f        /* of rho over all iterations of admm */
#define DCV_FIRST 0.01f         /* share of lam in the first iteration of admm, at most; */
#define DCV_FIRST_RATIO 0.75f   /* that share times lam times the gradient, at most; */
#define DCV_RISE 100.0f         /* and by what the share rises in each further iteration, up to 1 */
#define DCV_HOLE_PASSES 32      /* holes are filled from their edges */
#define DCV_HOLE_STEP(pass) (1 << (pass) / 8) /* by steps of 1, 2, 4 and 8 px: 120 px in all */
#define DCV_NOTCH_SQUARINGS 3  /* of 1 - |K|^2: its 8th power is large near the zeros of K only */
#define DCV_LEAST_SQUARE 1e-30f /* keeps the norm of the shrinkage off zero */

/* Orthonormal turn to luminance and chroma: 1 / sqrt 3, 1 / sqrt 2, 1 / sqrt 6. */
#define DCV_R3 0.577350269f
#define DCV_R2 0.707106781f
#define DCV_R6 0.408248290f

/* What a look at a tile's data finds. */
#define DCV_HAS_UNKNOWN 1 /* non-finite or clipped values */
#define DCV_HAS_HOLES 2   /* non-finite values */
#define DCV_HAS_CLIPPED 4

/* What all tiles share: `plane` floats for each channel of each tile, one tile after the other, rows of `stride` floats, a tile's data at the origin. */
typedef struct dcv_cl_tile {
  int width, height, columns, stride, plane; /* of the transform; columns: complex numbers in a row */
} dcv_cl_tile;

/* A tile's own numbers. */
typedef struct dcv_cl_place {
  int x0, y0; /* its first pixel in the strip */
  int data_width, data_height;
  int edge_x, edge_y; /* pixels by which an edge is repeated into the gap */
  int reach;          /* width of the unknown surroundings, 0 where the data do not reach the picture's frame */
} dcv_cl_place;

/* Interleaved pixels, from pixel (x0, y0) on: the strip of the picture that holds a row of tiles. */
typedef struct dcv_cl_strip {
  int width, step; /* pixels in a row, floats in a pixel */
  int x0, y0;
} dcv_cl_strip;

#endif
