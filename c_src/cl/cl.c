/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cl/cl.h"

#include "../opencl/dcv_shared.h"

#include "cl/device.h"
#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/highlight.h"
#include "solve/common.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Kernels, and the planes that each must at least read and write for a channel of a tile (or values for a channel of a strip), transfer functions apart. */
#define KERNELS(X)                                                                                                                                     \
  X(census, 1) X(count, 1) X(load, 2) X(start, 2) X(add, 4) X(bound, 2) X(fill_holes, 2) X(extend_columns, 0) X(extend_rows, 0) X(impute, 4) \
  X(taper, 3) X(notch, 2) X(tv_shrink, 6) X(divide, 3) X(multiply, 2) X(turn, 2) X(turn_back, 2)
#define ENUM(name, planes) K_##name,
#define NAME(name, planes) "dcv_" #name,
#define PLANES(name, planes) planes,
enum { KERNELS(ENUM) K_COUNT, S_TRANSFORM = K_COUNT, S_COPY, S_UP, S_DOWN, S_COUNT }; /* kernels, then the other stages */
static const char *const kernel_names[] = { KERNELS(NAME) };
static const int planes_moved[] = { KERNELS(PLANES) };
static const char *const other_stages[] = { "transform", "copy", "upload", "download" };
#undef ENUM
#undef NAME
#undef PLANES

/* Device memory. x and u take turns: an iteration reads one and writes the other. */
enum { Z, BOUND, B, MODEL, X0, X1, U0, U1, OTF, POWER, RAMP_X, RAMP_Y, PLACES, FLAGS, COUNTS, STRIP_IN, STRIP_OUT, M_COUNT };

/* Pixels of tiles at work together: enough to hide the time that it takes to start a kernel. */
#define BATCH_PIXELS (4 << 20)

enum { HAS_LAMPS = 8 }; /* on the host, beside what the census finds */

struct dcv_cl {
  dcv_job job;
  dcv_tiling tiling;
  dcv_cl_tile tile; /* the part that all tiles share */
  int batch;        /* most tiles at work together */
  int step;         /* floats of a pixel in the strips */
  int turned, next; /* see dcv_divide */
  int threads;      /* on the host */
  int *ranges;      /* contributions, first and past the last pixel: of tile columns, then of tile rows */
  dcv_cl_place *places; /* of a row of tiles */
  int *order;           /* the tiles of a row in the order of their work */
  cl_int *flags;        /* of the tiles of a row: DCV_HAS_..., HAS_LAMPS */
  cl_context context;
  cl_device_id id;
  cl_command_queue queue;
  bool own_queue;
  cl_kernel kernels[K_COUNT];
  cl_mem memory[M_COUNT];
  dcv_cl_fft *single, *together; /* of one tile, of a batch; the same where a batch is one tile */
  dcv_highlight highlight;
  float *host;  /* with a clipping level: what ops/highlight needs, in host memory, planes of `fft`; see host_floats */
  dcv_fft fft, block; /* likewise: of a tile, of a block of ops/highlight */
  cl_event reached; /* the end of the iteration before the one queued last, or NULL */
  const dcv_callbacks *callbacks; /* of the run */
  int done;                       /* tiles, in the run */
  bool timing;                    /* wait after each stage and keep what it took */
  dcv_stage stages[S_COUNT];
  dcv_cl_tally tally; /* programs made for this plan; told in its first run */
  bool told;
};

/* ---- sizes ---- */

static dcv_cl_tile shared_tile(const dcv_tiling *t)
{
  const int columns = t->transform_width / 2 + 1;
  return (dcv_cl_tile){
    .width = t->transform_width, .height = t->transform_height, .columns = columns, .stride = 2 * columns, .plane = 2 * columns * t->transform_height
  };
}

/* Most rows of a strip of the input. */
static int strip_rows(const dcv_tiling *t)
{
  int most = 0;
  for(int iy = 0; iy < t->tiles_y; iy++)
  {
    const dcv_tile tile = dcv_tiling_at(t, 0, iy);
    most = DCV_MAX(most, tile.y1 - tile.y0);
  }
  return most;
}

static size_t bytes_of(int which, const dcv_job *job, const dcv_tiling *t, int step, int batch)
{
  const dcv_cl_tile tile = shared_tile(t);
  const size_t plane = sizeof(float) * tile.plane, planes = plane * job->channels * batch;
  switch(which)
  {
    case U0:
    case U1: return 2 * planes;
    case OTF: return plane * dcv_job_otfs(job);
    case POWER: return sizeof(float) * (tile.columns + tile.height);
    case RAMP_X: return sizeof(float) * tile.width * t->tiles_x;
    case RAMP_Y: return sizeof(float) * tile.height * t->tiles_y;
    case PLACES: return sizeof(dcv_cl_place) * t->tiles_x;
    case FLAGS: return sizeof(cl_int) * t->tiles_x;
    case COUNTS: return 2 * sizeof(cl_int);
    case STRIP_IN:
    case STRIP_OUT: return sizeof(float) * step * t->width * strip_rows(t); /* what a tile contributes to is within its data */
    default: return planes;
  }
}

uint64_t dcv_cl_bytes(const dcv_job *job, const dcv_tiling *tiling, bool handed_in, int batch)
{
  uint64_t bytes = dcv_cl_fft_bytes(tiling->transform_width, tiling->transform_height, job->channels * batch);
  if(batch > 1) bytes += dcv_cl_fft_bytes(tiling->transform_width, tiling->transform_height, job->channels);
  for(int i = 0; i < M_COUNT; i++) bytes += bytes_of(i, job, tiling, handed_in ? 4 : job->channels, batch);
  return bytes;
}

