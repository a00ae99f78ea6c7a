/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fft: two-dimensional real transforms of one plane, in place, unnormalised. The backend (fft_fftw.c) is the only file that knows FFTW.
 *
 * A plane holds `height` rows of `stride` floats. In space the first `width` floats of a row are pixels; in frequency the first
 * 2 * (width / 2 + 1) floats are that many complex numbers (re, im). The stride is a whole number of cache lines and never a power of two.
 */
#ifndef DCV_FFT_H
#define DCV_FFT_H

#include "base/base.h"

typedef struct dcv_fft {
  int width, height;
  int columns; /* complex numbers in a row: width / 2 + 1 */
  int stride;  /* floats from row to row */
  size_t plane;/* floats in a plane */
  void *forward, *inverse;
} dcv_fft;

/* Smallest n' >= n (>= 1) of the short list 4, 5, 6, 8, 10, 12, 16, ..., 64, 80, 96, 128, 160, 192, 256, ...: rows fill whole vectors (375 px cost three
 * times as much a pixel as 384), and plans and wisdom are met again from picture to picture. */
int dcv_fft_fast_size(int n);

/* Fills the sizes only, for memory answers. */
void dcv_fft_layout(dcv_fft *fft, int width, int height);

/* planning: 0 estimate, 1 measure, 2 patient. FFT or MEMORY. Thread safe. */
dcv_status dcv_fft_init(dcv_fft *fft, int width, int height, int planning);
void dcv_fft_clear(dcv_fft *fft);

/* Thread safe on different data; data must be DCV_ALIGN-aligned. inverse(forward(a)) = width * height * a. */
void dcv_fft_forward(const dcv_fft *fft, float *data);
void dcv_fft_inverse(const dcv_fft *fft, float *data);

const char *dcv_fft_version(void);

#endif
