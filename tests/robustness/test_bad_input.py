# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong: one clear line on stderr, the right exit code, no file left behind."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

import dcv

from .conftest import Run


def check(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("dcv: error: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def deblur(run: Run, pictures: Path, out: Path, *options: object, source: Path | None = None, **how: object) -> subprocess.CompletedProcess[str]:
    return run("deblur", source or pictures / "blurred.png", out, "-q", *options, **how)


def test_missing_file(run: Run, pictures: Path, tmp_path: Path) -> None:
    check(deblur(run, pictures, tmp_path / "out.png", source=tmp_path / "none.png"), 1, "none.png", "No such file")
    assert names(tmp_path) == []


def test_folder_as_input(run: Run, pictures: Path, tmp_path: Path) -> None:
    check(deblur(run, pictures, tmp_path / "out.png", source=pictures), 1, "directory")
    assert names(tmp_path) == []


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.98])
def test_truncated_file(share: float, run: Run, pictures: Path, tmp_path: Path) -> None:
    whole = (pictures / "blurred.png").read_bytes()
    source = tmp_path / "cut.png"
    source.write_bytes(whole[: int(share * len(whole))])
    check(deblur(run, pictures, tmp_path / "out.png", "--psf", pictures / "psf.tif", source=source), 1, "cut.png")
    assert names(tmp_path) == ["cut.png"]


def test_unknown_format(run: Run, pictures: Path, tmp_path: Path) -> None:
    source = tmp_path / "notes.png"
    source.write_text("dear diary")
    check(deblur(run, pictures, tmp_path / "out.png", source=source), 1, "unknown format")
    assert names(tmp_path) == ["notes.png"]


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.full((5, 5), -1, np.float32), "negative"),
        (np.ones((6, 6), np.float32), "odd"),
        (np.ones((5, 7), np.float32), "shape"),
        (np.zeros((5, 5), np.float32), "sum"),
        (np.full((5, 5), np.nan, np.float32), "finite"),
    ],
)
def test_unusable_psf(array: np.ndarray, word: str, run: Run, pictures: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "bad.tif", array)
    check(deblur(run, pictures, tmp_path / "out.png", "--psf", tmp_path / "bad.tif"), 1, "bad.tif", word)
    assert names(tmp_path) == ["bad.tif"]


def test_window_outside_the_picture(run: Run, pictures: Path, tmp_path: Path) -> None:
    check(deblur(run, pictures, tmp_path / "out.png", "--blur-size", 9, "--window", "50,50,100,100"), 1, "120 x 100", "window")
    assert names(tmp_path) == []


def test_blur_larger_than_the_window(run: Run, pictures: Path, tmp_path: Path) -> None:
    check(deblur(run, pictures, tmp_path / "out.png", "--blur-size", 31, "--window", "0,0,30,90"), 2, "too small")
    small = tmp_path / "small.tif"
    tifffile.imwrite(small, np.full((20, 20, 3), 0.5, np.float32), photometric="rgb")
    check(deblur(run, pictures, tmp_path / "out.png", "--blur-size", 31, source=small), 1, "small.tif", "too small")
    assert names(tmp_path) == ["small.tif"]


def test_no_finite_pixel(run: Run, pictures: Path, tmp_path: Path) -> None:
    source = tmp_path / "nan.tif"
    tifffile.imwrite(source, np.full((40, 40, 3), np.nan, np.float32), photometric="rgb")
    check(deblur(run, pictures, tmp_path / "out.tif", "--psf", pictures / "psf.tif", source=source), 1, "finite")
    assert names(tmp_path) == ["nan.tif"]


def test_missing_folder(run: Run, pictures: Path, tmp_path: Path) -> None:
    check(deblur(run, pictures, tmp_path / "none" / "out.png", "--psf", pictures / "psf.tif"), 1, "No such file")
    assert names(tmp_path) == []


