/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/highlight.h"

#include "ops/boundary.h"
#include "ops/convolution.h"
#include "ops/difference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RAMP = 2, EXTENT = 4, HELD = 5, STEPS = 20, SHIFTS = DCV_HIGHLIGHT_SHIFTS, PLACES = 16 };
#define ABOVE 0.05f
#define LEAST 0.05f
#define TAIL 0.01
#define LEVEL 0.9f
#define DOUBT 0.01f
#define OFFSET 3.0f
#define FLOOR 0.1f
#define SMALL 5.0f
#define SMOOTH 0.6f

/* Half width of a PSF's projection on its rows (or columns). */
static int spread(const dcv_psf *psf, bool rows)
{
  const int n = psf->size, middle = n / 2;
  for(int r = 0; r < middle; r++)
  {
    double most = 0.0;
    for(int c = 0; c < psf->channels; c++)
    {
      double outside = 0.0;
      for(int i = 0; i < n; i++)
        for(int j = 0; j < n; j++)
          if(abs((rows ? i : j) - middle) > r) outside += psf->data[((size_t)c * n + i) * n + j];
      most = fmax(most, outside);
    }
    if(most <= TAIL) return r;
  }
  return middle;
}

/* m(d): see highlight.h. */
static float common(const dcv_psf *psf, int down, int right)
{
  const int n = psf->size;
  double least = 1.0;
  for(int c = 0; c < psf->channels; c++)
  {
    const float *const k = psf->data + (size_t)c * n * n;
    double sum = 0.0;
    for(int i = DCV_MAX(0, -down); i < n - DCV_MAX(0, down); i++)
      for(int j = DCV_MAX(0, -right); j < n - DCV_MAX(0, right); j++) sum += fminf(k[i * n + j], k[(i + down) * n + j + right]);
    least = fmin(least, sum);
  }
  return (float)least;
}

dcv_highlight dcv_highlight_of(const dcv_psf *psf, float white, float noise)
{
  dcv_highlight found = { .white = white, .noise = noise };
  if(white == INFINITY) return found;
  found.rows = spread(psf, true), found.columns = spread(psf, false);
  found.stride = DCV_MAX((2 * DCV_MAX(found.rows, found.columns) + SHIFTS - 1) / SHIFTS, 1);
  for(int i = -SHIFTS; i <= SHIFTS; i++)
    for(int j = -SHIFTS; j <= SHIFTS; j++) found.common[i + SHIFTS][j + SHIFTS] = common(psf, i * found.stride, j * found.stride);
  return found;
}

int dcv_highlight_reach(const dcv_highlight *highlight)
{
  if(highlight->white == INFINITY) return 0;
  const int most = DCV_MAX(highlight->rows, highlight->columns);
  return DCV_MAX(2 * most + 2, SHIFTS * highlight->stride) + EXTENT * most + 5 * most / 2 + 1;
}

/* a <- sums over boxes of (2 rows + 1) x (2 columns + 1), cut off at the edges; exact for counts. */
static void box_sum(float *a, float *scratch, int stride, int width, int height, int rows, int columns)
{
  for(int y = 0; y < height; y++)
  {
    const float *const from = a + (size_t)y * stride;
    float *const to = scratch + (size_t)y * stride, sum = 0.0f;
    for(int x = 0; x < DCV_MIN(columns, width); x++) sum += from[x];
    for(int x = 0; x < width; x++)
    {
      if(x + columns < width) sum += from[x + columns];
      if(x - columns - 1 >= 0) sum -= from[x - columns - 1];
      to[x] = sum;
    }
  }
  memset(a, 0, sizeof(float) * width);
  for(int y = 0; y < DCV_MIN(rows, height); y++)
    for(int x = 0; x < width; x++) a[x] += scratch[(size_t)y * stride + x];
  for(int y = 0; y < height; y++)
  {
    float *const to = a + (size_t)y * stride;
    if(y > 0) memcpy(to, to - stride, sizeof(float) * width);
    if(y + rows < height)
      for(int x = 0; x < width; x++) to[x] += scratch[(size_t)(y + rows) * stride + x];
    if(y - rows - 1 >= 0)
      for(int x = 0; x < width; x++) to[x] -= scratch[(size_t)(y - rows - 1) * stride + x];
  }
}

