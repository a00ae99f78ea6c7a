/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/boundary.h"

#include "../opencl/dcv_shared.h"

#include <math.h>
#include <string.h>

int dcv_boundary_reach(int radius)
{
  return 2 * radius + 8;
}

int dcv_boundary_gap(int radius, int halo)
{
  return DCV_MAX(4 * dcv_boundary_reach(radius) + 16, halo);
}

int dcv_boundary_edge(int gap)
{
  return DCV_MAX(0, (gap - 16) / 2);
}

/* Mean of the finite values among the eight neighbours `step` pixels away within the data; NaN when there is none. */
static float neighbours(const float *plane, int stride, int width, int height, int x, int y, int step)
{
  float sum = 0.0f;
  int count = 0;
  for(int i = y - step; i <= y + step; i += step)
    for(int j = x - step; j <= x + step; j += step)
    {
      if(i < 0 || i >= height || j < 0 || j >= width) continue;
      const float v = plane[(size_t)i * stride + j];
      if(isfinite(v)) sum += v, count++;
    }
  return count ? sum / count : NAN;
}

long dcv_boundary_fill_holes(const dcv_fft *fft, float *plane, int data_width, int data_height, float *scratch)
{
  long holes = 0;
  for(int pass = 0; pass <= DCV_HOLE_PASSES; pass++)
  {
    long left = 0;
    for(int y = 0; y < data_height; y++)
      for(int x = 0; x < data_width; x++)
      {
        const size_t at = (size_t)y * fft->stride + x;
        scratch[at] = plane[at];
        if(isfinite(plane[at])) continue;
        left++;
        scratch[at] = pass < DCV_HOLE_PASSES ? neighbours(plane, fft->stride, data_width, data_height, x, y, DCV_HOLE_STEP(pass)) : 0.0f;
      }
    if(pass == 0) holes = left;
    if(left == 0) break;
    for(int y = 0; y < data_height; y++)
      memcpy(plane + (size_t)y * fft->stride, scratch + (size_t)y * fft->stride, sizeof(float) * data_width);
  }
  return holes;
}

/* Weight of the first value at place i of a gap of g. */
static float far_weight(int i, int g, int edge)
{
  const float w = (float)(i + 1 - edge) / (float)(g + 1 - 2 * edge);
  return fminf(fmaxf(w, 0.0f), 1.0f);
}

void dcv_boundary_extend(const dcv_fft *fft, float *plane, int data_width, int data_height, int edge_x, int edge_y)
{
  const size_t stride = (size_t)fft->stride;
  const int below = fft->height - data_height, right = fft->width - data_width;
  const float *const top = plane, *const bottom = plane + (data_height - 1) * stride;
  for(int i = 0; i < below; i++)
  {
    const float w = far_weight(i, below, edge_y);
    float *const row = plane + (data_height + i) * stride;
    for(int x = 0; x < data_width; x++) row[x] = (1.0f - w) * bottom[x] + w * top[x];
  }
  for(int y = 0; y < fft->height; y++)
  {
    float *const row = plane + y * stride;
    const float last = row[data_width - 1], first = row[0];
    for(int i = 0; i < right; i++)
    {
      const float w = far_weight(i, right, edge_x);
      row[data_width + i] = (1.0f - w) * last + w * first;
    }
  }
}

/* Distance of place i from the data [0, count) of a period. */
static int distance(int i, int count, int period)
{
  return i < count ? 0 : DCV_MIN(i - count + 1, period - i);
}

bool dcv_boundary_bound(const dcv_fft *fft, const float *y, int data_width, int data_height, float saturation, int reach, float *bound)
{
  bool unknown = false;
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    const int known = i < data_height ? data_width : 0, dy = distance(i, data_height, fft->height);
    for(int j = 0; j < known; j++)
    {
      const float v = y[row + j];
      bound[row + j] = !isfinite(v) ? -INFINITY : v >= saturation ? v : INFINITY;
      unknown = unknown || bound[row + j] != INFINITY;
    }
    for(int j = known; j < fft->width; j++)
      bound[row + j] = DCV_MAX(dy, distance(j, data_width, fft->width)) <= reach ? -INFINITY : INFINITY;
  }
  return unknown;
}

void dcv_boundary_fade(int count, int period, int taper, float *weight)
{
  for(int i = 0; i < period; i++)
  {
    const float d = fminf(i + 0.5f, count - i - 0.5f), root = sinf(1.57079633f * fminf(fmaxf(d / taper, 0.0f), 1.0f));
    weight[i] = root * root;
  }
}

DCV_SIMD void dcv_boundary_notch(const dcv_fft *fft, const float *restrict otf, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      float power = 1.0f - (otf[at] * otf[at] + otf[at + 1] * otf[at + 1]);
      for(int n = 0; n < DCV_NOTCH_SQUARINGS; n++) power *= power;
      x[at] *= scale * power;
      x[at + 1] *= scale * power;
    }
  }
}

DCV_SIMD void dcv_boundary_taper(const dcv_fft *fft, const float *restrict weight, const float *restrict notch, float *restrict z)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    const float w = weight[fft->width + i];
    for(int j = 0; j < fft->width; j++) z[row + j] -= (1.0f - w * weight[j]) * notch[row + j];
  }
}

DCV_SIMD void dcv_boundary_clear_gap(const dcv_fft *fft, int data_width, int data_height, const float *restrict notch, float *restrict z)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = i < data_height ? data_width : 0; j < fft->width; j++) z[row + j] -= notch[row + j];
  }
}

DCV_SIMD void dcv_boundary_impute(const dcv_fft *fft, float omega, const float *restrict model, const float *restrict bound, float *restrict z)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->width; j++)
    {
      const float moved = z[row + j] + omega * (model[row + j] - z[row + j]), least = bound[row + j];
      const float imputed = moved > least ? moved : least;
      z[row + j] = least == INFINITY ? z[row + j] : imputed;
    }
  }
}