int dcv_cl_batch(const dcv_job *job, const dcv_tiling *tiling, const dcv_cl_target *target, int wanted)
{
  const int64_t pixels = (int64_t)tiling->transform_width * tiling->transform_height;
  int batch = wanted > 0 ? wanted : target->processor ? 1 : (int)((BATCH_PIXELS + pixels - 1) / pixels);
  for(batch = DCV_MIN(batch, tiling->tiles_x); batch > 0; batch--)
  {
    size_t largest = 0;
    for(int i = 0; i < M_COUNT; i++) largest = DCV_MAX(largest, bytes_of(i, job, tiling, target->context ? 4 : job->channels, batch));
    if(largest <= target->largest && dcv_cl_bytes(job, tiling, target->context != NULL, batch) <= target->memory) break;
  }
  return batch;
}

/* ---- kernels ---- */

/* With timing, waits for what has been queued since `begin` and counts it. */
static dcv_status account(dcv_cl *cl, int stage, double begin, double bytes)
{
  if(!cl->timing) return DCV_OK;
  DCV_CL_TRY(clFinish(cl->queue));
  dcv_stage *const s = cl->stages + stage;
  s->calls++, s->bytes += (int64_t)bytes, s->seconds += dcv_seconds() - begin;
  return DCV_OK;
}

/* Enqueues kernel `k` on at least width x height x depth work-items. */
static dcv_status launch(dcv_cl *cl, int k, int width, int height, int depth, const dcv_cl_argument *arguments, int count)
{
  const double begin = dcv_seconds();
  DCV_TRY(dcv_cl_launch(cl->queue, cl->kernels[k], height > 1 || depth > 1 ? 3 : 1, width, height, depth, arguments, count));
  const bool spectra = k == K_divide || k == K_multiply || k == K_notch;
  const bool single = k == K_bound || k == K_fill_holes || k == K_impute || k == K_taper; /* planes counted by the depth */
  const double values = (double)planes_moved[k] * (single ? 1 : cl->job.channels) + (spectra ? dcv_job_otfs(&cl->job) : 0);
  return account(cl, k, begin, sizeof(float) * (spectra ? 2.0 : 1.0) * width * height * depth * values);
}

/* Transforms of all tiles of a batch, those that are not at work too. */
static dcv_status transform(dcv_cl *cl, bool inverse, int which, int tiles)
{
  const double begin = dcv_seconds();
  DCV_TRY(dcv_cl_transform(cl->queue, tiles > 1 ? cl->together : cl->single, inverse, cl->memory[which]));
  /* Rows, then columns, each read and written. */
  return account(cl, S_TRANSFORM, begin, 4.0 * sizeof(float) * cl->tile.plane * cl->job.channels * (tiles > 1 ? cl->batch : 1));
}

static size_t planes_bytes(const dcv_cl *cl, int tiles)
{
  return sizeof(float) * cl->tile.plane * cl->job.channels * tiles;
}

static dcv_status copy(dcv_cl *cl, int from, int to, size_t bytes)
{
  const double begin = dcv_seconds();
  DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, cl->memory[from], cl->memory[to], 0, 0, bytes, 0, NULL, NULL));
  return account(cl, S_COPY, begin, 2.0 * bytes);
}

static dcv_status fill_zero(dcv_cl *cl, int which, size_t bytes)
{
  const double begin = dcv_seconds();
  const cl_int zero = 0;
  DCV_CL_TRY(clEnqueueFillBuffer(cl->queue, cl->memory[which], &zero, sizeof(zero), 0, bytes, 0, NULL, NULL));
  return account(cl, S_COPY, begin, bytes);
}

/* `place` and `count` in floats. */
static dcv_status write(dcv_cl *cl, int which, size_t place, const void *from, size_t count)
{
  DCV_CL_TRY(clEnqueueWriteBuffer(cl->queue, cl->memory[which], CL_TRUE, sizeof(float) * place, sizeof(float) * count, from, 0, NULL, NULL));
  return DCV_OK;
}

/* ---- create ---- */

/* The PSF with its centre at the origin of each plane, as in maths/otf.c. */
static void place_psf(const dcv_psf *psf, int otfs, const dcv_cl_tile *t, float *planes)
{
  const int n = psf->size;
  memset(planes, 0, sizeof(float) * t->plane * otfs);
  for(int c = 0; c < otfs; c++)
    for(int i = 0; i < n; i++)
      for(int j = 0; j < n; j++)
      {
        const int y = ((i - n / 2) % t->height + t->height) % t->height, x = ((j - n / 2) % t->width + t->width) % t->width;
        planes[(size_t)c * t->plane + (size_t)y * t->stride + x] += psf->data[((size_t)c * n + i) * n + j];
      }
}

/* Tables: transfer functions, |D|^2, ramps. `host`: floats for the largest of them. */
static dcv_status write_tables(dcv_cl *cl, float *host)
{
  const dcv_tiling *t = &cl->tiling;
  const int otfs = dcv_job_otfs(&cl->job);
  place_psf(cl->job.psf, otfs, &cl->tile, host);
  DCV_TRY(fill_zero(cl, MODEL, planes_bytes(cl, 1)));
  DCV_TRY(write(cl, MODEL, 0, host, (size_t)cl->tile.plane * otfs));
  DCV_TRY(transform(cl, false, MODEL, 1));
  DCV_TRY(copy(cl, MODEL, OTF, sizeof(float) * cl->tile.plane * otfs));
  dcv_otf_difference(cl->tile.width, cl->tile.columns, host);
  dcv_otf_difference(cl->tile.height, cl->tile.height, host + cl->tile.columns);
  DCV_TRY(write(cl, POWER, 0, host, (size_t)cl->tile.columns + cl->tile.height));
  int *range = cl->ranges;
  for(int i = 0; i < t->tiles_x; i++, range += 2)
    dcv_tile_contribution(t->width, t->tiles_x, i, t->blend, range, range + 1, host + (size_t)i * cl->tile.width);
  DCV_TRY(write(cl, RAMP_X, 0, host, (size_t)cl->tile.width * t->tiles_x));
  for(int i = 0; i < t->tiles_y; i++, range += 2)
    dcv_tile_contribution(t->height, t->tiles_y, i, t->blend, range, range + 1, host + (size_t)i * cl->tile.height);
  DCV_TRY(write(cl, RAMP_Y, 0, host, (size_t)cl->tile.height * t->tiles_y));
  DCV_CL_TRY(clFinish(cl->queue));
  return DCV_OK;
}

