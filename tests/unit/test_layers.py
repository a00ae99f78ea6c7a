# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrows between layers: who may include or import whom, and what the core must not touch."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
C = ROOT / "c_src"

# Layer of the core: the folders whose headers it may include besides its own.
BELOW = {
    "base": set(),
    "maths": {"base"},
    "ops": {"base", "maths"},
    "solve": {"base", "maths", "ops"},
    "": {"base", "maths", "ops", "solve", "cl"},  # plan.c, params.c and their like
    "cl": {"base", "maths", "ops", "solve"},  # runs the admm solver elsewhere
}
FACES = ["darktable", "bench"]  # see the public header only
STANDARD_HEADERS = {
    "complex.h", "float.h", "limits.h", "math.h", "omp.h", "pthread.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h", "stddef.h", "stdint.h",
    "stdlib.h", "string.h", "time.h",
}  # fmt: skip
FFTW_OWNER = "maths/fft_fftw.c"
CL_HEADERS = {"CL/cl.h", "vkFFT.h", "dlfcn.h", "locale.h", "stdio.h"}  # stdio.h for snprintf and what VkFFT uses
FORBIDDEN_CALLS = re.compile(
    r"\b(printf|fprintf|puts|fputs|putchar|perror|fopen|open|exit|_exit|abort|getenv|secure_getenv|setenv|setlocale|localeconv|system)\s*\("
)


def without_comments(text: str) -> str:
    """C source with comments and string literals blanked."""
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda m: m[0] if m[0].startswith('"') else " ", text, flags=re.S)


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s*([<"][^>"]+)[>"]', without_comments(path.read_text("utf-8")), flags=re.M)


def c_files(folder: Path, *, recursive: bool = True) -> list[Path]:
    return sorted(p for p in (folder.rglob("*") if recursive else folder.glob("*")) if p.suffix in {".c", ".h"})


def core_files() -> list[tuple[str, Path]]:
    return [(layer, path) for layer in BELOW for path in c_files(C / layer, recursive=bool(layer))]


def layer_of(include: str) -> str | None:
    """Folder of the core that a quoted include names, None for the public header and the parameter table."""
    if include in {"dcv.h", "params.def", "../opencl/dcv_shared.h"}:
        return None
    return include.split("/")[0] if "/" in include else ""


def core_problems(layer: str, name: str, included: list[str], text: str) -> list[str]:
    """What is wrong with one file of the core."""
    problems = []
    for item in included:
        kind, header = item[0], item[1:]
        if kind == "<":
            allowed = header in STANDARD_HEADERS or (header == "fftw3.h" and name == FFTW_OWNER) or (layer == "cl" and header in CL_HEADERS)
            if not allowed:
                problems.append(f"<{header}>")
            continue
        target = layer_of(header)
        if target is not None and target != layer and target not in BELOW[layer]:
            problems.append(f'"{header}"')
    code = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    problems += [f"{m[1]}()" for m in FORBIDDEN_CALLS.finditer(code)]
    return problems


@pytest.mark.parametrize(("layer", "path"), core_files(), ids=lambda v: str(v.relative_to(C)) if isinstance(v, Path) else None)
def test_core_includes_downward_and_stays_silent(layer: str, path: Path) -> None:
    problems = core_problems(layer, path.relative_to(C).as_posix(), includes(path), without_comments(path.read_text("utf-8")))
    assert not problems


@pytest.mark.parametrize("folder", FACES)
def test_faces_see_only_the_public_header(folder: str) -> None:
    core = {p.relative_to(C).as_posix() for p in C.rglob("*.h") if p.relative_to(C).parts[0] in {*BELOW, "cl"} - {""}}
    core |= {p.name for p in C.glob("*.h")}
    for path in c_files(C / folder):
        wrong = [i for i in includes(path) if i[1:].removeprefix("../") in core]
        assert not wrong, f"{path}: {wrong}"


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of the packages that a module imports absolutely."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    return imported(ast.parse(path.read_text("utf-8")))


def test_reference_imports_only_numpy_and_scipy() -> None:
    import sys

    for path in python_files("pyref"):
        foreign = imports_of(path) - set(sys.stdlib_module_names) - {"numpy", "scipy", "pyref"}
        assert not foreign, f"{path}: {foreign}"


def test_package_does_not_import_the_reference() -> None:
    for path in python_files("bindings"):
        assert "pyref" not in imports_of(path), path


def test_only_parity_tests_import_both() -> None:
    for path in python_files("tests"):
        if {"dcv", "pyref"} <= imports_of(path):
            assert path.relative_to(ROOT / "tests").parts[0] == "parity", path


@pytest.mark.parametrize(
    ("layer", "name", "source", "problem"),
    [
        ("base", "base/x.c", '#include "maths/fft.h"\n', '"maths/fft.h"'),
        ("maths", "maths/x.c", '#include "ops/tv.h"\n', '"ops/tv.h"'),
        ("ops", "ops/x.c", "#include <fftw3.h>\n", "<fftw3.h>"),
        ("solve", "solve/x.c", "#include <stdio.h>\n", "<stdio.h>"),
        ("solve", "solve/x.c", 'void f(void) { printf("x"); }\n', "printf()"),
        ("", "plan.c", "char *f(void) { return getenv(0); }\n", "getenv()"),
    ],
)
def test_the_check_itself_sees_what_is_wrong(layer: str, name: str, source: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "x.c"
    path.write_text(source, "utf-8")
    assert core_problems(layer, name, includes(path), without_comments(source)) == [problem]