/* a <- 1 within the box of a pixel > 0, 0 elsewhere. */
static void widen(float *a, float *scratch, int stride, int width, int height, int rows, int columns)
{
  box_sum(a, scratch, stride, width, height, rows, columns);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++) a[(size_t)y * stride + x] = a[(size_t)y * stride + x] > 0.0f;
}

/* Marks, 0 or 1, become 1 within RAMP more pixels, falling to 0 within as many again: means over boxes. */
static void soften(float *a, float *scratch, int stride, int width, int height)
{
  widen(a, scratch, stride, width, height, RAMP, RAMP);
  box_sum(a, scratch, stride, width, height, RAMP, RAMP);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      const int down = DCV_MIN(y + RAMP, height - 1) - DCV_MAX(y - RAMP, 0) + 1, across = DCV_MIN(x + RAMP, width - 1) - DCV_MAX(x - RAMP, 0) + 1;
      a[(size_t)y * stride + x] /= (float)(down * across);
    }
}

static bool clipped(int channels, float *const *planes, size_t at, float white)
{
  for(int c = 0; c < channels; c++)
    if(isfinite(planes[c][at]) && planes[c][at] >= white) return true;
  return false;
}

/* The part of a channel's plane that holds data. */
typedef struct view {
  const float *data;
  int stride, width, height;
} view;

/* Value at (y, x), clipped; INFINITY outside or where it is not finite. */
static float value(const view *v, int y, int x, float white)
{
  if(y < 0 || y >= v->height || x < 0 || x >= v->width) return INFINITY;
  const float a = v->data[(size_t)y * v->stride + x];
  return isfinite(a) ? fminf(a, white) : INFINITY;
}

/* Least of up to 33 x 33 values evenly spread over 2 spread + 2 pixels to each side, held in [0, 0.9 white]. */
static float darkest(const dcv_highlight *h, const view *v, int y, int x)
{
  const int rows = 2 * h->rows + 2, columns = 2 * h->columns + 2, down = (rows + PLACES - 1) / PLACES, right = (columns + PLACES - 1) / PLACES;
  float least = 0.9f * h->white;
  for(int i = -(rows / down) * down; i <= rows; i += down)
    for(int j = -(columns / right) * right; j <= columns; j += right) least = fminf(least, value(v, y + i, x + j, h->white));
  return fmaxf(least, 0.0f);
}

/* Whether the pixel, clipped at the edge of what is clipped, belongs to a lamp. */
static bool glows(const dcv_highlight *h, const view *v, int y, int x)
{
  const float white = h->white;
  if(value(v, y, x, INFINITY) < white || value(v, y, x, INFINITY) == INFINITY) return false;
  if(value(v, y - 1, x, white) >= white && value(v, y + 1, x, white) >= white && value(v, y, x - 1, white) >= white && value(v, y, x + 1, white) >= white)
    return false;
  const float low = darkest(h, v, y, x);
  for(int i = -SHIFTS; i <= SHIFTS; i++)
    for(int j = -SHIFTS; j <= SHIFTS; j++)
    {
      const float m = h->common[i + SHIFTS][j + SHIFTS];
      if(m >= LEAST && value(v, y + i * h->stride, x + j * h->stride, white) < low + ((1.0f + ABOVE) * white - low) * m - ABOVE * white - 4.0f * h->noise) return true;
    }
  return false;
}

bool dcv_highlight_any(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height)
{
  for(int y = 0; y < height && highlight->white < INFINITY; y++)
    for(int x = 0; x < width; x++)
      if(clipped(channels, planes, (size_t)y * fft->stride + x, highlight->white)) return true;
  return false;
}

bool dcv_highlight_find(const dcv_highlight *highlight, const dcv_fft *fft, int channels, float *const *planes, int width, int height, float *reached,
                        float *scratch)
{
  if(highlight->white == INFINITY) return false;
  const int stride = fft->stride, rows = highlight->rows, columns = highlight->columns;
  bool any = false;
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
    {
      bool lamp = false;
      for(int c = 0; c < channels && !lamp; c++) lamp = glows(highlight, &(view){ planes[c], stride, width, height }, y, x);
      reached[(size_t)y * stride + x] = lamp, any |= lamp;
    }
  if(!any) return false;
  widen(reached, scratch, stride, width, height, EXTENT * rows, EXTENT * columns);
  for(int y = 0; y < height; y++)
    for(int x = 0; x < width; x++)
      if(!clipped(channels, planes, (size_t)y * stride + x, highlight->white)) reached[(size_t)y * stride + x] = 0.0f;
  widen(reached, scratch, stride, width, height, 5 * rows / 2, 5 * columns / 2);
  return true;
}

