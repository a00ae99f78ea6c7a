/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admm: the pixel and spectrum work of an iteration (see c_src/solve/admm.c). Work-items are pixels, or complex numbers of half spectra; the third dimension
 * counts the tiles at work.
 */
#include "dcv_shared.h"

/* Float at which the tile's planes begin, in a buffer of `planes` planes for each channel. */
inline size_t tile_at(const dcv_cl_tile t, const int planes)
{
  return get_global_id(2) * DCV_CHANNELS * planes * (size_t)t.plane;
}

/* Weight of the differences of channel c. */
inline float weight(const int turned, const int c)
{
  return turned && c > 0 ? DCV_CHROMA : 1.0f;
}

#if DCV_CHANNELS == 3
/* (r + g + b) / sqrt 3, (r - b) / sqrt 2, (r - 2 g + b) / sqrt 6 */
__kernel void dcv_turn(const dcv_cl_tile t, __global const float *from, __global float *to)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  const size_t at = tile_at(t, 1) + (size_t)y * t.stride + x;
  const float r = from[at], g = from[at + t.plane], b = from[at + 2 * (size_t)t.plane];
  to[at] = DCV_R3 * (r + g + b);
  to[at + t.plane] = DCV_R2 * (r - b);
  to[at + 2 * (size_t)t.plane] = DCV_R6 * (r - 2.0f * g + b);
}

__kernel void dcv_turn_back(const dcv_cl_tile t, __global float *planes)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  const size_t at = tile_at(t, 1) + (size_t)y * t.stride + x;
  const float l = DCV_R3 * planes[at], a = DCV_R2 * planes[at + t.plane], b = DCV_R6 * planes[at + 2 * (size_t)t.plane];
  planes[at] = l + a + b;
  planes[at + t.plane] = l - 2.0f * b;
  planes[at + 2 * (size_t)t.plane] = l - a + b;
}
#endif

/* v <- w D x + u at (x, y), column then row difference of each channel; returns s = 1 - 1 / max(rho |v|, 1). */
inline float shrinkage(const dcv_cl_tile t, const int turned, const float rho, __global const float *picture, __global const float *u, const int x,
                       const int y, float *v)
{
  const size_t at = (size_t)y * t.stride + x;
  const size_t right = (size_t)y * t.stride + (x + 1 == t.width ? 0 : x + 1), below = (size_t)(y + 1 == t.height ? 0 : y + 1) * t.stride + x;
  float square = DCV_LEAST_SQUARE;
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    __global const float *const p = picture + (size_t)c * t.plane, *const q = u + 2 * (size_t)c * t.plane;
    const float w = weight(turned, c);
    v[2 * c] = w * (p[right] - p[at]) + q[at];
    v[2 * c + 1] = w * (p[below] - p[at]) + q[at + t.plane];
    square += v[2 * c] * v[2 * c] + v[2 * c + 1] * v[2 * c + 1];
  }
  return fmax(1.0f - 1.0f / (rho * sqrt(square)), 0.0f);
}

/* u' <- (v - g) / growth, x' <- D* (w (2 g - v)) with g = s v. The adjoint takes b = w (2 s - 1) v of the pixels on the left and above, which are
 * computed again: two more reads of what the caches hold instead of writing b and reading it. u: 2 planes for each channel. */
