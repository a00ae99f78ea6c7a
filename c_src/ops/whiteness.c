/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/whiteness.h"

#include <math.h>

#define SPREAD 3.0

static double mean_of(const float *r, int width, int height, int stride)
{
  double sum = 0.0;
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++) sum += r[(size_t)i * stride + j];
  return sum / ((double)width * height);
}

/* Sum over j of (a[j] - mean) (b[j] - mean). */
DCV_SIMD static double product_row(const float *restrict a, const float *restrict b, float mean, int count)
{
  enum { LANES = 16 }; /* a fixed order of summation that vectorises */
  float lanes[LANES] = { 0.0f };
  int j = 0;
  for(; j + LANES <= count; j += LANES)
    for(int l = 0; l < LANES; l++) lanes[l] += (a[j + l] - mean) * (b[j + l] - mean);
  double sum = 0.0;
  for(; j < count; j++) sum += (a[j] - mean) * (b[j] - mean);
  for(int l = 0; l < LANES; l++) sum += lanes[l];
  return sum;
}

double dcv_whiteness(const float *const *residual, int channels, int width, int height, int stride)
{
  enum { LAGS = DCV_WHITENESS_LAGS };
  double energy = 0.0;
  for(int c = 0; c < channels; c++)
  {
    const float *const r = residual[c];
    const float mean = (float)mean_of(r, width, height, stride);
    double power = 0.0, sum = 0.0;
    for(int i = 0; i < height; i++) power += product_row(r + (size_t)i * stride, r + (size_t)i * stride, mean, width);
    if(!(power > 0.0)) continue;
    for(int a = 0; a <= LAGS; a++)
      for(int b = a ? -LAGS : 1; b <= LAGS; b++)
      {
        double correlation = 0.0;
        const int right = b > 0 ? b : 0, left = b < 0 ? -b : 0;
        for(int i = 0; i < height - a; i++)
          correlation += product_row(r + (size_t)i * stride + left, r + (size_t)(i + a) * stride + right, mean, width - left - right);
        const double normalised = correlation / power;
        sum += exp(-(a * a + b * b) / (2.0 * SPREAD * SPREAD)) * normalised * normalised;
      }
    energy += sum / channels;
  }
  return -energy;
}
