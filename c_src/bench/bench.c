/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dcv-bench: verifies the library on a picture with a known answer, then times every stage for sizes x PSF sizes x solvers x threads and sets
 * the restoration beside the bare FFTs that it needed: as many real transforms of the plan's size, by the same FFTW with the same planning
 * effort, on as many threads, each repeating on one buffer of its own that stays in cache as far as it can. Both are measured in turn
 * and the medians compared, so that a busy machine disturbs both alike.
 *
 * On an OpenCL device the limit is another: the bytes that each stage must at least move, over the bandwidth that copies within the device's memory reach in
 * the same run (or that its data sheet states, --bandwidth).
 *
 * Exit codes: 0 verified and timed, 1 verification or a call failed, 2 usage.
 */
#include "dcv.h"
#include "scene.h"

#include <fftw3.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { LIST_MAX = 16, REPEAT_MAX = 101, ESTIMATE_WINDOW = 255, VERIFY_SIDE = 256 };
#define NOISE 0.005f

typedef struct options {
  int width[LIST_MAX], height[LIST_MAX], sizes;
  int psf[LIST_MAX], psfs;
  int threads[LIST_MAX], thread_counts;
  int solver[LIST_MAX], solvers;
  int repeat, window;
  blur_kind blur;
  bool json;
  double bandwidth; /* of the device, bytes a second; 0 on the CPU */
  const char *input;
  dcv_params params;
} options;

static const char *const blur_name[BLUR_COUNT] = { "gaussian", "disk", "motion", "shake" };

/* ---- output: a table for people or one JSON object ------------------------------------------------------------------------------- */

static bool json_output;

static void table(const char *format, ...)
{
  if(json_output) return;
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  fflush(stdout);
}

static void json(const char *format, ...)
{
  if(!json_output) return;
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
}

static int usage(const char *problem, const char *what)
{
  fprintf(stderr, "dcv-bench: %s%s%s\n", problem, what ? ": " : "", what ? what : "");
  return 2;
}

static bool check(dcv_status status, const char *what)
{
  if(status != DCV_OK) fprintf(stderr, "dcv-bench: %s: %s%s%s\n", what, dcv_status_string(status), status == DCV_ERROR_BACKEND ? ": " : "",
                                 status == DCV_ERROR_BACKEND ? dcv_backend_message() : "");
  return status == DCV_OK;
}

static const dcv_param_info *parameter(const char *name, size_t length)
{
  const dcv_param_info *row;
  for(int i = 0; (row = dcv_params_describe(i)); i++)
    if(strlen(row->name) == length && strncmp(row->name, name, length) == 0) break;
  return row;
}

/* Position of a name in "a|b|c", or -1. */
static int choice(const char *choices, const char *name, size_t length)
{
  for(int i = 0;; i++)
  {
    const size_t n = strcspn(choices, "|");
    if(n == length && strncmp(choices, name, n) == 0) return i;
    if(!choices[n]) return -1;
    choices += n + 1;
  }
}

/* Name of solver number `index`; its length goes to *length. */
static const char *solver_name(int index, int *length)
{
  const char *name = parameter("solver", 6)->choices;
  for(; index > 0; index--) name = strchr(name, '|') + 1;
  *length = (int)strcspn(name, "|");
  return name;
}

/* ---- measuring ------------------------------------------------------------------------------------------------------------------- */

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count)
{
  qsort(values, (size_t)count, sizeof(*values), ascending);
  return 0.5 * (values[count / 2] + values[(count - 1) / 2]);
}

static double peak_bytes(void)
{
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return 1024.0 * (double)use.ru_maxrss;
}

/* The limit: real transforms of one size, shared out among threads. Values stay zero, which costs the same as any other. */
typedef struct bare_fft {
  int count, threads;
  size_t floats; /* of one buffer */
  float *buffers;
  fftwf_plan forward, inverse;
} bare_fft;

