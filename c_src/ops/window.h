/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * window: choice of the sample for the estimation of the PSF (dcv_choose_window in dcv.h).
 *
 * Blocks of 16 x 16 pixels carry the structure tensor of v = sqrt(luminance), in which shot noise is even, sums of (dx^2, dy^2, dx dy) of the backward
 * differences, divided by sqrt(trace) + sqrt(mean trace): one hard edge shall not outweigh structure all over. A window of whole blocks scores
 *
 *     (smaller eigenvalue of the sum of its tensors) max(0, 1 - 20 clipped share) (1 - distance / 2)
 *
 * with the share of its pixels within half a percent of the largest v, and its distance from the middle of the search, 1/2 at the end of an axis. A fifth of the
 * picture on each side is not searched, if the window still fits.
 */
#ifndef DCV_WINDOW_H
#define DCV_WINDOW_H

#include "base/base.h"

dcv_status dcv_window_choose(const dcv_image *in, int channels, int32_t window[4]);

#endif
