/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/noise.h"

#include "ops/colour.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, GROUPS = 8, MOST = 5, CODED = 8 }; /* MOST: three channels and two chromas; CODED: side of a coder's blocks */
#define QUANTILE 0.1
#define UNIT 0.7135
#define FLOOR 0.003
#define OCTAVES 1.4
#define SOFTER 1.3
#define SOFT 1.7
#define ERROR 0.25
#define SEEN 1.1
#define CLEAR 1.2
#define STEP 0.4

static float at(const dcv_image *in, int x, int y, int c)
{
  return in->data[y * in->row_stride + (ptrdiff_t)x * in->pixel_stride + c];
}

/* [1 -2 1] x [1 -2 1] / 6, taps `step` pixels apart, with its corner at (x, y). */
static float high_pass(const dcv_image *in, int x, int y, int c, int step)
{
  float column[3];
  for(int j = 0; j < 3; j++)
  {
    const int xj = x + j * step;
    column[j] = at(in, xj, y, c) - 2.0f * at(in, xj, y + step, c) + at(in, xj, y + 2 * step, c);
  }
  return (column[0] - 2.0f * column[1] + column[2]) / 6.0f;
}

/* Three channels are followed by two chromas. */
static int planes_of(int channels)
{
  return channels == 3 ? MOST : channels;
}

static void high_passes(const dcv_image *in, int x, int y, int channels, int step, float *d)
{
  for(int c = 0; c < channels; c++) d[c] = high_pass(in, x, y, c, step);
  if(channels == 3) dcv_colour_chroma(d[0], d[1], d[2], 1.0f, &d[3], &d[4]);
}

