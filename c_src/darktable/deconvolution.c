/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * deconvolution: image operation for darktable that undoes a known or estimated blur.
 *
 * The picture is modelled, in linear light, as y = k * x + n. The PSF k is either described (Gaussian, disk, motion) or estimated once, on
 * full-resolution pixels of a sample window, and kept in the parameters together with noise, gradient and edge measured there. All pipes restore with
 * these stored numbers, never with ones measured on the pixels at hand: so preview, tiles and export agree.
 *
 * At pipe scale s (roi_in->scale / piece->iscale) the core restores the reduced picture as it would be seen in the full one (dcv_params.scale); where the
 * blur is far below a pixel the picture passes through. Everything numerical is done by libdcv (dcv.h).
 *
 * Limits: one PSF for the whole picture; the PSF of a picture warped after the shot (lens correction before this module) varies.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#include "bauhaus/bauhaus.h"
#include "common/file_location.h"
#include "common/image.h"
#include "common/imagebuf.h"
#include "common/iop_profile.h"
#ifdef HAVE_OPENCL
#include "common/opencl.h"
#endif
#include "control/control.h"
#include "control/jobs.h"
#include "control/signal.h"
#include "develop/blend.h"
#include "develop/develop.h"
#include "develop/imageop.h"
#include "develop/imageop_gui.h"
#include "develop/tiling.h"
#include "dtgtk/drawingarea.h"
#include "dtgtk/paint.h"
#include "gui/accelerators.h"
#include "gui/color_picker_proxy.h"
#include "gui/gtk.h"
#include "gui/presets.h"
#include "iop/iop_api.h"

#include "compat.h"
#include "dcv.h"
#include "psf_codec.h"
#include "psf_file.h"

#include <glib/gstdio.h>
#include <gtk/gtk.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef DCV_OUT_OF_TREE
#include "outoftree.h"
// outoftree.c answers for the module's version after checking that this darktable is the one built for
#define dt_module_dt_version deconvolution_dt_version
#endif

DT_MODULE_INTROSPECTION(3, dt_iop_deconvolution_params_t)

typedef enum dt_iop_deconvolution_source_t
{
  DT_DECONVOLUTION_ESTIMATED = 0, // $DESCRIPTION: "estimated"
  DT_DECONVOLUTION_GAUSSIAN = 1,  // $DESCRIPTION: "Gaussian"
  DT_DECONVOLUTION_DISK = 2,      // $DESCRIPTION: "disk (defocus)"
  DT_DECONVOLUTION_MOTION = 3,    // $DESCRIPTION: "straight motion"
  DT_DECONVOLUTION_NONE = 4,      // $DESCRIPTION: "none (denoise)"
} dt_iop_deconvolution_source_t;

typedef enum dt_iop_deconvolution_flavour_t
{
  DT_DECONVOLUTION_FAST = 0,   // $DESCRIPTION: "fast"
  DT_DECONVOLUTION_NORMAL = 1, // $DESCRIPTION: "normal"
  DT_DECONVOLUTION_BEST = 2,   // $DESCRIPTION: "best"
} dt_iop_deconvolution_flavour_t;

typedef enum dt_iop_deconvolution_blur_t
{
  DT_DECONVOLUTION_MOVING = 0, // $DESCRIPTION: "motion (shared by the channels)"
  DT_DECONVOLUTION_STATIC = 1, // $DESCRIPTION: "static (per channel)"
} dt_iop_deconvolution_blur_t;

typedef struct dt_iop_deconvolution_params_t
{
  dt_iop_deconvolution_source_t source; // $DEFAULT: DT_DECONVOLUTION_ESTIMATED $DESCRIPTION: "blur"
  int blur_size;   // $MIN: 3 $MAX: 33 $DEFAULT: 9 $DESCRIPTION: "blur size"
  float window[4]; // $MIN: 0.0 $MAX: 1.0 $DEFAULT: 0.0 $DESCRIPTION: "sample window"
  float priority;  // $MIN: -1.0 $MAX: 1.0 $DEFAULT: 0.0 $DESCRIPTION: "denoise or deblur"
  dt_iop_deconvolution_flavour_t flavour; // $DEFAULT: DT_DECONVOLUTION_NORMAL $DESCRIPTION: "quality"
  float sigma;     // $MIN: 0.3 $MAX: 10.0 $DEFAULT: 1.5 $DESCRIPTION: "standard deviation"
  float radius;    // $MIN: 0.5 $MAX: 20.0 $DEFAULT: 3.0 $DESCRIPTION: "radius"
  float length;    // $MIN: 1.0 $MAX: 60.0 $DEFAULT: 9.0 $DESCRIPTION: "length"
  float angle;     // $MIN: -90.0 $MAX: 90.0 $DEFAULT: 0.0 $DESCRIPTION: "direction"
  dt_iop_deconvolution_blur_t blur; // $DEFAULT: DT_DECONVOLUTION_MOVING $DESCRIPTION: "blur type"
  int iterations;  // $MIN: 0 $MAX: 200 $DEFAULT: 0 $DESCRIPTION: "iterations"
  float noise;     // $MIN: 0.0 $MAX: 0.2 $DEFAULT: 0.0 $DESCRIPTION: "noise"
  float clipping;  // $MIN: 0.0 $MAX: 16.0 $DEFAULT: 0.0 $DESCRIPTION: "clipping level"
  float measured_noise;    // $MIN: 0.0 $MAX: 1.0 $DEFAULT: 0.0
  float measured_gradient; // $MIN: 0.0 $MAX: 1000.0 $DEFAULT: 0.0
  float confidence;     // $MIN: 0.0 $MAX: 1.0 $DEFAULT: 0.0
  int psf_size;         // $MIN: 0 $MAX: 33 $DEFAULT: 0
  int psf_channels;     // $MIN: 0 $MAX: 3 $DEFAULT: 0
  unsigned int psf_check; // $DEFAULT: 0
  uint16_t psf[3268];   // $DEFAULT: 0
  // since version 2
  float tolerance;         // $MIN: 0.0 $MAX: 10.0 $DEFAULT: 0.0 $DESCRIPTION: "tolerance"
  int measured_iterations; // $MIN: 0 $MAX: 1000 $DEFAULT: 0
  gboolean refocus;        // $DEFAULT: FALSE $DESCRIPTION: "only where this blur is found"
  // since version 3
  float measured_edge; // $MIN: 0.0 $MAX: 1000000.0 $DEFAULT: 0.0
} dt_iop_deconvolution_params_t;

G_STATIC_ASSERT(PSF_CODEC_VALUES <= 3268);

// Versions differ in how far the struct goes: version 1 ends with the PSF, version 2 with refocus.
#define SIZE_1 offsetof(dt_iop_deconvolution_params_t, tolerance)
#define SIZE_2 offsetof(dt_iop_deconvolution_params_t, measured_edge)

// choices of dcv_params (params.def) that the module makes itself
enum { DCV_ADMM = 0, DCV_OPENCL = 1 };

// Assumed where nothing was measured (params written by hand): a clean photograph at base sensitivity, with a blur of a pixel or two.
#define ASSUMED_NOISE 0.005f
#define ASSUMED_GRADIENT 0.06f
// A blur narrower than this, in pixels of the pipe (rms radius), is not worth restoring: the PSF is a delta to within rounding.
#define LEAST_RADIUS 0.25f
// Tables and threads' memory of the map where the blur is found (dcv.h).
#define REFOCUS_BYTES ((12u + 15u * (unsigned)dt_get_num_threads()) << 20)
// The core's limit (params.def).
#define LARGEST_EDGE 1e6f
// Clipping level assumed where none is set and the file ends at white: a little below it, for noise and rounding.
#define NEARLY_WHITE 0.98f
// Sides of the sample used for estimation: more pixels add time and no information.
#define LARGEST_SAMPLE 800
#define LEAST_SAMPLE 64
// The scales that the core takes.
#define LEAST_SCALE 0.02f
#define LARGEST_SCALE 8.0f

typedef enum state_t
{
  STATE_READY = 0,
  STATE_UNKNOWN = 1, // no PSF yet
  STATE_DAMAGED = 2, // parameters that this module cannot have written
} state_t;

typedef struct dt_iop_deconvolution_data_t
{
  state_t state;
  gboolean bypass; // the estimation reads the module's input through its output
  dt_iop_deconvolution_params_t params;
  dcv_params core;
  gboolean ends_at_white; // no clipping level is set, and the file ends at white
  gboolean raw;
  dcv_psf psf;            // at full size
  float values[DCV_PSF_MAX * DCV_PSF_MAX];
  // what follows at the pipe's scale, kept because the pipe asks for the halo often
  float scale; // 0: not made yet
  gboolean active;
  dcv_status status;
  int halo;
} dt_iop_deconvolution_data_t;

