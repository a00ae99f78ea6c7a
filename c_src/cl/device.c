/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cl/device.h"

#include "cl/cache.h"
#include "cl/cl.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES = 32, PLATFORMS = 16, PROGRAMS = 8, TRANSFORMS = 16 };

/* What makes a kept thing fit. A context is alive as long as what was made in it. */
typedef struct kept_for {
  cl_context context;
  cl_device_id id;
  int width, height, planes;
} kept_for;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the three tables; the next places to give up */
static struct {
  cl_device_id id;
  cl_context context;
} contexts[DEVICES];
static struct {
  kept_for key;
  cl_program program;
} programs[PROGRAMS];
static struct {
  kept_for key;
  dcv_cl_fft *fft;
} transforms[TRANSFORMS];
static int next_program, next_transform;

static long calls, fail_at;
static _Thread_local char message[512];

/* ---- failures ---- */

const char *dcv_cl_message(void)
{
  return message;
}

void dcv_cl_fail_at(long n)
{
  __atomic_store_n(&fail_at, n > 0 ? n : 0, __ATOMIC_SEQ_CST);
}

long dcv_cl_count(void)
{
  return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}

bool dcv_cl_injected(void)
{
  __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  return __atomic_load_n(&fail_at, __ATOMIC_SEQ_CST) > 0 && __atomic_sub_fetch(&fail_at, 1, __ATOMIC_SEQ_CST) == 0;
}

dcv_status dcv_cl_failed(const char *call, int code)
{
  snprintf(message, sizeof(message), "%.*s failed with OpenCL error %d", (int)strcspn(call, "("), call, code);
  const bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE;
  return memory ? DCV_ERROR_MEMORY : DCV_ERROR_BACKEND;
}

dcv_status dcv_cl_refused(const char *reason)
{
  snprintf(message, sizeof(message), "%s", reason);
  return DCV_ERROR_BACKEND;
}

dcv_status dcv_cl_too_small(uint64_t needed, uint64_t offered)
{
  snprintf(message, sizeof(message), "%llu MB of device memory needed, %llu offered", (unsigned long long)((needed + 0xfffff) >> 20), (unsigned long long)(offered >> 20));
  return DCV_ERROR_MEMORY;
}

static bool same(const kept_for *a, const kept_for *b)
{
  return a->context == b->context && a->id == b->id && a->width == b->width && a->height == b->height && a->planes == b->planes;
}

/* ---- devices ---- */

/* All devices that are there, in the order of their platforms. */
static int list_devices(cl_device_id *ids)
{
  cl_platform_id platforms[PLATFORMS];
  cl_uint count = 0, found;
  if(!dcv_opencl_load() || clGetPlatformIDs(PLATFORMS, platforms, &count) != CL_SUCCESS) return 0;
  int devices = 0;
  for(cl_uint p = 0; p < DCV_MIN(count, (cl_uint)PLATFORMS) && devices < DEVICES; p++)
    if(clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, (cl_uint)(DEVICES - devices), ids + devices, &found) == CL_SUCCESS)
      devices += DCV_MIN((int)found, DEVICES - devices);
  return devices;
}

int dcv_cl_devices(dcv_device *list, int most)
{
  cl_device_id ids[DEVICES];
  const int count = list_devices(ids);
  for(int i = 0; list && i < DCV_MIN(count, most); i++)
  {
    dcv_device *const device = list + i;
    memset(device, 0, sizeof(*device));
    cl_platform_id platform;
    cl_device_type type = 0;
    cl_ulong memory = 0, largest = 0;
    cl_uint units = 0;
    clGetDeviceInfo(ids[i], CL_DEVICE_NAME, sizeof(device->name) - 1, device->name, NULL);
    clGetDeviceInfo(ids[i], CL_DRIVER_VERSION, sizeof(device->driver) - 1, device->driver, NULL);
    if(clGetDeviceInfo(ids[i], CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL) == CL_SUCCESS)
      clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof(device->platform) - 1, device->platform, NULL);
    clGetDeviceInfo(ids[i], CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    clGetDeviceInfo(ids[i], CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL);
    clGetDeviceInfo(ids[i], CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest), &largest, NULL);
    clGetDeviceInfo(ids[i], CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    device->memory = memory, device->largest = largest, device->units = (int32_t)units, device->gpu = (type & CL_DEVICE_TYPE_GPU) != 0;
  }
  return count;
}