static int ascending(const void *a, const void *b)
{
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Quantile of sorted values with linear interpolation between neighbours. */
static double quantile(const float *sorted, size_t count, double q)
{
  const double place = q * (double)(count - 1);
  const size_t below = (size_t)place;
  const double rest = place - (double)below;
  return below + 1 < count ? (1.0 - rest) * sorted[below] + rest * sorted[below + 1] : sorted[below];
}

/* One channel of a picture too small for a single block: median absolute high-pass over 0.6745. */
static double small_picture(const dcv_image *in, int channels, int c, int step, float *values)
{
  size_t count = 0;
  for(int y = 0; y < in->height - 2 * step; y++)
    for(int x = 0; x < in->width - 2 * step; x++)
    {
      float d[MOST];
      high_passes(in, x, y, channels, step, d);
      if(isfinite(d[c])) values[count++] = fabsf(d[c]);
    }
  if(count == 0) return 0.0;
  qsort(values, count, sizeof(float), ascending);
  return quantile(values, count, 0.5) / 0.6745;
}

/* Mean absolute high-pass (its zeros left out) and mean brightness of a block; `at`, its place, makes the order by brightness unique. */
typedef struct block {
  float size;
  double level;
  size_t at;
} block;

static int by_level(const void *a, const void *b)
{
  const block *x = a, *y = b;
  return x->level != y->level ? (x->level > y->level) - (x->level < y->level) : (x->at > y->at) - (x->at < y->at);
}

static int by_size(const void *a, const void *b)
{
  const block *x = a, *y = b;
  return x->size != y->size ? (x->size > y->size) - (x->size < y->size) : by_level(a, b);
}

/* A block of each channel, and of the chromas, by the mean brightness of the channels. size NaN when it does not count: not finite, or most of it 0. */
static void measure(const dcv_image *in, int x0, int y0, int channels, int step, block *found)
{
  double sum[MOST] = { 0.0 }, level[MOST] = { 0.0 };
  int count[MOST] = { 0 };
  const int planes = planes_of(channels);
  for(int y = y0; y < y0 + BLOCK; y++)
    for(int x = x0; x < x0 + BLOCK; x++)
    {
      float d[MOST];
      high_passes(in, x, y, channels, step, d);
      for(int c = 0; c < planes; c++) sum[c] += fabsf(d[c]), count[c] += d[c] != 0.0f;
      for(int c = 0; c < channels; c++) level[c] += at(in, x + step, y + step, c);
    }
  if(channels == 3) level[3] = level[4] = (level[0] + level[1] + level[2]) / 3.0;
  for(int c = 0; c < planes; c++)
  {
    const bool counts = isfinite(sum[c]) && 2 * count[c] >= BLOCK * BLOCK;
    found[c] = (block){ .size = counts ? (float)(sum[c] / count[c]) : NAN, .level = level[c] / (BLOCK * BLOCK) };
  }
}

/* Value at level `at` of the highest line a + b level, a, b >= 0, that exceeds none of the points; the optimum lies on two of them, or on one with a = 0
 * or b = 0. */
static double envelope(int count, const double *level, const double *variance, double at)
{
  double best = 0.0;
  for(int i = 0; i < count; i++)
    for(int j = -2; j < count; j++)
    {
      double a = 0.0, b = 0.0;
      if(j == -2)
        a = variance[i];
      else if(j == -1)
        b = level[i] > 0.0 ? variance[i] / level[i] : 0.0;
      else if(level[j] < level[i])
        b = (variance[i] - variance[j]) / (level[i] - level[j]), a = variance[j] - b * level[j];
      bool below = a >= 0.0 && b >= 0.0;
      for(int k = 0; k < count && below; k++) below = a + b * level[k] <= (1.0 + 1e-6) * variance[k];
      if(below) best = fmax(best, a + b * at);
    }
  return best;
}

/* Variance of the noise at the mean brightness of the blocks, which are sorted. sizes: room for the largest group. */
static double variance_of(block *blocks, size_t count, float *sizes)
{
  qsort(blocks, count, sizeof(block), by_level);
  const size_t groups = DCV_MIN(DCV_MAX(count / 16, 1), (size_t)GROUPS);
  double level[GROUPS], variance[GROUPS], mean = 0.0;
  for(size_t g = 0, begin = 0; g < groups; g++)
  {
    const size_t length = count / groups + (g < count % groups);
    double dark = 0.0;
    qsort(blocks + begin, length, sizeof(block), by_size);
    for(size_t i = 0; i < length; i++) sizes[i] = blocks[begin + i].size, mean += blocks[begin + i].level / count;
    /* A fifth, around the quantile: within a group, too, the smoothest are the darkest. A single group says nothing about brightness. */
    const size_t smooth = groups > 1 ? (length + 4) / 5 : length;
    for(size_t i = 0; i < smooth; i++) dark += blocks[begin + i].level / smooth;
    const double sigma = quantile(sizes, length, QUANTILE) / UNIT;
    variance[g] = sigma * sigma, level[g] = fmax(dark, 0.0);
    begin += length;
  }
  return envelope((int)groups, level, variance, fmax(mean, 0.0));
}

/* s_step of each channel, then of the chromas. */
static dcv_status estimate_at(const dcv_image *in, int channels, int step, int threads, double *sigma)
{
  const int planes = planes_of(channels);
  for(int c = 0; c < planes; c++) sigma[c] = 0.0;
  const int width = in->width - 2 * step, height = in->height - 2 * step;
  if(width < 1 || height < 1) return DCV_OK;
  const int columns = width / BLOCK, rows = height / BLOCK;
  const size_t blocks = (size_t)columns * rows;
  /* Without a block one side is short, and the list holds the single pixels of a channel. */
  float *const values = dcv_alloc_floats(blocks > 0 ? blocks : (size_t)width * height);
  block *const all = dcv_alloc(sizeof(block) * DCV_MAX(blocks * planes, 1));
  if(!values || !all)
  {
    dcv_release(values);
    dcv_release(all);
    return DCV_ERROR_MEMORY;
  }
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
  for(int by = 0; by < rows; by++)
    for(int bx = 0; bx < columns; bx++)
    {
      block found[MOST];
      measure(in, bx * BLOCK, by * BLOCK, channels, step, found);
      for(int c = 0; c < planes; c++) all[c * blocks + (size_t)by * columns + bx] = found[c];
    }
  for(int c = 0; c < planes; c++)
  {
    if(blocks == 0)
    {
      sigma[c] = small_picture(in, channels, c, step, values);
      continue;
    }
    block *const own = all + c * blocks;
    size_t count = 0;
    for(size_t i = 0; i < blocks; i++)
      if(isfinite(own[i].size)) own[count] = own[i], own[count].at = i, count++;
    if(count > 0) sigma[c] = sqrt(variance_of(own, count, values));
  }
  dcv_release(values);
  dcv_release(all);
  (void)threads; /* without OpenMP */
  return DCV_OK;
}

static bool any_finite(const dcv_image *in, int channels)
{
  for(int y = 0; y < in->height; y++)
    for(int x = 0; x < in->width; x++)
      for(int c = 0; c < channels; c++)
        if(isfinite(at(in, x, y, c))) return true;
  return false;
}

static dcv_status measure_all(const dcv_image *in, int channels, int threads, float *sigma, float *share)
{
  if(!sigma || channels < 1 || channels > 3) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_image_check(in, channels));
  double fine[MOST], coarse[MOST], fine_square = 0.0, coarse_square = 0.0;
  DCV_TRY(estimate_at(in, channels, 1, threads, fine));
  DCV_TRY(estimate_at(in, channels, 2, threads, coarse));
  for(int c = 0; c < channels; c++) fine_square += fine[c] * fine[c], coarse_square += coarse[c] * coarse[c];
  if(!any_finite(in, channels)) return DCV_ERROR_DATA;
  double ratio = fine_square > 0.0 ? sqrt(coarse_square / fine_square) : 1.0;
  const double chroma = channels == 3 ? fine[3] * fine[3] + fine[4] * fine[4] : 0.0;
  *share = 0.0f;
  if(fine_square > 0.0 && chroma > 0.0)
  {
    const double softer = (coarse[3] * coarse[3] + coarse[4] * coarse[4]) / chroma;
    ratio = fmin(ratio, fmax(softer, 1.0));
    *share = (float)fmin(fmax((sqrt(softer) - SOFTER) / (SOFT - SOFTER), 0.0), 1.0);
  }
  const double more = pow(fmax(ratio, 1.0), OCTAVES);
  for(int c = 0; c < channels; c++) sigma[c] = (float)(more * fine[c]);
  return DCV_OK;
}

