/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The parameter table (params.def) as data: defaults, ranges, description, flavours.
 */
#include "base/base.h"

#include <string.h>

#define DCV_INT(name, def, min, max, unit, doc) { #name, DCV_TYPE_INT, offsetof(dcv_params, name), def, min, max, unit, NULL, doc },
#define DCV_FLOAT(name, def, min, max, unit, doc) { #name, DCV_TYPE_FLOAT, offsetof(dcv_params, name), def, min, max, unit, NULL, doc },
#define DCV_ENUM(name, def, choices, doc) { #name, DCV_TYPE_ENUM, offsetof(dcv_params, name), def, 0, -1, "", choices, doc },
static const dcv_param_info table[] = {
#include "params.def"
};
#undef DCV_INT
#undef DCV_FLOAT
#undef DCV_ENUM

#define ROWS ((int)(sizeof(table) / sizeof(*table)))

static int last_choice(const char *choices)
{
  int bars = 0;
  for(; *choices; choices++) bars += *choices == '|';
  return bars;
}

const dcv_param_info *dcv_params_describe(int i)
{
  return i >= 0 && i < ROWS ? table + i : NULL;
}

dcv_status dcv_params_init(dcv_params *params)
{
  if(!params) return DCV_ERROR_ARGUMENT;
  memset(params, 0, sizeof(*params));
  params->struct_size = sizeof(*params);
  for(int i = 0; i < ROWS; i++)
  {
    char *const field = (char *)params + table[i].offset;
    if(table[i].type == DCV_TYPE_FLOAT)
      *(float *)field = (float)table[i].value;
    else
      *(int32_t *)field = (int32_t)table[i].value;
  }
  return DCV_OK;
}

dcv_status dcv_params_check(const dcv_params *params, const char **field)
{
  if(field) *field = NULL;
  if(!params) return DCV_ERROR_ARGUMENT;
  if(params->struct_size != sizeof(*params)) return DCV_ERROR_STRUCT;
  for(int i = 0; i < ROWS; i++)
  {
    const char *const at = (const char *)params + table[i].offset;
    const double value = table[i].type == DCV_TYPE_FLOAT ? (double)*(const float *)at : (double)*(const int32_t *)at;
    const double max = table[i].type == DCV_TYPE_ENUM ? last_choice(table[i].choices) : table[i].max;
    if(value >= table[i].min && value <= max) continue; /* false for NaN */
    if(field) *field = table[i].name;
    return DCV_ERROR_ARGUMENT;
  }
  /* Positive, but out of single precision's reach once squared and divided. */
  const struct { const char *name; float value, least; } small[]
      = { { "noise", params->noise, 1e-7f }, { "gradient", params->gradient, 1e-7f }, { "lam", params->lam, 1e-6f } };
  for(int i = 0; i < 3; i++)
  {
    if(small[i].value == 0.0f || small[i].value >= small[i].least) continue;
    if(field) *field = small[i].name;
    return DCV_ERROR_ARGUMENT;
  }
  return DCV_OK;
}

/* Rows of the choice "solver". */
enum { ADMM = 0, MM = 1 };

/* Figures behind the choice: docs/flavours.md. Fixed numbers of iterations: parts of a picture agree without a run on a sample. */
dcv_status dcv_params_flavour(dcv_params *params, dcv_flavour flavour)
{
  if(!params) return DCV_ERROR_ARGUMENT;
  if(params->struct_size != sizeof(*params)) return DCV_ERROR_STRUCT;
  switch(flavour)
  {
    case DCV_FAST: params->solver = ADMM, params->iterations = 3; return DCV_OK;
    case DCV_NORMAL: params->solver = ADMM, params->iterations = 0; return DCV_OK;
    case DCV_BEST: params->solver = MM, params->iterations = 24; return DCV_OK;
  }
  return DCV_ERROR_ARGUMENT;
}
