/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libdcv: blind and non-blind deconvolution of photographs. The only public header.
 *
 * Model, for each colour channel, in linear light with white = 1:
 *
 *     y = k * x + n        y blurred picture, k PSF (>= 0, sum 1), x sharp picture, n noise
 *
 * Stage 1 estimates k on a sample window (dcv_estimate_psf). Stage 2 restores x (resolve, plan, execute):
 *
 *     dcv_params params;
 *     dcv_params_init(&params);
 *     dcv_params_resolve(&params, &in, &psf, NULL);                measures what is still automatic (noise, gradient)
 *     dcv_plan_create(&plan, &params, in.width, in.height, &psf);  allocates everything
 *     dcv_plan_execute(plan, &in, &out, NULL, &result);            allocates nothing
 *     dcv_plan_destroy(plan);
 *
 * Threads: a plan belongs to one thread at a time; different plans run in parallel. The one global state is FFTW's planner (locked here)
 * and its wisdom. Nothing is printed; no environment, locale or file is read.
 *
 * Values: scene-linear floats, unbounded above; negative values are data like any other; a non-finite value counts as unknown and is
 * filled in from its surroundings, so that the output is finite.
 */
#ifndef DCV_H
#define DCV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DCV_VERSION_MAJOR 0
#define DCV_VERSION_MINOR 1
#define DCV_VERSION_PATCH 0
#define DCV_VERSION (DCV_VERSION_MAJOR * 10000 + DCV_VERSION_MINOR * 100 + DCV_VERSION_PATCH)

#if defined(__GNUC__)
#define DCV_API __attribute__((visibility("default")))
#else
#define DCV_API
#endif

/* Sizes accepted. A PSF to be estimated is odd, 3 to DCV_ESTIMATE_MAX wide; one to restore with is odd, 1 to DCV_PSF_MAX wide. */
#define DCV_PSF_MAX 127
#define DCV_ESTIMATE_MAX 33
#define DCV_SIDE_MAX 65536
#define DCV_GRID_MAX 64

/* ---- status --------------------------------------------------------------------------------------------------------------------- */

typedef enum dcv_status { /* append only */
  DCV_OK = 0,
  DCV_ERROR_ARGUMENT = 1,  /* null pointer, or a value out of the range given in params.def (or noise, gradient < 1e-7, lam < 1e-6, but not 0) */
  DCV_ERROR_SIZE = 2,      /* picture, stride or window size not usable, or different from the plan's */
  DCV_ERROR_PSF = 3,       /* PSF of even or wrong size, negative or non-finite values, or no positive sum */
  DCV_ERROR_MEMORY = 4,    /* not enough memory */
  DCV_ERROR_CANCELLED = 5, /* the caller's `cancelled` said so */
  DCV_ERROR_FFT = 6,       /* FFTW could not make a plan */
  DCV_ERROR_STRUCT = 7,    /* struct_size not set, or from a newer library */
  DCV_ERROR_UNRESOLVED = 8, /* an automatic parameter that needs the picture: call dcv_params_resolve first */
  DCV_ERROR_DATA = 9,      /* no finite pixel to work from */
  DCV_ERROR_BACKEND = 10,  /* OpenCL: not built in, no such device, another solver than admm, or a failure there: dcv_backend_message says which */
  DCV_STATUS_COUNT = 11
} dcv_status;

/* One English sentence; never NULL, static. */
DCV_API const char *dcv_status_string(dcv_status status);

/* DCV_VERSION of the library at run time; a text with version, compiler, FFTW, OpenMP and the instruction set in use. Static. */
DCV_API int dcv_version(void);
DCV_API const char *dcv_build_info(void);
DCV_API int dcv_max_threads(void);

/* ---- parameters ----------------------------------------------------------------------------------------------------------------- */

/* One field for each row of params.def. struct_size first; always start from dcv_params_init. */
typedef struct dcv_params {
  uint32_t struct_size;
#define DCV_INT(name, def, min, max, unit, doc) int32_t name;
#define DCV_FLOAT(name, def, min, max, unit, doc) float name;
#define DCV_ENUM(name, def, choices, doc) int32_t name;
#include "params.def"
#undef DCV_INT
#undef DCV_FLOAT
#undef DCV_ENUM
} dcv_params;

