/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blind: the PSF of a sample window, model y = k * x + n with k >= 0, sum k = 1, x unknown. Coarse to fine, the alternation of
 *
 *   1. a sharp estimate with few gradients, min_x ||k * x - y||^2 + lam ||grad x||_0, by half-quadratic splitting: g = grad x where
 *      |grad x|^2 >= lam / beta, else 0;  X = (conj(K) Y + beta conj(D).F(g)) / (|K|^2 + beta |D|^2);  beta doubles from 2 lam to BETA_ROUND
 *      (Xu, Zheng, Jia, CVPR 2013; Xu, Lu, Xu, Jia, ACM TOG 30(6), 2011, eq. 8 and 12);
 *   2. the PSF, min_k ||k * grad x - grad y||^2 + GAMMA ||k||^2 subject to k >= 0, by accelerated projected gradient
 *      (Cho, Lee, ACM TOG 28(5), 2009, eq. 9; Beck, Teboulle, SIAM J. Imaging Sci. 2(1), 2009).
 *
 * The normal equations of step 2 need the autocorrelation of grad x at lags below the PSF size alone, so one transform of the window builds them and
 * each iteration is a transform of twice the PSF size. Gradients near the frame are left out, by weights that rise from 0 half a PSF inside it to 1
 * further in: what they are blurred with is not in the window, and a sharp edge of the weights would be taken for blur. The same formulas and
 * constants as pyref/blind.py.
 */
#include "solve/blind.h"

#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/convolution.h"

#include <math.h>
#include <string.h>

#define BETA_MAX 1e3f  /* last penalty of an energy */
#define BETA_ROUND 1e2f /* of a round */
#define GAMMA 2.0f    /* weight of ||k||^2 */
#define GAMMA_FIT 0.2f /* in dcv_blind_fit */
#define BETA_TRIAL 16.0f /* of a trial */
#define OFFLOAD (96 * 96) /* pixels of a level from which a device is faster in spite of the time that it takes to start a kernel */
#define PRUNE 0.03f   /* of the peak, in dcv_blind_psf */
#define ISLAND 0.02   /* of the sum: smaller islands of the PSF are noise */
enum { STEPS = 20, STEPS_FIT = 40 /* of the projected gradient */, SHIFT = 2 };
static const float SCORE_LAMS[] = { 1e-3f, 4e-3f };

/* ---- pyramid --------------------------------------------------------------------------------------------------------------------- */

int dcv_blind_schedule(int size, int sizes[DCV_BLIND_SCALES], double zooms[DCV_BLIND_SCALES])
{
  int count = 0;
  double zoom[DCV_BLIND_SCALES];
  int n[DCV_BLIND_SCALES] = { size };
  do
  {
    zoom[count] = pow(0.5, count / 2.0);
    const int ceiled = (int)ceil(size * zoom[count]);
    n[count] = DCV_MAX(ceiled + 1 - ceiled % 2, 3);
    count++;
  } while(n[count - 1] > 3 && count < DCV_BLIND_SCALES);
  for(int i = 0; i < count; i++) sizes[i] = n[count - 1 - i], zooms[i] = zoom[count - 1 - i];
  return count;
}

/* Keys, IEEE Trans. ASSP 29(6), 1981, a = -1/2. */
static double cubic(double t)
{
  t = fabs(t);
  return t < 1.0 ? (1.5 * t - 2.5) * t * t + 1.0 : t < 2.0 ? ((2.5 - 0.5 * t) * t - 4.0) * t + 2.0 : 0.0;
}

static double triangle(double t)
{
  return fmax(1.0 - fabs(t), 0.0);
}

/* sum += weight row, count floats. */
DCV_SIMD static void add_row(const float *restrict row, float weight, int count, float *restrict sum)
{
  for(int i = 0; i < count; i++) sum[i] += weight * row[i];
}

enum { TAPS = 64 };

/* Inputs first .. first + count - 1 of `n` and their weights (sum 1) for output i of m. Shrinking widens the cubic by the ratio. */
static int taps(int i, int m, int n, double zoom, int *first, float weights[TAPS])
{
  const double at = (i - (m - 1) / 2.0) / zoom + (n - 1) / 2.0, reach = 2.0 / zoom;
  const int begin = DCV_MAX((int)ceil(at - reach), 0), end = DCV_MIN((int)floor(at + reach), n - 1);
  double sum = 0.0, w[TAPS];
  for(int j = begin; j <= end; j++) sum += w[j - begin] = cubic((j - at) * zoom);
  for(int j = begin; j <= end; j++) weights[j - begin] = (float)(w[j - begin] / sum);
  *first = begin;
  return end - begin + 1;
}

