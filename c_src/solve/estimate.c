/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * estimate: the public face of stage 1. Validates, lays out the memory, lets several starts of the alternation (blind.h) and families of few parameters
 * (family.h) compete by dcv_blind_energy and, among the last, dcv_whittle_cost:
 *
 *   1. each start (weight of the gradient count, support) runs from the coarsest scale to half the resolution; the best KEEP go on to full resolution;
 *   2. the better one there settles at a constant weight; from it the alternation walks on in several ways, of which the PSF of least dcv_blind_trial is
 *      kept (its fixed point is not its best PSF, since pictures have more gradients than the model); each family is searched for its member of least
 *      dcv_whittle_cost;
 *   3. the least sum of that and the energy wins, if its energy is lower than the delta's, and dcv_whittle_cost, too, where the noise is white; elsewhere
 *      the delta competes by the same sum.
 *
 * All this sees one plane, the luminance. Channels with white noise of their own say more (load_window): then the plane is their mean, which has less noise,
 * and in 2 and 3 the settling, the walks and the comparison with the families see two chroma planes beside it.
 *
 * The size given is what is expected: where the best start presses against its square at half the resolution, all begin again in a larger one.
 *
 * A window with lamps (has_lamps) is searched twice, as it is and without the pixels that clipped ones can have blurred into; the second PSF
 * is kept if it gains a fifth more energy on the delta, on doubt the first.
 *
 * Threads share out the scales, starts and scores; each is computed by one thread alone, so the bits do not depend on their number.
 */
#include "ops/boundary.h"
#include "ops/colour.h"
#include "solve/blind.h"
#include "solve/family.h"
#include "solve/whittle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OWN_NOISE 1.4     /* chroma noise that the high-pass sees so much more of, at most, with its taps two pixels apart, is white */
#define CONTRAST 0.2      /* standard deviation the window is scaled to; the weights refer to it */
#define LAM_DECAY 1.15f   /* divisor per round */
#define LAM_FINE 1e-4     /* floor */
#define LAM_NOISE 10.0    /* the same, relative to the variance of the noise: below it the PSF gains a peak that copies the noise */
#define SHARP 0.02        /* energy a PSF must gain on the delta to count, */
#define SHARP_NARROW 0.06 /* one narrower than NARROW */
#define NARROW 1.0        /* px, dcv_psf_radius */
#define SOFT 0.85         /* px, the same: a PSF up to here is the picture's own softness, */
#define SOFT_MEMBER 0.95  /* a member of a family, which leaves no mark in the spectrum, up to here */

/* Starts: weight of the gradient count at the coarsest scale, and the support as a share of the PSF size. */
static const struct { float lam; bool half; } STARTS[] = { { 0.3f, false }, { 0.1f, false }, { 0.01f, false }, { 0.1f, true } };
/* Of the PSF's mass at half the resolution, in the outermost pixels of a square of 3, 5, and 7 or more pixels: the size is too small. */
static const double PRESS[] = { 0.8, 0.35, 0.05 };
#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))
enum { ROUNDS = 5, LEAST_SIDE = 16, PRUNED = 2 /* scales above the finest */, KEEP = 2, LEAST_HALF = 5 /* has as many scales as that */ };
enum { DELTA = COUNT(STARTS), FAMILY, CANDIDATES = FAMILY + DCV_FAMILIES };

/* Ways to look for the PSF at the end, see dcv_blind_fit. */
static const struct { int quarters; float prune; } WALKS[] = { { 0, 0.03f }, { 2, 0.03f }, { 1, 0.01f } };
enum { SETTLE = 8 /* rounds */, PASSES = 2, WALK_ROUNDS = 2, BEST = 3 };
#define LAM_SETTLE 3.0f /* weight of the rounds before the walks, relative to that of a trial */
#define LAM_TRIAL_LEAST 4e-4f /* range of the weight of a trial, else as LAM_NOISE */
#define LAM_TRIAL_MOST 1e-3f
#define PRUNE 0.03f  /* for a mean of PSFs */
#define SHARE 0.98   /* of the PSF's mass at half the resolution, within the size that is proposed */
#define MARGIN 2     /* px around it */
#define LAMPS 0.03   /* largest share of clipped pixels that are taken for lamps */
#define LEFT 0.5     /* least share of the pixels that are known without them, */
#define DOUBT 0.2f   /* and least confidence in what is found there */
#define MORE 1.2f    /* and least ratio of the energies gained on the delta */
#define ROOM 4       /* a size that has grown is at most the window's side divided by this */
#define WHITTLE 2.0  /* weight of dcv_whittle_cost beside the energy */
#define SOFT_HIGHEST 2.0 /* largest |D|^2 that it sees where the noise need not be white */
#define NEAR 0.1     /* a member that explains the spectrum so much worse than the free PSF is left out */
#define LEAD 0.004   /* where the noise need not be white, also one that does not explain it so much better, */
#define SEEN 1.7     /* px, or whose dcv_psf_radius leaves no mark below that frequency: a disk of 2.4 has its first zero there, */
#define DEARER 0.03  /* or a Gaussian of so much more energy than the free PSF: processing makes spectra fall like one */

