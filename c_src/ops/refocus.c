/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/refocus.h"

#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/convolution.h"
#include "ops/refocus_weights.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
enum { SIDE = DCV_REFOCUS_SIDE, BANDS = DCV_REFOCUS_BANDS, ORIENTATIONS = DCV_REFOCUS_ORIENTATIONS, MATCHED = DCV_REFOCUS_MATCHED };
enum { KERNELS = ORIENTATIONS * BANDS + MATCHED, HIDDEN = sizeof(B1) / sizeof(float), SECOND = sizeof(B2) / sizeof(float) };
enum { STRIP = 64, LONGEST = 384, RADIUS_MOST = 5, LARGEST = 16, FIRST = 3, ROUNDS = 8, TRUSTS = 4 };
enum { SOFT = 3, FADE = 4, NEAR = 8, FAR = 16 };
static const double CENTRES[BANDS] = { 0.4, 0.28, 0.2, 0.14, 0.1, 0.07 }, LAMS[2] = { 0.1, 0.003 };
#define WIDTH 0.7
#define LOW 0.05
#define CAP 2.5f
static const int FIRST_RADII[FIRST] = { 4, 8, 16 }, RADII[ROUNDS] = { 16, 16, 12, 12, 10, 8, 5, 4 };
static const float DOUBTS[ROUNDS] = { 0.9f, 0.9f, 0.9f, 0.0f, -0.2f, -0.2f, -0.2f, -0.2f }, TRUSTED[TRUSTS] = { 0.9f, 0.6f, 0.3f, 0.0f };
#define DECAY 0.7f
#define GAIN 0.25f
#define PULL 2.3f
#define LEAST 0.1f
#define MOST 0.4f
#define CHANGE 1.2f
#define COVERED 0.3
#define SHARE 0.35
#define SMALLEST 0.05
#define WHOLE 0.6
#define POWER 2e-5f

/* ---- kernels and what they let through ---- */

static int matched_side(int n)
{
  return SIDE + 2 * n;
}

/* Frequency i of a transform of even length n, cycles per pixel. */
static double frequency(int i, int n)
{
  return (double)(i < n / 2 ? i : i - n) / n;
}

/* kernel (side x side, its centre in the middle) <- inverse transform of `plane`, windowed by cos^2; made of sum 0, or divided by its sum. */
static void windowed(const dcv_fft *fft, float *plane, bool high_pass, float *kernel)
{
  const int side = fft->width, half = side / 2;
  const double all = (double)side * side;
  double total = 0.0, sum = 0.0;
  dcv_fft_inverse(fft, plane);
  for(int i = 0; i < side; i++) total += pow(cos(PI * (i - half) / side), 2.0);
  for(int pass = 0; pass < 2; pass++)
    for(int i = 0; i < side; i++)
      for(int j = 0; j < side; j++)
      {
        const double window = pow(cos(PI * (i - half) / side) * cos(PI * (j - half) / side), 2.0);
        const double g = window * plane[(size_t)((i + half) % side) * fft->stride + (j + half) % side] / all;
        if(pass == 0)
          sum += g;
        else
          kernel[i * side + j] = (float)(high_pass ? g - window * sum / (total * total) : g / sum);
      }
}

static void make_bands(const dcv_fft *fft, float *plane, float *kernels)
{
  for(int o = 0; o < ORIENTATIONS; o++)
    for(int r = 0; r < BANDS; r++)
    {
      for(int i = 0; i < SIDE; i++)
        for(int j = 0; j < fft->columns; j++)
        {
          const double fy = frequency(i, SIDE), fx = (double)j / SIDE;
          const double octave = i == 0 && j == 0 ? -1.0 : fmin(fmax(log2(hypot(fx, fy) / CENTRES[r]) / WIDTH, -1.0), 1.0);
          const double band = cos(0.5 * PI * octave) * pow(cos(atan2(fy, fx) - PI * o / ORIENTATIONS), 8.0);
          float *const k = plane + (size_t)i * fft->stride + 2 * j;
          k[0] = i == SIDE / 2 || j == SIDE / 2 ? 0.0f : (float)band; /* at the Nyquist frequency a band has no one orientation */
          k[1] = 0.0f;
        }
      windowed(fft, plane, true, kernels + (size_t)(o * BANDS + r) * SIDE * SIDE);
    }
}

/* gain[i * columns + j] <- |K|^2, the mean over the channels. */
static void transfer_power(const dcv_fft *fft, const dcv_psf *psf, float *plane, double *gain)
{
  for(int c = 0; c < psf->channels; c++)
  {
    dcv_otf(fft, psf, c, plane);
    for(int i = 0; i < fft->height; i++)
      for(int j = 0; j < fft->columns; j++)
      {
        const float *const k = plane + (size_t)i * fft->stride + 2 * j;
        double *const g = gain + i * fft->columns + j;
        *g = (c > 0 ? *g : 0.0) + ((double)k[0] * k[0] + (double)k[1] * k[1]) / psf->channels;
      }
  }
}