void dcv_blind_resize(const float *window, int width, int height, size_t stride, dcv_blind_level *level, float *scratch)
{
  const size_t to = level->fft.stride;
  float weights[TAPS];
  int first;
  for(int i = 0; i < level->height; i++)
  {
    float *row = scratch + (size_t)i * width;
    const int count = taps(i, level->height, height, level->zoom, &first, weights);
    memset(row, 0, sizeof(float) * width);
    for(int t = 0; t < count; t++) add_row(window + (first + t) * stride, weights[t], width, row);
  }
  for(int j = 0; j < level->width; j++)
  {
    const int count = taps(j, level->width, width, level->zoom, &first, weights);
    for(int i = 0; i < level->height; i++)
    {
      const float *row = scratch + (size_t)i * width + first;
      float sum = 0.0f;
      for(int t = 0; t < count; t++) sum += weights[t] * row[t];
      level->filled[i * to + j] = sum;
    }
  }
}

static void normalise(float *k, int n)
{
  double sum = 0.0;
  for(int i = 0; i < n * n; i++) sum += k[i];
  for(int i = 0; i < n * n; i++) k[i] = (float)(k[i] / sum);
}

void dcv_blind_resize_psf(const float *k, int n, double zoom, int size, float *out)
{
  double weights[DCV_ESTIMATE_MAX][DCV_ESTIMATE_MAX];
  for(int i = 0; i < size; i++)
    for(int j = 0; j < n; j++) weights[i][j] = triangle((j - ((i - (size - 1) / 2.0) / zoom + (n - 1) / 2.0)) * fmin(zoom, 1.0));
  for(int y = 0; y < size; y++)
    for(int x = 0; x < size; x++)
    {
      double sum = 0.0;
      for(int i = 0; i < n; i++)
        if(weights[y][i] > 0.0)
          for(int j = 0; j < n; j++) sum += weights[y][i] * weights[x][j] * k[i * n + j];
      out[y * size + x] = (float)sum;
    }
  normalise(out, size);
}

/* ---- levels ---------------------------------------------------------------------------------------------------------------------- */

void dcv_blind_level_layout(dcv_blind_level *level, int width, int height, int size, double zoom, int planes)
{
  *level = (dcv_blind_level){ .planes = planes, .width = (int)(width * zoom + 0.5), .height = (int)(height * zoom + 0.5), .size = size,
                              .zoom = zoom };
  const int twice = dcv_fft_fast_size(2 * size);
  dcv_fft_layout(&level->fft, dcv_fft_fast_size(level->width + size + 7), dcv_fft_fast_size(level->height + size + 7));
  dcv_fft_layout(&level->small, twice, twice);
}

dcv_status dcv_blind_level_init(dcv_blind_level *level)
{
  DCV_TRY(dcv_fft_init(&level->fft, level->fft.width, level->fft.height, 0));
  const dcv_status status = dcv_fft_init(&level->small, level->small.width, level->small.height, 0);
  if(status != DCV_OK) dcv_fft_clear(&level->fft);
  return status;
}

void dcv_blind_level_offload(dcv_blind_level *level, const dcv_params *params, const dcv_callbacks *callbacks)
{
  dcv_blind_open *const begin = dcv_blind_backends[params->backend];
  if(!begin || level->fft.width * level->fft.height < OFFLOAD) return;
  if(begin(&level->device, params->device, level) != DCV_OK) dcv_log(callbacks, DCV_LOG_WARNING, dcv_blind_message());
}

void dcv_blind_level_clear(dcv_blind_level *level)
{
  if(level->device) level->device->destroy(level->device);
  level->device = NULL;
  dcv_fft_clear(&level->fft);
  dcv_fft_clear(&level->small);
}

size_t dcv_blind_level_floats(const dcv_blind_level *level)
{
  return 4 * level->planes * level->fft.plane + dcv_round_floats(2 * level->fft.columns) + dcv_round_floats(level->fft.stride) + 2 * dcv_round_floats(level->fft.height);
}

