/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Restoration of awkward pictures: layouts, tiny sizes, values that are not finite; independence of threads and of tiles; callbacks.
 */
#include "common.h"

static void free_image(dcv_image *image)
{
  free(image->data);
}

static void assert_finite(const dcv_image *image)
{
  for(size_t i = 0; i < test_floats(image); i++) assert_true(isfinite(image->data[i]));
}

/* Number of solvers in the parameter table. */
static int solvers(void)
{
  const dcv_param_info *row;
  for(int i = 0; (row = dcv_params_describe(i)); i++)
    if(strcmp(row->name, "solver") == 0) break;
  int count = 1;
  for(const char *c = row->choices; *c; c++) count += *c == '|';
  return count;
}

static void a_flat_picture_stays_flat(void **state)
{
  (void)state;
  dcv_params params = test_params();
  dcv_image in = test_image(90, 70, 4), out = test_image(90, 70, 4);
  dcv_psf psf = test_psf(9, 1, DCV_PSF_DISK, 3.0);
  for(size_t i = 0; i < test_floats(&in); i++) in.data[i] = 0.37f;
  for(params.solver = 0; params.solver < solvers(); params.solver++)
  {
    assert_ok(test_restore(&params, &in, &out, &psf));
    float most = 0.0f;
    for(size_t i = 0; i < test_floats(&out); i++) most = fmaxf(most, fabsf(out.data[i] - 0.37f));
    print_message("solver %d: flat within %.1e\n", params.solver, (double)most);
    assert_true(most < 1e-4f); /* rounding of transforms */
  }
  free_image(&in), free_image(&out), free(psf.data);
}

static void strides_of_1_3_4_and_5_agree(void **state)
{
  (void)state;
  enum { W = 61, H = 47 };
  dcv_psf psf = test_psf(7, 1, DCV_PSF_GAUSSIAN, 1.3);
  dcv_params params = test_params();
  dcv_image in4 = test_image(W, H, 4), out4 = test_image(W, H, 4);
  test_draw(&in4);
  assert_ok(test_restore(&params, &in4, &out4, &psf));
  for(int stride = 3; stride <= 5; stride++)
  {
    /* Rows wider than needed as well; what lies between them must survive. */
    dcv_image in = test_image(W, H, stride), out = { calloc((size_t)H * (W * stride + 7), sizeof(float)), W, H, stride, W * stride + 7 };
    for(size_t i = 0; i < test_floats(&out); i++) out.data[i] = -77.0f;
    for(int y = 0; y < H; y++)
      for(int x = 0; x < W; x++) memcpy(test_at(&in, x, y), test_at(&in4, x, y), sizeof(float) * (size_t)DCV_MIN(stride, 4));
    assert_ok(test_restore(&params, &in, &out, &psf));
    for(int y = 0; y < H; y++)
    {
      for(int x = 0; x < W; x++)
      {
        assert_memory_equal(test_at(&out, x, y), test_at(&out4, x, y), 3 * sizeof(float));
        if(stride == 4) assert_true(test_at(&out, x, y)[3] == test_at(&in, x, y)[3]); /* the fourth float is copied */
      }
      for(int i = 0; i < 7; i++) assert_true(out.data[y * out.row_stride + W * stride + i] == -77.0f);
    }
    free_image(&in), free_image(&out);
  }
  free_image(&in4), free_image(&out4), free(psf.data);
}

static void one_channel_in_any_stride(void **state)
{
  (void)state;
  enum { W = 50, H = 40 };
  dcv_psf psf = test_psf(5, 1, DCV_PSF_GAUSSIAN, 1.0);
  dcv_params params = test_params();
  params.channels = 1;
  dcv_image in1 = test_image(W, H, 1), out1 = test_image(W, H, 1), in4 = test_image(W, H, 4), out4 = test_image(W, H, 4);
  test_draw(&in4);
  for(int y = 0; y < H; y++)
    for(int x = 0; x < W; x++) *test_at(&in1, x, y) = *test_at(&in4, x, y);
  assert_ok(test_restore(&params, &in1, &out1, &psf));
  assert_ok(test_restore(&params, &in4, &out4, &psf));
  for(int y = 0; y < H; y++)
    for(int x = 0; x < W; x++)
    {
      assert_true(*test_at(&out1, x, y) == *test_at(&out4, x, y));
      assert_memory_equal(test_at(&out4, x, y) + 1, test_at(&in4, x, y) + 1, 3 * sizeof(float));
    }
  free_image(&in1), free_image(&out1), free_image(&in4), free_image(&out4), free(psf.data);
}

