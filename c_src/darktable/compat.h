/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The differences between darktable 4.2 (module interface 23) and 5.x (24 and later) that the module meets. Inside darktable's own tree
 * only the branch of that tree is of use.
 */
#ifndef DECONVOLUTION_COMPAT_H
#define DECONVOLUTION_COMPAT_H

#include "common/darktable.h"
#include "common/image_cache.h"
#include "common/mipmap_cache.h"
#include "control/control.h"
#include "control/jobs.h"
#include "develop/develop.h"
#include "develop/imageop.h"
#include "develop/pixelpipe_hb.h"
#include "gui/gtk.h"
#include "libs/colorpicker.h"
#include "libs/lib.h"

// Size of the final picture on the preview pipe, in which distort_transform answers.
static inline void compat_preview_size(float size[2]);

// Corners of a box in the module's input on the preview pipe, relative to the final picture there.
static inline void compat_corners(dt_iop_module_t *self, const float box[4], float corner[8])
{
  dt_develop_t *dev = darktable.develop;
  const float turn[8] = { box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3] };
  for(int i = 0; i < 8; i++) corner[i] = turn[i];
  dt_dev_distort_transform_plus(dev, dev->preview_pipe, self->iop_order, DT_DEV_TRANSFORM_DIR_FORW_EXCL, corner, 4);
  float size[2];
  compat_preview_size(size);
  for(int i = 0; i < 8; i++) corner[i] /= MAX(1.0f, size[i % 2]);
}

#if DT_MODULE_VERSION >= 24

typedef dt_iop_colorspace_type_t compat_colorspace_t;
typedef dt_dev_pixelpipe_t compat_picker_source_t; // third argument of color_picker_apply
#define COMPAT_LEGACY_PARAMS_RESULT void **new_params, int32_t *new_params_size, int *new_version
#define COMPAT_LEGACY_RESULT(size, version) (*new_params_size = (size), *new_version = (version), *new_params = malloc(size)) // freed by darktable

#define COMPAT_GUI_FREE // darktable does it
#define COMPAT_FLAGS 0
#define COMPAT_CL_RESULT(done) ((done) ? CL_SUCCESS : DT_OPENCL_DEFAULT_ERROR)
#define COMPAT_EXPOSE_ARGUMENTS const float width, const float height, const float pointerx, const float pointery, const float zoom_scale
// canvas coordinates are set up by darktable
#define COMPAT_EXPOSE_BEGIN(dev) const float canvas_width = width, canvas_height = height, canvas_scale = zoom_scale
static inline gboolean compat_pipe_stopped(dt_dev_pixelpipe_t *pipe) { return dt_pipe_shutdown(pipe); }
static inline void compat_add_job(dt_job_t *job) { dt_control_add_job(DT_JOB_QUEUE_USER_BG, job); }
static inline void compat_mipmap_get(dt_mipmap_buffer_t *buffer, const int32_t imgid)
{
  dt_mipmap_cache_get(buffer, imgid, DT_MIPMAP_FULL, DT_MIPMAP_BLOCKING, 'r');
}
static inline void compat_mipmap_release(dt_mipmap_buffer_t *buffer) { dt_mipmap_cache_release(buffer); }
#define compat_collapsible_section(section, conf, label, parent, self) \
  dt_gui_new_collapsible_section(section, conf, label, parent, DT_ACTION(self))

static inline void compat_preview_size(float size[2])
{
  size[0] = darktable.develop->preview_pipe->processed_width;
  size[1] = darktable.develop->preview_pipe->processed_height;
}

// the picker's box in the pixels of the module's input on the preview pipe, two opposite corners
static inline gboolean compat_picker_box(dt_iop_module_t *self, float box[4])
{
  dt_develop_t *dev = darktable.develop;
  const dt_colorpicker_sample_t *sample = darktable.lib->proxy.colorpicker.primary_sample;
  if(!sample || sample->size != DT_LIB_COLORPICKER_SIZE_BOX) return FALSE;
  float corner[8];
  for(int i = 0; i < 8; i += 2)
  {
    corner[i] = sample->box[i] * dev->preview_pipe->iwidth;
    corner[i + 1] = sample->box[i + 1] * dev->preview_pipe->iheight;
  }
  dt_dev_distort_transform_plus(dev, dev->preview_pipe, self->iop_order, DT_DEV_TRANSFORM_DIR_BACK_EXCL, corner, 4);
  for(int k = 0; k < 2; k++)
  {
    box[k] = MIN(MIN(corner[k], corner[k + 2]), MIN(corner[k + 4], corner[k + 6]));
    box[k + 2] = MAX(MAX(corner[k], corner[k + 2]), MAX(corner[k + 4], corner[k + 6]));
  }
  return TRUE;
}

