/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/halo.h"

#include "maths/otf.h"

#include <math.h>
#include <string.h>

enum { SIZE = 512 };
#define TOLERANCE 6e-4

/* Adds the energy of n (see halo.h) of one channel to energy[ring], ring = max(|i|, |j|). plane: scratch. */
static void add_energy(const dcv_fft *fft, const dcv_psf *psf, int channel, float ratio, const float *difference, float *plane, double *energy)
{
  dcv_otf(fft, psf, channel, plane);
  for(int i = 0; i < SIZE; i++)
    for(int j = 0; j < fft->columns; j++)
    {
      float *const k = plane + (size_t)i * fft->stride + 2 * j;
      const float smooth = ratio * (difference[i] + difference[j]);
      k[0] = smooth / (k[0] * k[0] + k[1] * k[1] + smooth) / ((float)SIZE * SIZE);
      k[1] = 0.0f;
    }
  dcv_fft_inverse(fft, plane);
  for(int i = 0; i < SIZE; i++)
    for(int j = 0; j < SIZE; j++)
    {
      const double n = plane[(size_t)i * fft->stride + j];
      energy[DCV_MAX(DCV_MIN(i, SIZE - i), DCV_MIN(j, SIZE - j))] += n * n / psf->channels;
    }
}

dcv_status dcv_halo_measure(const dcv_psf *psf, float ratio, int *halo)
{
  dcv_fft fft;
  float difference[SIZE];
  double energy[SIZE / 2 + 1] = { 0.0 };
  DCV_TRY(dcv_fft_init(&fft, SIZE, SIZE, 0));
  float *const plane = dcv_alloc_floats(fft.plane);
  if(plane)
  {
    dcv_otf_difference(SIZE, SIZE, difference);
    for(int c = 0; c < psf->channels; c++) add_energy(&fft, psf, c, ratio, difference, plane, energy);
  }
  dcv_release(plane);
  dcv_fft_clear(&fft);
  if(!plane) return DCV_ERROR_MEMORY;
  double outside = 0.0;
  for(*halo = SIZE / 2; *halo > 0; --*halo)
  {
    outside += energy[*halo];
    if(sqrt(outside) > TOLERANCE) break;
  }
  return DCV_OK;
}