void dcv_blind_level_use(dcv_blind_level *level, float *memory)
{
  const size_t planes = level->planes * level->fft.plane;
  level->filled = memory, level->Y = memory + planes;
  level->slope_x = memory + 2 * planes, level->slope_y = memory + 3 * planes;
  level->dx = memory + 4 * planes, level->dy = level->dx + dcv_round_floats(2 * level->fft.columns);
  level->across = level->dy + dcv_round_floats(level->fft.height), level->down = level->across + dcv_round_floats(level->fft.stride);
}

static size_t row_floats(const dcv_blind_level *level)
{
  return dcv_round_floats((4 * level->planes + 1) * (size_t)level->fft.stride);
}

size_t dcv_blind_work_floats(const dcv_blind_level *largest)
{
  return (3 * largest->planes + 1) * largest->fft.plane + row_floats(largest) + 2 * largest->small.plane;
}

void dcv_blind_work_use(dcv_blind_work *work, const dcv_blind_level *largest, float *memory)
{
  const size_t plane = largest->fft.plane, planes = largest->planes * plane;
  *work = (dcv_blind_work){ .x = memory, .a = memory + planes, .kept = memory + 2 * planes, .b = memory + 3 * planes, .rows = memory + 3 * planes + plane };
  work->small = work->rows + row_floats(largest);
}

/* Weights of `count` places, of which the first `inside` are in the window, for a PSF of `size`: 0 within half of it of the frame, then a raised cosine as
 * wide as it, or as an eighth of the window if that is less. */
static void taper(float *weight, int count, int inside, int size)
{
  const float ramp = fminf((float)size, (float)inside / 8.0f);
  for(int i = 0; i < count; i++)
  {
    const float depth = (float)(DCV_MIN(i, inside - 1 - i) - size / 2) / ramp;
    const float s = sinf(1.57079633f * fminf(fmaxf(depth, 0.0f), 1.0f));
    weight[i] = s * s;
  }
}

/* plane <- scale times the weights times its values. */
DCV_SIMD static void weigh(const dcv_blind_level *level, float scale, float *plane)
{
  const dcv_fft *fft = &level->fft;
  for(int i = 0; i < fft->height; i++)
  {
    float *const row = plane + (size_t)i * fft->stride;
    const float d = scale * level->down[i];
    for(int j = 0; j < (int)fft->stride; j++) row[j] *= d * level->across[j];
  }
}

/* Weighted differences x(i, j + 1) - x(i, j) and x(i + 1, j) - x(i, j) within the window, 0 elsewhere. */
DCV_SIMD static void slopes(const dcv_blind_level *level, const float *restrict x, float *restrict gx, float *restrict gy)
{
  const size_t stride = level->fft.stride;
  memset(gx, 0, sizeof(float) * level->fft.plane);
  memset(gy, 0, sizeof(float) * level->fft.plane);
  for(int i = 0; i < level->height - 1; i++)
  {
    const size_t row = i * stride;
    for(int j = 0; j < level->width - 1; j++)
    {
      gx[row + j] = x[row + j + 1] - x[row + j];
      gy[row + j] = x[row + stride + j] - x[row + j];
    }
  }
  weigh(level, 1.0f, gx);
  weigh(level, 1.0f, gy);
}

void dcv_blind_level_prepare(dcv_blind_level *level, float *rows)
{
  const dcv_fft *fft = &level->fft;
  taper(level->across, (int)fft->stride, level->width, level->size);
  taper(level->down, fft->height, level->height, level->size);
  double across = 0.0, down = 0.0;
  for(int j = 0; j < level->width; j++) across += level->across[j] * level->across[j];
  for(int i = 0; i < level->height; i++) down += level->down[i] * level->down[i];
  level->area = (float)(across * down);
  for(int c = 0; c < level->planes; c++)
  {
    const size_t at = c * fft->plane;
    dcv_boundary_extend(fft, level->filled + at, level->width, level->height, 0, 0);
    memcpy(level->Y + at, level->filled + at, sizeof(float) * fft->plane);
    dcv_fft_forward(fft, level->Y + at);
    slopes(level, level->filled + at, level->slope_x + at, level->slope_y + at);
    dcv_fft_forward(fft, level->slope_x + at);
    dcv_fft_forward(fft, level->slope_y + at);
  }
  dcv_otf_difference(fft->width, fft->columns, rows);
  for(int j = 0; j < fft->columns; j++) level->dx[2 * j] = level->dx[2 * j + 1] = rows[j];
  dcv_otf_difference(fft->height, fft->height, level->dy);
  if(level->device) level->device->stale = true;
}