// One estimation, shared by the job that runs it and the GUI that may cancel it.
typedef struct estimate_t
{
  int references; // the job's or, after it, the idle callback's; the GUI's
  int cancel;
  dt_job_t *job;
  int32_t imgid;
  int multi_priority;
  gboolean psf_wanted; // else only the noise
  dt_iop_deconvolution_params_t params;
  gboolean learnt;
  gchar *error;
  dcv_estimate_result report;
} estimate_t;

typedef struct dt_iop_deconvolution_gui_data_t
{
  GtkWidget *source, *estimated, *blur_size, *picker, *estimate, *plot;
  GtkWidget *sigma, *radius, *length, *angle, *measure;
  GtkWidget *refocus_row, *refocus, *mask;
  GtkWidget *priority, *flavour, *iterations, *tolerance, *blur, *noise, *clipping, *status;
  dt_gui_collapsible_section_t section;
  estimate_t *running;
  gboolean mask_shown; // instead of the picture, where it was found to be blurred
  // written by the full pipe, guarded by the module's GUI lock
  gboolean restored;
  dcv_result result;
  float pipe_scale;
} dt_iop_deconvolution_gui_data_t;

const char *name()
{
  return _("deconvolution");
}

const char *aliases()
{
  return _("deblur|sharpen|refocus|motion blur|camera shake|lens blur|PSF");
}

const char **description(struct dt_iop_module_t *self)
{
  return dt_iop_set_description(self, _("undo defocus, camera shake and lens blur,\nknown or estimated from the picture"), _("corrective"),
                                _("linear, RGB, scene-referred"), _("frequential, RGB"), _("linear, RGB, scene-referred"));
}

int default_group()
{
  return IOP_GROUP_CORRECT | IOP_GROUP_TECHNICAL;
}

int flags()
{
  return IOP_FLAGS_INCLUDE_IN_STYLES | IOP_FLAGS_SUPPORTS_BLENDING | IOP_FLAGS_ALLOW_TILING | COMPAT_FLAGS;
}

compat_colorspace_t default_colorspace(dt_iop_module_t *self, dt_dev_pixelpipe_t *pipe, dt_dev_pixelpipe_iop_t *piece)
{
  return IOP_CS_RGB;
}

int legacy_params(dt_iop_module_t *self, const void *const old_params, const int old_version, COMPAT_LEGACY_PARAMS_RESULT)
{
  if(old_version != 1 && old_version != 2) return 1;
  dt_iop_deconvolution_params_t *p = COMPAT_LEGACY_RESULT(sizeof(dt_iop_deconvolution_params_t), 3);
  if(!p) return 1;
  memset(p, 0, sizeof(*p)); // 0 is the default of what has been added
  memcpy(p, old_params, old_version == 1 ? SIZE_1 : SIZE_2);
  return 0;
}

// ---- parameters -------------------------------------------------------------------------------------------------------------------

static inline gboolean _in(const float x, const float low, const float high)
{
  return x >= low && x <= high; // false for NaN
}

// A measured value, or 0 for "not known". Vanishing ones, with which the core's numbers would overflow, count as not known; darktable's
// threads differ in how they compare denormal numbers with 0.
static inline float _known(const float x)
{
  return x >= 1e-7f ? x : 0.0f;
}

// Parameters come from files: nothing about them may be taken for granted.
static gboolean _params_sane(const dt_iop_deconvolution_params_t *p)
{
  gboolean sane = (unsigned)p->source <= DT_DECONVOLUTION_NONE && (unsigned)p->flavour <= DT_DECONVOLUTION_BEST
                  && (unsigned)p->blur <= DT_DECONVOLUTION_STATIC && p->iterations >= 0 && p->iterations <= 200 && p->blur_size >= 3
                  && p->blur_size <= PSF_CODEC_SIDE && _in(p->priority, -1.0f, 1.0f) && _in(p->sigma, 0.3f, 10.0f)
                  && _in(p->radius, 0.5f, 20.0f) && _in(p->length, 1.0f, 60.0f) && _in(p->angle, -90.0f, 90.0f) && _in(p->noise, 0.0f, 0.2f)
                  && _in(p->clipping, 0.0f, 16.0f) && _in(p->measured_noise, 0.0f, 1.0f) && _in(p->measured_gradient, 0.0f, 1000.0f) && _in(p->confidence, 0.0f, 1.0f)
                  && _in(p->tolerance, 0.0f, 10.0f) && p->measured_iterations >= 0 && p->measured_iterations <= 1000
                  && (p->refocus == FALSE || p->refocus == TRUE) && _in(p->measured_edge, 0.0f, LARGEST_EDGE);
  for(int k = 0; k < 4; k++) sane = sane && _in(p->window[k], 0.0f, 1.0f);
  return sane;
}

// Makes the PSF that the parameters mean; psf->data has room for DCV_PSF_MAX squared floats.
static state_t _make_psf(const dt_iop_deconvolution_params_t *p, dcv_psf *psf)
{
  if(p->source == DT_DECONVOLUTION_ESTIMATED)
  {
    const psf_codec_t code = psf_decode(p->psf, p->psf_size, p->psf_channels, p->psf_check, psf->data);
    psf->size = p->psf_size;
    psf->channels = p->psf_channels;
    return code == PSF_CODEC_OK ? STATE_READY : code == PSF_CODEC_EMPTY ? STATE_UNKNOWN : STATE_DAMAGED;
  }
  if(p->source == DT_DECONVOLUTION_NONE)
  {
    psf->size = psf->channels = 1;
    psf->data[0] = 1.0f;
    return STATE_READY;
  }
  static const dcv_psf_kind kind[] = { 0, DCV_PSF_GAUSSIAN, DCV_PSF_DISK, DCV_PSF_MOTION };
  const double a = p->source == DT_DECONVOLUTION_GAUSSIAN ? p->sigma : p->source == DT_DECONVOLUTION_DISK ? p->radius : p->length;
  psf->channels = 1;
  psf->size = dcv_psf_natural_size(kind[p->source], a, p->angle);
  return dcv_psf_make(psf, kind[p->source], a, p->angle) == DCV_OK ? STATE_READY : STATE_DAMAGED;
}

// Whether the number of iterations is found out on the sample. The other qualities have a few fixed ones.
static inline gboolean _stops(const dt_iop_deconvolution_params_t *p)
{
  return p->flavour == DT_DECONVOLUTION_BEST && p->tolerance > 0.0f && p->iterations == 0;
}

// The core's parameters; noise and gradient are 0 where they have neither been measured nor set.
static void _core_params(const dt_iop_deconvolution_params_t *p, dcv_params *core)
{
  dcv_params_init(core);
  dcv_params_flavour(core, (dcv_flavour)p->flavour);
  core->priority = p->priority;
  core->blur = p->blur == DT_DECONVOLUTION_STATIC;
  if(p->iterations > 0)
    core->iterations = p->iterations;
  else if(_stops(p) && p->measured_iterations > 0)
    core->iterations = p->measured_iterations;
  core->noise = _known(p->noise) > 0.0f ? p->noise : _known(p->measured_noise);
  core->gradient = _known(p->measured_gradient);
  core->edge = _known(p->measured_edge); // 0: none
  core->saturation = _known(p->clipping);
}

void init(dt_iop_module_t *self)
{
  dt_iop_default_init(self);
  dt_iop_deconvolution_params_t *d = self->default_params;
  d->window[0] = d->window[1] = 0.35f;
  d->window[2] = d->window[3] = 0.65f;
}

void init_presets(dt_iop_module_so_t *self)
{
  dt_iop_deconvolution_params_t p = { .source = DT_DECONVOLUTION_GAUSSIAN,
                                      .blur_size = 9,
                                      .window = { 0.35f, 0.35f, 0.65f, 0.65f },
                                      .priority = -0.3f,
                                      .flavour = DT_DECONVOLUTION_NORMAL,
                                      .sigma = 0.8f,
                                      .radius = 3.0f,
                                      .length = 9.0f };
  dt_gui_presets_add_generic(_("deblur softly"), self->op, self->version(), &p, sizeof(p), 1, DEVELOP_BLEND_CS_RGB_SCENE);
  p.source = DT_DECONVOLUTION_DISK;
  p.priority = 0.0f;
  dt_gui_presets_add_generic(_("defocus"), self->op, self->version(), &p, sizeof(p), 1, DEVELOP_BLEND_CS_RGB_SCENE);
  p.source = DT_DECONVOLUTION_MOTION;
  dt_gui_presets_add_generic(_("motion"), self->op, self->version(), &p, sizeof(p), 1, DEVELOP_BLEND_CS_RGB_SCENE);
  p.source = DT_DECONVOLUTION_NONE;
  p.priority = -0.5f;
  dt_gui_presets_add_generic(_("denoise only"), self->op, self->version(), &p, sizeof(p), 1, DEVELOP_BLEND_CS_RGB_SCENE);
}

static void _wisdom_path(char *path, const size_t size)
{
  dt_loc_get_user_cache_dir(path, size);
  g_strlcat(path, "/deconvolution-fftw-wisdom", size);
}

