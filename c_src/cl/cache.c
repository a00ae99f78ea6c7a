/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cl/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 128 };
#define BYTES_MAX (64u << 20)

typedef struct entry {
  uint64_t key;
  size_t bytes;
  unsigned char *data;
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry entries[ENTRIES]; /* oldest first */
static int count;
static size_t total;

uint64_t dcv_cl_hash(uint64_t hash, const void *data, size_t bytes)
{
  const unsigned char *const at = data;
  for(size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * 1099511628211u;
  return hash;
}

static int place_of(uint64_t key)
{
  for(int i = 0; i < count; i++)
    if(entries[i].key == key) return i;
  return -1;
}

static void drop(int place)
{
  total -= entries[place].bytes;
  free(entries[place].data);
  count--;
  memmove(entries + place, entries + place + 1, sizeof(*entries) * (count - place));
}

static void keep(uint64_t key, const void *data, size_t bytes)
{
  const int known = place_of(key);
  if(known >= 0) drop(known);
  if(bytes == 0 || bytes > BYTES_MAX) return;
  while(count == ENTRIES || total + bytes > BYTES_MAX) drop(0);
  unsigned char *const own = malloc(bytes);
  if(!own) return;
  memcpy(own, data, bytes);
  entries[count++] = (entry){ key, bytes, own };
  total += bytes;
}

unsigned char *dcv_cl_cache_find(uint64_t key, size_t *bytes)
{
  pthread_mutex_lock(&lock);
  const int place = place_of(key);
  unsigned char *const copy = place < 0 ? NULL : malloc(entries[place].bytes);
  if(copy) memcpy(copy, entries[place].data, *bytes = entries[place].bytes);
  pthread_mutex_unlock(&lock);
  return copy;
}

void dcv_cl_cache_keep(uint64_t key, const void *data, size_t bytes)
{
  pthread_mutex_lock(&lock);
  keep(key, data, bytes);
  pthread_mutex_unlock(&lock);
}

void dcv_cl_cache_forget(uint64_t key)
{
  pthread_mutex_lock(&lock);
  const int place = place_of(key);
  if(place >= 0) drop(place);
  pthread_mutex_unlock(&lock);
}

/* ---- export: a word that names the format, then for each program a head and its bytes ---- */

static const char format[8] = "dcvprog1";

typedef struct head {
  uint64_t key, bytes, sum; /* sum: hash of key, bytes and data */
} head;

static uint64_t sum_of(const head *h, const void *data)
{
  return dcv_cl_hash(dcv_cl_hash(dcv_cl_hash(DCV_CL_HASH, &h->key, sizeof(h->key)), &h->bytes, sizeof(h->bytes)), data, (size_t)h->bytes);
}

void *dcv_cl_cache_export(size_t *bytes)
{
  pthread_mutex_lock(&lock);
  const size_t size = sizeof(format) + count * sizeof(head) + total;
  unsigned char *const out = count ? malloc(size) : NULL;
  if(out)
  {
    unsigned char *at = out + sizeof(format);
    memcpy(out, format, sizeof(format));
    for(int i = 0; i < count; i++)
    {
      head h = { .key = entries[i].key, .bytes = entries[i].bytes };
      h.sum = sum_of(&h, entries[i].data);
      memcpy(at, &h, sizeof(h));
      memcpy(at + sizeof(h), entries[i].data, entries[i].bytes);
      at += sizeof(h) + entries[i].bytes;
    }
  }
  pthread_mutex_unlock(&lock);
  *bytes = out ? size : 0;
  return out;
}

/* Reads the program at *at, which moves on; false when it is damaged. */
static bool next_program(const unsigned char **at, const unsigned char *end, head *h, const unsigned char **data)
{
  if((size_t)(end - *at) < sizeof(*h)) return false;
  memcpy(h, *at, sizeof(*h));
  *data = *at + sizeof(*h);
  if(h->bytes > (size_t)(end - *data) || h->sum != sum_of(h, *data)) return false;
  *at = *data + h->bytes;
  return true;
}

dcv_status dcv_cl_cache_import(const void *data, size_t bytes)
{
  if(!data || bytes < sizeof(format) || memcmp(data, format, sizeof(format)) != 0) return DCV_ERROR_ARGUMENT;
  const unsigned char *const begin = (const unsigned char *)data + sizeof(format), *const end = (const unsigned char *)data + bytes;
  const unsigned char *program;
  head h;
  for(const unsigned char *at = begin; at < end;)
    if(!next_program(&at, end, &h, &program)) return DCV_ERROR_ARGUMENT;
  pthread_mutex_lock(&lock);
  for(const unsigned char *at = begin; at < end && next_program(&at, end, &h, &program);)
    if(place_of(h.key) < 0) keep(h.key, program, (size_t)h.bytes);
  pthread_mutex_unlock(&lock);
  return DCV_OK;
}
