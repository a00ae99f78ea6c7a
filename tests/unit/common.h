/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the C unit tests share: cmocka, small pictures with a known content, PSFs.
 */
#ifndef DCV_TEST_COMMON_H
#define DCV_TEST_COMMON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(expression) assert_string_equal(dcv_status_string(expression), dcv_status_string(DCV_OK))
#define assert_status(expression, status) assert_string_equal(dcv_status_string(expression), dcv_status_string(status))

static inline dcv_image test_image(int width, int height, int pixel_stride)
{
  const ptrdiff_t row = (ptrdiff_t)width * pixel_stride;
  float *const data = calloc((size_t)row * (size_t)height, sizeof(float));
  assert_non_null(data);
  return (dcv_image){ data, width, height, pixel_stride, row };
}

static inline size_t test_floats(const dcv_image *image)
{
  return (size_t)image->row_stride * (size_t)image->height;
}

static inline float *test_at(const dcv_image *image, int x, int y)
{
  return image->data + y * image->row_stride + (ptrdiff_t)x * image->pixel_stride;
}

/* Uniform noise in 0..1 from a number (a 32-bit mix). */
static inline float test_random(uint32_t key)
{
  key = (key ^ (key >> 16)) * 0x7feb352dU;
  key = (key ^ (key >> 15)) * 0x846ca68bU;
  return (float)((key ^ (key >> 16)) >> 8) * 0x1p-24f;
}

/* Blobs, edges and a little noise; the same value at (x, y, c) for any size and stride. */
static inline void test_draw(const dcv_image *image)
{
  for(int y = 0; y < image->height; y++)
    for(int x = 0; x < image->width; x++)
      for(int c = 0; c < image->pixel_stride; c++)
      {
        const uint32_t key = (uint32_t)((y * 8192 + x) * 4 + c);
        const float edge = (x / 13 + y / 17 + c) % 3 == 0 ? 0.4f : 0.1f;
        test_at(image, x, y)[c] = edge + 0.2f * sinf(0.11f * (float)x + (float)c) * cosf(0.07f * (float)y) + 0.2f + 0.02f * test_random(key);
      }
}

static inline dcv_psf test_psf(int size, int channels, dcv_psf_kind kind, double a)
{
  dcv_psf psf = { calloc((size_t)(size * size * channels), sizeof(float)), size, channels };
  assert_non_null(psf.data);
  assert_ok(dcv_psf_make(&psf, kind, a, 0.0));
  return psf;
}

/* Parameters that need no measuring and plan quickly. */
static inline dcv_params test_params(void)
{
  dcv_params params;
  assert_ok(dcv_params_init(&params));
  params.noise = 0.005f;
  params.gradient = 0.05f;
  params.planning = 0;
  return params;
}

/* noise and gradient set: create, execute, destroy. */
static inline dcv_status test_restore(const dcv_params *params, const dcv_image *in, dcv_image *out, const dcv_psf *psf)
{
  dcv_plan *plan;
  DCV_TRY(dcv_plan_create(&plan, params, in->width, in->height, psf));
  const dcv_status status = dcv_plan_execute(plan, in, out, NULL, NULL);
  dcv_plan_destroy(plan);
  return status;
}

#endif