static dcv_status make_kernels(dcv_cl *cl, cl_program program)
{
  const int count = cl->job.channels == 3 ? K_COUNT : K_turn;
  for(int i = 0; i < count; i++) DCV_CL_MAKE(cl->kernels[i], clCreateKernel(program, kernel_names[i], &error_));
  return DCV_OK;
}

static dcv_status set_up(dcv_cl *cl, const dcv_cl_target *target)
{
  if(target->context)
  {
    if(!dcv_opencl_load()) return dcv_cl_refused("no OpenCL library on this system");
    cl->context = target->context, cl->id = target->id, cl->queue = target->queue;
  }
  else
  {
    DCV_TRY(dcv_cl_open(target->device, &cl->context, &cl->id));
    DCV_CL_MAKE(cl->queue, clCreateCommandQueue(cl->context, cl->id, 0, &error_));
    cl->own_queue = true;
  }
  cl_program program;
  DCV_TRY(dcv_cl_program(cl->context, cl->id, cl->job.channels, &program));
  const dcv_status status = make_kernels(cl, program);
  clReleaseProgram(program);
  DCV_TRY(status);
  const int planes = cl->job.channels;
  DCV_TRY(dcv_cl_fft_take(cl->context, cl->id, cl->tile.width, cl->tile.height, planes, &cl->single));
  if(cl->batch > 1) DCV_TRY(dcv_cl_fft_take(cl->context, cl->id, cl->tile.width, cl->tile.height, planes * cl->batch, &cl->together));
  for(int i = 0; i < M_COUNT; i++)
  {
    const size_t bytes = bytes_of(i, &cl->job, &cl->tiling, cl->step, cl->batch);
    DCV_CL_MAKE(cl->memory[i], clCreateBuffer(cl->context, CL_MEM_READ_WRITE, bytes, NULL, &error_));
  }
  const size_t ramps = DCV_MAX((size_t)cl->tile.width * cl->tiling.tiles_x, (size_t)cl->tile.height * cl->tiling.tiles_y);
  float *host = dcv_alloc_floats(DCV_MAX((size_t)cl->tile.plane * dcv_job_otfs(&cl->job), ramps));
  if(!host) return DCV_ERROR_MEMORY;
  const dcv_status written = write_tables(cl, host);
  dcv_release(host);
  return written;
}

/* Transfer functions; a tile's planes as the device has them, its planes; work; for each tile of a batch: reached, doubt, light, rest. */
static size_t host_floats(const dcv_cl *cl)
{
  const size_t channels = cl->job.channels;
  return cl->tile.plane * channels + cl->fft.plane * (dcv_job_otfs(&cl->job) + channels + cl->batch * (2 + 2 * channels)) + dcv_highlight_floats(&cl->fft, &cl->block);
}

dcv_status dcv_cl_create(dcv_cl **out, const dcv_job *job, const dcv_tiling *tiling, int batch, const dcv_cl_target *target)
{
  *out = NULL;
  dcv_cl *cl = dcv_alloc(sizeof(*cl));
  if(!cl) return DCV_ERROR_MEMORY;
  memset(cl, 0, sizeof(*cl));
  cl->job = *job, cl->tiling = *tiling, cl->tile = shared_tile(tiling), cl->batch = batch;
  cl->step = target->context ? 4 : job->channels, cl->threads = target->threads;
  cl->turned = dcv_job_turned(job), cl->next = dcv_job_otfs(job) == 1 ? 0 : cl->tile.plane;
  cl->highlight = dcv_highlight_of(job->psf, job->saturation, job->noise);
  const int side = dcv_highlight_block(job->psf);
  dcv_status transforms = job->saturation < INFINITY ? dcv_fft_init(&cl->fft, cl->tile.width, cl->tile.height, 0) : DCV_OK;
  if(transforms == DCV_OK && job->saturation < INFINITY) transforms = dcv_fft_init(&cl->block, side, side, 0);
  if(transforms == DCV_OK && job->saturation < INFINITY) cl->host = dcv_alloc_floats(host_floats(cl));
  cl->ranges = dcv_alloc(sizeof(int) * 2 * (tiling->tiles_x + tiling->tiles_y));
  cl->places = dcv_alloc(sizeof(*cl->places) * tiling->tiles_x);
  cl->order = dcv_alloc(sizeof(*cl->order) * tiling->tiles_x);
  cl->flags = dcv_alloc(sizeof(*cl->flags) * tiling->tiles_x);
  *dcv_cl_tally_here() = (dcv_cl_tally){ 0 };
  const bool there = cl->ranges && cl->places && cl->order && cl->flags && (cl->host || job->saturation == INFINITY);
  const dcv_status status = transforms != DCV_OK ? transforms : there ? set_up(cl, target) : DCV_ERROR_MEMORY;
  if(status == DCV_OK && cl->host)
    for(int c = 0; c < dcv_job_otfs(job); c++) dcv_otf(&cl->fft, job->psf, c, cl->host + c * cl->fft.plane);
  cl->tally = *dcv_cl_tally_here();
  if(status == DCV_OK)
    *out = cl;
  else
    dcv_cl_destroy(cl);
  return status;
}

