/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * absent: cl.h in a library built without OpenCL. No plan for a device comes about.
 */
#include "cl/cl.h"

const char *dcv_cl_message(void)
{
  return "this library was built without OpenCL";
}

dcv_status dcv_cl_refused(const char *reason)
{
  (void)reason;
  return DCV_ERROR_BACKEND;
}

int dcv_cl_devices(dcv_device *list, int most)
{
  (void)list, (void)most;
  return 0;
}

dcv_status dcv_cl_too_small(uint64_t needed, uint64_t offered)
{
  (void)needed, (void)offered;
  return DCV_ERROR_MEMORY;
}

dcv_status dcv_cl_bandwidth(int device, double *bytes_per_second)
{
  (void)device, (void)bytes_per_second;
  return DCV_ERROR_BACKEND;
}

dcv_status dcv_cl_room(dcv_cl_target *target)
{
  (void)target;
  return DCV_ERROR_BACKEND;
}

uint64_t dcv_cl_bytes(const dcv_job *job, const dcv_tiling *tiling, bool handed_in, int batch)
{
  (void)job, (void)tiling, (void)handed_in, (void)batch;
  return 0;
}

int dcv_cl_batch(const dcv_job *job, const dcv_tiling *tiling, const dcv_cl_target *target, int wanted)
{
  (void)job, (void)tiling, (void)target, (void)wanted;
  return 1;
}

dcv_status dcv_cl_create(dcv_cl **cl, const dcv_job *job, const dcv_tiling *tiling, int batch, const dcv_cl_target *target)
{
  (void)job, (void)tiling, (void)batch, (void)target;
  *cl = NULL;
  return DCV_ERROR_BACKEND;
}

void dcv_cl_destroy(dcv_cl *cl)
{
  (void)cl;
}

dcv_status dcv_cl_run(dcv_cl *cl, const dcv_cl_pictures *pictures, const dcv_callbacks *callbacks, dcv_result *result)
{
  (void)cl, (void)pictures, (void)callbacks, (void)result;
  return DCV_ERROR_BACKEND;
}

void dcv_cl_time_stages(dcv_cl *cl, bool timing)
{
  (void)cl, (void)timing;
}

int dcv_cl_stages(const dcv_cl *cl, dcv_stage *list, int most)
{
  (void)cl, (void)list, (void)most;
  return 0;
}

dcv_status dcv_cl_copy(dcv_cl *cl, void *from, void *to)
{
  (void)cl, (void)from, (void)to;
  return DCV_ERROR_BACKEND;
}

dcv_status dcv_cl_blind_open(dcv_blind_device **device, int number, const dcv_blind_level *level)
{
  (void)number, (void)level;
  *device = NULL;
  return DCV_ERROR_BACKEND;
}

void *dcv_cl_cache_export(size_t *bytes)
{
  *bytes = 0;
  return NULL;
}

dcv_status dcv_cl_cache_import(const void *data, size_t bytes)
{
  (void)data, (void)bytes;
  return DCV_ERROR_BACKEND;
}

void dcv_cl_release_all(void)
{
}
