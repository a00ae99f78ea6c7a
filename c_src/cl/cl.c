/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cl/cl.h"

#include "../opencl/dcv_shared.h"

#include "cl/device.h"
#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/highlight.h"
#include "solve/common.h"

#include <math.h>
#include <string.h>

#define KERNELS(X)                                                                                                                                   \
  X(census) X(count) X(load) X(fade) X(start) X(add) X(bound) X(fill_holes) X(extend_columns) X(extend_rows) X(impute) X(tv_shrink) X(divide) X(multiply) \
  X(turn) X(turn_back)
#define ENUM(name) K_##name,
#define NAME(name) "dcv_" #name,
enum { KERNELS(ENUM) K_COUNT };
static const char *const kernel_names[] = { KERNELS(NAME) };
#undef ENUM
#undef NAME

/* Device memory. x and u take turns: an iteration reads one and writes the other. */
enum { Z, BOUND, B, MODEL, X0, X1, U0, U1, OTF, WEIGHT, POWER, RAMP_X, RAMP_Y, FLAGS, COUNTS, STRIP_IN, STRIP_OUT, M_COUNT };

struct dcv_cl {
  dcv_job job;
  dcv_tiling tiling;
  dcv_cl_tile tile; /* the part that all tiles share */
  int step;         /* floats of a pixel in the strips */
  int turned, next; /* see dcv_divide */
  int threads;      /* on the host */
  int *ranges;      /* contributions, first and past the last pixel: of tile columns, then of tile rows */
  cl_context context;
  cl_device_id id;
  cl_command_queue queue;
  bool own_queue;
  cl_kernel kernels[K_COUNT];
  cl_mem memory[M_COUNT];
  dcv_cl_fft *fft;
  dcv_highlight highlight;
  float *host; /* with a clipping level: planes of a tile in host memory, and two more, to look for lamps there */
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

static size_t bytes_of(int which, const dcv_job *job, const dcv_tiling *t, int step)
{
  const dcv_cl_tile tile = shared_tile(t);
  const size_t plane = sizeof(float) * tile.plane, planes = plane * job->channels;
  switch(which)
  {
    case U0:
    case U1: return 2 * planes;
    case OTF: return plane * dcv_job_otfs(job);
    case WEIGHT: return plane;
    case POWER: return sizeof(float) * (tile.columns + tile.height);
    case RAMP_X: return sizeof(float) * tile.width * t->tiles_x;
    case RAMP_Y: return sizeof(float) * tile.height * t->tiles_y;
    case FLAGS: return sizeof(cl_int) * t->tiles_x;
    case COUNTS: return 2 * sizeof(cl_int);
    case STRIP_IN:
    case STRIP_OUT: return sizeof(float) * step * t->width * strip_rows(t); /* what a tile contributes to is within its data */
    default: return planes;
  }
}

uint64_t dcv_cl_bytes(const dcv_job *job, const dcv_tiling *tiling, bool handed_in)
{
  uint64_t bytes = dcv_cl_fft_bytes(tiling->transform_width, tiling->transform_height, job->channels);
  for(int i = 0; i < M_COUNT; i++) bytes += bytes_of(i, job, tiling, handed_in ? 4 : job->channels);
  return bytes;
}

/* ---- kernels ---- */

typedef struct argument {
  size_t size;
  const void *value;
} argument;
#define ARG(x) { sizeof(x), &(x) }
#define ARGS(...) (const argument[]){ __VA_ARGS__ }, (int)(sizeof((const argument[]){ __VA_ARGS__ }) / sizeof(argument))

/* Enqueues kernel `k` on at least width x height x depth work-items. */
static dcv_status launch(dcv_cl *cl, int k, int width, int height, int depth, const argument *arguments, int count)
{
  for(int i = 0; i < count; i++) DCV_CL_TRY(clSetKernelArg(cl->kernels[k], (cl_uint)i, arguments[i].size, arguments[i].value));
  const size_t size[3] = { ((size_t)width + 31) / 32 * 32, ((size_t)height + 3) / 4 * 4, (size_t)depth };
  DCV_CL_TRY(clEnqueueNDRangeKernel(cl->queue, cl->kernels[k], height > 1 || depth > 1 ? 3 : 1, NULL, size, NULL, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status transform(dcv_cl *cl, bool inverse, int which)
{
  const bool done = !dcv_cl_injected() && (inverse ? dcv_cl_fft_inverse : dcv_cl_fft_forward)(cl->fft, cl->queue, cl->memory[which]);
  return done ? DCV_OK : dcv_cl_failed("VkFFT", CL_OUT_OF_RESOURCES);
}

static dcv_status copy_planes(dcv_cl *cl, int from, int to)
{
  const size_t bytes = bytes_of(to, &cl->job, &cl->tiling, 0);
  DCV_CL_TRY(clEnqueueCopyBuffer(cl->queue, cl->memory[from], cl->memory[to], 0, 0, bytes, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status fill_zero(dcv_cl *cl, int which)
{
  const cl_int zero = 0;
  const size_t bytes = bytes_of(which, &cl->job, &cl->tiling, 0);
  DCV_CL_TRY(clEnqueueFillBuffer(cl->queue, cl->memory[which], &zero, sizeof(zero), 0, bytes, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status write(dcv_cl *cl, int which, const float *from, size_t floats)
{
  DCV_CL_TRY(clEnqueueWriteBuffer(cl->queue, cl->memory[which], CL_TRUE, 0, sizeof(float) * floats, from, 0, NULL, NULL));
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
  DCV_TRY(fill_zero(cl, MODEL));
  DCV_TRY(write(cl, MODEL, host, (size_t)cl->tile.plane * otfs));
  DCV_TRY(transform(cl, false, MODEL));
  DCV_TRY(copy_planes(cl, MODEL, OTF));
  dcv_otf_difference(cl->tile.width, cl->tile.columns, host);
  dcv_otf_difference(cl->tile.height, cl->tile.height, host + cl->tile.columns);
  DCV_TRY(write(cl, POWER, host, (size_t)cl->tile.columns + cl->tile.height));
  int *range = cl->ranges;
  for(int i = 0; i < t->tiles_x; i++, range += 2)
    dcv_tile_contribution(t->width, t->tiles_x, i, t->blend, range, range + 1, host + (size_t)i * cl->tile.width);
  DCV_TRY(write(cl, RAMP_X, host, (size_t)cl->tile.width * t->tiles_x));
  for(int i = 0; i < t->tiles_y; i++, range += 2)
    dcv_tile_contribution(t->height, t->tiles_y, i, t->blend, range, range + 1, host + (size_t)i * cl->tile.height);
  DCV_TRY(write(cl, RAMP_Y, host, (size_t)cl->tile.height * t->tiles_y));
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
  DCV_TRY(dcv_cl_fft_take(cl->context, cl->id, cl->tile.width, cl->tile.height, cl->job.channels, &cl->fft));
  for(int i = 0; i < M_COUNT; i++)
    DCV_CL_MAKE(cl->memory[i], clCreateBuffer(cl->context, CL_MEM_READ_WRITE, bytes_of(i, &cl->job, &cl->tiling, cl->step), NULL, &error_));
  const size_t ramps = DCV_MAX((size_t)cl->tile.width * cl->tiling.tiles_x, (size_t)cl->tile.height * cl->tiling.tiles_y);
  float *host = dcv_alloc_floats(DCV_MAX((size_t)cl->tile.plane * dcv_job_otfs(&cl->job), ramps));
  if(!host) return DCV_ERROR_MEMORY;
  const dcv_status written = write_tables(cl, host);
  dcv_release(host);
  return written;
}

dcv_status dcv_cl_create(dcv_cl **out, const dcv_job *job, const dcv_tiling *tiling, const dcv_cl_target *target)
{
  *out = NULL;
  dcv_cl *cl = dcv_alloc(sizeof(*cl));
  if(!cl) return DCV_ERROR_MEMORY;
  memset(cl, 0, sizeof(*cl));
  cl->job = *job, cl->tiling = *tiling, cl->tile = shared_tile(tiling);
  cl->step = target->context ? 4 : job->channels, cl->threads = target->threads;
  cl->turned = dcv_job_turned(job), cl->next = dcv_job_otfs(job) == 1 ? 0 : cl->tile.plane;
  cl->highlight = dcv_highlight_of(job->psf, job->saturation);
  if(job->saturation < INFINITY) cl->host = dcv_alloc_floats((size_t)cl->tile.plane * (job->channels + 2));
  cl->ranges = dcv_alloc(sizeof(int) * 2 * (tiling->tiles_x + tiling->tiles_y));
  const dcv_status status = cl->ranges && (cl->host || job->saturation == INFINITY) ? set_up(cl, target) : DCV_ERROR_MEMORY;
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
  dcv_cl_fft_give(cl->context, cl->id, cl->tile.width, cl->tile.height, cl->job.channels, cl->fft);
  for(int i = 0; i < K_COUNT; i++)
    if(cl->kernels[i]) clReleaseKernel(cl->kernels[i]);
  for(int i = 0; i < M_COUNT; i++)
    if(cl->memory[i]) clReleaseMemObject(cl->memory[i]);
  if(cl->own_queue) clReleaseCommandQueue(cl->queue);
  dcv_release(cl->host);
  dcv_release(cl->ranges);
  dcv_release(cl);
}

/* ---- a tile ---- */

/* Looks for lamps (ops/highlight) in z, on the host: few tiles hold clipped pixels. Where there are some z and the weights of the input are written. */
static dcv_status hide_lamps(dcv_cl *cl, const dcv_cl_tile *t, bool *lamps)
{
  const size_t plane = t->plane, bytes = sizeof(float) * plane * cl->job.channels;
  const dcv_fft layout = { .width = t->width, .height = t->height, .columns = t->columns, .stride = t->stride, .plane = plane };
  float *planes[3], *const weight = cl->host + cl->job.channels * plane, *const scratch = weight + plane;
  for(int c = 0; c < cl->job.channels; c++) planes[c] = cl->host + c * plane;
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, cl->memory[Z], CL_TRUE, 0, bytes, cl->host, 0, NULL, NULL));
  *lamps = dcv_highlight_hide(&cl->highlight, &layout, cl->job.channels, planes, t->data_width, t->data_height, weight, scratch);
  if(!*lamps) return DCV_OK;
  DCV_TRY(write(cl, Z, cl->host, plane * cl->job.channels));
  return write(cl, WEIGHT, weight, plane);
}

/* z with holes and gap filled, and its bounds. */
static dcv_status start_tile(dcv_cl *cl, const dcv_cl_tile *t, bool holes)
{
  cl_mem *const m = cl->memory;
  const int channels = cl->job.channels;
  const float saturation = cl->job.saturation;
  DCV_TRY(launch(cl, K_bound, t->width, t->height, channels, ARGS(ARG(*t), ARG(saturation), ARG(m[Z]), ARG(m[BOUND]))));
  for(int pass = 0; holes && pass <= DCV_HOLE_PASSES; pass++) /* there and back; the last in place */
  {
    const int last = pass == DCV_HOLE_PASSES, from = pass % 2 == 0 ? Z : MODEL, to = last || pass % 2 == 1 ? Z : MODEL;
    DCV_TRY(launch(cl, K_fill_holes, t->data_width, t->data_height, channels, ARGS(ARG(*t), ARG(last), ARG(m[from]), ARG(m[to]))));
  }
  DCV_TRY(launch(cl, K_extend_columns, t->data_width, t->height - t->data_height, channels, ARGS(ARG(*t), ARG(m[Z]))));
  return launch(cl, K_extend_rows, t->width - t->data_width, t->height, channels, ARGS(ARG(*t), ARG(m[Z])));
}

/* b <- conj(K) Z; x, in the first iteration, the turned z. */
static dcv_status set_data(dcv_cl *cl, const dcv_cl_tile *t, bool first)
{
  cl_mem *const m = cl->memory;
  const int correlate = 1;
  if(cl->turned)
    DCV_TRY(launch(cl, K_turn, t->width, t->height, 1, ARGS(ARG(*t), ARG(m[Z]), ARG(m[MODEL]))));
  else
    DCV_TRY(copy_planes(cl, Z, MODEL));
  if(first) DCV_TRY(copy_planes(cl, MODEL, X0));
  DCV_TRY(transform(cl, false, MODEL));
  return launch(cl, K_multiply, t->columns, t->height, 1, ARGS(ARG(*t), ARG(correlate), ARG(cl->next), ARG(m[OTF]), ARG(m[MODEL]), ARG(m[B])));
}

/* z renewed from the model. */
static dcv_status impute(dcv_cl *cl, const dcv_cl_tile *t)
{
  cl_mem *const m = cl->memory;
  if(cl->turned) DCV_TRY(launch(cl, K_turn_back, t->width, t->height, 1, ARGS(ARG(*t), ARG(m[MODEL]))));
  return launch(cl, K_impute, t->width, t->height, cl->job.channels, ARGS(ARG(*t), ARG(m[MODEL]), ARG(m[BOUND]), ARG(m[Z])));
}

/* The iterations of solve/admm.c; *x becomes the place of the result. */
static dcv_status iterate(dcv_cl *cl, const dcv_cl_tile *t, bool unknown, int *x)
{
  cl_mem *const m = cl->memory;
  const int iterations = cl->job.iterations, product = 0;
  const float growth = powf(DCV_GROWTH, 1.0f / (float)DCV_MAX(iterations - 1, 1));
  float rho = dcv_job_rho(&cl->job);
  DCV_TRY(fill_zero(cl, U0));
  for(int i = 0; i < iterations; i++, rho *= growth)
  {
    const int from = i % 2, to = 1 - from;
    const float r = rho / cl->job.lam;
    if(i > 0 && unknown) DCV_TRY(impute(cl, t));
    if(i == 0 || unknown) DCV_TRY(set_data(cl, t, i == 0));
    DCV_TRY(launch(cl, K_tv_shrink, t->width, t->height, 1,
                   ARGS(ARG(*t), ARG(cl->turned), ARG(rho), ARG(growth), ARG(m[X0 + from]), ARG(m[U0 + from]), ARG(m[X0 + to]), ARG(m[U0 + to]))));
    DCV_TRY(transform(cl, false, X0 + to));
    DCV_TRY(launch(cl, K_divide, t->columns, t->height, 1,
                   ARGS(ARG(*t), ARG(cl->turned), ARG(r), ARG(cl->next), ARG(m[OTF]), ARG(m[POWER]), ARG(m[B]), ARG(m[X0 + to]))));
    if(unknown && i < iterations - 1)
    {
      DCV_TRY(launch(cl, K_multiply, t->columns, t->height, 1,
                     ARGS(ARG(*t), ARG(product), ARG(cl->next), ARG(m[OTF]), ARG(m[X0 + to]), ARG(m[MODEL]))));
      DCV_TRY(transform(cl, true, MODEL));
    }
    DCV_TRY(transform(cl, true, X0 + to));
    *x = X0 + to;
  }
  if(cl->turned) DCV_TRY(launch(cl, K_turn_back, t->width, t->height, 1, ARGS(ARG(*t), ARG(m[*x]))));
  return DCV_OK;
}

/* The tile's own numbers, and its place in the strip, which begins at row `top` of the picture. */
static dcv_cl_tile describe(const dcv_cl *cl, const dcv_tile *tile, int top, dcv_cl_strip *strip)
{
  const int edge = dcv_boundary_edge(cl->tiling.gap);
  dcv_cl_tile t = cl->tile;
  t.data_width = tile->x1 - tile->x0, t.data_height = tile->y1 - tile->y0;
  t.edge_x = tile->frame_x ? edge : 0, t.edge_y = tile->frame_y ? edge : 0;
  t.reach = tile->frame_x || tile->frame_y ? dcv_boundary_reach(cl->job.psf->size / 2) : 0;
  *strip = (dcv_cl_strip){ .width = cl->tiling.width, .step = cl->step, .x0 = tile->x0, .y0 = tile->y0 - top };
  return t;
}

static dcv_status run_tile(dcv_cl *cl, int ix, int iy, int found)
{
  cl_mem *const m = cl->memory;
  const dcv_tile tile = dcv_tiling_at(&cl->tiling, ix, iy);
  dcv_cl_strip strip;
  const dcv_cl_tile t = describe(cl, &tile, tile.y0, &strip);
  int x = X0;
  bool lamps = false;
  DCV_TRY(launch(cl, K_load, t.data_width, t.data_height, 1, ARGS(ARG(strip), ARG(t), ARG(m[STRIP_IN]), ARG(m[Z]))));
  if(found & DCV_HAS_CLIPPED) DCV_TRY(hide_lamps(cl, &t, &lamps));
  DCV_TRY(start_tile(cl, &t, lamps || (found & DCV_HAS_HOLES)));
  DCV_TRY(iterate(cl, &t, t.reach > 0 || found, &x));
  if(lamps) DCV_TRY(launch(cl, K_fade, t.data_width, t.data_height, 1, ARGS(ARG(strip), ARG(t), ARG(m[WEIGHT]), ARG(m[STRIP_IN]), ARG(m[x]))));
  const int *const rx = cl->ranges + 2 * ix, *const ry = cl->ranges + 2 * (cl->tiling.tiles_x + iy);
  const dcv_cl_strip to = { .width = strip.width, .step = strip.step, .x0 = rx[0], .y0 = 0 };
  const int left = rx[0] - tile.x0, top = ry[0] - tile.y0, width = rx[1] - rx[0], height = ry[1] - ry[0];
  const int first_x = ix * t.width, first_y = iy * t.height;
  DCV_TRY(launch(cl, K_add, width, height, 1,
                 ARGS(ARG(to), ARG(t), ARG(left), ARG(top), ARG(width), ARG(height), ARG(m[RAMP_X]), ARG(m[RAMP_Y]), ARG(first_x), ARG(first_y), ARG(m[x]),
                      ARG(m[STRIP_OUT]))));
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

/* What the tiles of a row hold; flags: tiles_x of them. */
static dcv_status inspect(dcv_cl *cl, int iy, cl_int *flags)
{
  cl_mem *const m = cl->memory;
  const float saturation = cl->job.saturation;
  DCV_TRY(fill_zero(cl, FLAGS));
  for(int ix = 0; ix < cl->tiling.tiles_x; ix++)
  {
    const dcv_tile tile = dcv_tiling_at(&cl->tiling, ix, iy);
    dcv_cl_strip strip;
    const dcv_cl_tile t = describe(cl, &tile, tile.y0, &strip);
    DCV_TRY(launch(cl, K_census, t.data_width, 1, 1, ARGS(ARG(strip), ARG(t), ARG(saturation), ARG(ix), ARG(m[STRIP_IN]), ARG(m[FLAGS]))));
  }
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, m[FLAGS], CL_TRUE, 0, sizeof(cl_int) * cl->tiling.tiles_x, flags, 0, NULL, NULL));
  return DCV_OK;
}

static dcv_status run_strip(dcv_cl *cl, int iy, cl_int *flags, const dcv_cl_pictures *p, const dcv_callbacks *callbacks, dcv_result *result)
{
  const dcv_tiling *t = &cl->tiling;
  const dcv_tile tile = dcv_tiling_at(t, 0, iy);
  const int *const range = cl->ranges + 2 * (t->tiles_x + iy);
  double last = dcv_seconds();
  DCV_TRY(p->in ? host_rows(cl, p->in, tile.y0, tile.y1, true) : device_rows(cl, p->device_in, tile.y0, tile.y1, true));
  DCV_TRY(start_strip(cl, iy, tile.y0, !p->in));
  DCV_TRY(inspect(cl, iy, flags));
  dcv_lap(&last, &result->seconds_load);
  for(int ix = 0; ix < t->tiles_x; ix++)
  {
    if(dcv_cancelled(callbacks)) return DCV_ERROR_CANCELLED;
    DCV_TRY(run_tile(cl, ix, iy, flags[ix]));
    dcv_progress(callbacks, 0.99 * (iy * t->tiles_x + ix + 1) / (t->tiles_x * t->tiles_y));
  }
  dcv_lap(&last, &result->seconds_pixel);
  const int finished = iy == t->tiles_y - 1 ? range[1] : range[2]; /* the rows below get a contribution more */
  DCV_TRY(p->out ? host_rows(cl, p->out, range[0], finished, false) : device_rows(cl, p->device_out, range[0], finished, false));
  dcv_lap(&last, &result->seconds_store);
  return DCV_OK;
}

dcv_status dcv_cl_run(dcv_cl *cl, const dcv_cl_pictures *pictures, const dcv_callbacks *callbacks, dcv_result *result)
{
  cl_int flags[DCV_SIDE_MAX / 32], counts[2] = { 0, 0 };
  if(cl->tiling.tiles_x > (int)(sizeof(flags) / sizeof(*flags))) return DCV_ERROR_SIZE;
  DCV_TRY(fill_zero(cl, COUNTS));
  for(int iy = 0; iy < cl->tiling.tiles_y; iy++) DCV_TRY(run_strip(cl, iy, flags, pictures, callbacks, result));
  DCV_CL_TRY(clEnqueueReadBuffer(cl->queue, cl->memory[COUNTS], CL_TRUE, 0, sizeof(counts), counts, 0, NULL, NULL));
  result->unknown_pixels += counts[0], result->clipped_pixels += counts[1];
  return counts[0] == (int64_t)cl->tiling.width * cl->tiling.height ? DCV_ERROR_DATA : DCV_OK;
}