static bool bare_create(bare_fft *bare, const dcv_plan_info *info, int planning)
{
  static const unsigned effort[] = { FFTW_ESTIMATE, FFTW_MEASURE, FFTW_PATIENT };
  const int width = info->transform_width, height = info->transform_height, size[2] = { height, width };
  /* Rows of whole cache lines, an odd number of them: a power of two between rows would make the columns collide in the cache. */
  const int stride = (2 * (width / 2 + 1) + 15) / 16 * 16 | 16, spectrum[2] = { height, stride / 2 }, plane[2] = { height, stride };

  *bare = (bare_fft){ .count = info->transforms, .threads = info->threads, .floats = (size_t)stride * (size_t)height };
  bare->buffers = fftwf_alloc_real(bare->floats * (size_t)bare->threads);
  if(!bare->buffers) return false;
  fftwf_complex *const out = (fftwf_complex *)bare->buffers;
  bare->forward = fftwf_plan_many_dft_r2c(2, size, 1, bare->buffers, plane, 1, 0, out, spectrum, 1, 0, effort[planning]);
  bare->inverse = fftwf_plan_many_dft_c2r(2, size, 1, out, spectrum, 1, 0, bare->buffers, plane, 1, 0, effort[planning]);
  memset(bare->buffers, 0, sizeof(float) * bare->floats * (size_t)bare->threads);
  return bare->forward && bare->inverse;
}

static void bare_clear(bare_fft *bare)
{
  if(bare->forward) fftwf_destroy_plan(bare->forward);
  if(bare->inverse) fftwf_destroy_plan(bare->inverse);
  fftwf_free(bare->buffers);
}

static double bare_seconds(const bare_fft *bare)
{
  const double start = now();
#pragma omp parallel for schedule(static) num_threads(bare->threads)
  for(int t = 0; t < bare->threads; t++)
  {
    float *const buffer = bare->buffers + bare->floats * (size_t)t;
    const int share = bare->count / bare->threads + (t < bare->count % bare->threads);
    for(int i = 0; i < share; i++)
      if(i % 2 == 0)
        fftwf_execute_dft_r2c(bare->forward, buffer, (fftwf_complex *)buffer);
      else
        fftwf_execute_dft_c2r(bare->inverse, (fftwf_complex *)buffer, buffer);
  }
  return now() - start;
}

/* ---- verification ---------------------------------------------------------------------------------------------------------------- */

static bool same_bits(const dcv_image *a, const dcv_image *b)
{
  return memcmp(a->data, b->data, sizeof(float) * (size_t)(a->row_stride * a->height)) == 0;
}

static bool all_finite(const dcv_image *image)
{
  for(ptrdiff_t i = 0; i < image->row_stride * image->height; i++)
    if(!isfinite(image->data[i])) return false;
  return true;
}

/* Blurs a drawn scene, restores it with the true PSF on one thread and on several: the error must fall, every value be finite, the bits agree. */
static bool verify_restoration(const options *opt, int psf_size, int solver, bool *first)
{
  const int side = VERIFY_SIDE, margin = psf_size / 2;
  float weights[DCV_PSF_MAX * DCV_PSF_MAX];
  dcv_psf psf = { weights, psf_size, 1 };
  dcv_image sharp = image_make(side + 2 * margin, side + 2 * margin), blurred = image_make(side, side);
  dcv_image one = image_make(side, side), many = image_make(side, side);
  bool ok = sharp.data && blurred.data && one.data && many.data && check(scene_psf(&psf, opt->blur), "PSF");
  double before = NAN, after = NAN;
  if(ok)
  {
    scene_draw(&sharp);
    scene_blur(&sharp, &psf, NOISE, &blurred);
    dcv_params params = opt->params;
    params.solver = solver;
    params.threads = 1;
    ok = check(dcv_deconvolve(&params, &blurred, &one, &psf, NULL, NULL), "restoration");
    params.threads = 3;
    ok = ok && check(dcv_deconvolve(&params, &blurred, &many, &psf, NULL, NULL), "restoration");
  }
  if(ok)
  {
    before = scene_psnr(&blurred, &sharp, margin, 0);
    after = scene_psnr(&one, &sharp, margin, 0);
    const bool gains = after > before + 0.5, finite = all_finite(&one), same = same_bits(&one, &many);
    if(!gains) fprintf(stderr, "dcv-bench: PSF %d: %.2f dB blurred, only %.2f dB restored\n", psf_size, before, after);
    if(!finite) fprintf(stderr, "dcv-bench: PSF %d: a restored value is not finite\n", psf_size);
    if(!same) fprintf(stderr, "dcv-bench: PSF %d: one thread and three differ\n", psf_size);
    ok = gains && finite && same;
    int length;
    const char *const name = solver_name(solver, &length);
    if(ok) table("verified   %.*s, PSF %d: PSNR %.2f -> %.2f dB, finite, same bits on 1 and 3 threads\n", length, name, psf_size, before, after);
    json("%s{\"solver\": \"%.*s\", \"psf\": %d, \"psnr_blurred_db\": %.3f, \"psnr_restored_db\": %.3f, \"passed\": %s}", *first ? "" : ", ", length,
         name, psf_size, before, after, ok ? "true" : "false");
    *first = false;
  }
  image_clear(&sharp), image_clear(&blurred), image_clear(&one), image_clear(&many);
  return ok;
}

