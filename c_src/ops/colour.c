/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/colour.h"

DCV_SIMD void dcv_colour_turn(const dcv_fft *fft, const float *const *from, float *const *to)
{
  const float *const r = from[0], *const g = from[1], *const b = from[2];
  float *const l = to[0], *const m = to[1], *const n = to[2];
#pragma GCC ivdep
  for(size_t i = 0; i < fft->plane; i++)
  {
    const float red = r[i], green = g[i], blue = b[i];
    l[i] = DCV_R3 * (red + green + blue);
    dcv_colour_chroma(red, green, blue, 1.0f, &m[i], &n[i]);
  }
}

DCV_SIMD void dcv_colour_turn_back(const dcv_fft *fft, float *const *planes)
{
  float *const l = planes[0], *const m = planes[1], *const n = planes[2];
#pragma GCC ivdep
  for(size_t i = 0; i < fft->plane; i++)
  {
    const float luminance = DCV_R3 * l[i], a = DCV_R2 * m[i], b = DCV_R6 * n[i];
    l[i] = luminance + a + b;
    m[i] = luminance - 2.0f * b;
    n[i] = luminance - a + b;
  }
}
