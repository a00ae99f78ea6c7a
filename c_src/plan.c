/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plan: the public face of stage 2. Validates, chooses the tiling, lays out the memory, runs the solver tile by tile.
 *
 * Memory of a plan: one block of read-only tables (transfer functions), and for each thread the planes y, the solver's work, the blend's ramps and, with a
 * clipping level, the planes of lamps (ops/highlight). With a grid of PSFs each tile has a PSF of its own, and each thread tables of its own.
 */
#include "cl/cl.h"
#include "maths/psf.h"
#include "ops/boundary.h"
#include "ops/halo.h"
#include "ops/highlight.h"
#include "ops/noise.h"
#include "ops/tile.h"
#include "ops/window.h"
#include "solve/common.h"
#include "solve/stop.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { BLEND = 8, GRID_BLEND = 16, LONGEST = 1024 };

dcv_blind_open *const dcv_blind_backends[] = { NULL, dcv_cl_blind_open };
const char *(*const dcv_blind_message)(void) = dcv_cl_message;
const dcv_solver *const dcv_solvers[] = { &dcv_solver_admm, &dcv_solver_mm, &dcv_solver_pam, &dcv_solver_pd, &dcv_solver_rl };

struct dcv_plan {
  dcv_params params;
  dcv_psf psf;
  dcv_tiling tiling;
  dcv_fft fft, block; /* of a tile; of a block of ops/highlight, with a clipping level only */
  dcv_job job;
  dcv_highlight highlight;
  dcv_psf_grid grid; /* data NULL: one PSF for all tiles */
  const dcv_solver *solver;
  int threads;
  size_t shared_floats, thread_floats, work_floats;
  float *shared, *threads_memory;
  bool device; /* work is done by `cl`, which has memory of its own */
  int batch;   /* tiles at once there */
  dcv_cl_target target;
  dcv_cl *cl;
};

/* A PSF of three equal planes is one shared by the channels: `view` of its first plane, else `psf`. */
static const dcv_psf *share_planes(const dcv_psf *psf, dcv_psf *view)
{
  if(psf->channels == 1) return psf;
  const size_t plane = (size_t)psf->size * psf->size;
  if(memcmp(psf->data, psf->data + plane, sizeof(float) * plane) != 0 || memcmp(psf->data, psf->data + 2 * plane, sizeof(float) * plane) != 0) return psf;
  *view = (dcv_psf){ psf->data, psf->size, 1 };
  return view;
}

/* Whether a restoration can be made of these: OK, ARGUMENT, PSF, UNRESOLVED. */
static dcv_status check_resolved(const dcv_params *params, const dcv_psf *psf)
{
  if(!params || !psf) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_psf_validate(psf));
  if(psf->channels != 1 && psf->channels != params->channels) return DCV_ERROR_PSF;
  if(params->noise == 0.0f || params->gradient == 0.0f) return DCV_ERROR_UNRESOLVED;
  return DCV_OK;
}

/* The numbers of a restoration. `fft` is not set. */
static dcv_job make_job(const dcv_params *params, const dcv_psf *psf)
{
  const dcv_solver *solver = dcv_solvers[params->solver];
  dcv_job job = {
    .psf = psf,
    .channels = params->channels,
    .iterations = params->iterations > 0 ? params->iterations : solver->iterations,
    .noise = params->noise,
    .gradient = params->gradient,
    .edge = params->edge,
    .kept = params->priority < 0.0f ? params->priority * params->priority : 0.0f,
    .saturation = params->saturation > 0.0f ? params->saturation : INFINITY,
  };
  job.lam = params->lam > 0.0f ? params->lam : solver->lam(&job, params->priority);
  return job;
}

/* The same restoration of a picture scaled by s = params->scale: parameters and PSF (a copy, to be cleared whatever the status) as they are there.
 *
 * With the PSF as the reduced picture sees it (dcv_psf_reduce) and the sum over pixels standing for an integral, data term and total variation of a picture
 * scaled by s weigh s^2 lam / 2 and s, for gradients grow by 1 / s. So  lam -> lam / s,  G -> G / s (E, too),  and the noise, averaged, goes to s sigma.
 * share: whether three equal planes become one. */
static dcv_status at_scale(const dcv_params *params, const dcv_psf *psf, bool share, dcv_params *own, dcv_psf *reduced)
{
  *reduced = (dcv_psf){ 0 };
  DCV_TRY(check_resolved(params, psf));
  dcv_psf view;
  if(share) psf = share_planes(psf, &view);
  DCV_TRY(dcv_psf_copy(reduced, psf));
  *own = *params;
  if(params->scale == 1.0f) return DCV_OK;
  const dcv_psf full = *reduced;
  own->scale = 1.0f;
  own->lam = make_job(params, &full).lam / params->scale;
  own->gradient = params->gradient / params->scale, own->edge = params->edge / params->scale;
  own->noise = params->noise * fminf(params->scale, 1.0f);
  dcv_status status = dcv_psf_reduce(reduced, &full, params->scale);
  if(status == DCV_OK && dcv_solvers[params->solver] == &dcv_solver_rl) status = dcv_psf_normalise(reduced); /* needs values >= 0 */
  dcv_release(full.data);
  return status;
}

