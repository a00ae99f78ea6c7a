/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * family: PSFs of few parameters, for windows that support no more (estimate.c). Nothing here allocates.
 *
 * The numbers a: GAUSSIAN of standard deviations exp(a[0]) along and exp(a[1]) across the direction a[2]; DISK of radius exp(a[0]); MOTION of length
 * exp(a[0]) in that direction; the last two softened by a Gaussian of standard deviation a[1]. Pixels; radians clockwise from the x axis.
 */
#ifndef DCV_FAMILY_H
#define DCV_FAMILY_H

#include "maths/psf.h"
#include "solve/whittle.h"

enum { DCV_FAMILY_GAUSSIAN, DCV_FAMILY_DISK, DCV_FAMILY_MOTION, DCV_FAMILIES };

/* k (size x size, size odd) becomes the member with the numbers a. */
void dcv_family_draw(int family, const double a[3], int size, float *k);
/* Numbers of the member with the second moments of k, not softened. */
void dcv_family_guess(int family, const float *k, int size, double a[3]);
/* out becomes the member of least dcv_whittle_cost that has its place in the square of k, and that cost is returned; k is where one of the searches begins.
 * The search for one that costs more than `limit` is given up early. */
double dcv_family_fit(dcv_whittle *w, int family, const float *k, int size, double limit, float *out);

#endif
