/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * scene: pictures for the benchmark: a synthetic one of any size, or a file (PPM of 8 or 16 bits, PFM), and its blurred, noisy version.
 */
#ifndef DCV_BENCH_SCENE_H
#define DCV_BENCH_SCENE_H

#include "dcv.h"

#define SCENE_STRIDE 4 /* floats a pixel */

typedef enum blur_kind { BLUR_GAUSSIAN, BLUR_DISK, BLUR_MOTION, BLUR_SHAKE, BLUR_COUNT } blur_kind;

/* Data NULL when there is not enough memory. Free with image_clear. */
dcv_image image_make(int width, int height);
void image_clear(dcv_image *image);

/* Patches with hard edges, a smooth gradient and a fine texture, values 0.02 to 0.98. The same for any thread count. */
void scene_draw(dcv_image *image);

/* Fills psf->data (one plane, psf->size wide) with a blur that uses the size. */
dcv_status scene_psf(dcv_psf *psf, blur_kind kind);

/* out = in * psf + noise of standard deviation sigma; `in` is larger than `out` by psf->size / 2 on each side. */
void scene_blur(const dcv_image *in, const dcv_psf *psf, float sigma, dcv_image *out);

/* PSNR in dB of three channels, white = 1, without a frame of `border` pixels. NaN where a value is not finite. b is displaced by
 * (offset, offset) with respect to a. */
double scene_psnr(const dcv_image *a, const dcv_image *b, int offset, int border);

/* NULL, or what is wrong with the file. */
const char *scene_read(const char *path, dcv_image *image);

#endif
