/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * estimate: the public face of stage 1. Validates, lays out the memory, lets several starts of the alternation (blind.h) and the Gaussian family compete.
 */
#include "ops/boundary.h"
#include "solve/blind.h"

#include <math.h>
#include <string.h>

#define CONTRAST 0.2      /* standard deviation the window is scaled to; the weights refer to it */
#define LAM_DECAY 1.15f   /* divisor per round */
#define LAM_FINE 1e-4     /* floor, reached by the refinement */
#define LAM_NOISE 10.0    /* the same, relative to the variance of the noise: below it the PSF gains a peak that copies the noise */
#define FINE_DECAY 2.0f   /* divisor per round of the refinement */
#define LAM_REFINE 1e-3f  /* start of the refinement */
#define SHARP 0.02        /* energy a PSF must gain on the delta to count */
#define CONFIDENCE 4.0    /* confidence 1 - exp(-CONFIDENCE gain) */
enum { ROUNDS = 5, REFINE_ROUNDS = 6, LEAST_SIDE = 16 };

/* Starts: weight of the gradient count at the coarsest scale, and the support as a share of the PSF size. */
static const struct { float lam; bool half; } STARTS[] = { { 0.3f, false }, { 0.1f, false }, { 0.01f, false }, { 0.1f, true } };
static const double GAUSSIANS[] = { 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0 }; /* px */
#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
enum { MOST = 16 };

typedef struct candidate {
  float k[DCV_BLIND_VALUES];
  double energy;
  int scales, size[DCV_BLIND_SCALES], rounds[DCV_BLIND_SCALES];
  float change[DCV_BLIND_SCALES];
} candidate;

typedef struct estimation {
  const dcv_callbacks *callbacks;
  int threads, size, levels, channels;
  dcv_blind_level level[DCV_BLIND_SCALES];
  float *memory;          /* one block: the window, the levels, the threads */
  float *gray;            /* the window, width x height, without gaps */
  float *thread_memory;
  size_t floats, thread_floats;
  candidate *candidates;
  int total, done, stop;  /* steps of progress */
} estimation;

static dcv_status lay_out(estimation *e, const dcv_params *params, int width, int height, int size)
{
  *e = (estimation){ .size = size, .channels = params->channels };
  int sizes[DCV_BLIND_SCALES];
  double zooms[DCV_BLIND_SCALES];
  if(size < 3 || size > DCV_ESTIMATE_MAX || size % 2 == 0) return DCV_ERROR_PSF;
  if(DCV_MIN(width, height) < DCV_MAX(size, LEAST_SIDE) || DCV_MAX(width, height) > DCV_SIDE_MAX) return DCV_ERROR_SIZE;
  e->levels = dcv_blind_schedule(size, sizes, zooms);
  e->floats = dcv_round_floats((size_t)width * height);
  for(int i = 0; i < e->levels; i++)
  {
    dcv_blind_level_layout(&e->level[i], width, height, sizes[i], zooms[i]);
    e->floats += dcv_blind_level_floats(&e->level[i]);
  }
  e->threads = DCV_MIN(dcv_threads(params->threads), MOST);
  e->thread_floats = dcv_blind_work_floats(&e->level[e->levels - 1]);
  e->floats += e->threads * e->thread_floats;
  return DCV_OK;
}

static size_t bytes_of(const estimation *e)
{
  return sizeof(float) * e->floats + MOST * sizeof(candidate);
}

dcv_status dcv_estimate_memory(const dcv_params *params, int width, int height, int size, uint64_t *bytes)
{
  if(!params || !bytes) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_params_check(params, NULL));
  estimation e;
  DCV_TRY(lay_out(&e, params, width, height, size));
  *bytes = bytes_of(&e) + sizeof(float) * e.level[e.levels - 1].fft.plane; /* FFTW's plans are made on a plane of their own */
  return DCV_OK;
}

/* k-th smallest of `count` values, which are reordered (Hoare). */
static float select_value(float *values, long count, long k)
{
  long low = 0, high = count - 1;
  while(low < high)
  {
    const float pivot = values[low + (high - low) / 2];
    long i = low, j = high;
    while(i <= j)
    {
      while(values[i] < pivot) i++;
      while(values[j] > pivot) j--;
      if(i <= j)
      {
        const float swap = values[i];
        values[i++] = values[j];
        values[j--] = swap;
      }
    }
    if(k <= j)
      high = j;
    else if(k >= i)
      low = i;
    else
      break;
  }
  return values[k];
}