void dcv_cl_destroy(dcv_cl *cl)
{
  if(!cl) return;
  if(cl->queue) clFinish(cl->queue);
  if(cl->reached) clReleaseEvent(cl->reached);
  dcv_cl_fft_give(cl->context, cl->id, cl->tile.width, cl->tile.height, cl->job.channels, cl->single);
  dcv_cl_fft_give(cl->context, cl->id, cl->tile.width, cl->tile.height, cl->job.channels * cl->batch, cl->together);
  for(int i = 0; i < K_COUNT; i++)
    if(cl->kernels[i]) clReleaseKernel(cl->kernels[i]);
  for(int i = 0; i < M_COUNT; i++)
    if(cl->memory[i]) clReleaseMemObject(cl->memory[i]);
  if(cl->own_queue) clReleaseCommandQueue(cl->queue);
  dcv_release(cl->host);
  dcv_fft_clear(&cl->fft);
  dcv_fft_clear(&cl->block);
  dcv_release(cl->ranges);
  dcv_release(cl->places);
  dcv_release(cl->order);
  dcv_release(cl->flags);
  dcv_release(cl);
}

/* ---- tiles ---- */

/* Tiles at work together: `count` of the row, from place `first` of its order on. */
typedef struct batch {
  int first, count;
  bool unknown, holes; /* any in one of them */
} batch;

/* A tile's parts of cl->host. */
typedef struct lamp_planes {
  float *device, *planes[3], *work, *reached, *doubt, *light[3], *rest[3];
} lamp_planes;

static lamp_planes lamp_planes_of(const dcv_cl *cl, int slot)
{
  const int channels = cl->job.channels;
  const size_t plane = cl->fft.plane;
  float *const own = cl->host + dcv_job_otfs(&cl->job) * plane, *const work = own + channels * plane, *const slots = work + dcv_highlight_floats(&cl->fft, &cl->block);
  lamp_planes l = { .work = work, .reached = slots + slot * (2 + 2 * channels) * plane, .device = slots + cl->batch * (2 + 2 * channels) * plane };
  l.doubt = l.reached + plane;
  for(int c = 0; c < channels; c++) l.planes[c] = own + c * plane, l.light[c] = l.doubt + (2 * c + 1) * plane, l.rest[c] = l.light[c] + plane;
  return l;
}

/* Tiles of the device have rows of their own length. */
static void copy_rows(int rows, int width, const float *from, int from_stride, float *to, int to_stride)
{
  for(int y = 0; y < rows; y++) memcpy(to + (size_t)y * to_stride, from + (size_t)y * from_stride, sizeof(float) * width);
}

/* Planes of one tile of the batch from the device, or back to it. */
static dcv_status fetch(dcv_cl *cl, int which, int slot, const lamp_planes *l)
{
  const dcv_cl_tile *t = &cl->tile;
  const size_t at = (size_t)slot * cl->job.channels * t->plane;
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, cl->memory[which], CL_TRUE, sizeof(float) * at, planes_bytes(cl, 1), l->device, 0, NULL, NULL));
  for(int c = 0; c < cl->job.channels; c++) copy_rows(t->height, t->width, l->device + (size_t)c * t->plane, t->stride, l->planes[c], cl->fft.stride);
  return DCV_OK;
}

static dcv_status bring(dcv_cl *cl, int which, int slot, const lamp_planes *l)
{
  const dcv_cl_tile *t = &cl->tile;
  for(int c = 0; c < cl->job.channels; c++) copy_rows(t->height, t->width, l->planes[c], cl->fft.stride, l->device + (size_t)c * t->plane, t->stride);
  return write(cl, which, (size_t)slot * cl->job.channels * t->plane, l->device, (size_t)t->plane * cl->job.channels);
}

/* Looks for lamps (ops/highlight) in z of one tile, the first row of whose strip is `top`, and takes their light out, on the host: few tiles hold clipped
 * pixels. */
static dcv_status separate_lamps(dcv_cl *cl, const dcv_cl_place *place, int top, int slot, bool *lamps)
{
  const lamp_planes l = lamp_planes_of(cl, slot);
  const int channels = cl->job.channels, width = place->data_width, height = place->data_height;
  DCV_TRY(fetch(cl, Z, slot, &l));
  *lamps = dcv_highlight_find(&cl->highlight, &cl->fft, channels, l.planes, width, height, l.reached, l.work);
  if(!*lamps) return DCV_OK;
  const dcv_highlight_place data = { place->x0, top, width, height };
  const float *otfs[3];
  for(int c = 0; c < channels; c++) otfs[c] = dcv_job_otf(&cl->job, cl->host, c);
  dcv_highlight_separate(&cl->highlight, &cl->fft, otfs, &cl->block, cl->job.psf, &data, cl->job.kept, l.reached, channels, l.planes, l.rest, l.light, l.doubt,
                         l.work);
  dcv_highlight_doubtful(&cl->highlight, &cl->fft, l.reached, channels, (const float *const *)l.rest, l.planes, width, height, l.doubt, l.work);
  return bring(cl, Z, slot, &l);
}

/* Holds a tile's result near clipped pixels in the range of the input and adds the light of lamps (ops/highlight), on the host. */
static dcv_status join_lamps(dcv_cl *cl, const dcv_cl_place *place, int slot, int x, bool lamps)
{
  const lamp_planes l = lamp_planes_of(cl, slot);
  const int channels = cl->job.channels, width = place->data_width, height = place->data_height;
  const size_t floats = (size_t)cl->step * cl->tiling.width * height;
  float *mapped;
  DCV_TRY(fetch(cl, x, slot, &l));
  DCV_CL_MAKE(mapped, clEnqueueMapBuffer(cl->queue, cl->memory[STRIP_IN], CL_TRUE, CL_MAP_READ, 0, sizeof(float) * floats, 0, NULL, NULL, &error_));
  const dcv_image strip = {
    .data = mapped, .width = cl->tiling.width, .height = height, .pixel_stride = cl->step, .row_stride = (ptrdiff_t)cl->step * cl->tiling.width
  };
  dcv_highlight_hold(&cl->highlight, &cl->fft, &strip, place->x0, 0, channels, width, height, lamps ? l.reached : NULL, l.work, l.planes);
  for(int c = 0; c < channels && lamps; c++)
    dcv_highlight_join(&cl->highlight, &cl->fft, l.doubt, l.light[c], &strip, place->x0, 0, c, width, height, l.planes[c]);
  DCV_CL_TRY(clEnqueueUnmapMemObject(cl->queue, cl->memory[STRIP_IN], mapped, 0, NULL, NULL));
  return bring(cl, x, slot, &l);
}

