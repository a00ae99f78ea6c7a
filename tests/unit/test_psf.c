/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PSF tools: the kinds, normalising, centring, spread, resampling.
 */
#include "common.h"

static double sum(const dcv_psf *psf, int channel)
{
  double total = 0.0;
  for(int i = 0; i < psf->size * psf->size; i++) total += (double)psf->data[channel * psf->size * psf->size + i];
  return total;
}

static void centroid(const dcv_psf *psf, double *x, double *y)
{
  double total = 0.0;
  *x = *y = 0.0;
  for(int c = 0; c < psf->channels; c++)
    for(int j = 0; j < psf->size; j++)
      for(int i = 0; i < psf->size; i++)
      {
        const double v = (double)psf->data[(c * psf->size + j) * psf->size + i];
        total += v, *x += v * i, *y += v * j;
      }
  *x = *x / total - psf->size / 2;
  *y = *y / total - psf->size / 2;
}

static const struct {
  dcv_psf_kind kind;
  double a, b;
} kinds[] = {
  { DCV_PSF_GAUSSIAN, 1.5, 0.0 },  { DCV_PSF_DISK, 3.0, 0.0 },   { DCV_PSF_MOTION, 9.0, 30.0 }, { DCV_PSF_MOTION, 9.0, 90.0 },
  { DCV_PSF_UNIFORM, 1.0, 0.0 },   { DCV_PSF_KAISER, 8.0, 0.0 }, { DCV_PSF_EXPONENTIAL, 1.2, 0.0 },
};