/* ---- stages ---------------------------------------------------------------------------------------------------------------------- */

static double correlation(const dcv_psf *a, const dcv_psf *b)
{
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for(int i = 0; i < a->size * a->size; i++)
  {
    ab += (double)a->data[i] * (double)b->data[i];
    aa += (double)a->data[i] * (double)a->data[i];
    bb += (double)b->data[i] * (double)b->data[i];
  }
  return ab / sqrt(aa * bb);
}

static bool time_estimate(const options *opt, int psf_size, int threads, bool *first)
{
  const int side = opt->window, margin = psf_size / 2;
  float true_weights[DCV_ESTIMATE_MAX * DCV_ESTIMATE_MAX], weights[DCV_ESTIMATE_MAX * DCV_ESTIMATE_MAX];
  dcv_psf truth = { true_weights, psf_size, 1 }, psf = { weights, psf_size, 1 };
  dcv_image sharp = image_make(side + 2 * margin, side + 2 * margin), blurred = image_make(side, side);
  dcv_params params = opt->params;
  params.threads = threads;
  uint64_t bytes = 0;
  bool ok = sharp.data && blurred.data && check(scene_psf(&truth, opt->blur), "PSF")
            && check(dcv_estimate_memory(&params, side, side, psf_size, &bytes), "memory of the estimate");
  double seconds[REPEAT_MAX];
  if(ok)
  {
    scene_draw(&sharp);
    scene_blur(&sharp, &truth, NOISE, &blurred);
  }
  for(int i = 0; ok && i < opt->repeat; i++)
  {
    const double start = now();
    ok = check(dcv_estimate_psf(&params, &blurred, psf_size, &psf, NULL, NULL), "estimate");
    seconds[i] = now() - start;
  }
  if(ok)
  {
    const double typical = median(seconds, opt->repeat), match = correlation(&psf, &truth);
    table("%4d x %-4d %4d %8d %10.1f %10.1f %12.3f\n", side, side, psf_size, threads, 1e3 * typical, 1e-6 * (double)bytes, match);
    json("%s{\"window\": %d, \"psf\": %d, \"threads\": %d, \"seconds\": %.6g, \"bytes\": %llu, \"correlation\": %.4f}", *first ? "" : ", ", side,
         psf_size, threads, typical, (unsigned long long)bytes, match);
    *first = false;
  }
  image_clear(&sharp), image_clear(&blurred);
  return ok;
}