static void make_matched(const dcv_fft *fft, const double *gain, float *plane, float *kernels)
{
  const int side = fft->width;
  for(int m = 0; m < MATCHED; m++)
  {
    for(int i = 0; i < side; i++)
      for(int j = 0; j < fft->columns; j++)
      {
        const double f = hypot(frequency(i, side), (double)j / side), high = f * f / (f * f + LOW * LOW), g = gain[i * fft->columns + j];
        float *const k = plane + (size_t)i * fft->stride + 2 * j;
        k[0] = (float)(high * (m < 2 ? LAMS[m] / (g + LAMS[m]) : f * sqrt(g) / (g + LAMS[0])));
        k[1] = 0.0f;
      }
    windowed(fft, plane, true, kernels + (size_t)m * side * side);
  }
}

/* Energy of a kernel where the power is 1 / f^2 along every direction: sharp and blurred. */
static void predicted(const dcv_fft *fft, const double *gain, const float *kernel, int size, float *plane, double energy[2])
{
  const int side = fft->width;
  memset(plane, 0, sizeof(float) * fft->plane);
  for(int i = 0; i < size; i++) memcpy(plane + (size_t)i * fft->stride, kernel + (size_t)i * size, sizeof(float) * size);
  dcv_fft_forward(fft, plane);
  energy[0] = energy[1] = 0.0;
  for(int i = 0; i < side; i++)
    for(int j = i == 0; j < fft->columns; j++)
    {
      const float *const g = plane + (size_t)i * fft->stride + 2 * j;
      const double twice = j == 0 || j == side / 2 ? 1.0 : 2.0;
      const double e = twice * ((double)g[0] * g[0] + (double)g[1] * g[1]) / pow(hypot(frequency(i, side), (double)j / side), 3.0);
      energy[0] += e, energy[1] += e * gain[i * fft->columns + j];
    }
}

/* Sum of the squares of a kernel, and the second moment of the square along an axis. */
static void moments(const float *kernel, int side, double *sum, double *variance)
{
  double moment = *sum = 0.0;
  for(int i = 0; i < side; i++)
    for(int j = 0; j < side; j++)
    {
      const double square = (double)kernel[i * side + j] * kernel[i * side + j], dy = i - side / 2, dx = j - side / 2;
      *sum += square, moment += square * 0.5 * (dy * dy + dx * dx);
    }
  *variance = moment / *sum;
}

void dcv_refocus_bank_clear(dcv_refocus_bank *bank)
{
  dcv_release(bank->bands);
  dcv_release(bank->matched);
  *bank = (dcv_refocus_bank){ 0 };
}

dcv_status dcv_refocus_bank_init(dcv_refocus_bank *bank, const dcv_psf *psf)
{
  const int side = matched_side(psf->size);
  *bank = (dcv_refocus_bank){ .side = side };
  dcv_fft small = { 0 }, large = { 0 };
  dcv_status status = dcv_fft_init(&small, SIDE, SIDE, 0);
  if(status == DCV_OK) status = dcv_fft_init(&large, side, side, 0);
  float *const plane = status == DCV_OK ? dcv_alloc_floats(DCV_MAX(small.plane, large.plane)) : NULL;
  double *const gain = plane ? dcv_alloc(sizeof(double) * side * large.columns) : NULL;
  bank->bands = gain ? dcv_alloc_floats((size_t)ORIENTATIONS * BANDS * SIDE * SIDE) : NULL;
  bank->matched = bank->bands ? dcv_alloc_floats((size_t)MATCHED * side * side) : NULL;
  if(status == DCV_OK && !bank->matched) status = DCV_ERROR_MEMORY;
  if(status == DCV_OK)
  {
    make_bands(&small, plane, bank->bands);
    transfer_power(&large, psf, plane, gain);
    make_matched(&large, gain, plane, bank->matched);
    double variance[KERNELS], mean[BANDS] = { 0.0 }, most = 0.0, reference = 0.0;
    for(int k = 0; k < KERNELS; k++)
    {
      const bool band = k < KERNELS - MATCHED;
      const int size = band ? SIDE : side;
      const float *const kernel = band ? bank->bands + (size_t)k * SIDE * SIDE : bank->matched + (size_t)(k - (KERNELS - MATCHED)) * side * side;
      double energy[2], sum;
      moments(kernel, size, &sum, &variance[k]);
      predicted(&large, gain, kernel, size, plane, energy);
      bank->noise[k] = (float)sum;
      bank->g[k] = (float)(0.25 * log(energy[1] / energy[0] + 1e-4));
      bank->s[k] = (float)(0.25 * log(energy[0] / sum) - reference);
      if(k == 0) reference = bank->s[0];
      if(band) mean[k % BANDS] += variance[k] / ORIENTATIONS;
    }
    for(int r = 0; r < BANDS; r++) most = fmax(most, mean[r]);
    for(int k = 0; k < KERNELS; k++)
    {
      const double v = k < KERNELS - MATCHED ? mean[k % BANDS] : variance[k];
      bank->radii[k] = (int)rint(sqrt(1.5 * fmax(most + 4.0 - v, 4.0) + 0.25) - 0.5);
    }
  }
  dcv_release(gain);
  dcv_release(plane);
  dcv_fft_clear(&small);
  dcv_fft_clear(&large);
  if(status != DCV_OK) dcv_refocus_bank_clear(bank);
  return status;
}