/* ---- the light of lamps ---- */

/* d <- max(d, 0) + offset, whole plane. */
DCV_SIMD static void raise(size_t count, float offset, float *d)
{
  for(size_t i = 0; i < count; i++) d[i] = (d[i] > 0.0f ? d[i] : 0.0f) + offset;
}

/* before <- max(x + share (x - before), least). */
DCV_SIMD static void carry_on(size_t count, float share, float least, const float *restrict x, float *restrict before)
{
  for(size_t i = 0; i < count; i++)
  {
    const float v = x[i] + share * (x[i] - before[i]);
    before[i] = v > least ? v : least;
  }
}

/* square <- 1 / max(sqrt(square), small). */
DCV_SIMD static void invert(size_t count, float small, float *square)
{
  for(size_t i = 0; i < count; i++)
  {
    const float norm = sqrtf(square[i]);
    square[i] = 1.0f / (norm > small ? norm : small);
  }
}

/* model <- what the data ask for: d / model where known, not below 1 where clipped, 1 elsewhere. */
DCV_SIMD static void compare(size_t count, float scale, float least, const float *restrict d, const float *restrict bound, float *restrict model)
{
  for(size_t i = 0; i < count; i++)
  {
    const float m = scale * model[i], ratio = d[i] / (m > least ? m : least), raised = ratio > 1.0f ? ratio : 1.0f;
    model[i] = bound[i] == INFINITY ? ratio : (bound[i] == -INFINITY ? 1.0f : raised);
  }
}

/* v <- max(v factor / clamp(1 + smooth bend / v, 1/2, 2), least). */
DCV_SIMD static void improve(size_t count, float scale, float smooth, float least, const float *restrict factor, const float *restrict bend, float *restrict v)
{
  for(size_t i = 0; i < count; i++)
  {
    const float down = 1.0f + smooth * bend[i] / v[i], above = down > 0.5f ? down : 0.5f, value = v[i] * scale * factor[i] / (above < 2.0f ? above : 2.0f);
    v[i] = value > least ? value : least;
  }
}

/* out <- K x, unnormalised. */
static void blur(const dcv_fft *fft, const float *otf, const float *x, float *out)
{
  memcpy(out, x, sizeof(float) * fft->plane);
  dcv_fft_forward(fft, out);
  dcv_convolution_multiply(fft, otf, out, out);
  dcv_fft_inverse(fft, out);
}

/* x, the sharp picture above the offset, of data d with their bounds; other: as large. planes: four more. Returns the one of x and other that holds the result. */
static float *solve(const dcv_highlight *h, const dcv_fft *fft, const float *otf, const float *d, const float *bound, float *x, float *other, float *planes)
{
  const size_t count = fft->plane;
  const float scale = 1.0f / ((float)fft->width * fft->height), least = FLOOR * h->noise, one = 1.0f;
  float *const model = planes, *const norm = model + count, *const bend = norm + count, *const scratch = bend + count;
  memcpy(x, d, sizeof(float) * count);
  memcpy(other, d, sizeof(float) * count);
  for(int t = 0; t < STEPS; t++)
  {
    float *const v = other;
    carry_on(count, (float)DCV_MAX(t - 1, 0) / (float)(t + 2), least, x, v);
    dcv_difference_square(fft, 1, &one, DCV_FIRST_ORDER, (const float *const[]){ v }, NULL, norm, scratch);
    invert(count, SMALL * h->noise, norm);
    memset(bend, 0, sizeof(float) * count);
    dcv_difference_curvature(fft, 1, &one, (const float *const[]){ v }, norm, (float *const[]){ bend }, scratch);
    blur(fft, otf, v, model);
    compare(count, scale, least, d, bound, model);
    dcv_fft_forward(fft, model);
    dcv_convolution_correlate(fft, otf, model, model);
    dcv_fft_inverse(fft, model);
    improve(count, scale, SMOOTH * h->noise, least, model, bend, v);
    other = x, x = v;
  }
  return x;
}

