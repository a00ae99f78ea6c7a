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

uint64_t dcv_cl_bytes(const dcv_job *job, const dcv_tiling *tiling, bool handed_in)
{
  (void)job, (void)tiling, (void)handed_in;
  return 0;
}

dcv_status dcv_cl_create(dcv_cl **cl, const dcv_job *job, const dcv_tiling *tiling, const dcv_cl_target *target)
{
  (void)job, (void)tiling, (void)target;
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

dcv_status dcv_cl_copy(dcv_cl *cl, void *from, void *to)
{
  (void)cl, (void)from, (void)to;
  return DCV_ERROR_BACKEND;
}

void dcv_cl_release_all(void)
{
}