static inline void compat_set_picker_box(dt_iop_module_t *self, const float box[4])
{
  dt_develop_t *dev = darktable.develop;
  float corner[8] = { box[0], box[1], box[0], box[3], box[2], box[1], box[2], box[3] };
  dt_dev_distort_backtransform_plus(dev, dev->preview_pipe, self->iop_order, DT_DEV_TRANSFORM_DIR_BACK_EXCL, corner, 4);
  dt_pickerbox_t sample;
  for(int i = 0; i < 8; i += 2)
  {
    sample[i] = CLAMP(corner[i] / MAX(1, dev->preview_pipe->iwidth), 0.0f, 1.0f);
    sample[i + 1] = CLAMP(corner[i + 1] / MAX(1, dev->preview_pipe->iheight), 0.0f, 1.0f);
  }
  dt_lib_colorpicker_set_box_area(darktable.lib, sample);
}

#else // 4.2

typedef int compat_colorspace_t;
typedef dt_dev_pixelpipe_iop_t compat_picker_source_t;
#define COMPAT_LEGACY_PARAMS_RESULT void *new_params, const int new_version
#define COMPAT_LEGACY_RESULT(size, version) (new_version == (version) ? new_params : NULL)

#define COMPAT_GUI_FREE IOP_GUI_FREE
#define COMPAT_CL_RESULT(done) (done)
#define COMPAT_FLAGS IOP_FLAGS_CACHE_IMPORTANT_NOW // keep the result while later modules are being edited
#define COMPAT_EXPOSE_ARGUMENTS const int32_t width, const int32_t height, const int32_t pointerx, const int32_t pointery
#define COMPAT_EXPOSE_BEGIN(dev)                                                                                                    \
  const float canvas_width = (dev)->preview_pipe->backbuf_width, canvas_height = (dev)->preview_pipe->backbuf_height;               \
  const float canvas_scale = dt_dev_get_zoom_scale(dev, dt_control_get_dev_zoom(), 1 << dt_control_get_dev_closeup(), 1);           \
  cairo_translate(cr, 0.5 * width, 0.5 * height);                                                                                   \
  cairo_scale(cr, canvas_scale, canvas_scale);                                                                                      \
  cairo_translate(cr, -canvas_width * (0.5 + dt_control_get_dev_zoom_x()), -canvas_height * (0.5 + dt_control_get_dev_zoom_y()))
static inline gboolean compat_pipe_stopped(dt_dev_pixelpipe_t *pipe) { return dt_atomic_get_int(&pipe->shutdown) != 0; }
static inline void compat_add_job(dt_job_t *job) { dt_control_add_job(darktable.control, DT_JOB_QUEUE_USER_BG, job); }
static inline void compat_mipmap_get(dt_mipmap_buffer_t *buffer, const int32_t imgid)
{
  dt_mipmap_cache_get(darktable.mipmap_cache, buffer, imgid, DT_MIPMAP_FULL, DT_MIPMAP_BLOCKING, 'r');
}
static inline void compat_mipmap_release(dt_mipmap_buffer_t *buffer) { dt_mipmap_cache_release(darktable.mipmap_cache, buffer); }
#define compat_collapsible_section(section, conf, label, parent, self) dt_gui_new_collapsible_section(section, conf, label, parent)

static inline void compat_preview_size(float size[2])
{
  size[0] = darktable.develop->preview_pipe->backbuf_width;
  size[1] = darktable.develop->preview_pipe->backbuf_height;
}

static inline gboolean compat_picker_box(dt_iop_module_t *self, float box[4])
{
  dt_develop_t *dev = darktable.develop;
  const dt_colorpicker_sample_t *sample = darktable.lib->proxy.colorpicker.primary_sample;
  if(!sample || sample->size != DT_LIB_COLORPICKER_SIZE_BOX) return FALSE;
  for(int k = 0; k < 4; k++) box[k] = sample->box[k] * (k % 2 ? dev->preview_pipe->backbuf_height : dev->preview_pipe->backbuf_width);
  // back to the module; this undoes the preview's own downsampling as well
  dt_dev_distort_backtransform_plus(dev, dev->preview_pipe, self->iop_order, DT_DEV_TRANSFORM_DIR_FORW_EXCL, box, 2);
  for(int k = 0; k < 2; k++)
    if(box[k] > box[k + 2])
    {
      const float swap = box[k];
      box[k] = box[k + 2];
      box[k + 2] = swap;
    }
  return TRUE;
}

static inline void compat_set_picker_box(dt_iop_module_t *self, const float box[4])
{
  float corner[8];
  compat_corners(self, box, corner);
  dt_boundingbox_t area;
  for(int k = 0; k < 2; k++)
  {
    area[k] = CLAMP(MIN(MIN(corner[k], corner[k + 2]), MIN(corner[k + 4], corner[k + 6])), 0.0f, 1.0f);
    area[k + 2] = CLAMP(MAX(MAX(corner[k], corner[k + 2]), MAX(corner[k + 4], corner[k + 6])), 0.0f, 1.0f);
  }
  dt_lib_colorpicker_set_box_area(darktable.lib, area);
}

#endif
#endif