/* ---- grid of PSFs ---- */

static size_t cell_floats(const dcv_psf_grid *grid)
{
  return (size_t)grid->size * grid->size * grid->channels;
}

static dcv_psf cell_of(const dcv_psf_grid *grid, int i)
{
  return (dcv_psf){ grid->data + i * cell_floats(grid), grid->size, grid->channels };
}

static dcv_psf middle_of(const dcv_psf_grid *grid)
{
  return cell_of(grid, grid->rows / 2 * grid->columns + grid->columns / 2);
}

static dcv_status check_grid(const dcv_psf_grid *grid)
{
  if(!grid || !grid->data) return DCV_ERROR_ARGUMENT;
  if(grid->columns < 1 || grid->rows < 1 || grid->columns > DCV_GRID_MAX || grid->rows > DCV_GRID_MAX) return DCV_ERROR_PSF;
  if(!(grid->width >= 0.0f && grid->height >= 0.0f && isfinite(grid->left) && isfinite(grid->top) && isfinite(grid->width) && isfinite(grid->height)))
    return DCV_ERROR_ARGUMENT;
  return DCV_OK;
}

/* The cells as pictures of params->scale see them; own: the parameters for the middle one. NULL data on failure. */
static dcv_status reduce_grid(dcv_psf_grid *reduced, const dcv_params *params, const dcv_psf_grid *grid)
{
  *reduced = *grid;
  reduced->data = NULL;
  for(int i = 0; i < grid->columns * grid->rows; i++)
  {
    const dcv_psf cell = cell_of(grid, i);
    dcv_params ignored;
    dcv_psf one;
    dcv_status status = at_scale(params, &cell, false, &ignored, &one);
    reduced->size = one.size;
    if(status == DCV_OK && !reduced->data)
    {
      reduced->data = dcv_alloc_floats(grid->columns * grid->rows * cell_floats(reduced));
      if(!reduced->data) status = DCV_ERROR_MEMORY;
    }
    if(status == DCV_OK) memcpy(reduced->data + i * cell_floats(reduced), one.data, sizeof(float) * cell_floats(reduced));
    dcv_psf_clear(&one);
    if(status != DCV_OK)
    {
      dcv_release(reduced->data);
      reduced->data = NULL;
      return status;
    }
  }
  return DCV_OK;
}

/* Node below a position on an axis of so many cells, and the share of the next one. */
static int node(double position, double start, double length, int cells, float *share)
{
  const double at = fmin(fmax((position - start) / length * cells - 0.5, 0.0), cells - 1.0);
  const int below = DCV_MIN((int)at, DCV_MAX(cells - 2, 0));
  *share = (float)(at - below);
  return below;
}

/* The PSF at (x, y) of a picture of width x height, into data of the same size: linear between the middles of the cells, constant beyond. */
static dcv_psf grid_at(const dcv_psf_grid *grid, int width, int height, double x, double y, float *data)
{
  float sx, sy;
  const bool whole = grid->width == 0.0f || grid->height == 0.0f;
  const int i = node(x, whole ? 0.0 : grid->left, whole ? width : grid->width, grid->columns, &sx);
  const int j = node(y, whole ? 0.0 : grid->top, whole ? height : grid->height, grid->rows, &sy);
  const int right = grid->columns > 1, down = grid->rows > 1 ? grid->columns : 0, at = j * grid->columns + i;
  const size_t n = cell_floats(grid);
  const float *const a = grid->data + at * n, *const b = grid->data + (at + right) * n;
  const float *const c = grid->data + (at + down) * n, *const d = grid->data + (at + down + right) * n;
  for(size_t k = 0; k < n; k++) data[k] = (1.0f - sy) * ((1.0f - sx) * a[k] + sx * b[k]) + sy * ((1.0f - sx) * c[k] + sx * d[k]);
  return (dcv_psf){ data, grid->size, grid->channels };
}

/* ---- layout ---- */

/* reach: of the inverse filter, which may be more than the halo. */
static dcv_status find_halo(const dcv_params *params, const dcv_job *job, int *halo, int *reach)
{
  DCV_TRY(dcv_halo_measure(job->psf, dcv_solvers[params->solver]->reach(job), reach));
  const dcv_highlight highlight = dcv_highlight_of(job->psf, job->saturation, job->noise);
  *halo = DCV_MAX(DCV_MIN(*reach, DCV_HALO_MAX), dcv_highlight_reach(&highlight));
  if(job->kept > 0.0f) *halo += job->psf->size / 2, *reach += job->psf->size / 2;
  if(params->halo > 0) *halo = params->halo;
  return DCV_OK;
}

/* Tiles of the plan: those asked for, or, where a device has too little memory for one, the largest that fit. Where the halo is
 * less than the reach of the inverse filter, inner tiles are tapered over half of what is thrown away. */
