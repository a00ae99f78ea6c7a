/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * halo: how far a restored pixel depends on its surroundings.
 *
 * What the data do not determine is filled in by the filter n = F^-1[ r |D|^2 / (|K|^2 + r |D|^2) ], r = rho / lam: notches at the zeros of K reach far. The
 * halo is the least h with
 *
 *   ( sum of n^2 over max(|i|, |j|) > h )^(1/2) <= 6e-4        (mean over the channels of the PSF)
 *
 * on a domain of 512 x 512, at most 160. Measured inside pictures, whole against tiles: 2e-4 of white RMS or less; with PSFs whose zeros are close to each
 * other (27 px of camera shake, a square of 15) and little noise 1e-3, whatever the halo.
 */
#ifndef DCV_HALO_H
#define DCV_HALO_H

#include "base/base.h"

/* MEMORY, FFT. */
#define DCV_HALO_MAX 160
dcv_status dcv_halo_measure(const dcv_psf *psf, float ratio, int *halo);

#endif