/* z tapered, see dcv_job_start. */
static dcv_status taper(dcv_cl *cl, const batch *b)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const int tiles = b->count, first = b->first, width = cl->tiling.taper;
  bool any = width > 0;
  for(int i = 0; i < tiles; i++) any = any || cl->places[first + i].reach > 0;
  if(!any) return DCV_OK;
  DCV_TRY(copy(cl, Z, MODEL, planes_bytes(cl, tiles)));
  DCV_TRY(transform(cl, false, MODEL, tiles));
  DCV_TRY(launch(cl, K_notch, t.columns, t.height, tiles, ARGS(ARG(t), ARG(cl->next), ARG(m[OTF]), ARG(m[MODEL]))));
  DCV_TRY(transform(cl, true, MODEL, tiles));
  return launch(cl, K_taper, t.width, t.height, cl->job.channels * tiles, ARGS(ARG(t), ARG(m[PLACES]), ARG(first), ARG(width), ARG(m[MODEL]), ARG(m[Z])));
}

/* z with holes and gap filled and cuts tapered, and its bounds. */
static dcv_status start_tiles(dcv_cl *cl, const batch *b)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const int planes = cl->job.channels * b->count, first = b->first;
  const float saturation = cl->job.saturation;
  if(b->unknown)
    DCV_TRY(launch(cl, K_bound, t.width, t.height, planes, ARGS(ARG(t), ARG(m[PLACES]), ARG(first), ARG(saturation), ARG(m[Z]), ARG(m[BOUND]))));
  for(int pass = 0; b->holes && pass <= DCV_HOLE_PASSES; pass++) /* there and back; the last in place */
  {
    const int step = pass < DCV_HOLE_PASSES ? DCV_HOLE_STEP(pass) : 0, from = pass % 2 == 0 ? Z : MODEL, to = step == 0 || pass % 2 == 1 ? Z : MODEL;
    DCV_TRY(launch(cl, K_fill_holes, t.width, t.height, planes, ARGS(ARG(t), ARG(m[PLACES]), ARG(first), ARG(step), ARG(m[from]), ARG(m[to]))));
  }
  int narrowest = t.width; /* the data of a row of tiles are of one height */
  for(int i = 0; i < b->count; i++) narrowest = DCV_MIN(narrowest, cl->places[first + i].data_width);
  const int below = t.height - cl->places[first].data_height;
  DCV_TRY(launch(cl, K_extend_columns, t.width, below, planes, ARGS(ARG(t), ARG(m[PLACES]), ARG(first), ARG(m[Z]))));
  DCV_TRY(launch(cl, K_extend_rows, t.width - narrowest, t.height, planes, ARGS(ARG(t), ARG(m[PLACES]), ARG(first), ARG(m[Z]))));
  return taper(cl, b);
}

/* b <- conj(K) Z; x, in the first iteration, the turned z. */
static dcv_status set_data(dcv_cl *cl, int tiles, bool first)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const int correlate = 1;
  const float whole = 1.0f;
  if(cl->turned)
    DCV_TRY(launch(cl, K_turn, t.width, t.height, tiles, ARGS(ARG(t), ARG(m[Z]), ARG(m[MODEL]))));
  else
    DCV_TRY(copy(cl, Z, MODEL, planes_bytes(cl, tiles)));
  if(first) DCV_TRY(copy(cl, MODEL, X0, planes_bytes(cl, tiles)));
  DCV_TRY(transform(cl, false, MODEL, tiles));
  return launch(cl, K_multiply, t.columns, t.height, tiles, ARGS(ARG(t), ARG(correlate), ARG(whole), ARG(cl->next), ARG(m[OTF]), ARG(m[MODEL]), ARG(m[B])));
}

/* z renewed from the model. */
static dcv_status impute(dcv_cl *cl, int tiles)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  if(cl->turned) DCV_TRY(launch(cl, K_turn_back, t.width, t.height, tiles, ARGS(ARG(t), ARG(m[MODEL]))));
  return launch(cl, K_impute, t.width, t.height, cl->job.channels * tiles, ARGS(ARG(t), ARG(m[MODEL]), ARG(m[BOUND]), ARG(m[Z])));
}

/* After an iteration has been queued: waits for the one before, so that the device always has work and a cancelled run still ends within two iterations. */
static dcv_status pace(dcv_cl *cl, double tiles_done)
{
  const cl_event before = cl->reached;
  cl->reached = NULL;
  if(before)
  {
    const cl_int code = dcv_cl_injected() ? CL_OUT_OF_RESOURCES : clWaitForEvents(1, &before);
    clReleaseEvent(before);
    if(code != CL_SUCCESS) return dcv_cl_failed("clWaitForEvents", code);
  }
  if(dcv_cancelled(cl->callbacks)) return DCV_ERROR_CANCELLED;
  DCV_CL_TRY(clEnqueueMarkerWithWaitList(cl->queue, 0, NULL, &cl->reached));
  dcv_progress(cl->callbacks, 0.99 * tiles_done / (cl->tiling.tiles_x * cl->tiling.tiles_y));
  return DCV_OK;
}