static void tiny_pictures(void **state)
{
  (void)state;
  static const int sides[] = { 1, 2, 3, 5, 16, 31 };
  static const int psf_sizes[] = { 1, 3, 31 };
  for(int p = 0; p < 3; p++)
  {
    dcv_psf psf = test_psf(psf_sizes[p], 1, DCV_PSF_UNIFORM, 1.0);
    for(int i = 0; i < 6; i++)
      for(int j = 0; j < 6; j++)
      {
        if(psf_sizes[p] == 31 && i != j) continue; /* the halo of a large PSF takes time to measure */
        dcv_image in = test_image(sides[i], sides[j], 4), out = test_image(sides[i], sides[j], 4);
        test_draw(&in);
        dcv_params params = test_params();
        for(params.solver = i % 2 == j % 3 ? solvers() - 1 : 0; params.solver >= 0; params.solver--)
        {
          params.iterations = params.solver > 0 ? 2 : 0; /* the slow ones: some sizes and iterations */
          assert_ok(test_restore(&params, &in, &out, &psf));
          assert_finite(&out);
        }
        params.solver = 0;
        dcv_params automatic = params;
        automatic.noise = automatic.gradient = 0.0f;
        assert_ok(dcv_deconvolve(&automatic, &in, &out, &psf, NULL, NULL)); /* everything measured on almost nothing */
        assert_finite(&out);
        free_image(&in), free_image(&out);
      }
    free(psf.data);
  }
}

static void a_delta_psf_changes_nothing(void **state)
{
  (void)state;
  dcv_image in = test_image(33, 21, 4), out = test_image(33, 21, 4);
  test_draw(&in);
  const dcv_params params = test_params();
  dcv_result result = { .struct_size = sizeof(result) };
  for(int size = 1; size <= 5; size += 2)
  {
    dcv_psf psf = { calloc((size_t)(size * size), sizeof(float)), size, 1 };
    psf.data[size * size / 2] = 1.0f;
    dcv_plan *plan;
    assert_ok(dcv_plan_create(&plan, &params, 33, 21, &psf));
    assert_ok(dcv_plan_execute(plan, &in, &out, NULL, &result));
    dcv_plan_destroy(plan);
    assert_memory_equal(out.data, in.data, test_floats(&in) * sizeof(float));
    assert_int_equal(result.stop, DCV_STOP_IDENTITY);
    free(psf.data);
  }
  free_image(&in), free_image(&out);
}

static void values_not_finite_are_filled_in(void **state)
{
  (void)state;
  enum { W = 120, H = 90 };
  dcv_image in = test_image(W, H, 4), clean = test_image(W, H, 4), out = test_image(W, H, 4);
  test_draw(&in);
  dcv_psf psf = test_psf(5, 1, DCV_PSF_GAUSSIAN, 1.0);
  dcv_params params = test_params();
  assert_ok(test_restore(&params, &in, &clean, &psf));
  test_at(&in, 0, 0)[0] = NAN; /* a corner */
  test_at(&in, 60, 40)[1] = INFINITY;
  test_at(&in, 61, 40)[2] = -INFINITY;
  for(int y = 20; y < 24; y++)
    for(int x = 100; x < W; x++) test_at(&in, x, y)[0] = NAN; /* a patch at the frame */
  dcv_plan *plan;
  dcv_result result = { .struct_size = sizeof(result) };
  assert_ok(dcv_plan_create(&plan, &params, W, H, &psf));
  assert_ok(dcv_plan_execute(plan, &in, &out, NULL, &result));
  dcv_plan_destroy(plan);
  assert_finite(&out);
  assert_int_equal(result.unknown_pixels, 3 + 4 * 20);
  /* Far from the holes nothing changes; in them values of the surroundings' size appear. */
  for(int c = 0; c < 3; c++)
  {
    assert_true(fabsf(test_at(&out, 20, 75)[c] - test_at(&clean, 20, 75)[c]) < 2e-3f);
    assert_true(fabsf(test_at(&out, 60, 40)[c] - test_at(&clean, 60, 40)[c]) < 0.3f);
    assert_true(fabsf(test_at(&out, 110, 22)[c] - test_at(&clean, 110, 22)[c]) < 0.4f);
  }
  for(params.solver = solvers() - 1; params.solver >= 0; params.solver--)
  {
    assert_ok(test_restore(&params, &in, &out, &psf));
    assert_finite(&out);
  }
  params.solver = 0;
  for(size_t i = 0; i < test_floats(&in); i++) in.data[i] = NAN;
  in.data[0] = in.data[1] = in.data[2] = 0.5f; /* one known pixel */
  assert_ok(test_restore(&params, &in, &out, &psf));
  for(int y = 0; y < H; y++)
    for(int x = 0; x < W; x++)
      for(int c = 0; c < 3; c++) assert_true(isfinite(test_at(&out, x, y)[c]));
  free_image(&in), free_image(&clean), free_image(&out), free(psf.data);
}

