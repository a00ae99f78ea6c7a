/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

dcv_image image_make(int width, int height)
{
  const ptrdiff_t stride = (ptrdiff_t)width * SCENE_STRIDE;
  const size_t bytes = (size_t)stride * (size_t)height * sizeof(float);
  return (dcv_image){ aligned_alloc(64, (bytes + 63) / 64 * 64), width, height, SCENE_STRIDE, stride };
}

void image_clear(dcv_image *image)
{
  free(image->data);
  image->data = NULL;
}

/* A good 32-bit mix (Chris Wellons' lowbias32 constants). */
static uint32_t mix(uint32_t x)
{
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  return x ^ (x >> 16);
}

static float uniform(uint32_t key)
{
  return (float)(mix(key) >> 8) * 0x1p-24f;
}

/* Standard normal from two uniforms (Box and Muller). */
static float normal(uint32_t key)
{
  const float u = 1.0f - uniform(2 * key), v = uniform(2 * key + 1);
  return sqrtf(-2.0f * logf(u)) * cosf(2.0f * (float)pi * v);
}

void scene_draw(dcv_image *image)
{
  enum { CELL = 48 };
#pragma omp parallel for schedule(static)
  for(int y = 0; y < image->height; y++)
  {
    float *const row = image->data + y * image->row_stride;
    for(int x = 0; x < image->width; x++)
    {
      const uint32_t key = 16 * mix((uint32_t)(y / CELL) * 4099u + (uint32_t)(x / CELL));
      const float px = (float)(x % CELL) - CELL / 2, py = (float)(y % CELL) - CELL / 2;
      const float radius = 6.0f + 16.0f * uniform(key), slope = 4.0f * uniform(key + 1) - 2.0f;
      const int inside = px * px + py * py < radius * radius, above = py > slope * px;
      const float texture = key & 64 ? 0.04f * sinf(0.9f * px + 0.4f * py) * sinf(0.3f * px - 0.7f * py) : 0.0f;
      const float shade = 0.1f * (float)y / (float)image->height + 0.05f * (float)x / (float)image->width;
      for(int c = 0; c < 3; c++)
      {
        const uint32_t patch = key + 2 + 3 * (uint32_t)(2 * inside + above) + (uint32_t)c;
        row[SCENE_STRIDE * x + c] = 0.06f + 0.73f * uniform(patch) + shade + texture;
      }
      row[SCENE_STRIDE * x + 3] = 1.0f;
    }
  }
}

dcv_status scene_psf(dcv_psf *psf, blur_kind kind)
{
  const int n = psf->size, middle = n / 2;
  if(kind == BLUR_GAUSSIAN) return dcv_psf_make(psf, DCV_PSF_GAUSSIAN, n / 6.0, 0.0);
  if(kind == BLUR_DISK) return dcv_psf_make(psf, DCV_PSF_DISK, n / 2.0 - 0.5, 0.0);
  if(kind == BLUR_MOTION) return dcv_psf_make(psf, DCV_PSF_MOTION, 0.9 * n, 30.0);

  /* A shaken hand: a bent path with a knot, drawn with bilinear dots, half as strong at its end. */
  memset(psf->data, 0, sizeof(float) * (size_t)n * (size_t)n);
  const int steps = 64 * n;
  for(int i = 0; i < steps; i++)
  {
    const double t = (double)i / steps, r = middle - 0.5;
    const double x = middle + r * 0.95 * sin(2.2 * pi * t - 1.0), y = middle + r * 0.9 * cos(3.1 * pi * t) * (0.4 + 0.6 * t);
    const int ix = (int)floor(x), iy = (int)floor(y);
    const float fx = (float)(x - ix), fy = (float)(y - iy), weight = (float)(1.0 - 0.5 * t);
    for(int dy = 0; dy < 2; dy++)
      for(int dx = 0; dx < 2; dx++)
        if(ix + dx >= 0 && ix + dx < n && iy + dy >= 0 && iy + dy < n)
          psf->data[(iy + dy) * n + ix + dx] += weight * (dx ? fx : 1.0f - fx) * (dy ? fy : 1.0f - fy);
  }
  return dcv_psf_normalise(psf);
}

