/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * noise: noise level and gradient scale of a whole picture, the only things measured across it, once.
 *
 *   noise     a blurred picture has little but noise at the highest frequencies, and its smoothest parts have nothing else. High-pass [1 -2 1] x
 *             [1 -2 1] / 6 with taps `step` pixels apart (unit gain for white noise, blind to affine brightness: Immerkaer 1996), mean absolute value in
 *             blocks of 16 x 16, zeros (clipped areas) left out. Shot noise makes the smoothest parts the darkest ones, too: the blocks are split by
 *             brightness into 8 groups of equal size (fewer when a group would hold less than 16); variance of a group: square of the 10 % quantile over
 *             0.7135, what unit white noise gives, its brightness that of its smoothest fifth, around the quantile (a single group: its mean); of the
 *             picture: the value at its mean brightness of the highest line a + b brightness, a, b >= 0, above no group, so that texture in some groups
 *             does not count. s_1, s_2: its square root, root mean square over channels, at steps 1 and 2. Noise that went through demosaicing, resizing or
 *             a coder lacks the highest frequencies, s_2 > s_1, and is extrapolated 1.4 octaves down: sigma = s_1 max(r, 1)^1.4 with
 *             r = min(s_2 / s_1, max(q_2 / q_1, 1)^2). Fine texture, too, is stronger at step 2, but hardly in the two chroma channels (R - B) / sqrt 2,
 *             (R - 2 G + B) / sqrt 6, where it cancels: q_1, q_2 are the same of those, by the channels' mean brightness, unless the picture is grey.
 *   share     in which noise counts as processed: from 0 at q_2 / q_1 = 1.3, which white noise hardly reaches, to 1 at 1.7; 0 without chroma.
 *   blocking  standard deviation of the error of a coder with blocks of 8 x 8 (JPEG), by their borders. Third differences |[-1 3 -3 1]| of the mean of the
 *             channels, along rows and along columns; a_j: their mean over the places j, j + 8, j + 16 ... of a row, or over a row j, j + 8, j + 16 ...; then the
 *             median of these rows, since a lamp's edge is none of a block. The largest, a_b, is at the borders, those of the five places more than one away are
 *             inside:  0.4 sqrt(mean over both directions of a_b^2 - mean a_inside^2) clip((min a_b / max a_inside - 1.1) / 0.1, 0, 1). Below 96 px: 0.
 *   both      errors of demosaicing and coding lie where the picture changes and so escape the smoothest parts:
 *             sigma^2 + max(share (g / 4)^2, blocking^2), g = G / sqrt(2 C), the root mean square of the differences between neighbours.
 *   gradient  G^2 = mean over pixels of |grad y|^2 (all channels, both directions) - 4 C sigma^2, at least sigma^2. Left out: differences with values at or
 *             above `white` (INFINITY: none), and those from a pixel of a block of side x side pixels of which more than a sixteenth is so bright, or of its
 *             eight neighbours (unless that were more than 3/4 of all blocks): lamps are hidden from the restoration (ops/highlight), their slopes would stand
 *             for the picture. Fewer clipped pixels hide little, and the slopes around them need their share of E.
 *   edge      E^2 = mean over pixels of max(p - 32 C sigma^2, 0)^2 / G^2, p = |grad y|^2 of a pixel, what is left out counting 0: the scale of the steepest
 *             gradients, 2 to 4 G in photographs, far more for a few strong edges on an even ground.
 */
#ifndef DCV_NOISE_H
#define DCV_NOISE_H

#include "base/base.h"

typedef struct dcv_processing {
  float share, blocking;
} dcv_processing;

/* Root mean square over the channels of dcv_noise_estimate, not below 0.003 of the picture's root mean square (the rounding of 8 bits
 * of sRGB at mid grey), nor 1e-6. DATA without a finite value. */
dcv_status dcv_noise_level(const dcv_image *in, int channels, int threads, float *sigma, dcv_processing *processing);

float dcv_noise_with_processing(float sigma, dcv_processing processing, float gradient, int channels);

dcv_status dcv_noise_gradient(const dcv_image *in, int channels, float sigma, float white, int side, int threads, float *gradient, float *edge);

#endif