static dcv_status choose_tiles(dcv_plan *plan, int width, int height, int halo, int reach, const dcv_psf_grid *grid)
{
  const dcv_params *params = &plan->params;
  const double frame_cost = (double)plan->solver->transforms(&plan->job, true) / plan->solver->transforms(&plan->job, false);
  const int blend = grid ? GRID_BLEND : BLEND, gap = dcv_boundary_gap(plan->job.psf->size / 2, halo + blend);
  const int least_x = grid && grid->columns > 1 ? 2 * grid->columns : 1, least_y = grid && grid->rows > 1 ? 2 * grid->rows : 1;
  for(int longest = params->tile > 0 ? params->tile : LONGEST;; longest /= 2)
  {
    dcv_tiling_choose(&plan->tiling, width, height, halo, blend, gap, longest, least_x, least_y, frame_cost);
    if(reach > halo) plan->tiling.taper = (halo + blend) / 2;
    if(!plan->device) return DCV_OK;
    plan->batch = dcv_cl_batch(&plan->job, &plan->tiling, &plan->target, params->batch);
    if(plan->batch > 0) return DCV_OK;
    const uint64_t needed = dcv_cl_bytes(&plan->job, &plan->tiling, plan->target.context != NULL, 1);
    if(longest < 2 * halo) return dcv_cl_too_small(needed, DCV_MIN(plan->target.memory, plan->target.largest));
  }
}

/* Everything of a plan that needs no memory: sizes, tiling, numbers, from what at_scale gives. The job refers to `plan` and to the PSF, the middle one of
 * `grid` (NULL: none). handed_in: NULL, or the caller's OpenCL context. asking: for the memory only, on a device of any size. */
static dcv_status lay_out(dcv_plan *plan, const dcv_params *params, int width, int height, const dcv_psf *psf, const dcv_psf_grid *grid,
                          const dcv_cl_target *handed_in, bool asking)
{
  memset(plan, 0, sizeof(*plan));
  plan->job = make_job(params, psf);
  plan->device = handed_in || params->backend == 1;
  if(plan->device && dcv_solvers[params->solver] != &dcv_solver_admm) return dcv_cl_refused("only the solver admm runs on OpenCL devices");
  if(plan->device && grid) return dcv_cl_refused("a grid of PSFs needs the processor");
  plan->target = handed_in ? *handed_in : (dcv_cl_target){ .device = params->device };
  plan->target.threads = dcv_threads(params->threads);
  plan->target.memory = plan->target.largest = UINT64_MAX;
  if(plan->device && !asking) DCV_TRY(dcv_cl_room(&plan->target));
  if(params->device_memory > 0) plan->target.memory = (uint64_t)params->device_memory << 20;
  if(width < 1 || height < 1 || width > DCV_SIDE_MAX || height > DCV_SIDE_MAX) return DCV_ERROR_SIZE;
  plan->params = *params;
  plan->solver = dcv_solvers[params->solver];
  plan->job.fft = &plan->fft;
  int halo, reach;
  DCV_TRY(find_halo(params, &plan->job, &halo, &reach));
  for(int i = 0; grid && i < grid->columns * grid->rows; i++)
  {
    const dcv_psf cell = cell_of(grid, i);
    const dcv_job job = make_job(params, &cell);
    int own, far;
    DCV_TRY(find_halo(params, &job, &own, &far));
    halo = DCV_MAX(halo, own), reach = DCV_MAX(reach, far);
  }
  plan->highlight = dcv_highlight_of(psf, plan->job.saturation, plan->job.noise);
  plan->threads = dcv_threads(params->threads);
  DCV_TRY(choose_tiles(plan, width, height, halo, reach, grid));
  plan->threads = DCV_MIN(plan->threads, plan->tiling.tiles_x * plan->tiling.tiles_y);
  dcv_fft_layout(&plan->fft, plan->tiling.transform_width, plan->tiling.transform_height);
  if(plan->device) return DCV_OK;

  plan->shared_floats = plan->solver->shared_floats(&plan->job);
  const bool bright = plan->job.saturation < INFINITY;
  if(bright) dcv_fft_layout(&plan->block, dcv_highlight_block(psf), dcv_highlight_block(psf));
  plan->work_floats = dcv_round_floats(plan->solver->work_floats(&plan->job));
  if(bright) plan->work_floats = DCV_MAX(plan->work_floats, dcv_highlight_floats(&plan->fft, &plan->block));
  plan->thread_floats = plan->work_floats + plan->job.channels * plan->fft.plane
                        + dcv_round_floats(plan->tiling.transform_width + plan->tiling.transform_height)
                        + (bright ? (2 + 2 * plan->job.channels) * plan->fft.plane : 0);
  if(grid)
  {
    plan->thread_floats += dcv_round_floats(plan->shared_floats) + dcv_round_floats(cell_floats(grid));
    plan->grid = *grid;
  }
  return DCV_OK;
}

static uint64_t bytes_of(const dcv_plan *plan)
{
  const dcv_psf_grid *const grid = plan->grid.data ? &plan->grid : NULL;
  const uint64_t cells = grid ? cell_floats(grid) * grid->columns * grid->rows : 0;
  const uint64_t floats = (uint64_t)(grid ? 0 : plan->shared_floats) + cells + (uint64_t)plan->threads * plan->thread_floats;
  if(plan->device) return dcv_cl_bytes(&plan->job, &plan->tiling, plan->target.context != NULL, plan->batch);
  return sizeof(float) * (floats + (uint64_t)plan->psf.size * plan->psf.size * plan->psf.channels) + sizeof(*plan);
}