/* ---- step 1 ---------------------------------------------------------------------------------------------------------------------- */

/* a <- conj(K) Y. */
DCV_SIMD static void correlate_data(const dcv_fft *fft, const float *restrict K, const float *restrict Y, float *restrict a)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      a[at] = K[at] * Y[at] + K[at + 1] * Y[at + 1];
      a[at + 1] = K[at] * Y[at + 1] - K[at + 1] * Y[at];
    }
  }
}

/* K <- |K|^2 (twice, for real and imaginary part). */
DCV_SIMD static void squared(const dcv_fft *fft, float *K)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      K[at] = K[at + 1] = K[at] * K[at] + K[at + 1] * K[at + 1];
    }
  }
}

/* Gradient of a row and the one below it; its square is added to power. gx has one value more in front, for the last column's. */
DCV_SIMD static void gradient_row(const float *restrict x, const float *restrict below, int width, float *restrict gx, float *restrict gy, float *restrict power)
{
  for(int j = 0; j < width - 1; j++) gx[j + 1] = x[j + 1] - x[j];
  gx[width] = x[0] - x[width - 1];
  for(int j = 0; j < width; j++)
  {
    gy[j] = below[j] - x[j];
    power[j] += gx[j + 1] * gx[j + 1] + gy[j] * gy[j];
  }
}

/* 0 where power is less than `least`. */
DCV_SIMD static void keep_row(const float *restrict power, int width, float least, float *restrict gx, float *restrict gy)
{
  for(int j = 0; j < width; j++)
  {
    gx[j + 1] = power[j] >= least ? gx[j + 1] : 0.0f;
    gy[j] = power[j] >= least ? gy[j] : 0.0f;
  }
  gx[0] = gx[width];
}

DCV_SIMD static void divergence_row(const float *restrict gx, const float *restrict gy, const float *restrict above, int width, float *restrict out)
{
  for(int j = 0; j < width; j++) out[j] = gx[j] - gx[j + 1] + (above[j] - gy[j]);
}

/* x <- D*g, g the gradient of x where its square, summed over the planes, is at least `least`, 0 elsewhere; row by row in place. rows: as in the work. */
static void edges(const dcv_blind_level *level, float *x, float least, float *rows)
{
  const dcv_fft *fft = &level->fft;
  const int width = fft->width, height = fft->height, planes = level->planes;
  const size_t stride = fft->stride, plane = fft->plane;
  enum { FIRST, GX, GY, ABOVE };
  float *row[3][4], *const power = rows + 4 * planes * stride;
  for(int c = 0; c < planes; c++)
    for(int r = 0; r < 4; r++) row[c][r] = rows + (4 * c + r) * stride;
  for(int c = 0; c < planes; c++) memcpy(row[c][FIRST], x + c * plane, sizeof(float) * width);
  for(int i = -1; i < height; i++) /* the last row, for its gradient alone, then all */
  {
    const size_t at = (i < 0 ? height - 1 : i) * stride;
    const bool last = i < 0 || i == height - 1;
    memset(power, 0, sizeof(float) * width);
    for(int c = 0; c < planes; c++)
      gradient_row(x + c * plane + at, last ? row[c][FIRST] : x + c * plane + at + stride, width, row[c][GX], row[c][GY], power);
    for(int c = 0; c < planes; c++)
    {
      keep_row(power, width, least, row[c][GX], row[c][GY]);
      if(i >= 0) divergence_row(row[c][GX], row[c][GY], row[c][ABOVE], width, x + c * plane + at);
      float *const swap = row[c][ABOVE];
      row[c][ABOVE] = row[c][GY], row[c][GY] = swap;
    }
  }
}