void init_global(dt_iop_module_so_t *self)
{
#ifdef DCV_OUT_OF_TREE
  outoftree_init_global(self->op);
#endif
  char path[PATH_MAX];
  gchar *text = NULL;
  _wisdom_path(path, sizeof(path));
  if(g_file_get_contents(path, &text, NULL, NULL)) dcv_wisdom_import(text); // refused wisdom is made anew
  g_free(text);
}

void cleanup_global(dt_iop_module_so_t *self)
{
  char path[PATH_MAX];
  _wisdom_path(path, sizeof(path));
  char *text = dcv_wisdom_export();
  if(text) g_file_set_contents(path, text, -1, NULL); // written to a temporary file and renamed
  dcv_free(text);
  dcv_devices_release(); // what was compiled for darktable's OpenCL devices, which are still there
}

void reload_defaults(dt_iop_module_t *self)
{
#ifdef DCV_OUT_OF_TREE
  outoftree_reload_defaults(self);
#endif
}

// ---- pipe -------------------------------------------------------------------------------------------------------------------------

void init_pipe(dt_iop_module_t *self, dt_dev_pixelpipe_t *pipe, dt_dev_pixelpipe_iop_t *piece)
{
  piece->data = g_malloc0(sizeof(dt_iop_deconvolution_data_t));
}

void cleanup_pipe(dt_iop_module_t *self, dt_dev_pixelpipe_t *pipe, dt_dev_pixelpipe_iop_t *piece)
{
  g_free(piece->data);
  piece->data = NULL;
}

void commit_params(dt_iop_module_t *self, dt_iop_params_t *params, dt_dev_pixelpipe_t *pipe, dt_dev_pixelpipe_iop_t *piece)
{
  dt_iop_deconvolution_data_t *d = piece->data;
  memcpy(&d->params, params, sizeof(d->params));
  d->scale = 0.0f;
  d->psf.data = d->values;
  d->state = _params_sane(&d->params) ? _make_psf(&d->params, &d->psf) : STATE_DAMAGED;
  if(d->state == STATE_DAMAGED) return;
  _core_params(&d->params, &d->core);
  if(d->core.noise == 0.0f) d->core.noise = ASSUMED_NOISE;
  if(d->core.gradient == 0.0f) d->core.gradient = ASSUMED_GRADIENT;
  d->ends_at_white = d->core.saturation == 0.0f && !dt_image_is_hdr(&self->dev->image_storage);
  d->raw = dt_image_is_raw(&self->dev->image_storage);
  if(d->ends_at_white) d->core.saturation = NEARLY_WHITE; // for the halo; process() asks _find_white
  if(d->core.solver != DCV_ADMM || d->params.refocus) piece->process_cl_ready = FALSE; // for the processor only: quality "best", the map
}

// Whether there is something to restore at the scale of the pipe, and the halo there.
static gboolean _at_scale(dt_iop_deconvolution_data_t *d, const float scale)
{
  if(d->bypass || d->state != STATE_READY) return FALSE;
  if(d->scale == scale) return d->active;

  d->scale = scale;
  d->active = FALSE;
  d->halo = 0;
  d->core.scale = CLAMP(scale, LEAST_SCALE, LARGEST_SCALE);

  float radius = 0.0f;
  int32_t halo = 0;
  d->status = dcv_psf_radius(&d->psf, &radius);
  const gboolean visible = d->params.source == DT_DECONVOLUTION_NONE ? d->params.priority < 0.0f : radius * scale >= LEAST_RADIUS;
  if(d->status == DCV_OK && !visible) return FALSE;
  if(d->status == DCV_OK) d->status = (d->params.refocus ? dcv_refocus_halo : dcv_halo)(&d->core, &d->psf, &halo);
  d->halo = halo;
  d->active = d->status == DCV_OK;
  return d->active;
}

// White where no clipping level is set. Raw files: what the channel that clips first makes of it, by the white balance and the exposure so far; on a mosaic,
// highlight reconstruction may have put the largest channel's maximum in place of all. Others: what changes the exposure of values still encoded moves white to
// where nobody knows, then none is assumed.
static void _find_white(dt_iop_deconvolution_data_t *d, const dt_dev_pixelpipe_iop_t *piece)
{
  if(!d->ends_at_white) return;
  const float *most = piece->dsc_in.processed_maximum, *gain = piece->dsc_in.temperature.coeffs;
  float white = fminf(most[0], fminf(most[1], most[2]));
  const float largest = fmaxf(most[0], fmaxf(most[1], most[2])), least_gain = fminf(gain[0], fminf(gain[1], gain[2]));
  if(!d->raw)
    white = white == 1.0f && largest == 1.0f ? 1.0f : 0.0f;
  else if(piece->dsc_in.filters && piece->dsc_in.temperature.enabled && least_gain > 0.0f)
    white = largest * least_gain / fmaxf(gain[0], fmaxf(gain[1], gain[2]));
  d->core.saturation = _in(white, 1e-3f, 1e3f) ? NEARLY_WHITE * white : 0.0f;
}

static inline float _pipe_scale(const dt_dev_pixelpipe_iop_t *piece, const dt_iop_roi_t *roi)
{
  return roi->scale / piece->iscale;
}

void modify_roi_in(dt_iop_module_t *self, dt_dev_pixelpipe_iop_t *piece, const dt_iop_roi_t *roi_out, dt_iop_roi_t *roi_in)
{
  *roi_in = *roi_out;
  dt_iop_deconvolution_data_t *d = piece->data;
  if(!_at_scale(d, _pipe_scale(piece, roi_out))) return;

  const int right = MAX(roi_out->x + roi_out->width, (int)floorf(piece->buf_in.width * roi_out->scale));
  const int bottom = MAX(roi_out->y + roi_out->height, (int)floorf(piece->buf_in.height * roi_out->scale));
  roi_in->x = MAX(0, roi_out->x - d->halo);
  roi_in->y = MAX(0, roi_out->y - d->halo);
  roi_in->width = MIN(right, roi_out->x + roi_out->width + d->halo) - roi_in->x;
  roi_in->height = MIN(bottom, roi_out->y + roi_out->height + d->halo) - roi_in->y;
}

void tiling_callback(dt_iop_module_t *self, dt_dev_pixelpipe_iop_t *piece, const dt_iop_roi_t *roi_in, const dt_iop_roi_t *roi_out,
                     dt_develop_tiling_t *tiling)
{
  dt_iop_deconvolution_data_t *d = piece->data;
  tiling->factor = tiling->factor_cl = 2.0f; // input and output
  tiling->maxbuf = tiling->maxbuf_cl = 1.0f;
  tiling->overhead = 0;
  tiling->overlap = 0;
  tiling->xalign = tiling->yalign = 1;
  if(!_at_scale(d, _pipe_scale(piece, roi_in))) return;

  // One more picture: the restored region before it is cropped. On a device also two strips of the picture, which the core's answer counts with three
  // floats a pixel, not the four of darktable's pictures: at most half a picture more. What a device takes beyond the host's overhead shrinks with the
  // picture.
  dcv_params device = d->core;
  device.backend = DCV_OPENCL;
  uint64_t bytes = 0, bytes_cl = 0;
  dcv_plan_memory(&d->core, roi_in->width, roi_in->height, &d->psf, &bytes);
  dcv_plan_memory(&device, roi_in->width, roi_in->height, &d->psf, &bytes_cl); // 0 where OpenCL cannot do it
  tiling->factor = d->params.refocus ? 5.0f : 3.0f; // the map, and a picture prepared with it
  tiling->factor_cl = 3.5f + (bytes_cl > bytes ? bytes_cl - bytes : 0) / (4.0f * sizeof(float) * roi_in->width * roi_in->height);
  tiling->overhead = bytes + (d->params.refocus ? REFOCUS_BYTES : 0);
  tiling->overlap = d->halo;
}

// out = in, for a roi_out that lies within roi_in
static void _crop(const float *in, float *out, const dt_iop_roi_t *roi_in, const dt_iop_roi_t *roi_out)
{
  const size_t left = MAX(0, roi_out->x - roi_in->x), top = MAX(0, roi_out->y - roi_in->y);
  const size_t row = sizeof(float) * 4 * MIN(roi_out->width, roi_in->width - (int)left);
  const int rows = MIN(roi_out->height, roi_in->height - (int)top);
  for(int y = 0; y < rows; y++)
    memcpy(out + (size_t)4 * roi_out->width * y, in + 4 * ((size_t)roi_in->width * (top + y) + left), row);
}

// Whether more was asked for than is to be returned.
static inline gboolean _padded(const dt_iop_roi_t *roi_in, const dt_iop_roi_t *roi_out)
{
  return roi_in->width != roi_out->width || roi_in->height != roi_out->height;
}

static int _stopped(void *pipe)
{
  return compat_pipe_stopped((dt_dev_pixelpipe_t *)pipe);
}