typedef enum dcv_param_type { DCV_TYPE_INT = 0, DCV_TYPE_FLOAT = 1, DCV_TYPE_ENUM = 2 } dcv_param_type;

typedef struct dcv_param_info {
  const char *name;
  dcv_param_type type;
  size_t offset; /* in dcv_params */
  double value, min, max; /* default and range */
  const char *unit, *choices, *doc; /* choices: "a|b|c", NULL unless an enum */
} dcv_param_info;

/* Row i of the table, NULL past its end. */
DCV_API const dcv_param_info *dcv_params_describe(int i);

DCV_API dcv_status dcv_params_init(dcv_params *params);

/* Ranges, and noise, gradient, lam not positive but too small (see DCV_ERROR_ARGUMENT). When a field is wrong, *field (may be NULL) becomes its name. */
DCV_API dcv_status dcv_params_check(const dcv_params *params, const char **field);

/* Flavours of the user's side: what each sets is in docs/flavours.md. */
typedef enum dcv_flavour { DCV_FAST = 0, DCV_NORMAL = 1, DCV_BEST = 2 } dcv_flavour;
DCV_API dcv_status dcv_params_flavour(dcv_params *params, dcv_flavour flavour);

/* ---- pictures, PSFs, callbacks -------------------------------------------------------------------------------------------------- */

/* Row-major interleaved floats: pixel (x, y), channel c is data[y * row_stride + x * pixel_stride + c]. The natural layout is 4 floats a
 * pixel; 1 and 3 are read as well. Strides count floats; pixel_stride >= channels, row_stride >= width * pixel_stride. */
typedef struct dcv_image {
  float *data;
  int32_t width, height;
  int32_t pixel_stride;
  ptrdiff_t row_stride;
} dcv_image;

/* Convolution kernel: `channels` (1: shared, or 3) planes of size x size floats, row-major, size odd, centre at size / 2. Three equal planes restore as a
 * shared one. */
typedef struct dcv_psf {
  float *data;
  int32_t size, channels;
} dcv_psf;

typedef enum dcv_log_level { DCV_LOG_DEBUG = 0, DCV_LOG_INFO = 1, DCV_LOG_WARNING = 2 } dcv_log_level;

/* All optional. Called from the calling thread only (`cancelled` from any worker). progress: fraction 0..1, never falling. */
typedef struct dcv_callbacks {
  void (*progress)(void *user, double fraction);
  int (*cancelled)(void *user);
  void (*log)(void *user, dcv_log_level level, const char *message);
  void *user;
} dcv_callbacks;

/* ---- PSF tools ------------------------------------------------------------------------------------------------------------------ */

typedef enum dcv_psf_kind {
  DCV_PSF_GAUSSIAN = 0,    /* a: standard deviation, px */
  DCV_PSF_DISK = 1,        /* a: radius, px (defocus; area-sampled) */
  DCV_PSF_MOTION = 2,      /* a: length, px; b: angle, degrees anticlockwise from the x axis */
  DCV_PSF_UNIFORM = 3,     /* the whole square */
  DCV_PSF_KAISER = 4,      /* a: beta of the Kaiser-Bessel window */
  DCV_PSF_EXPONENTIAL = 5  /* a: decay length, px */
} dcv_psf_kind;

/* Fills all channels of psf (size and channels set by the caller); what does not fit is cut off. ARGUMENT unless 0 < a <= 1e4 (beta: 0 to 500; the uniform
 * has none), and for b not finite. */
DCV_API dcv_status dcv_psf_make(dcv_psf *psf, dcv_psf_kind kind, double a, double b);

/* Smallest odd size that holds the kind without visible truncation, which may be above DCV_PSF_MAX; 0 for bad arguments or where any size does. */
DCV_API int dcv_psf_natural_size(dcv_psf_kind kind, double a, double b);

/* OK, or PSF: size even or out of range, channels not 1 or 3, non-finite or negative values, sum not positive. */
DCV_API dcv_status dcv_psf_validate(const dcv_psf *psf);

/* Negative values to 0, each channel's sum to 1. PSF when nothing positive is left. */
DCV_API dcv_status dcv_psf_normalise(dcv_psf *psf);

