/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Every status code provoked at least once, and the texts. This program has its own fftwf_plan_many_dft_r2c, so that FFTW can be made to refuse.
 */
#include "common.h"

#include <dlfcn.h>
#include <fftw3.h>
#include <stdio.h>

static bool fftw_refuses;

fftwf_plan fftwf_plan_many_dft_r2c(int rank, const int *n, int howmany, float *in, const int *inembed, int istride, int idist, fftwf_complex *out,
                                   const int *onembed, int ostride, int odist, unsigned flags)
{
  if(fftw_refuses) return NULL;
  fftwf_plan (*real)(int, const int *, int, float *, const int *, int, int, fftwf_complex *, const int *, int, int, unsigned);
  *(void **)&real = dlsym(RTLD_NEXT, "fftwf_plan_many_dft_r2c");
  return real(rank, n, howmany, in, inembed, istride, idist, out, onembed, ostride, odist, flags);
}

typedef struct fixture {
  dcv_params params;
  dcv_image in, out;
  dcv_psf psf;
  dcv_plan *plan;
} fixture;

static int setup(void **state)
{
  fixture *f = calloc(1, sizeof(*f));
  f->params = test_params();
  f->in = test_image(40, 30, 4);
  f->out = test_image(40, 30, 4);
  test_draw(&f->in);
  f->psf = test_psf(5, 1, DCV_PSF_GAUSSIAN, 1.0);
  *state = f;
  return 0;
}

static int teardown(void **state)
{
  fixture *f = *state;
  dcv_plan_destroy(f->plan);
  free(f->in.data), free(f->out.data), free(f->psf.data), free(f);
  return 0;
}

static void texts_are_there_and_differ(void **state)
{
  (void)state;
  for(int i = 0; i < DCV_STATUS_COUNT; i++)
  {
    assert_true(strlen(dcv_status_string((dcv_status)i)) > 1);
    for(int j = 0; j < i; j++) assert_string_not_equal(dcv_status_string((dcv_status)i), dcv_status_string((dcv_status)j));
  }
  assert_non_null(dcv_status_string((dcv_status)-1));
  assert_non_null(dcv_status_string((dcv_status)DCV_STATUS_COUNT));
}

static void library_and_header_agree(void **state)
{
  (void)state;
  assert_int_equal(dcv_version(), DCV_VERSION);
  char version[32];
  snprintf(version, sizeof(version), "%d.%d.%d", DCV_VERSION_MAJOR, DCV_VERSION_MINOR, DCV_VERSION_PATCH);
  assert_non_null(strstr(dcv_build_info(), version));
  assert_non_null(strstr(dcv_build_info(), "fftw-3")); /* as FFTW names itself */
  assert_true(dcv_max_threads() >= 1);
}

static void ok(void **state)
{
  fixture *f = *state;
  assert_ok(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf));
  assert_ok(dcv_plan_execute(f->plan, &f->in, &f->out, NULL, NULL));
}

static void argument(void **state)
{
  fixture *f = *state;
  uint64_t bytes;
  int32_t halo;
  float sigma[3], rms;
  assert_status(dcv_plan_create(NULL, &f->params, 40, 30, &f->psf), DCV_ERROR_ARGUMENT);
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, NULL), DCV_ERROR_ARGUMENT);
  assert_null(f->plan);
  assert_status(dcv_plan_execute(NULL, &f->in, &f->out, NULL, NULL), DCV_ERROR_ARGUMENT);
  assert_ok(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf));
  assert_status(dcv_plan_execute(f->plan, NULL, &f->out, NULL, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_plan_execute(f->plan, &f->in, NULL, NULL, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_plan_describe(f->plan, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_plan_memory(&f->params, 40, 30, &f->psf, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_halo(NULL, &f->psf, &halo), DCV_ERROR_ARGUMENT);
  assert_status(dcv_noise_estimate(NULL, 3, sigma), DCV_ERROR_ARGUMENT);
  assert_status(dcv_noise_estimate(&f->in, 0, sigma), DCV_ERROR_ARGUMENT);
  assert_status(dcv_params_resolve(NULL, &f->in, &f->psf, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_estimate_memory(&f->params, 40, 30, 5, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_estimate_psf(&f->params, NULL, f->psf.size, &f->psf, NULL, NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_psf_make(NULL, DCV_PSF_DISK, 1.0, 0.0), DCV_ERROR_ARGUMENT);
  assert_status(dcv_psf_radius(NULL, &rms), DCV_ERROR_ARGUMENT);
  assert_status(dcv_params_init(NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_wisdom_import(NULL), DCV_ERROR_ARGUMENT);
  assert_status(dcv_wisdom_import("not wisdom"), DCV_ERROR_ARGUMENT);
  f->params.priority = 2.0f;
  assert_status(dcv_plan_memory(&f->params, 40, 30, &f->psf, &bytes), DCV_ERROR_ARGUMENT);
}

static void size(void **state)
{
  fixture *f = *state;
  assert_status(dcv_plan_create(&f->plan, &f->params, 0, 30, &f->psf), DCV_ERROR_SIZE);
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, DCV_SIDE_MAX + 1, &f->psf), DCV_ERROR_SIZE);
  assert_null(f->plan);
  assert_ok(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf));
  dcv_image wrong = f->in;
  wrong.width = 39;
  assert_status(dcv_plan_execute(f->plan, &wrong, &f->out, NULL, NULL), DCV_ERROR_SIZE);
  wrong = f->in;
  wrong.pixel_stride = 2;
  assert_status(dcv_plan_execute(f->plan, &wrong, &f->out, NULL, NULL), DCV_ERROR_SIZE);
  wrong = f->in;
  wrong.row_stride = 40 * 4 - 1;
  assert_status(dcv_plan_execute(f->plan, &wrong, &f->out, NULL, NULL), DCV_ERROR_SIZE);
  /* A sample smaller than 16 pixels, or smaller than the PSF. */
  wrong = f->in;
  wrong.width = 15;
  assert_status(dcv_estimate_psf(&f->params, &wrong, f->psf.size, &f->psf, NULL, NULL), DCV_ERROR_SIZE);
  dcv_psf large = test_psf(33, 1, DCV_PSF_UNIFORM, 1.0);
  assert_status(dcv_estimate_psf(&f->params, &f->in, 33, &large, NULL, NULL), DCV_ERROR_SIZE);
  free(large.data);
}

static void psf(void **state)
{
  fixture *f = *state;
  dcv_psf wrong = f->psf;
  wrong.size = 4;
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &wrong), DCV_ERROR_PSF);
  assert_status(dcv_estimate_psf(&f->params, &f->in, 4, &wrong, NULL, NULL), DCV_ERROR_PSF);
  assert_status(dcv_estimate_psf(&f->params, &f->in, f->psf.size + 2, &f->psf, NULL, NULL), DCV_ERROR_PSF);
  wrong.size = DCV_PSF_MAX + 2;
  assert_status(dcv_psf_validate(&wrong), DCV_ERROR_PSF);
  wrong = f->psf;
  wrong.channels = 2;
  assert_status(dcv_psf_validate(&wrong), DCV_ERROR_PSF);
  const float middle = f->psf.data[12];
  f->psf.data[12] = NAN;
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_PSF);
  f->psf.data[12] = -1.0f;
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_PSF);
  f->psf.data[12] = middle;
  assert_ok(dcv_psf_validate(&f->psf));
  memset(f->psf.data, 0, 25 * sizeof(float));
  assert_status(dcv_psf_normalise(&f->psf), DCV_ERROR_PSF);
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_PSF);
  assert_null(f->plan);
}

