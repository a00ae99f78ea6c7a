/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Compact PSF for darktable's history: the used square only, 16 bits a value.
 *
 * Every history step, preset and style stores the whole parameter struct, so a PSF of 33 x 33 x 3 floats (13 kB) is kept as 6.5 kB of
 * integers, with zeros behind a smaller square (the XMP compresses them away). Each channel is scaled so that its peak is 65535:
 *
 *     code = round(65535 k / max k),   k' = code / sum code,   |k' - k| <= max k / 65535 roughly,
 *
 * far below what any photograph shows. The checksum makes damage visible: any bytes may be decoded, the answer is then DAMAGED.
 */
#ifndef DECONVOLUTION_PSF_CODEC_H
#define DECONVOLUTION_PSF_CODEC_H

#include <stdint.h>

#define PSF_CODEC_SIDE 33
#define PSF_CODEC_CHANNELS 3
#define PSF_CODEC_VALUES (PSF_CODEC_SIDE * PSF_CODEC_SIDE * PSF_CODEC_CHANNELS)

typedef enum psf_codec_t
{
  PSF_CODEC_OK = 0,
  PSF_CODEC_EMPTY = 1,  // no PSF stored: size and channels are 0
  PSF_CODEC_DAMAGED = 2 // size, channels, checksum or values cannot be right
} psf_codec_t;

/* psf: `channels` (1 or 3) planes of size x size floats, size odd, 1 to PSF_CODEC_SIDE. DAMAGED, with code and check untouched, for another
 * size or for planes that are not finite, not >= 0 or without a positive value. Values of code behind the used ones become 0. */
psf_codec_t psf_encode(const float *psf, int size, int channels, uint16_t code[PSF_CODEC_VALUES], uint32_t *check);

/* Fills psf (room for PSF_CODEC_VALUES floats), each channel with sum 1. psf is untouched unless OK. */
psf_codec_t psf_decode(const uint16_t code[PSF_CODEC_VALUES], int size, int channels, uint32_t check, float *psf);

#endif
