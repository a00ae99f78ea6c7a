/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef DCV_NOISE_H
#define DCV_NOISE_H

#include "base/base.h"

/* Smallest standard deviation of noise considered: below it nothing visible is gained and the inverse filter reaches too far. */
#define DCV_NOISE_FLOOR 1e-3f

/* Weight of the data term for noise of standard deviation sigma, priority -1..1. */
float dcv_noise_lam(float sigma, float priority);

#endif
