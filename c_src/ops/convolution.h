/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * convolution: y = k * x on a periodic tile, and its adjoint, as products of spectra (layout of fft.h).
 */
#ifndef DCV_CONVOLUTION_H
#define DCV_CONVOLUTION_H

#include "maths/fft.h"

/* v <- K x; v may be x. */
void dcv_convolution_multiply(const dcv_fft *fft, const float *otf, const float *x, float *v);
/* v <- conj(K) y, the adjoint; v may be y. */
void dcv_convolution_correlate(const dcv_fft *fft, const float *otf, const float *y, float *v);

#endif