dcv_status dcv_halo(const dcv_params *params, const dcv_psf *psf, int32_t *halo)
{
  if(!halo) return DCV_ERROR_ARGUMENT;
  dcv_params own;
  dcv_psf reduced;
  dcv_status status = at_scale(params, psf, true, &own, &reduced);
  int measured = 0, reach;
  if(status == DCV_OK)
  {
    const dcv_job job = make_job(&own, &reduced);
    status = find_halo(&own, &job, &measured, &reach);
  }
  if(status == DCV_OK) *halo = measured;
  dcv_psf_clear(&reduced);
  return status;
}

/* reason: why the solver stopped on the sample, ITERATIONS without a run. */
static dcv_status resolve(dcv_params *params, const dcv_image *in, const dcv_psf *psf, const dcv_callbacks *callbacks, dcv_stop *reason)
{
  *reason = DCV_STOP_ITERATIONS;
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_psf_validate(psf));
  DCV_TRY(dcv_image_check(in, params->channels));
  float noise = params->noise * fminf(params->scale, 1.0f), gradient = params->gradient / params->scale, edge = 0.0f; /* of this picture */
  dcv_processing processing = { 0 };
  const int threads = dcv_threads(params->threads);
  if(noise == 0.0f) DCV_TRY(dcv_noise_level(in, params->channels, threads, &noise, &processing));
  if(gradient == 0.0f) DCV_TRY(dcv_noise_gradient(in, params->channels, noise, params->saturation > 0.0f ? params->saturation : INFINITY,
                                                 DCV_MAX(psf->size, 8), threads, &gradient, &edge));
  noise = dcv_noise_with_processing(noise, processing, gradient, params->channels);
  dcv_params found = *params;
  if(params->noise == 0.0f) found.noise = noise / fminf(params->scale, 1.0f);
  if(params->gradient == 0.0f) found.gradient = gradient * params->scale;
  if(params->edge == 0.0f) found.edge = edge * params->scale;
  const dcv_solver *solver = dcv_solvers[params->solver];
  if(params->iterations == 0 && params->tolerance > 0.0f && solver->most > 0)
  {
    dcv_params own;
    dcv_psf reduced;
    int iterations = 0;
    dcv_status status = at_scale(&found, psf, true, &own, &reduced);
    if(status == DCV_OK)
    {
      const dcv_job job = make_job(&own, &reduced);
      status = dcv_stop_iterations(solver, &job, in, params->tolerance, params->planning, callbacks, &iterations, reason, NULL, NULL);
    }
    dcv_psf_clear(&reduced);
    DCV_TRY(status);
    found.iterations = iterations;
  }
  *params = found;
  return DCV_OK;
}

dcv_status dcv_params_resolve(dcv_params *params, const dcv_image *in, const dcv_psf *psf, const dcv_callbacks *callbacks)
{
  dcv_stop reason;
  return resolve(params, in, psf, callbacks, &reason);
}

static dcv_status memory(const dcv_params *params, int width, int height, const dcv_psf *psf, const dcv_psf_grid *grid, uint64_t *bytes)
{
  if(!params || !bytes) return DCV_ERROR_ARGUMENT;
  dcv_params assumed = *params;
  /* Little noise in a contrasty picture means a long halo and large tiles: an upper bound. */
  if(assumed.noise == 0.0f) assumed.noise = 1e-3f;
  if(assumed.gradient == 0.0f) assumed.gradient = 0.3f;
  dcv_plan plan;
  dcv_params own;
  dcv_psf reduced;
  dcv_psf_grid cells = { 0 };
  dcv_status status = at_scale(&assumed, psf, !grid, &own, &reduced);
  if(status == DCV_OK && grid) status = reduce_grid(&cells, &assumed, grid);
  if(status == DCV_OK) status = lay_out(&plan, &own, width, height, &reduced, grid ? &cells : NULL, NULL, true);
  if(status == DCV_OK)
  {
    plan.psf = reduced;
    *bytes = bytes_of(&plan);
  }
  dcv_psf_clear(&reduced);
  dcv_release(cells.data);
  return status;
}

dcv_status dcv_plan_memory(const dcv_params *params, int width, int height, const dcv_psf *psf, uint64_t *bytes)
{
  return memory(params, width, height, psf, NULL, bytes);
}

dcv_status dcv_plan_memory_grid(const dcv_params *params, int width, int height, const dcv_psf_grid *grid, uint64_t *bytes)
{
  DCV_TRY(check_grid(grid));
  const dcv_psf middle = middle_of(grid);
  return memory(params, width, height, &middle, grid, bytes);
}

static dcv_status allocate(dcv_plan *plan)
{
  const bool varies = plan->grid.data != NULL;
  plan->shared = varies ? NULL : dcv_alloc_floats(plan->shared_floats);
  plan->threads_memory = varies || plan->shared ? dcv_alloc_floats(plan->threads * plan->thread_floats) : NULL;
  if(!plan->threads_memory) return DCV_ERROR_MEMORY;
  DCV_TRY(dcv_fft_init(&plan->fft, plan->fft.width, plan->fft.height, plan->params.planning));
  if(plan->block.plane > 0) DCV_TRY(dcv_fft_init(&plan->block, plan->block.width, plan->block.height, plan->params.planning));
  if(!varies) plan->solver->prepare(&plan->job, plan->shared);
  return DCV_OK;
}

