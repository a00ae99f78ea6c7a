/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * halo: how far a restored pixel depends on its surroundings.
 *
 * What the data do not determine is filled in by the filter n = F^-1[ r |D|^2 / (|K|^2 + r |D|^2) ], r = rho / lam: notches at the zeros of K reach far. The
 * halo is the least h with
 *
 *   ( sum of n^2 over max(|i|, |j|) > h )^(1/2) <= 6e-4        (mean over the channels of the PSF)
 *
 * on a domain of 512 x 512, hence at most 256; a plan takes no more than DCV_HALO_MAX (160) of it, and tapers its tiles where that is less than the halo found.
 */
#ifndef DCV_HALO_H
#define DCV_HALO_H

#include "base/base.h"

#define DCV_HALO_MAX 160

/* MEMORY, FFT. */
dcv_status dcv_halo_measure(const dcv_psf *psf, float ratio, int *halo);

#endif