/* A start, the delta or a member of the family. */
typedef struct candidate {
  float k[DCV_BLIND_VALUES], lam;
  double energy, cost; /* cost: by which free PSF and families compete: WHITTLE dcv_whittle_cost and the energy of all planes */
  int scales, size[DCV_BLIND_SCALES], rounds[DCV_BLIND_SCALES];
  float change[DCV_BLIND_SCALES];
} candidate;

typedef struct estimation {
  const dcv_callbacks *callbacks;
  int threads, size, levels, channels;
  dcv_blind_level level[DCV_BLIND_SCALES];
  dcv_blind_level colour; /* the finest one once more, with chroma; three channels only */
  bool white;             /* the window's noise is, as far as can be seen */
  bool coloured;          /* it says more than the finest one */
  float *memory;          /* one block: the window, the levels, the threads */
  float *gray;            /* the window, width x height, without gaps */
  float *thread_memory;
  size_t floats, thread_floats;
  candidate *candidates;
  int starts, second; /* second: of the two starts at full resolution the other one */
  bool fits[DCV_FAMILIES];
  float lam_trial, variance; /* weight of a trial; variance of the noise of the window scaled to CONTRAST */
  int planned;            /* levels with transforms */
  dcv_fft spectrum;       /* for dcv_whittle_cost */
  int total, done, stop;  /* steps of progress */
  double before, after;   /* progress at the beginning, after the sizes that were too small, and at the end */
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
    dcv_blind_level_layout(&e->level[i], width, height, sizes[i], zooms[i], 1);
    e->floats += dcv_blind_level_floats(&e->level[i]);
  }
  e->colour = e->level[e->levels - 1];
  if(e->channels == 3)
  {
    e->colour.planes = 3;
    e->floats += dcv_blind_level_floats(&e->colour);
  }
  e->threads = DCV_MIN(dcv_threads(params->threads), CANDIDATES);
  dcv_fft_layout(&e->spectrum, dcv_whittle_side(width, size), dcv_whittle_side(height, size));
  e->thread_floats = DCV_MAX(dcv_blind_work_floats(&e->colour), DCV_WHITTLE_PLANES * e->spectrum.plane);
  e->floats += e->threads * e->thread_floats;
  return DCV_OK;
}

static size_t bytes_of(const estimation *e)
{
  return sizeof(float) * e->floats + CANDIDATES * sizeof(candidate);
}

dcv_status dcv_estimate_memory(const dcv_params *params, int width, int height, int size, uint64_t *bytes)
{
  if(!params || !bytes) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_params_check(params, NULL));
  estimation e;
  DCV_TRY(lay_out(&e, params, width, height, size));
  *bytes = bytes_of(&e) + sizeof(float) * e.level[e.levels - 1].fft.plane; /* FFTW's plans are made on a plane of their own */
  if(params->saturation > 0.0f) *bytes += sizeof(float) * params->channels * width * height;
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

/* Standard deviation of white noise: median absolute response to [1 -2 1] x [1 -2 1], taps `step` pixels apart, norm 6 (Immerkaer, CVIU 64(2), 1996, with
 * the median in place of the mean). Responses with an unknown pixel do not count. scratch: width x height floats. */
