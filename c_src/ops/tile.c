/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/tile.h"

#include <math.h>

/* Pixels outside the halo that join two cut sides smoothly. */
enum { CUT_GAP = 16 };

/* First picture pixel of cut i. */
static int cut(int side, int tiles, int i)
{
  return (int)((long)i * side / tiles);
}

/* Data of tile i of one axis: [*a, *b). */
static void range(int side, int tiles, int i, int more, int *a, int *b)
{
  *a = i == 0 ? 0 : DCV_MAX(0, cut(side, tiles, i) - more);
  *b = i == tiles - 1 ? side : DCV_MIN(side, cut(side, tiles, i + 1) + more);
}

/* Transform side for one axis cut into `tiles`: the longest data with its gap. */
static int transform_side(int side, int tiles, int more, int gap)
{
  int most = 0;
  for(int i = 0; i < tiles; i++)
  {
    int a, b;
    range(side, tiles, i, more, &a, &b);
    most = DCV_MAX(most, b - a + (a == 0 || b == side ? gap : CUT_GAP));
  }
  return dcv_fft_fast_size(most);
}

/* Work of one transform with its share of pixel passes, relative: n log n, dearer once the planes leave the caches. */
static double work(int w, int h)
{
  const double n = (double)w * h;
  return n * (log2(n) + 4.0) * (n <= 420.0 * 420.0 ? 1.0 : n <= 600.0 * 600.0 ? 1.2 : 1.8);
}

void dcv_tiling_choose(dcv_tiling *tiling, int width, int height, int halo, int blend, int gap, int longest, int least_x, int least_y, double frame_cost)
{
  enum { THREADS = 4 }; /* assumed: the real number must not change the result */
  double least = INFINITY;
  *tiling = (dcv_tiling){ .width = width, .height = height, .halo = halo, .blend = blend, .gap = gap };
  /* A core below a quarter of its surroundings' width is never worth it, nor one narrower than the blend. */
  const int core = DCV_MAX((halo + blend) / 2, 4 * blend);
  const int most_x = DCV_MAX(1, width / core), most_y = DCV_MAX(1, height / core);
  const int longest_x = DCV_MAX(longest, transform_side(width, most_x, halo + blend, gap)); /* `longest` may be out of reach */
  const int longest_y = DCV_MAX(longest, transform_side(height, most_y, halo + blend, gap));
  for(int ny = DCV_MIN(least_y, most_y); ny <= most_y; ny++)
  {
    const int th = transform_side(height, ny, halo + blend, gap);
    if(th > longest_y) continue;
    for(int nx = DCV_MIN(least_x, most_x); nx <= most_x; nx++)
    {
      const int tw = transform_side(width, nx, halo + blend, gap);
      if(tw > longest_x) continue;
      const double inner = nx > 2 && ny > 2 ? (nx - 2.0) * (ny - 2.0) : 0.0;
      const double tiles = inner + frame_cost * ((double)nx * ny - inner);
      const double idle = (THREADS - (nx * ny) % THREADS) % THREADS; /* threads without a tile in the last round */
      const double cost = (tiles + 0.5 * idle) * work(tw, th);
      if(cost >= least) continue;
      least = cost;
      tiling->tiles_x = nx, tiling->tiles_y = ny, tiling->transform_width = tw, tiling->transform_height = th;
    }
  }
  if(tiling->tiles_x == 1 && tiling->tiles_y == 1) tiling->blend = 0;
}

dcv_tile dcv_tiling_at(const dcv_tiling *t, int ix, int iy)
{
  dcv_tile tile;
  range(t->width, t->tiles_x, ix, t->halo + t->blend, &tile.x0, &tile.x1);
  range(t->height, t->tiles_y, iy, t->halo + t->blend, &tile.y0, &tile.y1);
  tile.frame_x = tile.x0 == 0 || tile.x1 == t->width, tile.frame_y = tile.y0 == 0 || tile.y1 == t->height;
  return tile;
}

void dcv_tile_load(const dcv_image *in, const dcv_tile *tile, int channels, const dcv_fft *fft, float *const *planes)
{
  for(int y = tile->y0; y < tile->y1; y++)
  {
    const float *pixel = in->data + y * in->row_stride + (ptrdiff_t)tile->x0 * in->pixel_stride;
    const size_t row = (size_t)(y - tile->y0) * fft->stride;
    for(int x = 0; x < tile->x1 - tile->x0; x++, pixel += in->pixel_stride)
      for(int c = 0; c < channels; c++) planes[c][row + x] = pixel[c];
  }
}

void dcv_tile_contribution(int side, int tiles, int i, int blend, int *a, int *b, float *weight)
{
  const int left = cut(side, tiles, i), right = cut(side, tiles, i + 1);
  *a = i == 0 ? 0 : DCV_MAX(0, left - blend);
  *b = i == tiles - 1 ? side : DCV_MIN(side, right + blend);
  const float slope = 1.57079633f / DCV_MAX(blend, 1);
  for(int x = *a; x < *b; x++)
  {
    float w = 1.0f;
    if(i > 0 && x < left + blend) w = 0.5f + 0.5f * sinf(slope * ((float)(x - left) + 0.5f));
    if(i < tiles - 1 && x >= right - blend) w = 1.0f - (0.5f + 0.5f * sinf(slope * ((float)(x - right) + 0.5f)));
    weight[x - *a] = w;
  }
}

void dcv_tile_add(const dcv_tiling *t, int ix, int iy, int channels, const dcv_fft *fft, float *const *planes, float *ramp, const dcv_image *in,
                  dcv_image *out)
{
  const dcv_tile tile = dcv_tiling_at(t, ix, iy);
  float *const wx = ramp, *const wy = ramp + t->transform_width;
  int xa, xb, ya, yb;
  dcv_tile_contribution(t->width, t->tiles_x, ix, t->blend, &xa, &xb, wx);
  dcv_tile_contribution(t->height, t->tiles_y, iy, t->blend, &ya, &yb, wy);
  for(int y = ya; y < yb; y++)
  {
    const float *given = in->data + y * in->row_stride + (ptrdiff_t)xa * in->pixel_stride;
    float *pixel = out->data + y * out->row_stride + (ptrdiff_t)xa * out->pixel_stride;
    const size_t row = (size_t)(y - tile.y0) * fft->stride + (xa - tile.x0);
    for(int x = 0; x < xb - xa; x++, pixel += out->pixel_stride, given += in->pixel_stride)
    {
      const float w = wx[x] * wy[y - ya];
      for(int c = 0; c < channels; c++) pixel[c] += w * fmaxf(planes[c][row + x], isfinite(given[c]) ? fminf(given[c], 0.0f) : 0.0f);
    }
  }
}
