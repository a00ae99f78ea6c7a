/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tv: total variation on a periodic tile.
 *
 *   D x = (x[i, j+1] - x[i, j],  x[i+1, j] - x[i, j])          forward differences, columns then rows, periodic
 *   D* w = (w1[i, j-1] - w1[i, j]) + (w2[i-1, j] - w2[i, j])   its adjoint (minus the divergence)
 *   vectorial TV = sum over pixels of the Euclidean norm of D x over both directions and all channels
 *
 * Planes are laid out as in fft.h (rows of fft->stride floats).
 */
#ifndef DCV_TV_H
#define DCV_TV_H

#include "maths/fft.h"

/* The pixel half of an ADMM iteration, one pass over the tile. With weights w of the channels, v = w D x + u and the vectorial shrinkage
 *
 *   g = s v,   s = 1 - 1 / max(rho |v|, 1)        (|v| over both directions and all channels)
 *
 * it replaces u by (v - g) / growth and x by D* (w (2 g - v)): all in place. `u` holds 2 * channels planes: column, then row differences
 * of each channel. scratch: dcv_tv_scratch() floats. */
void dcv_tv_shrink(const dcv_fft *fft, int channels, const float *weights, float rho, float growth, float *const *x, float *const *u, float *scratch);
size_t dcv_tv_scratch(const dcv_fft *fft, int channels);

#endif
