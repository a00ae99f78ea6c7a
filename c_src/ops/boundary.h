/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boundary: what to put where a picture is not known: in the gap between the data and their periodic repetition, and in holes (non-finite values).
 *
 * The data term over known pixels, ||M (k * x - y)||^2, is majorised at x_t by ||k * x - z||^2 with z = y where known, k * x_t elsewhere
 * ("imputation"). A clipped pixel is known from below: max(y, k * x_t). So a restoration in Fourier space needs only a start for z, made here, and its
 * renewal after an iteration, over-relaxed:  z <- max(z + omega (k * x_t - z), bound)  with bound = y where clipped, -infinity where unknown.
 */
#ifndef DCV_BOUNDARY_H
#define DCV_BOUNDARY_H

#include "maths/fft.h"

/* Width of the surroundings treated as unknown around a picture: 2 radius + 8 (radius of the PSF). What lies beyond repeats the picture's edge and counts
 * as known, which keeps one side from feeling the other. (Unknown to the middle of the gap gains nothing in quality and three times the difference
 * between a tile at the frame and the whole picture.) */
int dcv_boundary_reach(int radius);

/* Gap between the two sides of a picture that meet through the period: on each side room for that and for as much of the repeated edge, and 16 more to
 * join them; at least `halo`, so that a tile at the frame agrees with the whole picture. (Without the repeated edges the difference is 3 to 5 times as
 * large.) */
int dcv_boundary_gap(int radius, int halo);

/* Pixels by which an edge at the frame is repeated into a gap of at least `gap`: (gap - 16) / 2, not below 0. */
int dcv_boundary_edge(int gap);

/* Non-finite values of the data_width x data_height pixels at the plane's origin are replaced, pass by pass, by the mean of their known neighbours
 * (of eight; values of the pass before), 1, 2, 4 and 8 pixels away in 8 passes each; those further than 120 pixels from data become 0. scratch:
 * fft->plane floats. Returns their number. */
long dcv_boundary_fill_holes(const dcv_fft *fft, float *plane, int data_width, int data_height, float *scratch);

/* Fills the gap: along columns, then along the rows of the result. `edge` pixels (edge_x in rows, edge_y in columns) beyond the last value repeat it, as
 * many before the first value repeat that, and a straight line joins them: of g values, value i = 0 .. g - 1 is (1 - w) last + w first with
 * w = (i + 1 - edge) / (g + 1 - 2 edge) held between 0 and 1. At the frame, edges as long as the gap allows make what a pixel sees there depend on its own
 * side only. */
void dcv_boundary_extend(const dcv_fft *fft, float *plane, int data_width, int data_height, int edge_x, int edge_y);

/* bound <- +infinity where y is known, y where clipped (>= saturation), -infinity where non-finite. In the gap: -infinity up to `reach` pixels from the data
 * (0: nowhere), +infinity beyond. Returns whether a pixel of the data is not known. */
bool dcv_boundary_bound(const dcv_fft *fft, const float *y, int data_width, int data_height, float saturation, int reach, float *bound);

/* Weights of one axis of an inner tile with `count` pixels of data: sin^2(pi d / (2 taper)) at a distance d < taper from a cut, 0 in the gap, 1 elsewhere. */
void dcv_boundary_fade(int count, int period, int taper, float *weight);

/* x <- (1 - |K|^2)^8 x / pixels, spectra; the division undoes the unnormalised transforms. (1 - |K|^2)^8 x is what 8 steps of gradient descent from 0
 * (Landweber 1951) on ||k * x - y||^2 leave of y: what is near the zeros of K, by a compact kernel. */
void dcv_boundary_notch(const dcv_fft *fft, const float *otf, float *x);

/* z <- z - (1 - w_x w_y) notch: what the data of an inner tile hold near the zeros of K fades towards its cuts. Joined through the gap to data that do not
 * continue it, it would make the whole tile ring. weight: w_x, then w_y (dcv_boundary_fade); notch: z filtered by dcv_boundary_notch. (Blurring the cuts with k
 * itself, Reeves 2005, leaves the same or up to a fifth more on average.) */
void dcv_boundary_taper(const dcv_fft *fft, const float *weight, const float *notch, float *z);

/* z <- z - notch in the gap: the surroundings of a frame begin without what no blurred picture has there; few iterations do not get rid of it. */
void dcv_boundary_clear_gap(const dcv_fft *fft, int data_width, int data_height, const float *notch, float *z);

/* z <- max(z + omega (model - z), bound) where bound is not +infinity. */
void dcv_boundary_impute(const dcv_fft *fft, float omega, const float *model, const float *bound, float *z);

#endif