static double noise_level(const float *y, int width, int height, int step, float *scratch)
{
  long count = 0;
  for(int i = 0; i < height - 2 * step; i++)
    for(int j = 0; j < width - 2 * step; j++)
    {
      const float *a = y + (size_t)i * width + j, *b = a + step * width, *c = b + step * width;
      const int d = step, f = 2 * step;
      const float r = fabsf((a[0] - 2.0f * a[d] + a[f]) - 2.0f * (b[0] - 2.0f * b[d] + b[f]) + (c[0] - 2.0f * c[d] + c[f]));
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
  if(*noise <= 0.0) *noise = noise_level(e->gray, width, height, 1, e->thread_memory);
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

static bool stopped(const estimation *e)
{
  return __atomic_load_n(&e->stop, __ATOMIC_RELAXED);
}

/* A step is done: reports (from the calling thread) and asks whether to stop. */
static bool step(void *user)
{
  estimation *e = user;
  const int done = __atomic_add_fetch(&e->done, 1, __ATOMIC_RELAXED);
  if(dcv_cancelled(e->callbacks)) __atomic_store_n(&e->stop, 1, __ATOMIC_RELAXED);
  if(dcv_thread() == 0) dcv_progress(e->callbacks, e->before + (e->after - e->before) * done / e->total);
  return stopped(e);
}

/* Memory of the running thread; only within the parallel region. */
static dcv_blind_work work_of(const estimation *e)
{
  dcv_blind_work work;
  dcv_blind_work_use(&work, &e->colour, e->thread_memory + dcv_thread() * e->thread_floats);
  return work;
}

/* Level i from e->gray. */
static void prepare(estimation *e, int i)
{
  const dcv_blind_level *finest = &e->level[e->levels - 1];
  const dcv_blind_work work = work_of(e);
  dcv_blind_resize(e->gray, finest->width, finest->height, finest->width, &e->level[i], work.x);
  e->level[i].variance = e->variance * (float)(e->level[i].zoom * e->level[i].zoom);
  dcv_blind_level_prepare(&e->level[i], work.rows);
}

static void score(estimation *e, int level, candidate *own, int n)
{
  const dcv_blind_work work = work_of(e);
  if(!stopped(e)) own->energy = dcv_blind_energy(&e->level[level], &work, own->k, n);
  step(e);
}

/* k (n x n) into the middle of size x size zeros. */
static void widen(float *k, int n, int size)
{
  const int margin = (size - n) / 2;
  float narrow[DCV_BLIND_VALUES];
  memcpy(narrow, k, sizeof(narrow));
  memset(k, 0, sizeof(float) * size * size);
  for(int i = 0; i < n; i++) memcpy(k + (i + margin) * size + margin, narrow + i * n, sizeof(float) * n);
}

/* Start `own` at the scales from <= i < to, counted from the coarsest of all; those too coarse for it are skipped. */
static void descend(estimation *e, candidate *own, int from, int to, float floor)
{
  const dcv_blind_work work = work_of(e);
  const int skipped = e->levels - own->scales;
  for(int i = DCV_MAX(from, skipped); i < to && !stopped(e); i++)
  {
    const int s = i - skipped, n = own->size[s];
    if(s == 0)
      own->k[n * (n / 2) + n / 2 - 1] = own->k[n * (n / 2) + n / 2] = 0.5f;
    else
    {
      float coarser[DCV_BLIND_VALUES];
      memcpy(coarser, own->k, sizeof(coarser));
      dcv_blind_resize_psf(coarser, own->size[s - 1], e->level[i].zoom / e->level[i - 1].zoom, n, own->k);
    }
    own->rounds[s] = ROUNDS;
    own->change[s] = dcv_blind_rounds(&e->level[i], &work, own->k, n, &own->lam, ROUNDS, LAM_DECAY, floor, step, e);
    dcv_blind_centre(own->k, n);
  }
}

/* PSFs of least cost so far, best first. */
typedef struct ranking {
  float k[BEST][DCV_BLIND_VALUES];
  double cost[BEST];
} ranking;

/* Tries k; what it leaves in work->x is kept when k becomes the best. */
static void consider(const estimation *e, const dcv_blind_level *level, const dcv_blind_work *work, ranking *best, const float *k)
{
  const size_t bytes = sizeof(float) * e->size * e->size;
  const double cost = dcv_blind_trial(level, work, k, e->size, e->lam_trial);
  int place = BEST;
  while(place > 0 && cost < best->cost[place - 1]) place--;
  if(place == BEST) return;
  for(int i = BEST - 1; i > place; i--)
  {
    memcpy(best->k[i], best->k[i - 1], bytes);
    best->cost[i] = best->cost[i - 1];
  }
  memcpy(best->k[place], k, bytes);
  best->cost[place] = cost;
  if(place == 0) memcpy(work->kept, work->x, sizeof(float) * level->planes * level->fft.plane);
}

/* k becomes the PSF of least cost met on walks of the alternation from it at a full-sized level. */
static void polish(estimation *e, const dcv_blind_level *level, float *k)
{
  const dcv_blind_work work = work_of(e);
  const size_t bytes = sizeof(float) * e->size * e->size;
  ranking best = { 0 };
  for(int i = 0; i < BEST; i++) best.cost[i] = HUGE_VAL;
  consider(e, level, &work, &best, k);
  for(int pass = 0; pass < PASSES && !stopped(e); pass++)
  {
    for(int w = 0; w < COUNT(WALKS) && !stopped(e); w++)
    {
      memcpy(k, best.k[0], bytes);
      memcpy(work.x, work.kept, sizeof(float) * level->planes * level->fft.plane);
      for(int round = 0; round < WALK_ROUNDS && !stopped(e); round++)
      {
        dcv_blind_fit(level, &work, k, e->size, WALKS[w].quarters, WALKS[w].prune);
        consider(e, level, &work, &best, k);
        step(e);
      }
    }
    memset(k, 0, bytes);
    for(int b = 0; b < BEST; b++)
      for(int i = 0; i < e->size * e->size; i++) k[i] += best.k[b][i];
    dcv_blind_clean(k, e->size, PRUNE);
    consider(e, level, &work, &best, k);
    step(e);
  }
  memcpy(k, best.k[0], bytes);
}

/* How many starts have a lower energy than start s; of equal ones the first counts as lower. */
static int rank(const estimation *e, int s)
{
  int lower = 0;
  for(int i = 0; i < e->starts; i++)
    lower += e->candidates[i].energy < e->candidates[s].energy || (e->candidates[i].energy == e->candidates[s].energy && i < s);
  return lower;
}

static float least_lam(double noise, double scale)
{
  return (float)fmax(LAM_FINE, LAM_NOISE * noise * scale * noise * scale);
}

/* Level at which starts are compared, counted from the coarsest. */
static int middle_of(const estimation *e)
{
  return DCV_MAX(e->levels - PRUNED, 1);
}

/* A PSF of so small a radius, or that gains so little energy on the delta, is no blur to remove: on doubt nothing is done. */
static bool is_sharp(const estimation *e, int index)
{
  const double gain = e->candidates[DELTA].energy - e->candidates[index].energy;
  float radius = 0.0f;
  dcv_psf_radius(&(dcv_psf){ (float *)e->candidates[index].k, e->size, 1 }, &radius);
  const double soft = index < FAMILY ? SOFT : SOFT_MEMBER;
  return radius < soft || gain < (radius < NARROW ? SHARP_NARROW : SHARP);
}

/* Probability that the PSF is good: that restoring with it gains at least 70 % of the decibels that the true PSF would. Logistic regression on the gain of
 * energy on the delta, the agreement of two starts and the decadic logarithm of the variance of the noise, the window scaled to CONTRAST; fitted by
 * tools/train_confidence.py. */
static double confidence_of(const float evidence[3])
{
  const double level = fmin(fmax(evidence[2], -5.5), -2.5); /* the range it was fitted on */
  return 1.0 / (1.0 + exp(-(0.37 + 8.06 * evidence[0] + 3.31 * evidence[1] + 0.81 * level)));
}

/* Candidates and the count of steps. */
static dcv_status line_up(estimation *e, int channels)
{
  const int size = e->size, half = size / 2 | 1, middle = middle_of(e);
  double zooms[DCV_BLIND_SCALES];
  memset(e->candidates, 0, CANDIDATES * sizeof(candidate));
  e->starts = half >= LEAST_HALF ? COUNT(STARTS) : COUNT(STARTS) - 1;
  e->total = e->levels + e->starts + KEEP * (1 + (e->levels - middle) * ROUNDS);
  for(int s = 0; s < e->starts; s++)
  {
    candidate *own = &e->candidates[s];
    own->lam = STARTS[s].lam;
    own->scales = dcv_blind_schedule(STARTS[s].half ? half : size, own->size, zooms);
    e->total += (middle - (e->levels - own->scales)) * ROUNDS;
  }
  e->candidates[DELTA].k[size * size / 2] = 1.0f;
  e->total += (channels == 3 ? 4 : 1) * PASSES * (COUNT(WALKS) * WALK_ROUNDS + 1) + SETTLE + 2 + DCV_FAMILIES;
  return DCV_OK;
}

static int size_at_middle(const estimation *e, const candidate *own)
{
  return own->size[middle_of(e) - 1 - (e->levels - own->scales)];
}

/* The levels up to the middle from the window, and all starts as far as there; kept: their indices, best first. */
static void begin(estimation *e, float floor, int kept[])
{
  const int middle = middle_of(e);
#pragma omp parallel num_threads(e->threads)
  {
#pragma omp for schedule(dynamic, 1)
    for(int i = middle - 1; i >= 0; i--)
    {
      prepare(e, i);
      step(e);
    }
#pragma omp for schedule(dynamic, 1)
    for(int s = 0; s < e->starts; s++)
    {
      candidate *const own = &e->candidates[s];
      descend(e, own, 0, middle, floor);
      score(e, middle - 1, own, size_at_middle(e, own));
    }
  }
  for(int s = 0; s < e->starts; s++) kept[rank(e, s)] = s;
}

/* More than PRESS of the best start's PSF lies in the outermost pixels of the square at the middle. Those of a small square reach far inside. */
static bool presses(const estimation *e, const candidate *best)
{
  const int n = e->level[middle_of(e) - 1].size;
  if(size_at_middle(e, best) < n) return false;
  double within = 0.0;
  for(int i = 1; i < n - 1; i++)
    for(int j = 1; j < n - 1; j++) within += best->k[i * n + j];
  return within < 1.0 - PRESS[DCV_MIN(n / 2, COUNT(PRESS)) - 1];
}

/* From the middle on; returns the index of the best start. */
static int compete(estimation *e, float floor, const int kept[])
{
  const int middle = middle_of(e);
  const dcv_blind_level *const finest = &e->level[e->levels - 1], *const last = e->coloured ? &e->colour : finest;
  int best = 0;
  bool rivals = false;
#pragma omp parallel num_threads(e->threads)
  {
#pragma omp for schedule(dynamic, 1)
    for(int i = e->levels - 1; i >= middle; i--)
    {
      prepare(e, i);
      step(e);
    }
#pragma omp single
    if(e->coloured)
    {
      const dcv_blind_work work = work_of(e);
      dcv_blind_level_prepare(&e->colour, work.rows);
    }
#pragma omp for schedule(dynamic, 1)
    for(int r = 0; r < KEEP; r++)
    {
      candidate *const own = &e->candidates[kept[r]];
      descend(e, own, middle, e->levels, floor);
      widen(own->k, own->size[own->scales - 1], e->size);
      score(e, e->levels - 1, own, e->size);
    }
#pragma omp master
    {
      best = e->candidates[kept[0]].energy <= e->candidates[kept[1]].energy ? kept[0] : kept[1];
      e->second = kept[0] + kept[1] - best;
      candidate *const own = &e->candidates[best];
      const dcv_blind_work work = work_of(e);
      float lam = LAM_SETTLE * e->lam_trial;
      dcv_blind_rounds(last, &work, own->k, e->size, &lam, SETTLE, 1.0f, lam, step, e);
      polish(e, last, own->k);
      own->size[own->scales - 1] = e->size;
      own->rounds[own->scales - 1] += SETTLE + PASSES * COUNT(WALKS) * WALK_ROUNDS;
      dcv_blind_centre(own->k, e->size);
      dcv_whittle w;
      dcv_whittle_open(&w, &e->spectrum, e->gray, finest->width, finest->height, e->variance, e->white ? 8.0 : SOFT_HIGHEST, work.x);
      const double unblurred = dcv_whittle_cost(&w, e->candidates[DELTA].k, e->size, DCV_WHITTLE_STEPS);
      const double likely = dcv_whittle_cost(&w, own->k, e->size, DCV_WHITTLE_STEPS);
      const double most = e->white ? fmin(likely + NEAR, unblurred) : likely + NEAR;
      own->cost = likely < most ? WHITTLE * likely : HUGE_VAL;
      e->candidates[DELTA].cost = e->white ? HUGE_VAL : WHITTLE * unblurred;
      for(int f = 0; f < DCV_FAMILIES && !stopped(e); f++)
      {
        candidate *const member = &e->candidates[FAMILY + f];
        member->cost = WHITTLE * dcv_family_fit(&w, f, own->k, e->size, most, member->k);
        float radius = 0.0f;
        dcv_psf_radius(&(dcv_psf){ member->k, e->size, 1 }, &radius);
        e->fits[f] = member->cost < WHITTLE * most && (e->white || (radius > SEEN && member->cost < WHITTLE * (likely - LEAD)));
        rivals = rivals || e->fits[f];
      }
    }
#pragma omp barrier
#pragma omp for schedule(dynamic, 1)
    for(int i = DELTA - 1; i < CANDIDATES; i++)
    {
      candidate *const own = &e->candidates[i < DELTA ? best : i];
      if(i >= FAMILY && !e->fits[i - FAMILY]) continue;
      score(e, e->levels - 1, own, e->size);
      const dcv_blind_work work = work_of(e);
      own->cost += e->coloured && rivals && i != DELTA && !stopped(e) ? dcv_blind_energy(last, &work, own->k, e->size) : own->energy;
    }
  }
  return best;
}

/* The chroma planes over sqrt 3 (ops/colour), width x height each, into planes 1 and 2 of e->colour.Y. */
static void chroma(const estimation *e, const dcv_image *window)
{
  float *const first = e->colour.Y + e->colour.fft.plane, *const second = first + e->colour.fft.plane;
  for(int y = 0; y < window->height; y++)
    for(int x = 0; x < window->width; x++)
    {
      const float *p = window->data + y * window->row_stride + (ptrdiff_t)x * window->pixel_stride;
      const size_t at = (size_t)y * window->width + x;
      dcv_colour_chroma(p[0], p[1], p[2], DCV_R3, &first[at], &second[at]);
    }
}

/* Weight of a chroma plane of the colour level, the share of its mean squared gradient that is not noise; the plane is multiplied by it and by `scale`. */
static double weigh_chroma(const estimation *e, int c, double noise, double scale)
{
  const dcv_blind_level *const level = &e->colour;
  const size_t stride = level->fft.stride;
  const int width = level->width, height = level->height;
  const float *const from = level->Y + c * level->fft.plane;
  float *const plane = level->filled + c * level->fft.plane;
  for(int y = 0; y < height; y++) memcpy(plane + y * stride, from + (size_t)y * width, sizeof(float) * width);
  dcv_boundary_fill_holes(&level->fft, plane, width, height, e->thread_memory);
  double across = 0.0, down = 0.0;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const float *p = plane + y * stride + x;
      const double h = x + 1 < width ? p[1] - p[0] : 0.0, v = y + 1 < height ? p[stride] - p[0] : 0.0;
      across += h * h, down += v * v;
    }
  const double power = across / ((double)height * (width - 1)) + down / ((double)width * (height - 1));
  const double weight = fmax(1.0 - 4.0 * noise * noise / fmax(power, 1e-30), 0.0);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++) plane[y * stride + x] = (float)(plane[y * stride + x] * (weight * scale));
  return weight;
}

