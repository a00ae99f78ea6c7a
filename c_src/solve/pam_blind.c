/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pam, blind half: picture and PSF in turns.
 *
 * Perrone and Favaro 2014: after each step on the picture (pam.c) one on the PSF, along
 *
 *   gradient in k[a] = sum over known pixels i of r[i] x[i - a],   r = k * x - y
 *
 * then negative values to 0, then sum 1. Deviation: the largest change of a step is 0.02 of the PSF's peak.
 */
#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/convolution.h"
#include "ops/difference.h"
#include "solve/pam.h"

#include <math.h>
#include <string.h>

#define STEP 0.02f

/* model <- residual of the picture with this spectrum. */
static void residual(const dcv_fft *fft, const float *z, const float *bound, const float *otf, const float *spectrum, float *model)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  dcv_convolution_multiply(fft, otf, spectrum, model);
  dcv_fft_inverse(fft, model);
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++) model[(size_t)i * fft->stride + j] *= scale;
  dcv_pam_residual(fft, z, bound, model);
}

/* One step of k; correlation: of residual and picture at all lags, periodic. */
static void psf_step(const dcv_fft *fft, const float *correlation, float *k, int size)
{
  float most = 0.0f, peak = 0.0f, sum = 0.0f;
  for(int pass = 0; pass < 2; pass++)
    for(int a = 0; a < size; a++)
      for(int b = 0; b < size; b++)
      {
        const int i = (a - size / 2 + fft->height) % fft->height, j = (b - size / 2 + fft->width) % fft->width;
        const float g = correlation[(size_t)i * fft->stride + j];
        float *const value = k + a * size + b;
        if(!pass)
          most = fmaxf(most, fabsf(g)), peak = fmaxf(peak, *value);
        else
          *value = fmaxf(*value - STEP * peak / most * g, 0.0f), sum += *value;
      }
  for(int n = 0; n < size * size; n++) k[n] /= sum;
}

/* z: the data, its gap filled; memory: seven planes. */
static void alternate(const dcv_fft *fft, const float *z, const float *bound, float *k, int size, float lam, float e, int rounds, float *memory)
{
  static const float one = 1.0f;
  const size_t plane = fft->plane, bytes = sizeof(float) * plane;
  float *const otf = memory, *const x = otf + plane, *const v = x + plane, *const spectrum = v + plane, *const model = spectrum + plane;
  float *const norm = model + plane, *const curvature = norm + plane;
  const dcv_psf psf = { k, size, 1 };
  memcpy(x, z, bytes);
  memcpy(v, z, bytes);
  for(int round = 0; round < rounds; round++)
  {
    dcv_otf(fft, &psf, 0, otf);
    dcv_pam_push(fft, round / (round + 3.0f), x, v);
    dcv_difference_square(fft, 1, &one, DCV_FIRST_ORDER, (const float *const[]){ v }, NULL, norm, spectrum);
    dcv_pam_invert(fft, e, norm);
    memset(curvature, 0, bytes);
    dcv_difference_curvature(fft, 1, &one, (const float *const[]){ v }, norm, (float *const[]){ curvature }, spectrum);
    memcpy(spectrum, v, bytes);
    dcv_fft_forward(fft, spectrum);
    residual(fft, z, bound, otf, spectrum, model);
    dcv_fft_forward(fft, model);
    dcv_convolution_correlate(fft, otf, model, model);
    dcv_fft_inverse(fft, model);
    dcv_pam_descend(fft, 1.0f / (lam + 8.0f / e), lam, model, curvature, v);

    memcpy(spectrum, v, bytes);
    dcv_fft_forward(fft, spectrum);
    residual(fft, z, bound, otf, spectrum, model);
    dcv_fft_forward(fft, model);
    dcv_convolution_correlate(fft, spectrum, model, model);
    dcv_fft_inverse(fft, model);
    psf_step(fft, model, k, size);
  }
}

dcv_status dcv_pam_blind(const float *y, int width, int height, float *k, int size, float lam, float e, int rounds)
{
  const int gap = dcv_boundary_gap(size / 2, 0), edge = dcv_boundary_edge(gap);
  dcv_fft fft;
  DCV_TRY(dcv_fft_init(&fft, dcv_fft_fast_size(width + gap), dcv_fft_fast_size(height + gap), 0));
  float *const z = dcv_alloc_floats(9 * fft.plane), *const bound = z + fft.plane, *const memory = bound + fft.plane;
  const dcv_status status = z ? DCV_OK : DCV_ERROR_MEMORY;
  if(z)
  {
    for(int i = 0; i < height; i++) memcpy(z + (size_t)i * fft.stride, y + (size_t)i * width, sizeof(float) * width);
    dcv_boundary_bound(&fft, z, width, height, INFINITY, dcv_boundary_reach(size / 2), bound);
    dcv_boundary_fill_holes(&fft, z, width, height, memory);
    dcv_boundary_extend(&fft, z, width, height, edge, edge);
    alternate(&fft, z, bound, k, size, lam, e, rounds, memory);
  }
  dcv_release(z);
  dcv_fft_clear(&fft);
  return status;
}
