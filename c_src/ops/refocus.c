/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/refocus.h"

#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/convolution.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
enum { SIDE = DCV_REFOCUS_SIDE, HALF = SIDE / 2, OCTAVES = DCV_REFOCUS_OCTAVES, ORIENTATIONS = DCV_REFOCUS_ORIENTATIONS, PROFILES = DCV_REFOCUS_PROFILES };
enum { ANGLES = PROFILES - 1, FREQUENCIES = 64, CONTRASTS = 14, LAYERS = 6, STRIP = 64, LONGEST = 512 };
#define TOP 0.36
#define NU 4.0
#define CAP 5.0f
#define GROWTH 1.5f
#define DOUBT 0.05f
#define FULL 0.3f

dcv_status dcv_refocus_make_kernels(dcv_refocus_kernels kernels)
{
  dcv_fft fft;
  DCV_TRY(dcv_fft_init(&fft, SIDE, SIDE, 0));
  float *const plane = dcv_alloc_floats(fft.plane);
  if(!plane)
  {
    dcv_fft_clear(&fft);
    return DCV_ERROR_MEMORY;
  }
  double window[SIDE], total = 0.0;
  for(int i = 0; i < SIDE; i++) window[i] = pow(cos(PI * (i - HALF) / SIDE), 2.0), total += window[i];
  for(int o = 0; o < ORIENTATIONS; o++)
    for(int r = 0; r < OCTAVES; r++)
    {
      for(int i = 0; i < SIDE; i++)
        for(int j = 0; j < fft.columns; j++)
        {
          const double fy = (double)(i < HALF ? i : i - SIDE) / SIDE, fx = (double)j / SIDE;
          const double octave = i == 0 && j == 0 ? -1.0 : fmin(fmax(log2(hypot(fx, fy) / TOP) + r, -1.0), 1.0);
          const double band = cos(0.5 * PI * octave) * pow(cos(atan2(fy, fx) - PI * o / ORIENTATIONS), 8.0);
          float *const k = plane + (size_t)i * fft.stride + 2 * j;
          k[0] = i == HALF || j == HALF ? 0.0f : (float)(band / (SIDE * SIDE)); /* at the Nyquist frequency a band has no one orientation */
          k[1] = 0.0f;
        }
      dcv_fft_inverse(&fft, plane);
      double sum = 0.0;
      for(int pass = 0; pass < 2; pass++)
        for(int i = 0; i < SIDE; i++)
          for(int j = 0; j < SIDE; j++)
          {
            const double w = window[i] * window[j];
            const double g = w * plane[(size_t)((i + HALF) % SIDE) * fft.stride + (j + HALF) % SIDE];
            if(pass == 0)
              sum += g;
            else
              kernels[o][r][i][j] = (float)(g - w * sum / (total * total));
          }
    }
  dcv_release(plane);
  dcv_fft_clear(&fft);
  return DCV_OK;
}

/* |FFT|^2 at the frequency (fy, fx), cycles per pixel, of n x n values. */
static double power(const float *values, int n, double fy, double fx)
{
  double re = 0.0, im = 0.0, cosine[DCV_PSF_MAX], sine[DCV_PSF_MAX];
  for(int j = 0; j < n; j++) cosine[j] = cos(2.0 * PI * fx * (j - n / 2)), sine[j] = sin(2.0 * PI * fx * (j - n / 2));
  for(int i = 0; i < n; i++)
  {
    double a = 0.0, b = 0.0;
    for(int j = 0; j < n; j++) a += values[i * n + j] * cosine[j], b += values[i * n + j] * sine[j];
    const double c = cos(2.0 * PI * fy * (i - n / 2)), s = sin(2.0 * PI * fy * (i - n / 2));
    re += c * a - s * b, im += c * b + s * a;
  }
  return re * re + im * im;
}

