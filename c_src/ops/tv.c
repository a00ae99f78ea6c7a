/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/tv.h"

#include "../opencl/dcv_shared.h"

#include <math.h>
#include <string.h>

/* Scratch rows of each channel: b1 and b2 = w (2 g - v) of the current row, b2 of the row above, and both of the last row, which the first row needs.
 * MARGIN floats in front of each take the wrapped neighbour on the left. */
#define MARGIN 16
enum { ROWS = 5 };

typedef struct rows {
  float *x[3], *below[3], *u1[3], *u2[3], *b1[3], *b2[3], *above[3];
} rows;

typedef struct shrinkage {
  float rho, growth, weights[3];
} shrinkage;

static inline size_t row_floats(const dcv_fft *fft)
{
  return (size_t)fft->stride + MARGIN;
}

size_t dcv_tv_scratch(const dcv_fft *fft, int channels)
{
  return row_floats(fft) * ROWS * channels;
}

/* u <- (v - g) / growth, b <- w (2 g - v) on one row; x[width] holds x[0]. */
static inline __attribute__((always_inline)) void shrink_row(const int channels, const rows *r, const int width, const shrinkage *by)
{
  const float *x[3], *below[3];
  float *u1[3], *u2[3], *b1[3], *b2[3], w[3];
  for(int c = 0; c < channels; c++)
  {
    x[c] = r->x[c], below[c] = r->below[c], u1[c] = r->u1[c], u2[c] = r->u2[c], b1[c] = r->b1[c], b2[c] = r->b2[c], w[c] = by->weights[c];
  }
  const float t = 1.0f / by->rho, decay = 1.0f / by->growth;
#pragma GCC ivdep
  for(int j = 0; j < width; j++)
  {
    float v1[3], v2[3], square = DCV_LEAST_SQUARE;
    for(int c = 0; c < channels; c++)
    {
      v1[c] = w[c] * (x[c][j + 1] - x[c][j]) + u1[c][j];
      v2[c] = w[c] * (below[c][j] - x[c][j]) + u2[c][j];
      square += v1[c] * v1[c] + v2[c] * v2[c];
    }
    const float shrink = 1.0f - t / sqrtf(square);
    const float s = shrink > 0.0f ? shrink : 0.0f;
    for(int c = 0; c < channels; c++)
    {
      u1[c][j] = decay * (1.0f - s) * v1[c];
      u2[c][j] = decay * (1.0f - s) * v2[c];
      b1[c][j] = w[c] * (2.0f * s - 1.0f) * v1[c];
      b2[c][j] = w[c] * (2.0f * s - 1.0f) * v2[c];
    }
  }
}

/* x <- (b1[j-1] - b1[j]) + (above[j] - b2[j]); b1[-1] holds b1[width - 1]. */
static inline __attribute__((always_inline)) void adjoint_row(float *restrict x, const float *restrict b1, const float *restrict b2,
                                                             const float *restrict above, const int width)
{
  for(int j = 0; j < width; j++) x[j] = (b1[j - 1] - b1[j]) + (above[j] - b2[j]);
}

static inline __attribute__((always_inline)) void shrink_plane(const dcv_fft *fft, const int channels, float *const *x, float *const *u, const shrinkage *by,
                                                              float *scratch)
{
  const int width = fft->width, height = fft->height;
  const size_t stride = (size_t)fft->stride, row = row_floats(fft);
  float *last1[3], *last2[3];
  rows r;
  for(int c = 0; c < channels; c++)
  {
    float *const own = scratch + row * ROWS * c + MARGIN;
    r.b1[c] = own, r.b2[c] = own + row, r.above[c] = own + 2 * row, last1[c] = own + 3 * row, last2[c] = own + 4 * row;
  }
  for(int i = -1; i < height - 1; i++) /* the last row first: its b2 is above the first row */
  {
    const int y = i < 0 ? height - 1 : i, below = (y + 1) % height;
    for(int c = 0; c < channels; c++)
    {
      r.x[c] = x[c] + y * stride, r.below[c] = x[c] + below * stride;
      r.u1[c] = u[2 * c] + y * stride, r.u2[c] = u[2 * c + 1] + y * stride;
      r.x[c][width] = r.x[c][0];
    }
    shrink_row(channels, &r, width, by);
    for(int c = 0; c < channels; c++)
    {
      if(i >= 0) r.b1[c][-1] = r.b1[c][width - 1], adjoint_row(r.x[c], r.b1[c], r.b2[c], r.above[c], width);
      if(i < 0)
      {
        memcpy(last1[c], r.b1[c], sizeof(float) * width);
        memcpy(last2[c], r.b2[c], sizeof(float) * width);
      }
      float *const swap = r.above[c];
      r.above[c] = r.b2[c], r.b2[c] = swap;
    }
  }
  for(int c = 0; c < channels; c++)
  {
    last1[c][-1] = last1[c][width - 1];
    adjoint_row(x[c] + (height - 1) * stride, last1[c], last2[c], r.above[c], width);
  }
}

DCV_SIMD static void shrink_1(const dcv_fft *fft, const shrinkage *by, float *const *x, float *const *u, float *scratch)
{
  shrink_plane(fft, 1, x, u, by, scratch);
}

DCV_SIMD static void shrink_2(const dcv_fft *fft, const shrinkage *by, float *const *x, float *const *u, float *scratch)
{
  shrink_plane(fft, 2, x, u, by, scratch);
}

DCV_SIMD static void shrink_3(const dcv_fft *fft, const shrinkage *by, float *const *x, float *const *u, float *scratch)
{
  shrink_plane(fft, 3, x, u, by, scratch);
}

void dcv_tv_shrink(const dcv_fft *fft, int channels, const float *weights, float rho, float growth, float *const *x, float *const *u, float *scratch)
{
  shrinkage by = { .rho = rho, .growth = growth };
  for(int c = 0; c < channels; c++) by.weights[c] = weights[c];
  (channels == 1 ? shrink_1 : channels == 2 ? shrink_2 : shrink_3)(fft, &by, x, u, scratch);
}
