# SPDX-License-Identifier: GPL-3.0-or-later
"""The core's internal operators and solvers for the tests, as a cffi extension."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tests.parity._build import extension

SOLVERS = ("admm", "mm", "pam", "pd", "rl")
REASONS = ("iterations", "whiteness", "stagnation")  # dcv_stop

DECLARATIONS = """
typedef struct { int width, height, columns, stride; size_t plane; ...; } dcv_fft;
typedef struct { float *data; int32_t size, channels; } dcv_psf;
typedef struct { float *data; int32_t width, height, pixel_stride; ptrdiff_t row_stride; } dcv_image;
typedef struct { uint32_t struct_size; int32_t channels; float noise, saturation; int32_t threads, planning, blur; ...; } dcv_params;
typedef struct { uint32_t struct_size; float confidence, noise; int32_t scales; int32_t scale_size[16], scale_rounds[16]; float scale_change[16]; double seconds;
  float evidence[3]; } dcv_estimate_result;
typedef struct { dcv_fft fft, small; int planes, width, height, size; double zoom; float *filled, *Y, *slope_x, *slope_y, *dx, *dy; float variance; ...; } dcv_blind_level;
typedef struct { float *x, *a, *kept, *b, *rows, *small; } dcv_blind_work;
typedef struct { int width, height, halo, blend, gap, tiles_x, tiles_y, transform_width, transform_height; ...; } dcv_tiling;
typedef struct { int x0, y0, x1, y1; ...; } dcv_tile;
typedef struct { float white, noise; int rows, columns, stride; float common[21][21]; } dcv_highlight;
typedef struct { float *bands, *matched; int side; float noise[39], g[39], s[39]; int radii[39]; } dcv_refocus_bank;
int dcv_refocus_bank_init(dcv_refocus_bank *bank, const dcv_psf *psf);
void dcv_refocus_bank_clear(dcv_refocus_bank *bank);
int dcv_refocus_spread(const float *e, const int32_t *window, int threads, dcv_image *map);
int dcv_refocus_reach(int size);
int dcv_refocus_reblur_reach(int size);
float *dcv_alloc_floats(size_t count);
void dcv_release(void *memory);

int dcv_fft_fast_size(int n);
int dcv_fft_init(dcv_fft *fft, int width, int height, int planning);
void dcv_fft_clear(dcv_fft *fft);
void dcv_fft_forward(const dcv_fft *fft, float *data);
void dcv_fft_inverse(const dcv_fft *fft, float *data);
void dcv_otf(const dcv_fft *fft, const dcv_psf *psf, int channel, float *otf);
void dcv_otf_difference(int n, int count, float *square);
int dcv_psf_make(dcv_psf *psf, int kind, double a, double b);
int dcv_psf_normalise(dcv_psf *psf);
int dcv_psf_centre(dcv_psf *psf);
int dcv_psf_resample(const dcv_psf *in, double scale, dcv_psf *out);
int dcv_psf_radius(const dcv_psf *psf, float *rms_px);
int dcv_psf_resampled_size(int size, double scale);
int dcv_psf_natural_size(int kind, double a, double b);
int dcv_halo_measure(const dcv_psf *psf, float ratio, int *halo);

void dcv_convolution_multiply(const dcv_fft *fft, const float *otf, const float *x, float *v);
void dcv_convolution_correlate(const dcv_fft *fft, const float *otf, const float *y, float *v);
void dcv_colour_turn(const dcv_fft *fft, const float *const *from, float *const *to);
void dcv_colour_turn_back(const dcv_fft *fft, float *const *planes);
void dcv_difference(const dcv_fft *fft, int direction, float weight, const float *x, float *d);
void dcv_difference_adjoint_add(const dcv_fft *fft, int direction, float weight, const float *d, float *out);
void dcv_difference_square(const dcv_fft *fft, int channels, const float *weights, int from, int to, const float *const *x, const float *const *u,
                           float *sum, float *scratch);