/* The iterations of solve/admm.c; *x becomes the place of the result. */
static dcv_status iterate(dcv_cl *cl, const batch *b, int *x)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const int iterations = cl->job.iterations, product = 0, tiles = b->count;
  const float whole = 1.0f;
  const float growth = powf(DCV_GROWTH, 1.0f / (float)DCV_MAX(iterations - 1, 1));
  float rho = dcv_job_rho(&cl->job);
  DCV_TRY(fill_zero(cl, U0, 2 * planes_bytes(cl, tiles)));
  for(int i = 0; i < iterations; i++, rho *= growth)
  {
    const int from = i % 2, to = 1 - from;
    const float r = rho / (cl->job.lam * dcv_job_trust(&cl->job, i));
    if(i > 0 && b->unknown) DCV_TRY(impute(cl, tiles));
    if(i == 0 || b->unknown) DCV_TRY(set_data(cl, tiles, i == 0));
    DCV_TRY(launch(cl, K_tv_shrink, t.width, t.height, tiles,
                   ARGS(ARG(t), ARG(cl->turned), ARG(rho), ARG(growth), ARG(m[X0 + from]), ARG(m[U0 + from]), ARG(m[X0 + to]), ARG(m[U0 + to]))));
    DCV_TRY(transform(cl, false, X0 + to, tiles));
    DCV_TRY(launch(cl, K_divide, t.columns, t.height, tiles,
                   ARGS(ARG(t), ARG(cl->turned), ARG(r), ARG(cl->next), ARG(m[OTF]), ARG(m[POWER]), ARG(m[B]), ARG(m[X0 + to]))));
    if(b->unknown && i < iterations - 1)
    {
      DCV_TRY(launch(cl, K_multiply, t.columns, t.height, tiles,
                     ARGS(ARG(t), ARG(product), ARG(whole), ARG(cl->next), ARG(m[OTF]), ARG(m[X0 + to]), ARG(m[MODEL]))));
      DCV_TRY(transform(cl, true, MODEL, tiles));
    }
    if(cl->job.kept > 0.0f && i == iterations - 1) /* dcv_job_reblur */
      DCV_TRY(launch(cl, K_multiply, t.columns, t.height, tiles,
                     ARGS(ARG(t), ARG(product), ARG(cl->job.kept), ARG(cl->next), ARG(m[OTF]), ARG(m[X0 + to]), ARG(m[X0 + to]))));
    DCV_TRY(transform(cl, true, X0 + to, tiles));
    *x = X0 + to;
    DCV_TRY(pace(cl, cl->done + tiles * (i + 1.0) / iterations));
  }
  if(cl->turned) DCV_TRY(launch(cl, K_turn_back, t.width, t.height, tiles, ARGS(ARG(t), ARG(m[*x]))));
  return DCV_OK;
}

/* The places of a row's tiles in the strip, which begins at the tiles' first row, in their order of work. */
static dcv_status write_places(dcv_cl *cl, int iy)
{
  const int edge = dcv_boundary_edge(cl->tiling.gap), reach = dcv_boundary_reach(cl->job.psf->size / 2);
  for(int i = 0; i < cl->tiling.tiles_x; i++)
  {
    const dcv_tile tile = dcv_tiling_at(&cl->tiling, cl->order[i], iy);
    cl->places[i] = (dcv_cl_place){ .x0 = tile.x0, .data_width = tile.x1 - tile.x0, .data_height = tile.y1 - tile.y0, .edge_x = tile.frame_x ? edge : 0,
                                    .edge_y = tile.frame_y ? edge : 0, .reach = tile.frame_x || tile.frame_y ? reach : 0 };
  }
  return write(cl, PLACES, 0, cl->places, sizeof(dcv_cl_place) / sizeof(float) * cl->tiling.tiles_x);
}

static dcv_cl_strip whole_strip(const dcv_cl *cl)
{
  return (dcv_cl_strip){ .width = cl->tiling.width, .step = cl->step };
}

/* Adds the tile ix of the row iy to the strip of the result. */
static dcv_status add_tile(dcv_cl *cl, int ix, int iy, int slot, int x)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const dcv_tile tile = dcv_tiling_at(&cl->tiling, ix, iy);
  const int *const rx = cl->ranges + 2 * ix, *const ry = cl->ranges + 2 * (cl->tiling.tiles_x + iy);
  const dcv_cl_strip to = { .width = cl->tiling.width, .step = cl->step, .x0 = rx[0] }, from = { to.width, to.step, to.x0, ry[0] - tile.y0 };
  const int left = rx[0] - tile.x0, top = ry[0] - tile.y0, width = rx[1] - rx[0], height = ry[1] - ry[0];
  const int first_x = ix * t.width, first_y = iy * t.height;
  return launch(cl, K_add, width, height, 1,
                ARGS(ARG(from), ARG(to), ARG(t), ARG(slot), ARG(left), ARG(top), ARG(width), ARG(height), ARG(m[RAMP_X]), ARG(m[RAMP_Y]), ARG(first_x), ARG(first_y),
                     ARG(m[x]), ARG(m[STRIP_IN]), ARG(m[STRIP_OUT])));
}

static dcv_status run_batch(dcv_cl *cl, int iy, batch *b)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_tile t = cl->tile;
  const dcv_cl_strip strip = whole_strip(cl);
  const int *const order = cl->order + b->first;
  const int first = b->first, top = dcv_tiling_at(&cl->tiling, 0, iy).y0;
  int x = X0;
  if(dcv_cancelled(cl->callbacks)) return DCV_ERROR_CANCELLED;
  DCV_TRY(launch(cl, K_load, t.width, t.height, b->count, ARGS(ARG(strip), ARG(t), ARG(m[PLACES]), ARG(first), ARG(m[STRIP_IN]), ARG(m[Z]))));
  for(int i = 0; i < b->count; i++)
  {
    bool lamps = false;
    if(cl->flags[order[i]] & DCV_HAS_CLIPPED) DCV_TRY(separate_lamps(cl, cl->places + first + i, top, i, &lamps));
    if(lamps) cl->flags[order[i]] |= HAS_LAMPS;
    b->holes |= (cl->flags[order[i]] & DCV_HAS_HOLES) != 0;
  }
  DCV_TRY(start_tiles(cl, b));
  DCV_TRY(iterate(cl, b, &x));
  for(int i = 0; i < b->count; i++)
  {
    if(cl->flags[order[i]] & DCV_HAS_CLIPPED) DCV_TRY(join_lamps(cl, cl->places + first + i, i, x, (cl->flags[order[i]] & HAS_LAMPS) != 0));
    DCV_TRY(add_tile(cl, order[i], iy, i, x));
  }
  cl->done += b->count;
  return DCV_OK;
}