/* x <- (a + beta x) / (b + beta (dx + dy)) / pixels; the last factor undoes the unnormalised transforms. */
DCV_SIMD static void divide(const dcv_fft *fft, const float *restrict a, const float *restrict b, const float *restrict dx, const float *restrict dy,
                            float beta, float *restrict x)
{
  const float scale = 1.0f / ((float)fft->width * fft->height);
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    const float d = dy[i];
    for(int j = 0; j < 2 * fft->columns; j++)
      x[row + j] = (a[row + j] + beta * x[row + j]) * (scale / (b[row + j] + beta * (dx[j] + d)));
  }
}

/* Transfer function of scale k. */
static void transfer(const dcv_fft *fft, const float *k, int n, float scale, float *otf)
{
  float values[DCV_BLIND_VALUES];
  for(int i = 0; i < n * n; i++) values[i] = scale * k[i];
  dcv_otf(fft, &(dcv_psf){ values, n, 1 }, 0, otf);
}

/* Step 1 up to a penalty; returns the last one used. */
static float sharpen(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam, float beta_max)
{
  const dcv_fft *fft = &level->fft;
  float beta = 2.0f * lam;
  if(level->device && level->device->sharpen(level->device, level, k, n, lam, beta_max, work->x))
  {
    while(beta < beta_max) beta *= 2.0f;
    return beta / 2.0f;
  }
  const size_t planes = level->planes * fft->plane;
  transfer(fft, k, n, 1.0f, work->b);
  for(size_t c = 0; c < planes; c += fft->plane) correlate_data(fft, work->b, level->Y + c, work->a + c);
  squared(fft, work->b);
  memcpy(work->x, level->filled, sizeof(float) * planes);
  for(; beta < beta_max; beta *= 2.0f)
  {
    edges(level, work->x, lam / beta, work->rows);
    for(size_t c = 0; c < planes; c += fft->plane)
    {
      dcv_fft_forward(fft, work->x + c);
      divide(fft, work->a + c, work->b, level->dx, level->dy, beta, work->x + c);
      dcv_fft_inverse(fft, work->x + c);
    }
  }
  return beta / 2.0f;
}

void dcv_blind_sharp(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam)
{
  sharpen(level, work, k, n, lam, BETA_ROUND);
}

/* ---- step 2 ---------------------------------------------------------------------------------------------------------------------- */

/* gx <- |Gx|^2 + |Gy|^2, gy <- conj(Gx) Bx + conj(Gy) By. */
DCV_SIMD static void correlations(const dcv_fft *fft, const float *restrict bx, const float *restrict by, float *restrict gx, float *restrict gy)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float xr = gx[at], xi = gx[at + 1], yr = gy[at], yi = gy[at + 1];
      gx[at] = xr * xr + xi * xi + yr * yr + yi * yi;
      gx[at + 1] = 0.0f;
      gy[at] = xr * bx[at] + xi * bx[at + 1] + yr * by[at] + yi * by[at + 1];
      gy[at + 1] = xr * bx[at + 1] - xi * bx[at] + yr * by[at + 1] - yi * by[at];
    }
  }
}

/* Value at (i, j) of a periodic plane. */
static float wrapped(const dcv_fft *fft, const float *plane, int i, int j)
{
  return plane[(size_t)(i < 0 ? i + fft->height : i) * fft->stride + (j < 0 ? j + fft->width : j)];
}