/* One execute with a pause after every stage: time, bytes, and how near the device's bandwidth comes. */
static bool time_stages(const options *opt, dcv_plan *plan, const dcv_image *in, dcv_image *out, bool first)
{
  enum { MOST = 32 };
  dcv_stage stages[MOST];
  if(!check(dcv_plan_time_stages(plan, 1), "timing") || !check(dcv_plan_execute(plan, in, out, NULL, NULL), "execute")) return false;
  dcv_plan_time_stages(plan, 0);
  const int count = dcv_plan_stages(plan, stages, MOST);
  double seconds = 0.0, limit = 0.0;
  table("%14s %-16s %7s %10s %10s %8s %8s\n", "", "stage", "calls", "ms", "MB", "GB/s", "of limit");
  for(int i = 0; i < count; i++)
  {
    const dcv_stage *const s = stages + i;
    const double rate = (double)s->bytes / s->seconds;
    const bool inside = strcmp(s->name, "upload") != 0 && strcmp(s->name, "download") != 0; /* the way to the device has a limit of its own */
    if(inside) seconds += s->seconds, limit += (double)s->bytes / opt->bandwidth;
    table("%14s %-16s %7lld %10.2f %10.1f %8.2f", "", s->name, (long long)s->calls, 1e3 * s->seconds, 1e-6 * (double)s->bytes, 1e-9 * rate);
    if(inside) table(" %7.1f%%", 100.0 * rate / opt->bandwidth);
    table("\n");
    json("%s{\"stage\": \"%s\", \"calls\": %lld, \"seconds\": %.6g, \"bytes\": %lld}", i == 0 && first ? "" : ", ", s->name, (long long)s->calls, s->seconds,
         (long long)s->bytes);
  }
  table("%14s all on the device: %.2f ms, %.1f %% of the limit of %.1f GB/s\n", "", 1e3 * seconds, 100.0 * limit / seconds, 1e-9 * opt->bandwidth);
  return true;
}

static bool time_restoration(const options *opt, const dcv_image *in, dcv_image *out, const dcv_psf *psf, int solver, int threads, bool *first)
{
  dcv_params params = opt->params;
  params.solver = solver;
  params.threads = threads;
  dcv_plan *plan = NULL;
  dcv_plan_info info = { .struct_size = sizeof(info) };
  dcv_result result = { .struct_size = sizeof(result) };
  bare_fft bare = { 0 };
  float noise[3];

  const double t0 = now();
  bool ok = check(dcv_noise_estimate(in, params.channels, noise), "noise");
  const double t1 = now();
  ok = ok && check(dcv_params_resolve(&params, in, psf, NULL), "resolve");
  const double t2 = now();
  ok = ok && check(dcv_plan_create(&plan, &params, in->width, in->height, psf), "plan");
  const double t3 = now();
  ok = ok && check(dcv_plan_describe(plan, &info), "describe");
  if(ok && !params.backend && !bare_create(&bare, &info, params.planning)) ok = check(DCV_ERROR_FFT, "bare FFT");

  double execute[REPEAT_MAX], limit[REPEAT_MAX];
  for(int i = 0; ok && i < opt->repeat; i++)
  {
    const double start = now();
    ok = check(dcv_plan_execute(plan, in, out, NULL, &result), "execute");
    execute[i] = now() - start;
    limit[i] = params.backend ? 0.0 : bare_seconds(&bare);
  }
  if(ok)
  {
    const double pixels = (double)in->width * in->height, seconds = median(execute, opt->repeat), fft = median(limit, opt->repeat);
    const double ratio = fft > 0.0 ? seconds / fft : 0.0;
    char tiles[32];
    int length;
    const char *const name = solver_name(solver, &length);
    snprintf(tiles, sizeof(tiles), "%dx%d of %dx%d", info.tiles_x, info.tiles_y, info.transform_width, info.transform_height);
    table("%5d x %-5d %4d %-6.*s %3d %7.1f %7.1f %7.1f %9.4f %9.4f %6.2f %7.1f %5d %5d %-20s %8.1f\n", in->width, in->height, psf->size, length, name, threads,
          1e3 * (t1 - t0), 1e3 * (t2 - t1), 1e3 * (t3 - t2), seconds, fft, ratio, 1e9 * seconds / pixels, result.iterations, info.halo, tiles,
          1e-6 * (double)info.bytes);
    if(params.backend)
      table("%14s %.4f s without transfers (in %.4f s, out %.4f s), %d tiles at once\n", "", result.seconds_pixel, result.seconds_load, result.seconds_store,
            info.batch);
    json("%s{\"width\": %d, \"height\": %d, \"psf\": %d, \"threads\": %d, \"solver\": \"%.*s\", \"noise_seconds\": %.6g, \"resolve_seconds\": %.6g, "
         "\"plan_seconds\": %.6g, \"execute_seconds\": %.6g, \"bare_fft_seconds\": %.6g, \"ratio\": %.4g, \"ns_per_pixel\": %.5g, "
         "\"iterations\": %d, \"transforms\": %d, \"transform_width\": %d, \"transform_height\": %d, \"tiles_x\": %d, \"tiles_y\": %d, "
         "\"halo\": %d, \"blend\": %d, \"noise\": %.6g, \"lam\": %.6g, \"rho\": %.6g, \"plan_bytes\": %llu, \"seconds_load\": %.6g, "
         "\"seconds_fft\": %.6g, \"seconds_pixel\": %.6g, \"seconds_store\": %.6g, \"batch\": %d, \"stages\": [",
         *first ? "" : ", ", in->width, in->height, psf->size, threads, length, name, t1 - t0, t2 - t1, t3 - t2, seconds, fft, ratio,
         1e9 * seconds / pixels, result.iterations, info.transforms, info.transform_width, info.transform_height, info.tiles_x, info.tiles_y,
         info.halo, info.blend, (double)info.noise, (double)info.lam, (double)info.rho, (unsigned long long)info.bytes, result.seconds_load,
         result.seconds_fft, result.seconds_pixel, result.seconds_store, info.batch);
    *first = false;
    if(params.backend) ok = time_stages(opt, plan, in, out, true);
    json("]}");
  }
  bare_clear(&bare);
  dcv_plan_destroy(plan);
  return ok;
}

