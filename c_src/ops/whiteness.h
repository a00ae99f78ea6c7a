/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * whiteness: how white a residual is (Almeida and Figueiredo 2013): minus the weighted energy of its normalised autocorrelation over half the plane of
 * lags (a, b) up to DCV_WHITENESS_LAGS, without lag 0; mean over channels. 0 for a white residual, more negative for structure.
 *
 *   - sum of w(a, b) r(a, b)^2,   w = exp(-(a^2 + b^2) / (2 . 3^2))
 */
#ifndef DCV_WHITENESS_H
#define DCV_WHITENESS_H

#include "base/base.h"

#define DCV_WHITENESS_LAGS 4

/* Of `channels` planes of width x height (both above the lags) with rows of `stride` floats. A constant plane counts as white. */
double dcv_whiteness(const float *const *residual, int channels, int width, int height, int stride);

#endif