void dcv_difference_curvature(const dcv_fft *fft, int channels, const float *weights, const float *const *x, const float *n, float *const *out,
                              float *scratch);
void dcv_difference_power(const dcv_fft *fft, float *power);
int dcv_boundary_reach(int radius);
int dcv_boundary_gap(int radius, int halo);
int dcv_boundary_edge(int gap);
long dcv_boundary_fill_holes(const dcv_fft *fft, float *plane, int data_width, int data_height, float *scratch);
void dcv_boundary_extend(const dcv_fft *fft, float *plane, int data_width, int data_height, int edge_x, int edge_y);
_Bool dcv_boundary_bound(const dcv_fft *fft, const float *y, int data_width, int data_height, float saturation, int reach, float *bound);
void dcv_boundary_fade(int count, int period, int taper, float *weight);
void dcv_boundary_notch(const dcv_fft *fft, const float *otf, float *x);
void dcv_boundary_taper(const dcv_fft *fft, const float *weight, const float *notch, float *z);
void dcv_boundary_clear_gap(const dcv_fft *fft, int data_width, int data_height, const float *notch, float *z);
void dcv_boundary_impute(const dcv_fft *fft, float omega, const float *model, const float *bound, float *z);
dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white, float noise);
_Bool dcv_highlight_find(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *reached,
                        float *scratch);
typedef struct { int x0, y0, width, height; } dcv_highlight_place;
int dcv_highlight_block(const dcv_psf *psf);
size_t dcv_highlight_floats(const dcv_fft *fft, const dcv_fft *block);
void dcv_highlight_separate(const dcv_highlight *highlight, const dcv_fft *fft, const float *const *otfs, const dcv_fft *block, const dcv_psf *psf,
                            const dcv_highlight_place *place, float kept, const float *reached, int channels, float *const *y, float *const *rest,
                            float *const *light, float *doubt, float *work);
void dcv_highlight_doubtful(const dcv_highlight *highlight, const dcv_fft *fft, const float *reached, int channels, const float *const *rest,
                            float *const *planes, int width, int height, float *doubt, float *scratch);
void dcv_highlight_join(const dcv_highlight *highlight, const dcv_fft *fft, const float *weight, const float *light, const dcv_image *y, int x0, int y0, int c,
                        int width, int height, float *x);
void dcv_highlight_hold(const dcv_highlight *highlight, const dcv_fft *fft, const dcv_image *y, int x0, int y0, int channels, int width, int height,
                        const float *reached, float *scratch, float *const *planes);
void dcv_tv_shrink(const dcv_fft *fft, int channels, const float *weights, float rho, float growth, float *const *x, float *const *u, float *scratch);
size_t dcv_tv_scratch(const dcv_fft *fft, int channels);
int dcv_noise_estimate(const dcv_image *in, int channels, float *sigma);
typedef struct { float share, blocking; } dcv_processing;
int dcv_noise_level(const dcv_image *in, int channels, int threads, float *sigma, dcv_processing *processing);
float dcv_noise_with_processing(float sigma, dcv_processing processing, float gradient, int channels);
int dcv_noise_gradient(const dcv_image *in, int channels, float sigma, float white, int side, int threads, float *gradient, float *edge);
void dcv_tiling_choose(dcv_tiling *tiling, int width, int height, int halo, int blend, int gap, int longest, int least_x, int least_y, double frame_cost);
dcv_tile dcv_tiling_at(const dcv_tiling *tiling, int ix, int iy);
void dcv_tile_load(const dcv_image *in, const dcv_tile *tile, int channels, const dcv_fft *fft, float *const *planes);
void dcv_tile_add(const dcv_tiling *tiling, int ix, int iy, int channels, const dcv_fft *fft, float *const *planes, float *ramp, const dcv_image *in,
                  dcv_image *out);