static dcv_status create(dcv_plan **out, const dcv_params *params, int width, int height, const dcv_psf *psf, const dcv_psf_grid *grid,
                         const dcv_cl_target *handed_in)
{
  if(!out) return DCV_ERROR_ARGUMENT;
  *out = NULL;
  if(!params || !psf) return DCV_ERROR_ARGUMENT;
  dcv_plan *plan = dcv_alloc(sizeof(*plan));
  if(!plan) return DCV_ERROR_MEMORY;
  memset(plan, 0, sizeof(*plan));
  dcv_params own;
  dcv_psf reduced;
  dcv_psf_grid cells = { 0 };
  dcv_status status = at_scale(params, psf, !grid, &own, &reduced);
  if(status == DCV_OK && grid) status = reduce_grid(&cells, params, grid);
  if(status == DCV_OK) status = lay_out(plan, &own, width, height, &reduced, grid ? &cells : NULL, handed_in, false);
  plan->psf = reduced, plan->grid = cells;
  plan->job.psf = &plan->psf;
  if(status == DCV_OK) status = plan->device ? dcv_cl_create(&plan->cl, &plan->job, &plan->tiling, plan->batch, &plan->target) : allocate(plan);
  if(status == DCV_OK)
    *out = plan;
  else
    dcv_plan_destroy(plan);
  return status;
}

dcv_status dcv_plan_create(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf)
{
  return create(plan, params, width, height, psf, NULL, NULL);
}

dcv_status dcv_plan_create_grid(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf_grid *grid)
{
  if(plan) *plan = NULL;
  DCV_TRY(check_grid(grid));
  const dcv_psf middle = middle_of(grid);
  return create(plan, params, width, height, &middle, grid, NULL);
}

dcv_status dcv_plan_create_cl(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf, void *context, void *device, void *queue)
{
  if(!context || !device || !queue) return DCV_ERROR_ARGUMENT;
  const dcv_cl_target target = { .context = context, .id = device, .queue = queue };
  return create(plan, params, width, height, psf, NULL, &target);
}

void dcv_plan_destroy(dcv_plan *plan)
{
  if(!plan) return;
  dcv_cl_destroy(plan->cl);
  dcv_fft_clear(&plan->fft);
  dcv_fft_clear(&plan->block);
  dcv_psf_clear(&plan->psf);
  dcv_release(plan->grid.data);
  dcv_release(plan->shared);
  dcv_release(plan->threads_memory);
  dcv_release(plan);
}

/* Without holes and clipped pixels, which only the picture knows. */
static int count_transforms(const dcv_plan *plan)
{
  const dcv_tiling *t = &plan->tiling;
  int count = 0;
  for(int iy = 0; iy < t->tiles_y; iy++)
    for(int ix = 0; ix < t->tiles_x; ix++)
    {
      const dcv_tile tile = dcv_tiling_at(t, ix, iy);
      const bool frame = tile.frame_x || tile.frame_y;
      count += plan->solver->transforms(&plan->job, frame) + (frame || t->taper > 0 ? 2 * plan->job.channels : 0);
    }
  return count;
}

dcv_status dcv_plan_describe(const dcv_plan *plan, dcv_plan_info *info)
{
  if(!plan || !info) return DCV_ERROR_ARGUMENT;
  if(info->struct_size != sizeof(*info)) return DCV_ERROR_STRUCT;
  const dcv_tiling *t = &plan->tiling;
  *info = (dcv_plan_info){
    .struct_size = sizeof(*info),
    .width = t->width,
    .height = t->height,
    .transform_width = t->transform_width,
    .transform_height = t->transform_height,
    .core_width = t->width / t->tiles_x - (t->tiles_x > 1 ? 2 * t->blend : 0),
    .core_height = t->height / t->tiles_y - (t->tiles_y > 1 ? 2 * t->blend : 0),
    .halo = t->halo,
    .blend = t->blend,
    .tiles_x = t->tiles_x,
    .tiles_y = t->tiles_y,
    .threads = plan->threads,
    .iterations = plan->job.iterations,
    .transforms = count_transforms(plan),
    .noise = plan->job.noise,
    .lam = plan->job.lam,
    .rho = plan->solver->rho(&plan->job),
    .bytes = bytes_of(plan),
    .batch = plan->batch,
  };
  return DCV_OK;
}

/* What a look at every pixel finds: non-finite ones, and clipped ones among the others. */
typedef struct census {
  long unknown, clipped;
} census;

