# SPDX-License-Identifier: GPL-3.0-or-later
"""A locale with a decimal comma changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import locale, sys
locale.setlocale(locale.LC_ALL, "")
assert locale.localeconv()["decimal_point"] == ",", "no comma"
from dcv.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment with de_DE.UTF-8: the system's, or one made for this test."""
    for environment in ({"LC_ALL": "de_DE.UTF-8"}, {"LC_ALL": "de_DE.UTF-8", "LOCPATH": str(tmp_path_factory.mktemp("locale"))}):
        if "LOCPATH" in environment and shutil.which("localedef"):
            subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", f"{environment['LOCPATH']}/de_DE.UTF-8"], capture_output=True, check=False)
        test = [sys.executable, "-c", 'import locale; locale.setlocale(locale.LC_ALL, ""); assert locale.localeconv()["decimal_point"] == ","']
        if subprocess.run(test, env=os.environ | environment, capture_output=True, check=False).returncode == 0:
            return environment
    pytest.skip("no German locale here, and none can be made")


def test_same_bytes_and_numbers(german: dict[str, str], pictures: Path, tmp_path: Path) -> None:
    texts = []
    for name, environment in (("c", {"LC_ALL": "C"}), ("german", german)):
        folder = tmp_path / name
        folder.mkdir()
        start = ["-m", "dcv"] if name == "c" else ["-c", SCRIPT]
        command = [
            sys.executable,
            *start,
            "deblur",
            str(pictures / "blurred.png"),
            "out.png",
            "--psf",
            str(pictures / "psf.tif"),
            "--noise",
            "0.005",
            "--json",
            "-q",
        ]
        done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        texts.append(done.stdout)
        command = [sys.executable, *start, "psf", "make", "gaussian", "psf.tif", "--sigma", "1.5"]
        subprocess.run(command, cwd=folder, env=os.environ | environment, timeout=120, check=True)
    for file in ("out.png", "psf.tif"):
        assert (tmp_path / "c" / file).read_bytes() == (tmp_path / "german" / file).read_bytes()
    assert [line for line in texts[0].splitlines() if '"lam"' in line] == [line for line in texts[1].splitlines() if '"lam"' in line]