static bool has_unknown(const dcv_cl *cl, int ix, int iy)
{
  const dcv_tile tile = dcv_tiling_at(&cl->tiling, ix, iy);
  return tile.frame_x || tile.frame_y || cl->flags[ix];
}

/* A row of tiles: those without unknown pixels first, which cost half as much. The order, and with it the sum of overlapping tiles, does not depend on the
 * size of batches. */
static dcv_status run_tiles(dcv_cl *cl, int iy)
{
  const int tiles = cl->tiling.tiles_x;
  int known = 0, at = 0;
  for(int unknown = 0; unknown <= 1; unknown++)
  {
    for(int ix = 0; ix < tiles; ix++)
      if(has_unknown(cl, ix, iy) == unknown) cl->order[at++] = ix;
    if(!unknown) known = at;
  }
  DCV_TRY(write_places(cl, iy));
  for(int first = 0; first < tiles;)
  {
    const bool unknown = first >= known;
    const int left = (unknown ? tiles : known) - first, batches = (left + cl->batch - 1) / cl->batch;
    /* Transforms are always of a whole batch: for a few tiles one by one is cheaper. */
    batch b = { .first = first, .count = 2 * left > cl->batch ? (left + batches - 1) / batches : 1, .unknown = unknown };
    DCV_TRY(run_batch(cl, iy, &b));
    first += b.count;
  }
  DCV_CL_TRY(clFinish(cl->queue));
  return DCV_OK;
}

/* ---- pictures ---- */

/* Rows [from, to) of a picture in host memory against the strip's, whose pixels are `step` floats; `up`: to the device. */
static dcv_status host_rows(dcv_cl *cl, const dcv_image *image, int from, int to, bool up)
{
  const size_t row = (size_t)cl->tiling.width * cl->step;
  const cl_mem strip = cl->memory[up ? STRIP_IN : STRIP_OUT];
  float *mapped;
  DCV_CL_MAKE(mapped, clEnqueueMapBuffer(cl->queue, strip, CL_TRUE, up ? CL_MAP_WRITE_INVALIDATE_REGION : CL_MAP_READ, 0, sizeof(float) * row * (to - from), 0,
                                         NULL, NULL, &error_));
  const int step = cl->step, channels = cl->job.channels;
#pragma omp parallel for num_threads(cl->threads) schedule(static)
  for(int y = from; y < to; y++)
    for(int x = 0; x < image->width; x++)
    {
      float *const pixel = image->data + y * image->row_stride + (ptrdiff_t)x * image->pixel_stride;
      float *const on_strip = mapped + row * (y - from) + (size_t)x * step;
      for(int c = 0; c < channels; c++)
      {
        if(up)
          on_strip[c] = pixel[c];
        else
          pixel[c] = on_strip[c];
      }
    }
  DCV_CL_TRY(clEnqueueUnmapMemObject(cl->queue, strip, mapped, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status is_image(cl_mem picture, bool *image)
{
  cl_mem_object_type type;
  DCV_CL_TRY(clGetMemObjectInfo(picture, CL_MEM_TYPE, sizeof(type), &type, NULL));
  *image = type == CL_MEM_OBJECT_IMAGE2D;
  return DCV_OK;
}

/* The same for a picture on the device. */
static dcv_status device_rows(dcv_cl *cl, cl_mem picture, int from, int to, bool up)
{
  const size_t row = sizeof(float) * 4 * cl->tiling.width, bytes = row * (to - from);
  const size_t origin[3] = { 0, (size_t)from, 0 }, region[3] = { (size_t)cl->tiling.width, (size_t)(to - from), 1 };
  const cl_mem strip = cl->memory[up ? STRIP_IN : STRIP_OUT];
  bool image = false;
  DCV_TRY(is_image(picture, &image));
  if(image && up)
    DCV_CL_TRY(clEnqueueCopyImageToBuffer(cl->queue, picture, strip, origin, region, 0, 0, NULL, NULL));
  else if(image)
    DCV_CL_TRY(clEnqueueCopyBufferToImage(cl->queue, strip, picture, 0, origin, region, 0, NULL, NULL));
  else if(up)
    DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, picture, strip, row * from, 0, bytes, 0, NULL, NULL));
  else
    DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, strip, picture, 0, row * from, bytes, 0, NULL, NULL));
  return DCV_OK;
}

dcv_status dcv_cl_copy(dcv_cl *cl, void *from, void *to)
{
  const size_t origin[3] = { 0, 0, 0 }, region[3] = { (size_t)cl->tiling.width, (size_t)cl->tiling.height, 1 };
  bool source = false, target = false;
  DCV_TRY(is_image(from, &source));
  DCV_TRY(is_image(to, &target));
  if(source && target)
    DCV_CL_TRY(clEnqueueCopyImage(cl->queue, from, to, origin, origin, region, 0, NULL, NULL));
  else if(source)
    DCV_CL_TRY(clEnqueueCopyImageToBuffer(cl->queue, from, to, origin, region, 0, 0, NULL, NULL));
  else if(target)
    DCV_CL_TRY(clEnqueueCopyBufferToImage(cl->queue, from, to, 0, origin, region, 0, NULL, NULL));
  else
    DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, from, to, 0, 0, sizeof(float) * 4 * region[0] * region[1], 0, NULL, NULL));
  DCV_CL_TRY(clFinish(cl->queue));
  return DCV_OK;
}

/* ---- a strip ---- */

