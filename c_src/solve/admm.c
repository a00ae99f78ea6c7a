/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admm: restoration with a known PSF under vectorial total variation.
 *
 *   minimise over x:   lam / 2 sum over known pixels of (k * x - y)^2 + sum over pixels of |w_c D x_c|     (norm over directions and channels)
 *
 * by the alternating direction method of multipliers on g = w D x with scaled multiplier u and penalty rho (Goldstein and Osher 2009; Afonso,
 * Bioucas-Dias and Figueiredo 2010). An iteration is
 *
 *   v = w D x + u,  g = shrink(v, 1 / rho),  u = v - g                                                      pixels (ops/tv)
 *   X = (lam conj(K) Z + rho F D* w (g - u)) / (lam |K|^2 + rho w^2 |D|^2)                                  one forward and one inverse transform
 *
 * and rho grows tenfold over the iterations (u shrinks accordingly), so that six suffice. The first iteration uses lam / 100, or 0.75 / G if that is
 * less, and each further one a hundred times as much, up to lam: unknown data (below) follow its smoother x quickly, whereas full trust in the others would hold
 * them where they started, the more so with little noise. No step size and nothing measured on the tile.
 *
 * Z is the data with unknown pixels replaced (ops/boundary): only tiles that hold some renew them, after each iteration but the last, for a second pair of
 * transforms. The cut edges of an inner tile are not unknown but thrown away with the halo, and tapered before where the
 * inverse filter reaches beyond it (dcv_boundary_taper).
 *
 * Three channels with one PSF are turned to luminance and two chromas by an orthonormal matrix, and chroma gradients count double: they are smaller in
 * pictures, and chroma noise is the uglier one.
 *
 *   lam = 2.0 (sum k^2)^(-1/3) sqrt(sigma G) / sigma^2 * B^priority,  rho = 0.05 / max(G, E / 3),  B = 5 below 0 and 2 above: with twice lam the residual k * x - y
 *   still has 0.6 to 0.9 of the noise; further up its whiteness falls, and the PSNR by 1 dB for each 1.5 of lam. With a PSF for
 *   each channel 1.4 in place of 2.0
 *
 * with noise sigma, gradient G and edge E of the picture (ops/noise); all scale with it, and a Laplace prior alone would give lam ~ G / sigma^2. In
 * photographs E is about 3 G; the few steep edges of a bright spot on an even ground, for which G does not stand, need a smaller penalty: else six iterations
 * leave rings around it.
 */
#include "maths/otf.h"
#include "ops/tv.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

static float lam(const dcv_job *job, float priority)
{
  const int values = job->psf->size * job->psf->size * job->psf->channels;
  double energy = 0.0; /* mean over the PSF's channels */
  for(int i = 0; i < values; i++) energy += (double)job->psf->data[i] * job->psf->data[i] / job->psf->channels;
  const double sigma = job->noise;
  const double strength = job->psf->channels > 1 ? 1.4 : 2.0; /* channels that are not turned have no chroma to weigh double */
  return (float)(strength / cbrt(energy) * sqrt(sigma * job->gradient) / (sigma * sigma) * pow(priority < 0.0f ? 5.0 : 2.0, priority));
}

static float rho(const dcv_job *job)
{
  return 0.05f / fmaxf(job->gradient, job->edge / 3.0f);
}

static float reach(const dcv_job *job)
{
  return rho(job) * (job->iterations > 1 ? DCV_GROWTH : 1.0f) / job->lam;
}

static int transforms(const dcv_job *job, bool unknown)
{
  return job->channels * (1 + 2 * job->iterations + (unknown ? 2 * (job->iterations - 1) : 0));
}

static size_t shared_floats(const dcv_job *job)
{
  return dcv_job_otf_floats(job) + dcv_round_floats(job->fft->columns) + dcv_round_floats(job->fft->height);
}

/* Planes: bound, x, conj(K) Z and the model k * x of each channel, u twice; then scratch rows. */
static size_t work_floats(const dcv_job *job)
{
  return 6 * (size_t)job->channels * job->fft->plane + dcv_round_floats(dcv_tv_scratch(job->fft, job->channels));
}

