/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VkFFT is a header that writes and compiles OpenCL code. Some of its habits are turned off here: it calls the OpenCL library by name (opencl.h directs that
 * elsewhere), prints what went wrong, and switches the locale of the whole process while it writes numbers; here the thread's own locale does that. It
 * compiles through dcv_cl_compile, which keeps programs; its own way to keep them (a string) is not used: it reads a byte beyond the memory it takes.
 */
#include "cl/device.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Instead of printf and setlocale. */
static inline int say_nothing(const char *format, ...)
{
  (void)format;
  return 0;
}

static inline char *keep_locale(int category, const char *name)
{
  (void)category, (void)name;
  return NULL;
}

/* Instead of clCreateProgramWithSource and clBuildProgram. */
static _Thread_local cl_device_id compiling_for;

static inline cl_program compiled(cl_context context, const char **source, cl_int *error)
{
  cl_program program = NULL;
  *error = dcv_cl_compile(context, compiling_for, 1, source, "", &program) == DCV_OK ? CL_SUCCESS : CL_BUILD_PROGRAM_FAILURE;
  return *error == CL_SUCCESS ? program : NULL;
}

#undef clCreateProgramWithSource
#undef clBuildProgram
#define clCreateProgramWithSource(context, count, source, lengths, error) compiled(context, source, error)
#define clBuildProgram(program, count, devices, options, notify, user) CL_SUCCESS
#define VKFFT_BACKEND 3
#define printf say_nothing
#define setlocale keep_locale
#include <vkFFT.h>
#undef printf
#undef setlocale

struct dcv_cl_fft {
  VkFFTApplication application;
  cl_context context;
  cl_device_id device;
  bool ready;
};

static VkFFTResult initialise(dcv_cl_fft *fft, int width, int height, int planes)
{
  const uint64_t columns = (uint64_t)width / 2 + 1;
  VkFFTConfiguration configuration = {
    .FFTdim = 2,
    .size = { (uint64_t)width, (uint64_t)height, 1 },
    .device = &fft->device,
    .context = &fft->context,
    .bufferStride = { columns, columns * (uint64_t)height, columns * (uint64_t)height },
    .numberBatches = (uint64_t)planes,
    .performR2C = 1,
    .useLUT = 1, /* sines from tables: the device's own may be coarse */
  };
  return initializeVkFFT(&fft->application, configuration);
}

dcv_cl_fft *dcv_cl_fft_create(cl_context context, cl_device_id device, int width, int height, int planes)
{
  dcv_cl_fft *fft = dcv_alloc(sizeof(*fft));
  if(!fft) return NULL;
  memset(fft, 0, sizeof(*fft));
  fft->context = context, fft->device = device;
  compiling_for = device;
  const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if(plain != (locale_t)0)
  {
    const locale_t own = uselocale(plain);
    fft->ready = initialise(fft, width, height, planes) == VKFFT_SUCCESS;
    uselocale(own);
    freelocale(plain);
  }
  if(fft->ready) return fft;
  dcv_cl_fft_destroy(fft); /* a failed initialisation has cleared the application */
  return NULL;
}

void dcv_cl_fft_destroy(dcv_cl_fft *fft)
{
  if(!fft) return;
  if(fft->ready) deleteVkFFT(&fft->application);
  dcv_release(fft);
}

static bool append(dcv_cl_fft *fft, int direction, cl_command_queue queue, cl_mem data)
{
  VkFFTLaunchParams launch = { .commandQueue = &queue, .buffer = &data };
  return VkFFTAppend(&fft->application, direction, &launch) == VKFFT_SUCCESS;
}

bool dcv_cl_fft_forward(dcv_cl_fft *fft, cl_command_queue queue, cl_mem data)
{
  return append(fft, -1, queue, data);
}

bool dcv_cl_fft_inverse(dcv_cl_fft *fft, cl_command_queue queue, cl_mem data)
{
  return append(fft, 1, queue, data);
}

uint64_t dcv_cl_fft_bytes(int width, int height, int planes)
{
  return 8 * ((uint64_t)width / 2 + 1) * (uint64_t)height * (uint64_t)planes + 64 * ((uint64_t)width + (uint64_t)height);
}