/* min_k of the normal equations whose correlations are in work->a (auto) and work->b (cross), plus gamma ||k||^2 + smooth ||grad k||^2, from the start k. */
static void project(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, float gamma, float smooth, int steps, float prune)
{
  const dcv_fft *fft = &level->fft, *small = &level->small;
  const float scale = 1.0f / ((float)fft->width * fft->height), small_scale = 1.0f / ((float)small->width * small->height);
  float *const A = work->small, *const v = A + small->plane;
  memset(A, 0, sizeof(float) * small->plane);
  for(int i = 1 - n; i < n; i++)
    for(int j = 1 - n; j < n; j++)
      A[(size_t)((i + small->height) % small->height) * small->stride + (j + small->width) % small->width] = scale * wrapped(fft, work->a, i, j);
  dcv_fft_forward(small, A);
  /* The autocorrelation is even, so its spectrum is real. */
  float largest = 0.0f;
  float dx[4 * DCV_ESTIMATE_MAX], dy[4 * DCV_ESTIMATE_MAX];
  dcv_otf_difference(small->width, small->columns, dx);
  dcv_otf_difference(small->height, small->height, dy);
  for(int i = 0; i < small->height; i++)
    for(int j = 0; j < small->columns; j++)
    {
      float *const at = A + (size_t)i * small->stride + 2 * j;
      at[0] = at[1] = at[0] + gamma + smooth * (dx[j] + dy[i]);
      largest = fmaxf(largest, fabsf(at[0]));
    }
  const float step = 1.0f / largest;
  float b[DCV_BLIND_VALUES], z[DCV_BLIND_VALUES], now[DCV_BLIND_VALUES];
  for(int i = 0; i < n; i++)
    for(int j = 0; j < n; j++) b[i * n + j] = scale * wrapped(fft, work->b, i - n / 2, j - n / 2);
  memcpy(z, k, sizeof(float) * n * n);
  memcpy(now, k, sizeof(float) * n * n);
  double t = 1.0;
  for(int s = 0; s < steps; s++)
  {
    memset(v, 0, sizeof(float) * small->plane);
    for(int i = 0; i < n; i++) memcpy(v + (size_t)i * small->stride, z + i * n, sizeof(float) * n);
    dcv_fft_forward(small, v);
    for(int i = 0; i < small->height; i++)
      for(int j = 0; j < 2 * small->columns; j++) v[(size_t)i * small->stride + j] *= small_scale * A[(size_t)i * small->stride + j];
    dcv_fft_inverse(small, v);
    const double next = (1.0 + sqrt(1.0 + 4.0 * t * t)) / 2.0;
    const float momentum = (float)((t - 1.0) / next);
    t = next;
    for(int i = 0; i < n; i++)
      for(int j = 0; j < n; j++)
      {
        const int at = i * n + j;
        const float fresh = fmaxf(z[at] - step * (v[(size_t)i * small->stride + j] - b[at]), 0.0f);
        z[at] = fresh + momentum * (fresh - now[at]);
        now[at] = fresh;
      }
  }
  double sum = 0.0;
  for(int i = 0; i < n * n; i++) sum += now[i];
  if(!(sum > 0.0)) return;
  memcpy(k, now, sizeof(float) * n * n);
  dcv_blind_clean(k, n, prune);
}

/* sum += plane. */
DCV_SIMD static void add(const dcv_fft *fft, const float *restrict plane, float *restrict sum)
{
  for(size_t i = 0; i < fft->plane; i++) sum[i] += plane[i];
}

void dcv_blind_psf(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n)
{
  const dcv_fft *fft = &level->fft;
  const size_t plane = fft->plane;
  for(int c = 0; c < level->planes; c++)
  {
    float *const gx = c == 0 ? work->a : work->a + plane, *const gy = c == 0 ? work->b : work->a + 2 * plane;
    slopes(level, work->x + c * plane, gx, gy);
    dcv_fft_forward(fft, gx);
    dcv_fft_forward(fft, gy);
    correlations(fft, level->slope_x + c * plane, level->slope_y + c * plane, gx, gy);
    if(c == 0) continue;
    add(fft, gx, work->a);
    add(fft, gy, work->b);
  }
  dcv_fft_inverse(fft, work->a);
  dcv_fft_inverse(fft, work->b);
  project(level, work, k, n, GAMMA, 0.0f, STEPS, PRUNE);
}

/* v <- |D|^p v, p = 1 + quarters / 4, on a spectrum. */
DCV_SIMD static void whiten(const dcv_fft *fft, const float *restrict dx, const float *restrict dy, int quarters, float *restrict v)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    const float d = dy[i];
    for(int j = 0; j < 2 * fft->columns; j++)
    {
      const float power = dx[j] + d, root = sqrtf(power);
      const float extra = quarters == 0 ? 1.0f : quarters == 2 ? root : sqrtf(root);
      v[row + j] *= sqrtf(power * extra);
    }
  }
}

/* x <- |X|^2, y <- conj(X) Y. */
DCV_SIMD static void correlate(const dcv_fft *fft, float *restrict x, float *restrict y)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride;
    for(int j = 0; j < fft->columns; j++)
    {
      const size_t at = row + 2 * j;
      const float xr = x[at], xi = x[at + 1], yr = y[at], yi = y[at + 1];
      x[at] = xr * xr + xi * xi, x[at + 1] = 0.0f;
      y[at] = xr * yr + xi * yi, y[at + 1] = xr * yi - xi * yr;
    }
  }
}