static void prepare(const dcv_job *job, float *shared)
{
  const dcv_fft *fft = job->fft;
  dcv_job_prepare_otfs(job, shared);
  float *const dx = shared + dcv_job_otf_floats(job), *const dy = dx + dcv_round_floats(fft->columns);
  dcv_otf_difference(fft->width, fft->columns, dx);
  dcv_otf_difference(fft->height, fft->height, dy);
}

/* x <- (b + r x) / (|K|^2 + r w^2 (dx + dy)) / pixels, r = rho / lam; the last factor undoes the unnormalised transforms. */
DCV_SIMD static void divide(const dcv_fft *fft, const float *restrict otf, const float *restrict b, const float *restrict dx,
                            const float *restrict dy, float r, float weight, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height), smooth = r * weight * weight;
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1];
      const float factor = scale / (kr * kr + ki * ki + smooth * (dx[j] + dy[i]));
      x[at] = factor * (b[at] + r * x[at]);
      x[at + 1] = factor * (b[at + 1] + r * x[at + 1]);
    }
  }
}

static void run(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile)
{
  float *const *const z = tile->planes;
  const dcv_fft *fft = job->fft;
  const int channels = job->channels;
  const size_t plane = fft->plane;
  const float *const dx = shared + dcv_job_otf_floats(job), *const dy = dx + dcv_round_floats(fft->columns);
  float *const scratch = work + 6 * (size_t)channels * plane;
  float *bound[3], *x[3], *b[3], *model[3], *u[6], weights[3];
  const float *otf[3];
  for(int c = 0; c < channels; c++)
  {
    bound[c] = work + c * plane, x[c] = work + (channels + c) * plane, b[c] = work + (2 * channels + c) * plane;
    model[c] = work + (3 * channels + c) * plane;
    u[2 * c] = work + (4 * channels + 2 * c) * plane, u[2 * c + 1] = u[2 * c] + plane;
    otf[c] = dcv_job_otf(job, shared, c);
  }
  dcv_job_weights(job, weights);
  double last = dcv_seconds();
  const bool unknown = dcv_job_start(job, shared, tile, bound, model[0], &last);
  memset(u[0], 0, sizeof(float) * 2 * channels * plane);
  float rising = rho(job);
  const float growth = powf(DCV_GROWTH, 1.0f / (float)DCV_MAX(job->iterations - 1, 1));
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    if(unknown && iteration > 0)
    {
      if(dcv_job_turned(job)) dcv_colour_turn_back(fft, model);
      dcv_job_impute(job, model, bound, z);
    }
    if(iteration == 0 || unknown)
    {
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_job_data(job, shared, z, iteration == 0 ? x : NULL, model, b, tile);
      last = dcv_seconds();
    }
    dcv_tv_shrink(fft, channels, weights, rising, growth, x, u, scratch);
    for(int c = 0; c < channels; c++)
    {
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_forward(fft, x[c]);
      dcv_lap(&last, &tile->seconds_fft);
      divide(fft, otf[c], b[c], dx, dy, rising / (job->lam * dcv_job_trust(job, iteration)), weights[c], x[c]);
      if(unknown && iteration < job->iterations - 1)
      {
        dcv_convolution_multiply(fft, otf[c], x[c], model[c]);
        dcv_lap(&last, &tile->seconds_pixel);
        dcv_fft_inverse(fft, model[c]);
        dcv_lap(&last, &tile->seconds_fft);
      }
      dcv_lap(&last, &tile->seconds_pixel);
      dcv_fft_inverse(fft, x[c]);
      dcv_lap(&last, &tile->seconds_fft);
    }
    rising *= growth;
    if(dcv_tile_step(tile, (iteration + 1.0) / job->iterations)) return;
  }
  if(dcv_job_turned(job)) dcv_colour_turn_back(fft, x);
  for(int c = 0; c < channels; c++) memcpy(z[c], x[c], sizeof(float) * plane);
  dcv_lap(&last, &tile->seconds_pixel);
}

const dcv_solver dcv_solver_admm = {
  .name = "admm", .iterations = 6, .lam = lam, .rho = rho, .reach = reach, .transforms = transforms, .shared_floats = shared_floats, .work_floats = work_floats,
  .prepare = prepare, .run = run,
};