/* Moves the centroid (of all channels together) to the middle by whole pixels, keeping the relative shift of the channels. */
DCV_API dcv_status dcv_psf_centre(dcv_psf *psf);

/* Standard deviation about the centroid, px, both directions and channels together: sqrt(mean squared distance). */
DCV_API dcv_status dcv_psf_radius(const dcv_psf *psf, float *rms_px);

/* `out` (size set by the caller, same channels): the PSF as it is after the picture is scaled by `scale` (0.02 to 50). Source values
 * are shared among the new pixels with Catmull-Rom weights (stretched by scale > 1), which keep the centroid and the second moment; then negative
 * values to 0, sum 1. */
DCV_API dcv_status dcv_psf_resample(const dcv_psf *in, double scale, dcv_psf *out);
/* Odd size that holds the resampled PSF, which may be above DCV_PSF_MAX; 0 for bad arguments. */
DCV_API int dcv_psf_resampled_size(int size, double scale);

/* ---- noise ---------------------------------------------------------------------------------------------------------------------- */

/* Standard deviation of the noise in each channel of a blurred picture, sigma[channels]; 0 where there is none to see. (dcv_params_resolve takes their
 * root mean square and applies a floor.) On as many threads as OpenMP offers. */
DCV_API dcv_status dcv_noise_estimate(const dcv_image *in, int channels, float *sigma);

/* ---- stage 1: estimate the PSF -------------------------------------------------------------------------------------------------- */

#define DCV_SCALES_MAX 16

typedef struct dcv_estimate_result {
  uint32_t struct_size;
  float confidence;               /* probability that restoring with this PSF gains 70 % of what the true one would, in dB; 0 for a delta */
  float noise;                    /* standard deviation used */
  int32_t scales;                 /* levels of the pyramid, coarse to fine */
  int32_t scale_size[DCV_SCALES_MAX];       /* PSF size at each */
  int32_t scale_rounds[DCV_SCALES_MAX];     /* rounds of the alternation */
  float scale_change[DCV_SCALES_MAX];       /* L1 change of the PSF in the last round */
  double seconds;
  float evidence[3]; /* what the confidence follows from, 0 for a delta: energy gained on the delta, agreement of two starts (0 to 1), decadic logarithm of the
                        noise's variance in a window scaled to a standard deviation of 0.2 */
} dcv_estimate_result;

/* Bytes that dcv_estimate_psf will allocate at most for a PSF of up to `size`. */
DCV_API dcv_status dcv_estimate_memory(const dcv_params *params, int width, int height, int size, uint64_t *bytes);

/* The best sample of a picture for dcv_estimate_psf: structure in all directions, nothing clipped, near the middle. window: x, y, width, height in pixels: the
 * whole picture up to 528 x 528, else 512 x 512, or less where the picture is narrower. On as many threads as OpenMP offers. */
DCV_API dcv_status dcv_choose_window(const dcv_image *in, int channels, int32_t window[4]);

/* *size: the odd number of pixels that the PSF of `window` needs, 3 to 33, from an estimate at half the resolution. Uses params, window and callbacks as
 * dcv_estimate_psf, at about a fifth of its time. */
DCV_API dcv_status dcv_estimate_size(const dcv_params *params, const dcv_image *window, int32_t *size, const dcv_callbacks *callbacks);

/* Estimates the PSF of `window` (the sample, not the whole picture; both sides at least `size` and 16). size: what is expected (odd, 3 to 33); a blur that does
 * not fit in it gets a larger one, up to psf->size and a quarter of the window's shorter side: psf->size = size forbids that. psf->size (PSF error if below
 * `size`) is the room in psf->data before, and the size of the PSF after the call. psf->channels (1, or as params->channels with blur per-channel) and the
 * memory are the caller's. Uses params: channels, noise, blur, saturation, threads, backend, device (an OpenCL device takes the largest part of the work at
 * the larger scales; where it fails the log says so and the processor goes on). A window with lamps, values at or above `saturation` (0: none) in up to 3 % of
 * its pixels, is estimated a second time without the pixels that they can have blurred into; that PSF is kept if it gains a fifth more energy on the
 * delta and its confidence is at least 0.2. The result may be NULL; else its struct_size must be set. On any status
 * but OK, *psf is untouched. */
