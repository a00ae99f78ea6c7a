/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * common: what the solvers share.
 */
#ifndef DCV_SOLVE_COMMON_H
#define DCV_SOLVE_COMMON_H

#include "../opencl/dcv_shared.h"
#include "ops/boundary.h"
#include "ops/colour.h"
#include "ops/convolution.h"
#include "solve/solver.h"

static inline int dcv_job_otfs(const dcv_job *job)
{
  return DCV_MIN(job->psf->channels, job->channels);
}

/* Three channels with one PSF are turned to luminance and chroma. */
static inline bool dcv_job_turned(const dcv_job *job)
{
  return job->channels == 3 && dcv_job_otfs(job) == 1;
}

static inline void dcv_job_weights(const dcv_job *job, float *weights)
{
  for(int c = 0; c < job->channels; c++) weights[c] = dcv_job_turned(job) && c > 0 ? DCV_CHROMA : 1.0f;
}

static inline const float *dcv_job_otf(const dcv_job *job, const float *shared, int c)
{
  return shared + (dcv_job_otfs(job) == 1 ? 0 : c * job->fft->plane);
}

/* Adds the time since *last to *part. */
static inline void dcv_lap(double *last, double *part)
{
  const double now = dcv_seconds();
  *part += now - *last;
  *last = now;
}

/* ---- common.c ---- */

float dcv_job_lam(const dcv_job *job, float priority); /* that of admm */
float dcv_job_rho(const dcv_job *job);
/* Share of lam in iteration i = 0, 1 .. of admm. */
float dcv_job_trust(const dcv_job *job, int i);
float dcv_job_reach(const dcv_job *job);
int dcv_job_transforms(const dcv_job *job, bool unknown);      /* of the solvers that divide in Fourier space */
int dcv_job_step_transforms(const dcv_job *job, bool unknown); /* of those that blur and correlate in each iteration */
size_t dcv_job_otf_floats(const dcv_job *job);
void dcv_job_prepare_otfs(const dcv_job *job, float *shared);

/* Bounds, holes, gap (cleared at the frame) and tapered cuts of all channels (ops/boundary). Returns whether anything is unknown. scratch: one plane;
 * last: of dcv_lap. */
bool dcv_job_start(const dcv_job *job, const float *shared, dcv_tile_run *tile, float *const *bound, float *scratch, double *last);

/* Spectra of the model <- conj(K) Z with Z the spectrum of z, turned where the job says so, which `x` (may be NULL) receives before. */
void dcv_job_data(const dcv_job *job, const float *shared, float *const *z, float *const *x, float *const *model, float *const *b, dcv_tile_run *tile);

/* z renewed from the model, planes of k * x in the picture's own channels. */
void dcv_job_impute(const dcv_job *job, float *const *model, float *const *bound, float *const *z);

/* x <- (1 - kept) x + kept k * x, planes of the result, after any solver: below 0 the priority does not only trust the data less, it leaves its square of the
 * blur in, so that -1 removes noise without sharpening. scratch: one plane. */
void dcv_job_reblur(const dcv_job *job, const float *shared, float *const *x, float *scratch, dcv_tile_run *tile);

/* Asks the job's watch about the state after `iterations`; x and model are the picture's channels. */
bool dcv_job_stops(const dcv_job *job, int iterations, float *const *x, float *const *model);

#endif