/* Standard deviation of white noise: median absolute response to [1 -2 1] x [1 -2 1], norm 6 (Immerkaer, CVIU 64(2), 1996, with the median in place of
 * the mean). Responses with an unknown pixel do not count. scratch: width x height floats. */
static double noise_level(const float *y, int width, int height, float *scratch)
{
  long count = 0;
  for(int i = 0; i < height - 2; i++)
    for(int j = 0; j < width - 2; j++)
    {
      const float *a = y + (size_t)i * width + j, *b = a + width, *c = b + width;
      const float r = fabsf((a[0] - 2.0f * a[1] + a[2]) - 2.0f * (b[0] - 2.0f * b[1] + b[2]) + (c[0] - 2.0f * c[1] + c[2]));
      if(isfinite(r)) scratch[count++] = r;
    }
  if(count == 0) return 0.0;
  const double upper = select_value(scratch, count, count / 2), lower = count % 2 ? upper : select_value(scratch, count, count / 2 - 1);
  return (upper + lower) / 2.0 / (6.0 * 0.6745);
}

/* Weighted sum of the window's channels; not finite where one of them is not. */
static void mix(const dcv_image *window, const float *weights, int channels, float *out)
{
  for(int y = 0; y < window->height; y++)
    for(int x = 0; x < window->width; x++)
    {
      const float *p = window->data + y * window->row_stride + (ptrdiff_t)x * window->pixel_stride;
      float sum = 0.0f;
      for(int c = 0; c < channels; c++) sum += weights[c] * p[c];
      out[(size_t)y * window->width + x] = sum;
    }
}

/* e->gray <- the weighted channels, holes filled, times the returned factor to CONTRAST; 0 when it is flat, negative without a finite pixel.
 * *noise is measured unless it is set. */
static double load(estimation *e, const dcv_image *window, const float *weights, double *noise)
{
  dcv_blind_level *const finest = &e->level[e->levels - 1];
  const int width = window->width, height = window->height;
  mix(window, weights, e->channels, e->gray);
  if(*noise <= 0.0) *noise = noise_level(e->gray, width, height, e->thread_memory);
  const size_t stride = finest->fft.stride;
  for(int y = 0; y < height; y++) memcpy(finest->filled + y * stride, e->gray + (size_t)y * width, sizeof(float) * width);
  const long holes = dcv_boundary_fill_holes(&finest->fft, finest->filled, width, height, e->thread_memory);
  if(holes == (long)width * height) return -1.0;
  double mean = 0.0, square = 0.0, largest = 0.0;
  const double pixels = (double)width * height;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const double v = e->gray[(size_t)y * width + x] = finest->filled[y * stride + x];
      mean += v / pixels;
      largest = fmax(largest, fabs(v));
    }
  for(size_t i = 0; i < (size_t)width * height; i++) square += (e->gray[i] - mean) * (e->gray[i] - mean);
  const double deviation = sqrt(square / pixels);
  if(deviation <= 1e-6 * largest) return 0.0;
  const double scale = CONTRAST / fmax(deviation, 1e-12);
  for(size_t i = 0; i < (size_t)width * height; i++) e->gray[i] = (float)(e->gray[i] * scale);
  return scale;
}

/* Level i from e->gray. */
static void prepare(estimation *e, int width, int height, int i, const dcv_blind_work *work)
{
  dcv_blind_resize(e->gray, width, height, width, &e->level[i], work->x);
  dcv_blind_level_prepare(&e->level[i], work->rows);
}

/* A step is done: reports (from the calling thread) and asks whether to stop. */
static bool step(void *user)
{
  estimation *e = user;
  const int done = __atomic_add_fetch(&e->done, 1, __ATOMIC_RELAXED);
  if(dcv_cancelled(e->callbacks)) __atomic_store_n(&e->stop, 1, __ATOMIC_RELAXED);
#if defined(_OPENMP)
  if(omp_get_thread_num() == 0)
#endif
    dcv_progress(e->callbacks, 0.999 * done / e->total);
  return __atomic_load_n(&e->stop, __ATOMIC_RELAXED);
}

static dcv_blind_work work_of(const estimation *e)
{
  int thread = 0;
#if defined(_OPENMP)
  thread = omp_get_thread_num();
#endif
  dcv_blind_work work;
  dcv_blind_work_use(&work, &e->level[e->levels - 1], e->thread_memory + thread * e->thread_floats);
  return work;
}

/* n x n in the middle of size x size zeros. */
static void pad(const float *k, int n, int size, float *out)
{
  const int margin = (size - n) / 2;
  memset(out, 0, sizeof(float) * size * size);
  for(int i = 0; i < n; i++) memcpy(out + (i + margin) * size + margin, k + i * n, sizeof(float) * n);
}

