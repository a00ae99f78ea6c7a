/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * highlight: lamps, light sources far above white, whose recorded values say next to nothing about them.
 *
 * Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The few iterations of a restoration do not find
 * out how bright it was, and whatever they assume rings across the picture. So the data that a lamp may have reached are declared unknown before the
 * restoration, which then sees neither the lamp nor its spread, and the result fades into the input there.
 *
 * An overexposed sky, barely above white, is no lamp: its edges restore well. The PSF tells them apart: an edge of height 1, blurred, nowhere rises by more
 * than the peak of the PSF's projection on a line. With b = min(y, white): a pixel is steep when a difference of b to one of its four neighbours exceeds
 * white min(1.15 peak, 0.5); a lamp, when clipped with a steep pixel within twice the PSF's spread; reached, when a lamp lies within the spread.
 */
#ifndef DCV_HIGHLIGHT_H
#define DCV_HIGHLIGHT_H

#include "maths/fft.h"

typedef struct dcv_highlight {
  float white;       /* clipping level, INFINITY: none */
  float step;        /* least difference of a steep pixel */
  int rows, columns; /* spread: half widths beyond which at most 0.0005 of the PSF lies, in any channel */
} dcv_highlight;

dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white);

/* Pixels around a pixel that decide about it: 3 spread + 5; 0 without a clipping level. */
int dcv_highlight_reach(const dcv_highlight *highlight);

/* Marks the reached pixels of the width x height ones at the planes' origin as unknown (NaN). Returns whether there are any; if so, `weight` becomes the share of
 * the input in the result: 1 where reached, falling to 0 within 4 px. weight, scratch: fft->plane floats each. */
bool dcv_highlight_hide(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *weight,
                        float *scratch);

/* x <- weight y + (1 - weight) x where y, channel c of the picture from (x0, y0) on, is finite. */
void dcv_highlight_fade(const dcv_fft *fft, const float *weight, const dcv_image *y, int x0, int y0, int c, int width, int height, float *x);

#endif