int dcv_refocus_reach(int size)
{
  int reach = matched_side(size) / 2 + 2 * RADIUS_MOST + 2 * SOFT;
  for(int i = 0; i < FIRST; i++) reach += FIRST_RADII[i];
  for(int i = 0; i < ROUNDS; i++) reach += 2 * RADII[i];
  return reach;
}

/* ---- evidence ---- */

/* Mirrored coordinate, the edge pixel included: -1 -> 0, n -> n - 1. */
static int mirror(int i, int n)
{
  i %= 2 * n;
  if(i < 0) i += 2 * n;
  return i < n ? i : 2 * n - 1 - i;
}

/* Pixel (x, y) of the plane <- mean of the channels at picture pixel (x0 + x, y0 + y), mirrored, times `scale`. */
static void load_grey(const dcv_image *in, int channels, float scale, int x0, int y0, const dcv_fft *fft, float *plane)
{
  for(int y = 0; y < fft->height; y++)
  {
    const float *const row = in->data + mirror(y0 + y, in->height) * in->row_stride;
    for(int x = 0; x < fft->width; x++)
    {
      const float *const pixel = row + (ptrdiff_t)mirror(x0 + x, in->width) * in->pixel_stride;
      float sum = 0.0f;
      for(int c = 0; c < channels; c++) sum += pixel[c];
      plane[(size_t)y * fft->stride + x] = scale * sum;
    }
  }
}

/* Spectrum times the real spectrum of an even kernel. */
DCV_SIMD static void filter(const dcv_fft *fft, const float *real, const float *spectrum, float *out)
{
  for(int i = 0; i < fft->height; i++)
  {
    const size_t row = (size_t)i * fft->stride, from = (size_t)i * fft->columns;
#pragma GCC ivdep
    for(int j = 0; j < fft->columns; j++)
    {
      out[row + 2 * j] = real[from + j] * spectrum[row + 2 * j];
      out[row + 2 * j + 1] = real[from + j] * spectrum[row + 2 * j + 1];
    }
  }
}

/* Scratch of a thread for a box. */
static size_t box_floats(int width, int height)
{
  return dcv_round_floats(DCV_MAX((size_t)width + 2 * LARGEST, (size_t)STRIP * height));
}

/* a <- box of radius q <= LARGEST of a, mirrored at its sides. memory: for each thread `each` floats, box_floats or more. */
static void box(float *a, int width, int height, size_t stride, int q, int threads, float *memory, size_t each)
{
  const int n = 2 * q + 1;
#pragma omp parallel num_threads(threads)
  {
    float *const buffer = memory + dcv_thread() * each;
#pragma omp for schedule(static)
    for(int y = 0; y < height; y++)
    {
      float *const row = a + (size_t)y * stride;
      memcpy(buffer + q, row, sizeof(float) * width);
      for(int i = 0; i < q; i++) buffer[i] = row[mirror(i - q, width)], buffer[q + width + i] = row[mirror(width + i, width)];
      double sum = 0.0;
      for(int x = 0; x < n - 1; x++) sum += buffer[x];
      for(int x = 0; x < width; x++)
      {
        sum += buffer[x + n - 1];
        row[x] = (float)(sum / n);
        sum -= buffer[x];
      }
    }
#pragma omp for schedule(static)
    for(int x0 = 0; x0 < width; x0 += STRIP)
    {
      const int count = DCV_MIN(STRIP, width - x0);
      double sum[STRIP] = { 0.0 };
      for(int y = 0; y < height; y++) memcpy(buffer + (size_t)y * STRIP, a + (size_t)y * stride + x0, sizeof(float) * count);
      for(int y = -q; y < q; y++)
        for(int x = 0; x < count; x++) sum[x] += buffer[(size_t)mirror(y, height) * STRIP + x];
      for(int y = 0; y < height; y++)
      {
        const float *const in = buffer + (size_t)mirror(y + q, height) * STRIP, *const out = buffer + (size_t)mirror(y - q, height) * STRIP;
        float *const row = a + (size_t)y * stride + x0;
        for(int x = 0; x < count; x++)
        {
          sum[x] += in[x];
          row[x] = (float)(sum[x] / n);
          sum[x] -= out[x];
        }
      }
    }
  }
  (void)threads, (void)each;
}

/* plane <- spectrum of a side x side kernel, its centre in the middle, divided by the pixels of the plane. */
static void kernel_transfer(const dcv_fft *fft, const float *kernel, int side, float *plane)
{
  const int half = side / 2;
  memset(plane, 0, sizeof(float) * fft->plane);
  for(int i = 0; i < side; i++)
    for(int j = 0; j < side; j++)
    {
      const int y = (i - half + fft->height) % fft->height, x = (j - half + fft->width) % fft->width;
      plane[(size_t)y * fft->stride + x] += kernel[i * side + j] / ((float)fft->width * fft->height);
    }
  dcv_fft_forward(fft, plane);
}