/* The alternation from one start, coarse to fine. */
static void run_start(estimation *e, int start, float floor)
{
  const dcv_blind_work work = work_of(e);
  candidate *const own = &e->candidates[start];
  const int support = STARTS[start].half ? DCV_MAX(e->size / 2 | 1, 3) : e->size;
  int sizes[DCV_BLIND_SCALES], n = 0;
  double zooms[DCV_BLIND_SCALES], before = 1.0;
  float k[DCV_BLIND_VALUES] = { 0 }, lam = STARTS[start].lam;
  own->scales = dcv_blind_schedule(support, sizes, zooms);
  for(int i = 0; i < own->scales; i++)
  {
    const dcv_blind_level *level = &e->level[e->levels - own->scales + i];
    if(i == 0)
      k[sizes[0] * (sizes[0] / 2) + sizes[0] / 2 - 1] = k[sizes[0] * (sizes[0] / 2) + sizes[0] / 2] = 0.5f;
    else
    {
      float finer[DCV_BLIND_VALUES];
      dcv_blind_resize_psf(k, n, zooms[i] / before, sizes[i], finer);
      memcpy(k, finer, sizeof(k));
    }
    n = sizes[i], before = zooms[i];
    own->size[i] = n, own->rounds[i] = ROUNDS;
    own->change[i] = dcv_blind_rounds(level, &work, k, n, &lam, ROUNDS, LAM_DECAY, floor, step, e);
    if(own->change[i] < 0.0f) return;
    dcv_blind_centre(k, n);
    if(i + 1 < own->scales) continue;
    lam = fmaxf(LAM_REFINE, floor);
    own->rounds[i] += REFINE_ROUNDS;
    own->change[i] = dcv_blind_rounds(level, &work, k, n, &lam, REFINE_ROUNDS, FINE_DECAY, floor, step, e);
    if(own->change[i] < 0.0f) return;
    dcv_blind_centre(k, n);
  }
  pad(k, n, e->size, own->k);
}