/* Device number `index`. */
static dcv_status find_device(int index, cl_device_id *id)
{
  cl_device_id ids[DEVICES];
  if(!dcv_opencl_load()) return dcv_cl_refused("no OpenCL library on this system");
  const int count = list_devices(ids);
  if(count == 0) return dcv_cl_refused("no OpenCL device on this system");
  if(index >= count) return dcv_cl_refused("no OpenCL device of this number");
  *id = ids[index];
  return DCV_OK;
}

dcv_status dcv_cl_room(dcv_cl_target *target)
{
  cl_device_id id = target->id;
  cl_ulong memory, largest;
  cl_device_type type;
  if(!dcv_opencl_load()) return dcv_cl_refused("no OpenCL library on this system");
  if(!target->context) DCV_TRY(find_device(target->device, &id));
  DCV_CL_TRY(clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL));
  DCV_CL_TRY(clGetDeviceInfo(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(largest), &largest, NULL));
  DCV_CL_TRY(clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL));
  target->processor = (type & CL_DEVICE_TYPE_CPU) != 0;
  target->memory = memory / 10 * 9, target->largest = largest; /* others use it too */
  return DCV_OK;
}

static dcv_status context_of(cl_device_id id, cl_context *context)
{
  for(int i = 0; i < DEVICES; i++)
  {
    if(contexts[i].id == NULL)
    {
      DCV_CL_MAKE(*context, clCreateContext(NULL, 1, &id, NULL, NULL, &error_));
      contexts[i].id = id, contexts[i].context = *context;
      return DCV_OK;
    }
    if(contexts[i].id == id)
    {
      *context = contexts[i].context;
      return DCV_OK;
    }
  }
  return dcv_cl_refused("too many OpenCL devices");
}

dcv_status dcv_cl_open(int index, cl_context *context, cl_device_id *id)
{
  DCV_TRY(find_device(index, id));
  pthread_mutex_lock(&lock);
  const dcv_status status = context_of(*id, context);
  pthread_mutex_unlock(&lock);
  return status;
}

/* ---- bandwidth ---- */

static dcv_status time_copies(cl_command_queue queue, cl_mem from, cl_mem to, size_t bytes, double *bytes_per_second)
{
  enum { ROUNDS = 5, COPIES = 4 };
  double least = INFINITY;
  const cl_int zero = 0;
  DCV_CL_TRY(clEnqueueFillBuffer(queue, from, &zero, sizeof(zero), 0, bytes, 0, NULL, NULL));
  for(int round = 0; round < ROUNDS; round++)
  {
    DCV_CL_TRY(clFinish(queue));
    const double begin = dcv_seconds();
    for(int i = 0; i < COPIES; i++) DCV_CL_TRY(clEnqueueCopyBuffer(queue, from, to, 0, 0, bytes, 0, NULL, NULL));
    DCV_CL_TRY(clFinish(queue));
    least = fmin(least, dcv_seconds() - begin);
  }
  *bytes_per_second = 2.0 * COPIES * (double)bytes / least;
  return DCV_OK;
}

dcv_status dcv_cl_bandwidth(int device, double *bytes_per_second)
{
  dcv_cl_target target = { .device = device };
  cl_context context;
  cl_device_id id;
  cl_command_queue queue = NULL;
  cl_mem memory[2] = { NULL, NULL };
  DCV_TRY(dcv_cl_room(&target));
  DCV_TRY(dcv_cl_open(device, &context, &id));
  const size_t bytes = (size_t)DCV_MIN(DCV_MIN(target.largest, target.memory / 4), (uint64_t)256 << 20) / 64 * 64; /* beyond any cache */
  cl_int code = CL_SUCCESS;
  queue = clCreateCommandQueue(context, id, 0, &code);
  for(int i = 0; i < 2 && code == CL_SUCCESS; i++) memory[i] = clCreateBuffer(context, CL_MEM_READ_WRITE, bytes, NULL, &code);
  const dcv_status status = code == CL_SUCCESS ? time_copies(queue, memory[0], memory[1], bytes, bytes_per_second) : dcv_cl_failed("clCreateBuffer", code);
  for(int i = 0; i < 2; i++)
    if(memory[i]) clReleaseMemObject(memory[i]);
  if(queue) clReleaseCommandQueue(queue);
  return status;
}

