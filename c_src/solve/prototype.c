/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/prototype.h"

#include "maths/otf.h"
#include "ops/convolution.h"

#include <math.h>
#include <string.h>

enum { INNER = 5, CHANNELS = 3 };
#define TINY 1e-15f
#define ROOT2 1.41421356f

/* Planes of one call, of (rows + 2 pad) x (cols + 2 pad) pixels at the origin of the transform; what belongs to f lies `pad` inside. */
typedef struct state {
  const dcv_prototype *call;
  dcv_fft fft;
  int pad, height, width;
  float *f[CHANNELS], *u[CHANNELS], *ut[CHANNELS], *e[CHANNELS], *g[CHANNELS], *r[CHANNELS], *mask[CHANNELS], *tv_ut[2][CHANNELS];
  float *otf, *work, *tv[2], *divergence;
  float *k; /* planar, and its gradient after it */
  float eps;
} state;

static size_t at(const state *s, int i, int j)
{
  return (size_t)i * s->fft.stride + j;
}

/* Second differences of u over the nine neighbours: negated divergence, and TV in the norms 1 and 2; 0 on the ring. They are differences of differences,
 * which are exact where neighbours are alike: with eps = 1e-6 rounded sums would be seen. */
static void total_variation(const state *s, const float *u, float *const *tv, float *divergence)
{
  const int n = s->fft.stride;
  for(int m = 0; m < 2; m++) memset(tv[m], 0, sizeof(float) * s->fft.plane);
  if(divergence) memset(divergence, 0, sizeof(float) * s->fft.plane);
  for(int i = 1; i < s->height - 1; i++)
    for(int j = 1; j < s->width - 1; j++)
    {
      const float *p = u + at(s, i, j);
      const float a = (p[n] - p[0]) - (p[0] - p[-n]), b = (p[1] - p[0]) - (p[0] - p[-1]);
      const float c = ((p[n + 1] - p[0]) - (p[0] - p[-n - 1])) / ROOT2, d = ((p[n - 1] - p[0]) - (p[0] - p[1 - n])) / ROOT2;
      const float eps = s->eps;
      tv[0][at(s, i, j)] = (fabsf(a) + fabsf(b) + fabsf(c) + fabsf(d) + 2.0f * eps) / (4.0f * (1.0f + 1.0f / ROOT2));
      tv[1][at(s, i, j)] = (sqrtf(a * a + b * b + eps * eps) + sqrtf(c * c + d * d + eps * eps)) / (2.0f * (1.0f + ROOT2));
      if(divergence) divergence[at(s, i, j)] = -(a + b + c + d) / (2.0f * (1.0f + ROOT2));
    }
}

/* e <- k * u - f inside, 0 on the ring; leaves the spectrum of u in work. */
static void residual(const state *s, int c)
{
  const float scale = 1.0f / ((float)s->fft.width * s->fft.height);
  memcpy(s->work, s->u[c], sizeof(float) * s->fft.plane);
  dcv_fft_forward(&s->fft, s->work);
  const dcv_psf psf = { s->k + c * s->call->size * s->call->size, s->call->size, 1 };
  dcv_otf(&s->fft, &psf, 0, s->otf);
  dcv_convolution_multiply(&s->fft, s->otf, s->work, s->e[c]);
  dcv_fft_inverse(&s->fft, s->e[c]);
  for(int i = 0; i < s->fft.height; i++)
    for(int j = 0; j < s->fft.width; j++)
    {
      const bool inside = i >= s->pad && j >= s->pad && i < s->height - s->pad && j < s->width - s->pad;
      s->e[c][at(s, i, j)] = inside ? scale * s->e[c][at(s, i, j)] - s->f[c][at(s, i, j)] : 0.0f;
    }
}

static float largest(const state *s, const float *a, bool magnitude)
{
  float most = magnitude ? 0.0f : -INFINITY;
  for(int i = 0; i < s->height; i++)
    for(int j = 0; j < s->width; j++) most = fmaxf(most, magnitude ? fabsf(a[at(s, i, j)]) : a[at(s, i, j)]);
  return most;
}

