/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admm: restoration with a known PSF under vectorial total variation.
 *
 *   minimise over x:   lam / 2 ||M (k * x - y)||^2 + sum over pixels of |D x|_2     (norm over both directions and all channels)
 *
 * by the alternating direction method of multipliers on g = D x with scaled multiplier u and penalty rho (Boyd et al. 2011; for TV: Wang, Yang, Yin
 * and Zhang 2008). An iteration is
 *
 *   g = shrink(D x + u, 1 / rho),  u <- D x + u - g                                    pixels (ops/tv)
 *   X = (conj(K) Y + (rho / lam) F D*(g - u)) / (|K|^2 + (rho / lam) |D|^2)            one forward and one inverse transform
 *
 * No step size and nothing measured on the tile. M leaves out what is not known (ops/boundary): after some iterations those pixels of y take
 * the values of k * x, which costs one more pair of transforms.
 */
#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/tv.h"
#include "solve/solver.h"

#include <math.h>
#include <string.h>

/* Iterations after which unknown pixels of y are renewed: bit i for iteration i. */
static bool imputes(int iteration, int iterations)
{
  return iteration < iterations - 1 && iteration < 3;
}

static float rho(const dcv_job *job)
{
  return 0.1f / job->noise;
}

static int transforms(const dcv_job *job)
{
  int pairs = job->iterations;
  for(int i = 0; i < job->iterations; i++) pairs += imputes(i, job->iterations);
  return job->channels * (1 + 2 * pairs);
}

static int otfs(const dcv_job *job)
{
  return DCV_MIN(job->psf->channels, job->channels);
}

static size_t shared_floats(const dcv_job *job)
{
  return otfs(job) * job->fft->plane + dcv_round_floats(job->fft->columns) + dcv_round_floats(job->fft->height);
}

/* x, B = conj(K) Y, k * x of one channel at a time, two of u for each channel; scratch rows and the fill's pyramid. */
static size_t work_floats(const dcv_job *job)
{
  const size_t scratch = DCV_MAX(dcv_tv_scratch(job->fft, job->channels), dcv_boundary_scratch(job->fft));
  return (4 * (size_t)job->channels + 1) * job->fft->plane + dcv_round_floats(scratch);
}

static void prepare(const dcv_job *job, float *shared)
{
  const dcv_fft *fft = job->fft;
  for(int c = 0; c < otfs(job); c++) dcv_otf(fft, job->psf, c, shared + c * fft->plane);
  float *const dx = shared + otfs(job) * fft->plane, *const dy = dx + dcv_round_floats(fft->columns);
  dcv_otf_difference(fft->width, fft->columns, dx);
  dcv_otf_difference(fft->height, fft->height, dy);
}

/* b <- conj(K) y, both complex. */
DCV_SIMD static void conjugate_product(const dcv_fft *fft, const float *restrict otf, const float *restrict y, float *restrict b)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1], yr = y[at], yi = y[at + 1];
      b[at] = kr * yr + ki * yi;
      b[at + 1] = kr * yi - ki * yr;
    }
  }
}

/* x <- (b + r x) / (|K|^2 + r (dx + dy)) / pixels; the last factor undoes the unnormalised transforms. */
DCV_SIMD static void divide(const dcv_fft *fft, const float *restrict otf, const float *restrict b, const float *restrict dx,
                            const float *restrict dy, float r, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1];
      const float factor = scale / (kr * kr + ki * ki + r * (dx[j] + dy[i]));
      x[at] = factor * (b[at] + r * x[at]);
      x[at + 1] = factor * (b[at + 1] + r * x[at + 1]);
    }
  }
}

/* v <- K x. */
DCV_SIMD static void product(const dcv_fft *fft, const float *restrict otf, const float *restrict x, float *restrict v)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float kr = otf[at], ki = otf[at + 1], xr = x[at], xi = x[at + 1];
      v[at] = kr * xr - ki * xi;
      v[at + 1] = kr * xi + ki * xr;
    }
  }
}

