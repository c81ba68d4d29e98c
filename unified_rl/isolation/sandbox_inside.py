"""What runs inside the boundary: sent there as text, so that nothing of the project need be visible. Standard library only.

    launcher --fork--> nursery (first process of fresh namespaces, pristine interpreter) --fork--> one program at a time

The nursery never reads a program: each finds its source in a descriptor after the fork, in a pid and a mount namespace of its own.
A program is the first process of its pid namespace, so whatever it started, however detached, is dead by the time the nursery has
waited for it.
"""
# No pathlib: every module imported here is memory that each program's fork copies.
# ruff: noqa: PTH102, PTH103, PTH112, PTH120, PTH123, PTH208, PTH211, SIM115

import base64
import contextlib
import ctypes
import gc
import json
import linecache
import math
import os
import random
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
import types

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PDEATHSIG, DUMPABLE, SECCOMP, CAPBSET_DROP, SUBREAPER, NO_NEW_PRIVS = 1, 4, 22, 24, 36, 38
INSIDE_ID = 1000  # user and group of programs where the user namespace is ours
WATCH_SECONDS = 0.1
SWEEP_SECONDS = 5.0
COMMON = ("collections", "datetime", "decimal", "fractions", "functools", "itertools", "math", "random", "re", "threading")
FIRST_EXTRA = 3  # descriptors beyond standard input, output, error

TYPE_CHECKING = False  # true to type checkers alone: `typing` itself would be memory too
if TYPE_CHECKING:
    from typing import NoReturn, TypedDict

    class Config(TypedDict):
        """What the nursery is told at its start: `sandbox_boundary.layout`, and what `sandbox_worker` adds to it."""

        boundary: str
        binds: list[tuple[str, str]]
        links: list[tuple[str, str]]
        hidden: list[str]
        devices: list[str]
        folders: list[str]
        preload: list[str]
        seccomp: str
        uid: int

    class State(TypedDict):
        """What came of it. `extra`: processes of ours that count against a program's limit."""

        uid: int | None
        extra: int
        spaces: bool
        watch: bool

    class Limits(TypedDict):
        """`sandbox.ProgramLimits`, as far as they are kept in here."""

        cpu_seconds: float
        memory_bytes: int
        file_bytes: int
        disk_bytes: int
        files: int
        processes: int


libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    """A C library call; OSError where it fails."""
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


# --- entering


def main(control_fd: int) -> None:
    control = socket.socket(fileno=control_fd)
    config: Config = json.loads(control.recv(1 << 18))
    call("prctl", PDEATHSIG, signal.SIGKILL)
    state: State = {"uid": None, "extra": 0, "spaces": False, "watch": False}
    try:
        if config["boundary"] != "none":
            enter(config, state)
        elif os.geteuid() == 0 and readable_as(config["uid"]):
            state["uid"] = config["uid"]
        warm(config)
    except BaseException as error:
        control.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        os._exit(1)
    control.send(json.dumps({"ready": state}).encode())
    serve(control, config, state)


def enter(config: "Config", state: "State") -> None:
    """Continue as the first process of new namespaces; the caller stays behind and waits."""
    flags = NEWNS | NEWPID
    if config["boundary"] == "unshare":
        flags |= NEWNET | NEWIPC | NEWUTS
    privileged = os.geteuid() == 0
    if privileged:
        try:
            call("unshare", flags)
            state["uid"] = config["uid"]  # programs run as a user that owns nothing
        except PermissionError:  # root without the capability: go on as that user
            drop_user(config["uid"])
            privileged = False
    if not privileged:
        uid, gid = os.geteuid(), os.getegid()
        call("unshare", flags | NEWUSER)
        call("prctl", DUMPABLE, 1, 0, 0, 0)
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{INSIDE_ID} {uid} 1")
        write("/proc/self/gid_map", f"{INSIDE_ID} {gid} 1")
        state["extra"] = 2  # launcher and nursery count as this user's processes too
    call("prctl", PDEATHSIG, signal.SIGKILL)  # a change of user clears it
    pid = os.fork()
    if pid:
        os.closerange(FIRST_EXTRA, 1024)  # the nursery is to see the end of its control socket
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    call("prctl", PDEATHSIG, signal.SIGKILL)
    state["spaces"] = True
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    if config["boundary"] == "unshare":
        build_root(config)
    with contextlib.suppress(OSError):  # refused where the host's own is partly hidden; then only single processes are measured
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
        state["watch"] = True


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def drop_user(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def readable_as(uid: int) -> bool:
    """Whether that user could import anything."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            drop_user(uid)
            os.listdir(os.path.dirname(os.__file__))
            os._exit(0)
        os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def build_root(config: "Config") -> None:
    """An empty, read-only root with the directories of `binds` in it, also read-only; the host's tree is let go of."""
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID, "size=1m,mode=755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    os.chdir("/tmp")
    pivot("/tmp", "/tmp/old")
    os.chdir("/")
    mount("tmpfs", "/new", "tmpfs", MS_NOSUID, "size=1m,mode=755")
    for folder in ("tmp", "dev", "proc"):
        os.mkdir(f"/new/{folder}")
    for source, target in config["binds"]:
        place(source, "/new" + target)
        mount("/old" + source, "/new" + target, "", MS_BIND | MS_REC)
        freeze("/new" + target)
    for target in config["hidden"]:
        mount("tmpfs", "/new" + target, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k,mode=755")
    for device in config["devices"]:
        place(device, "/new" + device)
        mount("/old" + device, "/new" + device, "", MS_BIND)
    for link, target in config["links"]:
        os.symlink(target, "/new" + link)
    os.chdir("/new")
    pivot(".", ".")
    call("umount2", b".", MNT_DETACH)
    os.chdir("/")
    mount("none", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)


def pivot(new: str, old: str) -> None:
    number = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
    call("syscall", ctypes.c_long(number), new.encode(), old.encode())


def place(source: str, target: str) -> None:
    """A mount point of the same kind as the source."""
    if os.path.isdir("/old" + source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT, 0o600))


def freeze(target: str) -> None:
    """Read-only with everything mounted below it; the flags a user namespace has locked are kept."""
    attributes = struct.pack(
        "=QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0
    )  # struct mount_attr; flags have the same values
    recursive = 0x8000
    number = ctypes.c_long(442)  # mount_setattr, Linux 5.12
    if libc.syscall(number, -100, target.encode(), recursive, attributes, ctypes.c_size_t(len(attributes))) != 0:
        locked = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | 8 | 1024 | 2048)
        mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | locked)