/* load() of what most of the estimate sees, and for colour the planes of the last level.
 * Demosaicing, resizing and coding leave noise that lacks the highest frequencies and chroma that is softer than the PSF. Where neither shows, that is where
 * the high-pass of step 2 sees at most OWN_NOISE times the chroma noise that it sees with step 1, the planes are
 *
 *   (R + G + B) / 3,   w (R - B) / sqrt 6,   w (R - 2 G + B) / sqrt 18,   w = max(1 - 4 sigma^2 / mean |grad|^2, 0)
 *
 * an orthonormal turn over sqrt 3: white noise is the same in all three. Else, and for a grey picture, the luminance alone. */
static double load_window(estimation *e, const dcv_image *window, double *noise)
{
  static const float luminance[3][3] = { { 1.0f, 0.0f, 0.0f }, { 0.5f, 0.5f, 0.0f }, { 0.2126f, 0.7152f, 0.0722f } };
  static const float mean[3] = { 1.0f / 3.0f, 1.0f / 3.0f, 1.0f / 3.0f };
  e->coloured = e->white = false;
  if(e->channels < 3) return load(e, window, luminance[e->channels - 1], noise);
  const size_t plane = e->colour.fft.plane;
  double level[2], power[2] = { 0.0, 0.0 };
  chroma(e, window);
  for(int c = 0; c < 2; c++)
    for(int step = 2; step >= 1; step--)
    {
      level[c] = noise_level(e->colour.Y + (c + 1) * plane, window->width, window->height, step, e->thread_memory);
      power[step - 1] += level[c] * level[c];
    }
  if(!(power[1] > 0.0 && power[1] <= OWN_NOISE * OWN_NOISE * power[0])) return load(e, window, luminance[2], noise);
  e->white = true;
  const bool given = *noise > 0.0;
  if(given) *noise = level[0] = level[1] = *noise / sqrt(3.0);
  const double scale = load(e, window, mean, noise);
  if(scale <= 0.0) return scale;
  double variance = *noise * *noise;
  for(int c = 0; c < 2; c++)
  {
    const double weight = weigh_chroma(e, c + 1, level[c], scale);
    variance += weight * level[c] * weight * level[c];
    e->coloured |= weight > 0.0;
  }
  e->colour.variance = (float)(variance * scale * scale);
  const int width = window->width;
  for(int y = 0; y < window->height; y++) memcpy(e->colour.filled + y * e->colour.fft.stride, e->gray + (size_t)y * width, sizeof(float) * width);
  return scale;
}

