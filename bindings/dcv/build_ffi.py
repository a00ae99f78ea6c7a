# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the C source of the extension module ``dcv._dcv`` (cffi, API mode).

Usage: ``build_ffi.py DCV_H PARAMS_DEF OUTPUT_C``

The declarations are read from the public header and the parameter table themselves, so that nothing is mirrored by hand: a small
preprocessor keeps integer constants, expands the table inside ``dcv_params`` and drops everything else that starts with ``#``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cffi

FIELD_TYPES = {"INT": "int32_t", "FLOAT": "float", "ENUM": "int32_t"}

# Cancelling must not need the interpreter: workers ask often and from threads that Python does not know.
CALL_DECLARATION = """
typedef struct { int cancelled; void *python; } dcv_py_call;
int dcv_py_cancelled(void *user);
extern "Python" void dcv_py_progress(void *user, double fraction);
extern "Python" void dcv_py_log(void *user, dcv_log_level level, const char *message);
"""
CALL_SOURCE = """
#include "dcv.h"
typedef struct { int cancelled; void *python; } dcv_py_call;
static int dcv_py_cancelled(void *user) { return __atomic_load_n(&((dcv_py_call *)user)->cancelled, __ATOMIC_RELAXED); }
"""


def struct_fields(table: str) -> str:
    """Declarations of the rows of params.def, in their order."""
    table = re.sub(r"/\*.*?\*/", "", table, flags=re.S)
    rows = re.findall(r"^DCV_(INT|FLOAT|ENUM)\s*\(\s*(\w+)\s*,", table, flags=re.M)
    return "\n".join(f"  {FIELD_TYPES[kind]} {name};" for kind, name in rows)


def declarations(header: str, table: str) -> str:
    """The header as cffi's parser wants it: no comments, no preprocessor but constants."""
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    header = re.sub(r"#ifdef __cplusplus.*?#endif", "", header, flags=re.S)
    kept = []
    for line in header.splitlines():
        if line.strip() == '#include "params.def"':
            kept.append(struct_fields(table))
        elif re.fullmatch(r"#define\s+DCV_\w+\s+\d+\s*", line):
            kept.append(line)
        elif line.startswith("#define DCV_VERSION "):
            kept.append("#define DCV_VERSION ...")
        elif not line.lstrip().startswith("#"):
            kept.append(line.replace("DCV_API ", ""))
    return "\n".join(kept)


def main(header: str, table: str, output: str) -> None:
    """Write the extension module's source to `output`."""
    ffi = cffi.FFI()
    ffi.cdef(declarations(Path(header).read_text("utf-8"), Path(table).read_text("utf-8")))
    ffi.cdef(CALL_DECLARATION)
    ffi.set_source("dcv._dcv", CALL_SOURCE)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