def warm(config: "Config") -> None:
    """Import what programs need, once, from where it is visible inside."""
    if config["boundary"] == "none":
        sys.path[:] = [*sys.path, *config["folders"]]
    else:
        sys.path[:] = [*sys.path, "/packages"]
    import site

    for name in ("setquit", "setcopyright", "sethelper"):  # exit() and help(), which -S leaves out
        getattr(site, name)()
    for name in (*COMMON, *config["preload"]):
        with contextlib.suppress(ImportError):
            __import__(name)
    os.environ.clear()


# --- serving


def serve(control: socket.socket, config: "Config", state: "State") -> "NoReturn":
    own = os.pidfd_open(os.getpid())
    if not state["spaces"]:
        call("prctl", SUBREAPER, 1, 0, 0, 0)
    filter_ = base64.b64decode(config["seccomp"])
    for capability in range(64):  # nothing started from here gains one again
        if libc.prctl(CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    gc.collect()
    gc.freeze()  # a collection in a program need not copy these pages
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 3)
        if not request:
            os._exit(0)
        if descriptors:
            reply = attend(control, json.loads(request), descriptors, own, state, filter_)
            control.send(json.dumps(reply).encode())


def attend(
    control: socket.socket, limits: "Limits", descriptors: list[int], own: int, state: "State", filter_: bytes
) -> dict[str, object]:
    """Run one program; how it ended."""
    folder = None
    if not state["spaces"]:
        folder = tempfile.mkdtemp(prefix="program-")
        if state["uid"]:
            os.chown(folder, state["uid"], state["uid"])
    reading, writing = os.pipe()
    try:
        pid = fork(own, state)
        if pid == 0:
            program(control, limits, descriptors, state, filter_, folder, writing)
    except OSError as error:
        os.close(reading)
        return {"unable": str(error)}
    finally:
        for descriptor in (*descriptors, writing):
            os.close(descriptor)
    failure = os.read(reading, 4096)  # ends when the program's own code is about to begin
    os.close(reading)
    ended_for = watch(control, pid, limits, state)
    _, status, usage = os.wait4(pid, 0)
    if folder:
        sweep()
        shutil.rmtree(folder, ignore_errors=True)
    if failure:
        return {"unable": failure.decode(errors="replace")}
    return {"code": os.waitstatus_to_exitcode(status), "cpu": usage.ru_utime + usage.ru_stime, "for": ended_for}


def fork(own: int, state: "State") -> int:
    """A child that is the first process of a pid namespace of its own."""
    if not state["spaces"]:
        return os.fork()
    call("unshare", NEWPID)  # of the next child, not of this process
    try:
        pid = os.fork()
    except OSError:
        call("setns", own, NEWPID)
        raise
    if pid:
        call("setns", own, NEWPID)
    return pid


def watch(control: socket.socket, pid: int, limits: "Limits", state: "State") -> str:
    """Wait for the end of a program, or bring it about: by the parent's word, or when it takes too much memory."""
    end = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(control, select.POLLIN)
    ended_for = ""
    while True:
        events = dict(poll.poll(WATCH_SECONDS * 1000 if state["watch"] else None))
        if control.fileno() in events:
            if not control.recv(64):
                os._exit(0)  # nobody is there any more; the kernel ends the program with this process
            ended_for = "parent"
        elif end not in events and state["watch"] and too_much_memory(limits["memory_bytes"]):
            ended_for = "memory"
        if ended_for and end not in events:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if end in events:
            os.close(end)
            return ended_for


