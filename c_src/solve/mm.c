/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * mm: majorisation-minimisation with a logarithmic prior of first and second order.
 *
 *   minimise over x:   lam / 2 sum over known pixels of (k * x - y)^2 + sum over pixels and orders o = 1, 2 of a_o eps log(1 + |w H_o x| / eps)
 *
 * H_1: forward differences; H_2: second differences through the nine neighbours (ops/difference); one norm over directions and channels. The logarithm is
 * concave (Perrone and Favaro 2016): its tangent at x_t majorises it and leaves a TV weighted by h_o = eps / (eps + |w H_o x_t|), minimised as in admm with
 * one penalty rho for both orders and multipliers u_o:
 *
 *   v_o = w H_o x + u_o,   s_o = 1 - 1 / max(rho |v_o| / (a_o h_o), 1),   u_o = (1 - s_o) v_o
 *   X = (lam conj(K) Z + rho F sum_o H_o* w (2 s_o - 1) v_o) / (lam |K|^2 + rho w^2 (|H_1|^2 + |H_2|^2))
 *
 * eps = 2 G + 10 sigma (gradients of the noise must not pass for edges), rho = 0.05 / G, lam 0.7 of admm's, because h_o < 1 weakens the prior by about
 * that; a = 0.8, 0.2. Deviations: |w H_o x_t|^2 in h_o is averaged over the nine neighbours, since single values follow the noise; the first round is plain
 * TV, and h_o is renewed every fourth iteration.
 */
#include "ops/difference.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

enum { RENEW = 4, FIRST = 2, SECOND = 4, ALL = FIRST + SECOND };
#define EPS_GRADIENT 2.0f
#define EPS_NOISE 10.0f
#define LAM 0.7f
static const float order_weight[2] = { 0.8f, 0.2f };

static float lam(const dcv_job *job, float priority)
{
  return LAM * dcv_job_lam(job, priority);
}

static size_t shared_floats(const dcv_job *job)
{
  return dcv_job_otf_floats(job) + job->fft->plane;
}

static void prepare(const dcv_job *job, float *shared)
{
  dcv_job_prepare_otfs(job, shared);
  dcv_difference_power(job->fft, shared + dcv_job_otf_floats(job));
}

/* Planes: bound, x, conj(K) Z, model and six of u for each channel; two of a_o h_o, s and scratch. */
static size_t work_floats(const dcv_job *job)
{
  return (10 * (size_t)job->channels + 4) * job->fft->plane;
}

/* share <- a eps / (eps + sqrt(mean of `square` over the nine neighbours)). */
DCV_SIMD static void log_weight(const dcv_fft *fft, float a, float eps, const float *restrict square, float *restrict share)
{
  const int w = fft->width, h = fft->height;
  for(int i = 0; i < h; i++)
  {
    const float *const row = square + (size_t)i * fft->stride;
    const float *const above = square + (size_t)((i + h - 1) % h) * fft->stride, *const below = square + (size_t)((i + 1) % h) * fft->stride;
    float *const to = share + (size_t)i * fft->stride;
    for(int j = 0; j < w; j++)
    {
      const int left = j > 0 ? j - 1 : w - 1, right = j < w - 1 ? j + 1 : 0;
      const float sum = above[left] + above[j] + above[right] + row[left] + row[j] + row[right] + below[left] + below[j] + below[right];
      to[j] = a * eps / (eps + sqrtf(sum / 9.0f));
    }
  }
}

/* square <- s = 1 - 1 / max(rho sqrt(square) / share, 1). */
DCV_SIMD static void shrink_factor(const dcv_fft *fft, float rho, const float *restrict share, float *restrict square)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float ratio = rho * sqrtf(square[at]) / share[at];
      square[at] = 1.0f - 1.0f / (ratio > 1.0f ? ratio : 1.0f);
    }
}

/* With v = d + u: u <- (1 - s) v, d <- (2 s - 1) v. */
DCV_SIMD static void split(const dcv_fft *fft, const float *restrict s, float *restrict d, float *restrict u)
{
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float v = d[at] + u[at];
      u[at] = (1.0f - s[at]) * v;
      d[at] = (2.0f * s[at] - 1.0f) * v;
    }
}

/* x <- (b + r a) / (|K|^2 + r w^2 power) / pixels, r = rho / lam. */
DCV_SIMD static void divide(const dcv_fft *fft, const float *restrict otf, const float *restrict power, const float *restrict b, const float *restrict a,
                            float r, float weight, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height), smooth = r * weight * weight;
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float factor = scale / (otf[at] * otf[at] + otf[at + 1] * otf[at + 1] + smooth * power[row + j]);
      x[at] = factor * (b[at] + r * a[at]);
      x[at + 1] = factor * (b[at + 1] + r * a[at + 1]);
    }
  }
}