void dcv_blind_fit(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, int quarters, float prune)
{
  const dcv_fft *fft = &level->fft;
  const float scale = 1.0f / ((float)fft->width * fft->height);
  const size_t plane = fft->plane;
  for(int c = 0; c < level->planes; c++)
  {
    float *const x = c == 0 ? work->a : work->a + plane, *const y = c == 0 ? work->b : work->a + 2 * plane;
    memcpy(x, work->x + c * plane, sizeof(float) * plane);
    dcv_fft_forward(fft, x);
    memcpy(y, level->Y + c * plane, sizeof(float) * plane);
    whiten(fft, level->dx, level->dy, quarters, x);
    whiten(fft, level->dx, level->dy, quarters, y);
    dcv_fft_inverse(fft, x);
    dcv_fft_inverse(fft, y);
    weigh(level, scale, x);
    weigh(level, scale, y);
    dcv_fft_forward(fft, x);
    dcv_fft_forward(fft, y);
    correlate(fft, x, y);
    if(c == 0) continue;
    add(fft, x, work->a);
    add(fft, y, work->b);
  }
  dcv_fft_inverse(fft, work->a);
  dcv_fft_inverse(fft, work->b);
  project(level, work, k, n, GAMMA_FIT, level->variance * level->area, STEPS_FIT, prune);
}

void dcv_blind_clean(float *k, int n, float prune)
{
  float peak = 0.0f;
  for(int i = 0; i < n * n; i++) peak = fmaxf(peak, k[i]);
  double total = 0.0;
  for(int i = 0; i < n * n; i++)
  {
    if(k[i] < prune * peak) k[i] = 0.0f;
    total += k[i];
  }
  /* Islands by flood fill: label 0 is unseen. */
  short label[DCV_BLIND_VALUES] = { 0 }, stack[DCV_BLIND_VALUES];
  double mass[DCV_BLIND_VALUES + 1], heaviest = 0.0;
  short islands = 0;
  for(int start = 0; start < n * n; start++)
  {
    if(label[start] || !(k[start] > 0.0f)) continue;
    int depth = 0;
    label[start] = ++islands;
    mass[islands] = 0.0;
    stack[depth++] = (short)start;
    while(depth > 0)
    {
      const int at = stack[--depth], i = at / n, j = at % n;
      mass[islands] += k[at];
      for(int y = DCV_MAX(i - 1, 0); y <= DCV_MIN(i + 1, n - 1); y++)
        for(int x = DCV_MAX(j - 1, 0); x <= DCV_MIN(j + 1, n - 1); x++)
        {
          const int next = y * n + x;
          if(label[next] || !(k[next] > 0.0f)) continue;
          label[next] = islands;
          stack[depth++] = (short)next;
        }
    }
    heaviest = fmax(heaviest, mass[islands]);
  }
  const double least = fmin(ISLAND * total, heaviest);
  for(int i = 0; i < n * n; i++)
    if(label[i] && mass[label[i]] < least) k[i] = 0.0f;
  normalise(k, n);
}

void dcv_blind_centre(float *k, int n)
{
  double sum = 0.0, sx = 0.0, sy = 0.0;
  for(int i = 0; i < n; i++)
    for(int j = 0; j < n; j++) sum += k[i * n + j], sx += (double)k[i * n + j] * (j - n / 2), sy += (double)k[i * n + j] * (i - n / 2);
  const int dx = (int)lrint(sx / sum), dy = (int)lrint(sy / sum);
  float moved[DCV_BLIND_VALUES] = { 0 };
  for(int i = DCV_MAX(0, dy); i < DCV_MIN(n, n + dy); i++)
    for(int j = DCV_MAX(0, dx); j < DCV_MIN(n, n + dx); j++) moved[(i - dy) * n + j - dx] = k[i * n + j];
  memcpy(k, moved, sizeof(float) * n * n);
  normalise(k, n);
}

