/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/family.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define LEAST_WIDTH 0.3 /* px */
#define LEAST 0.25      /* px, of a member */
#define SOFTEST 0.8     /* px, of a disk or a line */
#define SEARCH 0.16     /* first step of the search, in natural logarithms and px; halved after a pass without success */
#define FAR 0.3         /* from the least cost so far */
#define RADIUS 0.8      /* px, smallest disk tried, */
#define RADII 1.1       /* and from one to the next */
#define LINE_SOFTNESS 0.3 /* px, of the lines tried */
enum { REACH = 3 /* px, of the softness */, PASSES = 12, HOPE = 4, FIT_STEPS = 2, DIRECTIONS = 8, STARTS = 64 };
static const double GAUSSIANS[] = { 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0 }, LENGTHS[] = { 4.0, 8.0, 14.0, 22.0 }; /* px, tried */
#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

/* Moves of the search. */
static const int MOVES[DCV_FAMILIES][3][3] = { { { 1, 1, 0 }, { 1, -1, 0 }, { 0, 0, 2 } }, { { 1, 0, 0 }, { 0, 2, 0 } }, { { 1, 0, 0 }, { 0, 2, 0 }, { 0, 0, 1 } } };
static const int MOVE_COUNTS[DCV_FAMILIES] = { 3, 2, 3 };

/* k blurred by a sampled Gaussian; what leaves the square is lost. */
static void soften(float *k, int size, double deviation)
{
  double weight[2 * REACH + 1], sum = 0.0;
  for(int i = -REACH; i <= REACH; i++) sum += weight[i + REACH] = i == 0 ? 1.0 : exp(-0.5 * i * i / fmax(deviation * deviation, 1e-6));
  for(int pass = 0; pass < 2; pass++)
    for(int line = 0; line < size; line++)
    {
      float *const from = k + line * (pass ? 1 : size), row[DCV_ESTIMATE_MAX];
      const int step = pass ? size : 1;
      for(int i = 0; i < size; i++)
      {
        double v = 0.0;
        for(int j = DCV_MAX(i - REACH, 0); j <= DCV_MIN(i + REACH, size - 1); j++) v += weight[j - i + REACH] / sum * from[j * step];
        row[i] = (float)v;
      }
      for(int i = 0; i < size; i++) from[i * step] = row[i];
    }
}

void dcv_family_draw(int family, const double a[3], int size, float *k)
{
  dcv_psf psf = { k, size, 1 };
  if(family != DCV_FAMILY_GAUSSIAN)
  {
    dcv_psf_make(&psf, family == DCV_FAMILY_DISK ? DCV_PSF_DISK : DCV_PSF_MOTION, exp(a[0]), -a[2] * 180.0 / PI);
    soften(k, size, a[1]);
    dcv_psf_normalise(&psf);
    return;
  }
  const double cosine = cos(a[2]), sine = sin(a[2]), along = exp(-a[0]), across = exp(-a[1]);
  for(int i = 0; i < size; i++)
    for(int j = 0; j < size; j++)
    {
      const double x = j - size / 2, y = i - size / 2;
      const double u = (cosine * x + sine * y) * along, v = (cosine * y - sine * x) * across;
      k[i * size + j] = (float)exp(-0.5 * (u * u + v * v));
    }
  dcv_psf_normalise(&psf);
}

void dcv_family_guess(int family, const float *k, int size, double a[3])
{
  double sum = 0.0, x1 = 0.0, y1 = 0.0, xx = 0.0, xy = 0.0, yy = 0.0;
  for(int i = 0; i < size; i++)
    for(int j = 0; j < size; j++)
    {
      const double v = k[i * size + j], x = j - size / 2, y = i - size / 2;
      sum += v, x1 += v * x, y1 += v * y, xx += v * x * x, xy += v * x * y, yy += v * y * y;
    }
  x1 /= sum, y1 /= sum, xx = xx / sum - x1 * x1, xy = xy / sum - x1 * y1, yy = yy / sum - y1 * y1;
  const double mean = (xx + yy) / 2.0, apart = hypot((xx - yy) / 2.0, xy);
  const double largest = fmax(mean + apart, 0.0), smallest = fmax(mean - apart, 0.0);
  const double width = family == DCV_FAMILY_GAUSSIAN ? sqrt(largest) : family == DCV_FAMILY_DISK ? 2.0 * sqrt(fmax(mean, 0.0)) : sqrt(12.0 * largest);
  a[0] = log(fmax(width, LEAST_WIDTH));
  a[1] = family == DCV_FAMILY_GAUSSIAN ? log(fmax(sqrt(smallest), LEAST_WIDTH)) : 0.0;
  a[2] = 0.5 * atan2(2.0 * xy, xx - yy);
}

