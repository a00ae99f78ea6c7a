/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/highlight.h"

#include "maths/otf.h"
#include "ops/boundary.h"
#include "ops/convolution.h"
#include "ops/difference.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RAMP = 2, EXTENT = 4, HELD = 5, ASKED = 10, MOST = 80, SHIFTS = DCV_HIGHLIGHT_SHIFTS, PLACES = 16, HOLD_PLANES = 4 };
#define ABOVE 0.05f
#define LEAST 0.05f
#define TAIL 0.01
#define LEVEL 0.9f
#define DOUBT 0.01f
#define OFFSET 3.0f
#define FLOOR 0.1f
#define SMALL 5.0f
#define SMOOTH 0.6f
#define FALL 0.9f

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

/* A block: the data at its planes' origin, and which of them, [left, right) x [top, bottom), are its own. */
typedef struct block {
  const dcv_fft *fft;
  const float *otf, *reached; /* reached: at the data's origin, in a plane of the tile */
  int reached_stride, width, height, left, top, right, bottom;
  float *d, *bound, *x, *before, *model, *planes; /* planes: three more */
} block;

/* How many own clipped values that a lamp reaches are in doubt; marks, if not NULL, becomes 1 there. model holds K x, unnormalised. */
static int in_doubt(const dcv_highlight *h, const block *b, float *marks, int marks_stride)
{
  const int stride = b->fft->stride;
  const float scale = 1.0f / ((float)b->fft->width * b->fft->height), most = h->noise * h->noise + DOUBT * DOUBT * h->white * h->white;
  float *const used = b->planes, *const wrong = used + b->fft->plane, *const scratch = wrong + b->fft->plane;
  for(int i = 0; i < b->height; i++)
    for(int j = 0; j < b->width; j++) used[i * stride + j] = fabsf(b->bound[i * stride + j]) < INFINITY;
  widen(used, scratch, stride, b->width, b->height, h->rows, h->columns);
  for(int i = 0; i < b->height; i++)
    for(int j = 0; j < b->width; j++)
    {
      const int at = i * stride + j;
      const float miss = b->d[at] - scale * b->model[at];
      used[at] = used[at] > 0.0f && b->bound[at] == INFINITY;
      wrong[at] = used[at] * miss * miss;
    }
  box_sum(wrong, scratch, stride, b->width, b->height, h->rows, h->columns);
  box_sum(used, scratch, stride, b->width, b->height, h->rows, h->columns);
  int found = 0;
  for(int i = b->top; i < b->bottom; i++)
    for(int j = b->left; j < b->right; j++)
    {
      const int at = i * stride + j;
      if(fabsf(b->bound[at]) == INFINITY || b->reached[i * b->reached_stride + j] == 0.0f || used[at] == 0.0f || wrong[at] <= most * used[at]) continue;
      found++;
      if(marks) marks[i * marks_stride + j] = 1.0f;
    }
  return found;
}

/* x <- the sharp picture above the offset, of data d with their bounds; model <- K x, unnormalised. */
static void solve(const dcv_highlight *h, block *b)
{
  const size_t count = b->fft->plane;
  const float scale = 1.0f / ((float)b->fft->width * b->fft->height), least = FLOOR * h->noise, one = 1.0f;
  float *const norm = b->planes, *const bend = norm + count, *const scratch = bend + count;
  memcpy(b->x, b->d, sizeof(float) * count);
  memcpy(b->before, b->d, sizeof(float) * count);
  int doubtful = INT_MAX;
  for(int t = 0; t < MOST; t++)
  {
    if(t > 0 && t % ASKED == 0)
    {
      blur(b->fft, b->otf, b->x, b->model);
      const int now = in_doubt(h, b, NULL, 0);
      if(now == 0 || now > FALL * doubtful) return;
      doubtful = now;
    }
    float *const v = b->before;
    carry_on(count, (float)DCV_MAX(t - 1, 0) / (float)(t + 2), least, b->x, v);
    dcv_difference_square(b->fft, 1, &one, DCV_FIRST_ORDER, (const float *const[]){ v }, NULL, norm, scratch);
    invert(count, SMALL * h->noise, norm);
    memset(bend, 0, sizeof(float) * count);
    dcv_difference_curvature(b->fft, 1, &one, (const float *const[]){ v }, norm, (float *const[]){ bend }, scratch);
    blur(b->fft, b->otf, v, b->model);
    compare(count, scale, least, b->d, b->bound, b->model);
    dcv_fft_forward(b->fft, b->model);
    dcv_convolution_correlate(b->fft, b->otf, b->model, b->model);
    dcv_fft_inverse(b->fft, b->model);
    improve(count, scale, SMOOTH * h->noise, least, b->model, bend, v);
    b->before = b->x, b->x = v;
  }
  blur(b->fft, b->otf, b->x, b->model);
}

int dcv_highlight_block(const dcv_psf *psf)
{
  return (14 * (psf->size / 2) + 48 + 31) / 32 * 32;
}

size_t dcv_highlight_floats(const dcv_fft *fft, const dcv_fft *block_fft)
{
  return DCV_MAX(2 * fft->plane + 9 * block_fft->plane, HOLD_PLANES * fft->plane);
}

