/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * refocus: the public face of restoring only where the PSF explains the blur (ops/refocus has the formulas).
 */
#include "ops/refocus.h"

#include "maths/psf.h"

#include <math.h>

static bool same_size(const dcv_image *a, const dcv_image *b)
{
  return a->width == b->width && a->height == b->height;
}

/* What all three take. */
static dcv_status check(const dcv_params *params, const dcv_image *in, const dcv_image *map)
{
  DCV_TRY(dcv_params_check(params, NULL));
  DCV_TRY(dcv_image_check(in, params->channels));
  DCV_TRY(dcv_image_check(map, 1));
  return same_size(in, map) ? DCV_OK : DCV_ERROR_SIZE;
}

/* A window (x, y, width, height), or NULL, of a picture. */
static dcv_status check_window(const int32_t *w, const dcv_image *map)
{
  const bool inside = !w || (w[0] >= 0 && w[1] >= 0 && w[2] >= 1 && w[3] >= 1 && w[2] <= map->width - w[0] && w[3] <= map->height - w[1]);
  return inside ? DCV_OK : DCV_ERROR_SIZE;
}

/* The PSF with sum 1 as the picture sees it (params->scale): a copy, to be cleared whatever the status. */
static dcv_status own_psf(const dcv_params *params, const dcv_psf *psf, dcv_psf *own)
{
  *own = (dcv_psf){ 0 };
  DCV_TRY(dcv_psf_validate(psf));
  if(psf->channels != 1 && psf->channels != params->channels) return DCV_ERROR_PSF;
  DCV_TRY(dcv_psf_copy(own, psf));
  if(params->scale == 1.0f) return DCV_OK;
  dcv_psf full = *own;
  const dcv_status status = dcv_psf_reduce(own, &full, params->scale);
  dcv_psf_clear(&full);
  return status;
}

/* Noise as the picture sees it. */
static float noise_of(const dcv_params *params)
{
  return params->noise * fminf(params->scale, 1.0f);
}

dcv_status dcv_refocus_halo(const dcv_params *params, const dcv_psf *psf, int32_t *halo)
{
  DCV_TRY(dcv_halo(params, psf, halo));
  *halo += dcv_refocus_reach(psf->size) + dcv_refocus_reblur_reach(psf->size);
  return DCV_OK;
}

dcv_status dcv_refocus_map(const dcv_params *params, const dcv_psf *psf, const dcv_image *in, const int32_t *window, dcv_image *map,
                           const dcv_callbacks *callbacks)
{
  DCV_TRY(check(params, in, map));
  DCV_TRY(check_window(window, map));
  if(params->noise == 0.0f) return DCV_ERROR_UNRESOLVED;
  dcv_psf own;
  dcv_status status = own_psf(params, psf, &own);
  float *const e = status == DCV_OK ? dcv_alloc_floats((size_t)in->width * in->height) : NULL;
  const int threads = dcv_threads(params->threads);
  if(status == DCV_OK && !e) status = DCV_ERROR_MEMORY;
  if(status == DCV_OK) status = dcv_refocus_evidence(in, params->channels, &own, noise_of(params), params->planning, threads, callbacks, e);
  if(status == DCV_OK) status = dcv_refocus_spread(e, window, threads, map);
  dcv_release(e);
  dcv_psf_clear(&own);
  if(status == DCV_OK) dcv_progress(callbacks, 1.0);
  return status;
}

dcv_status dcv_refocus_subject(dcv_image *map, const int32_t *window)
{
  DCV_TRY(dcv_image_check(map, 1));
  DCV_TRY(check_window(window, map));
  return dcv_refocus_drop(map, window);
}

dcv_status dcv_refocus_prepare(const dcv_params *params, const dcv_psf *psf, const dcv_image *in, const dcv_image *map, dcv_image *out,
                               const dcv_callbacks *callbacks)
{
  DCV_TRY(check(params, in, map));
  DCV_TRY(dcv_image_check(out, params->channels));
  if(!same_size(in, out)) return DCV_ERROR_SIZE;
  if(in->data == out->data) return DCV_ERROR_ARGUMENT;
  dcv_psf own;
  dcv_status status = own_psf(params, psf, &own);
  const int both = DCV_MIN(in->pixel_stride, out->pixel_stride);
  for(int y = 0; y < in->height; y++)
    for(int x = 0; x < in->width; x++)
      for(int c = params->channels; c < both; c++)
        out->data[y * out->row_stride + (ptrdiff_t)x * out->pixel_stride + c] = in->data[y * in->row_stride + (ptrdiff_t)x * in->pixel_stride + c];
  if(status == DCV_OK) status = dcv_refocus_reblur(in, params->channels, &own, noise_of(params), map, params->planning, dcv_threads(params->threads), callbacks, out);
  dcv_psf_clear(&own);
  return status;
}

dcv_status dcv_refocus_blend(const dcv_params *params, const dcv_image *in, const dcv_image *map, dcv_image *out)
{
  DCV_TRY(check(params, in, map));
  DCV_TRY(dcv_image_check(out, params->channels));
  if(!same_size(in, out)) return DCV_ERROR_SIZE;
  const int channels = params->channels, threads = dcv_threads(params->threads);
#pragma omp parallel for schedule(static) num_threads(threads)
  for(int y = 0; y < in->height; y++)
    for(int x = 0; x < in->width; x++)
    {
      const float *const a = in->data + y * in->row_stride + (ptrdiff_t)x * in->pixel_stride;
      float *const b = out->data + y * out->row_stride + (ptrdiff_t)x * out->pixel_stride;
      const float m = map->data[y * map->row_stride + (ptrdiff_t)x * map->pixel_stride];
      for(int c = 0; c < channels; c++) b[c] = isfinite(a[c]) ? a[c] + m * (b[c] - a[c]) : b[c];
    }
  (void)threads;
  return DCV_OK;
}
