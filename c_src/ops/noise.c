/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/noise.h"
#include <math.h>
#include <stdlib.h>
dcv_status dcv_noise_estimate(const dcv_image *in, int channels, float *sigma)
{
  enum { BINS = 4096 };
  DCV_TRY(dcv_image_check(in, channels));
  for(int c = 0; c < channels; c++)
  {
    long bins[BINS] = { 0 }, n = 0;
    for(int y = 1; y + 1 < in->height; y++)
      for(int x = 1; x + 1 < in->width; x++)
      {
        float r = 0;
        for(int i = -1; i <= 1; i++)
          for(int j = -1; j <= 1; j++) r += (i ? 1 : -2) * (j ? 1 : -2) * in->data[(y + i) * in->row_stride + (x + j) * (ptrdiff_t)in->pixel_stride + c];
        r = fabsf(r) / 6.0f;
        if(r < 1.0f) bins[(int)(r * BINS)]++, n++;
      }
    long k = 0, b = 0;
    while(b < BINS - 1 && (k += bins[b]) < n / 2) b++;
    sigma[c] = (b + 0.5f) / BINS / 0.6745f;
  }
  return DCV_OK;
}
float dcv_noise_lam(float sigma, float priority)
{
  return 0.06f / (sigma * sigma) * powf(10.0f, priority);
}
