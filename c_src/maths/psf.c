/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "maths/psf.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846

static bool shape_ok(const dcv_psf *psf)
{
  return psf && psf->data && psf->size >= 1 && psf->size <= DCV_PSF_MAX && psf->size % 2 == 1 && (psf->channels == 1 || psf->channels == 3);
}

static size_t area(const dcv_psf *psf)
{
  return (size_t)psf->size * psf->size;
}

enum { SAMPLES = 32 };

/* Area that the pixel (x, y) from the centre shares with the circle of radius r, by chords along x on SAMPLES lines. */
static double disk_pixel(double x, double y, double r)
{
  double sum = 0.0;
  for(int s = 0; s < SAMPLES; s++)
  {
    const double at = y - 0.5 + (s + 0.5) / SAMPLES;
    if(fabs(at) >= r) continue;
    const double half = sqrt(r * r - at * at);
    sum += fmax(0.0, fmin(x + 0.5, half) - fmax(x - 0.5, -half));
  }
  return sum / SAMPLES;
}

/* Bilinear share of the pixel (x, y) from the centre in the segment's points. */
static double segment_pixel(double x, double y, double length, double cosine, double sine)
{
  const int count = SAMPLES * (int)ceil(length);
  double sum = 0.0;
  for(int s = 0; s < count; s++)
  {
    const double t = ((s + 0.5) / count - 0.5) * length;
    sum += fmax(0.0, 1.0 - fabs(x - t * cosine)) * fmax(0.0, 1.0 - fabs(y - t * sine));
  }
  return sum / count;
}