/* The same of an even kernel, which is real: height x columns floats. plane: scratch. */
static void kernel_spectrum(const dcv_fft *fft, const float *kernel, int side, float *plane, float *spectrum)
{
  kernel_transfer(fft, kernel, side, plane);
  for(int i = 0; i < fft->height; i++)
    for(int j = 0; j < fft->columns; j++) spectrum[(size_t)i * fft->columns + j] = plane[(size_t)i * fft->stride + 2 * j];
}

/* log v for normal v > 0: of the exponent, and 2 atanh((m - 1) / (m + 1)) of a mantissa between sqrt(1/2) and sqrt(2), error 3e-8. */
static inline float logarithm(float v)
{
  union { float f; int32_t i; } bits = { v };
  const int32_t exponent = (bits.i - 0x3f3504f3) >> 23;
  bits.i -= exponent * (1 << 23);
  const float a = (bits.f - 1.0f) / (bits.f + 1.0f), b = a * a;
  return 0.69314718f * exponent + a * (2.0f + b * (0.66666667f + b * (0.4f + b * 0.28571429f)));
}

/* x <- log(e / noise + 0.1) / 4 */
DCV_SIMD static void compress(int count, float scale, const float *e, float *restrict x)
{
#pragma GCC ivdep
  for(int i = 0; i < count; i++) x[i] = 0.25f * logarithm(fmaxf(e[i], 0.0f) * scale + 0.1f);
}

/* z[h] += phi(W1 (x, g) + b1) of one orientation, where `constant` holds W1 g + b1; stride: floats from one z to the next. */
DCV_SIMD static void first_layer(int count, const float *const *x, const float *constant, float *z, size_t stride)
{
  for(int h = 0; h < HIDDEN; h++)
  {
    float *const out = z + h * stride;
#pragma GCC ivdep
    for(int i = 0; i < count; i++)
    {
      float u = constant[h];
      for(int r = 0; r < BANDS; r++) u += W1[r * HIDDEN + h] * x[r][i];
      out[i] += u / (1.0f + fabsf(u));
    }
  }
}

/* e <- w3 . phi(W2 z + W4 x + constant) + b3, between -CAP and CAP */
DCV_SIMD static void second_layer(int count, const float *z, size_t stride, const float *const *x, const float *constant, float *restrict e)
{
  for(int i = 0; i < count; i++) e[i] = B3[0];
  for(int k = 0; k < SECOND; k++)
  {
#pragma GCC ivdep
    for(int i = 0; i < count; i++)
    {
      float u = constant[k];
      for(int h = 0; h < HIDDEN; h++) u += W2[h * SECOND + k] * z[h * stride + i];
      for(int m = 0; m < MATCHED; m++) u += W4[m * SECOND + k] * x[m][i];
      e[i] += W3[k] * u / (1.0f + fabsf(u));
    }
  }
  for(int i = 0; i < count; i++) e[i] = fminf(fmaxf(e[i], -CAP), CAP);
}

/* What the layers add for this PSF whatever the picture. */
typedef struct offsets {
  float first[ORIENTATIONS][HIDDEN], second[SECOND];
} offsets;

static void make_offsets(const dcv_refocus_bank *bank, offsets *add)
{
  for(int o = 0; o < ORIENTATIONS; o++)
    for(int h = 0; h < HIDDEN; h++)
    {
      add->first[o][h] = B1[h];
      for(int r = 0; r < BANDS; r++) add->first[o][h] += W1[(BANDS + r) * HIDDEN + h] * bank->g[o * BANDS + r];
    }
  for(int k = 0; k < SECOND; k++)
  {
    add->second[k] = B2[k];
    for(int m = 0; m < MATCHED; m++)
    {
      const int kernel = ORIENTATIONS * BANDS + m;
      add->second[k] += W4[(MATCHED + m) * SECOND + k] * bank->g[kernel] + W4[(2 * MATCHED + m) * SECOND + k] * bank->s[kernel];
    }
  }
}

/* Tiles over a picture: the transform, pixels of overlap on every side, and of the core. */
typedef struct tiling {
  dcv_fft fft;
  int margin, core_x, core_y, tiles_x, tiles_y;
} tiling;

static dcv_status tiling_init(tiling *t, int width, int height, int margin, int planning)
{
  const int longest = DCV_MAX(LONGEST, 4 * margin);
  const int wide = dcv_fft_fast_size(DCV_MIN(width + 2 * margin, longest)), high = dcv_fft_fast_size(DCV_MIN(height + 2 * margin, longest));
  *t = (tiling){ .margin = margin, .core_x = wide - 2 * margin, .core_y = high - 2 * margin };
  t->tiles_x = (width + t->core_x - 1) / t->core_x, t->tiles_y = (height + t->core_y - 1) / t->core_y;
  return dcv_fft_init(&t->fft, wide, high, planning);
}

