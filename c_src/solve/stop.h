/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * stop: how many iterations a solver is given.
 *
 * Decided once, by a run on a sample window, and then the same for every tile: a rule measured on each tile would make tiles differ from the whole. After
 * each iteration two numbers over the window's known values, neither clipped nor reached by a lamp (ops/highlight):
 *
 *   change     100 |x_t - x_{t-1}| / |x_t - x_0| percent
 *   whiteness  of the residual k * x_t - y (ops/whiteness; Almeida and Figueiredo 2013)
 *
 * Stagnation: the change stays below the tolerance (rl: a quarter of it) three times in a row. Whiteness: `patience` iterations without a whiter residual,
 * for solvers that diverge in the end (rl); for the others 0, never. The state kept is the last: the whitest residual comes too early, by up to 5 dB
 * (docs/flavours.md).
 */
#ifndef DCV_STOP_H
#define DCV_STOP_H

#include "solve/solver.h"

#define DCV_STOP_WINDOW 256 /* px, largest side */

/* tolerance in percent; start with the rest 0. */
typedef struct dcv_stop_rule {
  double tolerance;
  int patience;
  int quiet, whitest_at; /* iterations below the tolerance in a row; the one with the whitest residual */
  double whitest;
  dcv_stop reason;
} dcv_stop_rule;

/* True when the rule ends the run after `iteration` = 1, 2 ... */
bool dcv_stop_ask(dcv_stop_rule *rule, int iteration, double change, double whiteness);

/* Runs the solver on the middle of `in`. job: all but fft, iterations and watch. *iterations: solver->most or fewer; solver->iterations if the window holds
 * no known value. change, whiteness: NULL, or solver->most values each, written up to *iterations - 1 (the last state is not asked about when none
 * stopped before). MEMORY, FFT, CANCELLED. */
dcv_status dcv_stop_iterations(const dcv_solver *solver, const dcv_job *job, const dcv_image *in, float tolerance, int planning,
                               const dcv_callbacks *callbacks, int *iterations, dcv_stop *reason, double *change, double *whiteness);

#endif
