"""The boundaries between a sandbox and the machine, and what of the machine is visible inside.

Visible, all of it read-only: the interpreter's standard library, the shared libraries it needs, and the named packages under
`/packages`. Writable: a `/tmp` of each program's own.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

Boundary = Literal["bubblewrap", "unshare", "none"]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")


def layout(boundary: Boundary, packages: Iterable[str]) -> dict[str, Any]:
    """`binds` (source, place inside), `hidden` (shown empty), `links` (link, target), `devices`, `folders` (of packages, here)."""
    standard = sysconfig.get_path("stdlib")
    extension_modules = sysconfig.get_path(
        "platstdlib", vars={"platbase": sys.base_exec_prefix}
    )  # not the virtual environment's
    trees = [*LIBRARIES, str(Path(sys.base_prefix) / "lib"), standard, extension_modules]
    binds: list[tuple[str, str]] = []
    links = [("/dev/shm", "/tmp")]
    for tree in dict.fromkeys(trees):
        if Path(tree).is_symlink() and tree in LIBRARIES:
            links.append((tree, str(Path(tree).readlink())))
        elif Path(tree).exists() and not any(Path(tree).is_relative_to(source) for source, _ in binds):
            binds.append((tree, tree))
    site = [str(Path(standard) / "site-packages"), str(Path(standard) / "dist-packages"), "/usr/lib/python3/dist-packages"]
    hidden = [folder for folder in site if Path(folder).is_dir() and any(Path(folder).is_relative_to(to) for _, to in binds)]
    found = [source for name in packages for source in _package(name)]
    binds += [(source, f"/packages/{Path(source).name}") for source in found]
    if boundary == "bubblewrap":
        binds.append((interpreter(), interpreter()))
    folders = list(dict.fromkeys(str(Path(source).parent) for source in found))
    return {"binds": binds, "links": links, "hidden": hidden, "devices": list(DEVICES), "folders": folders}


def _package(name: str) -> list[str]:
    """Files or folders of an importable package, with the shared libraries that a wheel puts beside it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return []
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        return []
    source = Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
    beside = source.parent / f"{name}.libs"
    return [str(path.resolve()) for path in (source, beside) if path.exists()]


def interpreter() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(sys.executable)


def command(boundary: Boundary, program: list[str], shown: dict[str, Any]) -> list[str]:
    """The command line that starts `program` behind the boundary. "unshare" and "none" are the program's own to set up."""
    if boundary != "bubblewrap":
        return program
    line = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"]
    line += ["--setenv", "PYTHONHASHSEED", "0", "--setenv", "OMP_NUM_THREADS", "1"]
    line += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--cap-add", "ALL"]
    if os.geteuid() != 0:
        line.append("--unshare-user")
    targets = [target for _, target in shown["binds"]] + shown["devices"]
    parents = dict.fromkeys(str(parent) for target in targets for parent in reversed(Path(target).parents))
    for parent in parents:  # those that bubblewrap makes unasked are closed to other users, which programs of root are run as
        line += ["--dir", parent] if parent != "/" else []
    for source, target in shown["binds"]:
        line += ["--ro-bind", source, target]
    for target in shown["hidden"]:
        line += ["--tmpfs", target, "--remount-ro", target]
    for device in shown["devices"]:
        line += ["--dev-bind", device, device]
    for link, target in shown["links"]:
        line += ["--symlink", target, link]
    return [*line, "--proc", "/proc", "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/", "--", *program]


def available(boundary: Boundary) -> str:
    """Why a boundary cannot even be tried; empty where it can."""
    if boundary == "bubblewrap" and shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    if boundary != "none" and Path(sys.base_prefix).is_relative_to("/tmp"):
        return f"Python is installed in {sys.base_prefix}, and inside /tmp is each program's own; install it elsewhere"
    return ""