/* Evidence of the core of a tile, width x height of it, with the picture's luminance over the noise in memory. */
static void tile_evidence(const tiling *t, const dcv_refocus_bank *bank, const offsets *add, const float *spectra, int width, int height, float *memory,
                          float *e, int stride)
{
  const dcv_fft *const fft = &t->fft;
  const size_t core = dcv_round_floats((size_t)t->core_x * t->core_y);
  float *const x = memory + 2 * fft->plane, *const z = x + BANDS * core, *const rest = z + HIDDEN * core;
  dcv_fft_forward(fft, memory);
  memset(z, 0, sizeof(float) * HIDDEN * core);
  for(int o = 0; o <= ORIENTATIONS; o++) /* the matched filters at last */
  {
    const int count = o < ORIENTATIONS ? BANDS : MATCHED;
    for(int r = 0; r < count; r++)
    {
      const int k = o * BANDS + r;
      float *const energy = memory + fft->plane;
      filter(fft, spectra + (size_t)k * fft->height * fft->columns, memory, energy);
      dcv_fft_inverse(fft, energy);
      for(size_t i = 0; i < fft->plane; i++) energy[i] *= energy[i];
      for(int pass = 0; pass < 2; pass++) box(energy, fft->width, fft->height, fft->stride, bank->radii[k], 1, rest, 0);
      for(int y = 0; y < height; y++)
        compress(width, 1.0f / bank->noise[k], energy + (size_t)(y + t->margin) * fft->stride + t->margin, x + r * core + (size_t)y * width);
    }
    for(int y = 0; y < height; y++)
    {
      const float *rows[BANDS];
      for(int r = 0; r < count; r++) rows[r] = x + r * core + (size_t)y * width;
      if(o < ORIENTATIONS)
        first_layer(width, rows, add->first[o], z + (size_t)y * width, core);
      else
        second_layer(width, z + (size_t)y * width, core, rows, add->second, e + (size_t)y * stride);
    }
  }
}

dcv_status dcv_refocus_evidence(const dcv_image *in, int channels, const dcv_psf *psf, float noise, int planning, int threads,
                                const dcv_callbacks *callbacks, float *e)
{
  dcv_refocus_bank bank;
  DCV_TRY(dcv_refocus_bank_init(&bank, psf));
  tiling t;
  dcv_status status = tiling_init(&t, in->width, in->height, bank.side / 2 + 2 * RADIUS_MOST, planning);
  const dcv_fft *const fft = &t.fft;
  const size_t each = 2 * fft->plane + (BANDS + HIDDEN) * dcv_round_floats((size_t)t.core_x * t.core_y)
                      + box_floats(fft->width, fft->height), table = (size_t)fft->height * fft->columns;
  threads = DCV_MIN(threads, t.tiles_x * t.tiles_y);
  float *const spectra = status == DCV_OK ? dcv_alloc_floats(KERNELS * table) : NULL, *const memory = spectra ? dcv_alloc_floats(threads * each) : NULL;
  if(status == DCV_OK && !memory) status = DCV_ERROR_MEMORY;
  if(status == DCV_OK)
  {
    for(int k = 0; k < KERNELS; k++)
    {
      const int fitted = k - (KERNELS - MATCHED), side = fitted < 0 ? SIDE : bank.side;
      const float *const kernel = fitted < 0 ? bank.bands + (size_t)k * SIDE * SIDE : bank.matched + (size_t)fitted * side * side;
      kernel_spectrum(fft, kernel, side, memory, spectra + k * table);
    }
    offsets add;
    make_offsets(&bank, &add);
    const float scale = 1.0f / (sqrtf((float)channels) * noise);
    int done = 0, stop = 0;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(threads)
    for(int iy = 0; iy < t.tiles_y; iy++)
      for(int ix = 0; ix < t.tiles_x; ix++)
      {
        const int thread = dcv_thread();
        if(dcv_cancelled(callbacks)) __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        if(__atomic_load_n(&stop, __ATOMIC_RELAXED)) continue;
        float *const own = memory + thread * each;
        const int x0 = ix * t.core_x, y0 = iy * t.core_y;
        load_grey(in, channels, scale, x0 - t.margin, y0 - t.margin, fft, own);
        dcv_boundary_fill_holes(fft, own, fft->width, fft->height, own + fft->plane);
        tile_evidence(&t, &bank, &add, spectra, DCV_MIN(t.core_x, in->width - x0), DCV_MIN(t.core_y, in->height - y0), own, e + (size_t)y0 * in->width + x0,
                      in->width);
        const int count = __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
        if(thread == 0) dcv_progress(callbacks, 0.9 * count / (t.tiles_x * t.tiles_y));
      }
    if(stop) status = DCV_ERROR_CANCELLED;
  }
  dcv_release(memory);
  dcv_release(spectra);
  dcv_fft_clear(&t.fft);
  dcv_refocus_bank_clear(&bank);
  return status;
}

/* ---- the model all over the picture ---- */