def too_much_memory(limit: int) -> bool:
    """Whether the processes of the program together hold more than one of them may."""
    me, pages, everyone = str(os.getpid()), 0, []
    for name in os.listdir("/proc"):
        if name.isdigit() and name != me:
            with contextlib.suppress(OSError), open(f"/proc/{name}/statm") as file:
                pages += int(file.read().split()[1])
                everyone.append(name)
    if pages * resource.getpagesize() <= limit:
        return False
    total = 0
    for name in everyone:  # the sum above counts shared pages once per process
        with contextlib.suppress(OSError), open(f"/proc/{name}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    return total > limit


def sweep() -> None:
    """Without a pid namespace: kill what the program left behind, which the kernel has made children of this process."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            return
        if not children:
            return
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


# --- the program's own process


def program(
    control: socket.socket,
    limits: "Limits",
    descriptors: list[int],
    state: "State",
    filter_: bytes,
    folder: str | None,
    writing: int,
) -> "NoReturn":
    """Give everything up, then run the program. Does not return."""
    try:
        control.close()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.setsid()
        source = read_all(descriptors[0])
        if folder is None:
            own_folder(limits, state)
        else:
            os.chdir(folder)
        null = os.open("/dev/null", os.O_RDONLY)
        for target, descriptor in enumerate((null, *descriptors[1:])):
            os.dup2(descriptor, target)
        restrict(limits, state)
        give_up(state, filter_)
    except BaseException as error:
        os.write(writing, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os.closerange(FIRST_EXTRA, limits["files"] + 1024)
    run(source)


def read_all(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def own_folder(limits: "Limits", state: "State") -> None:
    """A writable file system of this program alone, of limited size, nothing in it executable; the nursery's /proc out of sight."""
    call("unshare", NEWNS)
    uid = state["uid"] or INSIDE_ID
    options = f"size={limits['disk_bytes']},nr_inodes=4096,mode=700,uid={uid},gid={uid}"
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
    mount("tmpfs", "/proc", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555")
    os.chdir("/tmp")


def restrict(limits: "Limits", state: "State") -> None:
    cpu = math.ceil(limits["cpu_seconds"])
    wanted: dict[str, int | tuple[int, int]] = {
        "CPU": (cpu, cpu + 1),  # the first would be ignored by the first process of a pid namespace
        "AS": limits["memory_bytes"],
        "FSIZE": limits["file_bytes"],
        "NOFILE": limits["files"],
        "NPROC": limits["processes"] + state["extra"],
        "STACK": 8 << 20,
        "SIGPENDING": 128,
        **dict.fromkeys(("CORE", "MEMLOCK", "MSGQUEUE", "NICE", "RTPRIO"), 0),
    }
    for name, value in wanted.items():
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), value if isinstance(value, tuple) else (value, value))


def give_up(state: "State", filter_: bytes) -> None:
    """Root, capabilities, the way back to either, and the system calls of `filter_`."""
    if state["uid"]:
        drop_user(state["uid"])
    call("capset", struct.pack("=Ii", 0x20080522, 0), bytes(24))
    call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)
    if filter_:
        instructions = ctypes.create_string_buffer(filter_, len(filter_))
        program_ = struct.pack("@HP", len(filter_) // 8, ctypes.addressof(instructions))
        call("prctl", SECCOMP, 2, program_, 0, 0)


def run(source: bytes) -> "NoReturn":
    """Run the source as a script is run, and end the process."""
    gc.enable()
    random.seed(0)  # a program prints the same each time it is run
    for number, mode in ((1, "w"), (2, "w")):
        stream = open(number, mode, encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
        setattr(sys, "stdout" if number == 1 else "stderr", stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    sys.argv[:] = sys.orig_argv[:] = ["program.py"]
    module = types.ModuleType("__main__")
    module.__file__ = "program.py"
    vars(module)["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    code = 0
    try:
        lines = source.decode("utf-8", "replace").splitlines(keepends=True)
        linecache.cache["program.py"] = (len(source), None, lines, "program.py")
        exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)
    except SystemExit as leaving:
        code = leave(leaving.code)
    except BaseException as error:
        code = 1
        trace = error.__traceback__ and error.__traceback__.tb_next  # without this frame
        if isinstance(error, (SyntaxError, ValueError)) and trace is None:
            traceback.print_exception(type(error), error, None)
        else:
            traceback.print_exception(type(error), error, trace)
    try:
        finish()
    finally:
        os._exit(code)


def leave(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def finish() -> None:
    """What the interpreter does at its end: other threads, exit functions, buffers."""
    threading = sys.modules.get("threading")
    if threading:
        threading._shutdown()
    atexit = sys.modules.get("atexit")
    if atexit:
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