// Restores only where the PSF explains the blur; map: a float for each pixel, 1 there.
static dcv_status _restore_parts(dcv_plan *plan, const dt_iop_deconvolution_data_t *d, const dcv_image *in, dcv_image *out, dcv_image *map,
                                 const dcv_callbacks *callbacks, dcv_result *result)
{
  dcv_image prepared = *out;
  prepared.data = dt_alloc_align_float((size_t)4 * out->width * out->height);
  dcv_status status = prepared.data ? dcv_refocus_map(&d->core, &d->psf, in, NULL, map, callbacks) : DCV_ERROR_MEMORY;
  if(status == DCV_OK) status = dcv_refocus_prepare(&d->core, &d->psf, in, map, &prepared, callbacks);
  if(status == DCV_OK) status = dcv_plan_execute(plan, &prepared, out, callbacks, result);
  if(status == DCV_OK) status = dcv_refocus_blend(&d->core, in, map, out);
  if(prepared.data) dt_free_align(prepared.data);
  return status;
}

// mask: whether the fourth float of a pixel becomes the map's value.
static dcv_status _restore(dt_iop_deconvolution_data_t *d, dt_dev_pixelpipe_t *pipe, const float *in, float *out, const int width,
                           const int height, const gboolean mask, dcv_result *result)
{
  const dcv_image source = { .data = (float *)in, .width = width, .height = height, .pixel_stride = 4, .row_stride = (ptrdiff_t)4 * width };
  dcv_image target = source;
  target.data = out;
  const dcv_callbacks callbacks = { .cancelled = _stopped, .user = pipe };
  // planning with care takes one or two seconds for each new size and saves a fifth of the time: worth it for a large export only
  d->core.planning = (int64_t)width * height > 4000000;
  dcv_plan *plan = NULL;
  dcv_status status = dcv_plan_create(&plan, &d->core, width, height, &d->psf);
  if(status == DCV_OK && d->params.refocus)
  {
    dcv_image map = { .data = dt_alloc_align_float((size_t)width * height), .width = width, .height = height, .pixel_stride = 1, .row_stride = width };
    status = map.data ? _restore_parts(plan, d, &source, &target, &map, &callbacks, result) : DCV_ERROR_MEMORY;
    for(size_t i = 0; i < (size_t)width * height && mask && status == DCV_OK; i++) out[4 * i + 3] = map.data[i];
    if(map.data) dt_free_align(map.data);
  }
  else if(status == DCV_OK)
    status = dcv_plan_execute(plan, &source, &target, &callbacks, result);
  dcv_plan_destroy(plan);
  return status;
}

// Whether this is the view in which the mask is to be shown.
static inline gboolean _shows_mask(const dt_iop_module_t *self, const dt_dev_pixelpipe_iop_t *piece)
{
  const dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  return g && g->mask_shown && (piece->pipe->type & DT_DEV_PIXELPIPE_FULL) && self->dev->gui_attached && self == self->dev->gui_module;
}

static void _tell_damaged(dt_iop_module_t *self, const char *log)
{
  dt_iop_set_module_trouble_message(self, _("damaged parameters"),
                                    _("the stored parameters or the stored blur cannot be right:\n"
                                      "the picture passes through unchanged.\n"
                                      "reset the module or estimate the blur again."),
                                    log);
}

// Tells what came of it: a trouble message, and the diagnostics line for what is seen in the darkroom.
static void _report(dt_iop_module_t *self, dt_dev_pixelpipe_iop_t *piece, const float scale, const gboolean restored, const dcv_result *result)
{
  dt_iop_deconvolution_data_t *d = piece->data;
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  if(d->state == STATE_DAMAGED)
    _tell_damaged(self, "damaged parameters, picture passed through");
  else if(d->state == STATE_READY && d->status != DCV_OK && d->status != DCV_ERROR_CANCELLED)
  {
    dt_iop_set_module_trouble_message(self, _("deconvolution failed"), _(dcv_status_string(d->status)), dcv_status_string(d->status));
    d->scale = 0.0f; // try again next time
  }

  if(g && (piece->pipe->type & DT_DEV_PIXELPIPE_FULL) && d->status != DCV_ERROR_CANCELLED)
  {
    dt_iop_gui_enter_critical_section(self);
    g->restored = restored;
    g->result = *result;
    g->pipe_scale = scale;
    dt_iop_gui_leave_critical_section(self);
  }
}

void process(dt_iop_module_t *self, dt_dev_pixelpipe_iop_t *piece, const void *const ivoid, void *const ovoid,
             const dt_iop_roi_t *const roi_in, const dt_iop_roi_t *const roi_out)
{
  if(!dt_iop_have_required_input_format(4, self, piece->colors, ivoid, ovoid, roi_in, roi_out)) return;

  dt_iop_deconvolution_data_t *d = piece->data;
  const float scale = _pipe_scale(piece, roi_in);
  dcv_result result = { .struct_size = sizeof(dcv_result) };
  gboolean restored = FALSE;

  _find_white(d, piece);
  if(_at_scale(d, scale))
  {
    const gboolean padded = _padded(roi_in, roi_out), mask = d->params.refocus && _shows_mask(self, piece);
    float *buffer = padded ? dt_alloc_align_float((size_t)4 * roi_in->width * roi_in->height) : ovoid;
    d->status = DCV_ERROR_MEMORY;
    if(buffer) d->status = _restore(d, piece->pipe, ivoid, buffer, roi_in->width, roi_in->height, mask, &result);
    restored = d->status == DCV_OK;
    if(restored && mask)
    {
      piece->pipe->mask_display = DT_DEV_PIXELPIPE_DISPLAY_MASK;
      piece->pipe->bypass_blendif = 1;
    }
    if(restored && padded) _crop(buffer, ovoid, roi_in, roi_out);
    if(buffer && padded) dt_free_align(buffer);
  }
  if(!restored) _crop(ivoid, ovoid, roi_in, roi_out);
  _report(self, piece, scale, restored, &result);
}

#ifdef HAVE_OPENCL

// out = in, as _crop
static gboolean _crop_cl(const int devid, cl_mem in, cl_mem out, const dt_iop_roi_t *roi_in, const dt_iop_roi_t *roi_out)
{
  size_t from[3] = { MAX(0, roi_out->x - roi_in->x), MAX(0, roi_out->y - roi_in->y), 0 }, to[3] = { 0, 0, 0 };
  size_t region[3] = { MIN(roi_out->width, roi_in->width - (int)from[0]), MIN(roi_out->height, roi_in->height - (int)from[1]), 1 };
  return dt_opencl_enqueue_copy_image(devid, in, out, from, to, region) == CL_SUCCESS;
}

// On darktable's own context, device and queue. The core keeps its compiled programs for each device, under a lock; a device serves one pipe at a time.
static dcv_status _restore_cl(dt_iop_deconvolution_data_t *d, dt_dev_pixelpipe_t *pipe, cl_mem in, cl_mem out, const int width, const int height,
                              dcv_result *result)
{
  const dt_opencl_device_t *device = darktable.opencl->dev + pipe->devid;
  const dcv_callbacks callbacks = { .cancelled = _stopped, .user = pipe };
  dcv_plan *plan = NULL;
  dcv_status status = dcv_plan_create_cl(&plan, &d->core, width, height, &d->psf, device->context, device->devid, device->cmd_queue);
  if(status == DCV_OK) status = dcv_plan_execute_cl(plan, in, out, &callbacks, result);
  dcv_plan_destroy(plan);
  return status;
}

// Where it fails, darktable calls process(): the picture is the same.
int process_cl(dt_iop_module_t *self, dt_dev_pixelpipe_iop_t *piece, cl_mem in, cl_mem out, const dt_iop_roi_t *const roi_in,
               const dt_iop_roi_t *const roi_out)
{
  dt_iop_deconvolution_data_t *d = piece->data;
  const int devid = piece->pipe->devid;
  const float scale = _pipe_scale(piece, roi_in);
  dcv_result result = { .struct_size = sizeof(dcv_result) };
  gboolean restored = FALSE, done;

  _find_white(d, piece);
  if(_at_scale(d, scale))
  {
    const gboolean padded = _padded(roi_in, roi_out);
    cl_mem target = padded ? dt_opencl_alloc_device(devid, roi_in->width, roi_in->height, 4 * sizeof(float)) : out;
    d->status = target ? _restore_cl(d, piece->pipe, in, target, roi_in->width, roi_in->height, &result) : DCV_ERROR_MEMORY;
    restored = d->status == DCV_OK;
    done = restored || d->status == DCV_ERROR_CANCELLED;
    if(done && (padded || !restored)) done = _crop_cl(devid, restored ? target : in, out, roi_in, roi_out);
    if(padded) dt_opencl_release_mem_object(target);
    if(restored && done) dt_print(DT_DEBUG_OPENCL, "[deconvolution] restored %d x %d pixels in %.3f secs on device %d\n", roi_in->width,
                                  roi_in->height, result.seconds, devid);
  }
  else
    done = _crop_cl(devid, in, out, roi_in, roi_out);

  if(done)
    _report(self, piece, scale, restored, &result);
  else
    dt_print(DT_DEBUG_OPENCL, "[deconvolution] not restored on device %d: %s: %s\n", devid, dcv_status_string(d->status), dcv_backend_message());
  return COMPAT_CL_RESULT(done);
}