/* The transfer functions of the PSF and of the linear restoration, one plane each for every channel of the PSF, divided by the pixels of a tile. */
static dcv_status make_transfers(const dcv_fft *fft, const dcv_psf *psf, float noise, float *transfers)
{
  const int side = matched_side(psf->size);
  const float pixels = (float)fft->width * fft->height;
  dcv_fft large;
  DCV_TRY(dcv_fft_init(&large, side, side, 0));
  float *const plane = dcv_alloc_floats(large.plane), *const kernel = plane ? dcv_alloc_floats((size_t)side * side) : NULL;
  for(int c = 0; c < psf->channels && kernel; c++)
  {
    float *const k = transfers + 2 * c * fft->plane, *const linear = k + fft->plane;
    dcv_otf(fft, psf, c, k);
    for(size_t i = 0; i < fft->plane; i++) k[i] /= pixels;
    dcv_otf(&large, psf, c, plane);
    for(int i = 0; i < side; i++)
      for(int j = 0; j < large.columns; j++)
      {
        float *const v = plane + (size_t)i * large.stride + 2 * j;
        const double f = noise * hypot(frequency(i, side), (double)j / side), scale = 1.0 / ((double)v[0] * v[0] + (double)v[1] * v[1] + f * f / POWER);
        v[0] *= (float)scale, v[1] *= -(float)scale;
      }
    windowed(&large, plane, false, kernel);
    kernel_transfer(fft, kernel, side, linear);
  }
  dcv_release(plane);
  dcv_release(kernel);
  dcv_fft_clear(&large);
  return kernel ? DCV_OK : DCV_ERROR_MEMORY;
}

/* b <- transfer function times a; both in space. */
static void convolve(const dcv_fft *fft, const float *transfer, const float *a, float *b)
{
  memcpy(b, a, sizeof(float) * fft->plane);
  dcv_fft_forward(fft, b);
  dcv_convolution_multiply(fft, transfer, b, b);
  dcv_fft_inverse(fft, b);
}

/* a <- k * z of a tile of one channel, with the map in `map`; b, c: scratch. */
static void tile_reblur(const dcv_fft *fft, const float *k, const float *linear, const float *map, float *a, float *b, float *c)
{
  convolve(fft, k, a, b);
  for(size_t i = 0; i < fft->plane; i++) b[i] = a[i] + (1.0f - map[i]) * (b[i] - a[i]);
  convolve(fft, linear, b, c);
  for(size_t i = 0; i < fft->plane; i++) b[i] = a[i] + map[i] * (c[i] - a[i]);
  convolve(fft, k, b, a);
}

dcv_status dcv_refocus_reblur(const dcv_image *in, int channels, const dcv_psf *psf, float noise, const dcv_image *map, int planning, int threads,
                              const dcv_callbacks *callbacks, dcv_image *out)
{
  tiling t;
  DCV_TRY(tiling_init(&t, in->width, in->height, dcv_refocus_reblur_reach(psf->size), planning));
  const dcv_fft *const fft = &t.fft;
  enum { PLANES = 4 };
  threads = DCV_MIN(threads, t.tiles_x * t.tiles_y);
  const size_t each = PLANES * fft->plane + box_floats(fft->width, fft->height);
  float *const transfers = dcv_alloc_floats(2 * psf->channels * fft->plane), *const memory = transfers ? dcv_alloc_floats(threads * each) : NULL;
  dcv_status status = memory ? make_transfers(fft, psf, noise, transfers) : DCV_ERROR_MEMORY;
  int done = 0, stop = 0;
  if(status == DCV_OK)
  {
    memset(memory, 0, sizeof(float) * threads * each); /* what lies between rows is computed with, too */
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(threads)
    for(int iy = 0; iy < t.tiles_y; iy++)
      for(int ix = 0; ix < t.tiles_x; ix++)
      {
        const int thread = dcv_thread();
        float *const share = memory + thread * each, *const a = share + fft->plane, *const b = a + fft->plane, *const rest = share + PLANES * fft->plane;
        const int x0 = ix * t.core_x, y0 = iy * t.core_y;
        if(dcv_cancelled(callbacks)) __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        if(__atomic_load_n(&stop, __ATOMIC_RELAXED)) continue;
        load_grey(map, 1, 1.0f, x0 - t.margin, y0 - t.margin, fft, share);
        for(int pass = 0; pass < 2; pass++) box(share, fft->width, fft->height, fft->stride, FADE, 1, rest, 0);
        for(int c = 0; c < channels; c++)
        {
          const float *const k = transfers + (psf->channels == 1 ? 0 : 2 * c) * fft->plane;
          const dcv_image channel = { in->data + c, in->width, in->height, in->pixel_stride, in->row_stride };
          load_grey(&channel, 1, 1.0f, x0 - t.margin, y0 - t.margin, fft, a);
          dcv_boundary_fill_holes(fft, a, fft->width, fft->height, b);
          tile_reblur(fft, k, k + fft->plane, share, a, b, b + fft->plane);
          for(int y = y0; y < DCV_MIN(y0 + t.core_y, in->height); y++)
            for(int x = x0; x < DCV_MIN(x0 + t.core_x, in->width); x++)
            {
              const size_t at = (size_t)(y - y0 + t.margin) * fft->stride + (x - x0 + t.margin);
              const float value = in->data[y * in->row_stride + (ptrdiff_t)x * in->pixel_stride + c];
              out->data[y * out->row_stride + (ptrdiff_t)x * out->pixel_stride + c] = value + (1.0f - share[at]) * (a[at] - value);
            }
        }
        const int count = __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
        if(thread == 0) dcv_progress(callbacks, (double)count / (t.tiles_x * t.tiles_y));
      }
  }
  dcv_release(transfers);
  dcv_release(memory);
  dcv_fft_clear(&t.fft);
  return status != DCV_OK ? status : stop ? DCV_ERROR_CANCELLED : DCV_OK;
}

