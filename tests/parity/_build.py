# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds cffi extensions against the static library and its internal headers, on first use.

They are kept in build/ops-<checksum of library, headers and sources>. DCV_BUILD names another build folder than build/release.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import cffi

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "c_src"


def library() -> Path:
    """The static library."""
    path = ROOT / os.environ.get("DCV_BUILD", "build/release") / "c_src/libdcv.a"
    if not path.exists():
        raise RuntimeError(f"{path} is missing: run tools/setup")
    return path


def extension(name: str, declarations: str, source: str, more: tuple[str, ...] = ()) -> Any:
    """The extension module (ffi, lib) of `declarations`, implemented by `source` and the files `more` of the core."""
    sources = [CORE / path for path in more]
    digest = hashlib.sha256((name + declarations + source + sysconfig.get_config_var("EXT_SUFFIX")).encode())
    for path in [library(), *sources, *sorted(CORE.glob("*/*.h"))]:
        digest.update(path.read_bytes())
    folder = ROOT / "build" / f"ops-{digest.hexdigest()[:16]}"
    built = folder / (name + sysconfig.get_config_var("EXT_SUFFIX"))
    if not built.exists():
        flags = subprocess.run(["pkg-config", "--libs", "fftw3f"], check=True, capture_output=True, text=True).stdout.split()
        ffi = cffi.FFI()
        ffi.cdef(declarations)
        ffi.set_source(
            name,
            source,
            sources=[str(path) for path in sources],
            include_dirs=[str(CORE), str(CORE / "include")],
            extra_objects=[str(library())],
            extra_compile_args=["-std=c11", "-O2", "-fopenmp", "-D_POSIX_C_SOURCE=200809L", "-UNDEBUG"],
            extra_link_args=["-fopenmp", *flags, "-lpthread", "-ldl", "-lm"],
        )
        part = folder.with_suffix(f".{os.getpid()}")  # renamed when complete: other processes may build the same
        ffi.compile(tmpdir=str(part))
        if folder.exists():
            shutil.rmtree(part)
        else:
            part.rename(folder)
    spec = importlib.util.spec_from_file_location(name, built)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