int dcv_params_init(dcv_params *params);
int dcv_estimate_psf(const dcv_params *params, const dcv_image *window, int size, dcv_psf *psf, const void *callbacks, dcv_estimate_result *result);
int dcv_estimate_size(const dcv_params *params, const dcv_image *window, int32_t *size, const void *callbacks);
int dcv_blind_schedule(int size, int *sizes, double *zooms);
void dcv_blind_level_layout(dcv_blind_level *level, int width, int height, int size, double zoom, int planes);
int dcv_blind_level_init(dcv_blind_level *level);
void dcv_blind_level_clear(dcv_blind_level *level);
size_t dcv_blind_level_floats(const dcv_blind_level *level);
void dcv_blind_level_use(dcv_blind_level *level, float *memory);
void dcv_blind_level_prepare(dcv_blind_level *level, float *rows);
size_t dcv_blind_work_floats(const dcv_blind_level *finest);
void dcv_blind_work_use(dcv_blind_work *work, const dcv_blind_level *finest, float *memory);
void dcv_blind_resize(const float *window, int width, int height, size_t stride, dcv_blind_level *level, float *scratch);
void dcv_blind_resize_psf(const float *k, int n, double zoom, int size, float *out);
void dcv_blind_sharp(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam);
void dcv_blind_psf(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n);
void dcv_blind_fit(const dcv_blind_level *level, const dcv_blind_work *work, float *k, int n, int quarters, float prune);
double dcv_blind_trial(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n, float lam);
double dcv_blind_energy(const dcv_blind_level *level, const dcv_blind_work *work, const float *k, int n);
void dcv_blind_clean(float *k, int n, float prune);
double dcv_blind_agreement(const float *a, const float *b, int n);
void dcv_blind_centre(float *k, int n);
void dcv_family_draw(int family, const double *a, int size, float *k);
void dcv_family_guess(int family, const float *k, int size, double *a);
typedef struct { int count; double start[5]; ...; } dcv_whittle;
int dcv_whittle_side(int side, int size);
void dcv_whittle_open(dcv_whittle *w, const dcv_fft *fft, const float *window, int width, int height, double variance, double highest,
                      float *memory);
double dcv_whittle_cost(dcv_whittle *w, const float *k, int n, int steps);
double dcv_family_fit(dcv_whittle *w, int family, const float *k, int size, double limit, float *out);
double dcv_whiteness(const float *const *residual, int channels, int width, int height, int stride);

typedef struct {
  int rows, cols, size, iterations;
  float step, lam, tau;
  _Bool blind, correlation, repaired_tv, stopping;
  int top, bottom, left, right;
} dcv_prototype;
int dcv_prototype_run(const dcv_prototype *call, float *f, float *u, float *k, float *k_caller, float *mask, double *trace);

typedef struct { double tolerance; int patience, quiet, whitest_at; double whitest; int reason; } dcv_stop_rule;
_Bool dcv_stop_ask(dcv_stop_rule *rule, int iteration, double change, double whiteness);
int dcv_pam_blind(const float *y, int width, int height, float *k, int size, float lam, float e, int rounds);

typedef struct { int channels, iterations, data_width, data_height, width, height; _Bool frame; float noise, gradient, edge, lam, saturation;
  int stop_at, taper; } ops_run;
float ops_lam(int solver, int channels, const dcv_psf *psf, float noise, float gradient, float priority);
int ops_solve(int solver, const ops_run *run, const dcv_psf *psf, float *planes);
int ops_stop(int solver, const ops_run *run, const dcv_psf *psf, const dcv_image *in, float tolerance, int *iterations, double *change, double *whiteness);
"""

SOURCE = """
#include "maths/otf.h"
#include "maths/psf.h"
#include "ops/boundary.h"
#include "ops/colour.h"
#include "ops/convolution.h"
#include "ops/difference.h"
#include "ops/halo.h"
#include "ops/highlight.h"
#include "ops/noise.h"
#include "ops/refocus.h"
#include "ops/tile.h"
#include "ops/tv.h"
#include "ops/whiteness.h"
#include "solve/blind.h"
#include "solve/family.h"
#include "solve/pam.h"
#include "solve/prototype.h"
#include "solve/solver.h"
#include "solve/stop.h"
#include "solve/whittle.h"