int dcv_refocus_reblur_reach(int size)
{
  return matched_side(size) / 2 + 2 * (size / 2) + 2 * FADE;
}

/* ---- map ---- */

/* tanh, nearly, and 1 from 3 on. */
static inline float squash(float v)
{
  v = fminf(fmaxf(v, -3.0f), 3.0f);
  return v * (27.0f + v * v) / (27.0f + 9.0f * v * v);
}

/* u <- squash(gain (e - doubt) + pull u) */
DCV_SIMD static void squash_row(int count, const float *e, float gain, float doubt, float pull, float *restrict u)
{
#pragma GCC ivdep
  for(int i = 0; i < count; i++) u[i] = squash(gain * (e[i] - doubt) + pull * u[i]);
}

static inline float *map_at(const dcv_image *map, int x, int y)
{
  return map->data + y * map->row_stride + (ptrdiff_t)x * map->pixel_stride;
}

/* Sum of the map over the region of values > 0 around pixel `first`; its pixels, `count` of them, in `pixels`, and set in `seen`. */
static double gather(const dcv_image *map, uint32_t first, bool *seen, uint32_t *pixels, size_t *count)
{
  const int width = map->width, height = map->height;
  double sum = 0.0;
  pixels[0] = first, seen[first] = true, *count = 1;
  for(size_t i = 0; i < *count; i++)
  {
    const int x = (int)(pixels[i] % width), y = (int)(pixels[i] / width);
    const int near[4][2] = { { x - 1, y }, { x + 1, y }, { x, y - 1 }, { x, y + 1 } };
    sum += *map_at(map, x, y);
    for(int k = 0; k < 4; k++)
    {
      const int u = near[k][0], v = near[k][1];
      const size_t at = (size_t)v * width + u;
      if(u < 0 || u >= width || v < 0 || v >= height || seen[at] || *map_at(map, u, v) <= 0.0f) continue;
      pixels[(*count)++] = (uint32_t)at, seen[at] = true;
    }
  }
  return sum;
}

/* The pixels of the regions of map > 0 that meet a window become true in `seen`; how many of them lie in it. */
static size_t meet(const dcv_image *map, const int32_t window[4], bool *seen, uint32_t *pixels)
{
  size_t within = 0, count;
  memset(seen, 0, sizeof(bool) * map->width * map->height);
  for(int y = window[1]; y < window[1] + window[3]; y++)
    for(int x = window[0]; x < window[0] + window[2]; x++)
    {
      const size_t at = (size_t)y * map->width + x;
      if(*map_at(map, x, y) <= 0.0f) continue;
      if(!seen[at]) gather(map, (uint32_t)at, seen, pixels, &count);
      within++;
    }
  return within;
}

/* What takes a spread: planes of a float for each pixel, `each` floats for each thread; with a window also a region's pixels. */
typedef struct spreading {
  const float *e;
  int threads;
  size_t count, each;
  float *u, *total, *memory;
  uint32_t *pixels;
  bool *seen;
} spreading;

static void spread(const spreading *s, float doubt, dcv_image *map)
{
  const int width = map->width, height = map->height, threads = s->threads;
  const float *const e = s->e;
  float *const u = s->u, *const total = s->total;
  float weight = 1.0f;
  for(size_t i = 0; i < s->count; i++) u[i] = GAIN * (e[i] - doubt);
  memset(total, 0, sizeof(float) * s->count);
  for(int i = 0; i < FIRST; i++, weight *= DECAY)
  {
    box(u, width, height, width, FIRST_RADII[i], threads, s->memory, s->each);
#pragma omp parallel for schedule(static) num_threads(threads)
    for(size_t j = 0; j < s->count; j++) total[j] += weight * u[j];
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for(int y = 0; y < height; y++) squash_row(width, total + (size_t)y * width, 1.0f, 0.0f, 0.0f, u + (size_t)y * width);
  for(int i = 0; i < ROUNDS; i++)
  {
    for(int pass = 0; pass < 2; pass++) box(u, width, height, width, RADII[i], threads, s->memory, s->each);
#pragma omp parallel for schedule(static) num_threads(threads)
    for(int y = 0; y < height; y++)
      squash_row(width, e + (size_t)y * width, GAIN, DOUBTS[i] > 0.0f ? doubt : DOUBTS[i], PULL, u + (size_t)y * width);
  }
  for(int pass = 0; pass < 2; pass++) box(u, width, height, width, SOFT, threads, s->memory, s->each);
#pragma omp parallel for schedule(static) num_threads(threads)
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const float t = fminf(fmaxf((0.5f + 0.5f * u[(size_t)y * width + x] - LEAST) / (MOST - LEAST), 0.0f), 1.0f);
      *map_at(map, x, y) = t * t * (3.0f - 2.0f * t);
    }
}