/* out <- 0 in the restored channels (they are summed up later), in elsewhere where both pixels have the float; with `restored` false, in everywhere. */
static census copy_rows(const dcv_image *in, dcv_image *out, int channels, bool restored, float saturation, int threads)
{
  const int both = DCV_MIN(in->pixel_stride, out->pixel_stride);
  long unknown = 0, clipped = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : unknown, clipped)
  for(int y = 0; y < in->height; y++)
    for(int x = 0; x < in->width; x++)
    {
      const float *a = in->data + y * in->row_stride + (ptrdiff_t)x * in->pixel_stride;
      float *b = out->data + y * out->row_stride + (ptrdiff_t)x * out->pixel_stride;
      float most = a[0], finite = 0.0f;
      for(int c = 0; c < channels; c++) most = fmaxf(most, a[c]), finite += a[c] * 0.0f;
      for(int c = 0; c < both; c++) b[c] = restored && c < channels ? 0.0f : a[c];
      unknown += !(finite == 0.0f), clipped += finite == 0.0f && most >= saturation;
    }
  (void)threads;
  return (census){ unknown, clipped };
}

static bool overlap(const dcv_image *a, const dcv_image *b)
{
  const uintptr_t a0 = (uintptr_t)a->data, b0 = (uintptr_t)b->data;
  const uintptr_t a1 = a0 + sizeof(float) * (uintptr_t)(a->row_stride * a->height), b1 = b0 + sizeof(float) * (uintptr_t)(b->row_stride * b->height);
  return a0 < b1 && b0 < a1;
}

/* A PSF with all but a thousandth of its mass in the middle blurs nothing: unless noise is to be removed the picture is copied. */
static bool is_identity(const dcv_plan *plan)
{
  const dcv_psf_grid *const grid = &plan->grid;
  for(int i = 0; i < (grid->data ? grid->columns * grid->rows : 1); i++)
  {
    const dcv_psf psf = grid->data ? cell_of(grid, i) : plan->psf;
    const int n = psf.size;
    for(int c = 0; c < psf.channels; c++)
      if(psf.data[(size_t)c * n * n + n * n / 2] < 0.999f) return false;
  }
  return plan->params.priority >= 0.0f;
}

/* Shared by the threads of one execute. */
typedef struct execution {
  const dcv_callbacks *callbacks;
  int tiles, done, stop;
} execution;

/* After each iteration of a tile, on its thread. Only the calling thread reports, and it counts its own tile's part. */
static void step(void *user, double fraction)
{
  execution *e = user;
  if(dcv_cancelled(e->callbacks)) __atomic_store_n(&e->stop, 1, __ATOMIC_RELAXED);
  if(dcv_thread() != 0) return;
  dcv_progress(e->callbacks, fmin((__atomic_load_n(&e->done, __ATOMIC_RELAXED) + 0.99 * fraction) / e->tiles, 1.0));
}

/* What every result tells; the counts and the seconds of the parts are those of `parts`. */
static void fill_result(dcv_result *result, const dcv_plan *plan, const dcv_result *parts, double begin, bool identity)
{
  if(!result) return;
  *result = *parts;
  result->struct_size = sizeof(*result);
  result->iterations = identity ? 0 : plan->job.iterations;
  result->stop = identity ? DCV_STOP_IDENTITY : DCV_STOP_ITERATIONS;
  result->seconds = dcv_seconds() - begin;
}

/* What a device said when it failed; the caller may go on without it. */
static void log_failure(const dcv_callbacks *callbacks, dcv_status status)
{
  if(status == DCV_ERROR_BACKEND || status == DCV_ERROR_MEMORY) dcv_log(callbacks, DCV_LOG_WARNING, dcv_cl_message());
}

dcv_status dcv_plan_execute_cl(dcv_plan *plan, void *in, void *out, const dcv_callbacks *callbacks, dcv_result *result)
{
  if(!plan || !plan->cl || !plan->target.context || !in || !out || in == out) return DCV_ERROR_ARGUMENT;
  if(result && result->struct_size != sizeof(*result)) return DCV_ERROR_STRUCT;
  const double begin = dcv_seconds();
  dcv_result parts = { 0 };
  const dcv_cl_pictures pictures = { .device_in = in, .device_out = out };
  const dcv_status status = dcv_cl_run(plan->cl, &pictures, callbacks, &parts);
  log_failure(callbacks, status);
  const bool identity = status == DCV_OK && parts.unknown_pixels == 0 && is_identity(plan);
  if(identity || status == DCV_ERROR_CANCELLED || status == DCV_ERROR_DATA) DCV_TRY(dcv_cl_copy(plan->cl, in, out));
  DCV_TRY(status);
  dcv_progress(callbacks, 1.0);
  fill_result(result, plan, &parts, begin, identity);
  return DCV_OK;
}

