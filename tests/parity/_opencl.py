# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoration with either backend, with the failures that tests ask for: a cffi extension against the static library, as in `_ops`."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tests.parity._build import extension, library

STRUCTS = """
typedef struct {
  int backend, device, solver, channels, width, height, tile, halo, iterations, psf_size, psf_channels, cancel_at, batch, device_memory;
  float noise, gradient, saturation, priority;
  long fail_at;
} cl_call;
typedef struct { int status, create_status, tiles, batch, asked, reports, falls, warnings; long calls; double progress; int64_t unknown, clipped; uint64_t bytes; const char *message; } cl_answer;
"""

DECLARATIONS = STRUCTS + """
void cl_restore(const cl_call *call, const float *in, float *out, const float *psf, cl_answer *answer);
void cl_restore_there(const cl_call *call, void *in, void *out, const float *psf, void *context, void *device, void *queue, cl_answer *answer);
int cl_estimate(int backend, long fail_at, int side, const float *in, int size, float *psf, cl_answer *answer);
int dcv_devices(void *list, int most);
void *dcv_devices_cache_export(size_t *bytes);
int dcv_devices_cache_import(const void *data, size_t bytes);
void dcv_free(void *memory);
void dcv_devices_release(void);
"""

SOURCE = """
#include "cl/cl.h"
#include "dcv.h"
""" + STRUCTS + """
typedef struct { int cancel_at; cl_answer *answer; } listener;

static int cancelled(void *user)
{
  const listener *l = user;
  return ++l->answer->asked == l->cancel_at;
}

static void progress(void *user, double fraction)
{
  cl_answer *answer = ((listener *)user)->answer;
  answer->reports++, answer->falls += fraction < answer->progress, answer->progress = fraction;
}

static void log_message(void *user, dcv_log_level level, const char *message)
{
  ((listener *)user)->answer->warnings += level == DCV_LOG_WARNING && message[0];
}

static dcv_params params_of(const cl_call *call)
{
  dcv_params params;
  dcv_params_init(&params);
  params.backend = call->backend, params.device = call->device, params.solver = call->solver, params.channels = call->channels;
  params.batch = call->batch, params.device_memory = call->device_memory;
  params.tile = call->tile, params.halo = call->halo, params.iterations = call->iterations;
  params.noise = call->noise, params.gradient = call->gradient, params.saturation = call->saturation;
  params.priority = call->priority;
  return params;
}

static void finish(dcv_plan *plan, int status, const dcv_result *result, long before, cl_answer *answer)
{
  dcv_plan_info info = { .struct_size = sizeof(info) };
  dcv_plan_describe(plan, &info);
  answer->status = status, answer->bytes = info.bytes, answer->tiles = info.tiles_x * info.tiles_y, answer->batch = info.batch;
  answer->unknown = result->unknown_pixels, answer->clipped = result->clipped_pixels;
  answer->calls = dcv_cl_count() - before, answer->message = dcv_backend_message();
  dcv_cl_fail_at(0);
  dcv_plan_destroy(plan);
}

static void cl_restore(const cl_call *call, const float *in, float *out, const float *psf, cl_answer *answer)
{
  const dcv_params params = params_of(call);
  const dcv_psf kernel = { (float *)psf, call->psf_size, call->psf_channels };
  const dcv_image from = { (float *)in, call->width, call->height, call->channels, (ptrdiff_t)call->width * call->channels };
  dcv_image to = from;
  to.data = out;
  listener listens = { call->cancel_at, answer };
  const dcv_callbacks callbacks = { .progress = progress, .cancelled = cancelled, .log = log_message, .user = &listens };
  const long before = dcv_cl_count();
  dcv_plan *plan;
  dcv_result result = { .struct_size = sizeof(result) };
  dcv_cl_fail_at(call->fail_at);
  answer->create_status = dcv_plan_create(&plan, &params, call->width, call->height, &kernel);
  finish(plan, plan ? (int)dcv_plan_execute(plan, &from, &to, &callbacks, &result) : answer->create_status, &result, before, answer);
}

static int cl_estimate(int backend, long fail_at, int side, const float *in, int size, float *psf, cl_answer *answer)
{
  dcv_params params;
  dcv_params_init(&params);
  params.backend = backend, params.channels = 1, params.planning = 0, params.threads = 2;
  const dcv_image from = { (float *)in, side, side, 1, side };
  dcv_psf out = { psf, size, 1 };
  listener listens = { 0, answer };
  const dcv_callbacks callbacks = { .progress = progress, .cancelled = cancelled, .log = log_message, .user = &listens };
  const long before = dcv_cl_count();
  dcv_cl_fail_at(fail_at);
  const int status = dcv_estimate_psf(&params, &from, size, &out, &callbacks, NULL);
  dcv_cl_fail_at(0);
  answer->calls = dcv_cl_count() - before;
  return status;
}

static void cl_restore_there(const cl_call *call, void *in, void *out, const float *psf, void *context, void *device, void *queue, cl_answer *answer)
{
  const dcv_params params = params_of(call);
  const dcv_psf kernel = { (float *)psf, call->psf_size, call->psf_channels };
  const long before = dcv_cl_count();
  dcv_plan *plan;
  dcv_result result = { .struct_size = sizeof(result) };
  dcv_cl_fail_at(call->fail_at);
  answer->create_status = dcv_plan_create_cl(&plan, &params, call->width, call->height, &kernel, context, device, queue);
  finish(plan, plan ? (int)dcv_plan_execute_cl(plan, in, out, NULL, &result) : answer->create_status, &result, before, answer);
}
"""


