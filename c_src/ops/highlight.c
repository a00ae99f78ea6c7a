/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/highlight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 8, RAMP = 2 };
#define STEEP 1.15f
#define LEAST 0.5f
#define TAIL 0.0005

/* Half width of a PSF's projection on its rows (or columns). */
static int spread(const dcv_psf *psf, bool rows)
{
  const int n = psf->size, middle = n / 2;
  for(int r = 0; r < middle; r++)
  {
    double most = 0.0;
    for(int c = 0; c < psf->channels; c++)
    {
      double outside = 0.0;
      for(int i = 0; i < n; i++)
        for(int j = 0; j < n; j++)
          if(abs((rows ? i : j) - middle) > r) outside += psf->data[((size_t)c * n + i) * n + j];
      most = fmax(most, outside);
    }
    if(most <= TAIL) return r;
  }
  return middle;
}

/* Peak of the PSF's projections on lines in 8 directions, bins of 1 px shared linearly. */
static double steepest(const dcv_psf *psf)
{
  const int n = psf->size;
  double line[4 * DCV_PSF_MAX], peak = 0.0;
  for(int a = 0; a < DIRECTIONS; a++)
    for(int c = 0; c < psf->channels; c++)
    {
      memset(line, 0, sizeof(line));
      const double angle = a * 3.14159265358979323846 / DIRECTIONS, down = sin(angle), right = cos(angle);
      for(int i = 0; i < n; i++)
        for(int j = 0; j < n; j++)
        {
          const double place = (i - n / 2) * down + (j - n / 2) * right + 2 * n, value = psf->data[((size_t)c * n + i) * n + j];
          const int low = (int)place;
          line[low] += (low + 1 - place) * value, line[low + 1] += (place - low) * value;
        }
      for(int i = 0; i < 4 * n; i++) peak = fmax(peak, line[i]);
    }
  return peak;
}

dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white)
{
  if(white == INFINITY) return (dcv_highlight){ .white = white };
  return (dcv_highlight){
    .white = white,
    .step = white * fminf(STEEP * (float)steepest(psf), LEAST),
    .rows = spread(psf, true),
    .columns = spread(psf, false),
  };
}

int dcv_highlight_reach(const dcv_highlight *highlight)
{
  return highlight->white == INFINITY ? 0 : 3 * DCV_MAX(highlight->rows, highlight->columns) + 2 * RAMP + 1;
}

/* a <- sums over boxes of (2 rows + 1) x (2 columns + 1), cut off at the edges; exact for counts. */
static void box_sum(float *a, float *scratch, int stride, int width, int height, int rows, int columns)
{
  for(int y = 0; y < height; y++)
  {
    const float *const from = a + (size_t)y * stride;
    float *const to = scratch + (size_t)y * stride, sum = 0.0f;
    for(int x = 0; x < DCV_MIN(columns, width); x++) sum += from[x];
    for(int x = 0; x < width; x++)
    {
      if(x + columns < width) sum += from[x + columns];
      if(x - columns - 1 >= 0) sum -= from[x - columns - 1];
      to[x] = sum;
    }
  }
  memset(a, 0, sizeof(float) * width);
  for(int y = 0; y < DCV_MIN(rows, height); y++)
    for(int x = 0; x < width; x++) a[x] += scratch[(size_t)y * stride + x];
  for(int y = 0; y < height; y++)
  {
    float *const to = a + (size_t)y * stride;
    if(y > 0) memcpy(to, to - stride, sizeof(float) * width);
    if(y + rows < height)
      for(int x = 0; x < width; x++) to[x] += scratch[(size_t)(y + rows) * stride + x];
    if(y - rows - 1 >= 0)
      for(int x = 0; x < width; x++) to[x] -= scratch[(size_t)(y - rows - 1) * stride + x];
  }
}

/* a <- 1 within the box of a pixel > 0, 0 elsewhere. */
static void widen(float *a, float *scratch, int stride, int width, int height, int rows, int columns)
{
  box_sum(a, scratch, stride, width, height, rows, columns);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++) a[(size_t)y * stride + x] = a[(size_t)y * stride + x] > 0.0f;
}

static bool clipped(int channels, float *const *planes, size_t at, float white)
{
  for(int c = 0; c < channels; c++)
    if(isfinite(planes[c][at]) && planes[c][at] >= white) return true;
  return false;
}

/* Whether the pixel differs from one of its neighbours by more than the step. */
static bool steep(const dcv_highlight *h, int channels, float *const *planes, int stride, int width, int height, int x, int y)
{
  const int dx[] = { -1, 1, 0, 0 }, dy[] = { 0, 0, -1, 1 };
  for(int c = 0; c < channels; c++)
    for(int k = 0; k < 4; k++)
    {
      const int i = y + dy[k], j = x + dx[k];
      if(i < 0 || i >= height || j < 0 || j >= width) continue;
      const float a = planes[c][(size_t)y * stride + x], b = planes[c][(size_t)i * stride + j];
      if(isfinite(a) && isfinite(b) && fabsf(fminf(a, h->white) - fminf(b, h->white)) > h->step) return true;
    }
  return false;
}

bool dcv_highlight_hide(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *weight,
                        float *scratch)
{
  if(highlight->white == INFINITY) return false;
  const int stride = fft->stride, rows = highlight->rows, columns = highlight->columns;
  bool any = false;
  for(int y = 0; y < height && !any; y++)
    for(int x = 0; x < width && !any; x++) any = clipped(channels, planes, (size_t)y * stride + x, highlight->white);
  if(!any) return false;
  any = false;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      weight[(size_t)y * stride + x] = steep(highlight, channels, planes, stride, width, height, x, y);
      any = any || weight[(size_t)y * stride + x] > 0.0f;
    }
  if(!any) return false;
  widen(weight, scratch, stride, width, height, 2 * rows, 2 * columns);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
      if(!clipped(channels, planes, (size_t)y * stride + x, highlight->white)) weight[(size_t)y * stride + x] = 0.0f;
  widen(weight, scratch, stride, width, height, rows, columns);
  any = false;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const size_t at = (size_t)y * stride + x;
      if(weight[at] == 0.0f) continue;
      any = true;
      for(int c = 0; c < channels; c++) planes[c][at] = NAN;
    }
  if(!any) return false;
  widen(weight, scratch, stride, width, height, RAMP, RAMP);
  box_sum(weight, scratch, stride, width, height, RAMP, RAMP);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const int down = DCV_MIN(y + RAMP, height - 1) - DCV_MAX(y - RAMP, 0) + 1, across = DCV_MIN(x + RAMP, width - 1) - DCV_MAX(x - RAMP, 0) + 1;
      weight[(size_t)y * stride + x] /= (float)(down * across);
    }
  return true;
}

void dcv_highlight_fade(const dcv_fft *fft, const float *weight, const dcv_image *y, int x0, int y0, int c, int width, int height, float *x)
{
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float v = y->data[(y0 + i) * y->row_stride + (ptrdiff_t)(x0 + j) * y->pixel_stride + c];
      if(isfinite(v)) x[at] = weight[at] * v + (1.0f - weight[at]) * x[at];
    }
}
