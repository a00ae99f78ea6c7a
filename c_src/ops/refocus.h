/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * refocus: where in a picture the PSF explains the blur. (Restoring only there: dcv_refocus_prepare and dcv_refocus_blend, dcv.h.)
 *
 * A sharp part of a picture has energy at frequencies that the PSF would have removed. The luminance is split into bands of three octaves and six
 * orientations (even kernels of finite support), and the local mean energies E_r of the bands of one orientation are compared with what a piece of picture
 * would give there, s p_r + n_r: n_r is the noise of the band, s >= 0 any contrast, and p one of a few profiles, an edge (power 1 / f^2 along a line) at
 * several angles or a texture (1 / f), as it is (hypothesis "sharp") or times |K|^2 ("blurred"). With the likelihood of energies of Gaussian values
 *
 *     l(p) = max over s of  -NU / 2 sum_r (E_r / v_r + log v_r),   v_r = s p_r + n_r
 *
 * the evidence is e = sum over orientations of (max l(blurred profiles) - max l(sharp profiles)), held between -CAP and CAP: 0 in flat parts, positive where
 * k explains the picture better. (The local likelihood of Chakrabarti, Zickler and Freeman, "Analyzing spatially-varying blur", CVPR 2010, with profiles in
 * place of single frequencies.) Parts without evidence of their own follow their surroundings: with boxes B_i of radius 2, 4, 8 .. applied one after another,
 *
 *     t = sum_i GROWTH^i B_i e / sum_i GROWTH^i (B_i |e| + DOUBT),     map = smoothstep(t / FULL)
 */
#ifndef DCV_REFOCUS_H
#define DCV_REFOCUS_H

#include "maths/fft.h"

enum { DCV_REFOCUS_SIDE = 32, DCV_REFOCUS_OCTAVES = 3, DCV_REFOCUS_ORIENTATIONS = 6, DCV_REFOCUS_PROFILES = 6 };

/* kernels[orientation][octave][row][column], even about SIDE / 2, sum 0: inverse transforms of cos^8(angle to the orientation) cos(pi / 2 log2(f / centre))
 * within an octave of the centre, times cos^2 windows. */
typedef float dcv_refocus_kernels[DCV_REFOCUS_ORIENTATIONS][DCV_REFOCUS_OCTAVES][DCV_REFOCUS_SIDE][DCV_REFOCUS_SIDE];
dcv_status dcv_refocus_make_kernels(dcv_refocus_kernels kernels);

/* profiles[sharp, blurred][orientation][edges at five angles, texture][octave], the largest of each 1; |K|^2 is the mean over the PSF's channels. */
typedef double dcv_refocus_profiles[2][DCV_REFOCUS_ORIENTATIONS][DCV_REFOCUS_PROFILES][DCV_REFOCUS_OCTAVES];
void dcv_refocus_make_profiles(dcv_refocus_kernels kernels, const dcv_psf *psf, dcv_refocus_profiles profiles);

/* Radius of the two boxes that give the energies of each octave the footprint of the lowest. */
void dcv_refocus_footprint(dcv_refocus_kernels kernels, int radii[DCV_REFOCUS_OCTAVES]);

/* e of a picture, width x height floats. */
dcv_status dcv_refocus_evidence(const dcv_image *in, int channels, const dcv_psf *psf, float noise, int threads, const dcv_callbacks *callbacks, float *e);

/* map (first float of each pixel) from e, which is overwritten. */
dcv_status dcv_refocus_spread(float *e, int threads, dcv_image *map);

/* out <- map in + (1 - map) k * in, in the restored channels; mirrored at the frame; unknown pixels stay unknown. */
dcv_status dcv_refocus_reblur(const dcv_image *in, int channels, const dcv_psf *psf, const dcv_image *map, int threads, const dcv_callbacks *callbacks,
                              dcv_image *out);

#endif