dcv_status dcv_noise_estimate(const dcv_image *in, int channels, float *sigma)
{
  float share;
  return measure_all(in, channels, dcv_threads(0), sigma, &share);
}

static double mean_of(const dcv_image *in, int channels, int x, int y)
{
  double sum = 0.0;
  for(int c = 0; c < channels; c++) sum += at(in, x, y, c);
  return sum / channels;
}

/* Of the values at first, first + step ... that are finite; work: room for `count`. */
static double middle(const float *values, size_t count, size_t first, size_t step, float *work)
{
  size_t n = 0;
  for(size_t i = first; i < count; i += step)
    if(isfinite(values[i])) work[n++] = values[i];
  qsort(work, n, sizeof(float), ascending);
  return n > 0 ? quantile(work, n, 0.5) : 0.0;
}

/* Of one direction: power a_b^2 - mean a_inside^2 and ratio a_b / max a_inside. */
static void at_borders(const double *place, double *power, double *ratio)
{
  double inside = 0.0, most = 0.0;
  int border = 0;
  for(int j = 1; j < CODED; j++)
    if(place[j] > place[border]) border = j;
  for(int j = 2; j < CODED - 1; j++)
  {
    const double a = place[(border + j) % CODED];
    inside += a * a / (CODED - 3), most = fmax(most, a);
  }
  *power = fmax(place[border] * place[border] - inside, 0.0);
  *ratio = most > 0.0 ? place[border] / most : 0.0;
}

