/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Linked into the module by test_process_cl.py, with dcv_plan_create_cl and dcv_plan_destroy wrapped: tells how many OpenCL calls each plan makes, and with
 * DCV_FAIL_STEP=s lets one fail in each plan, another one in the next: the first eight, from nothing compiled, then every s-th.
 */
#include "cl/cl.h"

#include <stdio.h>
#include <stdlib.h>

enum { FRESH = 8 };

dcv_status __real_dcv_plan_create_cl(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf, void *context, void *device, void *queue);
void __real_dcv_plan_destroy(dcv_plan *plan);

dcv_status __wrap_dcv_plan_create_cl(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf, void *context, void *device, void *queue)
{
  static long plans;
  const char *step = getenv("DCV_FAIL_STEP");
  const long n = !step ? 0 : plans < FRESH ? plans + 1 : FRESH + (plans - FRESH + 1) * atol(step);
  plans++;
  if(step && plans <= FRESH) dcv_devices_release();
  dcv_cl_fail_at(n);
  fprintf(stderr, "[inject] plan %ld: %ld calls before, call %ld fails\n", plans, dcv_cl_count(), n);
  return __real_dcv_plan_create_cl(plan, params, width, height, psf, context, device, queue);
}

void __wrap_dcv_plan_destroy(dcv_plan *plan)
{
  fprintf(stderr, "[inject] %ld calls so far\n", dcv_cl_count());
  dcv_cl_fail_at(0);
  __real_dcv_plan_destroy(plan);
}