/* Draws (or takes) one picture, blurs it with one PSF and times it with each solver and number of threads. */
static bool time_picture(const options *opt, const dcv_image *input, int width, int height, int psf_size, bool *first)
{
  const int margin = psf_size / 2;
  float weights[DCV_PSF_MAX * DCV_PSF_MAX];
  dcv_psf psf = { weights, psf_size, 1 };
  if(!check(scene_psf(&psf, opt->blur), "PSF")) return false;

  dcv_image blurred = { 0 }, out = image_make(width + 2 * margin, height + 2 * margin);
  if(!input) blurred = image_make(width, height);
  const dcv_image *const in = input ? input : &blurred;
  bool ok = out.data && in->data;
  if(!ok) check(DCV_ERROR_MEMORY, "pictures");
  if(ok && !input)
  {
    /* `out` holds the sharp scene until the first result. */
    scene_draw(&out);
    scene_blur(&out, &psf, NOISE, &blurred);
  }
  out.width = width, out.height = height, out.row_stride = (ptrdiff_t)width * SCENE_STRIDE;
  for(int s = 0; ok && s < opt->solvers; s++)
    for(int t = 0; ok && t < opt->thread_counts; t++) ok = time_restoration(opt, in, &out, &psf, opt->solver[s], opt->threads[t], first);
  image_clear(&blurred), image_clear(&out);
  return ok;
}

/* ---- command line ---------------------------------------------------------------------------------------------------------------- */

static const char help[] =
  "dcv-bench [options]: verify, then time noise estimate, PSF estimate and restoration\n"
  "  --sizes WxH,...      pictures (default 1024x1024)\n"
  "  --psf N,...          PSF sizes, odd (default 15)\n"
  "  --solvers NAME,...   solvers (default admm)\n"
  "  --threads N,...      thread counts (default 1 and all)\n"
  "  --blur KIND          gaussian, disk, motion or shake (default)\n"
  "  --window N           side of the window of the PSF estimate (default 255)\n"
  "  --repeat N           repetitions; medians are shown (default 5)\n"
  "  --input FILE         time on this PPM (8 or 16 bits) or PFM picture instead of a drawn one\n"
  "  --flavour NAME       fast, normal or best\n"
  "  --device N           restore on OpenCL device N; also shows the last repetition without transfers, and the stages\n"
  "  --bandwidth GB/S     of the device's memory, from its data sheet (default: measured by copies)\n"
  "  --set NAME=VALUE     any restoration parameter, e.g. iterations=5, planning=patient\n"
  "  --json               one JSON object instead of tables\n"
  "  --help\n";

/* Numbers separated by commas into list; false when one is not in min..max. */
static bool read_list(const char *text, int min, int max, int *list, int *count)
{
  for(*count = 0; *count < LIST_MAX;)
  {
    char *end;
    const long value = strtol(text, &end, 10);
    if(end == text || value < min || value > max || (*end && *end != ',')) return false;
    list[(*count)++] = (int)value;
    if(!*end) return true;
    text = end + 1;
  }
  return false;
}

