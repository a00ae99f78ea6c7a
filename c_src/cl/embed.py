# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the kernels as a C string, the shared header in front of them.

Usage: ``embed.py HEADER KERNELS.cl ... OUTPUT.c``
"""

import sys
from pathlib import Path

header, *kernels, output = map(Path, sys.argv[1:])
lines = header.read_text("utf-8").splitlines()
for kernel in kernels:
    lines += [line for line in kernel.read_text("utf-8").splitlines() if line != f'#include "{header.name}"']
escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
body = ",\n".join(f'  "{line}\\n"' for line in escaped)
text = f'#include "cl/cl.h"\n\nconst char *const dcv_cl_source[] = {{\n{body},\n}};\nconst unsigned dcv_cl_source_lines = {len(lines)};\n'
output.write_text(text, "utf-8")