double dcv_blind_agreement(const float *a, const float *b, int n)
{
  double largest = 0.0, aa = 0.0, bb = 0.0;
  for(int i = 0; i < n * n; i++) aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
  for(int dy = -SHIFT; dy <= SHIFT; dy++)
    for(int dx = -SHIFT; dx <= SHIFT; dx++)
    {
      double sum = 0.0;
      for(int i = DCV_MAX(0, -dy); i < DCV_MIN(n, n - dy); i++)
        for(int j = DCV_MAX(0, -dx); j < DCV_MIN(n, n - dx); j++) sum += (double)a[(i + dy) * n + j + dx] * b[i * n + j];
      largest = fmax(largest, sum);
    }
  return largest / sqrt(aa * bb);
}

/* ---- rounds and score ------------------------------------------------------------------------------------------------------------ */

float dcv_blind_rounds(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, float *lam, int count, float decay, float floor,
                       bool (*stop)(void *user), void *user)
{
  float before[DCV_BLIND_VALUES], change = 0.0f;
  for(int round = 0; round < count; round++)
  {
    memcpy(before, k, sizeof(float) * n * n);
    dcv_blind_sharp(level, work, k, n, *lam);
    dcv_blind_psf(level, work, k, n);
    change = 0.0f;
    for(int i = 0; i < n * n; i++) change += fabsf(k[i] - before[i]);
    *lam = fmaxf(*lam / decay, floor);
    if(stop && stop(user)) break;
  }
  return change;
}

/* Sum of (model - y)^2. */
DCV_SIMD static float misfit_row(const float *restrict model, const float *restrict y, int count)
{
  float sum = 0.0f;
  for(int j = 0; j < count; j++) sum += (model[j] - y[j]) * (model[j] - y[j]);
  return sum;
}

/* power += |grad x|^2, one value more than count in x. */
DCV_SIMD static void power_row(const float *restrict x, const float *restrict below, int count, float *restrict power)
{
  for(int j = 0; j < count; j++)
  {
    const float h = x[j + 1] - x[j], v = below[j] - x[j];
    power[j] += h * h + v * v;
  }
}

DCV_SIMD static int count_row(const float *restrict power, int count, float least)
{
  int found = 0;
  for(int j = 0; j < count; j++) found += power[j] > least;
  return found;
}

/* log(mean |r|^2 + weight share) away from the frame: r = k * x - y, share of the pixels with |grad x|^2 > least, both squares summed over the planes. x in
 * work->x. */
static double cost(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float weight, float least)
{
  const dcv_fft *fft = &level->fft;
  const size_t stride = fft->stride, planes = level->planes * fft->plane;
  const int h = level->size / 2 + 2, across = level->width - 2 * h, down = level->height - 2 * h;
  if(across < 1 || down < 1) return 0.0;
  transfer(fft, k, n, 1.0f / ((float)fft->width * fft->height), work->a);
  double square = 0.0;
  for(size_t c = 0; c < planes; c += fft->plane)
  {
    memcpy(work->b, work->x + c, sizeof(float) * fft->plane);
    dcv_fft_forward(fft, work->b);
    dcv_convolution_multiply(fft, work->a, work->b, work->b);
    dcv_fft_inverse(fft, work->b);
    for(int i = h; i < h + down; i++) square += misfit_row(work->b + i * stride + h, level->filled + c + i * stride + h, across);
  }
  long found = 0;
  for(int i = h; i < h + down; i++)
  {
    const size_t row = i * stride + h;
    memset(work->rows, 0, sizeof(float) * across);
    for(size_t c = row; c < planes; c += fft->plane) power_row(work->x + c, work->x + c + stride, across, work->rows);
    found += count_row(work->rows, across, least);
  }
  const double pixels = (double)across * down;
  return log(square / pixels + weight * found / pixels + 1e-12);
}

double dcv_blind_energy(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n)
{
  double total = 0.0;
  for(int s = 0; s < (int)(sizeof(SCORE_LAMS) / sizeof(*SCORE_LAMS)); s++)
  {
    const float lam = SCORE_LAMS[s];
    sharpen(level, work, k, n, lam, BETA_MAX);
    total += cost(level, work, k, n, 4.0f * lam, lam / BETA_MAX);
  }
  return total;
}

double dcv_blind_trial(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam)
{
  const float beta = sharpen(level, work, k, n, lam, BETA_TRIAL);
  return cost(level, work, k, n, 2.0f * lam, lam / beta);
}
