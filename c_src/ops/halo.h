/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * halo: how far a restored pixel depends on its surroundings.
 */
#ifndef DCV_HALO_H
#define DCV_HALO_H

#include "base/base.h"

/* Decay of the regularised inverse filter conj(K) / (|K|^2 + ratio |D|^2), ratio = rho / lam. */
dcv_status dcv_halo_measure(const dcv_psf *psf, float ratio, int *halo);

#endif
