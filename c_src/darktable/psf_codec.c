/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "psf_codec.h"

#include <math.h>
#include <string.h>

static int _usable(const int size, const int channels)
{
  return size >= 1 && size <= PSF_CODEC_SIDE && size % 2 == 1 && (channels == 1 || channels == PSF_CODEC_CHANNELS);
}

// FNV-1a, 32 bits (Fowler, Noll, Vo), over little-endian bytes, so that it does not depend on the machine
static uint32_t _hash16(uint32_t hash, const unsigned value)
{
  hash = (hash ^ (value & 0xffu)) * 16777619u;
  return (hash ^ (value >> 8 & 0xffu)) * 16777619u;
}

static uint32_t _checksum(const uint16_t *code, const int size, const int channels)
{
  uint32_t hash = _hash16(_hash16(2166136261u, size), channels);
  for(int i = 0; i < size * size * channels; i++) hash = _hash16(hash, code[i]);
  return hash;
}

psf_codec_t psf_encode(const float *psf, const int size, const int channels, uint16_t code[PSF_CODEC_VALUES], uint32_t *check)
{
  if(!_usable(size, channels)) return PSF_CODEC_DAMAGED;

  const int n = size * size;
  float peak[PSF_CODEC_CHANNELS] = { 0.0f };
  for(int i = 0; i < n * channels; i++)
  {
    if(!(psf[i] >= 0.0f && isfinite(psf[i]))) return PSF_CODEC_DAMAGED;
    peak[i / n] = fmaxf(peak[i / n], psf[i]);
  }
  for(int c = 0; c < channels; c++)
    if(!(peak[c] > 0.0f)) return PSF_CODEC_DAMAGED;

  memset(code, 0, sizeof(uint16_t) * PSF_CODEC_VALUES);
  for(int i = 0; i < n * channels; i++) code[i] = (uint16_t)lrint(65535.0 * psf[i] / peak[i / n]);
  *check = _checksum(code, size, channels);
  return PSF_CODEC_OK;
}

psf_codec_t psf_decode(const uint16_t code[PSF_CODEC_VALUES], const int size, const int channels, const uint32_t check, float *psf)
{
  if(size == 0 && channels == 0) return PSF_CODEC_EMPTY;
  if(!_usable(size, channels) || check != _checksum(code, size, channels)) return PSF_CODEC_DAMAGED;

  const int n = size * size;
  double sum[PSF_CODEC_CHANNELS] = { 0.0 };
  for(int i = 0; i < n * channels; i++) sum[i / n] += code[i];
  for(int c = 0; c < channels; c++)
    if(sum[c] == 0.0) return PSF_CODEC_DAMAGED;

  for(int i = 0; i < n * channels; i++) psf[i] = (float)(code[i] / sum[i / n]);
  return PSF_CODEC_OK;
}
