# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.parity.mutations [PART OF A FILE'S NAME ...]``: change one sign in each operator of the core, and see which test notices.

Works on a copy of the tree in a temporary folder; builds the library there after each change and runs the tests of that operator until the first
fails. Prints a Markdown table; exits 1 when a change goes unnoticed or its text is not found any more. Half an hour on one core. OpenCL kernels need
pyopencl and a platform.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# File: tests that know it, and (text, what replaces it) for each mutation; the first occurrence is changed.
MUTATIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "c_src/maths/fft_fftw.c": ("test_operators.py -k test_fft", [
        ("fftwf_execute_dft_r2c(fft->forward, data", "data[0] = -data[0], fftwf_execute_dft_r2c(fft->forward, data"),
        ("fftwf_execute_dft_c2r(fft->inverse, (", "data[0] = -data[0], fftwf_execute_dft_c2r(fft->inverse, ("),
    ]),
    "c_src/maths/otf.c": ("test_operators.py -k 'convolution or otf'", [("(i - n / 2) % h", "(i + n / 2) % h"), ("4.0 * s * s", "-4.0 * s * s")]),
    "c_src/maths/psf.c": ("test_operators.py -k psf", [
        ("-sin(b * PI", "sin(b * PI"),
        ("-(x * x + y * y) / (2.0", "-(x * x - y * y) / (2.0"),
        ("disk_pixel(x, y, a) + disk_pixel(y, x, a)", "disk_pixel(x, y, a) - disk_pixel(y, x, a)"),
        ("1.0 - t * t", "1.0 + t * t"),
        ("-(fabs(x) + fabs(y)) / a", "-(fabs(x) - fabs(y)) / a"),
        ("moved[(i - dy)", "moved[(i + dy)"),
        ("s2 / sum - *x * *x", "s2 / sum + *x * *x"),
        ("(oy - m / 2 - (i", "(oy - m / 2 + (i"),
        ("1.5 * x - 2.5", "1.5 * x + 2.5"),
        ("(size * scale - 1.0)", "(size * scale + 1.0)"),
        ("ceil(a - 0.5)", "ceil(a + 0.5)"),
    ]),
    "c_src/ops/convolution.c": ("test_operators.py -k convolution", [("kr * xr - ki * xi", "kr * xr + ki * xi"), ("kr * yi - ki * yr", "kr * yi + ki * yr")]),
    "c_src/ops/colour.h": ("test_operators.py -k colour", [
        ("R2 * (red - blue)", "R2 * (red + blue)"),
        ("red - 2.0f * green", "red + 2.0f * green"),
    ]),
    "c_src/ops/colour.c": ("test_operators.py -k colour", [
        ("m[i] = luminance - 2.0f * b", "m[i] = luminance + 2.0f * b"),
    ]),
    "c_src/ops/difference.c": ("test_operators.py -k difference", [
        ("case 0: return row[right] - row[j]", "case 0: return row[right] + row[j]"),
        ("case 3: return below[j] + above[j] -", "case 3: return below[j] - above[j] -"),
        ("case 5: return DIAGONAL * (below[left] + above[right]", "case 5: return DIAGONAL * (below[left] - above[right]"),
        ("default: return above[j] - row[j]", "default: return above[j] + row[j]"),
        ("(d[row + j] + u[row + j]) * (d[row + j] + u[row + j])", "(d[row + j] - u[row + j]) * (d[row + j] - u[row + j])"),
        ("d[row + j] *= n[row + j]", "d[row + j] *= -n[row + j]"),
        ("{ x, y, y + x, y - x }", "{ x, y, y + x, y + x }"),
    ]),
    "c_src/ops/tv.c": ("test_operators.py -k tv", [
        ("1.0f - t / sqrtf", "1.0f + t / sqrtf"),
        ("2.0f * s - 1.0f) * v1", "2.0f * s + 1.0f) * v1"),
        ("(b1[j - 1] - b1[j]) +", "(b1[j - 1] + b1[j]) +"),
        ("decay * (1.0f - s) * v2", "decay * (1.0f + s) * v2"),
    ]),
    "c_src/ops/boundary.c": ("test_operators.py -k boundary", [
        ("2 * radius + 8", "2 * radius - 8"),
        ("(gap - 16) / 2", "(gap + 16) / 2"),
        ("isfinite(v)) sum += v", "isfinite(v)) sum -= v"),
        ("(i + 1 - edge) / (float)", "(i + 1 + edge) / (float)"),
        ("bottom[x] + w * top[x]", "bottom[x] - w * top[x]"),
        ("(1.0f - w) * last + w * first", "(1.0f - w) * last - w * first"),
        ("i - count + 1", "i + count + 1"),
        ("? -INFINITY : v >= saturation", "? INFINITY : v >= saturation"),
        ("count - i - 0.5f", "count + i - 0.5f"),
        ("power = 1.0f - (otf[at]", "power = 1.0f + (otf[at]"),
        ("(1.0f - w * weight[j]) * notch", "(1.0f + w * weight[j]) * notch"),
        ("z[row + j] -= notch", "z[row + j] += notch"),
        ("omega * (model[row + j] - z[row + j])", "omega * (model[row + j] + z[row + j])"),
    ]),
    "c_src/ops/noise.c": ("test_operators.py -k 'noise or processing'", [
        ("steep = -32.0", "steep = 32.0"),
        ("chroma(d[0], d[1]", "chroma(d[1], d[0]"),
        ("column[0] - 2.0f * column[1]", "column[0] + 2.0f * column[1]"),
        ("(1.0 - rest) * sorted[below] + rest", "(1.0 - rest) * sorted[below] - rest"),
        ("variance[j] - b * level[j]", "variance[j] + b * level[j]"),
        ("unclipped(in, x, y + 1, c, white) - here", "unclipped(in, x, y + 1, c, white) + here"),
        ("power - 4.0", "power + 4.0"),
        ("if(16 * clipped(", "if(99 * clipped("),
        ("d - 3.0 * c + 3.0 * b - a", "d - 3.0 * c + 3.0 * b + a"),
        ("inside += a * a", "inside -= a * a"),
        ("(sqrt(softer) - SOFTER)", "(sqrt(softer) + SOFTER)"),
        ("fmax(processing.share * slope", "fmin(processing.share * slope"),
    ]),
    "c_src/ops/whiteness.c": ("test_operators.py -k whiteness", [
        ("(b[j + l] - mean)", "(b[j + l] + mean)"),
        ("-(a * a + b * b)", "-(a * a - b * b)"),
        ("return -energy", "return energy"),
    ]),
    "c_src/ops/halo.c": ("test_operators.py -k halo", [("k[0] * k[0] + k[1]", "k[0] * k[0] - k[1]")]),
    "c_src/ops/highlight.c": ("test_operators.py -k highlight", [
        ("sum += fminf(k[i", "sum -= fminf(k[i"),
        ("white - low) * m - ABOVE", "white - low) * m + ABOVE"),
        ("sum -= from[x - columns - 1]", "sum += from[x - columns - 1]"),
        ("+ SHIFTS - 1) / SHIFTS", "- SHIFTS - 1) / SHIFTS"),
        ("x + j * h->stride, white) < low", "x + j * h->stride, white) > low"),
        ("w * seen + (1.0f - w) * sum", "w * seen + (1.0f + w) * sum"),
        ("x[i] + share * (x[i] - before[i])", "x[i] - share * (x[i] - before[i])"),
        ("1.0f + smooth * bend[i]", "1.0f - smooth * bend[i]"),
        ("wrong[at] <= most", "wrong[at] > most"),
        ("now > FALL * doubtful", "now < FALL * doubtful"),
        ("(a / step + 1) * step", "(a / step + 2) * step"),
        ("offset - LEVEL * h->white", "offset + LEVEL * h->white"),
        ("kept * (own - light[c][at])", "kept * (own + light[c][at])"),
        ("DCV_MAX(y - RAMP, 0) + 1", "DCV_MAX(y - RAMP, 0) - 1"),
        ("2.0f * noise + 4.0f", "2.0f * noise - 4.0f"),
        ("fminf(v, h->white) - *to", "fminf(v, h->white) + *to"),
        ("-= near[at] * sign * excess", "+= near[at] * sign * excess"),
    ]),
    "c_src/ops/refocus.c": ("test_refocus.py -k 'parity or kernels or doubt or regions_go or meet'", [
        ("atan2(fy, fx) - PI", "atan2(fy, fx) + PI"),
        ("g - window * sum", "g + window * sum"),
        ("f * f / (f * f + LOW", "f * f / (f * f - LOW"),
        ("? 1.0 : 2.0", "? 2.0 : 1.0"),
        ("most + 4.0 - v", "most + 4.0 + v"),
        ("a * (2.0f + b", "a * (2.0f - b"),
        ("sum -= buffer[x]", "sum += buffer[x]"),
        ("out[i] += u / (1.0f + fabsf(u))", "out[i] -= u / (1.0f + fabsf(u))"),
        ("v[1] *= -(float)scale", "v[1] *= (float)scale"),
        ("b[i] = a[i] + map[i] * (c[i] - a[i])", "b[i] = a[i] - map[i] * (c[i] - a[i])"),
        ("(1.0f - share[at]) * (a[at] - value)", "(1.0f - share[at]) * (a[at] + value)"),
        ("gain * (e[i] - doubt)", "gain * (e[i] + doubt)"),
        ("3.0f - 2.0f * t", "3.0f + 2.0f * t"),
        ("{ x, y + 1 }", "{ x + 1, y + 1 }"),
        ("value >= most", "value <= most"),
        ("far[i] > least && near[i] < least", "far[i] > least && near[i] > least"),
        ("return CHANGE * doubt -", "return CHANGE * doubt +"),
        ("y < window[1] + window[3]", "y < window[1] - window[3]"),
        ("fmax(SMALLEST * all, SHARE", "fmin(SMALLEST * all, SHARE"),
        ("whole += sum < least", "whole -= sum < least"),
        ("else if(sum < least", "else if(sum <= least"),
        ("(all_count || meets)", "(all_count || !meets)"),
    ]),
    "c_src/ops/tile.c": ("test_operators.py -k tiles", [
        ("pixel[c] += w *", "pixel[c] -= w *"),
        ("fminf(given[c], 0.0f)", "fminf(-given[c], 0.0f)"),
        ("cut(side, tiles, i) - more", "cut(side, tiles, i) + more"),
        ("w = 0.5f + 0.5f * sinf", "w = 0.5f - 0.5f * sinf"),
    ]),
    "c_src/solve/common.c": ("test_solvers.py", [
        ("frame ? dcv_boundary_reach", "!frame ? dcv_boundary_reach"),
        ("if(frame || tile->taper) taper", "if(frame) taper"),
        ("if(frame || tile->taper) taper", "if(tile->taper) taper"),
        ("DCV_FIRST_RATIO / (job->lam", "DCV_FIRST_RATIO * (job->lam"),
    ]),
    "c_src/solve/admm.c": ("test_solvers.py -k 'admm or lam'", [
        ("factor * (b[at] + r * x[at])", "factor * (b[at] - r * x[at])"),
        ("kr * kr + ki * ki + smooth", "kr * kr + ki * ki - smooth"),
        ("5.0 : 2.0, priority)", "5.0 : 2.0, -priority)"),
        ("fmaxf(job->gradient, job->edge / 3.0f)", "fminf(job->gradient, job->edge / 3.0f)"),
    ]),
    "c_src/solve/mm.c": ("test_solvers.py -k mm", [
        ("eps / (eps + sqrtf", "eps / (eps - sqrtf"),
        ("1.0f - 1.0f / (ratio", "1.0f + 1.0f / (ratio"),
        ("v = d[at] + u[at]", "v = d[at] - u[at]"),
        ("factor * (b[at] + r * a[at])", "factor * (b[at] - r * a[at])"),
        ("job->gradient + EPS_NOISE", "job->gradient - EPS_NOISE"),
    ]),
    "c_src/solve/pd.c": ("test_solvers.py -k pd", [
        ("2.0f * x[i] - before[i]", "2.0f * x[i] + before[i]"),
        ("q[at] += step * d[at]", "q[at] -= step * d[at]"),
        ("-t * weights[c]", "t * weights[c]"),
    ]),
    "c_src/solve/pam.c": ("test_solvers.py -k pam", [
        ("now + momentum * (now - x[i])", "now - momentum * (now - x[i])"),
        ("v[at] -= step", "v[at] += step"),
        ("model[at] - y[at] : limited", "model[at] + y[at] : limited"),
        ("square[at] + e * e", "square[at] - e * e"),
    ]),
    "c_src/solve/pam_blind.c": ("test_solvers.py -k pam_blind", [
        ("(a - size / 2 + fft->height)", "(size / 2 - a + fft->height)"),
        ("*value - STEP", "*value + STEP"),
    ]),
    "c_src/solve/rl.c": ("test_solvers.py -k rl", [
        ("1.0f + curvature[at] / (lam", "1.0f - curvature[at] / (lam"),
        ("short_of > 1.0f ? short_of", "short_of < 1.0f ? short_of"),
        ("norm > lowest ? norm", "norm < lowest ? norm"),
    ]),
    "c_src/solve/stop.c": ("test_stopping.py", [
        ("change < rule->tolerance", "change > rule->tolerance"),
        ("iteration - rule->whitest_at", "iteration + rule->whitest_at"),
        ("x[c][at] - (iteration", "x[c][at] + (iteration"),
        (": model[c][at] - y", ": model[c][at] + y"),
        ("z[c][at] < job.saturation", "z[c][at] > job.saturation"),
        ("dcv_highlight_of(job.psf, job.saturation, job.noise)", "dcv_highlight_of(job.psf, INFINITY, job.noise)"),
    ]),
    "c_src/solve/prototype.c": ("test_solvers.py -k prototype", [
        ("(p[n] - p[0]) - (p[0] - p[-n])", "(p[n] - p[0]) + (p[0] - p[-n])"),
        ("s->f[c][p]) / (g + s->f[c][p])", "s->f[c][p]) / (g - s->f[c][p])"),
        ("s->u[c][p] -= dt", "s->u[c][p] += dt"),
        ("s->k[n] -= dk", "s->k[n] += dk"),
    ]),
    "c_src/solve/blind.c": ("test_blind.py", [
        ("(2.5 - 0.5 * t) * t - 4.0", "(2.5 - 0.5 * t) * t + 4.0"),
        ("fmax(1.0 - fabs(t)", "fmax(1.0 + fabs(t)"),
        ("gx[row + j] = x[row + j + 1] - x[row + j]", "gx[row + j] = x[row + j + 1] + x[row + j]"),
        ("K[at] * Y[at + 1] - K[at + 1] * Y[at]", "K[at] * Y[at + 1] + K[at + 1] * Y[at]"),
        ("gx[j + 1] * gx[j + 1] + gy[j] * gy[j]", "gx[j + 1] * gx[j + 1] - gy[j] * gy[j]"),
        ("power[j] += gx", "power[j] = gx"),
        ("out[j] = gx[j] - gx[j + 1]", "out[j] = gx[j] + gx[j + 1]"),
        ("(a[row + j] + beta * x[row + j])", "(a[row + j] - beta * x[row + j])"),
        ("xr * bx[at + 1] - xi * bx[at]", "xr * bx[at + 1] + xi * bx[at]"),
        ("- b[at]), 0.0f)", "+ b[at]), 0.0f)"),
        ("k[i] < prune * peak", "k[i] > prune * peak"),
        ("power = dx[j] + d", "power = dx[j] - d"),
        ("inside - 1 - i) - size / 2", "inside - 1 - i) + size / 2"),
        ("+ gamma + smooth *", "+ gamma - smooth *"),
        ("xr * yi - xi * yr", "xr * yi + xi * yr"),
        ("mass[label[i]] < least", "mass[label[i]] > least"),
        ("moved[(i - dy) * n + j - dx]", "moved[(i + dy) * n + j - dx]"),
        ("model[j] - y[j]", "model[j] + y[j]"),
        ("add(fft, gy, work->b)", "add(fft, gx, work->b)"),
        ("add(fft, x, work->a)", "add(fft, y, work->a)"),
        ("power[j] += h * h", "power[j] = h * h"),
    ]),
    "c_src/solve/estimate.c": ("test_blind.py -k 'whole or family or grow or softness or colour or gaussian_is or less_likely or lamps or clipped or no_blur_competes'", [
        ("c[0] - 2.0f * c[d]", "c[0] + 2.0f * c[d]"),
        ("OWN_NOISE * OWN_NOISE * power[0]", "-OWN_NOISE * OWN_NOISE * power[0]"),
        ("chroma(p[0], p[1], p[2]", "chroma(p[0], p[1], -p[2]"),
        ("1.0 - 4.0 * noise", "1.0 + 4.0 * noise"),
        ("energy < e->candidates[s].energy ||", "energy > e->candidates[s].energy ||"),
        ("energy <= e->candidates[kept[1]].energy", "energy >= e->candidates[kept[1]].energy"),
        ("e->candidates[FAMILY + f].cost <=", "e->candidates[FAMILY + f].cost >="),
        ("e->candidates[DELTA].energy - e->candidates[best].energy", "e->candidates[DELTA].energy + e->candidates[best].energy"),
        ("radius < soft", "radius > soft"),
        ("fmin(likely + NEAR, unblurred)", "fmax(likely + NEAR, unblurred)"),
        ("e->white ? HUGE_VAL : WHITTLE * unblurred", "HUGE_VAL"),
        ("energy + DEARER", "energy + 1e9"),
        ("gain < (radius", "gain > (radius"),
        ("within < 1.0 - PRESS", "within < 1.0 + PRESS"),
        ("DCV_MIN(2 * size + 1, largest)", "DCV_MIN(2 * size - 1, largest)"),
        ("clipped <= LAMPS", "clipped >= LAMPS"),
        ("DCV_MIN(width, x + reach + 1)", "DCV_MIN(width, x)"),
        ("results[1].evidence[0] > MORE", "results[1].evidence[0] < MORE"),
    ]),
    "c_src/solve/family.c": ("test_blind.py -k 'families or apart'", [
        ("cosine * x + sine * y", "cosine * x - sine * y"),
        ("v * x * y, yy", "-v * x * y, yy"),
        ("yy / sum - y1 * y1", "yy / sum + y1 * y1"),
        ("weight[j - i + REACH]", "weight[j - i]"),
        ("if(!(cost < *least))", "if(!(cost > *least))"),
        ("pass < HOPE || cost < limit", "pass < HOPE || cost > limit"),
    ]),
    "c_src/solve/whittle.c": ("test_blind.py -k 'whittle or apart'", [
        ("sum / weights", "0.0 * sum / weights"),
        ("x % fft->width", "x / 2"),
        ("p[3] * w->diagonal[i]", "p[3] * w->along[i]"),
        ("d[a] * (1.0 - ratio)", "d[a] * (1.0 + ratio)"),
        ("h[i][j] -= h[i][k] * h[j][k]", "h[i][j] += h[i][k] * h[j][k]"),
        ("d[i] -= h[k][i] * d[k]", "d[i] += h[k][i] * d[k]"),
        ("(p[a] - best[a]) / 4.0", "(p[a] - best[a])"),
    ]),
    "opencl/admm.cl": ("test_opencl_kernels.py", [
        ("DCV_R2 * (r - b)", "DCV_R2 * (r + b)"),
        ("l - a + b", "l + a + b"),
        ("(p[below] - p[at])", "(p[below] + p[at])"),
        ("1.0f - 1.0f / (rho", "1.0f + 1.0f / (rho"),
        ("(s_above * above[2 * c + 1] -", "(s_above * above[2 * c + 1] +"),
        ("a.x * b.x - a.y * b.y", "a.x * b.x + a.y * b.y"),
        ("(data + r * v)", "(data - r * v)"),
        ("power = 1.0f - (k.x", "power = 1.0f + (k.x"),
        ("(float2)(k.x, -k.y)", "(float2)(k.x, k.y)"),
    ]),
    "opencl/boundary.cl": ("test_opencl_kernels.py", [
        ("!isfinite(v) ? -INFINITY", "!isfinite(v) ? INFINITY"),
        ("sum += near", "sum -= near"),
        ("(i + 1 - edge)", "(i + 1 + edge)"),
        ("* row[p.data_width - 1] + w", "* row[p.data_width - 1] - w"),
        ("count - i - 0.5f", "count + i - 0.5f"),
        ("p.reach > 0 ? x", "p.reach == 0 ? x"),
        ("DCV_OMEGA * (model[at] - z[at])", "DCV_OMEGA * (model[at] + z[at])"),
    ]),
    "opencl/picture.cl": ("test_opencl_kernels.py", [
        ("else if(v >= saturation)", "else if(v < saturation)"),
        ("+= w * max(planes", "-= w * max(planes"),
        ("min(v, 0.0f)", "min(-v, 0.0f)"),
        ("finite && most", "finite && !most"),
    ]),
    "c_src/cl/cl.c": ("test_opencl.py", [
        ("r = rho / (cl->job.lam", "r = -rho / (cl->job.lam"),
        ("rho *= growth", "rho /= growth"),
        ("any = any || cl", "any = any && cl"),
        ("((i - n / 2) % t->height", "((i + n / 2) % t->height"),
        ("left = rx[0] - tile.x0", "left = rx[0] + tile.x0"),
    ]),
}  # fmt: skip


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    paths = {"DCV_BUILD": "b", "PYTHONPATH": str(folder / "bindings"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=os.environ | paths, capture_output=True, text=True, check=False)


def judge(folder: Path, file: str, tests: str, old: str, new: str) -> str:
    """Name of the test that fails with the mutation; else what went wrong."""
    path = folder / file
    original = path.read_text("utf-8")
    if old not in original:
        return "TEXT NOT FOUND"
    path.write_text(original.replace(old, new, 1), "utf-8")
    try:
        build = run("ninja -C b && cp b/bindings/_dcv*.so bindings/dcv/", folder)
        if build.returncode:
            return "DOES NOT COMPILE"
        result = run(f"python -m pytest -x -q -p no:cacheprovider tests/parity/{tests}", folder)
        failed = re.search(r"^(?:FAILED|ERROR) \S+::(\w+)", result.stdout, re.MULTILINE)
        if failed:
            return f"`{failed[1]}`"
        if result.returncode == 0:
            return "UNNOTICED"
        # A shell's 128 + signal: the test run itself went down.
        return "a crash" if result.returncode > 128 else f"NO RESULT ({result.returncode})"
    finally:
        path.write_text(original, "utf-8")
        for built in folder.glob("build/ops-*"):
            shutil.rmtree(built)


def main(parts: list[str]) -> int:
    """Table on stdout; 1 unless every mutation was noticed."""
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for item in ("c_src", "opencl", "bindings", "pyref", "tests", "meson.build", "meson_options.txt", "pyproject.toml"):
            (shutil.copytree if (ROOT / item).is_dir() else shutil.copy)(ROOT / item, folder / item)
        setup = run("meson setup b . --buildtype=release -Dpython=true -Dbench=false -Dunit_tests=disabled", folder)
        if setup.returncode:
            raise SystemExit(setup.stdout + setup.stderr)
        print("| file | change | noticed by |\n|---|---|---|", flush=True)
        for file, (tests, mutations) in MUTATIONS.items():
            for old, new in mutations:
                if parts and not any(part in file for part in parts):
                    continue
                answer = judge(folder, file, tests, old, new)
                missed += answer.split(" (")[0].isupper()
                print(f"| `{file.removeprefix('c_src/')}` | `{old}` → `{new}` | {answer} |".replace("||", "\\|\\|"), flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
