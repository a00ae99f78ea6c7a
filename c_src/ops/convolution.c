/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/convolution.h"

DCV_SIMD void dcv_convolution_multiply(const dcv_fft *fft, const float *otf, const float *x, float *v)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
#pragma GCC ivdep
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1], xr = x[at], xi = x[at + 1];
      v[at] = kr * xr - ki * xi;
      v[at + 1] = kr * xi + ki * xr;
    }
  }
}

DCV_SIMD void dcv_convolution_correlate(const dcv_fft *fft, const float *otf, const float *y, float *v)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
#pragma GCC ivdep
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1], yr = y[at], yi = y[at + 1];
      v[at] = kr * yr + ki * yi;
      v[at + 1] = kr * yi - ki * yr;
    }
  }
}