#endif

// ---- estimation on full-resolution pixels -----------------------------------------------------------------------------------------

static void _estimate_release(estimate_t *e)
{
  if(!g_atomic_int_dec_and_test(&e->references)) return;
  g_free(e->error);
  g_free(e);
}

static int _estimate_cancelled(void *user)
{
  estimate_t *e = user;
  return g_atomic_int_get(&e->cancel) || dt_control_job_get_state(e->job) == DT_JOB_STATE_CANCELLED;
}

static void _estimate_progress(void *user, const double fraction)
{
  dt_control_job_set_progress(((estimate_t *)user)->job, fraction);
}

// Whole-pixel sample in a picture of width x height: the window, no larger than needed, about its middle.
static void _sample(const float window[4], const int width, const int height, int box[4])
{
  const int side[2] = { width, height };
  for(int k = 0; k < 2; k++)
  {
    const float a = MIN(window[k], window[k + 2]), b = MAX(window[k], window[k + 2]);
    const int extent = MIN(CLAMP((int)lrintf((b - a) * side[k]), LEAST_SAMPLE, LARGEST_SAMPLE), side[k]);
    box[k] = CLAMP((int)lrintf(0.5f * (a + b) * side[k] - 0.5f * extent), 0, side[k] - extent);
    box[k + 2] = extent;
  }
}

// What the estimation learns from the sample goes into e->params. white: clipping level where none is set, 0: none. NULL, or what went wrong.
static const char *_learn(estimate_t *e, const dcv_image *sample, const float white)
{
  const dcv_callbacks callbacks = { .progress = _estimate_progress, .cancelled = _estimate_cancelled, .user = e };
  dt_iop_deconvolution_params_t *p = &e->params;
  float *values = g_try_malloc(sizeof(float) * DCV_PSF_MAX * DCV_PSF_MAX);
  if(!values) return dcv_status_string(DCV_ERROR_MEMORY);

  dcv_params core;
  _core_params(p, &core);
  core.noise = _known(p->noise); // 0: measured on this sample
  core.gradient = core.edge = 0.0f;
  if(core.saturation == 0.0f) core.saturation = white;
  dcv_psf psf = { .data = values };
  dcv_status status = DCV_OK;
  if(e->psf_wanted)
  {
    psf.size = PSF_CODEC_SIDE; // room for a blur larger than expected
    psf.channels = core.blur ? 3 : 1;
    e->report.struct_size = sizeof(e->report);
    status = dcv_estimate_psf(&core, sample, p->blur_size | 1, &psf, &callbacks, &e->report);
    p->confidence = CLAMP(e->report.confidence, 0.0f, 1.0f);
  }
  else if(_make_psf(p, &psf) != STATE_READY)
    status = DCV_ERROR_PSF;

  core.noise = 0.0f; // measured even where the user has set another
  core.tolerance = p->tolerance;
  if(_stops(p)) core.iterations = 0;
  if(status == DCV_OK) status = dcv_params_resolve(&core, sample, &psf, &callbacks);
  if(status == DCV_OK)
  {
    p->measured_noise = core.noise;
    p->measured_gradient = core.gradient;
    p->measured_edge = fminf(core.edge, LARGEST_EDGE);
    p->measured_iterations = _stops(p) ? core.iterations : 0;
    if(e->psf_wanted)
    {
      if(psf_encode(values, psf.size, psf.channels, p->psf, &p->psf_check) != PSF_CODEC_OK) status = DCV_ERROR_PSF;
      p->psf_size = psf.size;
      p->psf_channels = psf.channels;
    }
  }
  g_free(values);
  return status == DCV_OK ? NULL : dcv_status_string(status);
}

// Runs a private export pipe up to this module, on the sample only. NULL, or what went wrong.
static const char *_estimate_on_image(estimate_t *e, const char *op)
{
  dt_develop_t dev;
  dt_dev_init(&dev, FALSE);
  dt_dev_load_image(&dev, e->imgid);
  dt_mipmap_buffer_t full;
  compat_mipmap_get(&full, e->imgid);
  const char *error = _("the image cannot be read");
  dt_dev_pixelpipe_t pipe;
  if(full.buf && full.width > 0 && full.height > 0
     && dt_dev_pixelpipe_init_export(&pipe, dev.image_storage.width, dev.image_storage.height, IMAGEIO_RGB | IMAGEIO_FLOAT, FALSE))
  {
    dt_ioppr_resync_modules_order(&dev);
    dt_dev_pixelpipe_set_icc(&pipe, DT_COLORSPACE_NONE, NULL, DT_INTENT_PERCEPTUAL);
    dt_dev_pixelpipe_set_input(&pipe, &dev, (float *)full.buf, full.width, full.height, full.iscale);
    dt_dev_pixelpipe_create_nodes(&pipe, &dev);
    dt_dev_pixelpipe_synch_all(&pipe, &dev);

    // up to this module, which passes its input through and, being enabled, keeps the data in linear RGB
    dt_dev_pixelpipe_iop_t *own = NULL;
    for(GList *nodes = pipe.nodes; nodes; nodes = g_list_next(nodes))
    {
      dt_dev_pixelpipe_iop_t *piece = nodes->data;
      if(own)
        piece->enabled = FALSE;
      else if(!strcmp(piece->module->op, op) && piece->module->multi_priority == e->multi_priority)
      {
        own = piece;
        own->enabled = TRUE;
        ((dt_iop_deconvolution_data_t *)own->data)->bypass = TRUE;
        ((dt_develop_blend_params_t *)own->blendop_data)->mask_mode = DEVELOP_MASK_DISABLED;
      }
    }
    if(own)
    {
      dt_dev_pixelpipe_get_dimensions(&pipe, &dev, pipe.iwidth, pipe.iheight, &pipe.processed_width, &pipe.processed_height);
      int box[4];
      _sample(e->params.window, pipe.processed_width, pipe.processed_height, box);
      if(!dt_dev_pixelpipe_process_no_gamma(&pipe, &dev, box[0], box[1], box[2], box[3], 1.0f) && pipe.backbuf)
      {
        const dcv_image sample = { .data = (float *)pipe.backbuf,
                                   .width = box[2],
                                   .height = box[3],
                                   .pixel_stride = 4,
                                   .row_stride = (ptrdiff_t)4 * box[2] };
        error = _learn(e, &sample, ((dt_iop_deconvolution_data_t *)own->data)->core.saturation); // as process() has found it
      }
    }
    dt_dev_pixelpipe_cleanup(&pipe);
  }
  compat_mipmap_release(&full);
  dt_dev_cleanup(&dev);
  return error;
}

static dt_iop_module_t *_gui_module(const estimate_t *e);
static void _update_status(dt_iop_module_t *self);

// Whether the PSF is as good as a point.
static gboolean _is_point(const dcv_psf *psf)
{
  float radius = 0.0f;
  return dcv_psf_radius(psf, &radius) == DCV_OK && radius < LEAST_RADIUS;
}

// What the parameters come to; point: whether there is a PSF, as good as a point.
static state_t _inspect(const dt_iop_deconvolution_params_t *p, gboolean *point)
{
  dcv_psf psf = { .data = g_malloc(sizeof(float) * DCV_PSF_MAX * DCV_PSF_MAX) };
  const state_t state = _params_sane(p) ? _make_psf(p, &psf) : STATE_DAMAGED;
  *point = state == STATE_READY && _is_point(&psf);
  g_free(psf.data);
  return state;
}

// In the GUI thread: takes the result over, unless the image or the module has gone meanwhile.
static gboolean _estimate_finish(gpointer user)
{
  estimate_t *e = user;
  dt_iop_module_t *self = _gui_module(e);
  if(self)
  {
    dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
    dt_iop_deconvolution_params_t *p = self->params;
    if(e->learnt)
    {
      p->measured_noise = e->params.measured_noise;
      p->measured_gradient = e->params.measured_gradient;
      p->measured_edge = e->params.measured_edge;
      p->measured_iterations = e->params.measured_iterations;
      if(e->psf_wanted)
      {
        p->confidence = e->params.confidence;
        p->psf_size = e->params.psf_size;
        p->psf_channels = e->params.psf_channels;
        p->psf_check = e->params.psf_check;
        memcpy(p->psf, e->params.psf, sizeof(p->psf));
      }
      dt_dev_add_history_item(darktable.develop, self, TRUE);
      gboolean point;
      _inspect(p, &point);
      if(e->psf_wanted && point)
        dt_toast_log(_("no blur found in the sample window"));
      else if(e->psf_wanted)
        dt_toast_log(_("blur estimated: %d x %d pixels, confidence %.0f %%"), p->psf_size, p->psf_size, 100.0f * p->confidence);
    }
    else if(e->error)
      dt_control_log(_("blur not estimated: %s"), e->error);
    estimate_t *running = g->running;
    g->running = NULL;
    _estimate_release(running);
    _update_status(self);
    gtk_widget_queue_draw(g->plot);
  }
  _estimate_release(e);
  return G_SOURCE_REMOVE;
}

