/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boundary: what is not known (see c_src/ops/boundary.h). The third dimension counts the planes of the tiles at work, channels of a tile together; the first
 * tile is `first` in the list of places.
 */
#include "dcv_shared.h"

inline dcv_cl_place place_of(__global const dcv_cl_place *places, const int first)
{
  return places[first + (int)get_global_id(2) / DCV_CHANNELS];
}

/* Distance of place i from the data [0, count) of a period. */
inline int distance_from(const int i, const int count, const int period)
{
  return i < count ? 0 : min(i - count + 1, period - i);
}

/* bound <- +infinity where z is known, z where clipped, -infinity where non-finite; in the gap -infinity up to `reach` pixels from the data, +infinity beyond. */
__kernel void dcv_bound(const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, const float saturation, __global const float *z,
                        __global float *bound)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  const dcv_cl_place p = place_of(places, first);
  const size_t at = (size_t)get_global_id(2) * t.plane + y * t.stride + x;
  if(x < p.data_width && y < p.data_height)
  {
    const float v = z[at];
    bound[at] = !isfinite(v) ? -INFINITY : v >= saturation ? v : INFINITY;
  }
  else
    bound[at] = max(distance_from(y, p.data_height, t.height), distance_from(x, p.data_width, t.width)) <= p.reach ? -INFINITY : INFINITY;
}

/* One pass: to <- from, non-finite values replaced by the mean of the finite ones among the eight neighbours `step` pixels away within the data; step 0: by 0. */
__kernel void dcv_fill_holes(const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, const int step, __global const float *from,
                             __global float *to)
{
  const int x = get_global_id(0), y = get_global_id(1);
  const dcv_cl_place p = place_of(places, first);
  if(x >= p.data_width || y >= p.data_height) return;
  const size_t plane = (size_t)get_global_id(2) * t.plane, at = plane + y * t.stride + x;
  float v = from[at];
  if(!isfinite(v))
  {
    float sum = 0.0f;
    int count = 0;
    for(int i = y - step; step > 0 && i <= y + step; i += step)
      for(int j = x - step; j <= x + step; j += step)
      {
        if(i < 0 || i >= p.data_height || j < 0 || j >= p.data_width) continue;
        const float near = from[plane + i * t.stride + j];
        if(isfinite(near)) sum += near, count++;
      }
    v = step == 0 ? 0.0f : count ? sum / count : NAN;
  }
  to[at] = v;
}

/* Weight of the first value at place i of a gap of g. */
inline float far_weight(const int i, const int g, const int edge)
{
  return clamp((float)(i + 1 - edge) / (float)(g + 1 - 2 * edge), 0.0f, 1.0f);
}

/* The gap below the data: (1 - w) last + w first of each column. Work-items: data_width x (height - data_height). */
__kernel void dcv_extend_columns(const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, __global float *z)
{
  const dcv_cl_place p = place_of(places, first);
  const int x = get_global_id(0), i = get_global_id(1), gap = t.height - p.data_height;
  if(x >= p.data_width || i >= gap) return;
  __global float *const column = z + (size_t)get_global_id(2) * t.plane + x;
  const float w = far_weight(i, gap, p.edge_y);
  column[(p.data_height + i) * t.stride] = (1.0f - w) * column[(p.data_height - 1) * t.stride] + w * column[0];
}

/* Then the gap to the right, on all rows. Work-items: (width - data_width) x height. */
__kernel void dcv_extend_rows(const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, __global float *z)
{
  const dcv_cl_place p = place_of(places, first);
  const int i = get_global_id(0), y = get_global_id(1), gap = t.width - p.data_width;
  if(i >= gap || y >= t.height) return;
  __global float *const row = z + (size_t)get_global_id(2) * t.plane + y * t.stride;
  const float w = far_weight(i, gap, p.edge_x);
  row[p.data_width + i] = (1.0f - w) * row[p.data_width - 1] + w * row[0];
}

/* Weight of place i of an axis with `count` pixels of data, see dcv_boundary_fade. */
inline float fade(const int i, const int count, const int taper)
{
  const float root = sin(1.57079633f * clamp(fmin(i + 0.5f, count - i - 0.5f) / taper, 0.0f, 1.0f));
  return root * root;
}

/* z <- z - (1 - w_x w_y) notch in tiles that do not reach the frame (taper 0: none), z <- z - notch in the gap of those that do, see c_src/ops/boundary.h. */
__kernel void dcv_taper(const dcv_cl_tile t, __global const dcv_cl_place *places, const int first, const int taper, __global const float *notch,
                        __global float *z)
{
  const int x = get_global_id(0), y = get_global_id(1);
  const dcv_cl_place p = place_of(places, first);
  if(x >= t.width || y >= t.height || (p.reach == 0 && taper == 0)) return;
  const size_t at = (size_t)get_global_id(2) * t.plane + y * t.stride + x;
  const float data = p.reach > 0 ? x < p.data_width && y < p.data_height : fade(x, p.data_width, taper) * fade(y, p.data_height, taper);
  z[at] -= (1.0f - data) * notch[at];
}

/* z <- max(z + omega (model - z), bound) where bound is not +infinity. */
__kernel void dcv_impute(const dcv_cl_tile t, __global const float *model, __global const float *bound, __global float *z)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  const size_t at = (size_t)get_global_id(2) * t.plane + y * t.stride + x;
  const float least = bound[at];
  if(least != INFINITY) z[at] = fmax(z[at] + DCV_OMEGA * (model[at] - z[at]), least);
}