static void every_kind_is_a_psf_about_the_middle(void **state)
{
  (void)state;
  for(size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
    for(int channels = 1; channels <= 3; channels += 2)
    {
      dcv_psf psf = { calloc((size_t)(17 * 17 * channels), sizeof(float)), 17, channels };
      double x, y;
      assert_ok(dcv_psf_make(&psf, kinds[k].kind, kinds[k].a, kinds[k].b));
      assert_ok(dcv_psf_validate(&psf));
      for(int c = 0; c < channels; c++) assert_true(fabs(sum(&psf, c) - 1.0) < 1e-6);
      centroid(&psf, &x, &y);
      assert_true(fabs(x) < 1e-4 && fabs(y) < 1e-4);
      /* each kind is symmetric about the middle; single precision sums allow a little */
      for(int i = 0; i < 17 * 17; i++) assert_true(fabsf(psf.data[i] - psf.data[17 * 17 - 1 - i]) < 1e-5f);
      free(psf.data);
    }
}

static void kinds_have_their_size(void **state)
{
  (void)state;
  float rms;
  dcv_psf psf = test_psf(31, 1, DCV_PSF_GAUSSIAN, 2.0);
  assert_ok(dcv_psf_radius(&psf, &rms));
  assert_true(fabsf(rms - 2.0f * sqrtf(2.0f)) < 0.03f); /* two directions of standard deviation 2 */
  assert_ok(dcv_psf_make(&psf, DCV_PSF_DISK, 8.0, 0.0));
  assert_ok(dcv_psf_radius(&psf, &rms));
  assert_true(fabsf(rms - 8.0f / sqrtf(2.0f)) < 0.06f); /* uniform disk: radius / sqrt 2 */
  assert_ok(dcv_psf_make(&psf, DCV_PSF_MOTION, 20.0, 0.0));
  assert_ok(dcv_psf_radius(&psf, &rms));
  assert_true(fabsf(rms - 20.0f / sqrtf(12.0f)) < 0.4f); /* uniform segment: length / sqrt 12, and the line's own width */
  double off = 0.0;
  for(int y = 0; y < 31; y++)
    for(int x = 0; x < 31; x++)
      if(abs(y - 15) > 1) off += (double)psf.data[y * 31 + x];
  assert_true(off < 1e-6); /* horizontal */
  assert_ok(dcv_psf_make(&psf, DCV_PSF_MOTION, 20.0, 45.0));
  assert_true(psf.data[10 * 31 + 20] > 10.0f * psf.data[20 * 31 + 20]); /* anticlockwise: up is towards smaller rows */
  free(psf.data);
}

static void bad_arguments_are_refused(void **state)
{
  (void)state;
  dcv_psf psf = test_psf(9, 1, DCV_PSF_GAUSSIAN, 1.0);
  const double bad[] = { 0.0, -1.0, (double)NAN, (double)INFINITY };
  for(int i = 0; i < 4; i++)
  {
    assert_status(dcv_psf_make(&psf, DCV_PSF_GAUSSIAN, bad[i], 0.0), DCV_ERROR_ARGUMENT);
    assert_status(dcv_psf_make(&psf, DCV_PSF_DISK, bad[i], 0.0), DCV_ERROR_ARGUMENT);
    assert_int_equal(dcv_psf_natural_size(DCV_PSF_DISK, bad[i], 0.0), 0);
  }
  assert_status(dcv_psf_make(&psf, DCV_PSF_MOTION, 3.0, (double)NAN), DCV_ERROR_ARGUMENT);
  assert_status(dcv_psf_make(&psf, (dcv_psf_kind)99, 1.0, 0.0), DCV_ERROR_ARGUMENT);
  assert_ok(dcv_psf_make(&psf, DCV_PSF_KAISER, 0.0, 0.0)); /* beta 0: flat */
  free(psf.data);
}

static void natural_size_holds_the_kind(void **state)
{
  (void)state;
  assert_int_equal(dcv_psf_natural_size(DCV_PSF_UNIFORM, 1.0, 0.0), 0);
  const int size = dcv_psf_natural_size(DCV_PSF_DISK, 3.0, 0.0);
  assert_true(size % 2 == 1 && size >= 7 && size <= 9);
  for(double a = 0.3; a < 12.0; a *= 1.7)
  {
    const int n = dcv_psf_natural_size(DCV_PSF_GAUSSIAN, a, 0.0);
    assert_true(n % 2 == 1 && n >= 5.0 * a && n <= DCV_PSF_MAX);
  }
  assert_int_equal(dcv_psf_natural_size(DCV_PSF_DISK, 500.0, 0.0), 1001); /* more than a PSF may have: the caller's to refuse */
  assert_int_equal(dcv_psf_natural_size(DCV_PSF_GAUSSIAN, 1e6, 0.0), 0);
}

static void normalising_drops_negatives(void **state)
{
  (void)state;
  dcv_psf psf = test_psf(3, 3, DCV_PSF_UNIFORM, 1.0);
  for(int i = 0; i < 27; i++) psf.data[i] = (float)(i % 9) - 2.0f;
  assert_ok(dcv_psf_normalise(&psf));
  for(int c = 0; c < 3; c++)
  {
    assert_true(fabs(sum(&psf, c) - 1.0) < 1e-6);
    assert_true(psf.data[9 * c] == 0.0f && psf.data[9 * c + 1] == 0.0f && psf.data[9 * c + 8] > 0.0f);
  }
  for(int i = 18; i < 27; i++) psf.data[i] = -1.0f; /* one channel without anything positive */
  assert_status(dcv_psf_normalise(&psf), DCV_ERROR_PSF);
  free(psf.data);
}

static void centring_moves_by_whole_pixels(void **state)
{
  (void)state;
  dcv_psf psf = { calloc(11 * 11, sizeof(float)), 11, 1 };
  psf.data[2 * 11 + 7] = 0.7f;
  psf.data[2 * 11 + 8] = 0.3f;
  assert_ok(dcv_psf_centre(&psf));
  assert_true(psf.data[5 * 11 + 5] == 0.7f && psf.data[5 * 11 + 6] == 0.3f);
  assert_true(fabs(sum(&psf, 0) - 1.0) < 1e-6);
  free(psf.data);
}

static void resampling_scales_the_spread(void **state)
{
  (void)state;
  dcv_psf in = test_psf(25, 1, DCV_PSF_GAUSSIAN, 3.0);
  const double scales[] = { 0.5, 0.7071, 1.0, 2.0 };
  for(int i = 0; i < 4; i++)
  {
    const int n = dcv_psf_resampled_size(25, scales[i]);
    assert_int_equal(n % 2, 1);
    dcv_psf out = { calloc((size_t)(n * n), sizeof(float)), n, 1 };
    assert_ok(dcv_psf_resample(&in, scales[i], &out));
    assert_true(fabs(sum(&out, 0) - 1.0) < 1e-5);
    float before, after;
    assert_ok(dcv_psf_radius(&in, &before));
    assert_ok(dcv_psf_radius(&out, &after));
    /* A pixel's value is spread over its square: 1/12 of a squared pixel in each direction, of the old and of the new grid at most. */
    const double s = scales[i], expected = s * (double)before;
    assert_true((double)after > 0.99 * expected && (double)after < 1.01 * sqrt(expected * expected + (s * s + 1.0) / 6.0));
    free(out.data);
  }
  dcv_psf out = test_psf(25, 1, DCV_PSF_UNIFORM, 1.0);
  assert_status(dcv_psf_resample(&in, 0.0, &out), DCV_ERROR_ARGUMENT);
  assert_status(dcv_psf_resample(&in, (double)NAN, &out), DCV_ERROR_ARGUMENT);
  free(in.data), free(out.data);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_kind_is_a_psf_about_the_middle), cmocka_unit_test(kinds_have_their_size),
    cmocka_unit_test(bad_arguments_are_refused),            cmocka_unit_test(natural_size_holds_the_kind),
    cmocka_unit_test(normalising_drops_negatives),          cmocka_unit_test(centring_moves_by_whole_pixels),
    cmocka_unit_test(resampling_scales_the_spread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
