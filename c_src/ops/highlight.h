/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * highlight: lamps, light sources far above white, whose recorded values say next to nothing about them.
 *
 * Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The few iterations of a restoration do not find
 * out how bright it was, and whatever they assume rings across the picture. So the data that a lamp may have reached are declared unknown before the
 * restoration, which then sees neither the lamp nor its spread, and the result fades into the input there.
 *
 * An overexposed sky, barely above white, is no lamp: its edges restore well. If the sharp x <= t white around a clipped pixel p, k * x >= white there leaves
 * little room for anything dark, and the pixels next to it see much the same: with x >= low and m(d) = sum_q min(k(q), k(q + d)), the share of the PSF that
 * p and p + d have in common,
 *
 *   (k * x)(p + d) >= low + (t white - low) m(d) - (t - 1) white                                           (the rest of p's mean takes at most t white - x)
 *
 * A clipped pixel next to another that is darker than this by more than four times the noise, t = 1.05, low the least value around, belongs to a lamp.
 */
#ifndef DCV_HIGHLIGHT_H
#define DCV_HIGHLIGHT_H

#include "maths/fft.h"

enum { DCV_HIGHLIGHT_SHIFTS = 10 };

typedef struct dcv_highlight {
  float white;       /* clipping level, INFINITY: none */
  float margin;      /* 4 times the noise */
  int rows, columns; /* spread: half widths beyond which at most 0.01 of the PSF lies, in any channel */
  int stride;        /* pixels between shifts d: ten to each side, up to twice the spread */
  float common[2 * DCV_HIGHLIGHT_SHIFTS + 1][2 * DCV_HIGHLIGHT_SHIFTS + 1]; /* m(d), the least of all channels, [SHIFTS][SHIFTS] without a shift */
} dcv_highlight;

/* noise: standard deviation. */
dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white, float noise);

/* Pixels around a pixel that decide about it, 0 without a clipping level: where the least value is looked for (2 spread + 2) or a shift, the lamp's extent
 * (4 spread), what it reaches (2 spread), the ramp of the weight. */
int dcv_highlight_reach(const dcv_highlight *highlight);

/* Whether any of the width x height pixels at the planes' origin is clipped: without one, the functions below change nothing and need not be called. */
bool dcv_highlight_any(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height);

/* A lamp is a clipped pixel with one that belongs to a lamp within four times the spread; it reaches twice the spread: not all of it need be clipped,
 * and what is left of its light next to the hidden part makes a dark spot there.
 * Marks the reached pixels of the width x height ones at the planes' origin as unknown (NaN). Returns whether there are any; if so, `weight` becomes the share of
 * the input in the result: 1 where reached, falling to 0 within 4 px. weight, scratch: fft->plane floats each. */
bool dcv_highlight_hide(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *weight,
                        float *scratch);

/* x <- weight y + (1 - weight) x where y, channel c of the picture from (x0, y0) on, is finite. */
void dcv_highlight_fade(const dcv_fft *fft, const float *weight, const dcv_image *y, int x0, int y0, int c, int width, int height, float *x);

/* Near clipped pixels, within 4 spread, holds the result in the range of the input within the spread: the little that clipping hid where there is no lamp, and
 * the iterations did not find, would ring there. Where the picture has structure narrower than the spread, restoring it does leave that range: by up to four
 * times what it rises there. With v = min(y, white), greatest and least within the spread,
 *
 *   x <= greatest(v) + 2 sigma + 4 max(p - 6 sigma, 0),  p = v - greatest(least(v)), the greatest within 2 px                   (unless greatest(v) = white)
 *
 * and the same for -x and -v. y: the picture, whose pixel (x0, y0) is at the planes' origin. Fades within 4 px. scratch: 3 fft->plane floats. */
void dcv_highlight_hold(const dcv_highlight *highlight, const dcv_fft *fft, const dcv_image *y, int x0, int y0, int channels, int width, int height,
                        float *scratch, float *const *planes);

#endif
