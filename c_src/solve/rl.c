/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rl: Richardson-Lucy with total variation, for comparison.
 *
 *   x <- x / (1 + c(x) / (lam x)) . K* (y / (K x)),   c = D* (D x / |D x|)         |D x| over directions and channels
 *
 * Richardson 1972, Lucy 1974; TV: Dey et al. 2006, eq. 7. Their constant weight belongs to Poisson noise; 1 / (lam x) suits noise that does not depend on
 * brightness. lam is 0.3 of admm's: |D x| is bounded below and chroma counts once, so that the same strength needs more weight, and with it the iteration
 * hardly diverges. Protected: data and k * x are kept above 0.1 sigma, the TV factor within 1/2 .. 2, |D x| above 8 / lam (below it the explicit TV step would
 * swing from pixel to pixel). Unknown data follow the model (ratio 1: the
 * expectation step for missing data); a clipped pixel counts only where the model falls below it. x > 0 is the only prior besides TV.
 */
#include "ops/difference.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

#define FLOOR 0.1f
#define SMOOTH 8.0f
#define LAM 0.3f

static float lam(const dcv_job *job, float priority)
{
  return LAM * dcv_job_lam(job, priority);
}

/* Planes: bound, x, ratio, gradient of TV for each channel; 1 / norm and scratch. */
static size_t work_floats(const dcv_job *job)
{
  return (4 * (size_t)job->channels + 2) * job->fft->plane;
}

/* y <- max(y, lowest). */
DCV_SIMD static void raise(const dcv_fft *fft, float lowest, float *y)
{
  for(size_t i = 0; i < fft->plane; i++) y[i] = y[i] > lowest ? y[i] : lowest;
}

DCV_SIMD static void divide(const dcv_fft *fft, float lowest, const float *restrict y, const float *restrict bound, float *restrict model)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float inverse = 1.0f / (model[at] > lowest ? model[at] : lowest);
      const float short_of = bound[at] * inverse;
      const float limited = short_of > 1.0f ? short_of : 1.0f;
      model[at] = bound[at] == INFINITY ? y[at] * inverse : limited;
    }
}

/* square <- 1 / max(sqrt(square), lowest). */
DCV_SIMD static void invert(const dcv_fft *fft, float lowest, float *square)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float norm = sqrtf(square[at]);
      square[at] = 1.0f / (norm > lowest ? norm : lowest);
    }
}

/* x <- max(x data / pixels / clamp(1 + curvature / (lam x), 1/2, 2), lowest). */
DCV_SIMD static void multiply(const dcv_fft *fft, float lam, float lowest, const float *restrict data, const float *restrict curvature,
                              float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float factor = 1.0f + curvature[at] / (lam * x[at]);
      const float above = factor > 0.5f ? factor : 0.5f, clamped = above < 2.0f ? above : 2.0f;
      const float value = x[at] * scale * data[at] / clamped;
      x[at] = value > lowest ? value : lowest;
    }
}

static void run(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile)
{
  float *const *const y = tile->planes;
  const dcv_fft *fft = job->fft;
  const int channels = job->channels;
  const size_t plane = fft->plane, bytes = sizeof(float) * plane;
  const float lowest = FLOOR * job->noise, scale = 1.0f / ((float)fft->width * fft->height), ones[3] = { 1.0f, 1.0f, 1.0f };
  float *bound[3], *x[3], *model[3], *curvature[3];
  for(int c = 0; c < channels; c++)
  {
    float *const own = work + 4 * (size_t)c * plane;
    bound[c] = own, x[c] = own + plane, model[c] = own + 2 * plane, curvature[c] = own + 3 * plane;
  }
  float *const norm = work + 4 * (size_t)channels * plane, *const scratch = norm + plane;

  double last = dcv_seconds();
  dcv_job_start(job, shared, tile, bound, scratch, &last);
  for(int c = 0; c < channels; c++)
  {
    raise(fft, lowest, y[c]);
    memcpy(x[c], y[c], bytes);
  }
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    for(int c = 0; c < channels; c++)
    {
      memcpy(model[c], x[c], bytes);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      dcv_convolution_multiply(fft, dcv_job_otf(job, shared, c), model[c], model[c]);
      for(size_t i = 0; i < plane; i++) model[c][i] *= scale;
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
    }
    if(iteration > 0 && dcv_job_stops(job, iteration, x, model)) break;
    dcv_difference_square(fft, channels, ones, DCV_FIRST_ORDER, (const float *const *)x, NULL, norm, scratch);
    invert(fft, SMOOTH / job->lam, norm);
    for(int c = 0; c < channels; c++) memset(curvature[c], 0, bytes);
    dcv_difference_curvature(fft, channels, ones, (const float *const *)x, norm, curvature, scratch);
    for(int c = 0; c < channels; c++)
    {
      divide(fft, lowest, y[c], bound[c], model[c]);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      dcv_convolution_correlate(fft, dcv_job_otf(job, shared, c), model[c], model[c]);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      multiply(fft, job->lam, lowest, model[c], curvature[c], x[c]);
    }
    if(dcv_tile_step(tile, (iteration + 1.0) / job->iterations)) return;
  }
  for(int c = 0; c < channels; c++) memcpy(y[c], x[c], bytes);
  dcv_lap(&last, &tile->seconds_pixel);
}

const dcv_solver dcv_solver_rl = {
  .name = "rl", .iterations = 50, .most = 100, .stagnation = 0.25f, .patience = 40, .lam = lam, .rho = dcv_job_rho, .reach = dcv_job_reach,
  .transforms = dcv_job_step_transforms, .shared_floats = dcv_job_otf_floats, .work_floats = work_floats, .prepare = dcv_job_prepare_otfs, .run = run,
};