/* Means of a row's third differences: along it by place, and across it. */
static void third_differences(const dcv_image *in, int channels, int y, float *along, float *across)
{
  double sum[CODED + 1] = { 0.0 }, count[CODED + 1] = { 0.0 };
  double a = mean_of(in, channels, 0, y), b = mean_of(in, channels, 1, y), c = mean_of(in, channels, 2, y);
  for(int x = 0; x + 3 < in->width; x++)
  {
    const double d = mean_of(in, channels, x + 3, y), t = fabs(d - 3.0 * c + 3.0 * b - a);
    if(isfinite(t)) sum[x % CODED] += t, count[x % CODED] += 1.0;
    a = b, b = c, c = d;
  }
  for(int x = 0; x < in->width && y + 3 < in->height; x++)
  {
    const double t = fabs(mean_of(in, channels, x, y + 3) - 3.0 * mean_of(in, channels, x, y + 2) + 3.0 * mean_of(in, channels, x, y + 1)
                          - mean_of(in, channels, x, y));
    if(isfinite(t)) sum[CODED] += t, count[CODED] += 1.0;
  }
  for(int j = 0; j < CODED; j++) along[j] = (float)(sum[j] / count[j]);
  *across = (float)(sum[CODED] / count[CODED]);
}

static dcv_status measure_blocking(const dcv_image *in, int channels, int threads, float *blocking)
{
  *blocking = 0.0f;
  if(DCV_MIN(in->width, in->height) < 12 * CODED) return DCV_OK;
  const size_t height = in->height;
  float *const along = dcv_alloc_floats((CODED + 2) * height);
  if(!along) return DCV_ERROR_MEMORY;
  float *const across = along + CODED * height, *const work = across + height;
#pragma omp parallel for schedule(static) num_threads(threads)
  for(int y = 0; y < in->height; y++) third_differences(in, channels, y, along + (size_t)CODED * y, across + y);
  (void)threads;
  double place[2][CODED], power[2], ratio[2];
  for(int j = 0; j < CODED; j++)
  {
    place[0][j] = middle(along, CODED * height, j, CODED, work);
    place[1][j] = middle(across, height, j, CODED, work);
  }
  dcv_release(along);
  for(int i = 0; i < 2; i++) at_borders(place[i], &power[i], &ratio[i]);
  *blocking = (float)(STEP * sqrt(0.5 * (power[0] + power[1])) * fmin(fmax((fmin(ratio[0], ratio[1]) - SEEN) / (CLEAR - SEEN), 0.0), 1.0));
  return DCV_OK;
}

dcv_status dcv_noise_level(const dcv_image *in, int channels, int threads, float *sigma, dcv_processing *processing)
{
  float own[3];
  DCV_TRY(measure_all(in, channels, threads, own, &processing->share));
  DCV_TRY(measure_blocking(in, channels, threads, &processing->blocking));
  double square = 0.0, power = 0.0;
  long count = 0;
  for(int c = 0; c < channels; c++) square += (double)own[c] * own[c] / channels;
  /* Row sums added in row order: the same bits for any number of threads. */
  double *const row_power = dcv_alloc(sizeof(double) * in->height);
  if(!row_power) return DCV_ERROR_MEMORY;
#pragma omp parallel for schedule(static) reduction(+ : count) num_threads(threads)
  for(int y = 0; y < in->height; y++)
  {
    row_power[y] = 0.0;
    for(int x = 0; x < in->width; x++)
      for(int c = 0; c < channels; c++)
      {
        const double v = at(in, x, y, c);
        if(!isfinite(v)) continue;
        row_power[y] += v * v, count++;
      }
  }
  for(int y = 0; y < in->height; y++) power += row_power[y];
  dcv_release(row_power);
  if(count == 0) return DCV_ERROR_DATA;
  *sigma = (float)fmax(fmax(sqrt(square), FLOOR * sqrt(power / count)), 1e-6);
  return DCV_OK;
}

float dcv_noise_with_processing(float sigma, dcv_processing processing, float gradient, int channels)
{
  const double slope = ERROR * gradient, coded = processing.blocking;
  return (float)sqrt((double)sigma * sigma + fmax(processing.share * slope * slope / (2 * channels), coded * coded));
}

static float unclipped(const dcv_image *in, int x, int y, int c, float white)
{
  const float value = at(in, x, y, c);
  return value < white ? value : NAN;
}