/* ---- kernels ---- */

static _Thread_local dcv_cl_tally tally;

dcv_cl_tally *dcv_cl_tally_here(void)
{
  return &tally;
}

static dcv_status build(cl_program program, cl_device_id id, const char *options)
{
  const cl_int code = dcv_cl_injected() ? CL_OUT_OF_RESOURCES : clBuildProgram(program, 1, &id, options, NULL, NULL);
  if(code == CL_SUCCESS) return DCV_OK;
  const dcv_status status = dcv_cl_failed("clBuildProgram", code);
  const size_t length = strlen(message);
  char log[256] = "";
  if(clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, sizeof(log) - 1, log, NULL) == CL_SUCCESS)
    snprintf(message + length, sizeof(message) - length, ": %s", log);
  return status;
}

/* Everything that compiled bytes depend on: device, drivers, options, source. */
static uint64_t key_of(cl_device_id id, unsigned strings, const char *const *source, const char *options)
{
  static const cl_device_info of_device[] = { CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION, CL_DRIVER_VERSION };
  uint64_t hash = dcv_cl_hash(DCV_CL_HASH, options, strlen(options) + 1);
  char text[256];
  size_t length;
  for(int i = 0; i < (int)(sizeof(of_device) / sizeof(*of_device)); i++)
    if(clGetDeviceInfo(id, of_device[i], sizeof(text), text, &length) == CL_SUCCESS) hash = dcv_cl_hash(hash, text, length);
  cl_platform_id platform;
  if(clGetDeviceInfo(id, CL_DEVICE_PLATFORM, sizeof(platform), &platform, NULL) == CL_SUCCESS
     && clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof(text), text, &length) == CL_SUCCESS)
    hash = dcv_cl_hash(hash, text, length);
  for(unsigned i = 0; i < strings; i++) hash = dcv_cl_hash(hash, source[i], strlen(source[i]));
  return hash;
}

/* From kept bytes; NULL when there are none that work. */
static cl_program load_program(cl_context context, cl_device_id id, uint64_t key, const char *options)
{
  size_t bytes;
  unsigned char *const data = dcv_cl_cache_find(key, &bytes);
  if(!data) return NULL;
  cl_int code = CL_OUT_OF_RESOURCES;
  const unsigned char *const binary = data;
  cl_program program = dcv_cl_injected() ? NULL : clCreateProgramWithBinary(context, 1, &id, &bytes, (const unsigned char **)&binary, NULL, &code);
  free(data);
  if(program && (code != CL_SUCCESS || build(program, id, options) != DCV_OK))
  {
    clReleaseProgram(program);
    program = NULL;
  }
  if(program)
    tally.loaded++;
  else
    tally.refused++, dcv_cl_cache_forget(key);
  return program;
}

/* Keeps what the driver compiled; programs for several devices, or without bytes, are not kept. */
static void keep_program(cl_program program, uint64_t key)
{
  cl_uint devices = 0;
  size_t bytes = 0;
  if(clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof(devices), &devices, NULL) != CL_SUCCESS || devices != 1) return;
  if(clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof(bytes), &bytes, NULL) != CL_SUCCESS || bytes == 0) return;
  unsigned char *binary = malloc(bytes);
  if(binary && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof(binary), &binary, NULL) == CL_SUCCESS) dcv_cl_cache_keep(key, binary, bytes);
  free(binary);
}

dcv_status dcv_cl_compile(cl_context context, cl_device_id id, unsigned strings, const char *const *source, const char *options, cl_program *program)
{
  const uint64_t key = key_of(id, strings, source, options);
  *program = load_program(context, id, key, options);
  if(*program) return DCV_OK;
  DCV_CL_MAKE(*program, clCreateProgramWithSource(context, strings, (const char **)source, NULL, &error_));
  const dcv_status status = build(*program, id, options);
  if(status == DCV_OK)
    tally.compiled++, keep_program(*program, key);
  else
    clReleaseProgram(*program);
  return status;
}

static dcv_status make_program(cl_context context, cl_device_id id, int channels, cl_program *program)
{
  char options[] = "-cl-std=CL1.2 -DDCV_CHANNELS=0";
  options[sizeof(options) - 2] = (char)('0' + channels);
  return dcv_cl_compile(context, id, dcv_cl_source_lines, dcv_cl_source, options, program);
}

