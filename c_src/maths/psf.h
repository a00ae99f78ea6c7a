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
 */
#ifndef DCV_MATHS_PSF_H
#define DCV_MATHS_PSF_H

#include "base/base.h"

/* The PSF's values are copied; NULL data in `copy` on failure. */
dcv_status dcv_psf_copy(dcv_psf *copy, const dcv_psf *psf);
void dcv_psf_clear(dcv_psf *psf);

#endif