void dcv_refocus_make_profiles(dcv_refocus_kernels kernels, const dcv_psf *psf, dcv_refocus_profiles profiles)
{
  const size_t n2 = (size_t)psf->size * psf->size;
  memset(profiles, 0, sizeof(dcv_refocus_profiles));
  for(int o = 0; o < ORIENTATIONS; o++)
    for(int a = 0; a < ANGLES; a++)
    {
      const double angle = PI * (o + 0.4 * (a - 2)) / ORIENTATIONS;
      for(int i = 0; i < FREQUENCIES; i++)
      {
        const double f = 0.7 * (i + 0.5) / FREQUENCIES, fy = f * sin(angle), fx = f * cos(angle);
        if(fabs(fy) >= 0.5 || fabs(fx) >= 0.5) continue;
        double gain[2] = { 1.0, 0.0 };
        for(int c = 0; c < psf->channels; c++) gain[1] += power(psf->data + c * n2, psf->size, fy, fx) / psf->channels;
        for(int r = 0; r < OCTAVES; r++)
        {
          const double band = power(&kernels[o][r][0][0], SIDE, fy, fx);
          for(int h = 0; h < 2; h++)
          {
            profiles[h][o][a][r] += band * gain[h] / (f * f);
            profiles[h][o][ANGLES][r] += band * gain[h] / f;
          }
        }
      }
    }
  for(int h = 0; h < 2; h++)
    for(int o = 0; o < ORIENTATIONS; o++)
      for(int p = 0; p < PROFILES; p++)
      {
        double *const q = profiles[h][o][p], most = fmax(fmax(q[0], q[1]), q[2]);
        for(int r = 0; r < OCTAVES; r++) q[r] /= most;
      }
}

void dcv_refocus_footprint(dcv_refocus_kernels kernels, int radii[OCTAVES])
{
  double variance[OCTAVES] = { 0.0 }, most = 0.0;
  for(int r = 0; r < OCTAVES; r++)
  {
    for(int o = 0; o < ORIENTATIONS; o++)
    {
      double sum = 0.0, moment = 0.0;
      for(int i = 0; i < SIDE; i++)
        for(int j = 0; j < SIDE; j++)
        {
          const double square = (double)kernels[o][r][i][j] * kernels[o][r][i][j];
          sum += square, moment += square * 0.5 * ((i - HALF) * (i - HALF) + (j - HALF) * (j - HALF));
        }
      variance[r] += moment / sum / ORIENTATIONS;
    }
    most = fmax(most, variance[r]);
  }
  for(int r = 0; r < OCTAVES; r++) radii[r] = (int)rint(sqrt(1.5 * (most + 4.0 - variance[r]) + 0.25) - 0.5);
}

/* ---- evidence ---- */

/* One pair of hypothesis and contrast: -l = sum_r weight[r] E_r + offset. */
typedef struct model {
  float weight[OCTAVES], offset;
} model;
enum { MODELS = PROFILES * CONTRASTS + 1 };

typedef struct filter_bank {
  model models[2][ORIENTATIONS][MODELS];
  int radii[OCTAVES];
} filter_bank;

static model model_of(const double v[OCTAVES])
{
  model m = { .offset = 0.0f };
  double logs = 0.0;
  for(int r = 0; r < OCTAVES; r++) m.weight[r] = (float)(0.5 * NU / v[r]), logs += log(v[r]);
  m.offset = (float)(0.5 * NU * logs);
  return m;
}

static void make_bank(dcv_refocus_kernels kernels, const dcv_psf *psf, filter_bank *bank)
{
  dcv_refocus_profiles profiles;
  dcv_refocus_make_profiles(kernels, psf, profiles);
  dcv_refocus_footprint(kernels, bank->radii);
  for(int o = 0; o < ORIENTATIONS; o++)
  {
    double noise[OCTAVES] = { 0.0 }, mean = 0.0;
    for(int r = 0; r < OCTAVES; r++)
    {
      const float *const kernel = &kernels[o][r][0][0];
      for(int i = 0; i < SIDE * SIDE; i++) noise[r] += (double)kernel[i] * kernel[i];
      mean += noise[r] / OCTAVES;
    }
    for(int h = 0; h < 2; h++)
    {
      bank->models[h][o][0] = model_of(noise);
      for(int p = 0; p < PROFILES; p++)
        for(int s = 0; s < CONTRASTS; s++)
        {
          double v[OCTAVES];
          for(int r = 0; r < OCTAVES; r++) v[r] = pow(10.0, 0.5 * s - 1.0) * mean * profiles[h][o][p][r] + noise[r];
          bank->models[h][o][1 + p * CONTRASTS + s] = model_of(v);
        }
    }
  }
}