/* Modified Bessel function of the first kind, order 0, by its power series. */
static double bessel_i0(double x)
{
  double term = 1.0, sum = 1.0;
  for(int k = 1; k < 500 && term > 1e-17 * sum; k++)
  {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

static double kaiser(double i, int n, double beta)
{
  const double t = n > 1 ? 2.0 * i / (n - 1) : 0.0;
  return bessel_i0(beta * sqrt(fmax(0.0, 1.0 - t * t))) / bessel_i0(beta);
}

dcv_status dcv_psf_make(dcv_psf *psf, dcv_psf_kind kind, double a, double b)
{
  if(!psf || !psf->data) return DCV_ERROR_ARGUMENT;
  if(!shape_ok(psf)) return DCV_ERROR_PSF;
  if(!isfinite(a) || !isfinite(b)) return DCV_ERROR_ARGUMENT;
  if(kind == DCV_PSF_KAISER ? a < 0.0 || a > 500.0 : kind != DCV_PSF_UNIFORM && !(a > 0.0 && a <= 1e4)) return DCV_ERROR_ARGUMENT;
  const int n = psf->size;
  const double cosine = cos(b * PI / 180.0), sine = -sin(b * PI / 180.0); /* rows grow downwards */
  for(int row = 0; row < n; row++)
    for(int column = 0; column < n; column++)
    {
      const double x = column - n / 2, y = row - n / 2;
      double value = 1.0;
      switch(kind)
      {
        case DCV_PSF_GAUSSIAN: value = exp(-(x * x + y * y) / (2.0 * a * a)); break;
        case DCV_PSF_DISK: value = disk_pixel(x, y, a) + disk_pixel(y, x, a); break;
        case DCV_PSF_MOTION: value = segment_pixel(x, y, a, cosine, sine); break;
        case DCV_PSF_UNIFORM: break;
        case DCV_PSF_KAISER: value = kaiser(x, n, a) * kaiser(y, n, a); break;
        case DCV_PSF_EXPONENTIAL: value = exp(-(fabs(x) + fabs(y)) / a); break;
        default: return DCV_ERROR_ARGUMENT;
      }
      psf->data[row * n + column] = (float)value;
    }
  for(int c = 1; c < psf->channels; c++) memcpy(psf->data + c * area(psf), psf->data, sizeof(float) * area(psf));
  return dcv_psf_normalise(psf);
}

int dcv_psf_natural_size(dcv_psf_kind kind, double a, double b)
{
  if(!(a > 0.0 && a <= 1e4) || !isfinite(b)) return 0;
  double reach; /* pixels on each side of the centre */
  switch(kind)
  {
    case DCV_PSF_GAUSSIAN: reach = ceil(4.0 * a); break;
    case DCV_PSF_DISK: reach = ceil(a - 0.5); break;
    case DCV_PSF_MOTION: reach = ceil(a / 2.0 * fmax(fabs(cos(b * PI / 180.0)), fabs(sin(b * PI / 180.0))) - 1e-9); break;
    case DCV_PSF_EXPONENTIAL: reach = ceil(5.0 * a); break;
    default: return 0;
  }
  return 2 * (int)fmax(reach, 0.0) + 1;
}

dcv_status dcv_psf_validate(const dcv_psf *psf)
{
  if(!psf || !psf->data) return DCV_ERROR_ARGUMENT;
  if(!shape_ok(psf)) return DCV_ERROR_PSF;
  for(int c = 0; c < psf->channels; c++)
  {
    const float *k = psf->data + c * area(psf);
    double sum = 0.0;
    for(size_t i = 0; i < area(psf); i++)
    {
      if(!(k[i] >= 0.0f) || isinf(k[i])) return DCV_ERROR_PSF;
      sum += k[i];
    }
    if(!(sum > 1e-12) || sum > 1e30) return DCV_ERROR_PSF;
  }
  return DCV_OK;
}

dcv_status dcv_psf_normalise(dcv_psf *psf)
{
  if(!psf || !psf->data) return DCV_ERROR_ARGUMENT;
  if(!shape_ok(psf)) return DCV_ERROR_PSF;
  double sum[3] = { 0.0, 0.0, 0.0 };
  for(int c = 0; c < psf->channels; c++)
  {
    const float *k = psf->data + c * area(psf);
    for(size_t i = 0; i < area(psf); i++)
    {
      if(!isfinite(k[i])) return DCV_ERROR_PSF;
      sum[c] += fmax(k[i], 0.0);
    }
    if(!(sum[c] > 1e-12) || sum[c] > 1e30) return DCV_ERROR_PSF;
  }
  for(int c = 0; c < psf->channels; c++)
  {
    float *k = psf->data + c * area(psf);
    for(size_t i = 0; i < area(psf); i++) k[i] = (float)(fmax(k[i], 0.0) / sum[c]);
  }
  return DCV_OK;
}

/* Centroid from the middle, px, of all channels together, and the mean squared distance from it. */
static void moments(const dcv_psf *psf, double *x, double *y, double *square)
{
  const int n = psf->size;
  double sum = 0.0, sx = 0.0, sy = 0.0, s2 = 0.0;
  for(int c = 0; c < psf->channels; c++)
    for(int i = 0; i < n; i++)
      for(int j = 0; j < n; j++)
      {
        const double k = psf->data[c * area(psf) + (size_t)i * n + j], dx = j - n / 2, dy = i - n / 2;
        sum += k, sx += k * dx, sy += k * dy, s2 += k * (dx * dx + dy * dy);
      }
  *x = sx / sum, *y = sy / sum;
  *square = fmax(0.0, s2 / sum - *x * *x - *y * *y);
}

dcv_status dcv_psf_centre(dcv_psf *psf)
{
  DCV_TRY(dcv_psf_validate(psf));
  const int n = psf->size;
  double x, y, square;
  moments(psf, &x, &y, &square);
  const int dx = (int)lround(x), dy = (int)lround(y);
  if(dx == 0 && dy == 0) return dcv_psf_normalise(psf);
  float *const moved = dcv_alloc_floats(area(psf));
  if(!moved) return DCV_ERROR_MEMORY;
  for(int c = 0; c < psf->channels; c++)
  {
    float *k = psf->data + c * area(psf);
    memset(moved, 0, sizeof(float) * area(psf));
    for(int i = DCV_MAX(0, dy); i < DCV_MIN(n, n + dy); i++)
      for(int j = DCV_MAX(0, dx); j < DCV_MIN(n, n + dx); j++) moved[(i - dy) * n + j - dx] = k[i * n + j];
    memcpy(k, moved, sizeof(float) * area(psf));
  }
  dcv_release(moved);
  return dcv_psf_normalise(psf);
}

dcv_status dcv_psf_radius(const dcv_psf *psf, float *rms_px)
{
  if(!rms_px) return DCV_ERROR_ARGUMENT;
  DCV_TRY(dcv_psf_validate(psf));
  double x, y, square;
  moments(psf, &x, &y, &square);
  *rms_px = (float)sqrt(square);
  return DCV_OK;
}

int dcv_psf_resampled_size(int size, double scale)
{
  if(size < 1 || size > DCV_PSF_MAX || size % 2 == 0 || !(scale >= 0.02 && scale <= 50.0)) return 0;
  return 2 * (int)ceil((size * scale - 1.0) / 2.0 - 1e-9) + 1;
}

/* Catmull-Rom: weights of sum 1 and no second moment, so that the PSF's own width is kept. */
static double catmull_rom(double x)
{
  x = fabs(x);
  return x < 1.0 ? 1.0 + x * x * (1.5 * x - 2.5) : x < 2.0 ? 2.0 + x * (-4.0 + x * (2.5 - 0.5 * x)) : 0.0;
}

dcv_status dcv_psf_resample(const dcv_psf *in, double scale, dcv_psf *out)
{
  DCV_TRY(dcv_psf_validate(in));
  if(!out || !out->data || !(scale >= 0.02 && scale <= 50.0)) return DCV_ERROR_ARGUMENT;
  if(!shape_ok(out) || out->channels != in->channels) return DCV_ERROR_PSF;
  const int n = in->size, m = out->size;
  const double wide = fmax(1.0, scale);
  for(int c = 0; c < in->channels; c++)
    for(int oy = 0; oy < m; oy++)
      for(int ox = 0; ox < m; ox++)
      {
        double sum = 0.0;
        for(int i = 0; i < n; i++)
        {
          const double wy = catmull_rom((oy - m / 2 - (i - n / 2) * scale) / wide);
          if(wy == 0.0) continue;
          for(int j = 0; j < n; j++)
            sum += in->data[c * area(in) + (size_t)i * n + j] * wy * catmull_rom((ox - m / 2 - (j - n / 2) * scale) / wide);
        }
        out->data[c * area(out) + (size_t)oy * m + ox] = (float)sum;
      }
  return dcv_psf_normalise(out);
}

enum { LOBES = 5 };

static double lanczos(double t)
{
  t = fabs(t) * PI;
  return t < 1e-9 ? 1.0 : t < LOBES * PI ? sin(t) / t * sin(t / LOBES) / (t / LOBES) : 0.0;
}

dcv_status dcv_psf_reduce(dcv_psf *reduced, const dcv_psf *psf, double scale)
{
  const double wide = fmax(1.0, scale);
  const int n = psf->size, lobes = (int)ceil((LOBES - 1) * wide);
  const int m = DCV_MIN(dcv_psf_resampled_size(n, scale) + 2 * lobes, DCV_PSF_MAX);
  *reduced = (dcv_psf){ NULL, m, psf->channels };
  double *const share = dcv_alloc(sizeof(double) * 2 * m * n), *const half = share + (size_t)m * n; /* of source line j in new line i; rows shared out */
  float *const values = share ? dcv_alloc_floats((size_t)m * m * psf->channels) : NULL;
  for(int i = 0; i < m && values; i++)
    for(int j = 0; j < n; j++) share[i * n + j] = lanczos((i - m / 2 - (j - n / 2) * scale) / wide);
  for(int c = 0; c < psf->channels && values; c++)
  {
    const float *const k = psf->data + c * area(psf);
    float *const out = values + (size_t)c * m * m;
    double sum = 0.0;
    memset(half, 0, sizeof(double) * m * n);
    for(int y = 0; y < m; y++)
      for(int i = 0; i < n; i++)
        for(int j = 0; j < n; j++) half[y * n + j] += share[y * n + i] * k[i * n + j];
    for(int y = 0; y < m; y++)
      for(int x = 0; x < m; x++)
      {
        double value = 0.0;
        for(int j = 0; j < n; j++) value += half[y * n + j] * share[x * n + j];
        out[y * m + x] = (float)value, sum += value;
      }
    for(int i = 0; i < m * m; i++) out[i] = (float)(out[i] / sum);
  }
  dcv_release(share);
  reduced->data = values;
  return values ? DCV_OK : DCV_ERROR_MEMORY;
}

dcv_status dcv_psf_copy(dcv_psf *copy, const dcv_psf *psf)
{
  *copy = (dcv_psf){ NULL, psf->size, psf->channels };
  copy->data = dcv_alloc_floats(area(psf) * psf->channels);
  if(!copy->data) return DCV_ERROR_MEMORY;
  memcpy(copy->data, psf->data, sizeof(float) * area(psf) * psf->channels);
  return dcv_psf_normalise(copy);
}

void dcv_psf_clear(dcv_psf *psf)
{
  dcv_release(psf->data);
  psf->data = NULL;
}
