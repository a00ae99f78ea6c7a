/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/base.h"

#include <stdlib.h>
#include <time.h>

static long allocations, fail_at;

void dcv_alloc_fail_at(long n)
{
  __atomic_store_n(&fail_at, n > 0 ? n : 0, __ATOMIC_SEQ_CST);
}

long dcv_alloc_count(void)
{
  return __atomic_load_n(&allocations, __ATOMIC_SEQ_CST);
}

void *dcv_alloc(size_t bytes)
{
  __atomic_add_fetch(&allocations, 1, __ATOMIC_SEQ_CST);
  if(__atomic_load_n(&fail_at, __ATOMIC_SEQ_CST) > 0 && __atomic_sub_fetch(&fail_at, 1, __ATOMIC_SEQ_CST) == 0) return NULL;
  if(bytes == 0 || bytes > SIZE_MAX - DCV_ALIGN) return NULL;
  return aligned_alloc(DCV_ALIGN, (bytes + DCV_ALIGN - 1) / DCV_ALIGN * DCV_ALIGN);
}

float *dcv_alloc_floats(size_t count)
{
  return count > SIZE_MAX / sizeof(float) ? NULL : dcv_alloc(count * sizeof(float));
}

void dcv_release(void *memory)
{
  free(memory);
}

void dcv_free(void *memory)
{
  free(memory);
}

double dcv_seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void dcv_log(const dcv_callbacks *cb, dcv_log_level level, const char *message)
{
  if(cb && cb->log) cb->log(cb->user, level, message);
}

int dcv_max_threads(void)
{
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

int dcv_threads(int wanted)
{
  const int most = dcv_max_threads();
#if defined(_OPENMP)
  return wanted > 0 ? wanted : most;
#else
  (void)wanted;
  return most;
#endif
}

dcv_status dcv_image_check(const dcv_image *image, int channels)
{
  if(!image || !image->data) return DCV_ERROR_ARGUMENT;
  if(image->width < 1 || image->height < 1 || image->width > DCV_SIDE_MAX || image->height > DCV_SIDE_MAX) return DCV_ERROR_SIZE;
  if(image->pixel_stride < channels || image->row_stride < (ptrdiff_t)image->width * image->pixel_stride) return DCV_ERROR_SIZE;
  return DCV_OK;
}

const char *dcv_status_string(dcv_status status)
{
  switch(status)
  {
    case DCV_OK: return "success";
    case DCV_ERROR_ARGUMENT: return "an argument is missing or out of its range";
    case DCV_ERROR_SIZE: return "the size or the strides of a picture are not usable, or differ from the plan's";
    case DCV_ERROR_PSF: return "not a PSF: its size must be odd, its values finite and not negative, its sum positive";
    case DCV_ERROR_MEMORY: return "not enough memory";
    case DCV_ERROR_CANCELLED: return "cancelled";
    case DCV_ERROR_FFT: return "FFTW could not plan a transform";
    case DCV_ERROR_STRUCT: return "struct_size is not set or belongs to a newer library";
    case DCV_ERROR_UNRESOLVED: return "an automatic parameter has not been resolved on a picture";
    case DCV_ERROR_DATA: return "the picture has no finite pixel to work from";
    case DCV_ERROR_BACKEND: return "OpenCL cannot do it here";
    case DCV_STATUS_COUNT: break;
  }
  return "unknown status";
}