/* Largest value of f, which has no ring. */
static float largest_inside(const state *s, const float *f)
{
  float most = -INFINITY;
  for(int i = s->pad; i < s->height - s->pad; i++)
    for(int j = s->pad; j < s->width - s->pad; j++) most = fmaxf(most, f[at(s, i, j)]);
  return most;
}

/* Steps 1 to 7 of an inner iteration on channel c. */
static void picture_step(state *s, int c)
{
  const float scale = 1.0f / ((float)s->fft.width * s->fft.height), lam = s->call->lam;
  residual(s, c);
  memcpy(s->g[c], s->e[c], sizeof(float) * s->fft.plane);
  dcv_fft_forward(&s->fft, s->g[c]);
  dcv_convolution_correlate(&s->fft, s->otf, s->g[c], s->g[c]);
  dcv_fft_inverse(&s->fft, s->g[c]);
  if(s->call->repaired_tv) total_variation(s, s->u[c], s->tv, s->divergence);
  for(int i = 0; i < s->height; i++)
    for(int j = 0; j < s->width; j++)
    {
      const size_t p = at(s, i, j);
      const float g = scale * s->g[c][p];
      if(i >= s->pad && j >= s->pad && i < s->height - s->pad && j < s->width - s->pad)
      {
        const float ratio = (g - s->f[c][p]) / (g + s->f[c][p]);
        s->mask[c][p] = s->call->blind ? ratio * ratio : ratio * ratio / lam;
      }
      const bool active = s->call->repaired_tv && s->tv[0][p] != 0.0f && s->tv_ut[0][c][p] != 0.0f;
      s->r[c][p] = 0.0f;
      for(int n = 0; active && n < 2; n++) s->r[c][p] += 0.5f * s->divergence[p] / (s->tv[n][p] * s->tv_ut[n][c][p]);
      s->g[c][p] = s->r[c][p] + lam * g + (s->u[c][p] - s->ut[c][p]) / (active ? 4.0f : 2.0f);
    }
  const float dt = s->call->step * largest(s, s->u[c], false) / (largest(s, s->g[c], true) + TINY);
  const float df = s->call->step * largest_inside(s, s->f[c]) / (largest(s, s->r[c], true) + TINY);
  for(int i = 0; i < s->height; i++)
    for(int j = 0; j < s->width; j++)
    {
      const size_t p = at(s, i, j);
      s->u[c][p] -= dt * s->g[c][p];
      if(i < s->pad || j < s->pad || i >= s->height - s->pad || j >= s->width - s->pad) continue;
      s->f[c][p] -= df * s->r[c][p] / lam;
      s->u[c][p] = (1.0f - s->mask[c][p]) * s->u[c][p] + s->mask[c][p] * s->f[c][p];
    }
}

