/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * prototype: the solver of the Cython prototype (Image-Cases-Studies, commit 7ebf283), its defects included, on the core's operators: history, kept so that
 * tests and the comparison of flavours can set the C core beside recorded results. pyref/prototype.py states the formulas and names the defects. Not
 * part of the library.
 */
#ifndef DCV_PROTOTYPE_H
#define DCV_PROTOTYPE_H

#include "maths/fft.h"

typedef struct dcv_prototype {
  int rows, cols, size; /* of the picture and the PSF (odd) */
  int iterations;       /* outer ones, 5 inner steps each */
  float step, lam, tau;
  bool blind, correlation, repaired_tv, stopping;
  int top, bottom, left, right; /* window of the whiteness */
} dcv_prototype;

/* Interleaved RGB. f: rows x cols, replaced by its denoised form. u: (rows + size - 1) x (cols + size - 1), start and result. k: size x size; k_caller: what the
 * prototype's caller gets. mask: rows x cols, the last one. trace: whiteness after each outer iteration. Returns their number, or -1
 * without memory. */
int dcv_prototype_run(const dcv_prototype *call, float *f, float *u, float *k, float *k_caller, float *mask, double *trace);

#endif
