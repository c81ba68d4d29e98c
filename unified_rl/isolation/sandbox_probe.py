"""Which protections hold on this machine: found out by a program that tries, inside, what they are to prevent."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROTECTIONS = ("process limits", "filesystem", "network", "processes", "system calls")


@dataclass(frozen=True, slots=True)
class Protection:
    """One protection: `name`, whether it is `active`, and what was found."""

    name: str
    active: bool
    reason: str


PROGRAM = r"""
import ctypes, errno, fcntl, json, os, resource, signal, socket, sys
facts = {}
asked = ASKED
limits = {name: list(resource.getrlimit(getattr(resource, "RLIMIT_" + name))) for name in ("AS", "CPU", "FSIZE", "NOFILE", "NPROC")}
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    facts["raised"] = True
except (ValueError, OSError):
    facts["raised"] = False
children = []
try:
    for _ in range(asked["processes"] + 8):
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
except OSError:
    pass
facts["forked"] = len(children)
for child in children:
    os.kill(child, signal.SIGKILL)
for child in children:
    os.waitpid(child, 0)
facts["limits"] = limits
facts["visible"] = [path for path in asked["secret"] if os.path.exists(path)]
facts["written"] = []
for folder in asked["places"]:
    try:
        path = os.path.join(folder, "probe-of-the-sandbox")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        os.unlink(path)
        facts["written"].append(folder)
    except OSError:
        pass
facts["readable"] = all(os.access(os.path.dirname(module.__file__), os.R_OK | os.X_OK) for module in (os, json))
try:
    open("own", "w").close()
    facts["own"] = True
except OSError:
    facts["own"] = False
facts["disk"] = os.statvfs(".").f_blocks * os.statvfs(".").f_frsize
try:
    socket.socket().close()
    facts["socket"] = True
except OSError:
    facts["socket"] = False
try:
    os.kill(asked["parent"], 0)
    facts["parent"] = True
except ProcessLookupError:
    facts["parent"] = False
except OSError:
    facts["parent"] = True
facts["pid"] = os.getpid()
libc = ctypes.CDLL(None, use_errno=True)
facts["filter"] = libc.prctl(21, 0, 0, 0, 0)
facts["no_new_privileges"] = libc.prctl(39, 0, 0, 0, 0)
try:
    with open(os.__file__) as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    facts["locked"] = True
except OSError:
    facts["locked"] = False
facts["unshared"] = libc.unshare(0x10000000) == 0
print(json.dumps(facts))
"""


def source(limits: dict[str, Any]) -> str:
    """The program, with what it is to try on this machine written into it."""
    home = Path.home()
    secret = [
        str(Path(__file__).resolve()),
        str(Path.cwd()),
        "/etc/passwd",
        "/etc/hostname",
        "/home",
        "/proc/self",
        "/sys/kernel",
    ]
    secret += (
        [str(path) for path in list(home.iterdir())[:50] if not sys.base_prefix.startswith(str(path))]
        if _readable(home)
        else []
    )
    secret = [path for path in secret if not sys.base_prefix.startswith(path + "/") and path != "/"]
    places = ["/", "/usr/lib", "/packages", sys.base_prefix + "/lib", "/dev", "/var/tmp", str(home)]
    asked = {"processes": limits["processes"], "secret": secret, "places": places, "parent": os.getpid()}
    return PROGRAM.replace("ASKED", repr(asked))


def _readable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)


def judge(result: dict[str, Any], limits: dict[str, Any]) -> list[Protection]:
    """Every protection, from the probe's result."""
    if result.get("status") != "ok":
        why = result.get("broken") or f"the probe ended as {result['status']}: {result['stderr'].strip()[-200:]}"
        return [Protection(name, False, why) for name in PROTECTIONS]
    facts = json.loads(result["stdout"])
    found = {
        "process limits": _limits(facts, limits, result["state"]),
        "filesystem": _filesystem(facts, limits),
        "network": "sockets can be opened" if facts["socket"] else "",
        "processes": "other processes of this machine can be seen" if facts["parent"] or facts["pid"] != 1 else "",
        "system calls": ""
        if facts["filter"] == 2 and facts["no_new_privileges"] == 1 and not facts["unshared"] and not facts["locked"]
        else "no filter",
    }
    return [Protection(name, not found[name], found[name] or _HELD[name]) for name in PROTECTIONS]


_HELD = {
    "process limits": "CPU, memory, file size, open files and processes are limited, and cannot be raised",
    "filesystem": "only Python is visible, read-only, and a folder of limited size",
    "network": "no socket can be opened",
    "processes": "each program sees its own processes only, and they end with it",
    "system calls": "tracing, mounts, namespaces, sockets, locks of files and kernel interfaces are refused",
}


def _limits(facts: dict[str, Any], limits: dict[str, Any], state: dict[str, Any]) -> str:
    expected = {"AS": limits["memory_bytes"], "FSIZE": limits["file_bytes"], "NOFILE": limits["files"]}
    wrong = [name for name, value in expected.items() if facts["limits"][name] != [value, value]]
    if wrong or facts["raised"]:
        return f"limits not set or not binding: {', '.join(wrong) or 'they can be raised'}"
    if facts["forked"] >= limits["processes"]:
        return "the limit on the number of processes does not bind"
    return ""


def _filesystem(facts: dict[str, Any], limits: dict[str, Any]) -> str:
    if facts["visible"]:
        return f"files of this machine are visible ({len(facts['visible'])} of those looked for)"
    if facts["written"]:
        return f"writable: {', '.join(facts['written'])}"
    if not facts["readable"]:
        return "Python's own files cannot be read by the user that programs run as; make its folders readable to others"
    if not facts["own"]:
        return "no folder of its own"
    return "" if facts["disk"] <= limits["disk_bytes"] + (1 << 20) else "the size of the folder is not limited"