/* Step 8, all channels: one step of the PSF from the correlation of e and u. */
static void psf_step(state *s, float *k_caller, bool *averaged)
{
  const int size = s->call->size, area = size * size;
  const float scale = 1.0f / ((float)s->fft.width * s->fft.height);
  float *const gradient = s->k + CHANNELS * area, most = 0.0f, peak = -INFINITY;
  for(int c = 0; c < CHANNELS; c++)
  {
    residual(s, c);
    memcpy(s->g[c], s->e[c], sizeof(float) * s->fft.plane);
    dcv_fft_forward(&s->fft, s->g[c]);
    dcv_convolution_correlate(&s->fft, s->g[c], s->work, s->g[c]);
    dcv_fft_inverse(&s->fft, s->g[c]);
    for(int a = 0; a < size; a++)
      for(int b = 0; b < size; b++)
      {
        const int i = (s->pad - a + s->fft.height) % s->fft.height, j = (s->pad - b + s->fft.width) % s->fft.width;
        const float value = scale * s->g[c][at(s, i, j)];
        gradient[c * area + a * size + b] = value;
        most = fmaxf(most, fabsf(value));
        peak = fmaxf(peak, s->k[c * area + a * size + b]);
      }
  }
  const float dk = s->call->step / size * peak / (most + TINY);
  for(int n = 0; n < CHANNELS * area; n++) s->k[n] -= dk * gradient[n];
  if(s->call->correlation)
  {
    for(int n = 0; n < CHANNELS * area && !*averaged; n++) k_caller[n % area * CHANNELS + n / area] = s->k[n];
    *averaged = true;
    for(int n = 0; n < area; n++)
    {
      const float mean = (s->k[n] + s->k[area + n] + s->k[2 * area + n]) / 3.0f;
      for(int c = 0; c < CHANNELS; c++) s->k[c * area + n] = mean;
    }
  }
  for(int c = 0; c < CHANNELS; c++)
  {
    double sum = 0.0;
    for(int n = 0; n < area; n++) s->k[c * area + n] = fmaxf(s->k[c * area + n], 0.0f), sum += s->k[c * area + n];
    for(int n = 0; n < area; n++) s->k[c * area + n] = (float)(s->k[c * area + n] / sum);
  }
}

/* exp(-x^2 / 4) / (2 pi)^(1/4) at x = -1 .. 1: the square root of the prototype's series. */
static double series(int i, int n)
{
  const double x = n > 1 ? 2.0 * i / (n - 1) - 1.0 : -1.0;
  return exp(-x * x / 4.0);
}

/* Weighted mean square of the autocorrelation of the residual without its mean, over its largest value; lag 0 included. wide: transform of twice the window. */
static double whiteness(const state *s, const dcv_fft *wide, float *plane)
{
  const dcv_prototype *call = s->call;
  const int h = call->bottom - call->top, w = call->right - call->left;
  double sum = 0.0, most = 0.0, weights = 0.0, total = 0.0;
  for(int pass = 0; pass < 2; pass++)
    for(int c = 0; c < CHANNELS; c++)
      for(int i = 0; i < h; i++)
        for(int j = 0; j < w; j++)
        {
          const double value = s->e[c][at(s, s->pad + call->top + i, s->pad + call->left + j)] - (pass ? sum : 0.0) / (CHANNELS * h * w);
          if(!pass) sum += value;
          if(pass) most = fmax(most, fabs(value));
        }
  const double mean = sum / (CHANNELS * h * w);
  for(int i = 0; i < h; i++)
    for(int j = 0; j < w; j++) weights += series(i, h) * series(j, w);
  for(int c = 0; c < CHANNELS; c++)
  {
    memset(plane, 0, sizeof(float) * wide->plane);
    for(int i = 0; i < h; i++)
      for(int j = 0; j < w; j++)
        plane[(size_t)i * wide->stride + j] = (float)((s->e[c][at(s, s->pad + call->top + i, s->pad + call->left + j)] - mean) / most);
    dcv_fft_forward(wide, plane);
    dcv_convolution_correlate(wide, plane, plane, plane);
    dcv_fft_inverse(wide, plane);
    for(int i = 0; i < h; i++)
      for(int j = 0; j < w; j++)
      {
        const int y = i + (h - 1) / 2 - (h - 1), x = j + (w - 1) / 2 - (w - 1);
        const double a = plane[(size_t)(y < 0 ? y + wide->height : y) * wide->stride + (x < 0 ? x + wide->width : x)]
                         / ((double)wide->width * wide->height);
        total += a * a * series(i, h) * series(j, w) / weights;
      }
  }
  return total / (CHANNELS * (double)h * w);
}