#include <math.h>
#include <string.h>

typedef struct {
  int channels, iterations, data_width, data_height, width, height;
  _Bool frame;
  float noise, gradient, edge, lam, saturation;
  int stop_at; /* 0: never */
  int taper;   /* width of the tapered data, 0: none */
} ops_run;

static float ops_lam(int solver, int channels, const dcv_psf *psf, float noise, float gradient, float priority)
{
  const dcv_job job = { .psf = psf, .channels = channels, .noise = noise, .gradient = gradient };
  return dcv_solvers[solver]->lam(&job, priority);
}

static bool stops(void *user, int iterations, float *const *x, float *const *model)
{
  (void)x, (void)model;
  return iterations == *(const int *)user;
}

/* planes: channels x height x width, the data at the origin of each; replaced by the result. */
static int ops_solve(int solver, const ops_run *run, const dcv_psf *psf, float *planes)
{
  const dcv_solver *s = dcv_solvers[solver];
  dcv_fft fft;
  int status = dcv_fft_init(&fft, run->width, run->height, 0), at = run->stop_at;
  if(status) return status;
  const dcv_watch watch = { stops, &at };
  const dcv_job job = { .fft = &fft, .psf = psf, .channels = run->channels, .iterations = run->iterations, .noise = run->noise, .gradient = run->gradient,
                        .edge = run->edge, .lam = run->lam, .saturation = run->saturation, .watch = at ? &watch : NULL };
  float *shared = dcv_alloc_floats(s->shared_floats(&job)), *work = dcv_alloc_floats(s->work_floats(&job) + run->channels * fft.plane);
  float *z[3];
  for(int c = 0; c < run->channels; c++)
  {
    z[c] = work + c * fft.plane;
    for(int i = 0; i < run->height; i++)
      memcpy(z[c] + (size_t)i * fft.stride, planes + ((size_t)c * run->height + i) * run->width, sizeof(float) * run->width);
  }
  dcv_tile_run tile = { .planes = z, .data_width = run->data_width, .data_height = run->data_height, .frame = run->frame };
  float *weight = dcv_alloc_floats(run->width + run->height);
  if(run->taper)
  {
    dcv_boundary_fade(run->data_width, run->width, run->taper, weight);
    dcv_boundary_fade(run->data_height, run->height, run->taper, weight + run->width);
    tile.taper = weight;
  }
  if(run->frame) tile.edge_x = tile.edge_y = dcv_boundary_edge(dcv_boundary_gap(psf->size / 2, 0));
  s->prepare(&job, shared);
  s->run(&job, shared, work + run->channels * fft.plane, &tile);
  for(int c = 0; c < run->channels; c++)
    for(int i = 0; i < run->height; i++)
      memcpy(planes + ((size_t)c * run->height + i) * run->width, z[c] + (size_t)i * fft.stride, sizeof(float) * run->width);
  dcv_release(shared);
  dcv_release(work);
  dcv_release(weight);
  dcv_fft_clear(&fft);
  return 0;
}

