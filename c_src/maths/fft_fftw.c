/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * FFTW, single precision. Its planner and wisdom are the process's only shared state: one lock guards them.
 *
 * In place with padded rows, one real plane at a time: measured at 128..1024 px this is as fast as out of place in less memory; two real channels
 * packed in one complex transform gain a quarter per channel, which three channels (four slots) give back.
 */
#include "maths/fft.h"

#include <fftw3.h>
#include <pthread.h>

static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

int dcv_fft_fast_size(int n)
{
  int power = 1;
  while(8 * power < n) power *= 2;
  for(int quarters = 4; quarters <= 6; quarters++)
    if(quarters * power >= n) return quarters * power;
  return 8 * power;
}

void dcv_fft_layout(dcv_fft *fft, int width, int height)
{
  fft->width = width;
  fft->height = height;
  fft->columns = width / 2 + 1;
  fft->stride = (2 * fft->columns + 15) / 16 * 16;
  if((fft->stride & (fft->stride - 1)) == 0) fft->stride += 16;
  fft->plane = (size_t)fft->stride * height;
  fft->forward = fft->inverse = NULL;
}

dcv_status dcv_fft_init(dcv_fft *fft, int width, int height, int planning)
{
  dcv_fft_layout(fft, width, height);
  float *scratch = dcv_alloc_floats(fft->plane);
  if(!scratch) return DCV_ERROR_MEMORY;
  const unsigned flags = planning == 0 ? FFTW_ESTIMATE : planning == 1 ? FFTW_MEASURE : FFTW_PATIENT;
  const int n[2] = { height, width };
  const int real_rows[2] = { height, fft->stride };
  const int complex_rows[2] = { height, fft->stride / 2 };
  pthread_mutex_lock(&planner);
  fft->forward = fftwf_plan_many_dft_r2c(2, n, 1, scratch, real_rows, 1, 0, (fftwf_complex *)scratch, complex_rows, 1, 0, flags);
  fft->inverse = fftwf_plan_many_dft_c2r(2, n, 1, (fftwf_complex *)scratch, complex_rows, 1, 0, scratch, real_rows, 1, 0, flags);
  pthread_mutex_unlock(&planner);
  dcv_release(scratch);
  if(fft->forward && fft->inverse) return DCV_OK;
  dcv_fft_clear(fft);
  return DCV_ERROR_FFT;
}

void dcv_fft_clear(dcv_fft *fft)
{
  pthread_mutex_lock(&planner);
  if(fft->forward) fftwf_destroy_plan(fft->forward);
  if(fft->inverse) fftwf_destroy_plan(fft->inverse);
  pthread_mutex_unlock(&planner);
  fft->forward = fft->inverse = NULL;
}

void dcv_fft_forward(const dcv_fft *fft, float *data)
{
  fftwf_execute_dft_r2c(fft->forward, data, (fftwf_complex *)data);
}

void dcv_fft_inverse(const dcv_fft *fft, float *data)
{
  fftwf_execute_dft_c2r(fft->inverse, (fftwf_complex *)data, data);
}

const char *dcv_fft_version(void)
{
  return fftwf_version;
}

char *dcv_wisdom_export(void)
{
  pthread_mutex_lock(&planner);
  char *text = fftwf_export_wisdom_to_string();
  pthread_mutex_unlock(&planner);
  return text;
}

dcv_status dcv_wisdom_import(const char *text)
{
  if(!text) return DCV_ERROR_ARGUMENT;
  pthread_mutex_lock(&planner);
  const int accepted = fftwf_import_wisdom_from_string(text);
  pthread_mutex_unlock(&planner);
  return accepted ? DCV_OK : DCV_ERROR_ARGUMENT;
}
