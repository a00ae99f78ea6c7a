/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a module that is not part of darktable's source tree needs on top of one that is: a place in the module order, and a guard
 * against a darktable other than the one it was built for. deconvolution.c uses this only when DCV_OUT_OF_TREE is defined.
 */
#ifndef DECONVOLUTION_OUTOFTREE_H
#define DECONVOLUTION_OUTOFTREE_H

#include "develop/imageop.h"

/* From init_global: enters `op` into the order that darktable checks at start-up, and makes the triggers that enter it into the order of
 * every image that this run of darktable writes. */
void outoftree_init_global(const char *op);

/* From reload_defaults: enters the module into the order of the image being loaded. */
void outoftree_reload_defaults(dt_iop_module_t *self);

#endif
