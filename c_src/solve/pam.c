/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pam: the picture's half of projected alternating minimisation; the PSF's is in pam_blind.c.
 *
 *   minimise over x:   lam / 2 sum over known pixels of (k * x - y)^2 + sum over pixels of sqrt(|w D x|^2 + e^2)
 *
 * Perrone and Favaro 2014: explicit steps along the true gradient, boundaries left free:
 *
 *   gradient = lam K* r + D* (w^2 D x / sqrt(|w D x|^2 + e^2)),   r the residual over known data
 *
 * Deviations: steps 1 / (lam + 8 w_c^2 / e), a bound of the second derivative, with e = 0.2 G; Nesterov's momentum t / (t + 3). Nothing is measured on the
 * tile.
 */
#include "solve/pam.h"

#include "ops/difference.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

#define SMOOTH 0.2f

/* Planes: bound, x, v, model, gradient of TV for each channel; 1 / sqrt and scratch. */
static size_t work_floats(const dcv_job *job)
{
  return (5 * (size_t)job->channels + 2) * job->fft->plane;
}

DCV_SIMD void dcv_pam_push(const dcv_fft *fft, float momentum, float *restrict x, float *restrict v)
{
  for(size_t i = 0; i < fft->plane; i++)
  {
    const float now = v[i];
    v[i] = now + momentum * (now - x[i]);
    x[i] = now;
  }
}

DCV_SIMD void dcv_pam_residual(const dcv_fft *fft, const float *restrict y, const float *restrict bound, float *restrict model)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float below = model[at] - bound[at];
      const float limited = below < 0.0f ? below : 0.0f;
      model[at] = bound[at] == INFINITY ? model[at] - y[at] : limited;
    }
}

DCV_SIMD void dcv_pam_invert(const dcv_fft *fft, float e, float *square)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      square[at] = 1.0f / sqrtf(square[at] + e * e);
    }
}

DCV_SIMD void dcv_pam_descend(const dcv_fft *fft, float step, float lam, const float *restrict data, const float *restrict curvature, float *restrict v)
{
  const float scale = lam / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      v[at] -= step * (scale * data[at] + curvature[at]);
    }
}

static void run(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile)
{
  float *const *const y = tile->planes;
  const dcv_fft *fft = job->fft;
  const int channels = job->channels;
  const size_t plane = fft->plane, bytes = sizeof(float) * plane;
  const bool turned = dcv_job_turned(job);
  float *bound[3], *x[3], *v[3], *model[3], *curvature[3], weights[3];
  for(int c = 0; c < channels; c++)
  {
    float *const own = work + 5 * (size_t)c * plane;
    bound[c] = own, x[c] = own + plane, v[c] = own + 2 * plane, model[c] = own + 3 * plane, curvature[c] = own + 4 * plane;
  }
  float *const norm = work + 5 * (size_t)channels * plane, *const scratch = norm + plane;
  dcv_job_weights(job, weights);
  const float e = SMOOTH * job->gradient, scale = 1.0f / ((float)fft->width * fft->height);

  double last = dcv_seconds();
  dcv_job_start(job, shared, tile, bound, scratch, &last);
  if(turned)
    dcv_colour_turn(fft, (const float *const *)y, v);
  else
    for(int c = 0; c < channels; c++) memcpy(v[c], y[c], bytes);
  for(int c = 0; c < channels; c++) memcpy(x[c], v[c], bytes);
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    for(int c = 0; c < channels; c++)
    {
      dcv_pam_push(fft, iteration / (iteration + 3.0f), x[c], v[c]);
      memcpy(model[c], v[c], bytes);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      dcv_convolution_multiply(fft, dcv_job_otf(job, shared, c), model[c], model[c]);
      for(size_t i = 0; i < plane; i++) model[c][i] *= scale;
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
    }
    if(turned) dcv_colour_turn_back(fft, model);
    if(job->watch && iteration > 0)
    {
      if(turned) dcv_colour_turn_back(fft, x);
      if(dcv_job_stops(job, iteration, x, model))
      {
        for(int c = 0; c < channels; c++) memcpy(y[c], x[c], bytes);
        return;
      }
      if(turned) dcv_colour_turn(fft, (const float *const *)x, x);
    }
    for(int c = 0; c < channels; c++) dcv_pam_residual(fft, y[c], bound[c], model[c]);
    if(turned) dcv_colour_turn(fft, (const float *const *)model, model);
    dcv_difference_square(fft, channels, weights, DCV_FIRST_ORDER, (const float *const *)v, NULL, norm, scratch);
    dcv_pam_invert(fft, e, norm);
    for(int c = 0; c < channels; c++) memset(curvature[c], 0, bytes);
    dcv_difference_curvature(fft, channels, weights, (const float *const *)v, norm, curvature, scratch);
    for(int c = 0; c < channels; c++)
    {
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      dcv_convolution_correlate(fft, dcv_job_otf(job, shared, c), model[c], model[c]);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      dcv_pam_descend(fft, 1.0f / (job->lam + 8.0f * weights[c] * weights[c] / e), job->lam, model[c], curvature[c], v[c]);
    }
    if(dcv_tile_step(tile, (iteration + 1.0) / job->iterations)) return;
  }
  if(turned) dcv_colour_turn_back(fft, v);
  for(int c = 0; c < channels; c++) memcpy(y[c], v[c], bytes);
  dcv_lap(&last, &tile->seconds_pixel);
}

const dcv_solver dcv_solver_pam = {
  .name = "pam", .iterations = 60, .most = 120, .stagnation = 1.0f, .lam = dcv_job_lam, .rho = dcv_job_rho,
  .reach = dcv_job_reach, .transforms = dcv_job_step_transforms,
  .shared_floats = dcv_job_otf_floats, .work_floats = work_floats, .prepare = dcv_job_prepare_otfs, .run = run,
};
