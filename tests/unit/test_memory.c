/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Memory: every allocation failing in turn, and the answers given before anything is allocated.
 */
#include "common.h"

typedef dcv_status (*attempt)(void *user);

/* Fails the first, second, ... allocation of a call until it succeeds; every failure must be reported as MEMORY. Returns the allocations. */
static long each_allocation_fails(attempt call, void *user)
{
  const long before = dcv_alloc_count();
  assert_ok(call(user));
  const long count = dcv_alloc_count() - before;
  for(long n = 1; n <= count; n++)
  {
    dcv_alloc_fail_at(n);
    const dcv_status status = call(user);
    dcv_alloc_fail_at(0);
    assert_status(status, DCV_ERROR_MEMORY);
  }
  assert_ok(call(user));
  return count;
}

typedef struct job {
  dcv_params params;
  dcv_image in, out;
  dcv_psf psf, estimate;
} job;

static dcv_status create(void *user)
{
  job *j = user;
  dcv_plan *plan = (dcv_plan *)user; /* must become NULL on failure */
  const dcv_status status = dcv_plan_create(&plan, &j->params, j->in.width, j->in.height, &j->psf);
  if(status != DCV_OK) assert_null(plan);
  dcv_plan_destroy(plan);
  return status;
}

/* The PSF of the job in each of 2 x 3 cells, the memory to be freed. */
static dcv_psf_grid grid_of(const job *j)
{
  const size_t cell = (size_t)(j->psf.size * j->psf.size * j->psf.channels);
  dcv_psf_grid grid = { .data = malloc(sizeof(float) * 6 * cell), .size = j->psf.size, .channels = j->psf.channels, .columns = 2, .rows = 3 };
  assert_non_null(grid.data);
  for(int i = 0; i < 6; i++) memcpy(grid.data + (size_t)i * cell, j->psf.data, sizeof(float) * cell);
  return grid;
}

static dcv_status create_grid(void *user)
{
  job *j = user;
  const dcv_psf_grid grid = grid_of(j);
  dcv_plan *plan = (dcv_plan *)user; /* must become NULL on failure */
  const dcv_status status = dcv_plan_create_grid(&plan, &j->params, j->in.width, j->in.height, &grid);
  if(status != DCV_OK) assert_null(plan);
  dcv_plan_destroy(plan);
  free(grid.data);
  return status;
}

static dcv_status deconvolve(void *user)
{
  job *j = user;
  return dcv_deconvolve(NULL, &j->in, &j->out, &j->psf, NULL, NULL);
}

static dcv_status resolve(void *user)
{
  job *j = user;
  dcv_params params;
  DCV_TRY(dcv_params_init(&params));
  return dcv_params_resolve(&params, &j->in, &j->psf, NULL);
}

static dcv_status estimate(void *user)
{
  job *j = user;
  const float sentinel = 123.0f;
  for(int i = 0; i < j->estimate.size * j->estimate.size; i++) j->estimate.data[i] = sentinel;
  const dcv_status status = dcv_estimate_psf(&j->params, &j->in, j->estimate.size, &j->estimate, NULL, NULL);
  if(status != DCV_OK)
    for(int i = 0; i < j->estimate.size * j->estimate.size; i++) assert_true(j->estimate.data[i] == sentinel);
  return status;
}

static int setup(void **state)
{
  job *j = calloc(1, sizeof(*j));
  j->params = test_params();
  j->params.threads = 2;
  j->in = test_image(70, 60, 4);
  j->out = test_image(70, 60, 4);
  test_draw(&j->in);
  j->psf = test_psf(7, 3, DCV_PSF_DISK, 2.0);
  j->estimate = test_psf(5, 1, DCV_PSF_UNIFORM, 1.0);
  *state = j;
  return 0;
}

static int teardown(void **state)
{
  job *j = *state;
  free(j->in.data), free(j->out.data), free(j->psf.data), free(j->estimate.data), free(j);
  return 0;
}

static void plan_creation(void **state)
{
  assert_true(each_allocation_fails(create, *state) > 0);
}