static void close_estimation(estimation *e)
{
  for(int i = 0; i < e->planned; i++)
    if(e->level[i].device && e->level[i].device->failed) dcv_log(e->callbacks, DCV_LOG_WARNING, e->level[i].device->failure);
  dcv_fft_clear(&e->spectrum);
  while(e->planned > 0) dcv_blind_level_clear(&e->level[--e->planned]);
  dcv_release(e->memory);
}

/* Transforms of the levels below `to`, and a device's part in them. */
static dcv_status plan_levels(estimation *e, const dcv_params *params, int to)
{
  for(; e->planned < to; e->planned++)
  {
    DCV_TRY(dcv_blind_level_init(&e->level[e->planned]));
    dcv_blind_level_offload(&e->level[e->planned], params, e->callbacks);
  }
  e->colour.fft = e->level[e->levels - 1].fft, e->colour.small = e->level[e->levels - 1].small;
  return DCV_OK;
}

/* Memory, and transforms up to the middle; to be closed whatever comes of it. */
static dcv_status open_estimation(estimation *e, const dcv_params *params)
{
  e->memory = dcv_alloc(bytes_of(e));
  if(!e->memory) return DCV_ERROR_MEMORY;
  float *next = e->memory;
  e->gray = next, next += dcv_round_floats((size_t)e->level[e->levels - 1].width * e->level[e->levels - 1].height);
  for(int i = 0; i < e->levels; i++)
  {
    dcv_blind_level_use(&e->level[i], next);
    next += dcv_blind_level_floats(&e->level[i]);
  }
  if(e->channels == 3)
  {
    dcv_blind_level_use(&e->colour, next);
    next += dcv_blind_level_floats(&e->colour);
  }
  e->thread_memory = next, next += e->threads * e->thread_floats;
  e->candidates = (candidate *)next;
  return plan_levels(e, params, middle_of(e));
}

