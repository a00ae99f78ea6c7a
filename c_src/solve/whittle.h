/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * whittle: how likely a PSF makes the spectrum of a window, whatever the picture behind it is. Nothing here allocates.
 *
 * The window's power P at the frequencies w is taken for exponentially distributed around (Whittle, Arkiv foer Matematik 2, 1953)
 *
 *   m(w) = |K(w)|^2 S(w) + v,   log S = p0 - p1 log |D|^2 + p2 cos 2 theta + p3 sin 2 theta,   v = exp p4,
 *
 * a picture whose power falls with frequency and may have a direction, and white noise. All five numbers are fitted for each PSF (Fisher scoring), and the
 * mean of log m + P / m is returned. Phases do not count, so PSFs that are alike but for them are not told apart; zeros of a spectrum are.
 */
#ifndef DCV_WHITTLE_H
#define DCV_WHITTLE_H

#include "maths/fft.h"

enum { DCV_WHITTLE_NUMBERS = 5, DCV_WHITTLE_STEPS = 12 /* to the end of a fit */, DCV_WHITTLE_PLANES = 4 };

typedef struct dcv_whittle {
  const dcv_fft *fft;
  int count;                         /* frequencies, from LOWEST to `highest` */
  float *power, *slope, *along, *diagonal, *through; /* P, -log |D|^2, cos 2 theta, sin 2 theta, |K|^2 at each */
  int *at;                           /* place of each in a plane of fft, */
  float *plane;                      /* such as this one */
  double start[DCV_WHITTLE_NUMBERS]; /* where a fit begins */
} dcv_whittle;

/* Side of the transforms for a side of the window and PSFs of `size`: half as many frequencies, since those between them say little more. */
int dcv_whittle_side(int side, int size);
/* window: width x height, rows without gaps, folded onto the plane of fft; variance: about that of its noise; highest: largest |D|^2,
 * at most 8. memory: DCV_WHITTLE_PLANES planes of fft, used as long as
 * w is. */
void dcv_whittle_open(dcv_whittle *w, const dcv_fft *fft, const float *window, int width, int height, double variance, double highest,
                      float *memory);
/* The negative logarithm of the likelihood of k (n x n, n odd), per frequency. `steps` of the fit from w->start, where its end is left for the next one. */
double dcv_whittle_cost(dcv_whittle *w, const float *k, int n, int steps);

#endif