DCV_API dcv_status dcv_estimate_psf(const dcv_params *params, const dcv_image *window, int size, dcv_psf *psf, const dcv_callbacks *callbacks,
                                    dcv_estimate_result *result);

/* ---- stage 2: restore ----------------------------------------------------------------------------------------------------------- */

/* Replaces automatic values that depend on the picture (noise, gradient and with it edge, iterations of a solver that stops by itself) by measured ones.
 * What is set is kept, so that a picture restored in parts uses one set of numbers: resolve once on the whole (or once at full scale), store, reuse. */
DCV_API dcv_status dcv_params_resolve(dcv_params *params, const dcv_image *in, const dcv_psf *psf, const dcv_callbacks *callbacks);

typedef struct dcv_plan dcv_plan;

typedef struct dcv_plan_info {
  uint32_t struct_size;
  int32_t width, height;
  int32_t transform_width, transform_height; /* of one tile */
  int32_t core_width, core_height;           /* pixels a tile contributes with full weight, before the blend */
  int32_t halo, blend;                       /* px on each side */
  int32_t tiles_x, tiles_y;
  int32_t threads, iterations;
  int32_t transforms;  /* two-dimensional real FFTs of all tiles and channels in one execute; more when pixels are unknown or clipped */
  float noise, lam, rho;
  uint64_t bytes;      /* allocated by the plan */
  int32_t batch;       /* tiles worked on at once on an OpenCL device; 0 on the CPU */
} dcv_plan_info;

typedef enum dcv_stop { DCV_STOP_ITERATIONS = 0, DCV_STOP_WHITENESS = 1, DCV_STOP_STAGNATION = 2, DCV_STOP_IDENTITY = 3 } dcv_stop;

typedef struct dcv_result {
  uint32_t struct_size;
  int32_t iterations;
  dcv_stop stop;          /* IDENTITY: see dcv_plan_execute */
  int64_t unknown_pixels; /* non-finite in the input */
  int64_t clipped_pixels; /* at or above `saturation` */
  double seconds, seconds_load, seconds_fft, seconds_pixel, seconds_store; /* the parts: summed over threads */
} dcv_result;

/* Pixels of surroundings that a restored pixel depends on, for resolved params: pad a region by this before restoring it. */
DCV_API dcv_status dcv_halo(const dcv_params *params, const dcv_psf *psf, int32_t *halo);

/* Bytes dcv_plan_create will allocate beyond what FFTW's planner uses; with the OpenCL backend bytes of the device, as many as params.device_memory allows
 * (MEMORY: it allows too few) or, with 0, as a large device would be asked for: on one with less memory a plan takes less. For params not resolved: an upper
 * bound. */
DCV_API dcv_status dcv_plan_memory(const dcv_params *params, int width, int height, const dcv_psf *psf, uint64_t *bytes);

/* Allocates and plans everything for pictures of width x height; *plan is NULL on failure. The PSF is copied. */
DCV_API dcv_status dcv_plan_create(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf);

/* A PSF that varies over the picture: columns x rows PSFs (1 to DCV_GRID_MAX each) of one size, row by row, each as in dcv_psf. A PSF belongs to the middle of
 * its cell of the rectangle (left, top, width, height), in pixels of the plan's picture: the frame of which that picture is a region; width or height 0: the
 * picture itself. Between the middles PSFs are interpolated linearly, so they need a common centre. */
typedef struct dcv_psf_grid {
  float *data;
  int32_t size, channels, columns, rows;
  float left, top, width, height;
} dcv_psf_grid;

/* As dcv_plan_create, for a PSF that varies: every tile takes the one at its middle; at least two tiles for each cell where the halo allows, blended over 32 px.
 * Resolve the parameters with one of the PSFs. BACKEND on an OpenCL device. The halo is the largest of dcv_halo for the cells. */
DCV_API dcv_status dcv_plan_create_grid(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf_grid *grid);
DCV_API dcv_status dcv_plan_memory_grid(const dcv_params *params, int width, int height, const dcv_psf_grid *grid, uint64_t *bytes);

