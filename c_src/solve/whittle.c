/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/whittle.h"

#include "maths/otf.h"

#include <math.h>
#include <string.h>

#define PI 3.14159265358979323846
#define LOWEST 4.0     /* periods in the window's shorter side */
#define SLOPE 1.2      /* first guess of p1: the power of pictures falls with the square of the frequency and a little more */
#define LARGEST_STEP 2.0 /* of a number */
#define RIDGE 1e-6
enum { N = DCV_WHITTLE_NUMBERS };

int dcv_whittle_side(int side, int size)
{
  return dcv_fft_fast_size(DCV_MAX((side + 1) / 2, size));
}

/* Under a Hann window, less its mean there, and folded: that samples its transform. Returns the sum of the squared weights. */
static double fold(const dcv_fft *fft, const float *window, int width, int height, float *plane)
{
  double sum = 0.0, weights = 0.0, squares = 0.0;
  memset(plane, 0, sizeof(float) * fft->plane);
  for(int pass = 0; pass < 2; pass++)
    for(int y = 0; y < height; y++)
    {
      const double row = pow(sin(PI * (y + 1) / (height + 1)), 2.0);
      for(int x = 0; x < width; x++)
      {
        const double hann = row * pow(sin(PI * (x + 1) / (width + 1)), 2.0), v = window[(size_t)y * width + x];
        if(pass == 0)
          sum += v * hann, weights += hann, squares += hann * hann;
        else
          plane[(size_t)(y % fft->height) * fft->stride + x % fft->width] += (float)((v - sum / weights) * hann);
      }
    }
  return squares;
}

void dcv_whittle_open(dcv_whittle *w, const dcv_fft *fft, const float *window, int width, int height, double variance, double highest,
                      float *memory)
{
  const size_t half = fft->plane / 2;
  float *const arrays = memory + fft->plane;
  *w = (dcv_whittle){ .fft = fft, .plane = memory, .power = arrays, .slope = arrays + half, .along = arrays + 2 * half, .diagonal = arrays + 3 * half };
  w->through = arrays + 4 * half, w->at = (int *)(arrays + 5 * half);
  const double squares = fold(fft, window, width, height, w->plane), lowest = pow(2.0 * PI * LOWEST / DCV_MIN(width, height), 2.0);
  dcv_fft_forward(fft, w->plane);
  double mean = 0.0;
  for(int v = 0; v < fft->height; v++)
    for(int u = 1; u < fft->columns; u++)
    {
      const double fx = (double)u / fft->width, fy = (double)(v <= fft->height / 2 ? v : v - fft->height) / fft->height;
      const double square = 4.0 * (pow(sin(PI * fx), 2.0) + pow(sin(PI * fy), 2.0)), theta = 2.0 * atan2(fy, fx);
      if(square < lowest || square > highest) continue;
      const int i = w->count++;
      const float *p = w->plane + (w->at[i] = v * fft->stride + 2 * u);
      mean += w->power[i] = (float)((p[0] * p[0] + p[1] * p[1]) / squares);
      w->slope[i] = (float)-log(square), w->along[i] = (float)cos(theta), w->diagonal[i] = (float)sin(theta);
    }
  w->start[0] = log(fmax(0.01 * mean / DCV_MAX(w->count, 1), 1e-30)), w->start[1] = SLOPE;
  w->start[4] = log(fmax(variance, 1e-12));
}

/* Mean of log m + P / m at the numbers p; its gradient and the expected second derivatives. */
static double likelihood(const dcv_whittle *w, const double p[N], double gradient[N], double curvature[N][N])
{
  double cost = 0.0, g[N] = { 0.0 }, h[N][N] = { { 0.0 } };
  const double noise = exp(p[4]);
  for(int i = 0; i < w->count; i++)
  {
    const double s = w->through[i] * exp(fmin(fmax(p[0] + p[1] * w->slope[i] + p[2] * w->along[i] + p[3] * w->diagonal[i], -60.0), 60.0));
    const double m = s + noise, ratio = w->power[i] / m, share = s / m;
    const double d[N] = { share, share * w->slope[i], share * w->along[i], share * w->diagonal[i], noise / m };
    cost += log(m) + ratio;
    for(int a = 0; a < N; a++)
    {
      g[a] += d[a] * (1.0 - ratio);
      for(int b = 0; b <= a; b++) h[a][b] += d[a] * d[b];
    }
  }
  for(int a = 0; a < N; a++)
  {
    gradient[a] = g[a] / w->count;
    for(int b = 0; b <= a; b++) curvature[a][b] = curvature[b][a] = h[a][b] / w->count + (a == b ? RIDGE : 0.0);
  }
  return cost / w->count;
}

/* h d = g by Cholesky; h is positive definite. */
static void solve(double h[N][N], const double g[N], double d[N])
{
  for(int i = 0; i < N; i++)
  {
    for(int j = 0; j <= i; j++)
    {
      for(int k = 0; k < j; k++) h[i][j] -= h[i][k] * h[j][k];
      h[i][j] = i == j ? sqrt(fmax(h[i][i], 1e-300)) : h[i][j] / h[j][j];
    }
    d[i] = g[i];
    for(int k = 0; k < i; k++) d[i] -= h[i][k] * d[k];
    d[i] /= h[i][i];
  }
  for(int i = N - 1; i >= 0; i--)
  {
    for(int k = i + 1; k < N; k++) d[i] -= h[k][i] * d[k];
    d[i] /= h[i][i];
  }
}

double dcv_whittle_cost(dcv_whittle *w, const float *k, int n, int steps)
{
  const dcv_psf psf = { (float *)k, n, 1 };
  dcv_otf(w->fft, &psf, 0, w->plane);
  for(int i = 0; i < w->count; i++)
  {
    const float *p = w->plane + w->at[i];
    w->through[i] = p[0] * p[0] + p[1] * p[1];
  }
  double p[N], best[N], gradient[N], curvature[N][N], d[N], cost = HUGE_VAL;
  memcpy(best, w->start, sizeof(best));
  memcpy(p, best, sizeof(p));
  for(int s = 0; s <= steps; s++)
  {
    const double value = likelihood(w, p, gradient, curvature);
    if(!(value <= cost))
    {
      for(int a = 0; a < N; a++) p[a] = best[a] + (p[a] - best[a]) / 4.0;
      continue;
    }
    cost = value;
    memcpy(best, p, sizeof(best));
    solve(curvature, gradient, d);
    double largest = 0.0;
    for(int a = 0; a < N; a++) largest = fmax(largest, fabs(d[a]));
    for(int a = 0; a < N; a++) p[a] = best[a] - d[a] * fmin(1.0, LARGEST_STEP / fmax(largest, 1e-30));
  }
  memcpy(w->start, best, sizeof(best));
  return cost;
}
