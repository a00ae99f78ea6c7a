/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blind: the steps of the estimate of a PSF (blind.c), for estimate.c and the tests. Nothing here allocates.
 *
 * PSFs are n x n floats, n odd, 3 to DCV_ESTIMATE_MAX, row by row, centre at n / 2.
 */
#ifndef DCV_BLIND_H
#define DCV_BLIND_H

#include "maths/fft.h"

enum { DCV_BLIND_VALUES = DCV_ESTIMATE_MAX * DCV_ESTIMATE_MAX, DCV_BLIND_SCALES = 8 };

/* What computes step 1 of a level in place of the processor; the formulas are the same. */
typedef struct dcv_blind_level dcv_blind_level;
typedef struct dcv_blind_device dcv_blind_device;
struct dcv_blind_device {
  /* x <- the sharp estimate, with beta up to beta_max. False when it failed, now or before: the processor does it then. Any thread. */
  bool (*sharpen)(dcv_blind_device *device, const dcv_blind_level *level, const float *k, int n, float lam, float beta_max, float *x);
  void (*destroy)(dcv_blind_device *device);
  bool stale, failed; /* stale: the level's data have changed */
  char failure[128];
};
typedef dcv_status dcv_blind_open(dcv_blind_device **device, int number, const dcv_blind_level *level);

/* Indexed by params.backend, NULL for the processor; and what the last failure of this thread was. In plan.c. */
extern dcv_blind_open *const dcv_blind_backends[];
extern const char *(*const dcv_blind_message)(void);

/* One scale of the window: its data, their transforms, and what else does not change between rounds. Several planes, fft.plane floats apart, share one PSF:
 * a gradient is kept in all of them or in none, and step 2 and the misfits sum over them. */
struct dcv_blind_level {
  dcv_fft fft, small; /* of the window; of twice the PSF */
  int planes;         /* 1 or 3 */
  int width, height;  /* of the window */
  int size;           /* of the largest PSF at this scale */
  double zoom;        /* pixels of this scale in a pixel of the window's own */
  float *filled;      /* the window, continued periodically */
  float *Y, *slope_x, *slope_y; /* spectra of it and of its gradient, weighted as in step 2 */
  float *dx, *dy;     /* |D|^2 = dx + dy; each value of dx twice, for real and imaginary part */
  float variance;     /* of its noise, its planes' sum, for dcv_blind_fit; 0 unless the caller sets it */
  float area;         /* sum of the squared weights of step 2 */
  float *across, *down; /* weight of a column and of a row in step 2: 0 at the frame, 1 inside */
  dcv_blind_device *device; /* or NULL */
};

/* Memory of one thread. */
typedef struct dcv_blind_work {
  float *x, *a, *kept; /* as many planes as the largest level has, of its size */
  float *b;         /* one of them */
  float *rows;      /* four rows for each plane, and one */
  float *small;     /* two planes of the largest small transform */
} dcv_blind_work;

/* (PSF size, zoom) of each scale, coarse to fine: zoom 2^(-j/2), size odd, from 3 to `size`. Returns their number, at most DCV_BLIND_SCALES. */
int dcv_blind_schedule(int size, int sizes[DCV_BLIND_SCALES], double zooms[DCV_BLIND_SCALES]);

/* Sizes of a level for a window of width x height, without its plans and memory. */
void dcv_blind_level_layout(dcv_blind_level *level, int width, int height, int size, double zoom, int planes);
/* Plans, not measured: that would hardly pay, and measured plans differ in the last bits, which the search can turn into another PSF. Its failures leave
 * nothing behind. */
dcv_status dcv_blind_level_init(dcv_blind_level *level);
void dcv_blind_level_clear(dcv_blind_level *level);
size_t dcv_blind_level_floats(const dcv_blind_level *level);
/* Gives step 1 of a level of one plane, with its plans and memory, to the backend if it is large enough for that to pay. */
void dcv_blind_level_offload(dcv_blind_level *level, const dcv_params *params, const dcv_callbacks *callbacks);
/* Hands out `memory`, DCV_ALIGN-aligned. */
void dcv_blind_level_use(dcv_blind_level *level, float *memory);
/* Everything derived from level->filled, whose first width x height pixels of each plane are the caller's. rows: those of the work. */
void dcv_blind_level_prepare(dcv_blind_level *level, float *rows);

/* largest: the level with the most planes of the largest size. */
size_t dcv_blind_work_floats(const dcv_blind_level *largest);
void dcv_blind_work_use(dcv_blind_work *work, const dcv_blind_level *largest, float *memory);

/* A plane of the window (width x height, rows `stride` apart) at level->zoom, into the first of level->filled. scratch: width times the level's height. */
void dcv_blind_resize(const float *window, int width, int height, size_t stride, dcv_blind_level *level, float *scratch);
/* k on a grid `zoom` times finer, cropped or padded to size x size: bilinear, sum 1. */
void dcv_blind_resize_psf(const float *k, int n, double zoom, int size, float *out);

/* Step 1: work->x becomes the sharp estimate with weight lam of the gradient count. */
void dcv_blind_sharp(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam);
/* Step 2: k becomes the PSF between work->x and the window; unchanged when nothing is left of it. */
void dcv_blind_psf(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n);
/* Step 2 with |D|^p in place of the gradient, p = 1 + quarters / 4, quarters 0, 1 or 2: more weight for fine structure, which the alternation recovers
 * last; and with noise variance x area ||grad k||^2 more, since noise leaves the finest structure of the PSF open. `prune` as for dcv_blind_clean. */
void dcv_blind_fit(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, int quarters, float prune);
/* `count` rounds of both; lam is divided by `decay` after each, down to `floor`. Returns the L1 change of the last one. `stop` is asked
 * after each round; NULL allowed. */
float dcv_blind_rounds(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, float *lam, int count, float decay, float floor,
                       bool (*stop)(void *user), void *user);
/* How badly k explains the window by a sharp picture with few gradients: the sum over two weights lam of log(mean |r|^2 + 4 lam share), r = k * x - y, x
 * from step 1, share of the pixels with a gradient, all away from the frame. Too narrow a PSF leaves many gradients or a residual, too wide a one adds those of
 * its ringing. 0 for a window that is all frame. */
double dcv_blind_energy(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n);
/* A cheaper energy of one weight for PSFs that are close to each other; work->x becomes its sharp estimate. The shorter continuation leaves more of the
 * misfit in the residual. */
double dcv_blind_trial(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam);

/* Correlation of two PSFs, 0 to 1: the largest over shifts of up to 2 px. */
double dcv_blind_agreement(const float *a, const float *b, int n);

/* Values below PRUNE of the peak and 8-connected islands below ISLAND of the sum become 0; sum 1. */
void dcv_blind_clean(float *k, int n, float prune);
/* Centroid to the middle by whole pixels; what leaves the square is lost; sum 1. */
void dcv_blind_centre(float *k, int n);

#endif
