/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fft_vkfft: two-dimensional real transforms of several planes at once on an OpenCL device, in place, unnormalised. The .c file is the only one that
 * knows VkFFT.
 *
 * Planes follow one another; the layout of each is that of maths/fft.h but for its stride, which is 2 * columns.
 */
#ifndef DCV_CL_FFT_VKFFT_H
#define DCV_CL_FFT_VKFFT_H

#include "cl/opencl.h"

typedef struct dcv_cl_fft dcv_cl_fft;

/* NULL on failure. Generates and compiles code: fractions of a second to seconds. */
dcv_cl_fft *dcv_cl_fft_create(cl_context context, cl_device_id device, int width, int height, int planes);
void dcv_cl_fft_destroy(dcv_cl_fft *fft);

/* Enqueues a transform of the planes in `data`; false on failure. One thread at a time. */
bool dcv_cl_fft_forward(dcv_cl_fft *fft, cl_command_queue queue, cl_mem data);
bool dcv_cl_fft_inverse(dcv_cl_fft *fft, cl_command_queue queue, cl_mem data);

/* Bytes of device memory a transform may hold beside the data: a copy of it (long columns are done in two steps) and tables. */
uint64_t dcv_cl_fft_bytes(int width, int height, int planes);

#endif