static void large_and_negative_values_are_data(void **state)
{
  (void)state;
  dcv_image in = test_image(64, 64, 4), out = test_image(64, 64, 4);
  test_draw(&in);
  test_at(&in, 30, 30)[0] = 1e4f;
  test_at(&in, 10, 10)[1] = -3.0f;
  dcv_psf psf = test_psf(5, 1, DCV_PSF_GAUSSIAN, 0.8);
  const dcv_params params = test_params();
  assert_ok(test_restore(&params, &in, &out, &psf));
  assert_finite(&out);
  assert_true(test_at(&out, 30, 30)[0] > 5e3f);
  assert_true(test_at(&out, 10, 10)[1] < -1.0f);
  free_image(&in), free_image(&out), free(psf.data);
}

/* A PSF whose halo is short, so that small tiles pay: more of them than threads. */
static void bits_do_not_depend_on_threads(void **state)
{
  (void)state;
  enum { W = 210, H = 160 };
  dcv_image in = test_image(W, H, 4), one = test_image(W, H, 4), many = test_image(W, H, 4);
  test_draw(&in);
  test_at(&in, 105, 80)[0] = NAN;
  dcv_psf psf = test_psf(7, 1, DCV_PSF_GAUSSIAN, 1.0);
  for(int i = 0; i < 1 + solvers(); i++)
  {
    dcv_params params = test_params();
    params.tile = i > 0 ? 96 : 0;
    params.solver = DCV_MAX(i - 1, 0);
    params.iterations = params.solver > 0 ? 3 : 0;
    params.threads = 1;
    dcv_plan *plan;
    dcv_plan_info info = { .struct_size = sizeof(info) };
    assert_ok(dcv_plan_create(&plan, &params, W, H, &psf));
    assert_ok(dcv_plan_describe(plan, &info));
    dcv_plan_destroy(plan);
    assert_true(i == 0 || info.tiles_x * info.tiles_y > 5);
    assert_ok(test_restore(&params, &in, &one, &psf));
    for(int threads = 2; threads <= 5; threads++)
    {
      params.threads = threads;
      assert_ok(test_restore(&params, &in, &many, &psf));
      for(int y = 0; y < H; y++)
        for(int x = 0; x < W; x++) assert_memory_equal(test_at(&many, x, y), test_at(&one, x, y), 3 * sizeof(float));
    }
  }
  free_image(&in), free_image(&one), free_image(&many), free(psf.data);
}

/* out <- psf * in, edges repeated, with uniform noise of that width. */
static void blur(const dcv_image *in, const dcv_psf *psf, float noise, dcv_image *out)
{
  const int n = psf->size, r = n / 2;
  for(int y = 0; y < in->height; y++)
    for(int x = 0; x < in->width; x++)
      for(int c = 0; c < 4; c++)
      {
        double v = 0.0;
        for(int j = -r; j <= r; j++)
          for(int i = -r; i <= r; i++)
          {
            const int sx = DCV_MIN(DCV_MAX(x - i, 0), in->width - 1), sy = DCV_MIN(DCV_MAX(y - j, 0), in->height - 1);
            v += (double)psf->data[(j + r) * n + i + r] * (double)test_at(in, sx, sy)[c];
          }
        test_at(out, x, y)[c] = (float)v + noise * (test_random((uint32_t)(y * 65536 + x * 4 + c) + 77u) - 0.5f);
      }
}