static dcv_status estimate(estimation *e, const dcv_params *params, const dcv_image *window, dcv_psf *psf, dcv_estimate_result *result)
{
  static const float luminance[3][3] = { { 1.0f, 0.0f, 0.0f }, { 0.5f, 0.5f, 0.0f }, { 0.2126f, 0.7152f, 0.0722f } };
  const int width = window->width, height = window->height, size = e->size, values = size * size;
  const dcv_blind_level *const finest = &e->level[e->levels - 1];
  double noise = params->noise;
  const double scale = load(e, window, luminance[e->channels - 1], &noise);
  if(scale < 0.0) return DCV_ERROR_DATA;
  candidate *const delta = &e->candidates[0];
  memset(e->candidates, 0, MOST * sizeof(candidate));
  if(scale == 0.0)
  {
    delta->k[values / 2] = 1.0f;
    for(int c = 0; c < psf->channels; c++) memcpy(psf->data + c * values, delta->k, sizeof(float) * values);
    return DCV_OK;
  }
  const float floor = (float)fmax(LAM_FINE, LAM_NOISE * noise * scale * noise * scale);
  const int starts = COUNT(STARTS) - (size / 2 >= 3 ? 0 : 1);
  int count = starts;
  for(int g = 0; g < COUNT(GAUSSIANS); g++)
    if(6.0 * GAUSSIANS[g] < size + 4) DCV_TRY(dcv_psf_make(&(dcv_psf){ e->candidates[count++].k, size, 1 }, DCV_PSF_GAUSSIAN, GAUSSIANS[g], 0.0));
  const int last = count++;
  e->candidates[last].k[values / 2] = 1.0f;
  e->total = count;
  for(int s = 0; s < starts; s++)
  {
    int sizes[DCV_BLIND_SCALES];
    double zooms[DCV_BLIND_SCALES];
    e->total += dcv_blind_schedule(STARTS[s].half ? size / 2 | 1 : size, sizes, zooms) * ROUNDS + REFINE_ROUNDS;
  }
  if(psf->channels == 3) e->total += 3 * REFINE_ROUNDS;
#pragma omp parallel num_threads(e->threads)
  {
#pragma omp for schedule(dynamic, 1)
    for(int i = 0; i < e->levels; i++)
    {
      const dcv_blind_work work = work_of(e);
      prepare(e, width, height, i, &work);
    }
#pragma omp for schedule(dynamic, 1)
    for(int s = 0; s < starts; s++)
      if(!__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) run_start(e, s, floor);
#pragma omp for schedule(dynamic, 1)
    for(int i = 0; i < count; i++)
    {
      if(__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) continue;
      const dcv_blind_work work = work_of(e);
      e->candidates[i].energy = dcv_blind_energy(finest, &work, e->candidates[i].k, size);
      step(e);
    }
  }
  if(e->stop) return DCV_ERROR_CANCELLED;
  int best = 0, best_start = 0;
  for(int i = 1; i < last; i++)
    if(e->candidates[i].energy < e->candidates[best].energy) best = i;
  for(int i = 1; i < starts; i++)
    if(e->candidates[i].energy < e->candidates[best_start].energy) best_start = i;
  const double gain = e->candidates[last].energy - e->candidates[best].energy;
  if(gain < SHARP) best = last;
  float found[3][DCV_BLIND_VALUES];
  for(int c = 0; c < psf->channels; c++) memcpy(found[c], e->candidates[best].k, sizeof(float) * values);
  if(psf->channels == 3 && best != last)
  {
    const dcv_blind_work work = work_of(e);
    for(int c = 0; c < 3; c++)
    {
      const float alone[3] = { c == 0, c == 1, c == 2 };
      double own_noise = params->noise;
      const double own_scale = load(e, window, alone, &own_noise);
      if(own_scale <= 0.0) continue;
      const float own_floor = (float)fmax(LAM_FINE, LAM_NOISE * own_noise * own_scale * own_noise * own_scale);
      float lam = fmaxf(LAM_REFINE, own_floor);
      prepare(e, width, height, e->levels - 1, &work);
      if(dcv_blind_rounds(finest, &work, found[c], size, &lam, REFINE_ROUNDS, FINE_DECAY, own_floor, step, e) < 0.0f) return DCV_ERROR_CANCELLED;
    }
  }
  for(int c = 0; c < psf->channels; c++) memcpy(psf->data + c * values, found[c], sizeof(float) * values);
  if(result)
  {
    const candidate *shown = &e->candidates[best_start];
    result->confidence = gain < SHARP ? 0.0f : (float)(1.0 - exp(-CONFIDENCE * gain));
    result->noise = (float)noise;
    result->scales = shown->scales;
    for(int i = 0; i < shown->scales; i++)
      result->scale_size[i] = shown->size[i], result->scale_rounds[i] = shown->rounds[i], result->scale_change[i] = shown->change[i];
  }
  return DCV_OK;
}

dcv_status dcv_estimate_psf(const dcv_params *params, const dcv_image *window, dcv_psf *psf, const dcv_callbacks *callbacks,
                            dcv_estimate_result *result)
{
  if(!params || !window || !psf || !psf->data) return DCV_ERROR_ARGUMENT;
  if(result && result->struct_size != sizeof(*result)) return DCV_ERROR_STRUCT;
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_image_check(window, params->channels));
  const bool per_channel = params->blur == 1 && params->channels == 3;
  if(psf->channels != 1 && !(per_channel && psf->channels == 3)) return DCV_ERROR_PSF;
  const double begin = dcv_seconds();
  estimation e;
  DCV_TRY(lay_out(&e, params, window->width, window->height, psf->size));
  e.callbacks = callbacks;
  e.memory = dcv_alloc(bytes_of(&e));
  if(!e.memory) return DCV_ERROR_MEMORY;
  if(result) *result = (dcv_estimate_result){ .struct_size = sizeof(*result) };
  float *next = e.memory;
  e.gray = next, next += dcv_round_floats((size_t)window->width * window->height);
  dcv_status status = DCV_OK;
  int planned = 0;
  for(; status == DCV_OK && planned < e.levels; planned += status == DCV_OK)
  {
    dcv_blind_level_use(&e.level[planned], next);
    next += dcv_blind_level_floats(&e.level[planned]);
    status = dcv_blind_level_init(&e.level[planned], params->planning);
  }
  if(status == DCV_OK)
  {
    e.thread_memory = next, next += e.threads * e.thread_floats;
    e.candidates = (candidate *)next;
    status = dcv_cancelled(callbacks) ? DCV_ERROR_CANCELLED : estimate(&e, params, window, psf, result);
  }
  while(planned > 0) dcv_blind_level_clear(&e.level[--planned]);
  dcv_release(e.memory);
  if(status != DCV_OK) return status;
  if(result) result->seconds = dcv_seconds() - begin;
  dcv_progress(callbacks, 1.0);
  return DCV_OK;
}
