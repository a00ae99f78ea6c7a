/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * picture: between interleaved pixels and the planes of tiles. Work-items are pixels unless said otherwise; the third dimension counts the tiles at work, of
 * which the first is `first` in the list of places.
 */
#include "dcv_shared.h"

/* Float of channel 0 of pixel (x, y) of the strip. */
inline size_t pixel_at(const dcv_cl_strip s, const int x, const int y)
{
  return ((size_t)(s.y0 + y) * s.width + s.x0 + x) * s.step;
}

/* A column of a tile's data for each work-item, the second dimension counts tiles: flags[tile] gains what was found. */
__kernel void dcv_census(const dcv_cl_strip s, __global const dcv_cl_place *places, const int tiles, const float saturation, __global const float *in,
                         __global int *flags)
{
  const int x = get_global_id(0), tile = get_global_id(1);
  if(tile >= tiles || x >= places[tile].data_width) return;
  const dcv_cl_place p = places[tile];
  int found = 0;
  for(int y = 0; y < p.data_height; y++)
    for(int c = 0; c < DCV_CHANNELS; c++)
    {
      const float v = in[pixel_at(s, p.x0 + x, p.y0 + y) + c];
      if(!isfinite(v))
        found |= DCV_HAS_UNKNOWN | DCV_HAS_HOLES;
      else if(v >= saturation)
        found |= DCV_HAS_UNKNOWN | DCV_HAS_CLIPPED;
    }
  if(found) atomic_or(flags + tile, found);
}

/* Pixels with a non-finite value, and clipped ones among the others, in `rows` rows of the strip; a column for each work-item. */
__kernel void dcv_count(const dcv_cl_strip s, const int rows, const float saturation, __global const float *in, __global int *counts)
{
  const int x = get_global_id(0);
  if(x >= s.width) return;
  int unknown = 0, clipped = 0;
  for(int y = 0; y < rows; y++)
  {
    bool finite = true, most = false;
    for(int c = 0; c < DCV_CHANNELS; c++)
    {
      const float v = in[pixel_at(s, x, y) + c];
      finite = finite && isfinite(v), most = most || v >= saturation;
    }
    unknown += !finite, clipped += finite && most;
  }
  if(unknown) atomic_add(counts, unknown);
  if(clipped) atomic_add(counts + 1, clipped);
}

/* z <- the tile's data. */
__kernel void dcv_load(const dcv_cl_strip s, const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, __global const float *in,
                       __global float *z)
{
  const int x = get_global_id(0), y = get_global_id(1), tile = get_global_id(2);
  const dcv_cl_place p = places[first + tile];
  if(x >= p.data_width || y >= p.data_height) return;
  for(int c = 0; c < DCV_CHANNELS; c++)
    z[((size_t)tile * DCV_CHANNELS + c) * t.plane + y * t.stride + x] = in[pixel_at(s, p.x0 + x, p.y0 + y) + c];
}

/* A fresh strip of the result: 0 in the restored channels, which tiles are added to, the input in the others. Both strips begin at a pixel of their own. */
__kernel void dcv_start(const dcv_cl_strip from, const dcv_cl_strip to, const int rows, __global const float *in, __global float *out)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= to.width || y >= rows) return;
  for(int c = 0; c < to.step; c++) out[pixel_at(to, x, y) + c] = c < DCV_CHANNELS ? 0.0f : in[pixel_at(from, x, y) + c];
}

/* out <- out + wx wy max(x, min(y, 0)) over width x height pixels, y the input, 0 where not finite. Both strips begin at the first of them, (left, top) is its
 * place in the tile, `slot` among those at work. */
__kernel void dcv_add(const dcv_cl_strip from, const dcv_cl_strip s, const dcv_cl_tile t, const int slot, const int left, const int top, const int width,
                      const int height, __global const float *wx, __global const float *wy, const int first_x, const int first_y,
                      __global const float *planes, __global const float *in, __global float *out)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= width || y >= height) return;
  const float w = wx[first_x + x] * wy[first_y + y];
  const size_t at = (size_t)slot * DCV_CHANNELS * t.plane + (top + y) * t.stride + left + x;
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    const float v = in[pixel_at(from, x, y) + c];
    out[pixel_at(s, x, y) + c] += w * max(planes[at + (size_t)c * t.plane], isfinite(v) ? min(v, 0.0f) : 0.0f);
  }
}
