/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/common.h"

#include "maths/otf.h"

#include <math.h>
#include <string.h>

float dcv_job_lam(const dcv_job *job, float priority)
{
  return dcv_solver_admm.lam(job, priority);
}

float dcv_job_rho(const dcv_job *job)
{
  return dcv_solver_admm.rho(job);
}

float dcv_job_trust(const dcv_job *job, int i)
{
  if(job->iterations == 1) return 1.0f;
  return fminf(fminf(DCV_FIRST, DCV_FIRST_RATIO / (job->lam * job->gradient)) * powf(DCV_RISE, (float)i), 1.0f);
}

float dcv_job_reach(const dcv_job *job)
{
  return dcv_solver_admm.reach(job);
}

int dcv_job_transforms(const dcv_job *job, bool unknown)
{
  return dcv_solver_admm.transforms(job, unknown);
}

int dcv_job_step_transforms(const dcv_job *job, bool unknown)
{
  (void)unknown;
  return 4 * job->channels * job->iterations;
}

size_t dcv_job_otf_floats(const dcv_job *job)
{
  return dcv_job_otfs(job) * job->fft->plane;
}

void dcv_job_prepare_otfs(const dcv_job *job, float *shared)
{
  for(int c = 0; c < dcv_job_otfs(job); c++) dcv_otf(job->fft, job->psf, c, shared + c * job->fft->plane);
}

/* What z has near the zeros of K fades towards the cuts of an inner tile, or leaves the surroundings of the frame. */
static void taper(const dcv_job *job, const float *otf, dcv_tile_run *tile, float *z, float *scratch, double *last)
{
  memcpy(scratch, z, sizeof(float) * job->fft->plane);
  dcv_lap(last, &tile->seconds_pixel);
  dcv_fft_forward(job->fft, scratch);
  dcv_lap(last, &tile->seconds_fft);
  dcv_boundary_notch(job->fft, otf, scratch);
  dcv_lap(last, &tile->seconds_pixel);
  dcv_fft_inverse(job->fft, scratch);
  dcv_lap(last, &tile->seconds_fft);
  if(tile->frame)
    dcv_boundary_clear_gap(job->fft, tile->data_width, tile->data_height, scratch, z);
  else
    dcv_boundary_taper(job->fft, tile->taper, scratch, z);
}

bool dcv_job_start(const dcv_job *job, const float *shared, dcv_tile_run *tile, float *const *bound, float *scratch, double *last)
{
  const int width = tile->data_width, height = tile->data_height;
  const bool frame = tile->frame;
  bool unknown = frame;
  for(int c = 0; c < job->channels; c++)
  {
    float *const z = tile->planes[c];
    unknown |= dcv_boundary_bound(job->fft, z, width, height, job->saturation, frame ? dcv_boundary_reach(job->psf->size / 2) : 0, bound[c]);
    dcv_boundary_fill_holes(job->fft, z, width, height, scratch);
    dcv_boundary_extend(job->fft, z, width, height, tile->edge_x, tile->edge_y);
    if(frame || tile->taper) taper(job, dcv_job_otf(job, shared, c), tile, z, scratch, last);
  }
  return unknown;
}

void dcv_job_data(const dcv_job *job, const float *shared, float *const *z, float *const *x, float *const *model, float *const *b, dcv_tile_run *tile)
{
  const size_t bytes = sizeof(float) * job->fft->plane;
  double last = dcv_seconds();
  if(dcv_job_turned(job))
    dcv_colour_turn(job->fft, (const float *const *)z, model);
  else
    for(int c = 0; c < job->channels; c++) memcpy(model[c], z[c], bytes);
  for(int c = 0; c < job->channels; c++)
  {
    if(x) memcpy(x[c], model[c], bytes);
    dcv_lap(&last, &tile->seconds_pixel);
    dcv_fft_forward(job->fft, model[c]);
    dcv_lap(&last, &tile->seconds_fft);
    dcv_convolution_correlate(job->fft, dcv_job_otf(job, shared, c), model[c], b[c]);
  }
  dcv_lap(&last, &tile->seconds_pixel);
}

void dcv_job_impute(const dcv_job *job, float *const *model, float *const *bound, float *const *z)
{
  for(int c = 0; c < job->channels; c++) dcv_boundary_impute(job->fft, DCV_OMEGA, model[c], bound[c], z[c]);
}

/* x <- x + share (v - x), whole plane. */
DCV_SIMD static void approach(size_t count, float share, const float *restrict v, float *restrict x)
{
  for(size_t i = 0; i < count; i++) x[i] += share * (v[i] - x[i]);
}

void dcv_job_reblur(const dcv_job *job, const float *shared, float *const *x, float *scratch, dcv_tile_run *tile)
{
  const dcv_fft *fft = job->fft;
  const float scale = 1.0f / ((float)fft->width * fft->height);
  double last = dcv_seconds();
  for(int c = 0; c < job->channels; c++)
  {
    dcv_fft_forward(fft, x[c]);
    dcv_lap(&last, &tile->seconds_fft);
    dcv_convolution_multiply(fft, dcv_job_otf(job, shared, c), x[c], scratch);
    approach(fft->plane, job->kept, scratch, x[c]);
    dcv_lap(&last, &tile->seconds_pixel);
    dcv_fft_inverse(fft, x[c]);
    dcv_lap(&last, &tile->seconds_fft);
    for(size_t i = 0; i < fft->plane; i++) x[c][i] *= scale;
    dcv_lap(&last, &tile->seconds_pixel);
  }
}

bool dcv_job_stops(const dcv_job *job, int iterations, float *const *x, float *const *model)
{
  return job->watch && job->watch->stops(job->watch->user, iterations, x, model);
}
