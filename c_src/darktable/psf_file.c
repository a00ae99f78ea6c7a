/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "psf_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <tiffio.h>

#define N_(text) text // the caller translates it

static const char *_read(TIFF *tiff, const int most, float *psf, int *size, int *channels)
{
  uint32_t width = 0, height = 0;
  uint16_t bits = 1, samples = 1, format = SAMPLEFORMAT_UINT, layout = PLANARCONFIG_CONTIG;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout);
  const int is_float = format == SAMPLEFORMAT_IEEEFP && bits == 32, is_integer = format == SAMPLEFORMAT_UINT && bits == 16;
  if(width != height || width % 2 == 0) return N_("a blur is a square of odd size");
  if(width > (uint32_t)most) return N_("the blur in this file is too large");
  if((samples != 1 && samples != 3) || (!is_float && !is_integer) || layout != PLANARCONFIG_CONTIG || TIFFIsTiled(tiff))
    return N_("only one or three channels of float or 16-bit integers are read");
  if(TIFFScanlineSize(tiff) != (tmsize_t)(width * samples * (bits / 8))) return N_("this file cannot be read");

  void *row = malloc(TIFFScanlineSize(tiff));
  const char *problem = row ? NULL : N_("not enough memory");
  for(uint32_t y = 0; y < height && !problem; y++)
  {
    if(TIFFReadScanline(tiff, row, y, 0) != 1) problem = N_("this file cannot be read");
    for(uint32_t x = 0; x < width && !problem; x++)
      for(int c = 0; c < samples; c++)
      {
        const uint32_t i = x * samples + c;
        psf[(c * height + y) * width + x] = is_float ? ((const float *)row)[i] : ((const uint16_t *)row)[i];
      }
  }
  free(row);
  *size = (int)width;
  *channels = samples;
  return problem;
}

const char *psf_file_read(const char *path, const int most, float *psf, int *size, int *channels)
{
  TIFF *tiff = TIFFOpen(path, "r");
  if(!tiff) return N_("this is no TIFF file");
  const char *problem = _read(tiff, most, psf, size, channels);
  TIFFClose(tiff);
  return problem;
}
