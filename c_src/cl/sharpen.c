/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cl/cl.h"

#include "../opencl/dcv_shared.h"

#include "cl/device.h"
#include "maths/otf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { K_PLACE, K_MULTIPLY, K_EDGES, K_DIVIDE, K_COUNT };
static const char *const kernel_names[] = { "dcv_place", "dcv_multiply", "dcv_edges", "dcv_divide" };

/* Device memory: x twice, an iteration reads one and writes the other; b = conj(K) Y. */
enum { X0, X1, FILLED, DATA, OTF, B, PSF, POWER, M_COUNT };

typedef struct sharpener {
  dcv_blind_device face; /* first: callers hold a pointer to it */
  pthread_mutex_t lock;  /* one thread at a time */
  dcv_cl_tile tile;
  cl_context context;
  cl_device_id id;
  cl_command_queue queue;
  cl_kernel kernels[K_COUNT];
  cl_mem memory[M_COUNT];
  dcv_cl_fft *fft;
} sharpener;

/* `rows` rows of a plane between the host, where rows are `stride` floats apart, and the device. */
static dcv_status move_rows(sharpener *s, int which, float *host, size_t stride, bool up)
{
  const size_t origin[3] = { 0, 0, 0 }, region[3] = { sizeof(float) * s->tile.stride, (size_t)s->tile.height, 1 };
  const size_t there = region[0], here = sizeof(float) * stride;
  if(up)
    DCV_CL_TRY(clEnqueueWriteBufferRect(s->queue, s->memory[which], CL_TRUE, origin, origin, region, there, 0, here, 0, host, 0, NULL, NULL));
  else
    DCV_CL_TRY(clEnqueueReadBufferRect(s->queue, s->memory[which], CL_TRUE, origin, origin, region, there, 0, here, 0, host, 0, NULL, NULL));
  return DCV_OK;
}

#define LAUNCH(s, k, width, height, ...) DCV_TRY(dcv_cl_launch((s)->queue, (s)->kernels[k], 2, width, height, 1, ARGS(__VA_ARGS__)))

static dcv_status transform(sharpener *s, bool inverse, int which)
{
  return dcv_cl_transform(s->queue, s->fft, inverse, s->memory[which]);
}

/* The formulas of solve/blind.c, step 1. */
static dcv_status run(sharpener *s, const dcv_blind_level *level, const float *k, int n, float lam, float beta_max, float *x)
{
  const dcv_cl_tile t = s->tile;
  cl_mem *const m = s->memory;
  const size_t plane = sizeof(float) * t.plane;
  const cl_int zero = 0;
  const int correlate = 1, next = 0, turned = 0;
  const float whole = 1.0f;
  int from = 0;
  if(s->face.stale)
  {
    DCV_TRY(move_rows(s, FILLED, level->filled, level->fft.stride, true));
    DCV_TRY(move_rows(s, DATA, level->Y, level->fft.stride, true));
    s->face.stale = false;
  }
  DCV_CL_TRY(clEnqueueWriteBuffer(s->queue, m[PSF], CL_TRUE, 0, sizeof(float) * n * n, k, 0, NULL, NULL));
  DCV_CL_TRY(clEnqueueFillBuffer(s->queue, m[OTF], &zero, sizeof(zero), 0, plane, 0, NULL, NULL));
  LAUNCH(s, K_PLACE, n, n, ARG(t), ARG(n), ARG(m[PSF]), ARG(m[OTF]));
  DCV_TRY(transform(s, false, OTF));
  LAUNCH(s, K_MULTIPLY, t.columns, t.height, ARG(t), ARG(correlate), ARG(whole), ARG(next), ARG(m[OTF]), ARG(m[DATA]), ARG(m[B]));
  DCV_CL_TRY(clEnqueueCopyBuffer(s->queue, m[FILLED], m[X0], 0, 0, plane, 0, NULL, NULL));
  for(float beta = 2.0f * lam; beta < beta_max; beta *= 2.0f, from = 1 - from)
  {
    const int to = 1 - from;
    const float least = lam / beta;
    LAUNCH(s, K_EDGES, t.width, t.height, ARG(t), ARG(least), ARG(m[X0 + from]), ARG(m[X0 + to]));
    DCV_TRY(transform(s, false, X0 + to));
    LAUNCH(s, K_DIVIDE, t.columns, t.height, ARG(t), ARG(turned), ARG(beta), ARG(next), ARG(m[OTF]), ARG(m[POWER]), ARG(m[B]), ARG(m[X0 + to]));
    DCV_TRY(transform(s, true, X0 + to));
  }
  return move_rows(s, X0 + from, x, level->fft.stride, false);
}

