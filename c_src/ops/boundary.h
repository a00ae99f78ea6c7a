/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boundary: what to put where a picture is not known (outside the frame or the tile's data, non-finite and clipped pixels).
 *
 * The data term ||M (k * x - y)||^2 with M = 0 on unknown pixels is majorised at x_t by ||k * x - (M y + (1 - M) k * x_t)||^2: a restoration in
 * Fourier space stays exact if unknown pixels of y are replaced by those of k * x_t ("imputation"). A clipped pixel is known from below: it takes
 * max(y, k * x_t). The first fill has no x_t yet and is harmonic: a smooth surface through the known pixels, periodic like the tile.
 */
#ifndef DCV_BOUNDARY_H
#define DCV_BOUNDARY_H

#include "maths/fft.h"

/* Replaces NaN in `plane` (the whole transform, periodic; not everything NaN) by a harmonic surface: averages of known pixels on a pyramid of halved
 * sizes, then from coarse to fine, on unknown pixels only, bilinear interpolation and a few sweeps of the discrete Laplace equation.
 * scratch: dcv_boundary_scratch() floats. Returns false, and writes zeros, when every pixel is NaN. */
bool dcv_boundary_fill(const dcv_fft *fft, float *plane, float *scratch);
size_t dcv_boundary_scratch(const dcv_fft *fft);

#endif