static bool read_solvers(const char *text, options *opt)
{
  for(opt->solvers = 0; opt->solvers < LIST_MAX;)
  {
    const size_t n = strcspn(text, ",");
    const int index = choice(parameter("solver", 6)->choices, text, n);
    if(index < 0) return false;
    opt->solver[opt->solvers++] = index;
    if(!text[n]) return true;
    text += n + 1;
  }
  return false;
}

static bool read_sizes(const char *text, options *opt)
{
  for(opt->sizes = 0; opt->sizes < LIST_MAX;)
  {
    int width, height, used = 0;
    if(sscanf(text, "%5dx%5d%n", &width, &height, &used) != 2 || width < 1 || height < 1 || width > 32768 || height > 32768) return false;
    opt->width[opt->sizes] = width;
    opt->height[opt->sizes++] = height;
    if(!text[used]) return true;
    if(text[used] != ',') return false;
    text += used + 1;
  }
  return false;
}

static bool set_parameter(dcv_params *params, const char *text)
{
  const char *const equals = strchr(text, '=');
  if(!equals) return false;
  const dcv_param_info *const row = parameter(text, (size_t)(equals - text));
  if(!row) return false;
  char *end;
  double value = strtod(equals + 1, &end);
  if(row->type == DCV_TYPE_ENUM)
    value = choice(row->choices, equals + 1, strlen(equals + 1));
  else if(end == equals + 1 || *end)
    return false;
  if(row->type == DCV_TYPE_FLOAT)
    *(float *)((char *)params + row->offset) = (float)value;
  else
    *(int32_t *)((char *)params + row->offset) = (int32_t)value;
  return dcv_params_check(params, NULL) == DCV_OK;
}

/* 0, or the exit code. */
static int read_options(int argc, char **argv, options *opt)
{
  *opt = (options){ .width = { 1024 }, .height = { 1024 }, .psf = { 15 }, .threads = { 1, dcv_max_threads() } };
  opt->sizes = opt->psfs = opt->solvers = 1;
  opt->thread_counts = dcv_max_threads() > 1 ? 2 : 1;
  opt->repeat = 5, opt->window = ESTIMATE_WINDOW, opt->blur = BLUR_SHAKE;
  dcv_params_init(&opt->params);

  for(int i = 1; i < argc; i++)
  {
    const char *const name = argv[i];
    if(strcmp(name, "--json") == 0)
    {
      opt->json = true;
      continue;
    }
    if(strcmp(name, "--help") == 0)
    {
      fputs(help, stdout);
      exit(0);
    }
    if(i + 1 == argc) return usage("unknown option, or one without its value", name);
    const char *const value = argv[++i];
    int count;
    bool good;
    if(strcmp(name, "--sizes") == 0)
      good = read_sizes(value, opt);
    else if(strcmp(name, "--psf") == 0)
    {
      good = read_list(value, 1, DCV_PSF_MAX, opt->psf, &opt->psfs);
      for(int k = 0; good && k < opt->psfs; k++) good = opt->psf[k] % 2 == 1 && opt->psf[k] >= 3;
    }
    else if(strcmp(name, "--solvers") == 0)
      good = read_solvers(value, opt);
    else if(strcmp(name, "--threads") == 0)
      good = read_list(value, 1, 1024, opt->threads, &opt->thread_counts);
    else if(strcmp(name, "--window") == 0)
      good = read_list(value, 33, 4096, &opt->window, &count) && count == 1;
    else if(strcmp(name, "--repeat") == 0)
      good = read_list(value, 1, REPEAT_MAX, &opt->repeat, &count) && count == 1;
    else if(strcmp(name, "--blur") == 0)
    {
      const int kind = choice("gaussian|disk|motion|shake", value, strlen(value));
      good = kind >= 0;
      if(good) opt->blur = (blur_kind)kind;
    }
    else if(strcmp(name, "--flavour") == 0)
    {
      const int flavour = choice("fast|normal|best", value, strlen(value));
      good = flavour >= 0 && dcv_params_flavour(&opt->params, (dcv_flavour)flavour) == DCV_OK;
    }
    else if(strcmp(name, "--device") == 0)
    {
      good = read_list(value, 0, 31, &opt->params.device, &count) && count == 1;
      opt->params.backend = 1;
    }
    else if(strcmp(name, "--bandwidth") == 0)
    {
      char *end;
      opt->bandwidth = 1e9 * strtod(value, &end);
      good = end != value && !*end && opt->bandwidth > 0.0;
    }
    else if(strcmp(name, "--set") == 0)
      good = set_parameter(&opt->params, value);
    else if(strcmp(name, "--input") == 0)
      good = (opt->input = value) != NULL;
    else
      return usage("unknown option", name);
    if(!good)
    {
      fprintf(stderr, "dcv-bench: unusable value: %s %s\n", name, value);
      return 2;
    }
  }
  return 0;
}

