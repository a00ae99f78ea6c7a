/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * colour: the orthonormal turn of red, green, blue to luminance and two chromas,
 *
 *   (r + g + b) / sqrt 3,  (r - b) / sqrt 2,  (r - 2 g + b) / sqrt 6
 */
#ifndef DCV_COLOUR_H
#define DCV_COLOUR_H

#include "maths/fft.h"

#include "../opencl/dcv_shared.h"

/* The chromas of one pixel, times `scale`. */
static inline void dcv_colour_chroma(float red, float green, float blue, float scale, float *m, float *n)
{
  *m = scale * DCV_R2 * (red - blue);
  *n = scale * DCV_R6 * (red - 2.0f * green + blue);
}

/* Three planes each; `to` may be `from`. */
void dcv_colour_turn(const dcv_fft *fft, const float *const *from, float *const *to);
/* In place. */
void dcv_colour_turn_back(const dcv_fft *fft, float *const *planes);

#endif