dcv_status dcv_plan_execute(dcv_plan *plan, const dcv_image *in, dcv_image *out, const dcv_callbacks *callbacks, dcv_result *result)
{
  if(!plan) return DCV_ERROR_ARGUMENT;
  if(result && result->struct_size != sizeof(*result)) return DCV_ERROR_STRUCT;
  const int channels = plan->job.channels;
  const dcv_tiling *t = &plan->tiling;
  DCV_TRY(dcv_image_check(in, channels));
  DCV_TRY(dcv_image_check(out, channels));
  if(in->width != t->width || in->height != t->height || out->width != t->width || out->height != t->height) return DCV_ERROR_SIZE;
  if(overlap(in, out)) return DCV_ERROR_ARGUMENT;

  const double begin = dcv_seconds();
  execution shared = { .callbacks = callbacks, .tiles = t->tiles_x * t->tiles_y };
  double seconds_load = 0.0, seconds_fft = 0.0, seconds_pixel = 0.0, seconds_store = 0.0;
  const bool identity = is_identity(plan);
  const census pixels = copy_rows(in, out, channels, !identity, plan->job.saturation, plan->threads);
  dcv_result parts = { .unknown_pixels = pixels.unknown, .clipped_pixels = pixels.clipped };
  if(identity && pixels.unknown == 0)
  {
    dcv_progress(callbacks, 1.0);
    fill_result(result, plan, &parts, begin, true);
    return DCV_OK;
  }
  if(pixels.unknown == (long)in->width * in->height)
  {
    copy_rows(in, out, channels, false, INFINITY, plan->threads);
    return DCV_ERROR_DATA;
  }
  if(identity) copy_rows(in, out, channels, true, INFINITY, plan->threads);
  if(plan->device)
  {
    const dcv_cl_pictures pictures = { .in = in, .out = out };
    const dcv_status status = dcv_cl_run(plan->cl, &pictures, callbacks, &parts);
    if(status != DCV_OK)
    {
      log_failure(callbacks, status);
      copy_rows(in, out, channels, false, INFINITY, plan->threads);
      return status;
    }
    dcv_progress(callbacks, 1.0);
    fill_result(result, plan, &parts, begin, false);
    return DCV_OK;
  }
#pragma omp parallel for collapse(2) schedule(monotonic : dynamic, 1) ordered num_threads(plan->threads) \
    reduction(+ : seconds_load, seconds_fft, seconds_pixel, seconds_store)
  for(int iy = 0; iy < t->tiles_y; iy++)
    for(int ix = 0; ix < t->tiles_x; ix++)
    {
      float *const memory = plan->threads_memory + dcv_thread() * plan->thread_floats;
      float *y[3], *const work = memory + channels * plan->fft.plane, *const ramp = work + plan->work_floats;
      float *const reached = ramp + dcv_round_floats(t->transform_width + t->transform_height), *const doubt = reached + plan->fft.plane, *light[3], *rest[3];
      for(int c = 0; c < channels; c++) y[c] = memory + c * plan->fft.plane, light[c] = doubt + (2 * c + 1) * plan->fft.plane, rest[c] = light[c] + plan->fft.plane;
      const dcv_tile tile = dcv_tiling_at(t, ix, iy);
      const bool inner = !tile.frame_x && !tile.frame_y;
      dcv_tile_run run = {
        .planes = y,
        .data_width = tile.x1 - tile.x0,
        .data_height = tile.y1 - tile.y0,
        .frame = !inner,
        .edge_x = tile.frame_x ? dcv_boundary_edge(t->gap) : 0,
        .edge_y = tile.frame_y ? dcv_boundary_edge(t->gap) : 0,
        .taper = inner && t->taper > 0 ? ramp : NULL, /* whose own weights are needed after the run only */
        .step = step,
        .stop = &shared.stop,
        .user = &shared,
      };
      step(&shared, 0.0);
      double now = dcv_seconds();
      if(!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED))
      {
        dcv_tile_load(in, &tile, channels, &plan->fft, y);
        if(run.taper)
        {
          dcv_boundary_fade(run.data_width, t->transform_width, t->taper, ramp);
          dcv_boundary_fade(run.data_height, t->transform_height, t->taper, ramp + t->transform_width);
        }
        dcv_job job = plan->job;
        dcv_highlight highlight = plan->highlight;
        const float *shared_tables = plan->shared;
        dcv_psf own;
        if(plan->grid.data)
        {
          float *const tables = memory + plan->thread_floats - dcv_round_floats(plan->shared_floats);
          own = grid_at(&plan->grid, t->width, t->height, (ix + 0.5) * t->width / t->tiles_x, (iy + 0.5) * t->height / t->tiles_y,
                        tables - dcv_round_floats(cell_floats(&plan->grid)));
          job = make_job(&plan->params, &own);
          job.fft = &plan->fft;
          highlight = dcv_highlight_of(&own, job.saturation, job.noise);
          plan->solver->prepare(&job, tables);
          shared_tables = tables;
        }
        seconds_load += dcv_seconds() - now;
        const bool bright = dcv_highlight_any(&highlight, &plan->fft, channels, y, run.data_width, run.data_height);
        const bool lamps = bright && dcv_highlight_find(&highlight, &plan->fft, channels, y, run.data_width, run.data_height, reached, work);
        if(lamps)
        {
          const dcv_highlight_place place = { tile.x0, tile.y0, run.data_width, run.data_height };
          const float *otfs[3];
          for(int c = 0; c < channels; c++) otfs[c] = dcv_job_otf(&job, shared_tables, c);
          dcv_highlight_separate(&highlight, &plan->fft, otfs, &plan->block, job.psf, &place, job.kept, reached, channels, y, rest, light, doubt, work);
          dcv_highlight_doubtful(&highlight, &plan->fft, reached, channels, (const float *const *)rest, y, run.data_width, run.data_height, doubt, work);
        }
        plan->solver->run(&job, shared_tables, work, &run);
        if(job.kept > 0.0f) dcv_job_reblur(&job, shared_tables, y, work, &run);
        if(bright) dcv_highlight_hold(&highlight, &plan->fft, in, tile.x0, tile.y0, channels, run.data_width, run.data_height, lamps ? reached : NULL, work, y);
        for(int c = 0; c < channels && lamps; c++)
          dcv_highlight_join(&highlight, &plan->fft, doubt, light[c], in, tile.x0, tile.y0, c, run.data_width, run.data_height, y[c]);
      }
      seconds_fft += run.seconds_fft, seconds_pixel += run.seconds_pixel;
      now = dcv_seconds();
#pragma omp ordered
      if(!__atomic_load_n(&shared.stop, __ATOMIC_RELAXED)) dcv_tile_add(t, ix, iy, channels, &plan->fft, y, ramp, in, out);
      seconds_store += dcv_seconds() - now;
      __atomic_add_fetch(&shared.done, 1, __ATOMIC_RELAXED);
    }
  if(shared.stop)
  {
    copy_rows(in, out, channels, false, INFINITY, plan->threads);
    return DCV_ERROR_CANCELLED;
  }
  dcv_progress(callbacks, 1.0);
  parts.seconds_load = seconds_load, parts.seconds_fft = seconds_fft, parts.seconds_pixel = seconds_pixel, parts.seconds_store = seconds_store;
  fill_result(result, plan, &parts, begin, false);
  return DCV_OK;
}