static int32_t _estimate_run(dt_job_t *job)
{
  estimate_t *e = dt_control_job_get_params(job);
  e->job = job; // valid while this function runs
  const double start = dt_get_wtime();
  const char *error = _estimate_on_image(e, "deconvolution");
  if(_estimate_cancelled(e))
    g_atomic_int_set(&e->cancel, TRUE);
  else if(error)
    e->error = g_strdup(error);
  else
    e->learnt = TRUE;
  dt_print(DT_DEBUG_PERF, "[deconvolution] measuring the sample took %.3f secs\n", dt_get_wtime() - start);
  return 0;
}

// darktable disposes of every job, also of one that was cancelled before it ran.
static void _estimate_dispose(void *e)
{
  g_idle_add(_estimate_finish, e);
}

// ---- GUI --------------------------------------------------------------------------------------------------------------------------

// The module whose estimation this is, if it is still the one being edited.
static dt_iop_module_t *_gui_module(const estimate_t *e)
{
  if(!darktable.develop || !darktable.develop->gui_attached || darktable.develop->image_storage.id != e->imgid) return NULL;
  for(GList *l = darktable.develop->iop; l; l = g_list_next(l))
  {
    dt_iop_module_t *module = l->data;
    const dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)module->gui_data;
    if(!strcmp(module->op, "deconvolution") && g && g->running == e) return module;
  }
  return NULL;
}

static void _estimate_start(dt_iop_module_t *self, const gboolean psf_wanted)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  dt_iop_color_picker_reset(self, FALSE);
  dt_dev_write_history(darktable.develop); // the job reads the history from the library

  dt_job_t *job = dt_control_job_create(_estimate_run, "estimate blur");
  if(!job) return;
  estimate_t *e = g_malloc0(sizeof(estimate_t));
  e->references = 2;
  e->imgid = darktable.develop->image_storage.id;
  e->multi_priority = self->multi_priority;
  e->psf_wanted = psf_wanted;
  memcpy(&e->params, self->params, sizeof(e->params));
  g->running = e;
  dt_control_job_set_params(job, e, _estimate_dispose);
  dt_control_job_add_progress(job, psf_wanted ? _("estimating the blur") : _("measuring the noise"), TRUE);
  compat_add_job(job);
  _update_status(self);
}

static void _estimate_clicked(GtkWidget *button, dt_iop_module_t *self)
{
  if(darktable.gui->reset) return;
  const dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  const dt_iop_deconvolution_params_t *p = self->params;
  if(g->running)
    g_atomic_int_set(&g->running->cancel, TRUE); // the button cancels while an estimation runs
  else
    _estimate_start(self, p->source == DT_DECONVOLUTION_ESTIMATED);
}

// Takes a PSF from a file, as if it had been estimated.
static void _load_clicked(GtkWidget *button, dt_iop_module_t *self)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  if(darktable.gui->reset || g->running) return;
  GtkFileChooserNative *chooser = gtk_file_chooser_native_new(_("load a blur"), GTK_WINDOW(dt_ui_main_window(darktable.gui->ui)),
                                                              GTK_FILE_CHOOSER_ACTION_OPEN, _("_open"), _("_cancel"));
  GtkFileFilter *filter = gtk_file_filter_new();
  gtk_file_filter_set_name(filter, _("TIFF"));
  gtk_file_filter_add_pattern(filter, "*.tif");
  gtk_file_filter_add_pattern(filter, "*.tiff");
  gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(chooser), filter);
  gchar *path = NULL;
  if(gtk_native_dialog_run(GTK_NATIVE_DIALOG(chooser)) == GTK_RESPONSE_ACCEPT) path = gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(chooser));
  g_object_unref(chooser);
  if(!path) return;

  dt_iop_deconvolution_params_t *p = self->params;
  float psf[PSF_CODEC_VALUES];
  int size = 0, channels = 0;
  const char *problem = psf_file_read(path, PSF_CODEC_SIDE, psf, &size, &channels);
  if(!problem && psf_encode(psf, size, channels, p->psf, &p->psf_check) != PSF_CODEC_OK)
    problem = N_("a blur has no negative values and not only zeros");
  g_free(path);
  if(problem)
  {
    dt_control_log(_("blur not loaded: %s"), _(problem));
    return;
  }
  p->source = DT_DECONVOLUTION_ESTIMATED;
  p->psf_size = size;
  p->psf_channels = channels;
  p->confidence = 1.0f;
  dt_dev_add_history_item(darktable.develop, self, TRUE);
  dt_iop_gui_update(self);
  if(p->measured_noise == 0.0f) _estimate_start(self, FALSE);
}

// Size of the module's input on the preview pipe, which windows are relative to.
static gboolean _preview_size(dt_iop_module_t *self, float size[2])
{
  const dt_dev_pixelpipe_iop_t *piece = dt_dev_distort_get_iop_pipe(self->dev, self->dev->preview_pipe, self);
  if(!piece || piece->buf_in.width < 1 || piece->buf_in.height < 1) return FALSE;
  size[0] = piece->buf_in.width;
  size[1] = piece->buf_in.height;
  return TRUE;
}

void color_picker_apply(dt_iop_module_t *self, GtkWidget *picker, compat_picker_source_t *source)
{
  if(darktable.gui->reset) return;
  dt_iop_deconvolution_params_t *p = self->params;
  float box[4], size[2];
  if(!_preview_size(self, size) || !compat_picker_box(self, box)) return;
  float window[4];
  for(int k = 0; k < 4; k++) window[k] = CLAMP(box[k] / size[k % 2], 0.0f, 1.0f);
  gboolean moved = FALSE;
  for(int k = 0; k < 4; k++) moved = moved || fabsf(window[k] - p->window[k]) > 1e-4f;
  if(!moved) return;
  memcpy(p->window, window, sizeof(window));
  dt_dev_add_history_item(darktable.develop, self, TRUE);
  _update_status(self);
}

// When the picker is switched on it shows the window remembered, not the whole picture.
static void _picker_toggled(GtkToggleButton *button, dt_iop_module_t *self)
{
  if(!gtk_toggle_button_get_active(button)) return;
  const dt_iop_deconvolution_params_t *p = self->params;
  float size[2];
  if(!_preview_size(self, size)) return;
  const float box[4] = { p->window[0] * size[0], p->window[1] * size[1], p->window[2] * size[0], p->window[3] * size[1] };
  compat_set_picker_box(self, box);
}

// Shows the window remembered while the module has the focus and the picker is off.
void gui_post_expose(dt_iop_module_t *self, cairo_t *cr, COMPAT_EXPOSE_ARGUMENTS)
{
  const dt_iop_deconvolution_params_t *p = self->params;
  float size[2], corner[8];
  if(!self->enabled || !_params_sane(p) || !_preview_size(self, size)) return;
  const float box[4] = { p->window[0] * size[0], p->window[1] * size[1], p->window[2] * size[0], p->window[3] * size[1] };
  compat_corners(self, box, corner);
  COMPAT_EXPOSE_BEGIN(self->dev);
  const double pixel = DT_PIXEL_APPLY_DPI(1.0) / canvas_scale, dash[2] = { 4.0 * pixel, 4.0 * pixel };
  for(int i = 0; i < 4; i++) cairo_line_to(cr, corner[2 * i] * canvas_width, corner[2 * i + 1] * canvas_height);
  cairo_close_path(cr);
  cairo_set_line_width(cr, pixel);
  cairo_set_source_rgba(cr, 0.0, 0.0, 0.0, 0.6);
  cairo_stroke_preserve(cr);
  cairo_set_dash(cr, dash, 2, 0.0);
  cairo_set_source_rgba(cr, 1.0, 1.0, 1.0, 0.8);
  cairo_stroke(cr);
}

static void _show_mask(dt_iop_module_t *self, const gboolean shown)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  if(g->mask_shown == shown) return;
  g->mask_shown = shown;
  gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(g->mask), shown);
  dt_iop_refresh_center(self);
}

static gboolean _mask_clicked(GtkToggleButton *button, GdkEventButton *event, dt_iop_module_t *self)
{
  if(darktable.gui->reset) return TRUE;
  const gboolean shown = !gtk_toggle_button_get_active(button);
  if(shown && self->request_mask_display)
  {
    dt_control_log(_("cannot display masks when the blending mask is displayed"));
    return TRUE;
  }
  if(self->off) gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->off), TRUE);
  dt_iop_request_focus(self);
  _show_mask(self, shown);
  return TRUE;
}

