/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * refocus: where in a picture the PSF explains the blur. (Restoring only there: dcv_refocus_prepare and dcv_refocus_blend, dcv.h.)
 *
 * 1. Evidence. A sharp part of a picture has energy at frequencies that the PSF would have removed. The luminance, in units of the noise, passes bands of six
 * frequencies and six orientations, and three filters matched to the PSF: two that keep only what the blur removes, H LAM / (|K|^2 + LAM), and one that undoes
 * it and differentiates, H f |K| / (|K|^2 + LAM), with the high-pass H = f^2 / (f^2 + LOW^2). All kernels are even and of finite support. Their local mean
 * energies E, with n the noise that each lets through, and S and B what a picture of power 1 / f^2 along all directions would give sharp and
 * blurred, are the input of a small network, phi(u) = u / (1 + |u|), with the same weights for all orientations o (m: the matched filters):
 *
 *     x = log(E / n + 0.1) / 4,   g = log(B / S + 1e-4) / 4,   s = log(S / n) / 4 less that of the first band
 *     z = sum_o phi(W1 (x_o, g_o) + b1),   e = w3 . phi(W2 z + W4 (x_m, g_m, s_m) + b2) + b3,   held between -CAP and CAP
 *
 * e is the logarithm of the odds that the picture was blurred there, by logistic regression on composites of photographs (tools/train_refocus.py).
 *
 * 2. Map. Parts without evidence of their own follow their surroundings: the mean field of a segmentation into two kinds where neighbours attract each
 * other, with B_q a box of radius q. First the regions, where what is uncertain is left alone (doubt d > 0), then their borders (d < 0):
 *
 *     u = tanh(c_1 + DECAY c_2 + DECAY^2 c_3),  c_i = B_q c_(i-1) for q in FIRST,  c_0 = GAIN (e - d)
 *     u <- tanh(GAIN (e - d) + PULL B_q B_q u)  for (q, d) in ROUNDS
 *     map = smoothstep of (1 + B B u) / 2 between LEAST and MOST, B of radius SOFT
 *
 * where tanh v is taken as v (27 + v^2) / (27 + 9 v^2), v held between -3 and 3. The border had better lie within the blurred part: sharp pixels taken for
 * blurred ones ring, blurred ones left out only stay as they were.
 *
 * In a sample window the picture is known to have been blurred by this PSF. Then d > 0 may fall below its first value as long as the surroundings of the subject
 * look ever sharper for it, which they do not where the map grows into a background out of focus. Of the maps for d in TRUSTED, with 0 outside the
 * regions of map > 0 (joined at sides of pixels) that meet the window, the one where CHANGE d - mean e is largest, the mean over pixels farther than NEAR and
 * no farther than FAR from these regions, in rows or columns; those for other d than the first only where they cover COVERED of the window.
 *
 * 3. Subject, of whole pictures only. Parts of a background that a lens left out of focus may look as if blurred by the PSF, but seldom are they large beside the
 * subject. The map becomes 0 on every region whose sum is less than SHARE of the largest region's or SMALLEST of all pixels. With a window regions that do not
 * meet it go first, unless what would be left without a window comes to WHOLE of all pixels: a picture that is blurred nearly everywhere.
 *
 * Likelihoods of local energies: Chakrabarti, Zickler and Freeman, "Analyzing spatially-varying blur", CVPR 2010; shared weights and a sum over a set: Zaheer
 * et al., "Deep sets", NeurIPS 2017; mean field: Koller and Friedman, "Probabilistic graphical models", section 11.5.
 */
#ifndef DCV_REFOCUS_H
#define DCV_REFOCUS_H

#include "maths/fft.h"

enum { DCV_REFOCUS_SIDE = 32, DCV_REFOCUS_BANDS = 6, DCV_REFOCUS_ORIENTATIONS = 6, DCV_REFOCUS_MATCHED = 3 };
enum { DCV_REFOCUS_KERNELS = DCV_REFOCUS_ORIENTATIONS * DCV_REFOCUS_BANDS + DCV_REFOCUS_MATCHED };

/* The filters, even about side / 2, sum 0, and for each: sum of squares n, g, s, and radius of the two boxes that give its energies the common footprint. */
typedef struct dcv_refocus_bank {
  float *bands;   /* [orientation][band][32][32] */
  float *matched; /* [3][side][side] */
  int side;
  float noise[DCV_REFOCUS_KERNELS], g[DCV_REFOCUS_KERNELS], s[DCV_REFOCUS_KERNELS];
  int radii[DCV_REFOCUS_KERNELS];
} dcv_refocus_bank;

dcv_status dcv_refocus_bank_init(dcv_refocus_bank *bank, const dcv_psf *psf);
void dcv_refocus_bank_clear(dcv_refocus_bank *bank);

/* e of a picture, width x height floats. planning: as for dcv_fft_init. */
dcv_status dcv_refocus_evidence(const dcv_image *in, int channels, const dcv_psf *psf, float noise, int planning, int threads,
                                const dcv_callbacks *callbacks, float *e);

/* map (first float of each pixel) from e. window: x, y, width, height within the map, or NULL. */
dcv_status dcv_refocus_spread(const float *e, const int32_t *window, int threads, dcv_image *map);

/* map <- 0 on the lesser of its regions, and on those that do not meet the window. */
dcv_status dcv_refocus_drop(dcv_image *map, const int32_t *window);

/* Pixels around one that its map depends on before that, for a PSF of `size` pixels. */
int dcv_refocus_reach(int size);

/* out <- in + (1 - map) (k * z - in), in the restored channels, the map softened by two boxes of radius FADE: no hard edge at a border that is never quite
 * the true one. z is the picture where it is sharp, and a linear restoration of the first such picture, with
 * z = in, where it is not: conj(K) / (|K|^2 + noise^2 f^2 / POWER), windowed by cos^2 over side pixels, with sum 1. Mirrored at the frame; unknown pixels
 * stay unknown. */
dcv_status dcv_refocus_reblur(const dcv_image *in, int channels, const dcv_psf *psf, float noise, const dcv_image *map, int planning, int threads,
                              const dcv_callbacks *callbacks, dcv_image *out);

/* Pixels around one that this depends on. */
int dcv_refocus_reblur_reach(int size);

#endif