static void grid_creation(void **state)
{
  job *j = *state;
  assert_true(each_allocation_fails(create_grid, j) > 0);
  j->params.scale = 0.7f;
  assert_true(each_allocation_fails(create_grid, j) > 0);
}

static void whole_restoration(void **state)
{
  assert_true(each_allocation_fails(deconvolve, *state) > 0);
}

static void resolving(void **state)
{
  each_allocation_fails(resolve, *state);
}

static void estimation(void **state)
{
  assert_true(each_allocation_fails(estimate, *state) > 0);
}

static void execute_allocates_nothing(void **state)
{
  job *j = *state;
  dcv_plan *plan;
  assert_ok(dcv_plan_create(&plan, &j->params, j->in.width, j->in.height, &j->psf));
  const long before = dcv_alloc_count();
  assert_ok(dcv_plan_execute(plan, &j->in, &j->out, NULL, NULL));
  assert_int_equal(dcv_alloc_count(), before);
  dcv_plan_destroy(plan);
}

static void memory_answer_is_what_the_plan_takes(void **state)
{
  job *j = *state;
  static const int sizes[][2] = { { 1, 1 }, { 70, 60 }, { 513, 257 }, { 1500, 900 } };
  for(int i = 0; i < 4; i++)
    for(int threads = 1; threads <= 3; threads += 2)
    {
      dcv_plan *plan;
      dcv_plan_info info = { .struct_size = sizeof(info) };
      uint64_t bytes, automatic;
      j->params.threads = threads;
      const long before = dcv_alloc_count();
      assert_ok(dcv_plan_memory(&j->params, sizes[i][0], sizes[i][1], &j->psf, &bytes));
      assert_ok(dcv_plan_create(&plan, &j->params, sizes[i][0], sizes[i][1], &j->psf));
      assert_true(dcv_alloc_count() > before);
      assert_ok(dcv_plan_describe(plan, &info));
      assert_true(info.bytes > 0 && bytes >= info.bytes && bytes <= info.bytes + info.bytes / 4 + 65536);
      dcv_params unresolved = j->params;
      unresolved.noise = unresolved.gradient = 0.0f;
      assert_ok(dcv_plan_memory(&unresolved, sizes[i][0], sizes[i][1], &j->psf, &automatic));
      assert_true(automatic >= info.bytes);
      dcv_plan_destroy(plan);
    }
}

static void memory_answer_is_what_a_grid_takes(void **state)
{
  job *j = *state;
  dcv_psf_grid grid = grid_of(j);
  dcv_plan *plan;
  dcv_plan_info info = { .struct_size = sizeof(info) };
  uint64_t bytes;
  assert_ok(dcv_plan_memory_grid(&j->params, 513, 500, &grid, &bytes));
  assert_ok(dcv_plan_create_grid(&plan, &j->params, 513, 500, &grid));
  assert_ok(dcv_plan_describe(plan, &info));
  assert_true(bytes == info.bytes && info.tiles_x >= 4 && info.tiles_y >= 6);
  dcv_plan_destroy(plan);
  grid.rows = DCV_GRID_MAX + 1;
  assert_status(dcv_plan_memory_grid(&j->params, 513, 500, &grid, &bytes), DCV_ERROR_PSF);
  free(grid.data);
}

static void estimate_memory_grows_with_the_window(void **state)
{
  job *j = *state;
  uint64_t small, large;
  assert_ok(dcv_estimate_memory(&j->params, 64, 64, 9, &small));
  assert_ok(dcv_estimate_memory(&j->params, 256, 256, 9, &large));
  assert_true(small > 64 * 64 * sizeof(float) && large > 2 * small);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
    CASE(plan_creation),
    CASE(grid_creation),
    CASE(whole_restoration),
    CASE(resolving),
    CASE(estimation),
    CASE(execute_allocates_nothing),
    CASE(memory_answer_is_what_the_plan_takes),
    CASE(memory_answer_is_what_a_grid_takes),
    CASE(estimate_memory_grows_with_the_window),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