/* 2e-3 of white at most and 2e-4 RMS; single pixels at the frame, whose surroundings are guessed from gaps of different length, 5e-3. */
static void tiles_agree_with_the_whole_picture(void **state)
{
  (void)state;
  enum { W = 460, H = 340 };
  dcv_image sharp = test_image(W, H, 4), in = test_image(W, H, 4), whole = test_image(W, H, 4), tiled = test_image(W, H, 4);
  test_draw(&sharp);
  const struct {
    dcv_psf_kind kind;
    int size;
    double a, b;
  } cases[] = { { DCV_PSF_GAUSSIAN, 11, 1.5, 0.0 }, { DCV_PSF_DISK, 9, 3.0, 0.0 }, { DCV_PSF_MOTION, 11, 9.0, 30.0 } };
  for(int k = 0; k < 3; k++)
  {
    dcv_psf psf = test_psf(cases[k].size, 1, cases[k].kind, cases[k].a);
    assert_ok(dcv_psf_make(&psf, cases[k].kind, cases[k].a, cases[k].b));
    blur(&sharp, &psf, 0.035f, &in); /* standard deviation 0.01 */
    dcv_params params;
    assert_ok(dcv_params_init(&params));
    params.noise = 0.01f;
    params.planning = 0;
    assert_ok(dcv_params_resolve(&params, &in, &psf, NULL));
    dcv_plan *plan;
    dcv_plan_info info = { .struct_size = sizeof(info) };
    const int automatic = params.halo;
    params.halo = 600; /* so wide that tiles cannot pay */
    assert_ok(dcv_plan_create(&plan, &params, W, H, &psf));
    assert_ok(dcv_plan_describe(plan, &info));
    assert_int_equal(info.tiles_x * info.tiles_y, 1);
    assert_ok(dcv_plan_execute(plan, &in, &whole, NULL, NULL));
    dcv_plan_destroy(plan);
    params.halo = automatic;
    params.tile = 224;
    assert_ok(dcv_plan_create(&plan, &params, W, H, &psf));
    assert_ok(dcv_plan_describe(plan, &info));
    assert_true(info.tiles_x * info.tiles_y > 1);
    assert_ok(dcv_plan_execute(plan, &in, &tiled, NULL, NULL));
    dcv_plan_destroy(plan);
    double largest[2] = { 0.0, 0.0 }, squares = 0.0; /* inside, at the frame */
    for(int y = 0; y < H; y++)
      for(int x = 0; x < W; x++)
        for(int c = 0; c < 3; c++)
        {
          const int frame = DCV_MIN(DCV_MIN(x, W - 1 - x), DCV_MIN(y, H - 1 - y)) < 40;
          const double d = fabs((double)test_at(&tiled, x, y)[c] - (double)test_at(&whole, x, y)[c]);
          largest[frame] = DCV_MAX(largest[frame], d);
          squares += d * d;
        }
    print_message("case %d: tiles against whole, largest %.1e, %.1e at the frame, RMS %.1e\n", k, largest[0], largest[1],
                  sqrt(squares / (3.0 * W * H)));
    assert_true(largest[0] < 2e-3 && largest[1] < 5e-3);
    assert_true(sqrt(squares / (3.0 * W * H)) < 2e-4);
    free(psf.data);
  }
  free_image(&sharp), free_image(&in), free_image(&whole), free_image(&tiled);
}

/* ---- callbacks ------------------------------------------------------------------------------------------------------------------- */

typedef struct watcher {
  double last;
  long calls, asked, cancel_at;
  bool fell, outside;
} watcher;

static void on_progress(void *user, double fraction)
{
  watcher *w = user;
  w->calls++;
  w->fell |= fraction < w->last;
  w->outside |= !(fraction >= 0.0 && fraction <= 1.0);
  w->last = fraction;
}

static int on_cancelled(void *user)
{
  watcher *w = user;
  const long asked = __atomic_add_fetch(&w->asked, 1, __ATOMIC_SEQ_CST);
  return w->cancel_at > 0 && asked >= w->cancel_at;
}

static void progress_rises_to_one(void **state)
{
  (void)state;
  dcv_image in = test_image(400, 300, 4), out = test_image(400, 300, 4);
  test_draw(&in);
  dcv_psf psf = test_psf(7, 1, DCV_PSF_DISK, 2.0), estimate = test_psf(7, 1, DCV_PSF_UNIFORM, 1.0);
  dcv_params params = test_params();
  params.tile = 128;
  params.threads = 2;
  watcher w = { 0 };
  const dcv_callbacks callbacks = { .progress = on_progress, .cancelled = on_cancelled, .user = &w };
  dcv_plan *plan;
  assert_ok(dcv_plan_create(&plan, &params, 400, 300, &psf));
  assert_ok(dcv_plan_execute(plan, &in, &out, &callbacks, NULL));
  dcv_plan_destroy(plan);
  assert_true(w.calls >= 2 && w.asked >= 2 && !w.fell && !w.outside && w.last == 1.0);
  w = (watcher){ 0 };
  dcv_image window = in;
  window.width = window.height = 96;
  assert_ok(dcv_estimate_psf(&params, &window, estimate.size, &estimate, &callbacks, NULL));
  assert_true(w.calls >= 2 && w.asked >= 2 && !w.fell && !w.outside && w.last == 1.0);
  free_image(&in), free_image(&out), free(psf.data), free(estimate.data);
}

