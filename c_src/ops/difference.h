/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * difference: the six differences of a pixel with its eight neighbours on a periodic tile, one at a time.
 *
 *   0, 1   forward:  x[i, j+1] - x[i, j],  x[i+1, j] - x[i, j]
 *   2 .. 5 second:   s (x[i+a, j+b] + x[i-a, j-b] - 2 x[i, j])  for (a, b) = (0, 1), (1, 0), (1, 1), (1, -1), s = 1, 1, 1/sqrt 2, 1/sqrt 2
 *
 * Planes are laid out as in fft.h. `weights` belong to channels.
 */
#ifndef DCV_DIFFERENCE_H
#define DCV_DIFFERENCE_H

#include "maths/fft.h"

#define DCV_FIRST_ORDER 0, 2
#define DCV_SECOND_ORDER 2, 6

/* d <- weight * difference of x; d is not x. */
void dcv_difference(const dcv_fft *fft, int direction, float weight, const float *x, float *d);

/* out <- out + weight * adjoint difference of d. */
void dcv_difference_adjoint_add(const dcv_fft *fft, int direction, float weight, const float *d, float *out);

/* sum <- sum over channels and directions from .. to - 1 of (weight * difference of x + u)^2, u[c * (to - from) + direction - from], or without u
 * where it is NULL. scratch: one plane. */
void dcv_difference_square(const dcv_fft *fft, int channels, const float *weights, int from, int to, const float *const *x, const float *const *u,
                           float *sum, float *scratch);

/* out[c] <- out[c] + D^T (w^2 D x n), forward differences: with n = 1 / |w D x| the gradient of TV. scratch: one plane. */
void dcv_difference_curvature(const dcv_fft *fft, int channels, const float *weights, const float *const *x, const float *n, float *const *out,
                              float *scratch);

/* Squared moduli of all six transfer functions, summed: power (columns floats a row, rows of fft->stride). */
void dcv_difference_power(const dcv_fft *fft, float *power);

#endif