/* The PSF, or *grows still true: it needs a larger size. */
static dcv_status estimate(estimation *e, const dcv_params *params, const dcv_image *window, bool *grows, dcv_psf *psf, dcv_estimate_result *result)
{
  const size_t values = (size_t)e->size * e->size;
  double noise = params->noise;
  const double scale = load_window(e, window, &noise);
  if(scale < 0.0) return DCV_ERROR_DATA;
  DCV_TRY(line_up(e, psf->channels));
  memset(e->fits, 0, sizeof(e->fits));
  const float floor = least_lam(noise, scale);
  e->variance = (float)(noise * scale * noise * scale);
  e->lam_trial = fminf(fmaxf(floor, LAM_TRIAL_LEAST), LAM_TRIAL_MOST);
  int start = 0;
  if(scale > 0.0)
  {
    int kept[COUNT(STARTS)];
    begin(e, floor, kept);
    *grows = *grows && !stopped(e) && presses(e, &e->candidates[kept[0]]);
    if(*grows) return DCV_OK;
    DCV_TRY(plan_levels(e, params, e->levels));
    DCV_TRY(dcv_fft_init(&e->spectrum, e->spectrum.width, e->spectrum.height, 0));
    start = compete(e, floor, kept);
  }
  *grows = false;
  if(e->stop) return DCV_ERROR_CANCELLED;

  int best = start;
  if(!e->white && e->candidates[FAMILY + DCV_FAMILY_GAUSSIAN].energy > e->candidates[start].energy + DEARER) e->fits[DCV_FAMILY_GAUSSIAN] = false;
  for(int f = 0; f < DCV_FAMILIES; f++)
    if(e->fits[f] && e->candidates[FAMILY + f].cost <= e->candidates[best].cost) best = FAMILY + f;
  if(scale > 0.0 && e->candidates[DELTA].cost < e->candidates[best].cost) best = DELTA;
  const double gain = e->candidates[DELTA].energy - e->candidates[best].energy;
  if(scale == 0.0 || e->candidates[best].cost == HUGE_VAL || is_sharp(e, best) || (!e->white && is_sharp(e, start))) best = DELTA;
  float found[3][DCV_BLIND_VALUES];
  for(int c = 0; c < psf->channels; c++) memcpy(found[c], e->candidates[best].k, sizeof(*found));
  for(int c = 0; c < psf->channels && psf->channels == 3 && best != DELTA; c++)
  {
    const float alone[3] = { c == 0, c == 1, c == 2 };
    double own = params->noise;
    const double contrast = load(e, window, alone, &own);
    if(contrast <= 0.0) continue; /* a flat channel keeps the shared PSF */
    e->variance = (float)(own * contrast * own * contrast);
#pragma omp parallel num_threads(1)
    {
      prepare(e, e->levels - 1);
      polish(e, &e->level[e->levels - 1], found[c]);
    }
    if(e->stop) return DCV_ERROR_CANCELLED;
  }
  for(int c = 0; c < psf->channels; c++) memcpy(psf->data + c * values, found[c], sizeof(float) * values);
  if(!result) return DCV_OK;
  const candidate *shown = &e->candidates[start];
  result->noise = (float)noise;
  if(scale == 0.0) return DCV_OK;
  if(best != DELTA)
  {
    result->evidence[0] = (float)gain;
    result->evidence[1] = (float)dcv_blind_agreement(e->candidates[best].k, e->candidates[e->second].k, e->size);
    result->evidence[2] = (float)log10(fmax(noise * scale * noise * scale, 1e-12));
    result->confidence = (float)confidence_of(result->evidence);
  }
  result->scales = shown->scales;
  for(int i = 0; i < shown->scales; i++)
    result->scale_size[i] = shown->size[i], result->scale_rounds[i] = shown->rounds[i], result->scale_change[i] = shown->change[i];
  return DCV_OK;
}