/* Prepares the strip of the result of tile row iy: its first rows come from the strip before, to which both rows of tiles contribute. Counts the others. */
static dcv_status start_strip(dcv_cl *cl, int iy, int top, bool counting)
{
  cl_mem *const m = cl->memory;
  const int *const range = cl->ranges + 2 * (cl->tiling.tiles_x + iy);
  const int kept = iy == 0 ? 0 : range[-1] - range[0], rows = range[1] - range[0] - kept;
  if(kept > 0)
  {
    const size_t row = sizeof(float) * cl->step * cl->tiling.width;
    DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, m[STRIP_OUT], m[STRIP_OUT], row * (range[0] - range[-2]), 0, row * kept, 0, NULL, NULL));
  }
  const dcv_cl_strip from = { .width = cl->tiling.width, .step = cl->step, .y0 = range[0] + kept - top };
  const dcv_cl_strip to = { .width = cl->tiling.width, .step = cl->step, .y0 = kept };
  DCV_TRY(launch(cl, K_start, from.width, rows, 1, ARGS(ARG(from), ARG(to), ARG(rows), ARG(m[STRIP_IN]), ARG(m[STRIP_OUT]))));
  const float saturation = cl->job.saturation;
  if(counting) DCV_TRY(launch(cl, K_count, from.width, 1, 1, ARGS(ARG(from), ARG(rows), ARG(saturation), ARG(m[STRIP_IN]), ARG(m[COUNTS]))));
  return DCV_OK;
}

/* What the tiles of a row hold. */
static dcv_status inspect(dcv_cl *cl, int iy)
{
  cl_mem *const m = cl->memory;
  const dcv_cl_strip strip = whole_strip(cl);
  const float saturation = cl->job.saturation;
  const int tiles = cl->tiling.tiles_x;
  const size_t bytes = sizeof(cl_int) * tiles;
  for(int ix = 0; ix < tiles; ix++) cl->order[ix] = ix;
  DCV_TRY(write_places(cl, iy));
  DCV_TRY(fill_zero(cl, FLAGS, bytes));
  DCV_TRY(launch(cl, K_census, cl->tile.width, tiles, 1, ARGS(ARG(strip), ARG(m[PLACES]), ARG(tiles), ARG(saturation), ARG(m[STRIP_IN]), ARG(m[FLAGS]))));
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, m[FLAGS], CL_TRUE, 0, bytes, cl->flags, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status run_strip(dcv_cl *cl, int iy, const dcv_cl_pictures *p, dcv_result *result)
{
  const dcv_tiling *t = &cl->tiling;
  const dcv_tile tile = dcv_tiling_at(t, 0, iy);
  const int *const range = cl->ranges + 2 * (t->tiles_x + iy);
  const double row = sizeof(float) * cl->step * (double)t->width;
  double last = dcv_seconds(), begin = last;
  DCV_TRY(p->in ? host_rows(cl, p->in, tile.y0, tile.y1, true) : device_rows(cl, p->device_in, tile.y0, tile.y1, true));
  DCV_TRY(account(cl, S_UP, begin, row * (tile.y1 - tile.y0)));
  DCV_TRY(start_strip(cl, iy, tile.y0, !p->in));
  DCV_TRY(inspect(cl, iy));
  dcv_lap(&last, &result->seconds_load);
  DCV_TRY(run_tiles(cl, iy));
  dcv_lap(&last, &result->seconds_pixel);
  const int finished = iy == t->tiles_y - 1 ? range[1] : range[2]; /* the rows below get a contribution more */
  begin = last;
  DCV_TRY(p->out ? host_rows(cl, p->out, range[0], finished, false) : device_rows(cl, p->device_out, range[0], finished, false));
  DCV_TRY(account(cl, S_DOWN, begin, row * (finished - range[0])));
  dcv_lap(&last, &result->seconds_store);
  return DCV_OK;
}

/* In the first run: how the plan works. */
static void tell(dcv_cl *cl, const dcv_callbacks *callbacks)
{
  char text[160];
  if(cl->told) return;
  cl->told = true;
  snprintf(text, sizeof(text), "OpenCL: %d x %d tiles of %d x %d, %d at once; %d programs kept from before, %d compiled", cl->tiling.tiles_x, cl->tiling.tiles_y,
           cl->tile.width, cl->tile.height, cl->batch, cl->tally.loaded, cl->tally.compiled);
  dcv_log(callbacks, DCV_LOG_DEBUG, text);
  if(cl->tally.refused > 0) dcv_log(callbacks, DCV_LOG_INFO, "OpenCL: the driver refused programs kept from before; they were compiled again");
}

dcv_status dcv_cl_run(dcv_cl *cl, const dcv_cl_pictures *pictures, const dcv_callbacks *callbacks, dcv_result *result)
{
  cl_int counts[2] = { 0, 0 };
  cl->callbacks = callbacks, cl->done = 0;
  memset(cl->stages, 0, sizeof(cl->stages));
  tell(cl, callbacks);
  DCV_TRY(fill_zero(cl, COUNTS, sizeof(counts)));
  for(int iy = 0; iy < cl->tiling.tiles_y; iy++) DCV_TRY(run_strip(cl, iy, pictures, result));
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, cl->memory[COUNTS], CL_TRUE, 0, sizeof(counts), counts, 0, NULL, NULL));
  result->unknown_pixels += counts[0], result->clipped_pixels += counts[1];
  return counts[0] == (int64_t)cl->tiling.width * cl->tiling.height ? DCV_ERROR_DATA : DCV_OK;
}

void dcv_cl_time_stages(dcv_cl *cl, bool timing)
{
  cl->timing = timing;
}

int dcv_cl_stages(const dcv_cl *cl, dcv_stage *list, int most)
{
  int count = 0;
  for(int i = 0; i < S_COUNT; i++)
  {
    if(cl->stages[i].calls == 0) continue;
    if(list && count < most)
    {
      list[count] = cl->stages[i];
      snprintf(list[count].name, sizeof(list[count].name), "%s", i < K_COUNT ? kernel_names[i] + strlen("dcv_") : other_stages[i - K_COUNT]);
    }
    count++;
  }
  return count;
}