/* best[x] <- least -l over the models. */
DCV_SIMD static void likelihood(const model *models, int count, const float *e0, const float *e1, const float *e2, float *restrict best)
{
  for(int x = 0; x < count; x++) best[x] = models[0].weight[0] * e0[x] + models[0].weight[1] * e1[x] + models[0].weight[2] * e2[x] + models[0].offset;
  for(int m = 1; m < MODELS; m++)
  {
    const float a = models[m].weight[0], b = models[m].weight[1], c = models[m].weight[2], d = models[m].offset;
#pragma GCC ivdep
    for(int x = 0; x < count; x++)
    {
      const float l = a * e0[x] + b * e1[x] + c * e2[x] + d;
      best[x] = l < best[x] ? l : best[x];
    }
  }
}

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

/* a <- box of radius q of a, in rows and columns; within q pixels of the plane's sides, and outside what is left of it there, values mean nothing. */
static void tile_box(const dcv_fft *fft, int q, float *a, float *rest)
{
  const int w = fft->width, h = fft->height, n = 2 * q + 1;
  if(w < n || h < n) return;
  for(int y = 0; y < h; y++)
  {
    float *const row = a + (size_t)y * fft->stride;
    memcpy(rest, row, sizeof(float) * w);
    double sum = 0.0;
    for(int x = 0; x < n - 1; x++) sum += rest[x];
    for(int x = q; x < w - q; x++)
    {
      sum += rest[x + q];
      row[x] = (float)(sum / n);
      sum -= rest[x - q];
    }
  }
  for(int x0 = 0; x0 < w; x0 += STRIP)
  {
    const int count = DCV_MIN(STRIP, w - x0);
    double sum[STRIP] = { 0.0 };
    for(int y = 0; y < h; y++) memcpy(rest + (size_t)y * STRIP, a + (size_t)y * fft->stride + x0, sizeof(float) * count);
    for(int y = 0; y < n - 1; y++)
      for(int x = 0; x < count; x++) sum[x] += rest[(size_t)y * STRIP + x];
    for(int y = q; y < h - q; y++)
    {
      const float *const in = rest + (size_t)(y + q) * STRIP, *const out = rest + (size_t)(y - q) * STRIP;
      float *const row = a + (size_t)y * fft->stride + x0;
      for(int x = 0; x < count; x++)
      {
        sum[x] += in[x];
        row[x] = (float)(sum[x] / n);
        sum[x] -= out[x];
      }
    }
  }
}

/* The real spectra of all kernels, height x columns floats each. plane: scratch. */
static void kernel_spectra(dcv_refocus_kernels kernels, const dcv_fft *fft, float *plane, float *spectra)
{
  for(int k = 0; k < ORIENTATIONS * OCTAVES; k++)
  {
    const float *const g = &kernels[0][0][0][0] + (size_t)k * SIDE * SIDE;
    memset(plane, 0, sizeof(float) * fft->plane);
    for(int i = 0; i < SIDE; i++)
      for(int j = 0; j < SIDE; j++)
      {
        const int y = (i - HALF + fft->height) % fft->height, x = (j - HALF + fft->width) % fft->width;
        plane[(size_t)y * fft->stride + x] += g[i * SIDE + j] / ((float)fft->width * fft->height);
      }
    dcv_fft_forward(fft, plane);
    for(int i = 0; i < fft->height; i++)
      for(int j = 0; j < fft->columns; j++) spectra[((size_t)k * fft->height + i) * fft->columns + j] = plane[(size_t)i * fft->stride + 2 * j];
  }
}