dcv_status dcv_estimate_size(const dcv_params *params, const dcv_image *window, int32_t *size, const dcv_callbacks *callbacks)
{
  if(!params || !window || !size) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_image_check(window, params->channels));
  const int side = DCV_MIN(window->width, window->height), largest = DCV_MIN(DCV_ESTIMATE_MAX, side - 1 + side % 2);
  estimation e;
  DCV_TRY(lay_out(&e, params, window->width, window->height, largest));
  e.callbacks = callbacks, e.after = 0.999;
  double noise = params->noise, scale = 0.0;
  dcv_status status = open_estimation(&e, params);
  if(status == DCV_OK) scale = load_window(&e, window, &noise);
  if(status == DCV_OK) status = scale < 0.0 ? DCV_ERROR_DATA : line_up(&e, 1);
  int reach = MARGIN;
  if(status == DCV_OK && scale > 0.0)
  {
    int kept[COUNT(STARTS)];
    begin(&e, least_lam(noise, scale), kept);
    const candidate *best = &e.candidates[kept[0]];
    const int n = size_at_middle(&e, best);
    double within[DCV_ESTIMATE_MAX] = { 0.0 }, mass = 0.0; /* by the distance from the middle */
    for(int i = 0; i < n * n; i++) within[DCV_MAX(abs(i / n - n / 2), abs(i % n - n / 2))] += best->k[i];
    for(reach = 0; reach < n / 2 && (mass += within[reach]) < SHARE; reach++) continue;
    reach = (int)ceil(reach / e.level[middle_of(&e) - 1].zoom) + MARGIN;
  }
  if(e.stop) status = DCV_ERROR_CANCELLED;
  close_estimation(&e);
  if(status != DCV_OK) return status;
  *size = DCV_MIN(2 * reach + 1, largest);
  dcv_progress(callbacks, 1.0);
  return DCV_OK;
}

static const float *pixel_of(const dcv_image *image, int x, int y)
{
  return image->data + y * image->row_stride + (ptrdiff_t)x * image->pixel_stride;
}

static bool is_clipped(const float *pixel, int channels, float white)
{
  for(int c = 0; c < channels; c++)
    if(pixel[c] >= white) return true;
  return false;
}

/* The window shows lamps: a few clipped pixels, up to a share of LAMPS. Larger areas are no lamps, and leaving them out loses more than it gains. */
static bool has_lamps(const dcv_image *window, int channels, float white)
{
  if(!(white > 0.0f)) return false;
  long clipped = 0;
  for(int y = 0; y < window->height; y++)
    for(int x = 0; x < window->width; x++) clipped += is_clipped(pixel_of(window, x, y), channels, white);
  return clipped > 0 && clipped <= LAMPS * window->width * window->height;
}