void gui_focus(dt_iop_module_t *self, gboolean in)
{
  if(!in) _show_mask(self, FALSE);
}

static gboolean _plot_draw(GtkWidget *widget, cairo_t *cr, dt_iop_module_t *self)
{
  GtkAllocation area;
  gtk_widget_get_allocation(widget, &area);
  gtk_render_background(gtk_widget_get_style_context(widget), cr, 0, 0, area.width, area.height);

  const dt_iop_deconvolution_params_t *p = self->params;
  float *values = g_malloc(sizeof(float) * DCV_PSF_MAX * DCV_PSF_MAX);
  dcv_psf psf = { .data = values };
  if(_params_sane(p) && _make_psf(p, &psf) == STATE_READY)
  {
    const int n = psf.size * psf.size;
    float peak = 0.0f;
    for(int i = 0; i < n * psf.channels; i++) peak = fmaxf(peak, values[i]);
    const double cell = (double)MIN(area.width, area.height) / psf.size;
    const double left = 0.5 * (area.width - cell * psf.size), top = 0.5 * (area.height - cell * psf.size);
    cairo_set_antialias(cr, CAIRO_ANTIALIAS_NONE);
    for(int i = 0; i < n; i++)
    {
      double rgb[3];
      for(int c = 0; c < 3; c++) rgb[c] = sqrt(values[(psf.channels == 3 ? c * n : 0) + i] / peak); // square root: the tails show
      cairo_set_source_rgb(cr, rgb[0], rgb[1], rgb[2]);
      cairo_rectangle(cr, left + cell * (i % psf.size), top + cell * (i / psf.size), cell, cell);
      cairo_fill(cr);
    }
    gchar *text = g_strdup_printf(_("%d × %d px"), psf.size, psf.size);
    cairo_set_font_size(cr, DT_PIXEL_APPLY_DPI(11));
    cairo_set_source_rgb(cr, 0.9, 0.9, 0.9);
    cairo_move_to(cr, 4.0, area.height - 6.0);
    cairo_show_text(cr, text);
    g_free(text);
    if(p->source == DT_DECONVOLUTION_ESTIMATED && p->confidence < 1.0f && !_is_point(&psf)) // 1: from a file
    {
      cairo_text_extents_t extents;
      text = g_strdup_printf(_("confidence %.0f %%"), 100.0f * p->confidence);
      cairo_text_extents(cr, text, &extents);
      cairo_move_to(cr, area.width - extents.x_advance - 4.0, area.height - 6.0);
      cairo_show_text(cr, text);
      g_free(text);
    }
  }
  g_free(values);
  return TRUE;
}

static void _update_status(dt_iop_module_t *self)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  const dt_iop_deconvolution_params_t *p = self->params;
  gboolean point;
  const state_t state = _inspect(p, &point);

  dt_iop_gui_enter_critical_section(self);
  const gboolean restored = g->restored;
  const dcv_result result = g->result;
  const float scale = g->pipe_scale;
  dt_iop_gui_leave_critical_section(self);

  gchar *text;
  if(g->running)
    text = g_strdup(_("measuring at full resolution..."));
  else if(state == STATE_DAMAGED)
    text = g_strdup(_("damaged parameters: the picture is unchanged."));
  else if(p->source == DT_DECONVOLUTION_NONE && p->priority >= 0.0f)
    text = g_strdup(_("no blur to undo: the picture is unchanged.\nmove \"denoise or deblur\" below 0 to remove noise."));
  else if(state == STATE_UNKNOWN)
    text = g_strdup(_("blur unknown: the picture is unchanged.\npick a sample window, then estimate the blur."));
  else
  {
    static const char *stop[] = { N_("all done"), N_("residual white"), N_("no more change"), N_("nothing to do") };
    gchar *noise = p->noise > 0.0f            ? g_strdup_printf(_("noise %.2f %% (set)"), 100.0f * p->noise)
                   : p->measured_noise > 0.0f ? g_strdup_printf(_("noise %.2f %%"), 100.0f * p->measured_noise)
                                              : g_strdup_printf(_("noise not measured, %.1f %% assumed"), 100.0f * ASSUMED_NOISE);
    if(restored)
      text = g_strdup_printf(_("%s, %d iterations (%s), %.0f\u00a0ms"), noise, result.iterations,
                             _(stop[CLAMP((int)result.stop, 0, 3)]), 1000.0 * result.seconds);
    else if(p->source != DT_DECONVOLUTION_NONE && point)
      text = g_strdup_printf(_("%s, no blur to undo: the picture is unchanged."), noise);
    else
      text = g_strdup_printf(scale > 0.0f && scale < 1.0f ? _("%s, blur not visible at this zoom") : "%s", noise);
    g_free(noise);
  }
  gtk_label_set_text(GTK_LABEL(g->status), text);
  g_free(text);

  const char *estimate = p->source == DT_DECONVOLUTION_ESTIMATED ? _("estimate blur") : _("measure noise");
  gtk_button_set_label(GTK_BUTTON(g->estimate), g->running ? _("cancel") : estimate);
}

static void _pipe_finished(gpointer instance, gpointer user)
{
  dt_iop_module_t *self = user;
  if(self->gui_data) _update_status(self);
}

void gui_changed(dt_iop_module_t *self, GtkWidget *widget, void *previous)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  dt_iop_deconvolution_params_t *p = self->params;
  gtk_widget_set_visible(g->blur_size, p->source == DT_DECONVOLUTION_ESTIMATED);
  gtk_widget_set_visible(g->sigma, p->source == DT_DECONVOLUTION_GAUSSIAN);
  gtk_widget_set_visible(g->radius, p->source == DT_DECONVOLUTION_DISK);
  gtk_widget_set_visible(g->length, p->source == DT_DECONVOLUTION_MOTION);
  gtk_widget_set_visible(g->angle, p->source == DT_DECONVOLUTION_MOTION);
  gtk_widget_set_visible(g->blur, p->source == DT_DECONVOLUTION_ESTIMATED);
  gtk_widget_set_visible(g->tolerance, p->flavour == DT_DECONVOLUTION_BEST);
  gtk_widget_set_visible(g->refocus_row, p->source != DT_DECONVOLUTION_NONE);
  gtk_widget_set_visible(g->mask, p->refocus);
  if(!p->refocus) _show_mask(self, FALSE);
  gtk_widget_set_visible(g->plot, p->source != DT_DECONVOLUTION_NONE);
  if(widget == g->blur_size && p->blur_size % 2 == 0)
  {
    // odd, and onwards in the direction of the change
    p->blur_size = CLAMP(p->blur_size + (p->blur_size > *(int *)previous ? 1 : -1), 3, PSF_CODEC_SIDE);
    ++darktable.gui->reset;
    dt_bauhaus_slider_set(g->blur_size, p->blur_size);
    --darktable.gui->reset;
  }
  // a described blur needs no estimation, but its noise must be known once
  if(widget == g->source && p->source != DT_DECONVOLUTION_ESTIMATED && p->measured_noise == 0.0f && !g->running)
    _estimate_start(self, FALSE);
  _update_status(self);
  gtk_widget_queue_draw(g->plot);
}

void gui_update(dt_iop_module_t *self)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  const dt_iop_deconvolution_params_t *p = self->params;
  dt_bauhaus_combobox_set_from_value(g->source, p->source);
  dt_bauhaus_combobox_set_from_value(g->flavour, p->flavour);
  dt_bauhaus_combobox_set_from_value(g->blur, p->blur);
  dt_bauhaus_slider_set(g->blur_size, p->blur_size);
  dt_bauhaus_slider_set(g->priority, p->priority);
  dt_bauhaus_slider_set(g->sigma, p->sigma);
  dt_bauhaus_slider_set(g->radius, p->radius);
  dt_bauhaus_slider_set(g->length, p->length);
  dt_bauhaus_slider_set(g->angle, p->angle);
  dt_bauhaus_slider_set(g->iterations, p->iterations);
  dt_bauhaus_slider_set(g->tolerance, p->tolerance);
  gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(g->refocus), p->refocus);
  dt_bauhaus_slider_set(g->noise, p->noise);
  dt_bauhaus_slider_set(g->clipping, p->clipping);
  dt_gui_update_collapsible_section(&g->section);
  dt_iop_color_picker_reset(self, TRUE);
  gui_changed(self, NULL, NULL);
  gboolean point;
  if(self->enabled && _inspect(p, &point) == STATE_DAMAGED) _tell_damaged(self, NULL); // darktable has just removed what the pipe told
}

