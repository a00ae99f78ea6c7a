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

/* Asked after each iteration but the last, `iterations` done, whether to stop with that state: x and k * x (the planes of all channels). */
typedef struct dcv_watch {
  bool (*stops)(void *user, int iterations, float *const *x, float *const *model);
  void *user;
} dcv_watch;

/* Fixed for a plan. */
typedef struct dcv_job {
  const dcv_fft *fft;
  const dcv_psf *psf;
  int channels, iterations;
  float noise, gradient, edge, lam, saturation; /* saturation: INFINITY when there is none */
  float kept;                              /* share of the blur left in the result, see dcv_job_reblur */
  const dcv_watch *watch;                  /* NULL but for runs on a sample; admm, of few iterations, asks nobody */
} dcv_job;

/* One tile at work: what it is given, and where it reports. */
typedef struct dcv_tile_run {
  float *const *planes;       /* channels planes; data_width x data_height pixels at the origin, NaN where not known; the restored planes replace them */
  int data_width, data_height;
  bool frame;                 /* the data reach the picture's frame: what lies beyond is unknown; elsewhere the outermost pixels are thrown away anyway */
  int edge_x, edge_y;         /* for dcv_boundary_extend */
  const float *taper;         /* weights for dcv_boundary_taper, or NULL */
  double seconds_fft, seconds_pixel;
  void (*step)(void *user, double fraction); /* after each iteration; NULL allowed */
  int *stop;                  /* set (atomically) to leave early; the planes are then undefined */
  void *user;
} dcv_tile_run;

typedef struct dcv_solver {
  const char *name;
  int iterations;     /* used when params->iterations is 0 and none is found by a run on a sample */
  int most, patience; /* of such a run (solve/stop); most 0: never made */
  float stagnation;   /* the part of the tolerance below which a change counts as none: less than 1 where steps are small */
  float (*lam)(const dcv_job *job, float priority); /* where params->lam is 0; job->lam is not set yet */
  float (*rho)(const dcv_job *job);                 /* reported in dcv_plan_info */
  float (*reach)(const dcv_job *job);               /* largest rho / lam, for the halo (ops/halo) */
  int (*transforms)(const dcv_job *job, bool unknown); /* two-dimensional FFTs for a tile, all channels; with or without unknown pixels */
  size_t (*shared_floats)(const dcv_job *job);      /* read-only tables of a plan */
  size_t (*work_floats)(const dcv_job *job);        /* memory of one thread beyond the tile's planes */
  void (*prepare)(const dcv_job *job, float *shared);
  void (*run)(const dcv_job *job, const float *shared, float *work, dcv_tile_run *tile);
} dcv_solver;

extern const dcv_solver dcv_solver_admm, dcv_solver_mm, dcv_solver_pam, dcv_solver_pd, dcv_solver_rl;

/* Reports a finished part; true when the caller wants to stop. */
static inline bool dcv_tile_step(dcv_tile_run *tile, double fraction)
{
  if(tile->step) tile->step(tile->user, fraction);
  return tile->stop && __atomic_load_n(tile->stop, __ATOMIC_RELAXED);
}

/* Row `params->solver`. */
extern const dcv_solver *const dcv_solvers[];

#endif
