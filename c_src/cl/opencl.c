/* SPDX-License-Identifier: GPL-3.0-or-later */
#define DCV_CL_LOADER
#include "cl/opencl.h"

#include <dlfcn.h>
#include <pthread.h>

dcv_opencl dcv_opencl_table;

static bool loaded;

/* ISO C has no conversion from an object pointer to a function pointer; POSIX has. */
static bool find(void *library, const char *name, void *function)
{
  *(void **)function = dlsym(library, name);
  return *(void **)function != NULL;
}

static void load(void)
{
  void *library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if(!library) library = dlopen("libOpenCL.so", RTLD_NOW | RTLD_LOCAL);
  if(!library) return;
#define FIND(name) find(library, #name, &dcv_opencl_table.p_##name) &&
  loaded = DCV_CL_FUNCTIONS(FIND) true;
#undef FIND
  if(!loaded) dlclose(library); /* otherwise kept: drivers do not like to be unloaded */
}

bool dcv_opencl_load(void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return loaded;
}