/* Minus the status, or the reason. */
static int ops_stop(int solver, const ops_run *run, const dcv_psf *psf, const dcv_image *in, float tolerance, int *iterations, double *change, double *whiteness)
{
  const dcv_job job = { .psf = psf, .channels = run->channels, .noise = run->noise, .gradient = run->gradient, .edge = run->edge, .lam = run->lam,
                        .saturation = run->saturation };
  dcv_stop reason;
  const int status = dcv_stop_iterations(dcv_solvers[solver], &job, in, tolerance, 0, NULL, iterations, &reason, change, whiteness);
  return status ? -status : (int)reason;
}
"""


@cache
def load() -> Any:
    """The extension module (ffi, lib)."""
    return extension("_dcv_ops", DECLARATIONS, SOURCE, ("solve/prototype.c", "solve/pam_blind.c"))


class Domain:
    """A transform of (rows, cols) and planes on it."""

    def __init__(self, rows: int, cols: int) -> None:
        self.module = load()
        self.ffi, self.lib = self.module.ffi, self.module.lib
        self.rows, self.cols = rows, cols
        self.fft = self.ffi.new("dcv_fft *")
        assert self.lib.dcv_fft_init(self.fft, cols, rows, 0) == 0
        self.stride, self.columns = self.fft.stride, self.fft.columns

    def __del__(self) -> None:
        self.lib.dcv_fft_clear(self.fft)

    def plane(self, a: np.ndarray | None = None) -> Any:
        """A plane on the C side, with the pixels or the spectrum `a` in it; what surrounds them is NaN."""
        pointer = self.ffi.gc(self.lib.dcv_alloc_floats(self.fft.plane + 64), self.lib.dcv_release)
        view = self.view(pointer)
        view[:] = np.nan
        if a is not None:
            a = a.astype(np.complex64).view(np.float32) if np.iscomplexobj(a) else a
            view[: a.shape[0], : a.shape[1]] = a
        return pointer

    def view(self, pointer: Any) -> np.ndarray:
        return np.frombuffer(self.ffi.buffer(pointer, 4 * self.fft.plane), np.float32).reshape(self.rows, self.stride)

    def pixels(self, pointer: Any) -> np.ndarray:
        return self.view(pointer)[:, : self.cols].copy()

    def spectrum(self, pointer: Any) -> np.ndarray:
        return self.view(pointer)[:, : 2 * self.columns].copy().view(np.complex64)

    def planes(self, a: np.ndarray) -> tuple[list[Any], Any]:
        """Planes of an (M, N, C) array, and the C array that points to them."""
        kept = [self.plane(a[..., c]) for c in range(a.shape[2])]
        return kept, self.ffi.new("float *[]", kept)

    def stack(self, kept: list[Any]) -> np.ndarray:
        return np.stack([self.pixels(p) for p in kept], axis=-1)


def psf_struct(psf: np.ndarray) -> tuple[Any, np.ndarray]:
    """dcv_psf of an (n, n) or (n, n, C) array, and the memory it refers to."""
    module = load()
    data = np.array(psf if psf.ndim == 2 else np.moveaxis(psf, 2, 0), np.float32, order="C")
    struct = module.ffi.new("dcv_psf *", {"data": module.ffi.from_buffer("float[]", data), "size": psf.shape[0], "channels": 1 if psf.ndim == 2 else 3})
    return struct, data


def image_struct(y: np.ndarray) -> tuple[Any, np.ndarray]:
    """dcv_image of an (M, N, C) array, and the memory it refers to."""
    module = load()
    data = np.array(y, np.float32, order="C")
    rows, cols, channels = data.shape
    fields = {"width": cols, "height": rows, "pixel_stride": channels, "row_stride": channels * cols}
    return module.ffi.new("dcv_image *", {"data": module.ffi.from_buffer("float[]", data), **fields}), data


def solve(solver: str, y: np.ndarray, psf: np.ndarray, shape: tuple[int, int], params: Any, *, iterations: int, white: float | None = None,
          frame: bool = True, stop_at: int = 0, taper: int = 0) -> np.ndarray:  # fmt: skip
    """One tile with data y (M, N, C) through a C solver; the result has the shape of y."""
    module = load()
    rows, cols, channels = y.shape
    planes = np.full((channels, *shape), np.nan, np.float32)
    planes[:, :rows, :cols] = np.moveaxis(y, 2, 0)
    run = module.ffi.new("ops_run *", {
        "channels": channels, "iterations": iterations, "data_width": cols, "data_height": rows, "width": shape[1], "height": shape[0], "frame": frame,
        "noise": params.sigma, "gradient": params.gradient, "edge": params.edge, "lam": params.lam, "saturation": np.inf if white is None else white, "stop_at": stop_at,
        "taper": taper,
    })  # fmt: skip
    struct, _kept = psf_struct(psf)
    assert module.lib.ops_solve(SOLVERS.index(solver), run, struct, module.ffi.from_buffer("float[]", planes)) == 0
    return np.moveaxis(planes, 0, 2)[:rows, :cols]


def stop(solver: str, y: np.ndarray, psf: np.ndarray, params: Any, tolerance: float, white: float | None = None) -> tuple[int, str, np.ndarray, np.ndarray]:
    """`pyref.stopping.iterations` by the C core: iterations, reason, changes and whiteness."""
    module = load()
    run = module.ffi.new("ops_run *", {"channels": y.shape[2], "noise": params.sigma, "gradient": params.gradient, "edge": params.edge, "lam": params.lam,
                                       "saturation": np.inf if white is None else white})  # fmt: skip
    struct, _psf = psf_struct(psf)
    image, _y = image_struct(y)
    count, change, white_ = module.ffi.new("int *"), np.full(1000, np.nan), np.full(1000, np.nan)
    doubles = [module.ffi.from_buffer("double[]", a) for a in (change, white_)]
    reason = module.lib.ops_stop(SOLVERS.index(solver), run, struct, image, tolerance, count, *doubles)
    assert reason >= 0
    asked = np.isfinite(change)
    return count[0], REASONS[reason], change[asked], white_[asked]


def pam_blind(y: np.ndarray, psf: np.ndarray, lam: float, e: float, rounds: int) -> np.ndarray:
    """`pyref.pam.alternate` by the C core: y (M, N), psf (n, n)."""
    module = load()
    y, k = (np.array(a, np.float32, order="C") for a in (y, psf))
    floats = [module.ffi.from_buffer("float[]", a) for a in (y, k)]
    assert module.lib.dcv_pam_blind(floats[0], y.shape[1], y.shape[0], floats[1], k.shape[0], lam, e, rounds) == 0
    return k


def prototype(image: np.ndarray, u: np.ndarray, psf: np.ndarray, window: tuple[int, int, int, int], *, tau: float = 0.0, iterations: int = 200,
              step: float = 1e-3, lam: float = 1e4, blind: bool = True, correlation: bool = False, repaired_tv: bool = False,
              stopping: bool = True) -> dict[str, np.ndarray]:  # fmt: skip
    """`pyref.prototype.richardson_lucy_mm` by the C core; inputs are copied."""
    module = load()
    f, u, k = (np.array(a, np.float32, order="C") for a in (image, u, psf))
    caller, mask, trace = np.zeros_like(k), np.zeros_like(f), np.zeros(iterations)
    rows, cols = f.shape[:2]
    top, bottom, left, right = (int(n) for n in window)
    call = module.ffi.new("dcv_prototype *", {
        "rows": rows, "cols": cols, "size": k.shape[0], "iterations": iterations, "step": step, "lam": lam, "tau": tau, "blind": blind,
        "correlation": correlation, "repaired_tv": repaired_tv, "stopping": stopping, "top": top, "bottom": bottom, "left": left, "right": right,
    })  # fmt: skip
    floats = [module.ffi.from_buffer("float[]", a) for a in (f, u, k, caller, mask)]
    done = module.lib.dcv_prototype_run(call, *floats, module.ffi.from_buffer("double[]", trace))
    assert done >= 0
    pad = k.shape[0] // 2
    return {"u": u[pad:-pad, pad:-pad], "u_padded": u, "psf": k, "psf_caller": caller, "image": f, "mask": mask, "whiteness": trace[:done]}
