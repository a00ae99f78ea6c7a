/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/boundary.h"

#include <math.h>
#include <string.h>

enum { SWEEPS = 4 }; /* on each level */

/* One level: w x h values, row stride s; known pixels are marked in `known`. */
typedef struct level {
  int w, h, s;
  float *value, *known;
} level;

size_t dcv_boundary_scratch(const dcv_fft *fft)
{
  size_t floats = fft->plane; /* marks of the finest level */
  int w = fft->width, h = fft->height;
  while(w > 1 || h > 1)
  {
    w = (w + 1) / 2, h = (h + 1) / 2;
    floats += 2 * (size_t)w * h;
  }
  return floats;
}

/* Mean of the known pixels in each 2 x 2 block; a block without any is unknown. */
static void reduce(const level *fine, const level *coarse)
{
  for(int y = 0; y < coarse->h; y++)
    for(int x = 0; x < coarse->w; x++)
    {
      float sum = 0.0f, count = 0.0f;
      for(int i = 2 * y; i < DCV_MIN(2 * y + 2, fine->h); i++)
        for(int j = 2 * x; j < DCV_MIN(2 * x + 2, fine->w); j++)
        {
          const size_t at = (size_t)i * fine->s + j;
          sum += fine->known[at] * fine->value[at], count += fine->known[at];
        }
      coarse->value[y * coarse->s + x] = count > 0.0f ? sum / count : 0.0f;
      coarse->known[y * coarse->s + x] = count > 0.0f ? 1.0f : 0.0f;
    }
}

/* Bilinear, periodic: the fine pixel centre 2x (2x + 1) lies a quarter left (right) of the coarse centre x. */
static void interpolate(const level *coarse, const level *fine)
{
  for(int y = 0; y < fine->h; y++)
  {
    const int y0 = y / 2, y1 = (y0 + (y & 1 ? 1 : coarse->h - 1)) % coarse->h;
    for(int x = 0; x < fine->w; x++)
    {
      const size_t at = (size_t)y * fine->s + x;
      if(fine->known[at] != 0.0f) continue;
      const int x0 = x / 2, x1 = (x0 + (x & 1 ? 1 : coarse->w - 1)) % coarse->w;
      const float *a = coarse->value + (size_t)y0 * coarse->s, *b = coarse->value + (size_t)y1 * coarse->s;
      fine->value[at] = 0.75f * (0.75f * a[x0] + 0.25f * a[x1]) + 0.25f * (0.75f * b[x0] + 0.25f * b[x1]);
    }
  }
}

/* Gauss-Seidel in a fixed order: each unknown pixel becomes the mean of its four periodic neighbours. */
static void relax(const level *l)
{
  for(int y = 0; y < l->h; y++)
  {
    float *const row = l->value + (size_t)y * l->s;
    const float *const above = l->value + (size_t)((y + l->h - 1) % l->h) * l->s, *const below = l->value + (size_t)((y + 1) % l->h) * l->s;
    for(int x = 0; x < l->w; x++)
    {
      if(l->known[(size_t)y * l->s + x] != 0.0f) continue;
      const int left = x > 0 ? x - 1 : l->w - 1, right = x < l->w - 1 ? x + 1 : 0;
      row[x] = 0.25f * (above[x] + below[x] + row[left] + row[right]);
    }
  }
}

bool dcv_boundary_fill(const dcv_fft *fft, float *plane, float *scratch)
{
  level levels[20] = { { fft->width, fft->height, fft->stride, plane, scratch } };
  scratch += fft->plane;
  size_t unknown = 0;
  for(int y = 0; y < fft->height; y++)
    for(int x = 0; x < fft->width; x++)
    {
      const size_t at = (size_t)y * fft->stride + x;
      levels[0].known[at] = 1.0f;
      if(plane[at] == plane[at]) continue;
      levels[0].known[at] = plane[at] = 0.0f;
      unknown++;
    }
  if(unknown == 0) return true;
  if(unknown == (size_t)fft->width * fft->height) return false;
  int last = 0;
  while(levels[last].w > 1 || levels[last].h > 1)
  {
    const int w = (levels[last].w + 1) / 2, h = (levels[last].h + 1) / 2;
    levels[last + 1] = (level){ w, h, w, scratch, scratch + (size_t)w * h };
    scratch += 2 * (size_t)w * h;
    reduce(levels + last, levels + last + 1);
    last++;
  }
  for(int i = last - 1; i >= 0; i--)
  {
    interpolate(levels + i + 1, levels + i);
    for(int sweep = 0; sweep < SWEEPS; sweep++) relax(levels + i);
  }
  return true;
}
