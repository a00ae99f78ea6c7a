/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * highlight: lamps, light sources far above white, whose recorded values say next to nothing about them.
 *
 * Next to a clipped highlight of, say, twenty times white everything is light of the lamp, spread by the PSF. The few iterations of a restoration do not find
 * out how bright it was, and whatever they assume rings across the picture. So lamps are taken out before, channel by channel: Richardson and Lucy's iteration,
 * positive and multiplicative, piles the missing light up where a lamp is within ten steps or some tens. From x_0 = d = max(y, 0) + 3 sigma,
 * v = max(x_t + max(t - 1, 0) / (t + 2) (x_t - x_(t-1)), 0.1 sigma), t = 0, 1 ..,
 *
 *   x_(t+1) = max(v K* r / clamp(1 + 0.6 sigma c(v) / v, 1/2, 2), 0.1 sigma),   c(v) = D* (D v / max(|D v|, 5 sigma)),
 *   r = d / (K v) where d is known, max(d / (K v), 1) where clipped, 1 where unknown
 *
 * (Richardson 1972, Lucy 1974; a clipped value is a lower bound, an unknown one follows the model; total variation: Dey et al. 2006, as in solve/rl; steps carried
 * on: Nesterov 1983). What x - 3 sigma has above 0.9 white is the lamps' own layer s; K s leaves the data, clipped values become what the model says of the
 * rest, K x - K s, and what remains is a picture without lamps, restored like any other. s is added to the result, not above white.
 *
 * Lamps are few and small. Light is looked for in blocks, squares of 14 r + 48 pixels a side (r = n / 2 of the PSF, n x n; rounded up to 32): a middle, 2.5 times
 * the spread and 8 pixels more of data around, and a gap of twice the spread and 8 for what is not known. The middles tile the picture from its first pixel on, so
 * that tiles that see a block whole find the same in it; blocks count where something within twice the spread of what a lamp reaches lies in the middle.
 *
 * Not every lamp can be found in this way. Where the mean square of y - K x around clipped pixels is above sigma^2 + (0.01 white)^2, they are in doubt. After every
 * tenth step a block counts those in its middle, and ends when there are none, when they have become fewer by less than a tenth, or after 80 steps. Where there is
 * doubt left, the data give way to the model, too, which cannot ring, and the result fades into the input.
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
  float noise;       /* standard deviation */
  int rows, columns; /* spread: half widths beyond which at most 0.01 of the PSF lies, in any channel */
  int stride;        /* pixels between shifts d: ten to each side, up to twice the spread */
  float common[2 * DCV_HIGHLIGHT_SHIFTS + 1][2 * DCV_HIGHLIGHT_SHIFTS + 1]; /* m(d), the least of all channels, [SHIFTS][SHIFTS] without a shift */
} dcv_highlight;

/* noise: standard deviation. */
dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white, float noise);

/* Pixels around a pixel that decide about it, 0 without a clipping level: where the least value is looked for (2 spread + 2) or a shift, the lamp's extent
 * (4 spread), what it reaches (2.5 spread). What its light is made of, and where the result is held around, goes further, but little. */
int dcv_highlight_reach(const dcv_highlight *highlight);

/* Whether any of the width x height pixels at the planes' origin is clipped: without one, the functions below change nothing and need not be called. */
bool dcv_highlight_any(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height);

/* A lamp is a clipped pixel with one that belongs to a lamp within four times the spread; it reaches 2.5 times the spread. Whether any of the width x height pixels
 * at the planes' origin does; if so, reached <- 1 where one reaches, 0 elsewhere. reached, scratch: fft->plane floats each. */
bool dcv_highlight_find(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *reached,
                        float *scratch);

/* Side of a block for a PSF of that size, see above. */
int dcv_highlight_block(const dcv_psf *psf);

/* Data of a tile: pixel (x0, y0) of the picture is at the planes' origin. */
typedef struct dcv_highlight_place {
  int x0, y0, width, height;
} dcv_highlight_place;

/* Floats that serve as work of dcv_highlight_separate and as scratch of the other functions here. */
size_t dcv_highlight_floats(const dcv_fft *fft, const dcv_fft *block);

/* Takes the light of lamps out of a tile's channels y (NaN where unknown): y <- y - K s, K x - K s where clipped; rest <- K x - K s;
 * light <- s + kept (K s - s), kept the share of the blur left in the result. rest is NaN where no light was looked for, and clipped values of y stay there.
 * doubt <- 1 at clipped values that a lamp reaches where the mean square of y - K x is above sigma^2 + (0.01 white)^2, over the known pixels within the spread
 * both from there and from a clipped value. otfs: of the channels; block: of dcv_highlight_block pixels a side; work: dcv_highlight_floats. */
void dcv_highlight_separate(const dcv_highlight *highlight, const dcv_fft *fft, const float *const *otfs, const dcv_fft *block, const dcv_psf *psf,
                            const dcv_highlight_place *place, float kept, const float *reached, int channels, float *const *y, float *const *rest,
                            float *const *light, float *doubt, float *work);

/* Where the light of lamps is in doubt, within twice the spread of their pixels, the data give way to `rest`; doubt, of all channels, becomes the share of
 * the input in the result: 1 there, falling to 0 within 4 px. scratch: fft->plane floats. */
void dcv_highlight_doubtful(const dcv_highlight *highlight, const dcv_fft *fft, const float *reached, int channels, const float *const *rest,
                            float *const *planes, int width, int height, float *doubt, float *scratch);

/* x <- weight y + (1 - weight) (x + min(light, what x has left to max(white, y))) for channel c of the picture from (x0, y0) on; without weight where y is not
 * finite. */
void dcv_highlight_join(const dcv_highlight *highlight, const dcv_fft *fft, const float *weight, const float *light, const dcv_image *y, int x0, int y0, int c,
                        int width, int height, float *x);

/* Near clipped pixels, within 4 spread or within 5 spread of what a lamp reaches, holds the result in the range of the input within the spread: the little that
 * clipping hid where there is no lamp, and the iterations did not find, would ring there. Where the picture has structure narrower than the spread, restoring it
 * does leave that range: by up to four times what it rises there. With v = min(y, white), greatest and least within the spread,
 *
 *   x <= greatest(v) + 2 sigma + 4 max(p - 6 sigma, 0),  p = v - greatest(least(v)), the greatest within 2 px                   (unless greatest(v) = white)
 *
 * and the same for -x and -v. Where a lamp reaches (reached, or NULL) there is no telling such structure from its light: there x <= greatest(v) + sigma within
 * 2 px, and -x <= greatest(-v) + sigma. y: the picture, whose pixel (x0, y0) is at the planes' origin. Fades within 4 px. scratch:
 * 4 fft->plane floats. */
void dcv_highlight_hold(const dcv_highlight *highlight, const dcv_fft *fft, const dcv_image *y, int x0, int y0, int channels, int width, int height,
                        const float *reached, float *scratch, float *const *planes);

#endif
