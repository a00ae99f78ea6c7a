/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * device: OpenCL devices, and what is worth keeping from plan to plan on them: contexts, compiled kernels, transforms (seconds to compile).
 */
#ifndef DCV_CL_DEVICE_H
#define DCV_CL_DEVICE_H

#include "cl/fft_vkfft.h"
#include "cl/opencl.h"

/* Keeps the sentence for dcv_cl_message and returns the status for an OpenCL error: MEMORY or BACKEND. `call` may go on with arguments. */
dcv_status dcv_cl_failed(const char *call, int code);

/* Whether a test wants this call to fail. */
bool dcv_cl_injected(void);

/* Return from the caller when a call fails; the second is for calls that return a handle and take &error_. */
#define DCV_CL_TRY(call)                                                      \
  do {                                                                        \
    const cl_int code_ = dcv_cl_injected() ? CL_OUT_OF_RESOURCES : (call);    \
    if(code_ != CL_SUCCESS) return dcv_cl_failed(#call, code_);               \
  } while(0)
#define DCV_CL_MAKE(handle, call)                                             \
  do {                                                                        \
    cl_int error_ = CL_OUT_OF_RESOURCES;                                      \
    (handle) = dcv_cl_injected() ? NULL : (call);                             \
    if(!(handle) || error_ != CL_SUCCESS) return dcv_cl_failed(#call, error_);\
  } while(0)

/* Device number `index` with a context of its own, which stays. */
dcv_status dcv_cl_open(int index, cl_context *context, cl_device_id *id);

/* Programs that this thread has made since it last set this to zero: from kept bytes, from source, and kept bytes that the driver refused. */
typedef struct dcv_cl_tally {
  int loaded, compiled, refused;
} dcv_cl_tally;
dcv_cl_tally *dcv_cl_tally_here(void);

/* A built program, from kept bytes (cache.h) if there are such; source: `strings` texts. On failure nothing is left of it. */
dcv_status dcv_cl_compile(cl_context context, cl_device_id id, unsigned strings, const char *const *source, const char *options, cl_program *program);

/* The kernels for so many channels; the caller releases it. */
dcv_status dcv_cl_program(cl_context context, cl_device_id id, int channels, cl_program *program);

/* A transform for the caller alone, kept from before or new; given back it is kept for the next one. */
dcv_status dcv_cl_fft_take(cl_context context, cl_device_id id, int width, int height, int planes, dcv_cl_fft **fft);
void dcv_cl_fft_give(cl_context context, cl_device_id id, int width, int height, int planes, dcv_cl_fft *fft);

typedef struct dcv_cl_argument {
  size_t size;
  const void *value;
} dcv_cl_argument;
#define ARG(x) { sizeof(x), &(x) }
#define ARGS(...) (const dcv_cl_argument[]){ __VA_ARGS__ }, (int)(sizeof((const dcv_cl_argument[]){ __VA_ARGS__ }) / sizeof(dcv_cl_argument))

/* Enqueues a kernel on at least width x height x depth work-items, in so many dimensions. */
dcv_status dcv_cl_launch(cl_command_queue queue, cl_kernel kernel, int dimensions, int width, int height, int depth, const dcv_cl_argument *arguments,
                         int count);

/* Enqueues a transform in place. */
dcv_status dcv_cl_transform(cl_command_queue queue, dcv_cl_fft *fft, bool inverse, cl_mem memory);

#endif
