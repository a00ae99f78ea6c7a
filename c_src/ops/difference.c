/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/difference.h"

#include <math.h>
#include <string.h>

#define DIAGONAL 0.707106781f

/* One row of d with its two neighbours; left and right: columns j - 1 and j + 1 of the same three rows, j inside the row. */
static inline __attribute__((always_inline)) float at(const int direction, const float *above, const float *row, const float *below, const int left,
                                                     const int j, const int right)
{
  switch(direction)
  {
    case 0: return row[right] - row[j];
    case 1: return below[j] - row[j];
    case 2: return row[right] + row[left] - 2.0f * row[j];
    case 3: return below[j] + above[j] - 2.0f * row[j];
    case 4: return DIAGONAL * (below[right] + above[left] - 2.0f * row[j]);
    case 5: return DIAGONAL * (below[left] + above[right] - 2.0f * row[j]);
    case 6: return row[left] - row[j]; /* adjoints of 0 and 1; the others are symmetric */
    default: return above[j] - row[j];
  }
}

/* out <- keep * out + weight * difference of x. */
static inline __attribute__((always_inline)) void pass(const dcv_fft *fft, const int direction, const float keep, const float weight,
                                                      const float *restrict x, float *restrict out)
{
  const int width = fft->width, height = fft->height;
  for(int i = 0; i < height; i++)
  {
    const float *const row = x + (size_t)i * fft->stride;
    const float *const above = x + (size_t)(i > 0 ? i - 1 : height - 1) * fft->stride, *const below = x + (size_t)(i < height - 1 ? i + 1 : 0) * fft->stride;
    float *const to = out + (size_t)i * fft->stride;
    const int last = width - 1;
    to[0] = (keep != 0.0f ? to[0] : 0.0f) + weight * at(direction, above, row, below, last, 0, last > 0 ? 1 : 0);
    for(int j = 1; j < last; j++) to[j] = (keep != 0.0f ? to[j] : 0.0f) + weight * at(direction, above, row, below, j - 1, j, j + 1);
    if(last > 0) to[last] = (keep != 0.0f ? to[last] : 0.0f) + weight * at(direction, above, row, below, last - 1, last, 0);
  }
}

DCV_SIMD void dcv_difference(const dcv_fft *fft, int direction, float weight, const float *x, float *d)
{
  switch(direction)
  {
    case 0: pass(fft, 0, 0.0f, weight, x, d); break;
    case 1: pass(fft, 1, 0.0f, weight, x, d); break;
    case 2: pass(fft, 2, 0.0f, weight, x, d); break;
    case 3: pass(fft, 3, 0.0f, weight, x, d); break;
    case 4: pass(fft, 4, 0.0f, weight, x, d); break;
    default: pass(fft, 5, 0.0f, weight, x, d);
  }
}

DCV_SIMD void dcv_difference_adjoint_add(const dcv_fft *fft, int direction, float weight, const float *d, float *out)
{
  switch(direction)
  {
    case 0: pass(fft, 6, 1.0f, weight, d, out); break;
    case 1: pass(fft, 7, 1.0f, weight, d, out); break;
    case 2: pass(fft, 2, 1.0f, weight, d, out); break;
    case 3: pass(fft, 3, 1.0f, weight, d, out); break;
    case 4: pass(fft, 4, 1.0f, weight, d, out); break;
    default: pass(fft, 5, 1.0f, weight, d, out);
  }
}

DCV_SIMD static void add_square(const dcv_fft *fft, const float *restrict d, const float *restrict u, float *restrict sum)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    if(u)
      for(int j = 0; j < fft->width; j++) sum[row + j] += (d[row + j] + u[row + j]) * (d[row + j] + u[row + j]);
    else
      for(int j = 0; j < fft->width; j++) sum[row + j] += d[row + j] * d[row + j];
  }
}

void dcv_difference_square(const dcv_fft *fft, int channels, const float *weights, int from, int to, const float *const *x, const float *const *u,
                           float *sum, float *scratch)
{
  memset(sum, 0, sizeof(float) * fft->plane);
  for(int c = 0; c < channels; c++)
    for(int d = from; d < to; d++)
    {
      dcv_difference(fft, d, weights[c], x[c], scratch);
      add_square(fft, scratch, u ? u[c * (to - from) + d - from] : NULL, sum);
    }
}

DCV_SIMD static void multiply(const dcv_fft *fft, const float *restrict n, float *restrict d)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->width; j++) d[row + j] *= n[row + j];
  }
}

void dcv_difference_curvature(const dcv_fft *fft, int channels, const float *weights, const float *const *x, const float *n, float *const *out,
                              float *scratch)
{
  for(int c = 0; c < channels; c++)
    for(int d = 0; d < 2; d++)
    {
      dcv_difference(fft, d, weights[c], x[c], scratch);
      multiply(fft, n, scratch);
      dcv_difference_adjoint_add(fft, d, weights[c], scratch, out[c]);
    }
}

void dcv_difference_power(const dcv_fft *fft, float *power)
{
  const double pi = 3.14159265358979323846;
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->columns; j++)
    {
      const double y = pi * i / fft->height, x = pi * j / fft->width;
      const double angles[4] = { x, y, y + x, y - x };
      double sum = 0.0;
      for(int o = 0; o < 4; o++)
      {
        const double s = sin(angles[o]), q = 4.0 * s * s;
        sum += o < 2 ? q + q * q : 0.5 * q * q;
      }
      power[(size_t)i * fft->stride + j] = (float)sum;
    }
}