__kernel void dcv_tv_shrink(const dcv_cl_tile t, const int turned, const float rho, const float growth, __global const float *picture, __global const float *u,
                            __global float *new_picture, __global float *new_u)
{
  const int x = get_global_id(0), y = get_global_id(1);
  if(x >= t.width || y >= t.height) return;
  picture += tile_at(t, 1), new_picture += tile_at(t, 1), u += tile_at(t, 2), new_u += tile_at(t, 2);
  float v[2 * DCV_CHANNELS], left[2 * DCV_CHANNELS], above[2 * DCV_CHANNELS];
  const float s = shrinkage(t, turned, rho, picture, u, x, y, v);
  const float s_left = 2.0f * shrinkage(t, turned, rho, picture, u, x == 0 ? t.width - 1 : x - 1, y, left) - 1.0f;
  const float s_above = 2.0f * shrinkage(t, turned, rho, picture, u, x, y == 0 ? t.height - 1 : y - 1, above) - 1.0f;
  const size_t at = (size_t)y * t.stride + x;
  const float keep = (1.0f - s) / growth, both = 2.0f * s - 1.0f;
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    new_u[2 * (size_t)c * t.plane + at] = keep * v[2 * c];
    new_u[(2 * (size_t)c + 1) * t.plane + at] = keep * v[2 * c + 1];
    new_picture[(size_t)c * t.plane + at] =
        weight(turned, c) * ((s_left * left[2 * c] - both * v[2 * c]) + (s_above * above[2 * c + 1] - both * v[2 * c + 1]));
  }
}

/* Product of complex numbers. */
inline float2 times(const float2 a, const float2 b)
{
  return (float2)(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

/* x <- (b + r x) / (|K|^2 + r w^2 (dx + dy)) / pixels, r = rho / lam. next: floats from one channel's K to the next, 0 for a shared one. power: |D|^2 along
 * the rows, then along the columns. */
__kernel void dcv_divide(const dcv_cl_tile t, const int turned, const float r, const int next, __global const float *otf, __global const float *power,
                         __global const float *b, __global float *x)
{
  const int j = get_global_id(0), i = get_global_id(1);
  if(j >= t.columns || i >= t.height) return;
  const float scale = 1.0f / ((float)t.width * t.height), difference = power[j] + power[t.columns + i];
  const size_t at = (size_t)i * t.columns + j;
  b += tile_at(t, 1), x += tile_at(t, 1);
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    const float2 k = vload2(at, otf + (size_t)c * next), data = vload2(at, b + (size_t)c * t.plane), v = vload2(at, x + (size_t)c * t.plane);
    const float w = weight(turned, c), factor = scale / (k.x * k.x + k.y * k.y + r * w * w * difference);
    vstore2(factor * (data + r * v), at, x + (size_t)c * t.plane);
  }
}

/* x <- (1 - |K|^2)^8 x / pixels: what the data hold near the zeros of K, see c_src/ops/boundary.h. */
__kernel void dcv_notch(const dcv_cl_tile t, const int next, __global const float *otf, __global float *x)
{
  const int j = get_global_id(0), i = get_global_id(1);
  if(j >= t.columns || i >= t.height) return;
  const size_t at = (size_t)i * t.columns + j;
  x += tile_at(t, 1);
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    const float2 k = vload2(at, otf + (size_t)c * next);
    float power = 1.0f - (k.x * k.x + k.y * k.y);
    for(int n = 0; n < DCV_NOTCH_SQUARINGS; n++) power *= power;
    vstore2(power / ((float)t.width * t.height) * vload2(at, x + (size_t)c * t.plane), at, x + (size_t)c * t.plane);
  }
}

/* to <- (1 - share) x + share K x, in place allowed; correlate: conj(K) for K. */
__kernel void dcv_multiply(const dcv_cl_tile t, const int correlate, const float share, const int next, __global const float *otf, __global const float *x,
                           __global float *to)
{
  const int j = get_global_id(0), i = get_global_id(1);
  if(j >= t.columns || i >= t.height) return;
  const size_t at = (size_t)i * t.columns + j;
  x += tile_at(t, 1), to += tile_at(t, 1);
  for(int c = 0; c < DCV_CHANNELS; c++)
  {
    const float2 k = vload2(at, otf + (size_t)c * next);
    const float2 a = vload2(at, x + (size_t)c * t.plane);
    vstore2(mix(a, times(correlate ? (float2)(k.x, -k.y) : k, a), share), at, to + (size_t)c * t.plane);
  }
}
