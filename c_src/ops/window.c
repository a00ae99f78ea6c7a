/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/window.h"

#include <math.h>
#include <string.h>

enum { SIDE = 512, WHOLE = 528, BLOCK = 16, SUMS = 4 }; /* dx^2, dy^2, dx dy, clipped */

static float level(const dcv_image *in, int channels, int x, int y)
{
  const float *const pixel = in->data + y * in->row_stride + (ptrdiff_t)x * in->pixel_stride;
  double sum = 0.0;
  for(int c = 0; c < channels; c++) sum += pixel[c];
  return isfinite(sum) && sum > 0.0 ? (float)sqrt(sum / channels) : 0.0f;
}

static int margin(int length, int side)
{
  return DCV_MAX(0, DCV_MIN(length / 5, (length - side) / 2 - BLOCK));
}

/* Sums of the block at (x0, y0); differences reach back to the searched part's first column and row. */
static void measure(const dcv_image *in, int channels, int left, int top, int x0, int y0, float white, double *sums)
{
  memset(sums, 0, sizeof(double) * SUMS);
  for(int y = y0; y < y0 + BLOCK; y++)
    for(int x = x0; x < x0 + BLOCK; x++)
    {
      const double v = level(in, channels, x, y);
      const double dx = x > left ? v - level(in, channels, x - 1, y) : 0.0, dy = y > top ? v - level(in, channels, x, y - 1) : 0.0;
      sums[0] += dx * dx, sums[1] += dy * dy, sums[2] += dx * dy, sums[3] += v >= white;
    }
}

/* total[row][column] <- sum of the blocks above and to the left, (rows + 1) x (columns + 1). */
static void integrate(const double *blocks, int rows, int columns, double *total)
{
  memset(total, 0, sizeof(double) * SUMS * (rows + 1) * (columns + 1));
  for(int i = 0; i < rows; i++)
    for(int j = 0; j < columns; j++)
      for(int k = 0; k < SUMS; k++)
      {
        double *const at = total + ((size_t)(i + 1) * (columns + 1) + j + 1) * SUMS + k;
        const double *const above = at - (size_t)(columns + 1) * SUMS;
        *at = blocks[((size_t)i * columns + j) * SUMS + k] + at[-SUMS] + above[0] - above[-SUMS];
      }
}

static double score(const double *s, int pixels, double row, double column)
{
  const double smaller = 0.5 * (s[0] + s[1] - hypot(s[0] - s[1], 2.0 * s[2]));
  return smaller * fmax(0.0, 1.0 - 20.0 * s[3] / pixels) * (1.0 - 0.5 * hypot(row - 0.5, column - 0.5));
}

dcv_status dcv_window_choose(const dcv_image *in, int channels, int32_t window[4])
{
  const int across = DCV_MIN(SIDE, in->width), down = DCV_MIN(SIDE, in->height);
  if(in->width <= WHOLE && in->height <= WHOLE)
  {
    window[0] = window[1] = 0, window[2] = in->width, window[3] = in->height;
    return DCV_OK;
  }
  const int left = margin(in->width, across), top = margin(in->height, down);
  const int columns = (in->width - 2 * left) / BLOCK, rows = (in->height - 2 * top) / BLOCK, n = across / BLOCK, m = down / BLOCK;
  if(m < 1 || n < 1)
  {
    window[0] = left, window[1] = top, window[2] = across, window[3] = down;
    return DCV_OK;
  }
  double *const blocks = dcv_alloc(sizeof(double) * SUMS * rows * columns);
  double *const total = blocks ? dcv_alloc(sizeof(double) * SUMS * (rows + 1) * (columns + 1)) : NULL;
  if(!total)
  {
    dcv_release(blocks);
    return DCV_ERROR_MEMORY;
  }
  float brightest = 0.0f;
#pragma omp parallel for schedule(static) reduction(max : brightest)
  for(int y = top; y < in->height - top; y++)
    for(int x = left; x < in->width - left; x++) brightest = fmaxf(brightest, level(in, channels, x, y));
#pragma omp parallel for collapse(2) schedule(static)
  for(int i = 0; i < rows; i++)
    for(int j = 0; j < columns; j++)
      measure(in, channels, left, top, left + j * BLOCK, top + i * BLOCK, 0.995f * brightest, blocks + ((size_t)i * columns + j) * SUMS);
  double mean = 0.0;
  for(int b = 0; b < rows * columns; b++) mean += (blocks[b * SUMS] + blocks[b * SUMS + 1]) / ((double)rows * columns);
  for(int b = 0; b < rows * columns; b++)
  {
    double *const t = blocks + (size_t)b * SUMS, size = sqrt(t[0] + t[1]) + sqrt(mean) + 1e-12;
    for(int k = 0; k < 3; k++) t[k] /= size;
  }
  integrate(blocks, rows, columns, total);
  double best = -1.0;
  for(int i = 0; i + m <= rows; i++)
    for(int j = 0; j + n <= columns; j++)
    {
      const double *const a = total + ((size_t)i * (columns + 1) + j) * SUMS, *const b = a + (size_t)n * SUMS;
      const double *const c = a + (size_t)m * (columns + 1) * SUMS, *const d = c + (size_t)n * SUMS;
      double sums[SUMS];
      for(int k = 0; k < SUMS; k++) sums[k] = d[k] - b[k] - c[k] + a[k];
      const double s = score(sums, across * down, (double)i / DCV_MAX(1, rows - m), (double)j / DCV_MAX(1, columns - n));
      if(s <= best) continue;
      best = s;
      window[0] = DCV_MIN(left + j * BLOCK, in->width - across), window[1] = DCV_MIN(top + i * BLOCK, in->height - down);
    }
  window[2] = across, window[3] = down;
  dcv_release(total);
  dcv_release(blocks);
  return DCV_OK;
}