static dcv_status find_program(const kept_for *wanted, cl_program *program)
{
  for(int i = 0; i < PROGRAMS; i++)
    if(programs[i].program && same(&programs[i].key, wanted))
    {
      *program = programs[i].program;
      return DCV_OK;
    }
  DCV_TRY(make_program(wanted->context, wanted->id, wanted->planes, program));
  if(programs[next_program].program) clReleaseProgram(programs[next_program].program);
  programs[next_program].key = *wanted, programs[next_program].program = *program;
  next_program = (next_program + 1) % PROGRAMS;
  return DCV_OK;
}

dcv_status dcv_cl_program(cl_context context, cl_device_id id, int channels, cl_program *program)
{
  const kept_for wanted = { .context = context, .id = id, .planes = channels };
  pthread_mutex_lock(&lock);
  dcv_status status = find_program(&wanted, program);
  if(status == DCV_OK && clRetainProgram(*program) != CL_SUCCESS) status = dcv_cl_refused("clRetainProgram failed");
  pthread_mutex_unlock(&lock);
  return status;
}

/* ---- transforms ---- */

dcv_status dcv_cl_fft_take(cl_context context, cl_device_id id, int width, int height, int planes, dcv_cl_fft **fft)
{
  const kept_for wanted = { context, id, width, height, planes };
  *fft = NULL;
  if(dcv_cl_injected()) return dcv_cl_refused("VkFFT could not make a transform");
  pthread_mutex_lock(&lock);
  for(int i = 0; i < TRANSFORMS && !*fft; i++)
    if(transforms[i].fft && same(&transforms[i].key, &wanted)) *fft = transforms[i].fft, transforms[i].fft = NULL;
  pthread_mutex_unlock(&lock);
  if(!*fft) *fft = dcv_cl_fft_create(context, id, width, height, planes);
  return *fft ? DCV_OK : dcv_cl_refused("VkFFT could not make a transform");
}

void dcv_cl_fft_give(cl_context context, cl_device_id id, int width, int height, int planes, dcv_cl_fft *fft)
{
  if(!fft) return;
  pthread_mutex_lock(&lock);
  int place = 0;
  while(place < TRANSFORMS && transforms[place].fft) place++;
  dcv_cl_fft *evicted = NULL;
  if(place == TRANSFORMS) place = next_transform, next_transform = (next_transform + 1) % TRANSFORMS, evicted = transforms[place].fft;
  transforms[place].key = (kept_for){ context, id, width, height, planes }, transforms[place].fft = fft;
  pthread_mutex_unlock(&lock);
  dcv_cl_fft_destroy(evicted);
}

void dcv_cl_release_all(void)
{
  pthread_mutex_lock(&lock);
  for(int i = 0; i < TRANSFORMS; i++) dcv_cl_fft_destroy(transforms[i].fft), transforms[i].fft = NULL;
  for(int i = 0; i < PROGRAMS; i++)
    if(programs[i].program) clReleaseProgram(programs[i].program), programs[i].program = NULL;
  for(int i = 0; i < DEVICES; i++)
    if(contexts[i].id) clReleaseContext(contexts[i].context), contexts[i].id = NULL;
  pthread_mutex_unlock(&lock);
}

dcv_status dcv_cl_launch(cl_command_queue queue, cl_kernel kernel, int dimensions, int width, int height, int depth, const dcv_cl_argument *arguments,
                         int count)
{
  for(int i = 0; i < count; i++) DCV_CL_TRY(clSetKernelArg(kernel, (cl_uint)i, arguments[i].size, arguments[i].value));
  const size_t size[3] = { ((size_t)width + 31) / 32 * 32, ((size_t)height + 3) / 4 * 4, (size_t)depth };
  DCV_CL_TRY(clEnqueueNDRangeKernel(queue, kernel, (cl_uint)dimensions, NULL, size, NULL, 0, NULL, NULL));
  return DCV_OK;
}

dcv_status dcv_cl_transform(cl_command_queue queue, dcv_cl_fft *fft, bool inverse, cl_mem memory)
{
  const bool done = !dcv_cl_injected() && (inverse ? dcv_cl_fft_inverse : dcv_cl_fft_forward)(fft, queue, memory);
  return done ? DCV_OK : dcv_cl_failed("VkFFT", CL_OUT_OF_RESOURCES);
}