static void memory(void **state)
{
  fixture *f = *state;
  dcv_alloc_fail_at(1);
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_MEMORY);
  dcv_alloc_fail_at(0);
  assert_null(f->plan);
}

static int always(void *user)
{
  (void)user;
  return 1;
}

static void cancelled(void **state)
{
  fixture *f = *state;
  const dcv_callbacks callbacks = { .cancelled = always };
  assert_ok(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf));
  assert_status(dcv_plan_execute(f->plan, &f->in, &f->out, &callbacks, NULL), DCV_ERROR_CANCELLED);
}

static void fft(void **state)
{
  fixture *f = *state;
  fftw_refuses = true;
  const dcv_status status = dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf);
  fftw_refuses = false;
  assert_status(status, DCV_ERROR_FFT);
  assert_null(f->plan);
}

static void struct_size(void **state)
{
  fixture *f = *state;
  dcv_plan_info info = { 0 };
  dcv_result result = { 0 };
  dcv_estimate_result estimate = { .struct_size = sizeof(estimate) + 8 };
  assert_ok(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf));
  assert_status(dcv_plan_describe(f->plan, &info), DCV_ERROR_STRUCT);
  assert_status(dcv_plan_execute(f->plan, &f->in, &f->out, NULL, &result), DCV_ERROR_STRUCT);
  assert_status(dcv_estimate_psf(&f->params, &f->in, f->psf.size, &f->psf, NULL, &estimate), DCV_ERROR_STRUCT);
  const uint32_t sizes[] = { 0, sizeof(dcv_params) + 4 };
  for(int i = 0; i < 2; i++)
  {
    dcv_plan *plan;
    uint64_t bytes;
    f->params.struct_size = sizes[i];
    assert_status(dcv_plan_create(&plan, &f->params, 40, 30, &f->psf), DCV_ERROR_STRUCT);
    assert_null(plan);
    assert_status(dcv_plan_memory(&f->params, 40, 30, &f->psf, &bytes), DCV_ERROR_STRUCT);
    assert_status(dcv_params_check(&f->params, NULL), DCV_ERROR_STRUCT);
    assert_status(dcv_params_resolve(&f->params, &f->in, &f->psf, NULL), DCV_ERROR_STRUCT);
  }
}

static void unresolved(void **state)
{
  fixture *f = *state;
  f->params.noise = 0.0f;
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_UNRESOLVED);
  f->params = test_params();
  f->params.gradient = 0.0f;
  assert_status(dcv_plan_create(&f->plan, &f->params, 40, 30, &f->psf), DCV_ERROR_UNRESOLVED);
  assert_null(f->plan);
}

static void data(void **state)
{
  fixture *f = *state;
  float sigma[3];
  for(size_t i = 0; i < test_floats(&f->in); i++) f->in.data[i] = NAN;
  assert_status(dcv_noise_estimate(&f->in, 3, sigma), DCV_ERROR_DATA);
  f->params.noise = f->params.gradient = 0.0f;
  assert_status(dcv_params_resolve(&f->params, &f->in, &f->psf, NULL), DCV_ERROR_DATA);
  assert_status(dcv_estimate_psf(&f->params, &f->in, f->psf.size, &f->psf, NULL, NULL), DCV_ERROR_DATA);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
    CASE(texts_are_there_and_differ),
    CASE(library_and_header_agree),
    CASE(ok),
    CASE(argument),
    CASE(size),
    CASE(psf),
    CASE(memory),
    CASE(cancelled),
    CASE(fft),
    CASE(struct_size),
    CASE(unresolved),
    CASE(data),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