/* *out <- the window's pixels, packed; all that are within `reach` of a clipped one, in rows and columns, are unknown. DATA where less than LEFT remains. */
static dcv_status leave_out(const dcv_image *window, int channels, float white, int reach, dcv_image *out)
{
  const int width = window->width, height = window->height;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++) memcpy(out->data + y * out->row_stride + (ptrdiff_t)x * channels, pixel_of(window, x, y), sizeof(float) * channels);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      if(!is_clipped(pixel_of(window, x, y), channels, white)) continue;
      for(int i = DCV_MAX(0, y - reach); i <= DCV_MIN(height - 1, y + reach); i++)
        for(ptrdiff_t j = (ptrdiff_t)DCV_MAX(0, x - reach) * channels; j < (ptrdiff_t)DCV_MIN(width, x + reach + 1) * channels; j++)
          out->data[i * out->row_stride + j] = NAN;
    }
  long left = 0;
  for(size_t i = 0; i < (size_t)channels * width * height; i++) left += isfinite(out->data[i]) != 0;
  return left < LEFT * channels * width * height ? DCV_ERROR_DATA : DCV_OK;
}

/* One estimate, in a square that grows as it must up to `largest`; what lamps blur into is left out of a copy in `pixels` unless that is NULL. The
 * progress goes from `before` to `after`. */
static dcv_status search(const dcv_params *params, const dcv_image *window, float *pixels, int size, int largest, double before, double after, dcv_psf *psf,
                         const dcv_callbacks *callbacks, dcv_estimate_result *result)
{
  estimation e;
  dcv_status status;
  bool grows;
  do
  {
    dcv_image sample = *window;
    if(pixels)
    {
      sample = (dcv_image){ pixels, window->width, window->height, params->channels, (ptrdiff_t)window->width * params->channels };
      DCV_TRY(leave_out(window, params->channels, params->saturation, size / 2, &sample));
    }
    DCV_TRY(lay_out(&e, params, window->width, window->height, size));
    e.callbacks = callbacks, e.before = before, e.after = 0.999 * after;
    grows = size < largest;
    status = dcv_cancelled(callbacks) ? DCV_ERROR_CANCELLED : open_estimation(&e, params);
    if(status == DCV_OK) status = estimate(&e, params, &sample, &grows, psf, result);
    close_estimation(&e);
    before = e.total > 0 ? e.before + (e.after - e.before) * e.done / e.total : before;
    size = DCV_MIN(2 * size + 1, largest);
  } while(status == DCV_OK && grows);
  psf->size = e.size;
  return status;
}

dcv_status dcv_estimate_psf(const dcv_params *params, const dcv_image *window, int size, dcv_psf *psf, const dcv_callbacks *callbacks,
                            dcv_estimate_result *result)
{
  if(!params || !window || !psf || !psf->data) return DCV_ERROR_ARGUMENT;
  if(result && result->struct_size != sizeof(*result)) return DCV_ERROR_STRUCT;
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_image_check(window, params->channels));
  const bool per_channel = params->blur == 1 && params->channels == 3;
  if(psf->channels != 1 && !(per_channel && psf->channels == 3)) return DCV_ERROR_PSF;
  if(psf->size < size) return DCV_ERROR_PSF;
  const double start = dcv_seconds();
  const int room = DCV_MIN(DCV_MIN(psf->size, DCV_ESTIMATE_MAX), DCV_MIN(window->width, window->height) / ROOM);
  const int largest = DCV_MAX(size, room - 1 + room % 2);
  const int channels = params->channels, passes = has_lamps(window, channels, params->saturation) ? 2 : 1;
  float values[2][3 * DCV_BLIND_VALUES];
  dcv_psf found[2];
  dcv_estimate_result results[2];
  float *const pixels = passes == 2 ? dcv_alloc(sizeof(float) * channels * window->width * window->height) : NULL;
  if(passes == 2 && !pixels) return DCV_ERROR_MEMORY;
  dcv_status status = DCV_OK;
  for(int pass = 0; pass < passes && status == DCV_OK; pass++)
  {
    found[pass] = (dcv_psf){ values[pass], size, psf->channels };
    results[pass] = (dcv_estimate_result){ .struct_size = sizeof(*result) };
    status = search(params, window, pass ? pixels : NULL, size, largest, (double)pass / passes, (pass + 1.0) / passes, &found[pass], callbacks, &results[pass]);
    if(pass == 1 && status == DCV_ERROR_DATA) status = DCV_OK; /* too little is left: no gain */
  }
  dcv_release(pixels);
  if(status != DCV_OK) return status;
  const int best = passes == 2 && results[1].evidence[0] > MORE * results[0].evidence[0] && results[1].confidence >= DOUBT;
  memcpy(psf->data, values[best], sizeof(float) * psf->channels * found[best].size * found[best].size);
  psf->size = found[best].size;
  results[best].seconds = dcv_seconds() - start;
  if(result) *result = results[best];
  dcv_progress(callbacks, 1.0);
  return DCV_OK;
}