static bool sharpen(dcv_blind_device *device, const dcv_blind_level *level, const float *k, int n, float lam, float beta_max, float *x)
{
  sharpener *const s = (sharpener *)device;
  pthread_mutex_lock(&s->lock);
  if(!device->failed && run(s, level, k, n, lam, beta_max, x) != DCV_OK)
  {
    device->failed = true;
    snprintf(device->failure, sizeof(device->failure), "%s", dcv_cl_message());
  }
  const bool done = !device->failed;
  pthread_mutex_unlock(&s->lock);
  return done;
}

static void destroy(dcv_blind_device *device)
{
  sharpener *const s = (sharpener *)device;
  if(s->queue) clFinish(s->queue);
  dcv_cl_fft_give(s->context, s->id, s->tile.width, s->tile.height, 1, s->fft);
  for(int i = 0; i < K_COUNT; i++)
    if(s->kernels[i]) clReleaseKernel(s->kernels[i]);
  for(int i = 0; i < M_COUNT; i++)
    if(s->memory[i]) clReleaseMemObject(s->memory[i]);
  if(s->queue) clReleaseCommandQueue(s->queue);
  pthread_mutex_destroy(&s->lock);
  dcv_release(s);
}

static size_t bytes_of(const sharpener *s, int which)
{
  const size_t values = which == PSF ? DCV_BLIND_VALUES : which == POWER ? (size_t)s->tile.columns + s->tile.height : (size_t)s->tile.plane;
  return sizeof(float) * values;
}

/* |D|^2 along the rows, then along the columns. x: a plane of host memory, lost. */
static dcv_status write_power(sharpener *s, float *x)
{
  dcv_otf_difference(s->tile.width, s->tile.columns, x);
  dcv_otf_difference(s->tile.height, s->tile.height, x + s->tile.columns);
  DCV_CL_TRY(clEnqueueWriteBuffer(s->queue, s->memory[POWER], CL_TRUE, 0, bytes_of(s, POWER), x, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status set_up(sharpener *s, int number, float *scratch)
{
  DCV_TRY(dcv_cl_open(number, &s->context, &s->id));
  DCV_CL_MAKE(s->queue, clCreateCommandQueue(s->context, s->id, 0, &error_));
  cl_program program;
  DCV_TRY(dcv_cl_program(s->context, s->id, 1, &program));
  dcv_status status = DCV_OK;
  for(int i = 0; i < K_COUNT && status == DCV_OK; i++)
  {
    cl_int code = CL_OUT_OF_RESOURCES;
    s->kernels[i] = dcv_cl_injected() ? NULL : clCreateKernel(program, kernel_names[i], &code);
    if(code != CL_SUCCESS) status = dcv_cl_failed("clCreateKernel", code);
  }
  clReleaseProgram(program);
  DCV_TRY(status);
  DCV_TRY(dcv_cl_fft_take(s->context, s->id, s->tile.width, s->tile.height, 1, &s->fft));
  for(int i = 0; i < M_COUNT; i++) DCV_CL_MAKE(s->memory[i], clCreateBuffer(s->context, CL_MEM_READ_WRITE, bytes_of(s, i), NULL, &error_));
  return write_power(s, scratch);
}

dcv_status dcv_cl_blind_open(dcv_blind_device **device, int number, const dcv_blind_level *level)
{
  *device = NULL;
  sharpener *const s = dcv_alloc(sizeof(*s));
  if(!s) return DCV_ERROR_MEMORY;
  memset(s, 0, sizeof(*s));
  pthread_mutex_init(&s->lock, NULL);
  s->face = (dcv_blind_device){ .sharpen = sharpen, .destroy = destroy, .stale = true };
  const int width = level->fft.width, height = level->fft.height, columns = width / 2 + 1;
  s->tile = (dcv_cl_tile){ .width = width, .height = height, .columns = columns, .stride = 2 * columns, .plane = 2 * columns * height };
  const dcv_status status = set_up(s, number, level->Y);
  if(status == DCV_OK)
    *device = &s->face;
  else
    destroy(&s->face);
  return status;
}
