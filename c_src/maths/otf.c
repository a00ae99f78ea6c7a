/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "maths/otf.h"

#include <math.h>
#include <string.h>

void dcv_otf(const dcv_fft *fft, const dcv_psf *psf, int channel, float *otf)
{
  const int n = psf->size, w = fft->width, h = fft->height;
  const float *k = psf->data + (size_t)(psf->channels == 1 ? 0 : channel) * n * n;
  memset(otf, 0, sizeof(float) * fft->plane);
  for(int i = 0; i < n; i++)
    for(int j = 0; j < n; j++)
    {
      const int y = ((i - n / 2) % h + h) % h, x = ((j - n / 2) % w + w) % w;
      otf[(size_t)y * fft->stride + x] += k[i * n + j];
    }
  dcv_fft_forward(fft, otf);
}

void dcv_otf_difference(int n, int count, float *square)
{
  for(int f = 0; f < count; f++)
  {
    const double s = sin(3.14159265358979323846 * f / n);
    square[f] = (float)(4.0 * s * s);
  }
}
