/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A PSF from a TIFF file: one or three interleaved channels of float or 16-bit integers, as the `dcv` command writes them.
 */
#ifndef DECONVOLUTION_PSF_FILE_H
#define DECONVOLUTION_PSF_FILE_H

/* Reads path into `channels` planes (1 or 3) of size x size floats. NULL, or what is wrong (one English sentence, static); then psf, which has
 * room for 3 * most * most floats, is undefined. Accepted: a square of odd side up to `most`. Values are not checked further. */
const char *psf_file_read(const char *path, int most, float *psf, int *size, int *channels);

#endif
