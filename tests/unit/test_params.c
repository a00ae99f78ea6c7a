/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The parameter table: description, defaults, ranges, flavours.
 */
#include "common.h"

static float *as_float(dcv_params *params, const dcv_param_info *row)
{
  return (float *)((char *)params + row->offset);
}

static int32_t *as_int(dcv_params *params, const dcv_param_info *row)
{
  return (int32_t *)((char *)params + row->offset);
}

static int choices(const char *text)
{
  int count = 1;
  for(; *text; text++) count += *text == '|';
  return count;
}

static void the_table_covers_the_struct(void **state)
{
  (void)state;
  size_t end = offsetof(dcv_params, channels);
  int rows = 0;
  for(const dcv_param_info *row; (row = dcv_params_describe(rows)); rows++)
  {
    assert_int_equal(row->offset, end); /* no gap, no field without a row */
    end += 4;
    assert_true(strlen(row->name) > 0 && strlen(row->doc) > 0);
    assert_non_null(row->unit);
    if(row->type == DCV_TYPE_ENUM)
      assert_true(choices(row->choices) >= 1);
    else
    {
      assert_null(row->choices);
      assert_true(row->min <= row->value && row->value <= row->max);
    }
  }
  assert_int_equal(end, sizeof(dcv_params));
  assert_null(dcv_params_describe(-1));
  assert_null(dcv_params_describe(rows + 1));
}

static void defaults_come_from_the_table(void **state)
{
  (void)state;
  dcv_params params;
  memset(&params, 0xff, sizeof(params));
  assert_ok(dcv_params_init(&params));
  assert_int_equal(params.struct_size, sizeof(params));
  const dcv_param_info *row;
  for(int i = 0; (row = dcv_params_describe(i)); i++)
    if(row->type == DCV_TYPE_FLOAT)
      assert_true(*as_float(&params, row) == (float)row->value);
    else
      assert_int_equal(*as_int(&params, row), (int)row->value);
  assert_ok(dcv_params_check(&params, NULL));
}

static void ranges_are_checked_and_the_field_is_named(void **state)
{
  (void)state;
  const dcv_param_info *row;
  for(int i = 0; (row = dcv_params_describe(i)); i++)
  {
    dcv_params params;
    const char *field = NULL;
    const int last = row->type == DCV_TYPE_ENUM ? choices(row->choices) - 1 : 0;
    for(int side = 0; side < 2; side++)
    {
      const double edge = row->type == DCV_TYPE_ENUM ? (side ? last : 0) : side ? row->max : row->min;
      const double beyond = row->type == DCV_TYPE_FLOAT ? edge + (side ? 1.0 : -1.0) * (1.0 + 1e-3 * fabs(edge)) : edge + (side ? 1 : -1);
      assert_ok(dcv_params_init(&params));
      if(row->type == DCV_TYPE_FLOAT)
        *as_float(&params, row) = (float)edge;
      else
        *as_int(&params, row) = (int32_t)edge;
      assert_ok(dcv_params_check(&params, &field));
      assert_null(field);
      if(row->type == DCV_TYPE_FLOAT)
        *as_float(&params, row) = (float)beyond;
      else
        *as_int(&params, row) = (int32_t)beyond;
      assert_status(dcv_params_check(&params, &field), DCV_ERROR_ARGUMENT);
      assert_string_equal(field, row->name);
    }
    if(row->type == DCV_TYPE_FLOAT)
    {
      assert_ok(dcv_params_init(&params));
      *as_float(&params, row) = NAN;
      assert_status(dcv_params_check(&params, &field), DCV_ERROR_ARGUMENT);
      assert_string_equal(field, row->name);
    }
  }
}

static void too_small_is_refused_and_the_field_is_named(void **state)
{
  (void)state;
  for(int i = 0; i < 3; i++)
  {
    dcv_params params;
    const char *field = NULL;
    assert_ok(dcv_params_init(&params));
    float *const value[] = { &params.noise, &params.gradient, &params.lam };
    const char *const name[] = { "noise", "gradient", "lam" };
    *value[i] = 1e-6f; /* the least lam, above the least of the others */
    assert_ok(dcv_params_check(&params, &field));
    *value[i] = 9e-8f;
    assert_status(dcv_params_check(&params, &field), DCV_ERROR_ARGUMENT);
    assert_string_equal(field, name[i]);
  }
}

static void flavours_are_valid_and_keep_the_rest(void **state)
{
  (void)state;
  for(int flavour = DCV_FAST; flavour <= DCV_BEST; flavour++)
  {
    dcv_params params = test_params();
    params.saturation = 0.875f;
    assert_ok(dcv_params_flavour(&params, (dcv_flavour)flavour));
    assert_ok(dcv_params_check(&params, NULL));
    assert_true(params.saturation == 0.875f);
    assert_true(params.noise == 0.005f);
  }
  dcv_params params = test_params();
  assert_status(dcv_params_flavour(&params, (dcv_flavour)3), DCV_ERROR_ARGUMENT);
  assert_status(dcv_params_flavour(&params, (dcv_flavour)-1), DCV_ERROR_ARGUMENT);
  assert_status(dcv_params_flavour(NULL, DCV_NORMAL), DCV_ERROR_ARGUMENT);
}

static void resolving_fills_only_what_is_automatic(void **state)
{
  (void)state;
  dcv_image in = test_image(64, 64, 4);
  test_draw(&in);
  dcv_psf psf = test_psf(7, 1, DCV_PSF_GAUSSIAN, 1.2);
  dcv_params params;
  assert_ok(dcv_params_init(&params));
  assert_ok(dcv_params_resolve(&params, &in, &psf, NULL));
  assert_true(params.noise > 0.0f && params.noise <= 1.0f);
  assert_true(params.gradient > 0.0f);
  const dcv_params once = params;
  test_at(&in, 5, 5)[0] = 9.0f; /* another picture changes nothing any more */
  assert_ok(dcv_params_resolve(&params, &in, &psf, NULL));
  assert_memory_equal(&params, &once, sizeof(params));

  assert_ok(dcv_params_init(&params));
  params.noise = 0.03f;
  assert_ok(dcv_params_resolve(&params, &in, &psf, NULL));
  assert_true(params.noise == 0.03f);
  assert_true(params.gradient > 0.0f);
  free(in.data), free(psf.data);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_table_covers_the_struct),
    cmocka_unit_test(defaults_come_from_the_table),
    cmocka_unit_test(ranges_are_checked_and_the_field_is_named),
    cmocka_unit_test(too_small_is_refused_and_the_field_is_named),
    cmocka_unit_test(flavours_are_valid_and_keep_the_rest),
    cmocka_unit_test(resolving_fills_only_what_is_automatic),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