/* The numbers are of a member that has its place in the square. */
static bool fits(int family, const double a[3], int size)
{
  const double widest = log(family == DCV_FAMILY_DISK ? size / 2.0 + 1.0 : size + 1.0), least = log(LEAST);
  const bool second = family == DCV_FAMILY_GAUSSIAN ? a[1] > least && a[1] < widest : a[1] >= 0.0 && a[1] <= SOFTEST;
  return a[0] > least && a[0] < widest && second;
}

/* Where the search begins: the moments of k, and a grid. Returns their number. */
static int starts_of(int family, const float *k, int size, double a[STARTS][3])
{
  dcv_family_guess(family, k, size, a[0]);
  int count = 1;
  if(family == DCV_FAMILY_GAUSSIAN)
    for(int i = 0; i < COUNT(GAUSSIANS) && 6.0 * GAUSSIANS[i] < size + 4; i++, count++)
      a[count][0] = a[count][1] = log(GAUSSIANS[i]), a[count][2] = a[0][2];
  if(family == DCV_FAMILY_DISK)
    for(double radius = RADIUS; radius < size / 2.0 + 0.5 && count < STARTS; radius *= RADII, count++)
      a[count][0] = log(radius), a[count][1] = a[count][2] = 0.0;
  for(int i = 0; family == DCV_FAMILY_MOTION && i < COUNT(LENGTHS) && LENGTHS[i] <= size + 1; i++)
    for(int j = 0; j < DIRECTIONS; j++, count++) a[count][0] = log(LENGTHS[i]), a[count][1] = LINE_SOFTNESS, a[count][2] = PI * j / DIRECTIONS;
  return count;
}

/* Whether the member costs less than *least, which it becomes then. The next fit begins where this one ended, unless that is far from the least. */
static bool improves(dcv_whittle *w, int family, const double a[3], int size, float *k, double *least)
{
  if(!fits(family, a, size)) return false;
  double start[DCV_WHITTLE_NUMBERS];
  memcpy(start, w->start, sizeof(start));
  dcv_family_draw(family, a, size, k);
  const double cost = dcv_whittle_cost(w, k, size, FIT_STEPS);
  if(!(cost < *least + FAR)) memcpy(w->start, start, sizeof(start));
  if(!(cost < *least)) return false;
  *least = cost;
  return true;
}

/* The member of least cost met from a on; one that still costs more than `limit` after HOPE passes is hopeless. */
static void search(dcv_whittle *w, int family, double a[3], double cost, double limit, int size, float *k)
{
  double step = SEARCH;
  for(int pass = 0; pass < PASSES && (pass < HOPE || cost < limit); pass++)
  {
    const double before = cost;
    for(int m = 0; m < MOVE_COUNTS[family]; m++)
      for(int sign = 1; sign >= -1; sign -= 2)
      {
        double b[3];
        for(int i = 0; i < 3; i++) b[i] = a[i] + sign * step * MOVES[family][m][i];
        if(!improves(w, family, b, size, k, &cost)) continue;
        memcpy(a, b, sizeof(b));
        break;
      }
    if(cost == before) step /= 2.0;
  }
}

double dcv_family_fit(dcv_whittle *w, int family, const float *k, int size, double limit, float *out)
{
  double starts[STARTS][3], least = HUGE_VAL;
  const int count = starts_of(family, k, size, starts);
  int best = 0;
  for(int i = 0; i < count; i++)
    if(improves(w, family, starts[i], size, out, &least)) best = i;
  search(w, family, starts[best], least, limit, size, out);
  dcv_family_draw(family, starts[best], size, out);
  return dcv_whittle_cost(w, out, size, DCV_WHITTLE_STEPS);
}
