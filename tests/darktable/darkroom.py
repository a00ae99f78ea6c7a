# SPDX-License-Identifier: GPL-3.0-or-later
"""darktable's darkroom on a display of its own, driven through its Lua service on D-Bus; for tests and screenshots."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

WIDTH, HEIGHT = 1600, 1000
NEEDED = ("Xvfb", "xdotool", "dbus-launch", "dbus-send", "import")


def missing():
    """Tools that are not installed."""
    return [tool for tool in NEEDED if not shutil.which(tool)]


class Darkroom:
    """Context: darktable with one picture open in the darkroom.

    Parameters
    ----------
    binary : path
        The launcher to start.
    home : path
        Folder for configuration, library and log.
    picture : path
        The picture to open.
    display : int, optional
        Number of the X display to make; the first free one from 97 on.
    """

    def __init__(self, binary, home, picture, display=None):
        self.binary, self.home, self.picture = binary, home, picture
        self.display = display or next(n for n in range(97, 1000) if not Path(f"/tmp/.X{n}-lock").exists())
        self.log = home / "darktable.log"
        self.library = home / "library.db"
        self.processes = []

    def __enter__(self):
        self.home.mkdir(parents=True, exist_ok=True)
        self.env = {**os.environ, "HOME": str(self.home), "XDG_CACHE_HOME": str(self.home), "DISPLAY": f":{self.display}", "LC_ALL": "C.UTF-8"}
        self.env["NO_AT_BRIDGE"] = "1"  # the accessibility bus of an earlier run would be waited for
        self.start("Xvfb", f":{self.display}", "-screen", "0", f"{WIDTH}x{HEIGHT}x24")
        time.sleep(1)
        bus = subprocess.run(["dbus-launch", "--sh-syntax"], env=self.env, text=True, capture_output=True, check=True).stdout
        self.env["DBUS_SESSION_BUS_ADDRESS"] = re.search(r"ADDRESS='([^']+)'", bus)[1]
        self.bus = int(re.search(r"PID=(\d+)", bus)[1])
        folders = ["--configdir", self.home, "--cachedir", self.home, "--library", self.library]
        window = ["--conf", f"ui_last/window_w={WIDTH}", "--conf", f"ui_last/window_h={HEIGHT}"]
        self.start(self.binary, *folders, *window, "--disable-opencl", "-d", "perf", self.picture, output=self.log.open("w"))
        try:
            self.wait(lambda: self.lua("return 'ready'") == "ready", 90, "darktable did not start")
            self.wait(lambda: self.lua("return tostring(require('darktable').gui.current_view())") == "darkroom", 60, "no darkroom")
            window = self.tool("xdotool", "search", "--onlyvisible", "--class", "darktable").split()[-1]
            self.tool("xdotool", "windowsize", window, str(WIDTH), str(HEIGHT), "windowmove", window, "0", "0")
            time.sleep(3)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        if getattr(self, "bus", None):
            os.kill(self.bus, 15)

    def start(self, *command, output=subprocess.DEVNULL):
        self.processes.append(subprocess.Popen([str(c) for c in command], env=self.env, stdout=output, stderr=subprocess.STDOUT))

    def tool(self, *command):
        return subprocess.run(command, env=self.env, text=True, capture_output=True).stdout

    def lua(self, code):
        """Runs Lua inside darktable; its answer as text, None when there was none."""
        service = ["--dest=org.darktable.service", "/darktable", "org.darktable.service.Remote.Lua"]
        answer = self.tool("dbus-send", "--session", "--print-reply", "--reply-timeout=20000", *service, f"string:{code}")
        found = re.search(r'string "(.*)"', answer, re.DOTALL)
        return found[1] if found else None

    def action(self, path, element="", effect="", speed=1.0):
        """A shortcut action, as from darktable's shortcut settings."""
        return self.lua(f"return require('darktable').gui.action('{path}', 0, '{element}', '{effect}', {speed})")

    def wait(self, condition, seconds, problem):
        end = time.time() + seconds
        while not condition():
            if time.time() > end:
                raise TimeoutError(problem + "\n" + (self.log.read_text()[-2000:] if self.log.exists() else ""))
            time.sleep(0.5)

    def drag(self, x0, y0, x1, y1):
        """Left button from one point of the screen to another."""
        for step in (["mousemove", x0, y0], ["mousedown", 1], ["mousemove", (x0 + x1) // 2, (y0 + y1) // 2], ["mousemove", x1, y1], ["mouseup", 1]):
            self.tool("xdotool", *map(str, step))
            time.sleep(0.3)

    def key(self, name):
        """A key on the keyboard, over the picture."""
        self.tool("xdotool", "mousemove", str(WIDTH // 2), str(HEIGHT // 2), "key", name)

    def screenshot(self, path):
        self.tool("import", "-window", "root", str(path))

    def runs(self, module="deconvolution"):
        """How often the module has been processed so far."""
        return self.log.read_text().count(f"processed `{module}'")

    def idle(self, seconds=3):
        """Whether nothing was logged for some seconds."""
        before = self.log.stat().st_size
        time.sleep(seconds)
        return self.log.stat().st_size == before

    def leave(self):
        """To the lighttable, which writes the history."""
        self.lua("local dt = require('darktable'); dt.gui.current_view(dt.gui.views.lighttable)")
        self.wait(lambda: self.lua("return tostring(require('darktable').gui.current_view())") == "lighttable", 60, "darkroom not left")
