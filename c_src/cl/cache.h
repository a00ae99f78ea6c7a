/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cache: compiled programs as the bytes that the driver gave for them, kept in this process and, through export and import, in a file of the caller's.
 *
 * A key stands for everything that the bytes depend on. What comes from another process is not trusted: a damaged import is refused as a whole, and
 * bytes that a driver refuses are forgotten and compiled again.
 */
#ifndef DCV_CL_CACHE_H
#define DCV_CL_CACHE_H

#include "base/base.h"

/* FNV-1a (Fowler, Noll, Vo) of `bytes` more; begins with DCV_CL_HASH. */
#define DCV_CL_HASH 14695981039346656037u
uint64_t dcv_cl_hash(uint64_t hash, const void *data, size_t bytes);

/* A copy of the program's bytes, for free(); NULL when it is not kept. */
unsigned char *dcv_cl_cache_find(uint64_t key, size_t *bytes);
/* Keeps a copy, in place of the oldest ones where there is no room; without memory nothing. */
void dcv_cl_cache_keep(uint64_t key, const void *data, size_t bytes);
void dcv_cl_cache_forget(uint64_t key);

/* All that is kept, for free(), NULL when nothing is; adds it again: ARGUMENT when damaged. */
void *dcv_cl_cache_export(size_t *bytes);
dcv_status dcv_cl_cache_import(const void *data, size_t bytes);

#endif