static bool find_device(options *opt)
{
  enum { MOST = 32 };
  dcv_device list[MOST];
  const int count = dcv_devices(list, MOST), index = opt->params.device;
  if(index < count)
    table("device %d: %s (%s, %s), %.0f MB\n", index, list[index].name, list[index].platform, list[index].driver, 1e-6 * (double)list[index].memory);
  return opt->bandwidth > 0.0 || check(dcv_device_bandwidth(index, &opt->bandwidth), "bandwidth");
}

static bool run(options *opt, const dcv_image *input)
{
  if(opt->params.backend && !find_device(opt)) return false;
  table("%s\nblur %s, noise %g, %d repetitions\n\n", dcv_build_info(), blur_name[opt->blur], (double)NOISE, opt->repeat);
  json("{\"build\": \"%s\", \"blur\": \"%s\", \"noise\": %g, \"repeat\": %d, \"bandwidth\": %g, \"verification\": [", dcv_build_info(), blur_name[opt->blur],
       (double)NOISE, opt->repeat, opt->bandwidth);
  bool ok = true, first = true;
  for(int p = 0; p < opt->psfs; p++)
    for(int s = 0; s < opt->solvers; s++) ok = verify_restoration(opt, opt->psf[p], opt->solver[s], &first) && ok;
  first = true;
  json("], \"estimate\": [");

  if(ok) table("\nPSF estimate (correlation with the true PSF)\n%11s %4s %8s %10s %10s %12s\n", "window", "PSF", "threads", "ms", "MB", "correlation");
  for(int p = 0; ok && p < opt->psfs; p++)
    for(int t = 0; ok && t < opt->thread_counts; t++)
      if(opt->psf[p] <= DCV_ESTIMATE_MAX) ok = time_estimate(opt, opt->psf[p], opt->threads[t], &first);
  json("], \"restoration\": [");

  if(ok)
    table("\nrestoration\n%13s %4s %-6s %3s %7s %7s %7s %9s %9s %6s %7s %5s %5s %-20s %8s\n", "picture", "PSF", "solver", "thr", "noise", "resolve", "plan",
          "execute", "bare FFT", "ratio", "ns/px", "iter.", "halo", "tiles", "plan MB");
  if(ok) table("%29s %7s %7s %7s %9s %9s\n", "", "ms", "ms", "ms", "s", "s");
  first = true;
  for(int s = 0; ok && s < (input ? 1 : opt->sizes); s++)
    for(int p = 0; ok && p < opt->psfs; p++)
      ok = time_picture(opt, input, input ? input->width : opt->width[s], input ? input->height : opt->height[s], opt->psf[p], &first);
  table("\npeak memory of the whole run, pictures included: %.0f MB\n", 1e-6 * peak_bytes());
  json("], \"peak_bytes\": %.0f, \"passed\": %s}\n", peak_bytes(), ok ? "true" : "false");
  return ok;
}

int main(int argc, char **argv)
{
  options opt;
  const int wrong = read_options(argc, argv, &opt);
  if(wrong) return wrong;
  json_output = opt.json;
  if((dcv_version() / 100) != (DCV_VERSION / 100)) return usage("header and library differ in version", NULL);

  dcv_image input = { 0 };
  if(opt.input)
  {
    const char *const problem = scene_read(opt.input, &input);
    if(problem)
    {
      fprintf(stderr, "dcv-bench: %s: %s\n", opt.input, problem);
      return 1;
    }
  }
  const bool ok = run(&opt, opt.input ? &input : NULL);
  image_clear(&input);
  return ok ? 0 : 1;
}