DCV_API dcv_status dcv_plan_describe(const dcv_plan *plan, dcv_plan_info *info);

/* Restores `in` into `out` (same size; may not overlap; at least as many floats a pixel in `out` as channels; floats beyond the restored
 * channels are copied where both have them). A PSF with 0.999 or more of its mass in the middle blurs nothing: with priority >= 0 a finite picture is
 * copied as it is. Deterministic: the bits do not depend on the thread count. Cancelled: `out` becomes a copy of `in`. The result may be
 * NULL; else its struct_size must be set. */
DCV_API dcv_status dcv_plan_execute(dcv_plan *plan, const dcv_image *in, dcv_image *out, const dcv_callbacks *callbacks, dcv_result *result);

DCV_API void dcv_plan_destroy(dcv_plan *plan); /* NULL allowed */

/* ---- restoring only where the PSF explains the blur ------------------------------------------------------------------------------- */

/* Of a picture with a blurred subject before a sharp background (or the other way round), in place of dcv_plan_execute(plan, &in, &out, ..):
 *
 *     dcv_refocus_map(&params, &psf, &in, window, &map, NULL);           map in [0, 1]: 1 where psf blurred the picture, 0 where it did not
 *     dcv_refocus_subject(&map, window);                                 of a whole picture: without the lesser regions
 *     dcv_refocus_prepare(&params, &psf, &in, &map, &prepared, NULL);    map in + (1 - map) psf * in: now the model holds all over, and nothing rings
 *     dcv_plan_execute(plan, &prepared, &out, NULL, &result);
 *     dcv_refocus_blend(&params, &in, &map, &out);                       in + map (out - in)
 *
 * All pictures have the size of `in`; `map` holds its value in the first float of each pixel. params (channels, noise, threads) are the plan's, resolved. The
 * bits do not depend on the thread count. Memory: map 3 floats for each pixel, 12 MB for tables and threads of 15 MB (more for PSFs above 70 px); with a window
 * 5 bytes more for each pixel.
 *
 * window: NULL, or x, y, width and height, in pixels, of a part of a whole picture that is known to have been blurred by psf: where psf was estimated, or where
 * somebody sees it. Then the map keeps to what is joined with it, and may follow the subject further where its surroundings are sharp (ops/refocus.h).
 *
 * Sharp parts mislead what is measured on the whole picture. A plan for the restoration had better have the noise measured in the window where that is less
 * (their grain counts as noise), and the geometric mean of the whole picture's gradient and that of the picture with unknown pixels where map <= 0.5. */

/* Pixels of surroundings that a pixel depends on when all steps but dcv_refocus_subject are done on a region, without a window: dcv_halo, and 250 + 3 times
 * the PSF's size. */
DCV_API dcv_status dcv_refocus_halo(const dcv_params *params, const dcv_psf *psf, int32_t *halo);

DCV_API dcv_status dcv_refocus_map(const dcv_params *params, const dcv_psf *psf, const dcv_image *in, const int32_t *window, dcv_image *map,
                                   const dcv_callbacks *callbacks);

/* The map becomes 0 on every region of it (values above 0, joined at sides of pixels) with less than 35 % of the largest region's sum, or than 5 % of all pixels:
 * mostly these are soft parts of the background. With a window only regions that meet it count, unless what would be left without it comes to 60 % of all pixels.
 * A region of a picture does not know how large the others are: leave it out there. 5 bytes for each pixel, 6 with a window.
 * Errors: as for pictures, SIZE (a window that is not inside), MEMORY. */
DCV_API dcv_status dcv_refocus_subject(dcv_image *map, const int32_t *window);

/* `out` is another picture than `in`; unknown pixels stay unknown; floats beyond the restored channels are copied. */
DCV_API dcv_status dcv_refocus_prepare(const dcv_params *params, const dcv_psf *psf, const dcv_image *in, const dcv_image *map, dcv_image *out,
                                       const dcv_callbacks *callbacks);

/* In place. Where `in` is not finite the restored value stays. */
DCV_API dcv_status dcv_refocus_blend(const dcv_params *params, const dcv_image *in, const dcv_image *map, dcv_image *out);