/* Evidence of the core pixels of a tile, with the picture's luminance over the noise in planes[0]; planes: 1 + OCTAVES, and 3 for the sums. */
static void tile_evidence(const dcv_fft *fft, const filter_bank *bank, const float *spectra, int margin, int width, int height, float *const *planes, float *rest,
                          float *e, int stride)
{
  dcv_fft_forward(fft, planes[0]);
  float *const total = planes[1 + OCTAVES];
  memset(total, 0, sizeof(float) * fft->plane);
  for(int o = 0; o < ORIENTATIONS; o++)
  {
    for(int r = 0; r < OCTAVES; r++)
    {
      float *const energy = planes[1 + r];
      filter(fft, spectra + ((size_t)o * OCTAVES + r) * fft->height * fft->columns, planes[0], energy);
      dcv_fft_inverse(fft, energy);
      for(size_t i = 0; i < fft->plane; i++) energy[i] *= energy[i];
      for(int pass = 0; pass < 2; pass++) tile_box(fft, bank->radii[r], energy, rest);
    }
    for(int y = margin; y < margin + height; y++)
    {
      const size_t at = (size_t)y * fft->stride + margin;
      float *const best[2] = { rest, rest + fft->width };
      for(int h = 0; h < 2; h++) likelihood(bank->models[h][o], width, planes[1] + at, planes[2] + at, planes[3] + at, best[h]);
      for(int x = 0; x < width; x++) total[at + x] += best[0][x] - best[1][x];
    }
  }
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++) e[(size_t)y * stride + x] = fminf(fmaxf(total[(size_t)(margin + y) * fft->stride + margin + x], -CAP), CAP);
}

dcv_status dcv_refocus_evidence(const dcv_image *in, int channels, const dcv_psf *psf, float noise, int threads, const dcv_callbacks *callbacks, float *e)
{
  dcv_refocus_kernels *const kernels = dcv_alloc(sizeof(dcv_refocus_kernels));
  filter_bank *const bank = dcv_alloc(sizeof(filter_bank));
  dcv_status status = kernels && bank ? dcv_refocus_make_kernels(*kernels) : DCV_ERROR_MEMORY;
  dcv_fft fft = { 0 };
  float *spectra = NULL, *memory = NULL;
  enum { PLANES = 2 + OCTAVES };
  size_t each = 0, rest = 0;
  int margin = 0, core_x = 0, core_y = 0;
  if(status == DCV_OK)
  {
    make_bank(*kernels, psf, bank);
    for(int r = 0; r < OCTAVES; r++) margin = DCV_MAX(margin, HALF + 2 * bank->radii[r]);
    const int wide = dcv_fft_fast_size(DCV_MIN(in->width + 2 * margin, LONGEST)), high = dcv_fft_fast_size(DCV_MIN(in->height + 2 * margin, LONGEST));
    core_x = wide - 2 * margin, core_y = high - 2 * margin;
    status = dcv_fft_init(&fft, wide, high, 1);
  }
  const int tiles_x = core_x ? (in->width + core_x - 1) / core_x : 0, tiles_y = core_y ? (in->height + core_y - 1) / core_y : 0;
  threads = DCV_MIN(threads, tiles_x * tiles_y);
  if(status == DCV_OK)
  {
    rest = dcv_round_floats((size_t)DCV_MAX(fft.width, fft.height) * STRIP);
    each = PLANES * fft.plane + rest;
    spectra = dcv_alloc_floats((size_t)ORIENTATIONS * OCTAVES * fft.height * fft.columns);
    memory = spectra ? dcv_alloc_floats(threads * each) : NULL;
    if(!memory) status = DCV_ERROR_MEMORY;
  }
  if(status == DCV_OK)
  {
    kernel_spectra(*kernels, &fft, memory, spectra);
    const float scale = 1.0f / (sqrtf((float)channels) * noise);
    int done = 0, stop = 0;
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(threads)
    for(int iy = 0; iy < tiles_y; iy++)
      for(int ix = 0; ix < tiles_x; ix++)
      {
        const int thread = dcv_thread();
        if(dcv_cancelled(callbacks)) __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        if(__atomic_load_n(&stop, __ATOMIC_RELAXED)) continue;
        float *planes[PLANES];
        for(int i = 0; i < PLANES; i++) planes[i] = memory + thread * each + i * fft.plane;
        const int x0 = ix * core_x, y0 = iy * core_y;
        load_grey(in, channels, scale, x0 - margin, y0 - margin, &fft, planes[0]);
        dcv_boundary_fill_holes(&fft, planes[0], fft.width, fft.height, planes[1]);
        tile_evidence(&fft, bank, spectra, margin, DCV_MIN(core_x, in->width - x0), DCV_MIN(core_y, in->height - y0), planes, planes[0] + PLANES * fft.plane,
                      e + (size_t)y0 * in->width + x0, in->width);
        const int count = __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
        if(thread == 0) dcv_progress(callbacks, 0.9 * count / (tiles_x * tiles_y));
      }
    if(stop) status = DCV_ERROR_CANCELLED;
  }
  dcv_release(memory);
  dcv_release(spectra);
  dcv_fft_clear(&fft);
  dcv_release(bank);
  dcv_release(kernels);
  return status;
}

