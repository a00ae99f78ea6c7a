/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/family.h"

#include <math.h>

#define PI 3.14159265358979323846
#define LEAST_WIDTH 0.3 /* px */

void dcv_family_draw(int family, const double a[3], int size, float *k)
{
  dcv_psf psf = { k, size, 1 };
  if(family != DCV_FAMILY_GAUSSIAN)
  {
    dcv_psf_make(&psf, family == DCV_FAMILY_DISK ? DCV_PSF_DISK : DCV_PSF_MOTION, exp(a[0]), -a[2] * 180.0 / PI);
    return;
  }
  const double cosine = cos(a[2]), sine = sin(a[2]), along = exp(-a[0]), across = exp(-a[1]);
  for(int i = 0; i < size; i++)
    for(int j = 0; j < size; j++)
    {
      const double x = j - size / 2, y = i - size / 2;
      const double u = (cosine * x + sine * y) * along, v = (cosine * y - sine * x) * across;
      k[i * size + j] = (float)exp(-0.5 * (u * u + v * v));
    }
  dcv_psf_normalise(&psf);
}

void dcv_family_guess(int family, const float *k, int size, double a[3])
{
  double sum = 0.0, x1 = 0.0, y1 = 0.0, xx = 0.0, xy = 0.0, yy = 0.0;
  for(int i = 0; i < size; i++)
    for(int j = 0; j < size; j++)
    {
      const double v = k[i * size + j], x = j - size / 2, y = i - size / 2;
      sum += v, x1 += v * x, y1 += v * y, xx += v * x * x, xy += v * x * y, yy += v * y * y;
    }
  x1 /= sum, y1 /= sum, xx = xx / sum - x1 * x1, xy = xy / sum - x1 * y1, yy = yy / sum - y1 * y1;
  const double mean = (xx + yy) / 2.0, apart = hypot((xx - yy) / 2.0, xy);
  const double largest = fmax(mean + apart, 0.0), smallest = fmax(mean - apart, 0.0);
  const double width = family == DCV_FAMILY_GAUSSIAN ? sqrt(largest) : family == DCV_FAMILY_DISK ? 2.0 * sqrt(fmax(mean, 0.0)) : sqrt(12.0 * largest);
  a[0] = log(fmax(width, LEAST_WIDTH));
  a[1] = log(fmax(sqrt(smallest), LEAST_WIDTH));
  a[2] = 0.5 * atan2(2.0 * xy, xx - yy);
}
