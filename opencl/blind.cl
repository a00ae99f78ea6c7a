/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blind: the sharp estimate of stage 1 (see c_src/solve/blind.c, step 1), with `dcv_multiply` and `dcv_divide` of admm.cl. One channel.
 */
#include "dcv_shared.h"

/* Gradient at (x, y), 0 where its square is below `least`. */
inline float2 edge(const dcv_cl_tile t, const float least, __global const float *picture, const int x, const int y)
{
  const float v = picture[(size_t)y * t.stride + x];
  const float2 g = (float2)(picture[(size_t)y * t.stride + (x + 1 == t.width ? 0 : x + 1)] - v,
                            picture[(size_t)(y + 1 == t.height ? 0 : y + 1) * t.stride + x] - v);
  return g.x * g.x + g.y * g.y >= least ? g : (float2)(0.0f, 0.0f);
}

/* x' <- D* g, g the gradient of x where its square is at least `least`, 0 elsewhere. */
__kernel void dcv_edges(const dcv_cl_tile t, const float least, __global const float *picture, __global float *out)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  const float2 g = edge(t, least, picture, x, y);
  const float left = edge(t, least, picture, x == 0 ? t.width - 1 : x - 1, y).x, above = edge(t, least, picture, x, y == 0 ? t.height - 1 : y - 1).y;
  out[(size_t)y * t.stride + x] = (left - g.x) + (above - g.y);
}

/* A PSF of n x n values with its centre at the origin of a plane of zeros. */
__kernel void dcv_place(const dcv_cl_tile t, const int n, __global const float *psf, __global float *plane)
{
  const int j = get_global_id(0), i = get_global_id(1);
  if(j >= n || i >= n) return;
  const int y = (i - n / 2 + t.height) % t.height, x = (j - n / 2 + t.width) % t.width;
  plane[(size_t)y * t.stride + x] = psf[i * n + j];
}