dcv_status dcv_deconvolve(const dcv_params *params, const dcv_image *in, dcv_image *out, const dcv_psf *psf, const dcv_callbacks *callbacks,
                          dcv_result *result)
{
  dcv_params own;
  if(params)
    own = *params;
  else
    dcv_params_init(&own);
  dcv_stop reason;
  DCV_TRY(resolve(&own, in, psf, callbacks, &reason));
  dcv_plan *plan;
  const dcv_status created = dcv_plan_create(&plan, &own, in->width, in->height, psf);
  if(own.backend == 1) log_failure(callbacks, created);
  DCV_TRY(created);
  const dcv_status status = dcv_plan_execute(plan, in, out, callbacks, result);
  if(status == DCV_OK && result) result->stop = reason;
  dcv_plan_destroy(plan);
  return status;
}

/* ---- sample window ---- */

dcv_status dcv_choose_window(const dcv_image *in, int channels, int32_t window[4])
{
  if(!window || channels < 1 || channels > 3) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_image_check(in, channels));
  return dcv_window_choose(in, channels, window);
}

/* ---- about the library ---- */

dcv_status dcv_device_bandwidth(int device, double *bytes_per_second)
{
  if(device < 0 || !bytes_per_second) return DCV_ERROR_ARGUMENT;
  return dcv_cl_bandwidth(device, bytes_per_second);
}

dcv_status dcv_plan_time_stages(dcv_plan *plan, int timing)
{
  if(!plan || !plan->cl) return DCV_ERROR_ARGUMENT;
  dcv_cl_time_stages(plan->cl, timing != 0);
  return DCV_OK;
}

int dcv_plan_stages(const dcv_plan *plan, dcv_stage *list, int most)
{
  return plan && plan->cl ? dcv_cl_stages(plan->cl, list, most) : 0;
}

void *dcv_devices_cache_export(size_t *bytes)
{
  return bytes ? dcv_cl_cache_export(bytes) : NULL;
}

dcv_status dcv_devices_cache_import(const void *data, size_t bytes)
{
  return dcv_cl_cache_import(data, bytes);
}

int dcv_devices(dcv_device *list, int most)
{
  return dcv_cl_devices(list, most);
}

const char *dcv_backend_message(void)
{
  return dcv_cl_message();
}

void dcv_devices_release(void)
{
  dcv_cl_release_all();
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

int dcv_version(void)
{
  return DCV_VERSION;
}

/* The widest clones that the processor can run; see DCV_SIMD. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && !defined(DCV_NO_SIMD)
#define LEVEL (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") ? ", AVX-512" : __builtin_cpu_supports("avx2") ? ", AVX2" : ", SSE2")
#else
#define LEVEL ", no SIMD dispatch"
#endif

static char build_info[256];
static pthread_once_t build_info_once = PTHREAD_ONCE_INIT;

static void append(size_t *at, const char *text)
{
  while(*text && *at < sizeof(build_info) - 1) build_info[(*at)++] = *text++;
}

static void write_build_info(void)
{
  size_t at = 0;
  append(&at, "libdcv " TEXT(DCV_VERSION_MAJOR) "." TEXT(DCV_VERSION_MINOR) "." TEXT(DCV_VERSION_PATCH));
#if defined(__VERSION__)
  append(&at, ", compiler " __VERSION__);
#endif
#if defined(_OPENMP)
  append(&at, ", OpenMP " TEXT(_OPENMP));
#else
  append(&at, ", no OpenMP");
#endif
  append(&at, LEVEL);
  append(&at, ", ");
  append(&at, dcv_fft_version());
}

const char *dcv_build_info(void)
{
  pthread_once(&build_info_once, write_build_info);
  return build_info;
}