static void cancelling_leaves_the_output_whole(void **state)
{
  (void)state;
  dcv_image in = test_image(260, 200, 4), out = test_image(260, 200, 4);
  test_draw(&in);
  dcv_psf psf = test_psf(7, 1, DCV_PSF_DISK, 2.0);
  dcv_params params = test_params();
  params.tile = 128;
  dcv_plan *plan;
  assert_ok(dcv_plan_create(&plan, &params, 260, 200, &psf));
  watcher w = { 0 };
  const dcv_callbacks callbacks = { .progress = on_progress, .cancelled = on_cancelled, .user = &w };
  assert_ok(dcv_plan_execute(plan, &in, &out, &callbacks, NULL));
  const long questions = w.asked;
  const long moments[] = { 1, questions / 2, questions };
  for(int i = 0; i < 3; i++)
  {
    w = (watcher){ .cancel_at = moments[i] };
    memset(out.data, 0, test_floats(&out) * sizeof(float));
    assert_status(dcv_plan_execute(plan, &in, &out, &callbacks, NULL), DCV_ERROR_CANCELLED);
    assert_memory_equal(out.data, in.data, test_floats(&in) * sizeof(float));
  }
  assert_ok(dcv_plan_execute(plan, &in, &out, NULL, NULL)); /* the plan is still good */
  dcv_plan_destroy(plan);

  dcv_psf estimate = test_psf(9, 1, DCV_PSF_UNIFORM, 1.0);
  const float before = estimate.data[0];
  w = (watcher){ .cancel_at = 2 };
  assert_status(dcv_estimate_psf(&params, &in, estimate.size, &estimate, &callbacks, NULL), DCV_ERROR_CANCELLED);
  for(int i = 0; i < 81; i++) assert_true(estimate.data[i] == before);
  free_image(&in), free_image(&out), free(psf.data), free(estimate.data);
}

/* ---- it does what it is for ------------------------------------------------------------------------------------------------------ */

static double error(const dcv_image *a, const dcv_image *b, int border)
{
  double total = 0.0;
  for(int y = border; y < a->height - border; y++)
    for(int x = border; x < a->width - border; x++)
      for(int c = 0; c < 3; c++)
      {
        const double d = (double)test_at(a, x, y)[c] - (double)test_at(b, x, y)[c];
        total += d * d;
      }
  return total;
}

static void a_blurred_picture_gets_sharper(void **state)
{
  (void)state;
  enum { W = 128, H = 112 };
  dcv_image sharp = test_image(W, H, 4), blurred = test_image(W, H, 4), out = test_image(W, H, 4);
  test_draw(&sharp);
  dcv_psf psf = test_psf(7, 1, DCV_PSF_DISK, 2.5);
  blur(&sharp, &psf, 0.005f, &blurred);
  dcv_params params;
  assert_ok(dcv_params_init(&params));
  params.planning = 0;
  for(params.solver = solvers() - 1; params.solver >= 0; params.solver--)
  {
    assert_ok(dcv_deconvolve(&params, &blurred, &out, &psf, NULL, NULL));
    print_message("solver %d: error %.2f of the blurred one's\n", params.solver, error(&out, &sharp, 12) / error(&blurred, &sharp, 12));
    assert_true(error(&out, &sharp, 12) < 0.6 * error(&blurred, &sharp, 12));
  }
  /* the default solver, done last */
  assert_true(error(&out, &sharp, 12) < 0.25 * error(&blurred, &sharp, 12)); /* 6 dB at least; a wrong kernel orientation or scale fails */
  assert_true(error(&out, &sharp, 0) < 0.5 * error(&blurred, &sharp, 0)); /* the frame included */
  free_image(&sharp), free_image(&blurred), free_image(&out), free(psf.data);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_flat_picture_stays_flat),
    cmocka_unit_test(strides_of_1_3_4_and_5_agree),
    cmocka_unit_test(one_channel_in_any_stride),
    cmocka_unit_test(tiny_pictures),
    cmocka_unit_test(a_delta_psf_changes_nothing),
    cmocka_unit_test(values_not_finite_are_filled_in),
    cmocka_unit_test(large_and_negative_values_are_data),
    cmocka_unit_test(bits_do_not_depend_on_threads),
    cmocka_unit_test(tiles_agree_with_the_whole_picture),
    cmocka_unit_test(progress_rises_to_one),
    cmocka_unit_test(cancelling_leaves_the_output_whole),
    cmocka_unit_test(a_blurred_picture_gets_sharper),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