/* ---- the model all over the picture ---- */

dcv_status dcv_refocus_reblur(const dcv_image *in, int channels, const dcv_psf *psf, const dcv_image *map, int threads, const dcv_callbacks *callbacks,
                              dcv_image *out)
{
  dcv_fft fft;
  const int margin = psf->size / 2, longest = DCV_MAX(LONGEST, 4 * psf->size);
  const int wide = dcv_fft_fast_size(DCV_MIN(in->width + 2 * margin, longest)), high = dcv_fft_fast_size(DCV_MIN(in->height + 2 * margin, longest));
  DCV_TRY(dcv_fft_init(&fft, wide, high, 1));
  const int core_x = wide - 2 * margin, core_y = high - 2 * margin;
  const int tiles_x = (in->width + core_x - 1) / core_x, tiles_y = (in->height + core_y - 1) / core_y;
  threads = DCV_MIN(threads, tiles_x * tiles_y);
  float *const otf = dcv_alloc_floats(psf->channels * fft.plane), *const memory = otf ? dcv_alloc_floats(2 * threads * fft.plane) : NULL;
  int done = 0, stop = 0;
  if(memory)
  {
    for(int c = 0; c < psf->channels; c++)
    {
      float *const k = otf + c * fft.plane;
      dcv_otf(&fft, psf, c, k);
      for(size_t i = 0; i < fft.plane; i++) k[i] /= (float)wide * high;
    }
#pragma omp parallel for collapse(2) schedule(dynamic, 1) num_threads(threads)
    for(int iy = 0; iy < tiles_y; iy++)
      for(int ix = 0; ix < tiles_x; ix++)
      {
        const int thread = dcv_thread();
        float *const plane = memory + 2 * thread * fft.plane;
        const int x0 = ix * core_x, y0 = iy * core_y;
        if(dcv_cancelled(callbacks)) __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
        for(int c = 0; c < channels && !__atomic_load_n(&stop, __ATOMIC_RELAXED); c++)
        {
          const dcv_image channel = { in->data + c, in->width, in->height, in->pixel_stride, in->row_stride };
          load_grey(&channel, 1, 1.0f, x0 - margin, y0 - margin, &fft, plane);
          dcv_boundary_fill_holes(&fft, plane, wide, high, plane + fft.plane);
          dcv_fft_forward(&fft, plane);
          dcv_convolution_multiply(&fft, otf + (psf->channels == 1 ? 0 : c) * fft.plane, plane, plane);
          dcv_fft_inverse(&fft, plane);
          for(int y = y0; y < DCV_MIN(y0 + core_y, in->height); y++)
            for(int x = x0; x < DCV_MIN(x0 + core_x, in->width); x++)
            {
              const float value = in->data[y * in->row_stride + (ptrdiff_t)x * in->pixel_stride + c];
              const float sharp = 1.0f - map->data[y * map->row_stride + (ptrdiff_t)x * map->pixel_stride];
              const float blurred = plane[(size_t)(y - y0 + margin) * fft.stride + (x - x0 + margin)];
              out->data[y * out->row_stride + (ptrdiff_t)x * out->pixel_stride + c] = value + sharp * (blurred - value);
            }
        }
        const int count = __atomic_add_fetch(&done, 1, __ATOMIC_RELAXED);
        if(thread == 0 && !stop) dcv_progress(callbacks, (double)count / (tiles_x * tiles_y));
      }
  }
  dcv_release(otf);
  dcv_release(memory);
  dcv_fft_clear(&fft);
  return !memory ? DCV_ERROR_MEMORY : stop ? DCV_ERROR_CANCELLED : DCV_OK;
}