@cache
def load() -> Any:
    """The extension module (ffi, lib); None when the library was built without OpenCL."""
    return extension("_dcv_opencl", DECLARATIONS, SOURCE) if b"dcv_cl_fail_at" in library().read_bytes() else None


def _call(shape: tuple[int, int, int], psf: np.ndarray, values: dict[str, Any]) -> tuple[Any, Any, np.ndarray]:
    module = load()
    planes = np.ascontiguousarray(psf[None] if psf.ndim == 2 else np.moveaxis(psf, -1, 0), np.float32)
    height, width, channels = shape
    fields = {"noise": 3e-3, "gradient": 0.03, "width": width, "height": height, "channels": channels, "psf_size": planes.shape[1],
              "psf_channels": planes.shape[0]} | values  # fmt: skip
    return module.ffi.new("cl_call *", fields), module.ffi.new("cl_answer *"), planes


def restore(y: np.ndarray, psf: np.ndarray, *, opencl: bool, **values: Any) -> tuple[np.ndarray, Any]:
    """Restored (M, N, C) and the answer."""
    y = np.ascontiguousarray(y, np.float32)
    call, answer, planes = _call(y.shape, psf, {"backend": int(opencl)} | values)
    out = np.full_like(y, 7)
    floats = [load().ffi.from_buffer("float[]", a) for a in (y, out, planes)]
    load().lib.cl_restore(call, *floats, answer)
    return out, answer


def estimate(y: np.ndarray, size: int, *, opencl: bool, fail_at: int = 0) -> tuple[np.ndarray, Any]:
    """PSF of a square window (M, M), and the answer, of which the callbacks' counts are set."""
    y, psf = np.ascontiguousarray(y, np.float32), np.zeros((size, size), np.float32)
    ffi, answer = load().ffi, load().ffi.new("cl_answer *")
    answer.status = load().lib.cl_estimate(opencl, fail_at, len(y), ffi.from_buffer("float[]", y), size, ffi.from_buffer("float[]", psf), answer)
    return psf, answer


def restore_there(shape: tuple[int, int, int], source: int, target: int, psf: np.ndarray, handles: list[int], **values: Any) -> Any:
    """From and to cl_mem handles in a context handed in; `handles`: of context, device and queue."""
    call, answer, planes = _call(shape, psf, values)
    ffi = load().ffi
    pointers = [ffi.cast("void *", handle) for handle in (source, target, *handles)]
    load().lib.cl_restore_there(call, *pointers[:2], ffi.from_buffer("float[]", planes), *pointers[2:], answer)
    return answer