/* Pixels of a block of side x side, cut off at the frame, with a value at or above white. */
static int clipped(const dcv_image *in, int channels, float white, int side, int left, int top)
{
  int count = 0;
  for(int y = top; y < DCV_MIN(top + side, in->height); y++)
    for(int x = left; x < DCV_MIN(left + side, in->width); x++)
    {
      bool any = false;
      for(int c = 0; c < channels; c++) any |= at(in, x, y, c) >= white;
      count += any;
    }
  return count;
}

/* Blocks of side x side pixels of which more than a sixteenth is at or above white, and their eight neighbours, among columns x rows and one more on each
 * side; none if too many. */
static void mark_lamps(const dcv_image *in, int channels, float white, int side, int columns, int rows, unsigned char *lamp)
{
  for(int y = 0; y < rows; y++)
    for(int x = 0; x < columns; x++)
      if(16 * clipped(in, channels, white, side, x * side, y * side) > side * side)
        for(int i = 0; i < 3; i++) memset(lamp + (y + i) * (columns + 2) + x, 1, 3);
  int count = 0;
  for(int i = 1; i <= rows; i++)
    for(int j = 1; j <= columns; j++) count += lamp[i * (columns + 2) + j];
  if(4L * count > 3L * columns * rows) memset(lamp, 0, (size_t)(columns + 2) * (rows + 2));
}

dcv_status dcv_noise_gradient(const dcv_image *in, int channels, float sigma, float white, int side, int threads, float *gradient, float *edge)
{
  enum { SUMS = 5 }; /* sum and count along columns, then along rows; squares of what is steep */
  const double noise = (double)sigma * sigma;
  const int columns = (in->width - 1) / side + 1, rows = (in->height - 1) / side + 1, blocks = (columns + 2) * (rows + 2);
  double *const sums = dcv_alloc(sizeof(double) * SUMS * in->height);
  unsigned char *const lamp = dcv_alloc(blocks);
  if(!sums || !lamp)
  {
    dcv_release(sums);
    dcv_release(lamp);
    return DCV_ERROR_MEMORY;
  }
  memset(lamp, 0, blocks);
  if(white < INFINITY) mark_lamps(in, channels, white, side, columns, rows, lamp);
#pragma omp parallel for schedule(static) num_threads(threads)
  for(int y = 0; y < in->height; y++)
  {
    double *const sum = sums + SUMS * y;
    for(int i = 0; i < SUMS; i++) sum[i] = 0.0;
    for(int x = 0; x < in->width; x++)
    {
      if(lamp[(y / side + 1) * (columns + 2) + x / side + 1]) continue;
      double steep = -32.0 * channels * noise;
      for(int c = 0; c < channels; c++)
      {
        const double here = unclipped(in, x, y, c, white);
        const double dx = x + 1 < in->width ? unclipped(in, x + 1, y, c, white) - here : NAN;
        const double dy = y + 1 < in->height ? unclipped(in, x, y + 1, c, white) - here : NAN;
        if(isfinite(dx)) sum[0] += dx * dx, sum[1] += 1.0, steep += dx * dx;
        if(isfinite(dy)) sum[2] += dy * dy, sum[3] += 1.0, steep += dy * dy;
      }
      if(steep > 0.0) sum[4] += steep * steep;
    }
  }
  (void)threads;
  double total[SUMS] = { 0.0 };
  for(int y = 0; y < in->height; y++)
    for(int i = 0; i < SUMS; i++) total[i] += sums[SUMS * y + i];
  dcv_release(sums);
  dcv_release(lamp);
  double power = 0.0;
  for(int axis = 0; axis < 2; axis++)
    if(total[2 * axis + 1] > 0.0) power += channels * total[2 * axis] / total[2 * axis + 1];
  *gradient = (float)sqrt(fmax(power - 4.0 * channels * noise, noise));
  *edge = (float)(sqrt(total[4] / ((double)in->width * in->height)) / *gradient);
  return DCV_OK;
}