static void run(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile)
{
  float *const *const z = tile->planes;
  const dcv_fft *fft = job->fft;
  const int channels = job->channels;
  const size_t plane = fft->plane, bytes = sizeof(float) * plane;
  const bool turned = dcv_job_turned(job);
  const float *const power = shared + dcv_job_otf_floats(job);
  float *bound[3], *x[3], *b[3], *model[3], *u[2][3 * SECOND], *share[2], weights[3];
  for(int c = 0; c < channels; c++)
  {
    float *const own = work + (4 + ALL) * (size_t)c * plane;
    bound[c] = own, x[c] = own + plane, b[c] = own + 2 * plane, model[c] = own + 3 * plane;
    for(int d = 0; d < FIRST; d++) u[0][c * FIRST + d] = own + (4 + d) * plane;
    for(int d = 0; d < SECOND; d++) u[1][c * SECOND + d] = own + (4 + FIRST + d) * plane;
    memset(own + 4 * plane, 0, ALL * bytes);
  }
  share[0] = work + (4 + ALL) * (size_t)channels * plane, share[1] = share[0] + plane;
  float *const s = share[1] + plane, *const scratch = s + plane;
  dcv_job_weights(job, weights);
  const float rho = dcv_job_rho(job), eps = EPS_GRADIENT * job->gradient + EPS_NOISE * job->noise;
  static const int range[2][2] = { { DCV_FIRST_ORDER }, { DCV_SECOND_ORDER } };

  double last = dcv_seconds();
  const bool renew = dcv_job_start(job, shared, tile, bound, scratch, &last) || job->watch;
  dcv_lap(&last, &tile->seconds_pixel);
  dcv_job_data(job, shared, z, x, model, b, tile);
  for(int o = 0; o < 2; o++)
    for(size_t i = 0; i < plane; i++) share[o][i] = order_weight[o];
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    if(iteration > 0 && renew)
    {
      if(turned) dcv_colour_turn_back(fft, model);
      if(job->watch)
      {
        if(turned) dcv_colour_turn_back(fft, x);
        if(dcv_job_stops(job, iteration, x, model)) break;
        if(turned) dcv_colour_turn(fft, (const float *const *)x, x);
      }
      dcv_job_impute(job, model, bound, z);
      dcv_job_data(job, shared, z, NULL, model, b, tile);
    }
    last = dcv_seconds();
    for(int c = 0; c < channels; c++) memset(model[c], 0, bytes); /* the sum of the adjoints */
    for(int o = 0; o < 2; o++)
    {
      const int from = range[o][0], to = range[o][1], directions = to - from;
      if(iteration > 0 && iteration % RENEW == 0)
      {
        dcv_difference_square(fft, channels, weights, from, to, (const float *const *)x, NULL, s, scratch);
        log_weight(fft, order_weight[o], eps, s, share[o]);
      }
      dcv_difference_square(fft, channels, weights, from, to, (const float *const *)x, (const float *const *)u[o], s, scratch);
      shrink_factor(fft, rho, share[o], s);
      for(int c = 0; c < channels; c++)
        for(int d = 0; d < directions; d++)
        {
          dcv_difference(fft, from + d, weights[c], x[c], scratch);
          split(fft, s, scratch, u[o][c * directions + d]);
          dcv_difference_adjoint_add(fft, from + d, weights[c], scratch, model[c]);
        }
    }
    for(int c = 0; c < channels; c++)
    {
      const float *const otf = dcv_job_otf(job, shared, c);
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, model[c]);
      dcv_lap(&last, &tile->seconds_fft);
      divide(fft, otf, power, b[c], model[c], rho / job->lam, weights[c], x[c]);
      if(renew && iteration < job->iterations - 1)
      {
        dcv_convolution_multiply(fft, otf, x[c], model[c]);
        dcv_lap(&last, &tile->seconds_pixel);
        dcv_fft_inverse(fft, model[c]);
        dcv_lap(&last, &tile->seconds_fft);
      }
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, x[c]);
      dcv_lap(&last, &tile->seconds_fft);
    }
    if(dcv_tile_step(tile, (iteration + 1.0) / job->iterations)) return;
    if(iteration == job->iterations - 1 && turned) dcv_colour_turn_back(fft, x);
  }
  for(int c = 0; c < channels; c++) memcpy(z[c], x[c], bytes);
  dcv_lap(&last, &tile->seconds_pixel);
}

const dcv_solver dcv_solver_mm = {
  .name = "mm", .iterations = 24, .most = 40, .stagnation = 1.0f, .lam = lam, .rho = dcv_job_rho, .reach = dcv_job_reach, .transforms = dcv_job_transforms,
  .shared_floats = shared_floats, .work_floats = work_floats, .prepare = prepare, .run = run,
};