int dcv_prototype_run(const dcv_prototype *call, float *f, float *u, float *k, float *k_caller, float *mask, double *trace)
{
  state s = { .call = call, .pad = call->size / 2, .eps = call->blind ? 1e-2f : 1e-6f };
  s.height = call->rows + 2 * s.pad, s.width = call->cols + 2 * s.pad;
  const int area = call->size * call->size;
  dcv_fft wide = { 0 };
  float *memory = NULL, *plane = NULL;
  int done = -1;
  if(dcv_fft_init(&s.fft, dcv_fft_fast_size(s.width), dcv_fft_fast_size(s.height), 0) == DCV_OK
     && dcv_fft_init(&wide, dcv_fft_fast_size(2 * (call->right - call->left)), dcv_fft_fast_size(2 * (call->bottom - call->top)), 0) == DCV_OK)
  {
    memory = dcv_alloc_floats(32 * s.fft.plane + dcv_round_floats(2 * CHANNELS * area));
    plane = dcv_alloc_floats(wide.plane);
  }
  if(memory && plane)
  {
    memset(memory, 0, sizeof(float) * (32 * s.fft.plane + dcv_round_floats(2 * CHANNELS * area)));
    float *next = memory;
#define TAKE(p) p = next, next += s.fft.plane
    for(int c = 0; c < CHANNELS; c++)
    {
      TAKE(s.f[c]); TAKE(s.u[c]); TAKE(s.ut[c]); TAKE(s.e[c]); TAKE(s.g[c]); TAKE(s.r[c]); TAKE(s.mask[c]); TAKE(s.tv_ut[0][c]); TAKE(s.tv_ut[1][c]);
      for(int i = 0; i < s.height; i++)
        for(int j = 0; j < s.width; j++) s.u[c][at(&s, i, j)] = u[(i * s.width + j) * CHANNELS + c];
      for(int i = 0; i < call->rows; i++)
        for(int j = 0; j < call->cols; j++) s.f[c][at(&s, i + s.pad, j + s.pad)] = f[(i * call->cols + j) * CHANNELS + c];
    }
    TAKE(s.otf); TAKE(s.work); TAKE(s.tv[0]); TAKE(s.tv[1]); TAKE(s.divergence);
#undef TAKE
    s.k = next;
    for(int n = 0; n < area; n++)
      for(int c = 0; c < CHANNELS; c++) s.k[c * area + n] = k[n * CHANNELS + c];
    bool averaged = false;
    for(done = 0; done < call->iterations;)
    {
      for(int c = 0; c < CHANNELS; c++)
      {
        memcpy(s.ut[c], s.u[c], sizeof(float) * s.fft.plane);
        float *const both[2] = { s.tv_ut[0][c], s.tv_ut[1][c] };
        if(call->repaired_tv) total_variation(&s, s.ut[c], both, NULL);
      }
      for(int inner = 0; inner < INNER; inner++)
      {
        for(int c = 0; c < CHANNELS; c++) picture_step(&s, c);
        if(call->blind) psf_step(&s, k_caller, &averaged);
      }
      trace[done++] = whiteness(&s, &wide, plane);
      const double now = trace[done - 1], before = done > 1 ? trace[done - 2] : now;
      if(call->stopping && done >= 3 && (call->blind ? now > before : (now - before) / (now + before) > call->tau)) break;
    }
    for(int c = 0; c < CHANNELS; c++)
    {
      for(int i = 0; i < s.height; i++)
        for(int j = 0; j < s.width; j++) u[(i * s.width + j) * CHANNELS + c] = s.u[c][at(&s, i, j)];
      for(int i = 0; i < call->rows; i++)
        for(int j = 0; j < call->cols; j++)
        {
          f[(i * call->cols + j) * CHANNELS + c] = s.f[c][at(&s, i + s.pad, j + s.pad)];
          mask[(i * call->cols + j) * CHANNELS + c] = s.mask[c][at(&s, i + s.pad, j + s.pad)];
        }
    }
    for(int n = 0; n < area; n++)
      for(int c = 0; c < CHANNELS; c++) k[n * CHANNELS + c] = s.k[c * area + n];
    if(!averaged) memcpy(k_caller, k, sizeof(float) * CHANNELS * area);
  }
  dcv_release(memory);
  dcv_release(plane);
  dcv_fft_clear(&s.fft);
  dcv_fft_clear(&wide);
  return done;
}