/* ---- map ---- */

/* a <- box of radius q of a, mirrored at the frame. buffer: 2 q + max(width, STRIP * height) floats and more for each thread. */
static void box(float *a, int width, int height, int q, int threads, float *memory, size_t each)
{
  const int n = 2 * q + 1;
#pragma omp parallel num_threads(threads)
  {
    float *const buffer = memory + dcv_thread() * each;
#pragma omp for schedule(static)
    for(int y = 0; y < height; y++)
    {
      float *const row = a + (size_t)y * width;
      for(int x = -q; x < width + q; x++) buffer[x + q] = row[mirror(x, width)];
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
      for(int y = 0; y < height; y++) memcpy(buffer + (size_t)y * STRIP, a + (size_t)y * width + x0, sizeof(float) * count);
      for(int y = -q; y < q; y++)
        for(int x = 0; x < count; x++) sum[x] += buffer[(size_t)mirror(y, height) * STRIP + x];
      for(int y = 0; y < height; y++)
      {
        const float *const in = buffer + (size_t)mirror(y + q, height) * STRIP, *const out = buffer + (size_t)mirror(y - q, height) * STRIP;
        float *const row = a + (size_t)y * width + x0;
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

/* sum <- sum over layers of growth^i (B_i a + more); a is left smoothed. */
static void layers(float *a, int width, int height, float more, int threads, float *memory, size_t each, float *sum)
{
  const size_t count = (size_t)width * height;
  memset(sum, 0, sizeof(float) * count);
  float growth = 1.0f;
  for(int i = 0; i < LAYERS; i++, growth *= GROWTH)
  {
    box(a, width, height, 2 << i, threads, memory, each);
#pragma omp parallel for schedule(static) num_threads(threads)
    for(size_t j = 0; j < count; j++) sum[j] += growth * (a[j] + more);
  }
}

dcv_status dcv_refocus_spread(float *e, int threads, dcv_image *map)
{
  const int width = map->width, height = map->height;
  const size_t count = (size_t)width * height;
  const size_t each = dcv_round_floats(DCV_MAX((size_t)width + 2 * (2 << (LAYERS - 1)), (size_t)STRIP * height));
  float *const a = dcv_alloc_floats(count), *const total = a ? dcv_alloc_floats(count) : NULL, *const memory = total ? dcv_alloc_floats(threads * each) : NULL;
  if(memory)
  {
    memcpy(a, e, sizeof(float) * count);
    layers(a, width, height, 0.0f, threads, memory, each, total);
    for(size_t i = 0; i < count; i++) e[i] = fabsf(e[i]);
    layers(e, width, height, DOUBT, threads, memory, each, a);
#pragma omp parallel for schedule(static) num_threads(threads)
    for(int y = 0; y < height; y++)
      for(int x = 0; x < width; x++)
      {
        const size_t at = (size_t)y * width + x;
        const float t = fminf(fmaxf(total[at] / a[at] / FULL, 0.0f), 1.0f);
        map->data[y * map->row_stride + (ptrdiff_t)x * map->pixel_stride] = t * t * (3.0f - 2.0f * t);
      }
  }
  dcv_release(a);
  dcv_release(total);
  dcv_release(memory);
  return memory ? DCV_OK : DCV_ERROR_MEMORY;
}
