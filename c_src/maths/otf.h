/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * otf: the transfer function K of a PSF on a periodic tile, K = FFT of the PSF placed with its centre at the origin.
 */
#ifndef DCV_OTF_H
#define DCV_OTF_H

#include "maths/fft.h"

/* Writes K (complex, layout of fft.h) of one channel of psf; parts beyond the tile wrap round. */
void dcv_otf(const dcv_fft *fft, const dcv_psf *psf, int channel, float *otf);

/* |D|^2 = 4 sin^2(pi f / n) of a forward difference along an axis of length n, for frequencies 0 .. count - 1. */
void dcv_otf_difference(int n, int count, float *square);

#endif
