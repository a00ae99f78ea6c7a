# SPDX-License-Identifier: GPL-3.0-or-later
"""The installer: builds against other versions of darktable, and what it refuses."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import PROJECT

SCRIPT = PROJECT / "tools" / "install-darktable"


@pytest.mark.slow
def test_compiles_against_another_source(installer, tmp_path):
    """Without a warning, against the source named in the environment: DARKTABLE_SOURCE=/path/to/darktable-5.4.1."""
    if "DARKTABLE_SOURCE" not in os.environ:
        pytest.skip("DARKTABLE_SOURCE does not name a darktable source folder")
    source = Path(os.environ["DARKTABLE_SOURCE"])
    version = source.name.removeprefix("darktable-")
    assert all(o.stat().st_size > 0 for o in installer.compile_module(version, source, tmp_path))


def refusal(*arguments, env=None):
    """The one line with which the script refuses."""
    done = subprocess.run([SCRIPT, *map(str, arguments)], text=True, capture_output=True, env=env)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("install-darktable: "), done.stderr
    return lines[0]


def test_refuses_without_darktable():
    assert "not installed" in refusal("--darktable", "no-such-darktable")


def fake_darktable(folder, version):
    """An executable that says it is a certain version, with a module folder."""
    binary = folder / "bin" / "darktable"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho this is darktable {version}\nexit 1\n")
    binary.chmod(0o755)
    plugins = folder / "lib" / "darktable" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "libcolorin.so").touch()
    return binary


def test_refuses_a_library_that_is_not_there(tmp_path):
    binary = fake_darktable(tmp_path, "4.2.1")
    assert "no library" in refusal("--darktable", binary, "--libdcv", tmp_path / "none.a")


def test_refuses_what_is_no_source(tmp_path):
    binary = fake_darktable(tmp_path, "4.2.1")
    library = tmp_path / "libdcv.a"
    library.touch()
    (tmp_path / "text").write_text("no archive")
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    assert "no source archive" in refusal("--darktable", binary, "--libdcv", library, "--source", tmp_path / "text", env=env)
    assert "not darktable's source" in refusal("--darktable", binary, "--libdcv", library, "--source", tmp_path, env=env)


def test_refuses_an_unknown_interface(installer, tmp_path):
    src = tmp_path / "src" / "common"
    src.mkdir(parents=True)
    (src / "darktable.h").write_text("#define DT_MODULE_VERSION 99\n")
    (tmp_path / "src" / "config.cmake.h").touch()
    with pytest.raises(installer.RefusedError, match="interface 99"):
        installer.compile_module("9.9", tmp_path, tmp_path)


def test_leaves_other_files_alone(installer, tmp_path):
    """A launcher that someone else wrote is neither replaced nor removed."""
    foreign = tmp_path / "bin" / "darktable-dcv"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("#!/bin/sh\n")
    with pytest.raises(installer.RefusedError, match="was not made by this script"):
        installer.install(tmp_path / "libdeconvolution.so", tmp_path / "darktable", tmp_path, tmp_path)
    assert installer.uninstall(tmp_path) == [] and foreign.exists()


@pytest.mark.skipif(not shutil.which("darktable-cli"), reason="darktable is not installed")
def test_module_of_another_version_stays_out(installer, prefix, tmp_path):
    """darktable skips a module built for another version, says why, and starts."""
    plugins = prefix / "lib" / "darktable-dcv" / "plugins"
    other = tmp_path / "modules"
    shutil.copytree(plugins.parent, other, symlinks=True)
    module = other / "plugins" / "libdeconvolution.so"
    _, version, _ = installer.find_darktable("darktable")
    code = module.read_bytes()
    assert code.count(version.encode() + b"\0") >= 1
    module.write_bytes(code.replace(version.encode() + b"\0", b"9" + version.encode()[1:] + b"\0"))
    command = ["darktable-cli", tmp_path / "none.tif", tmp_path / "out.tif", "--core", "--moduledir", other, "--configdir", tmp_path / "home"]
    done = subprocess.run(command, text=True, capture_output=True, env={**os.environ, "HOME": str(tmp_path)}, timeout=120)
    log = done.stdout + done.stderr
    assert "not loaded, run install-darktable again" in log
    assert "missing iop_order" not in log
