/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pd: the objective of admm by a first-order primal-dual iteration.
 *
 *   minimise over x:   lam / 2 sum over known pixels of (k * x - y)^2 + sum over pixels of |w_c D x_c|
 *
 * Chambolle and Pock 2011, algorithm 1, the resolvent of the data term exact in Fourier space (their section 6.2). With the dual q and x' the x before:
 *
 *   q <- (q + s w D (2 x - x')) / max(1, |.|)
 *   X <- (F(x - t_c w_c D* q) + t_c lam conj(K) Z) / (1 + t_c lam |K|^2),   s = 0.2 / G,  t_c = 1 / (8 s w_c^2)
 *
 * so that s t_c w_c^2 |D|^2 <= 1 (diagonal preconditioning over the channels, Pock and Chambolle 2011). Unknown data move to k * x as in admm: a
 * deviation that keeps the resolvent exact. Neither penalty nor growth shapes the result; it tends to the minimiser as fast as 1 / iterations.
 */
#include "ops/difference.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

#define DUAL 0.2f

/* Planes: bound, x, the x before, conj(K) Z, model and two of q for each channel; |q| and scratch. */
static size_t work_floats(const dcv_job *job)
{
  return (7 * (size_t)job->channels + 2) * job->fft->plane;
}

/* before <- 2 x - before. */
DCV_SIMD static void extrapolate(const dcv_fft *fft, const float *restrict x, float *restrict before)
{
  for(size_t i = 0; i < fft->plane; i++) before[i] = 2.0f * x[i] - before[i];
}

/* q <- q + step d, square <- square + q^2. */
DCV_SIMD static void ascend(const dcv_fft *fft, float step, const float *restrict d, float *restrict q, float *restrict square)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      q[at] += step * d[at];
      square[at] += q[at] * q[at];
    }
}

/* q <- q / max(1, |q|). */
DCV_SIMD static void project(const dcv_fft *fft, const float *restrict square, float *restrict q)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      q[at] *= square[at] > 1.0f ? 1.0f / sqrtf(square[at]) : 1.0f;
    }
}

/* x <- (x + a b) / (1 + a |K|^2) / pixels, a = t lam. */
DCV_SIMD static void resolve(const dcv_fft *fft, const float *restrict otf, const float *restrict b, float a, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = (size_t)i * fft->stride + 2 * j;
      const float factor = scale / (1.0f + a * (otf[at] * otf[at] + otf[at + 1] * otf[at + 1]));
      x[at] = factor * (x[at] + a * b[at]);
      x[at + 1] = factor * (x[at + 1] + a * b[at + 1]);
    }
}

static void run(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile)
{
  float *const *const z = tile->planes;
  const dcv_fft *fft = job->fft;
  const int channels = job->channels;
  const size_t plane = fft->plane, bytes = sizeof(float) * plane;
  float *bound[3], *x[3], *before[3], *b[3], *model[3], *q[6], weights[3];
  for(int c = 0; c < channels; c++)
  {
    float *const own = work + 7 * (size_t)c * plane;
    bound[c] = own, x[c] = own + plane, before[c] = own + 2 * plane, b[c] = own + 3 * plane, model[c] = own + 4 * plane;
    q[2 * c] = own + 5 * plane, q[2 * c + 1] = own + 6 * plane;
    memset(q[2 * c], 0, 2 * bytes);
  }
  float *const square = work + 7 * (size_t)channels * plane, *const scratch = square + plane;
  dcv_job_weights(job, weights);
  const float step = DUAL / job->gradient;

  double last = dcv_seconds();
  const bool renew = dcv_job_start(job, shared, tile, bound, scratch, &last) || job->watch;
  dcv_lap(&last, &tile->seconds_pixel);
  dcv_job_data(job, shared, z, x, model, b, tile);
  for(int c = 0; c < channels; c++) memcpy(before[c], x[c], bytes);
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    if(iteration > 0 && renew)
    {
      if(dcv_job_turned(job)) dcv_colour_turn_back(fft, model);
      if(job->watch)
      {
        if(dcv_job_turned(job)) dcv_colour_turn_back(fft, x);
        if(dcv_job_stops(job, iteration, x, model)) break;
        if(dcv_job_turned(job)) dcv_colour_turn(fft, (const float *const *)x, x);
      }
      dcv_job_impute(job, model, bound, z);
      dcv_job_data(job, shared, z, NULL, model, b, tile);
    }
    last = dcv_seconds();
    memset(square, 0, bytes);
    for(int c = 0; c < channels; c++)
    {
      extrapolate(fft, x[c], before[c]);
      for(int d = 0; d < 2; d++)
      {
        dcv_difference(fft, d, weights[c], before[c], scratch);
        ascend(fft, step, scratch, q[2 * c + d], square);
      }
      memcpy(before[c], x[c], bytes);
    }
    for(int c = 0; c < channels; c++)
    {
      const float t = 1.0f / (8.0f * step * weights[c] * weights[c]);
      for(int d = 0; d < 2; d++)
      {
        project(fft, square, q[2 * c + d]);
        dcv_difference_adjoint_add(fft, d, -t * weights[c], q[2 * c + d], x[c]);
      }
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, x[c]);
      dcv_lap(&last, &tile->seconds_fft);
      resolve(fft, dcv_job_otf(job, shared, c), b[c], t * job->lam, x[c]);
      if(renew && iteration < job->iterations - 1)
      {
        dcv_convolution_multiply(fft, dcv_job_otf(job, shared, c), x[c], model[c]);
        dcv_lap(&last, &tile->seconds_pixel);
        dcv_fft_inverse(fft, model[c]);
        dcv_lap(&last, &tile->seconds_fft);
      }
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, x[c]);
      dcv_lap(&last, &tile->seconds_fft);
    }
    if(dcv_tile_step(tile, (iteration + 1.0) / job->iterations)) return;
    if(iteration == job->iterations - 1 && dcv_job_turned(job)) dcv_colour_turn_back(fft, x);
  }
  for(int c = 0; c < channels; c++) memcpy(z[c], x[c], bytes);
}

const dcv_solver dcv_solver_pd = {
  .name = "pd", .iterations = 40, .most = 60, .stagnation = 1.0f, .lam = dcv_job_lam, .rho = dcv_job_rho,
  .reach = dcv_job_reach, .transforms = dcv_job_transforms,
  .shared_floats = dcv_job_otf_floats, .work_floats = work_floats, .prepare = dcv_job_prepare_otfs, .run = run,
};
