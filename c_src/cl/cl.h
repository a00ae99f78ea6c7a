/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cl: the admm solver on an OpenCL device. plan.c chooses the tiles and numbers, the same as for the CPU; this runs them.
 *
 * The picture passes in strips, one row of tiles each: a strip of the input goes to the device, its tiles are restored in batches and added to a strip of the
 * result in a fixed order, finished rows come back. So a device needs memory for a batch of tiles and two strips, whatever the picture's height. The bits of
 * the result do not depend on the size of the batches: those are as large as hides the time that kernels take to start, and as small as memory demands.
 */
#ifndef DCV_CL_CL_H
#define DCV_CL_CL_H

#include "ops/tile.h"
#include "solve/blind.h"
#include "solve/solver.h"

/* Where to run: device number `device` in a context of the library's own, or, unless context is NULL, what a caller hands in (cl_context, cl_device_id,
 * cl_command_queue in order). */
typedef struct dcv_cl_target {
  int device;
  void *context, *id, *queue;
  uint64_t memory, largest; /* bytes that a plan may take there, and in one piece */
  bool processor;           /* the device is a CPU: no time to hide, and a tile fits its caches better than several */
  int threads; /* on the host, for the pixels of strips */
} dcv_cl_target;

/* Pictures in host memory, or cl_mem (buffers or images of four floats a pixel) of the context handed in. */
typedef struct dcv_cl_pictures {
  const dcv_image *in;
  dcv_image *out;
  void *device_in, *device_out;
} dcv_cl_pictures;

typedef struct dcv_cl dcv_cl;

/* The sentence that belongs to this thread's last failure, "" without one. */
const char *dcv_cl_message(void);

/* Keeps `reason` for dcv_cl_message; returns BACKEND. */
dcv_status dcv_cl_refused(const char *reason);
/* As dcv_cl_refused; returns MEMORY. */
dcv_status dcv_cl_too_small(uint64_t needed, uint64_t offered);

int dcv_cl_devices(dcv_device *list, int most);

dcv_status dcv_cl_bandwidth(int device, double *bytes_per_second);

/* Step 1 of one level of stage 1 on device `number`; uses level->Y as scratch. BACKEND, MEMORY. */
dcv_status dcv_cl_blind_open(dcv_blind_device **device, int number, const dcv_blind_level *level);

/* What the target's device has: sets target->memory (nine tenths of it), largest and processor. */
dcv_status dcv_cl_room(dcv_cl_target *target);

/* Device memory of a plan that works on `batch` tiles at once. `handed_in`: for pictures on the device. */
uint64_t dcv_cl_bytes(const dcv_job *job, const dcv_tiling *tiling, bool handed_in, int batch);

/* Tiles to work on at once: `wanted` (0: by their size), as far as the target's memory goes and a row of tiles has them; 0 when there is no room for one. */
int dcv_cl_batch(const dcv_job *job, const dcv_tiling *tiling, const dcv_cl_target *target, int wanted);

/* BACKEND, MEMORY. The job's PSF is read here only. */
dcv_status dcv_cl_create(dcv_cl **cl, const dcv_job *job, const dcv_tiling *tiling, int batch, const dcv_cl_target *target);
void dcv_cl_destroy(dcv_cl *cl);

/* Pictures of the tiling's size, checked. In host memory the restored channels of `out` are written, no others. Adds to the result's counts (pixels on the
 * device only) and seconds. BACKEND, MEMORY, CANCELLED, DATA: `out` is then undefined. */
dcv_status dcv_cl_run(dcv_cl *cl, const dcv_cl_pictures *pictures, const dcv_callbacks *callbacks, dcv_result *result);

/* Whether runs wait after each stage and keep what it took; the stages of the last run. */
void dcv_cl_time_stages(dcv_cl *cl, bool timing);
int dcv_cl_stages(const dcv_cl *cl, dcv_stage *list, int most);

/* `to` <- `from`, both cl_mem of the plan's context: what is left of a picture that could not be restored. */
dcv_status dcv_cl_copy(dcv_cl *cl, void *from, void *to);

/* Compiled programs as bytes (cache.h). */
void *dcv_cl_cache_export(size_t *bytes);
dcv_status dcv_cl_cache_import(const void *data, size_t bytes);

/* Frees what is kept from plan to plan: compiled programs, transforms, contexts. */
void dcv_cl_release_all(void);

/* Tests: the n-th OpenCL call or transform from now on fails once (1: the next); 0: never. count: so far in this process. */
void dcv_cl_fail_at(long n);
long dcv_cl_count(void);

extern const char *const dcv_cl_source[]; /* of the kernels, made at build time */
extern const unsigned dcv_cl_source_lines;

#endif