void scene_blur(const dcv_image *in, const dcv_psf *psf, float sigma, dcv_image *out)
{
  const int n = psf->size;
  const ptrdiff_t length = (ptrdiff_t)out->width * SCENE_STRIDE;
#pragma omp parallel for schedule(static)
  for(int y = 0; y < out->height; y++)
  {
    float *restrict const to = out->data + y * out->row_stride;
    memset(to, 0, sizeof(float) * (size_t)length);
    for(int j = 0; j < n; j++)
      for(int i = 0; i < n; i++)
      {
        /* convolution: the kernel is flipped */
        const float weight = psf->data[(n - 1 - j) * n + n - 1 - i];
        const float *restrict const from = in->data + (y + j) * in->row_stride + i * SCENE_STRIDE;
        if(weight != 0.0f)
          for(ptrdiff_t x = 0; x < length; x++) to[x] += weight * from[x];
      }
    for(ptrdiff_t x = 0; x < length; x++) to[x] += sigma * normal(mix((uint32_t)y) + (uint32_t)x);
  }
}

double scene_psnr(const dcv_image *a, const dcv_image *b, int offset, int border)
{
  double sum = 0.0;
  for(int y = border; y < a->height - border; y++)
    for(int x = border; x < a->width - border; x++)
      for(int c = 0; c < 3; c++)
      {
        const float d = a->data[y * a->row_stride + SCENE_STRIDE * x + c]
                        - b->data[(y + offset) * b->row_stride + SCENE_STRIDE * (x + offset) + c];
        sum += (double)d * (double)d;
      }
  return -10.0 * log10(sum / (3.0 * (a->width - 2 * border) * (a->height - 2 * border)));
}

/* One number of a PNM header, after white space and comments. */
static int header_number(FILE *file, double *value)
{
  int c = fgetc(file);
  while(c == '#' || c == ' ' || c == '\n' || c == '\r' || c == '\t')
  {
    if(c == '#')
      while(c != '\n' && c != EOF) c = fgetc(file);
    c = fgetc(file);
  }
  ungetc(c, file);
  return fscanf(file, "%lf", value) == 1;
}

static const char *read_pixels(FILE *file, dcv_image *image)
{
  char magic[3] = "";
  double width, height, scale;
  if(fread(magic, 1, 2, file) != 2 || (strcmp(magic, "P6") != 0 && strcmp(magic, "PF") != 0)) return "neither a colour PPM (P6) nor a colour PFM (PF)";
  if(!header_number(file, &width) || !header_number(file, &height) || !header_number(file, &scale)) return "damaged header";
  if(!(width >= 1 && width <= DCV_SIDE_MAX && height >= 1 && height <= DCV_SIDE_MAX) || scale == 0.0) return "unusable size or scale";
  fgetc(file); /* the one white space before the samples */

  const int is_float = magic[1] == 'F';
  if(!is_float && (scale < 1 || scale > 65535)) return "unusable largest value";
  const size_t bytes = is_float ? 4 : scale > 255 ? 2 : 1, samples = 3 * (size_t)width;
  *image = image_make((int)width, (int)height);
  unsigned char *const line = malloc(samples * bytes);
  const char *problem = image->data && line ? NULL : "not enough memory";
  for(int y = 0; !problem && y < image->height; y++)
  {
    if(fread(line, bytes, samples, file) != samples)
    {
      problem = "truncated";
      break;
    }
    /* PFM goes from the bottom up. */
    float *const row = image->data + (is_float ? image->height - 1 - y : y) * image->row_stride;
    for(size_t i = 0; i < samples; i++)
    {
      const unsigned char *const s = line + i * bytes;
      float value;
      if(is_float)
      {
        const uint32_t bits = scale < 0 ? (uint32_t)s[0] | (uint32_t)s[1] << 8 | (uint32_t)s[2] << 16 | (uint32_t)s[3] << 24
                                        : (uint32_t)s[3] | (uint32_t)s[2] << 8 | (uint32_t)s[1] << 16 | (uint32_t)s[0] << 24;
        memcpy(&value, &bits, sizeof(value));
      }
      else
        value = (float)((bytes == 2 ? s[0] * 256 + s[1] : s[0]) / scale);
      row[SCENE_STRIDE * (i / 3) + i % 3] = value;
    }
    for(int x = 0; x < image->width; x++) row[SCENE_STRIDE * x + 3] = 1.0f;
  }
  free(line);
  if(problem) image_clear(image);
  return problem;
}

const char *scene_read(const char *path, dcv_image *image)
{
  FILE *const file = fopen(path, "rb");
  if(!file) return "cannot be opened";
  const char *const problem = read_pixels(file, image);
  fclose(file);
  return problem;
}
