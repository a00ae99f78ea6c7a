/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "solve/stop.h"

#include "ops/boundary.h"
#include "ops/highlight.h"
#include "ops/tile.h"
#include "ops/whiteness.h"

#include <math.h>
#include <string.h>

enum { QUIET = 3 };

bool dcv_stop_ask(dcv_stop_rule *rule, int iteration, double change, double whiteness)
{
  rule->quiet = change < rule->tolerance ? rule->quiet + 1 : 0;
  if(iteration == 1 || whiteness > rule->whitest) rule->whitest = whiteness, rule->whitest_at = iteration;
  if(rule->quiet >= QUIET) rule->reason = DCV_STOP_STAGNATION;
  if(rule->patience > 0 && iteration - rule->whitest_at >= rule->patience) rule->reason = DCV_STOP_WHITENESS;
  return rule->reason != DCV_STOP_ITERATIONS;
}

/* The run on the window. Planes of each channel: the data with NaN where unknown, the x before, the residual. */
typedef struct sample {
  const dcv_job *job;
  int width, height, iterations;
  float *data[3], *before[3], *residual[3];
  double *change, *whiteness;
  dcv_stop_rule rule;
  const dcv_callbacks *callbacks;
  int cancelled;
} sample;

static bool stops(void *user, int iteration, float *const *x, float *const *model)
{
  sample *s = user;
  const int stride = s->job->fft->stride, channels = s->job->channels;
  double step = 0.0, way = 0.0;
  for(int c = 0; c < channels; c++)
    for(int i = 0; i < s->height; i++)
      for(int j = 0; j < s->width; j++)
      {
        const size_t at = (size_t)i * stride + j;
        const float y = s->data[c][at];
        s->residual[c][at] = isnan(y) ? 0.0f : model[c][at] - y;
        if(isnan(y)) continue;
        const double from_before = x[c][at] - (iteration > 1 ? s->before[c][at] : y), from_data = x[c][at] - y;
        step += from_before * from_before, way += from_data * from_data;
      }
  for(int c = 0; c < channels; c++) memcpy(s->before[c], x[c], sizeof(float) * s->job->fft->plane);
  const double change = way > 0.0 ? 100.0 * sqrt(step / way) : 0.0;
  const double white = dcv_whiteness((const float *const *)s->residual, channels, s->width, s->height, stride);
  if(s->change) s->change[iteration - 1] = change;
  if(s->whiteness) s->whiteness[iteration - 1] = white;
  const bool over = dcv_stop_ask(&s->rule, iteration, change, white);
  if(over) s->iterations = iteration;
  return over;
}

static void step(void *user, double fraction)
{
  sample *s = user;
  (void)fraction;
  s->cancelled = dcv_cancelled(s->callbacks);
}

dcv_status dcv_stop_iterations(const dcv_solver *solver, const dcv_job *resolved, const dcv_image *in, float tolerance, int planning,
                               const dcv_callbacks *callbacks, int *iterations, dcv_stop *reason, double *change, double *whiteness)
{
  const int channels = resolved->channels, gap = dcv_boundary_gap(resolved->psf->size / 2, 0);
  const int width = DCV_MIN(in->width, DCV_STOP_WINDOW), height = DCV_MIN(in->height, DCV_STOP_WINDOW);
  const int left = (in->width - width) / 2, top = (in->height - height) / 2;
  *iterations = solver->iterations, *reason = DCV_STOP_ITERATIONS;
  if(DCV_MIN(width, height) <= DCV_WHITENESS_LAGS) return DCV_OK; /* no lags to measure */

  dcv_fft fft;
  DCV_TRY(dcv_fft_init(&fft, dcv_fft_fast_size(width + gap), dcv_fft_fast_size(height + gap), planning));
  dcv_job job = *resolved;
  job.fft = &fft, job.iterations = solver->most;
  const size_t work_floats = dcv_round_floats(solver->work_floats(&job)), planes = channels * fft.plane;
  float *const shared = dcv_alloc_floats(solver->shared_floats(&job)), *const work = dcv_alloc_floats(work_floats + 4 * planes + 2 * fft.plane);
  dcv_status status = shared && work ? DCV_OK : DCV_ERROR_MEMORY;
  if(status == DCV_OK)
  {
    sample s = { .job = &job, .width = width, .height = height, .iterations = solver->most, .change = change, .whiteness = whiteness,
                 .rule = { .tolerance = solver->stagnation * tolerance, .patience = solver->patience }, .callbacks = callbacks };
    float *z[3];
    for(int c = 0; c < channels; c++)
    {
      z[c] = work + work_floats + c * fft.plane;
      s.data[c] = z[c] + planes, s.before[c] = z[c] + 2 * planes, s.residual[c] = z[c] + 3 * planes;
    }
    const dcv_tile whole = { .x0 = left, .y0 = top, .x1 = left + width, .y1 = top + height };
    dcv_tile_load(in, &whole, channels, &fft, z);
    const dcv_highlight highlight = dcv_highlight_of(job.psf, job.saturation, job.noise);
    float *const reached = work + work_floats + 4 * planes;
    const bool lamps = dcv_highlight_find(&highlight, &fft, channels, z, width, height, reached, reached + fft.plane);
    bool any = false;
    for(int c = 0; c < channels; c++)
      for(int i = 0; i < height; i++)
        for(int j = 0; j < width; j++)
        {
          const size_t at = (size_t)i * fft.stride + j;
          if(lamps && reached[at] > 0.0f) z[c][at] = NAN;
          const bool known = isfinite(z[c][at]) && z[c][at] < job.saturation;
          s.data[c][at] = known ? z[c][at] : NAN;
          any |= known;
        }
    if(any)
    {
      const dcv_watch watch = { stops, &s };
      job.watch = &watch;
      dcv_tile_run tile = { .planes = z, .data_width = width, .data_height = height, .frame = true, .edge_x = dcv_boundary_edge(gap),
                            .edge_y = dcv_boundary_edge(gap), .step = step, .stop = &s.cancelled, .user = &s };
      solver->prepare(&job, shared);
      solver->run(&job, shared, work, &tile);
      *iterations = s.iterations, *reason = s.rule.reason;
      if(s.cancelled) status = DCV_ERROR_CANCELLED;
    }
  }
  dcv_release(shared);
  dcv_release(work);
  dcv_fft_clear(&fft);
  return status;
}
