/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * psf: building and mending PSFs; the public functions are described in dcv.h. The formulas:
 *
 *   gaussian     exp(-(i^2 + j^2) / (2 a^2))
 *   disk         area of the pixel inside the circle of radius a: exact chords on 32 lines a pixel row, mean with the transpose
 *   motion       32 ceil(a) points at equal distances on a segment of length a at angle b, each shared bilinearly between its four pixels
 *   uniform      1
 *   kaiser       I0(a sqrt(1 - (2 i / (n - 1))^2)) times the same in j        (i, j from the centre; Kaiser and Schafer 1980)
 *   exponential  exp(-(|i| + |j|) / a)
 *
 * each divided by its sum.
 *
 *   reduced      sum_j k_j L((i - j s) / max(s, 1)), L(t) = sinc(t) sinc(t / 5), |t| < 5: Lanczos' windowed ideal low-pass, so that the transfer function is that
 *                of k up to the new Nyquist frequency (Duchon 1979); its small negative lobes are part of it
 */
#ifndef DCV_MATHS_PSF_H
#define DCV_MATHS_PSF_H

#include "base/base.h"

/* The PSF's values are copied; NULL data in `copy` on failure. */
dcv_status dcv_psf_copy(dcv_psf *copy, const dcv_psf *psf);
void dcv_psf_clear(dcv_psf *psf);

/* The PSF as a picture scaled by `scale` (0.02 to 50) sees it, with sum 1 and, unlike dcv_psf_resample's, with its negative lobes; NULL data on failure. */
dcv_status dcv_psf_reduce(dcv_psf *reduced, const dcv_psf *psf, double scale);

#endif
