/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * opencl: the OpenCL library, found at run time, so that nothing here needs it to start. The names of the functions used are directed into a table;
 * include this after nothing but CL/cl.h and before code that calls them.
 */
#ifndef DCV_CL_OPENCL_H
#define DCV_CL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include "base/base.h"

#define DCV_CL_FUNCTIONS(X) \
  X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) X(clReleaseContext) \
  X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clCreateBuffer) X(clReleaseMemObject) X(clGetMemObjectInfo) \
  X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram) X(clGetProgramBuildInfo) X(clGetProgramInfo) \
  X(clRetainProgram) X(clReleaseProgram) X(clCreateKernel) X(clReleaseKernel) X(clSetKernelArg) X(clEnqueueNDRangeKernel) \
  X(clEnqueueWriteBuffer) X(clEnqueueReadBuffer) X(clEnqueueReadBufferRect) X(clEnqueueWriteBufferRect) X(clEnqueueCopyBuffer) X(clEnqueueCopyImage) \
  X(clEnqueueFillBuffer) X(clEnqueueCopyImageToBuffer) X(clEnqueueCopyBufferToImage) \
  X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject) X(clEnqueueMarkerWithWaitList) X(clWaitForEvents) X(clReleaseEvent) X(clFinish)

#define DCV_CL_FIELD(name) __typeof__(&name) p_##name;
typedef struct dcv_opencl {
  DCV_CL_FUNCTIONS(DCV_CL_FIELD)
} dcv_opencl;
#undef DCV_CL_FIELD

extern dcv_opencl dcv_opencl_table;

/* Loads the library once; false when there is none. Thread safe. */
bool dcv_opencl_load(void);

#ifndef DCV_CL_LOADER
#define clGetPlatformIDs dcv_opencl_table.p_clGetPlatformIDs
#define clGetPlatformInfo dcv_opencl_table.p_clGetPlatformInfo
#define clGetDeviceIDs dcv_opencl_table.p_clGetDeviceIDs
#define clGetDeviceInfo dcv_opencl_table.p_clGetDeviceInfo
#define clCreateContext dcv_opencl_table.p_clCreateContext
#define clReleaseContext dcv_opencl_table.p_clReleaseContext
#define clCreateCommandQueue dcv_opencl_table.p_clCreateCommandQueue
#define clReleaseCommandQueue dcv_opencl_table.p_clReleaseCommandQueue
#define clCreateBuffer dcv_opencl_table.p_clCreateBuffer
#define clReleaseMemObject dcv_opencl_table.p_clReleaseMemObject
#define clGetMemObjectInfo dcv_opencl_table.p_clGetMemObjectInfo
#define clCreateProgramWithSource dcv_opencl_table.p_clCreateProgramWithSource
#define clCreateProgramWithBinary dcv_opencl_table.p_clCreateProgramWithBinary
#define clBuildProgram dcv_opencl_table.p_clBuildProgram
#define clGetProgramBuildInfo dcv_opencl_table.p_clGetProgramBuildInfo
#define clGetProgramInfo dcv_opencl_table.p_clGetProgramInfo
#define clRetainProgram dcv_opencl_table.p_clRetainProgram
#define clReleaseProgram dcv_opencl_table.p_clReleaseProgram
#define clCreateKernel dcv_opencl_table.p_clCreateKernel
#define clReleaseKernel dcv_opencl_table.p_clReleaseKernel
#define clSetKernelArg dcv_opencl_table.p_clSetKernelArg
#define clEnqueueNDRangeKernel dcv_opencl_table.p_clEnqueueNDRangeKernel
#define clEnqueueWriteBuffer dcv_opencl_table.p_clEnqueueWriteBuffer
#define clEnqueueReadBufferRect dcv_opencl_table.p_clEnqueueReadBufferRect
#define clEnqueueWriteBufferRect dcv_opencl_table.p_clEnqueueWriteBufferRect
#define clEnqueueReadBuffer dcv_opencl_table.p_clEnqueueReadBuffer
#define clEnqueueCopyBuffer dcv_opencl_table.p_clEnqueueCopyBuffer
#define clEnqueueCopyImage dcv_opencl_table.p_clEnqueueCopyImage
#define clEnqueueFillBuffer dcv_opencl_table.p_clEnqueueFillBuffer
#define clEnqueueCopyImageToBuffer dcv_opencl_table.p_clEnqueueCopyImageToBuffer
#define clEnqueueCopyBufferToImage dcv_opencl_table.p_clEnqueueCopyBufferToImage
#define clEnqueueMapBuffer dcv_opencl_table.p_clEnqueueMapBuffer
#define clEnqueueUnmapMemObject dcv_opencl_table.p_clEnqueueUnmapMemObject
#define clEnqueueMarkerWithWaitList dcv_opencl_table.p_clEnqueueMarkerWithWaitList
#define clWaitForEvents dcv_opencl_table.p_clWaitForEvents
#define clReleaseEvent dcv_opencl_table.p_clReleaseEvent
#define clFinish dcv_opencl_table.p_clFinish
#endif

#endif