def test_unwritable_folder(run: Run, pictures: Path, tmp_path: Path) -> None:
    # No user, root included, can make files in /proc.
    check(deblur(run, pictures, Path("/proc/self/out.png"), "--psf", pictures / "psf.tif"), 1, "/proc/self")
    if os.getuid():
        tmp_path.chmod(0o500)
        check(deblur(run, pictures, tmp_path / "out.png", "--psf", pictures / "psf.tif"), 1, "Permission denied")
        tmp_path.chmod(0o700)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("suffix", "word"), [(".png", "too large"), (".tif", "no space"), (".jpg", "too large")])
def test_no_space_left(suffix: str, word: str, run: Run, pictures: Path, tmp_path: Path) -> None:
    """A limit on the size of files fails the same calls as a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    done = deblur(run, pictures, tmp_path / f"out{suffix}", "--psf", pictures / "psf.tif", preexec_fn=limit, env={"XDG_CACHE_HOME": str(tmp_path)})
    check(done, 1, word)
    assert [name for name in names(tmp_path) if name != "dcv"] == []


def test_no_space_left_on_a_full_device(run: Run, pictures: Path, tmp_path: Path) -> None:
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a small file system needs user namespaces")
    script = (
        f"mount -t tmpfs -o size=16k none {tmp_path} && "
        f"python -m dcv deblur -q {pictures / 'blurred.png'} {tmp_path / 'out.png'} --psf {pictures / 'psf.tif'}; "
        f"code=$?; ls -A {tmp_path}; exit $code"
    )
    path = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
        timeout=120,
        check=False,
    )
    check(done, 1, "No space left")


def test_not_enough_memory(run: Run, pictures: Path, tmp_path: Path) -> None:
    """A picture whose header asks for more memory than there is."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

    tifffile.memmap(tmp_path / "huge.tif", shape=(30000, 30000, 3), dtype=np.float32, photometric="rgb")[:1] = 0  # sparse: 10 GB, none on disk
    done = deblur(
        run, pictures, tmp_path / "out.tif", "--psf", pictures / "psf.tif", source=tmp_path / "huge.tif", preexec_fn=limit,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    check(done, 1, "huge.tif")
    assert names(tmp_path) == ["huge.tif"]


def test_damaged_profile_and_metadata_do_no_harm(run: Run, pictures: Path, tmp_path: Path) -> None:
    codes = np.full((40, 40, 3), 90, np.uint8)
    codes[::3] = 140
    tifffile.imwrite(
        tmp_path / "in.tif",
        codes,
        photometric="rgb",
        iccprofile=b"\xff" * 300,
        extratags=[(34665, 4, 1, 4_000_000_000, True), (700, 1, 4, b"<x:x", True)],
    )
    done = run("deblur", tmp_path / "in.tif", tmp_path / "out.tif", "--psf", pictures / "psf.tif")
    assert done.returncode == 0, done.stderr
    assert "ICC profile not usable" in done.stderr
    assert tifffile.TiffFile(tmp_path / "out.tif").pages[0].tags.valueof(34675) == b"\xff" * 300


@pytest.mark.parametrize(
    "arguments", [("deblur", "in.png", "out.png", "--psf", "none.tif"), ("estimate", "in.png", "psf.tif"), ("compare", "a.png", "b.png")]
)
def test_other_commands(arguments: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    check(run(*arguments, "-q", cwd=tmp_path), 1, "No such file")
    assert names(tmp_path) == []


def test_closed_pipe(pictures: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{os.sys.executable} -m dcv psf show {pictures / 'psf.tif'} --json -v | true"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""


def test_atomic_leaves_the_old_file(tmp_path: Path) -> None:
    from dcv.files import atomic

    path = tmp_path / "file.tif"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic(path, overwrite=True) as (stream, temporary):  # noqa: PT012
        stream.write(b"new")
        assert temporary.parent == tmp_path
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.tif"]


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    from dcv.files import atomic

    path = tmp_path / "file.tif"
    with pytest.raises(FileExistsError), atomic(path, overwrite=False) as (stream, _):  # noqa: PT012
        stream.write(b"new")
        path.write_bytes(b"other")
    assert path.read_bytes() == b"other"
    assert names(tmp_path) == ["file.tif"]


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        dcv.psf.save(tmp_path / "psf.tif", dcv.psf.disk(1))
    finally:
        os.umask(old)
    assert (tmp_path / "psf.tif").stat().st_mode & 0o777 == 0o640