void dcv_highlight_separate(const dcv_highlight *h, const dcv_fft *fft, const float *otf, const dcv_highlight_place *place, float kept, float *y, float *rest,
                            float *light, float *doubt, float *work)
{
  const int stride = fft->stride, width = place->width, height = place->height;
  const size_t count = fft->plane;
  const float scale = 1.0f / ((float)fft->width * fft->height), offset = OFFSET * h->noise;
  float *const d = work, *const bound = d + count, *const planes = bound + 3 * count, *const model = planes, *const spread_light = planes + count;
  float *const wrong = planes + 2 * count, *const used = planes + 3 * count;
  memcpy(d, y, sizeof(float) * count);
  dcv_boundary_bound(fft, d, width, height, h->white, place->margin, bound);
  dcv_boundary_fill_holes(fft, d, width, height, planes);
  dcv_boundary_extend(fft, d, width, height, place->edge_x, place->edge_y);
  raise(count, offset, d);
  float *const x = solve(h, fft, otf, d, bound, bound + count, bound + 2 * count, planes);
  for(size_t i = 0; i < count; i++) x[i] -= offset, light[i] = fmaxf(x[i] - LEVEL * h->white, 0.0f);
  blur(fft, otf, x, model);
  blur(fft, otf, light, spread_light);

  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * stride + j;
      used[at] = fabsf(bound[at]) < INFINITY;
    }
  widen(used, wrong, stride, width, height, h->rows, h->columns);
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * stride + j;
      const float m = scale * model[at], own = scale * spread_light[at], miss = y[at] - m;
      used[at] = used[at] > 0.0f && bound[at] == INFINITY;
      wrong[at] = used[at] > 0.0f ? miss * miss : 0.0f;
      rest[at] = m - own;
      if(isfinite(y[at])) y[at] = bound[at] == INFINITY ? y[at] - own : rest[at];
      light[at] += kept * (own - light[at]);
    }
  box_sum(wrong, model, stride, width, height, h->rows, h->columns);
  box_sum(used, model, stride, width, height, h->rows, h->columns);
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * stride + j;
      if(fabsf(bound[at]) < INFINITY && used[at] > 0.0f && wrong[at] > (h->noise * h->noise + DOUBT * DOUBT * h->white * h->white) * used[at]) doubt[at] = 1.0f;
    }
}

void dcv_highlight_doubtful(const dcv_highlight *h, const dcv_fft *fft, const float *reached, int channels, const float *const *rest,
                            float *const *planes, int width, int height, float *doubt, float *scratch)
{
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++) doubt[(size_t)i * fft->stride + j] *= reached[(size_t)i * fft->stride + j];
  widen(doubt, scratch, fft->stride, width, height, 2 * h->rows, 2 * h->columns);
  for(int c = 0; c < channels; c++)
    for(int i = 0; i < height; i++)
      for(int j = 0; j < width; j++)
      {
        const size_t at = (size_t)i * fft->stride + j;
        if(doubt[at] > 0.0f && isfinite(planes[c][at])) planes[c][at] = rest[c][at];
      }
  soften(doubt, scratch, fft->stride, width, height);
}

static float given(const dcv_image *y, int x, int row, int c)
{
  return y->data[row * y->row_stride + (ptrdiff_t)x * y->pixel_stride + c];
}

void dcv_highlight_join(const dcv_highlight *h, const dcv_fft *fft, const float *weight, const float *light, const dcv_image *y, int x0, int y0, int c, int width,
                        int height, float *x)
{
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * fft->stride + j;
      const float v = given(y, x0 + j, y0 + i, c), seen = isfinite(v) ? v : 0.0f, w = isfinite(v) ? weight[at] : 0.0f;
      const float sum = x[at] + fminf(light[at], fmaxf(fmaxf(seen, h->white) - x[at], 0.0f));
      x[at] = w * seen + (1.0f - w) * sum;
    }
}

/* to <- the greater of both. */
DCV_SIMD static void take_greater(float *to, const float *from, int count)
{
  for(int x = 0; x < count; x++) to[x] = to[x] > from[x] ? to[x] : from[x];
}

/* a <- greatest value within `rows` and `columns` to each side: forwards, then backwards, doubling the range. */
static void greatest(float *a, int stride, int width, int height, int rows, int columns)
{
  for(int have = 1, step; have <= rows; have += step)
  {
    step = DCV_MIN(have, rows + 1 - have);
    for(int y = 0; y < height - step; y++) take_greater(a + (size_t)y * stride, a + (size_t)(y + step) * stride, width);
  }
  for(int have = 1, step; have <= rows; have += step)
  {
    step = DCV_MIN(have, rows + 1 - have);
    for(int y = height - 1; y >= step; y--) take_greater(a + (size_t)y * stride, a + (size_t)(y - step) * stride, width);
  }
  for(int y = 0; y < height; y++)
  {
    float *const row = a + (size_t)y * stride;
    for(int have = 1, step; have <= columns; have += step)
    {
      step = DCV_MIN(have, columns + 1 - have);
      for(int x = 0; x < width - step; x++) row[x] = row[x] > row[x + step] ? row[x] : row[x + step];
    }
    for(int have = 1, step; have <= columns; have += step)
    {
      step = DCV_MIN(have, columns + 1 - have);
      for(int x = width - 1; x >= step; x--) row[x] = row[x] > row[x - step] ? row[x] : row[x - step];
    }
  }
}

