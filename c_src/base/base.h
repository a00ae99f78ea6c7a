/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * base: what every layer above may use: status codes, aligned memory, SIMD dispatch, clock, callbacks. No printing, no floating state.
 */
#ifndef DCV_BASE_H
#define DCV_BASE_H

#include "dcv.h"

#include <stdbool.h>

#if defined(_OPENMP)
#include <omp.h>
#endif

#define DCV_ALIGN 64

/* Leaf loops marked DCV_SIMD are compiled once for the baseline and once each for wider vectors; the loader picks by the running CPU.
 * They must be plain C loops without OpenMP (an outlined parallel region would not be cloned). */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && !defined(DCV_NO_SIMD)
#define DCV_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DCV_SIMD
#endif

#define DCV_MIN(a, b) ((a) < (b) ? (a) : (b))
#define DCV_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Returns from the caller with the status unless it is DCV_OK. */
#define DCV_TRY(expression)                         \
  do {                                              \
    const dcv_status status_ = (expression);        \
    if(status_ != DCV_OK) return status_;           \
  } while(0)

/* ---- memory ---- */

/* DCV_ALIGN-aligned, uninitialised; NULL when there is not enough, when bytes is 0, or when a test asked for failure. */
void *dcv_alloc(size_t bytes);
float *dcv_alloc_floats(size_t count);
void dcv_release(void *memory); /* NULL allowed */
/* Tests: the n-th allocation from now on fails once (1: the next); 0: never. count: allocations so far in this process. */
void dcv_alloc_fail_at(long n);
long dcv_alloc_count(void);

/* Rounded up to whole cache lines of floats. */
static inline size_t dcv_round_floats(size_t count)
{
  return (count + 15) / 16 * 16;
}

/* ---- clock and callbacks ---- */

double dcv_seconds(void); /* monotonic */

static inline bool dcv_cancelled(const dcv_callbacks *cb)
{
  return cb && cb->cancelled && cb->cancelled(cb->user);
}
static inline void dcv_progress(const dcv_callbacks *cb, double fraction)
{
  if(cb && cb->progress) cb->progress(cb->user, fraction);
}
void dcv_log(const dcv_callbacks *cb, dcv_log_level level, const char *message);

/* Threads to use: `wanted`, or what OpenMP offers for 0; 1 without OpenMP. */
int dcv_threads(int wanted);

/* Number of the running thread in its team; 0 outside a parallel region and without OpenMP. */
static inline int dcv_thread(void)
{
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

/* ---- pictures ---- */

/* OK, ARGUMENT (NULL) or SIZE. */
dcv_status dcv_image_check(const dcv_image *image, int channels);

#endif