/* What a map is chosen by: less than anything where it covers too little of the window. Overwrites u and total. */
static float contrast(const spreading *s, const dcv_image *map, float doubt, const int32_t window[4])
{
  const size_t within = meet(map, window, s->seen, s->pixels);
  if(doubt < TRUSTED[0] && (double)within / ((double)window[2] * window[3]) < COVERED) return -INFINITY;
  float *const near = s->u, *const far = s->total;
  for(size_t i = 0; i < s->count; i++) near[i] = far[i] = s->seen[i];
  box(near, map->width, map->height, map->width, NEAR, s->threads, s->memory, s->each);
  box(far, map->width, map->height, map->width, FAR, s->threads, s->memory, s->each);
  const float least = 0.5f / ((2 * FAR + 1) * (2 * FAR + 1)); /* half a pixel's share: 0 but for rounding below it */
  double sum = 0.0;
  size_t around = 0;
  for(size_t i = 0; i < s->count; i++)
    if(far[i] > least && near[i] < least) sum += s->e[i], around++;
  return CHANGE * doubt - (around > 0 ? (float)(sum / around) : within > 0 ? -CAP : 0.0f);
}

dcv_status dcv_refocus_spread(const float *e, const int32_t *window, int threads, dcv_image *map)
{
  const size_t count = (size_t)map->width * map->height;
  spreading s = { .e = e, .threads = threads, .count = count, .each = box_floats(map->width, map->height) };
  s.u = dcv_alloc_floats(count);
  s.total = s.u ? dcv_alloc_floats(count) : NULL;
  s.memory = s.total ? dcv_alloc_floats(threads * s.each) : NULL;
  s.pixels = s.memory && window ? dcv_alloc(sizeof(uint32_t) * count) : NULL;
  s.seen = s.pixels ? dcv_alloc(sizeof(bool) * count) : NULL;
  const bool room = window ? s.seen != NULL : s.memory != NULL;
  if(room)
  {
    float chosen = TRUSTED[0], most = -INFINITY;
    for(int i = TRUSTS - 1; i >= 0 && window; i--)
    {
      spread(&s, TRUSTED[i], map);
      const float value = contrast(&s, map, TRUSTED[i], window);
      if(value >= most) most = value, chosen = TRUSTED[i];
    }
    if(!window || chosen < TRUSTED[0]) spread(&s, chosen, map);
  }
  dcv_release(s.u);
  dcv_release(s.total);
  dcv_release(s.memory);
  dcv_release(s.pixels);
  dcv_release(s.seen);
  return room ? DCV_OK : DCV_ERROR_MEMORY;
}

dcv_status dcv_refocus_drop(dcv_image *map, const int32_t *window)
{
  const size_t width = map->width, height = map->height, all = width * height;
  uint32_t *const pixels = dcv_alloc(sizeof(uint32_t) * all);
  bool *const seen = pixels ? dcv_alloc(sizeof(bool) * all) : NULL, *const met = seen && window ? dcv_alloc(sizeof(bool) * all) : NULL;
  const bool room = window ? met != NULL : seen != NULL;
  if(room && window) meet(map, window, met, pixels);
  double largest[2] = { 0.0, 0.0 }, whole = 0.0; /* of all regions, and of those that meet the window */
  enum { MEASURE, ADD, DROP };
  for(int pass = MEASURE; pass <= DROP && room; pass++)
  {
    if(pass == ADD && !window) continue;
    const bool all_count = !window || whole >= WHOLE * all;
    const double least = fmax(SMALLEST * all, SHARE * largest[pass == DROP && !all_count]);
    memset(seen, 0, sizeof(bool) * all);
    for(size_t y = 0; y < height; y++)
      for(size_t x = 0; x < width; x++)
      {
        const size_t at = y * width + x;
        if(seen[at] || *map_at(map, (int)x, (int)y) <= 0.0f) continue;
        size_t count;
        const double sum = gather(map, (uint32_t)at, seen, pixels, &count);
        const bool meets = window && met[at];
        if(pass == MEASURE)
        {
          largest[0] = fmax(largest[0], sum);
          if(meets) largest[1] = fmax(largest[1], sum);
        }
        else if(pass == ADD)
          whole += sum < least ? 0.0 : sum;
        else if(sum < least || !(all_count || meets))
          for(size_t k = 0; k < count; k++) *map_at(map, (int)(pixels[k] % width), (int)(pixels[k] / width)) = 0.0f;
      }
  }
  dcv_release(met);
  dcv_release(seen);
  dcv_release(pixels);
  return room ? DCV_OK : DCV_ERROR_MEMORY;
}