void gui_init(dt_iop_module_t *self)
{
  dt_iop_deconvolution_gui_data_t *g = IOP_GUI_ALLOC(deconvolution);
  GtkWidget *main_box = self->widget = gtk_box_new(GTK_ORIENTATION_VERTICAL, DT_BAUHAUS_SPACE);

  g->source = dt_bauhaus_combobox_from_params(self, "source");
  gtk_widget_set_tooltip_text(g->source, _("where the shape of the blur comes from:\nestimated from the sample window, or described by you"));

  g->blur_size = dt_bauhaus_slider_from_params(self, "blur_size");
  dt_bauhaus_slider_set_step(g->blur_size, 2);
  dt_bauhaus_slider_set_format(g->blur_size, _(" px"));
  gtk_widget_set_tooltip_text(g->blur_size, _("extent of the blur that is expected, in pixels of the full-size picture.\n"
                                              "a larger blur is found all the same; much too large makes the estimate uncertain"));
  g->sigma = dt_bauhaus_slider_from_params(self, "sigma");
  dt_bauhaus_slider_set_soft_range(g->sigma, 0.3f, 4.0f);
  dt_bauhaus_slider_set_format(g->sigma, _(" px"));
  gtk_widget_set_tooltip_text(g->sigma, _("width of a soft, round blur. raise it until contours begin to ring, then go back a little"));
  g->radius = dt_bauhaus_slider_from_params(self, "radius");
  dt_bauhaus_slider_set_soft_range(g->radius, 0.5f, 8.0f);
  dt_bauhaus_slider_set_format(g->radius, _(" px"));
  gtk_widget_set_tooltip_text(g->radius, _("radius of the disk that a point out of focus becomes"));
  g->length = dt_bauhaus_slider_from_params(self, "length");
  dt_bauhaus_slider_set_soft_range(g->length, 1.0f, 30.0f);
  dt_bauhaus_slider_set_format(g->length, _(" px"));
  gtk_widget_set_tooltip_text(g->length, _("length of the straight path of the camera or the subject"));
  g->angle = dt_bauhaus_slider_from_params(self, "angle");
  dt_bauhaus_slider_set_format(g->angle, "°");
  gtk_widget_set_tooltip_text(g->angle, _("direction of the path, anticlockwise from the horizontal"));

  GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 0);
  g->estimate = dt_iop_button_new(self, N_("estimate blur"), G_CALLBACK(_estimate_clicked), FALSE, 0, 0, NULL, 0, row);
  gtk_widget_set_tooltip_text(g->estimate, _("measure the sample window at full resolution, in the background.\n"
                                             "click again to cancel"));
  g->picker = dt_color_picker_new(self, DT_COLOR_PICKER_AREA, row);
  gtk_widget_set_tooltip_text(g->picker, _("draw the sample window on the picture:\n"
                                           "a part with clear contours, in one plane, without clipped highlights"));
  dt_action_define_iop(self, NULL, N_("pick sample window"), g->picker, &dt_action_def_toggle);
  g_signal_connect(G_OBJECT(g->picker), "toggled", G_CALLBACK(_picker_toggled), self);
  GtkWidget *load = dt_iop_button_new(self, N_("load blur"), G_CALLBACK(_load_clicked), FALSE, 0, 0, dtgtk_cairo_paint_directory, 0, row);
  gtk_widget_set_tooltip_text(load, _("take the blur from a TIFF file, as the command dcv writes it"));
  gtk_box_pack_start(GTK_BOX(main_box), row, TRUE, TRUE, 0);

  g->plot = dtgtk_drawing_area_new_with_aspect_ratio(0.5);
  g_signal_connect(G_OBJECT(g->plot), "draw", G_CALLBACK(_plot_draw), self);
  gtk_widget_set_tooltip_text(g->plot, _("the blur: what a point of light became. the confidence is the chance that restoring with it\n"
                                         "gains most of what the true blur would: where it is low, choose a window with more contours or another blur size"));
  gtk_box_pack_start(GTK_BOX(main_box), g->plot, TRUE, TRUE, 0);

  g->priority = dt_bauhaus_slider_from_params(self, "priority");
  dt_bauhaus_slider_set_digits(g->priority, 2);
  gtk_widget_set_tooltip_text(g->priority, _("lower it for a smoother picture, raise it for a crisper one with more noise.\n"
                                             "0 balances both for the least error"));
  g->flavour = dt_bauhaus_combobox_from_params(self, "flavour");
  gtk_widget_set_tooltip_text(g->flavour, _("effort: fast for trying, best for the final export"));

  self->widget = g->refocus_row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 0);
  g->refocus = dt_bauhaus_toggle_from_params(self, "refocus");
  gtk_widget_set_tooltip_text(g->refocus, _("leave alone what is sharp, or blurred in another way: a subject before a sharp background.\n"
                                            "takes about three times as long"));
  g->mask = dt_iop_togglebutton_new(self, NULL, N_("show where the blur is found"), NULL, G_CALLBACK(_mask_clicked), TRUE, 0, 0,
                                    dtgtk_cairo_paint_showmask, g->refocus_row);
  gtk_box_pack_start(GTK_BOX(main_box), g->refocus_row, TRUE, TRUE, 0);
  self->widget = main_box;

  compat_collapsible_section(&g->section, "plugins/darkroom/deconvolution/expand_advanced", _("advanced"), GTK_BOX(main_box), self);
  self->widget = GTK_WIDGET(g->section.container);
  g->blur = dt_bauhaus_combobox_from_params(self, "blur");
  gtk_widget_set_tooltip_text(g->blur, _("motion: one blur for all colours, as camera shake gives.\nstatic: one blur for each colour, as lenses give"));
  g->iterations = dt_bauhaus_slider_from_params(self, "iterations");
  gtk_widget_set_tooltip_text(g->iterations, _("0: as many as the chosen quality needs"));
  g->tolerance = dt_bauhaus_slider_from_params(self, "tolerance");
  dt_bauhaus_slider_set_digits(g->tolerance, 2);
  dt_bauhaus_slider_set_format(g->tolerance, "%");
  dt_bauhaus_slider_set_soft_range(g->tolerance, 0.0f, 2.0f);
  gtk_widget_set_tooltip_text(g->tolerance, _("quality best stops when an iteration changes the sample by less than this part of the whole correction;\n"
                                              "found out when the blur or the noise is measured. 0: always the same number of iterations"));
  g->noise = dt_bauhaus_slider_from_params(self, "noise");
  dt_bauhaus_slider_set_digits(g->noise, 4);
  dt_bauhaus_slider_set_factor(g->noise, 100.0f);
  dt_bauhaus_slider_set_format(g->noise, "%");
  dt_bauhaus_slider_set_soft_range(g->noise, 0.0f, 0.05f);
  gtk_widget_set_tooltip_text(g->noise, _("standard deviation of the noise in percent of white. 0: as measured.\n"
                                          "raise it against grain and ringing, lower it for more detail"));
  g->clipping = dt_bauhaus_slider_from_params(self, "clipping");
  dt_bauhaus_slider_set_factor(g->clipping, 100.0f);
  dt_bauhaus_slider_set_format(g->clipping, "%");
  dt_bauhaus_slider_set_soft_range(g->clipping, 0.0f, 2.0f);
  gtk_widget_set_tooltip_text(g->clipping, _("values at and above this, in percent of white, count as clipped: what they lost is not restored from.\n"
                                             "0: just below white, where the file ends there: raw, JPEG, PNG, TIFF of 8 and 16 bits.\n"
                                             "lamps that grow rings need a lower level, sharp highlights that stay soft a higher one"));
  self->widget = main_box;

  g->status = dt_ui_label_new("");
  gtk_label_set_line_wrap(GTK_LABEL(g->status), TRUE);
  gtk_label_set_ellipsize(GTK_LABEL(g->status), PANGO_ELLIPSIZE_NONE);
  gtk_box_pack_start(GTK_BOX(main_box), g->status, FALSE, FALSE, 0);

  dt_control_signal_connect(darktable.signals, DT_SIGNAL_DEVELOP_UI_PIPE_FINISHED, G_CALLBACK(_pipe_finished), self);
}

// Lets go of an estimation that runs: its result will not be taken over.
static void _forget_estimate(dt_iop_deconvolution_gui_data_t *g)
{
  if(!g->running) return;
  g_atomic_int_set(&g->running->cancel, TRUE);
  _estimate_release(g->running);
  g->running = NULL;
}

void gui_reset(dt_iop_module_t *self)
{
  _forget_estimate((dt_iop_deconvolution_gui_data_t *)self->gui_data);
  dt_iop_color_picker_reset(self, TRUE);
}

void change_image(dt_iop_module_t *self)
{
  dt_iop_deconvolution_gui_data_t *g = (dt_iop_deconvolution_gui_data_t *)self->gui_data;
  if(!g) return;
  _forget_estimate(g);
  g->restored = FALSE;
}

void gui_cleanup(dt_iop_module_t *self)
{
  dt_control_signal_disconnect(darktable.signals, G_CALLBACK(_pipe_finished), self);
  _forget_estimate((dt_iop_deconvolution_gui_data_t *)self->gui_data);
  COMPAT_GUI_FREE;
}