/* ---- OpenCL --------------------------------------------------------------------------------------------------------------------- */

/* With params.backend opencl a plan works on an OpenCL device, with the same tiles, formulas and (but for rounding) results; everything above holds. A
 * failure there never leaves a wrong picture: the status says so, `out` becomes a copy of `in`, and the caller may restore with backend cpu instead.
 * Of the seconds, load and store are transfers and pixel is all work on the device. OpenCL is looked for at run time. */

typedef struct dcv_device {
  char name[128], platform[128], driver[64];
  uint64_t memory, largest; /* bytes in all, and in one piece */
  int32_t units;            /* compute units */
  int32_t gpu;              /* 1 for a graphics card */
} dcv_device;

/* Number of OpenCL devices here (at most 32); describes the first `most` of them in `list` (may be NULL). 0 without OpenCL. */
DCV_API int dcv_devices(dcv_device *list, int most);

/* Bytes a second that copies within the device's memory read and write: the limit of everything that passes over a picture. Takes a moment. */
DCV_API dcv_status dcv_device_bandwidth(int device, double *bytes_per_second);

/* What OpenCL said when a call of this thread last failed with BACKEND or, on the device, MEMORY; never NULL. */
DCV_API const char *dcv_backend_message(void);

/* A plan for pictures that are on a device already. context, device, queue: cl_context, cl_device_id, cl_command_queue (in order), alive until the plan is
 * destroyed. Its pictures are cl_mem: buffers of width x height pixels of 4 floats, or two-dimensional images of such; params.backend and device are ignored. */
DCV_API dcv_status dcv_plan_create_cl(dcv_plan **plan, const dcv_params *params, int width, int height, const dcv_psf *psf, void *context, void *device,
                                      void *queue);
/* As dcv_plan_execute, for such a plan; done when it returns. When it fails with BACKEND or MEMORY, `out` is undefined. */
DCV_API dcv_status dcv_plan_execute_cl(dcv_plan *plan, void *in, void *out, const dcv_callbacks *callbacks, dcv_result *result);

/* Where the time goes on a device: a kernel, the transforms, copies, or the way to and from the device. */
typedef struct dcv_stage {
  char name[24];
  int64_t calls, bytes; /* least bytes of device memory read and written */
  double seconds;
} dcv_stage;

/* timing != 0: from now on an execute of this plan waits after every stage, which takes longer, and keeps what each took. ARGUMENT: not a device's plan. */
DCV_API dcv_status dcv_plan_time_stages(dcv_plan *plan, int timing);
/* Number of stages in the last execute; describes the first `most` of them in `list` (may be NULL). 0 without timing. */
DCV_API int dcv_plan_stages(const dcv_plan *plan, dcv_stage *list, int most);

/* The first plan for a device and a size compiles programs, which takes a fraction of a second to some seconds. Their bytes are kept (at most 64 MB), and the
 * caller can keep them in a file for the next process; they are used where device, driver and source are the same, and compiled anew where the driver refuses
 * them. export: *bytes from malloc, free with dcv_free; NULL when there is nothing. import: adds them; ARGUMENT, and nothing added, when damaged. */
DCV_API void *dcv_devices_cache_export(size_t *bytes);
DCV_API dcv_status dcv_devices_cache_import(const void *data, size_t bytes);

/* Programs and transforms are kept ready for later plans. This frees them, but not the bytes above; no plan may exist. */
DCV_API void dcv_devices_release(void);

/* ---- all at once ---------------------------------------------------------------------------------------------------------------- */

/* resolve, create, execute, destroy. params may be NULL (defaults, all automatic). */
DCV_API dcv_status dcv_deconvolve(const dcv_params *params, const dcv_image *in, dcv_image *out, const dcv_psf *psf,
                                  const dcv_callbacks *callbacks, dcv_result *result);

/* ---- FFTW wisdom ---------------------------------------------------------------------------------------------------------------- */

/* The caller keeps the text in a file of its choice. export: malloc'ed, free with dcv_free, NULL on failure. import: ARGUMENT if refused. */
DCV_API char *dcv_wisdom_export(void);
DCV_API dcv_status dcv_wisdom_import(const char *text);
DCV_API void dcv_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