/* most <- greatest of v = sign min(y, white) within the spread, -INFINITY without any; narrow <- by how much v, within 2 px, rises above what is as wide as
 * the spread (the greatest of the least), not below 0; close <- greatest of v within 2 px. */
static void range(const dcv_highlight *h, const dcv_fft *fft, const dcv_image *y, int x0, int y0, int c, int sign, int width, int height, float *most, float *narrow,
                  float *close)
{
  const int stride = fft->stride;
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const size_t at = (size_t)i * stride + j;
      const float v = given(y, x0 + j, y0 + i, c), held = sign * fminf(v, h->white);
      most[at] = isfinite(v) ? held : -INFINITY, narrow[at] = isfinite(v) ? -held : -INFINITY;
    }
  memcpy(close, most, sizeof(float) * fft->plane);
  greatest(close, stride, width, height, RAMP, RAMP);
  greatest(most, stride, width, height, h->rows, h->columns);
  greatest(narrow, stride, width, height, h->rows, h->columns);
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      float *const least = narrow + (size_t)i * stride + j;
      *least = *least > -INFINITY ? -*least : -INFINITY;
    }
  greatest(narrow, stride, width, height, h->rows, h->columns);
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      const float v = given(y, x0 + j, y0 + i, c);
      float *const to = narrow + (size_t)i * stride + j;
      *to = isfinite(v) ? sign * fminf(v, h->white) - *to : 0.0f;
    }
  greatest(narrow, stride, width, height, RAMP, RAMP);
}

void dcv_highlight_hold(const dcv_highlight *highlight, const dcv_fft *fft, const dcv_image *y, int x0, int y0, int channels, int width, int height,
                        const float *reached, float *scratch, float *const *planes)
{
  if(highlight->white == INFINITY) return;
  const int stride = fft->stride;
  float *const near = scratch, *const most = near + fft->plane, *const narrow = most + fft->plane, *const close = narrow + fft->plane;
  bool any = false;
  for(int i = 0; i < height; i++)
    for(int j = 0; j < width; j++)
    {
      bool bright = false;
      for(int c = 0; c < channels; c++)
      {
        const float v = given(y, x0 + j, y0 + i, c);
        bright |= isfinite(v) && v >= highlight->white;
      }
      near[(size_t)i * stride + j] = bright, any |= bright;
    }
  if(!any) return;
  widen(near, most, stride, width, height, EXTENT * highlight->rows, EXTENT * highlight->columns);
  if(reached)
  {
    memcpy(narrow, reached, sizeof(float) * fft->plane);
    widen(narrow, most, stride, width, height, HELD * highlight->rows, HELD * highlight->columns);
    for(int i = 0; i < height; i++)
      for(int j = 0; j < width; j++) near[(size_t)i * stride + j] = fmaxf(near[(size_t)i * stride + j], narrow[(size_t)i * stride + j]);
  }
  soften(near, most, stride, width, height);
  const float noise = highlight->noise;
  for(int c = 0; c < channels; c++)
    for(int sign = -1; sign <= 1; sign += 2)
    {
      range(highlight, fft, y, x0, y0, c, sign, width, height, most, narrow, close);
      for(int i = 0; i < height; i++)
        for(int j = 0; j < width; j++)
        {
          const size_t at = (size_t)i * stride + j;
          const bool lamp = reached && reached[at] > 0.0f, bounded = most[at] > -INFINITY && (lamp || sign < 0 || most[at] < highlight->white);
          const float wide = most[at] + 2.0f * noise + 4.0f * fmaxf(narrow[at] - 6.0f * noise, 0.0f);
          const float excess = sign * planes[c][at] - (lamp ? (sign > 0 ? close[at] : most[at]) + noise : wide);
          if(bounded && excess > 0.0f) planes[c][at] -= near[at] * sign * excess;
        }
    }
}
