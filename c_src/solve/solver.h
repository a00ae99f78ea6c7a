/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * solver: what every restoration method offers to plan.c. One table, `dcv_solvers`, indexed by dcv_params.solver.
 *
 * A solver sees one tile at a time: planes of the plan's transform, the tile's data at the origin, NaN where a pixel is not known. It uses nothing measured on
 * the tile itself to set its strength (all numbers come with the job), so that tiles, regions and the whole picture agree.
 */
#ifndef DCV_SOLVER_H
#define DCV_SOLVER_H

#include "maths/fft.h"

/* Fixed for a plan. */
typedef struct dcv_job {
  const dcv_fft *fft;
  const dcv_psf *psf;
  int channels, iterations;
  float noise, gradient, lam, saturation; /* saturation: INFINITY when there is none */
} dcv_job;

typedef struct dcv_clock {
  double load, fft, pixel, store;
} dcv_clock;

typedef struct dcv_solver {
  const char *name;
  /* Number used when params->iterations is 0. */
  int iterations;
  float (*lam)(const dcv_job *job, float priority); /* where params->lam is 0; job->lam is not set yet */
  float (*rho)(const dcv_job *job);                 /* reported in dcv_plan_info */
  int (*transforms)(const dcv_job *job, bool unknown); /* two-dimensional FFTs for a tile, all channels; with or without unknown pixels */
  size_t (*shared_floats)(const dcv_job *job);      /* read-only tables of a plan */
  size_t (*work_floats)(const dcv_job *job);        /* memory of one thread beyond the planes y */
  void (*prepare)(const dcv_job *job, float *shared);
  /* y (channels planes) holds data_width x data_height pixels at the origin, NaN where not known; the restored planes replace it. frame: the
   * tile touches the picture's frame, and what lies beyond its data is unknown; otherwise its outermost pixels are thrown away anyway. */
  void (*run)(const dcv_job *job, const float *shared, float *work, float *const *y, int data_width, int data_height, bool frame,
              dcv_clock *clock);
} dcv_solver;

extern const dcv_solver dcv_solver_admm;

/* Row `params->solver`. */
extern const dcv_solver *const dcv_solvers[];

#endif
