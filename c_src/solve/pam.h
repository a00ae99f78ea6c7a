/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pam: projected alternating minimisation (Perrone and Favaro 2014): what the solver and the blind half share, and the blind half.
 */
#ifndef DCV_PAM_H
#define DCV_PAM_H

#include "maths/fft.h"

/* model <- its residual: model - y where known, only downward errors where clipped, 0 where unknown (`bound`: ops/boundary.h). */
void dcv_pam_residual(const dcv_fft *fft, const float *y, const float *bound, float *model);

/* square <- 1 / sqrt(square + e^2). */
void dcv_pam_invert(const dcv_fft *fft, float e, float *square);

/* v <- v - step (lam data / pixels + curvature). */
void dcv_pam_descend(const dcv_fft *fft, float step, float lam, const float *data, const float *curvature, float *v);

/* x <- v, v <- v + momentum (v - x): the point of the next gradient. */
void dcv_pam_push(const dcv_fft *fft, float momentum, float *x, float *v);

/* The blind half (pam_blind.c). k (size x size) <- the PSF after `rounds` of one step on the picture and one on the PSF, at one scale, for the grey picture y
 * (height rows of width floats). Not part of the library: dcv_estimate_psf finds better PSFs (docs/flavours.md). MEMORY, FFT. */
dcv_status dcv_pam_blind(const float *y, int width, int height, float *k, int size, float lam, float e, int rounds);

#endif
