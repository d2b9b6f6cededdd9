"""Showing a run until it is interrupted, or a snapshot of it: in the browser, in ParaView, in the terminal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from .. import sweep
from ..errors import ConfigError, OutputError
from ..report.reading import run_folder
from ..report.standing import standing
from ..signals import deferred
from .look import Look
from .server import Site, serving
from .settings import Glance, Watch
from .terminal import console_of, follow, screen, snapshot


def display() -> bool:
    """Whether a browser can be opened here."""
    if sys.platform == "darwin" or os.name == "nt":
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def watch(folder: str, keys: Watch) -> int:
    """Shows a run, or a sweep, until it is interrupted; the exit code.

    Raises:
        OutputError: the folder holds no run, the port is taken. ConfigError: a field or slice that there is not.
    """
    where = run_folder(folder)
    if keys.terminal or keys.once or (keys.port is None and keys.browser and not display()):
        return _in_terminal(where, keys)
    return _in_browser(where, keys)


def _in_terminal(where: Path, keys: Watch) -> int:
    if sweep.is_sweep(where):
        for name, asked in _members(where).items():
            print(f"{name:<6} {standing(where / name).text}  {asked}")
        print(f"phasefield watch {where}/NAME shows one of them", file=sys.stderr)
        return 0
    look, console = Look(where), console_of()
    look.summary()  # complains where there is no run
    shown = (keys.field, keys.slice, keys.colormap)
    if keys.once or not console.is_terminal:
        console.print(screen(look, console, *shown))
        return 0
    with deferred() as stop:
        follow(look, console, keys.every, stop, *shown)
        if stop.received == signal.SIGINT:
            stop.received = None
    return 0


def _members(where: Path) -> dict[str, str]:
    """The members of a sweep, by the names of their folders, with what tells them from each other."""
    found = sweep.members(where)
    words = sweep.differences([m.overrides for m in found])
    return {m.name: " ".join(asked) for m, asked in zip(found, words, strict=True)}


def _in_browser(where: Path, keys: Watch) -> int:
    if sweep.is_sweep(where):
        site = Site(where, lambda: _members(where))
    else:
        Look(where).summary()
        site = Site(where)
    with deferred() as stop, serving(site, keys.port or 0) as address:
        print(f"{where}: {address}\nCtrl-C ends this; the run goes on", flush=True)
        if keys.browser and display():
            import webbrowser

            if not webbrowser.open(address.replace(site.token, site.ticket())):
                print("no browser could be opened; open this address in one", file=sys.stderr)
        while stop.received is None:
            time.sleep(0.1)
        if stop.received == signal.SIGINT:
            stop.received = None
    return 0


def view(folder: str, keys: Glance) -> int:
    """Opens the fields in ParaView, or prints a snapshot of them in the terminal; the exit code.

    Raises:
        OutputError: the folder holds no snapshot. ConfigError: a field, slice or time that there is not.
    """
    where = run_folder(folder)
    look, console = Look(where), console_of()
    found = look.summary()
    times = np.array(found.get("times", []), float)
    if not times.size:
        raise OutputError(f"{where}: holds no snapshot yet\n  wait for the run")
    if keys.time is not None and not times.min() <= keys.time <= times.max():
        raise ConfigError("time", f"is {keys.time:g}; there are snapshots from {times.min():g} to {times.max():g}")
    if keys.paraview and display() and (program := shutil.which("paraview")):
        if _started([program, str(where / "fields.nc")]):
            print(f"ParaView opens {where}/fields.nc; of its readers choose NetCDF")
            return 0
        print("ParaView is installed, but does not start; the last snapshot instead", file=sys.stderr)
    index = times.size - 1 if keys.time is None else int(np.abs(times - keys.time).argmin())
    shown = snapshot(look, console, index, keys.field, keys.slice, keys.colormap)
    names = ", ".join(f["name"] for f in found["fields"])
    print(f"{where}: {found['standing'][1]}; fields {names}; t = {times[index]:.6g} {found['clock']}".rstrip())
    console.print(shown)
    print(
        f"phasefield watch {where}      all snapshots, in the browser or here\n"
        f"phasefield export {where} format=vtkhdf|xdmf|png|mp4      files for ParaView, pictures, a film\n"
        f"paraview {where}/fields.nc      where ParaView is (reader NetCDF)"
    )
    return 0


def _started(command: list[str]) -> bool:
    """Starts a program that lives on without us; whether it is still there a moment later."""
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return child.wait(timeout=1.0) == 0
    except subprocess.TimeoutExpired:
        return True