/* v <- y where known, max(y, v) where clipped, v where unknown (NaN, or outside the data). */
DCV_SIMD static void impute(const dcv_fft *fft, const float *restrict y, int data_width, int data_height, float saturation, float *restrict v)
{
  for(int i = 0; i < data_height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < data_width; j++)
    {
      const float known = y[row + j], model = v[row + j];
      const float clipped = known > model ? known : model;
      const float data = known >= saturation ? clipped : known;
      v[row + j] = known == known ? data : model;
    }
  }
}

/* The harmonic fill of a copy of y: the start of x and the first data. */
static void start(const dcv_fft *fft, const float *y, int data_width, int data_height, float *x, float *scratch)
{
  for(int i = 0; i < fft->height; i++)
  {
    float *const row = x + (size_t)i * fft->stride;
    const int known = i < data_height ? data_width : 0;
    memcpy(row, y + (size_t)i * fft->stride, sizeof(float) * known);
    for(int j = known; j < fft->width; j++) row[j] = NAN;
  }
  dcv_boundary_fill(fft, x, scratch);
}

static void run(const dcv_job *job, const float *shared, float *work, float *const *y, int data_width, int data_height, dcv_clock *clock)
{
  const dcv_fft *fft = job->fft;
  const int channels = job->channels, shared_psf = otfs(job) == 1;
  const size_t plane = fft->plane;
  const float *const dx = shared + otfs(job) * plane, *const dy = dx + dcv_round_floats(fft->columns);
  float *x[3], *b[3], *u[6], *v = work + 4 * (size_t)channels * plane, *scratch = v + plane;
  const float *otf[3];
  for(int c = 0; c < channels; c++)
  {
    x[c] = work + c * plane, b[c] = work + (channels + c) * plane;
    u[2 * c] = work + (2 * channels + 2 * c) * plane, u[2 * c + 1] = u[2 * c] + plane;
    otf[c] = shared + (shared_psf ? 0 : c * plane);
  }
  double last = dcv_seconds();
#define LAP(part)                          \
  do {                                     \
    const double now_ = dcv_seconds();     \
    clock->part += now_ - last;            \
    last = now_;                           \
  } while(0)

  memset(u[0], 0, sizeof(float) * 2 * channels * plane);
  for(int c = 0; c < channels; c++)
  {
    start(fft, y[c], data_width, data_height, x[c], scratch);
    memcpy(v, x[c], sizeof(float) * plane);
    LAP(pixel);
    dcv_fft_forward(fft, v);
    LAP(fft);
    conjugate_product(fft, otf[c], v, b[c]);
  }
  const float r = rho(job) / job->lam;
  for(int iteration = 0; iteration < job->iterations; iteration++)
  {
    dcv_tv_shrink(fft, channels, x, u, 1.0f / rho(job), scratch);
    for(int c = 0; c < channels; c++)
    {
      LAP(pixel);
      dcv_fft_forward(fft, x[c]);
      LAP(fft);
      divide(fft, otf[c], b[c], dx, dy, r, x[c]);
      if(imputes(iteration, job->iterations))
      {
        product(fft, otf[c], x[c], v);
        LAP(pixel);
        dcv_fft_inverse(fft, v);
        LAP(fft);
        impute(fft, y[c], data_width, data_height, job->saturation, v);
        LAP(pixel);
        dcv_fft_forward(fft, v);
        LAP(fft);
        conjugate_product(fft, otf[c], v, b[c]);
      }
      LAP(pixel);
      dcv_fft_inverse(fft, x[c]);
      LAP(fft);
    }
  }
#undef LAP
  for(int c = 0; c < channels; c++) memcpy(y[c], x[c], sizeof(float) * plane);
}

const dcv_solver dcv_solver_admm = {
  .name = "admm", .iterations = 6, .rho = rho, .transforms = transforms, .shared_floats = shared_floats, .work_floats = work_floats,
  .prepare = prepare, .run = run,
};