/* Whether any of the marks a, of a tile's plane, in [left, right) x [top, bottom) is set. */
static bool any_of(const float *a, int stride, int left, int top, int right, int bottom)
{
  for(int i = top; i < bottom; i++)
    for(int j = left; j < right; j++)
      if(a[(size_t)i * stride + j] > 0.0f) return true;
  return false;
}

/* First multiple of `step` that is greater than a. */
static int next(int a, int step)
{
  return (a / step + 1) * step;
}

/* One channel y of the tile, block by block: light <- s, rest <- K x, marks -> doubt, where something near (marks of a tile's plane) lies in the middle. */
static void solve_blocks(const dcv_highlight *h, const dcv_fft *fft, const dcv_fft *block_fft, const dcv_highlight_place *place, const float *near,
                         const float *reached, const float *otf, float *y, float *rest, float *light, float *doubt, float *work)
{
  const int most = DCV_MAX(h->rows, h->columns), around = 5 * most / 2 + 8, gap = 2 * most + 8, core = block_fft->width - gap - 2 * around;
  const int stride = fft->stride, inner = block_fft->stride;
  const float scale = 1.0f / ((float)block_fft->width * block_fft->height), offset = OFFSET * h->noise;
  for(int top = 0, bottom; top < place->height; top = bottom)
  {
    bottom = DCV_MIN(next(place->y0 + top, core) - place->y0, place->height);
    for(int left = 0, right; left < place->width; left = right)
    {
      right = DCV_MIN(next(place->x0 + left, core) - place->x0, place->width);
      if(!any_of(near, stride, left, top, right, bottom)) continue;
      const int x0 = DCV_MAX(left - around, 0), y0 = DCV_MAX(top - around, 0);
      const size_t origin = (size_t)y0 * stride + x0, count = block_fft->plane;
      block b = { .fft = block_fft, .otf = otf, .reached = reached + origin, .reached_stride = stride,
                  .width = DCV_MIN(right + around, place->width) - x0, .height = DCV_MIN(bottom + around, place->height) - y0,
                  .left = left - x0, .top = top - y0, .right = right - x0, .bottom = bottom - y0,
                  .d = work, .bound = work + count, .x = work + 2 * count, .before = work + 3 * count, .model = work + 4 * count, .planes = work + 5 * count };
      if(!dcv_highlight_any(h, fft, 1, &(float *){ y + origin }, b.width, b.height))
      {
        for(int i = top; i < bottom; i++) memcpy(rest + (size_t)i * stride + left, y + (size_t)i * stride + left, sizeof(float) * (right - left));
        continue;
      }
      for(int i = 0; i < b.height; i++) memcpy(b.d + (size_t)i * inner, y + origin + (size_t)i * stride, sizeof(float) * b.width);
      dcv_boundary_bound(block_fft, b.d, b.width, b.height, h->white, block_fft->width, b.bound);
      dcv_boundary_fill_holes(block_fft, b.d, b.width, b.height, b.planes);
      dcv_boundary_extend(block_fft, b.d, b.width, b.height, 0, 0);
      raise(count, offset, b.d);
      solve(h, &b);
      in_doubt(h, &b, doubt + origin, stride);
      for(int i = b.top; i < b.bottom; i++)
        for(int j = b.left; j < b.right; j++)
        {
          const size_t at = origin + (size_t)i * stride + j;
          rest[at] = scale * b.model[i * inner + j] - offset;
          light[at] = fmaxf(b.x[i * inner + j] - offset - LEVEL * h->white, 0.0f);
        }
    }
  }
}

void dcv_highlight_separate(const dcv_highlight *h, const dcv_fft *fft, const float *const *otfs, const dcv_fft *block_fft, const dcv_psf *psf,
                            const dcv_highlight_place *place, float kept, const float *reached, int channels, float *const *planes, float *const *rest,
                            float *const *light, float *doubt, float *work)
{
  const size_t count = fft->plane;
  const float scale = 1.0f / ((float)fft->width * fft->height);
  float *const near = work, *const spread_light = near + count, *const otf = spread_light + count;
  memcpy(near, reached, sizeof(float) * count);
  widen(near, spread_light, fft->stride, place->width, place->height, 2 * h->rows, 2 * h->columns);
  memset(doubt, 0, sizeof(float) * count);
  for(int c = 0; c < channels; c++)
  {
    float *const y = planes[c];
    if(c == 0 || psf->channels > 1) dcv_otf(block_fft, psf, c, otf);
    memset(light[c], 0, sizeof(float) * count);
    for(size_t i = 0; i < count; i++) rest[c][i] = NAN;
    solve_blocks(h, fft, block_fft, place, near, reached, otf, y, rest[c], light[c], doubt, otf + block_fft->plane);
    blur(fft, otfs[c], light[c], spread_light);
    for(int i = 0; i < place->height; i++)
      for(int j = 0; j < place->width; j++)
      {
        const size_t at = (size_t)i * fft->stride + j;
        const float own = scale * spread_light[at];
        rest[c][at] -= own;
        if(y[at] < h->white)
          y[at] -= own;
        else if(isfinite(y[at]) && isfinite(rest[c][at]))
          y[at] = rest[c][at];
        light[c][at] += kept * (own - light[c][at]);
      }
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
