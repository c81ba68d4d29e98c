"""Programs that try to break out of a sandbox, exhaust it, or harm others. `python hostile.py SECONDS` runs all, and prints JSON.

A program that finds itself getting somewhere it must not prints ESCAPED. `@NAME@` is replaced by what a test set up outside: a
canary file that must keep its text, a secret file and environment variable, the process id of an innocent process, listening
sockets. The second entry: the endings that count as contained.
"""
# ruff: noqa: E501 (programs, one line of theirs after another)

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from unified_rl.isolation.sandbox import ProgramLimits, Sandbox

SECRET = "a-secret-nobody-may-read"
ANY = ("ok", "error", "timeout", "memory", "output", "killed")
SHORT = ("ok", "error", "killed")

# Every one begins with these; `attempt` reports a deed that was not refused.
PREAMBLE = r"""
import ctypes, errno, os, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, deed):
    try:
        result = deed()
    except OSError as error:
        print("refused", what, error.errno)
    except Exception as error:
        print("refused", what, type(error).__name__)
    else:
        print("ESCAPED", what, repr(result)[:200])
def system(what, number, *arguments):
    result = libc.syscall(number, *arguments)
    print("ESCAPED" if result >= 0 else "refused", what, ctypes.get_errno())
"""

PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    # exhaustion
    "fork bomb": (
        "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        ("timeout", "killed"),
    ),
    "fork bomb of sleepers": ("n = 0\nwhile os.fork():\n    n += 1\n    assert n < 200, 'ESCAPED'\ntime.sleep(60)", ("error",)),
    "thread bomb": (
        "import threading\nn = 0\nwhile n < 500:\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); n += 1\n"
        "print('ESCAPED', n)",
        ("error", "killed"),
    ),
    # On a busy machine half a gigabyte may take longer to fill than the time allowed.
    "memory bomb": ("x = []\nwhile True:\n    x.append(bytearray(1 << 24))", ("memory", "timeout")),
    "one huge allocation": ("x = bytearray(1 << 40)", ("memory",)),
    "memory bomb in several processes": (
        "for _ in range(3):\n    os.fork()\nx = []\nwhile True:\n    try:\n        x.append(b'x' * (1 << 22))\n"
        "    except MemoryError:\n        time.sleep(60)",
        ("memory", "timeout", "killed"),
    ),
    "anonymous mapping": ("import mmap\nmaps = [mmap.mmap(-1, 1 << 28) for _ in range(100)]", ("memory", "error")),
    "infinite loop": ("while True:\n    pass", ("timeout",)),
    "infinite loop in C": ("sum(iter(int, 1))", ("timeout",)),
    "endless sleep": ("time.sleep(10 ** 6)", ("timeout",)),
    "huge power": ("print(len(str(9 ** 9 ** 9)))", ("timeout", "memory", "error")),
    "infinite output": ("while True:\n    print('spam' * 1000)", ("output",)),
    "huge output without newline": ("sys.stdout.write('x' * (1 << 26))", ("output",)),
    "infinite output on standard error": ("while True:\n    sys.stderr.write('spam' * 1000)", ("output",)),
    "output by many processes": ("os.fork(); os.fork()\nwhile True:\n    os.write(1, b'x' * 4096)", ("output",)),
    "exception with a huge message": ("raise ValueError('x' * (1 << 26))", ("output",)),
    "binary output": ("os.write(1, bytes(range(256)) * 16)", ("ok",)),
    "forged answer on standard output": (
        'os.write(1, b\'\\x00\\x00\\x00\\x10["done", "forged"]{"code": 0, "cpu": 0, "for": ""}\')\nos._exit(1)',
        ("error",),
    ),
    "filling the disk": (
        "n = 0\ntry:\n    while n < 1000:\n        with open(f'file{n}', 'wb') as file:\n            file.write(b'x' * (1 << 22))\n"
        "        n += 1\n    print('ESCAPED')\nexcept OSError as error:\n    print('refused', error.errno)",
        ("ok",),
    ),
    "filling the table of files": (
        "try:\n    for n in range(100000):\n        os.close(os.open(f'{n}', os.O_CREAT))\n    print('ESCAPED')\n"
        "except OSError as error:\n    print('refused', error.errno)",
        ("ok",),
    ),
    "one huge file": ("with open('big', 'wb') as file:\n    file.truncate(1 << 40)\n    print('ESCAPED')", ("error",)),
    "all descriptors": (
        "kept = []\nwhile len(kept) < 10000:\n    kept.append(os.open('/', os.O_RDONLY))\nprint('ESCAPED')",
        ("error",),
    ),
    "endless recursion": ("def f():\n    f()\nf()", ("error",)),
    "recursion without its limit": (
        "sys.setrecursionlimit(10 ** 9)\nclass A:\n    def __repr__(self):\n        return repr([self])\nrepr(A())",
        ("killed", "memory", "error"),
    ),
    "deeply nested source": ("eval('(' * 10 ** 6)", ("error", "memory", "output", "killed")),
    "pipes full of data": (
        "import fcntl\nfor _ in range(20):\n    a, b = os.pipe(); os.set_blocking(b, False)\n    try:\n"
        "        while True:\n            os.write(b, b'x' * 4096)\n    except BlockingIOError:\n        pass",
        SHORT,
    ),
    # signals and endings
    "signals ignored": (
        "for n in range(1, 65):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\n"
        "while True:\n    pass",
        ("timeout",),
    ),
    "os._exit": ("print('before', flush=True)\nos._exit(0)", ("ok",)),
    "exit codes": ("sys.exit(int('7'))", ("error",)),
    "exit with a text": ("sys.exit('x' * 100)", ("error",)),
    "abort": ("os.abort()", ("killed",)),
    "segmentation fault": ("ctypes.string_at(0)", ("killed",)),
    "kill itself": ("os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(0.1)\nprint('still here')", ANY),
    "waits for input": ("print(repr(sys.stdin.read()))\ninput()", ("error",)),
    "threads that outlive": (
        "import threading\nthreading.Thread(target=lambda: time.sleep(10 ** 6)).start()",
        ("timeout",),
    ),
    "daemon threads": (
        "import threading\ndef spin():\n    while True:\n        pass\nthreading.Thread(target=spin, daemon=True).start()",
        ("ok",),
    ),
    "exit function that hangs": ("import atexit\natexit.register(time.sleep, 10 ** 6)", ("timeout",)),
    "exec replaced": ("os.execv('/proc/self/exe', ['x'])", ("error",)),
    # processes
    "kill the parent": (
        "attempt('kill', lambda: os.kill(@VICTIM@, 9))\nprint(os.getppid())\n"
        "assert os.getppid() == 0\ntry:\n    os.kill(-1, 9)\nexcept OSError:\n    pass",
        SHORT,
    ),
    "signals to siblings": (
        "for pid in range(2, 70000):\n    try:\n        os.kill(pid, 9)\n        print('ESCAPED', pid)\n    except ProcessLookupError:\n        pass",
        ("ok",),
    ),
    "kill the process group of the parent": ("attempt('group', lambda: os.killpg(@VICTIM@, 9))", ("ok",)),
    "daemon by double fork": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 64)\n        time.sleep(10 ** 6)\n    os._exit(0)\n"
        "time.sleep(0.1)",
        ("ok",),
    ),
    "daemon that keeps the output open": (
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True:\n            time.sleep(1)\n    os._exit(0)",
        ("ok",),
    ),
    "another session": (
        "if os.fork() == 0:\n    os.setsid()\n    while True:\n        pass\nwhile True:\n    pass",
        ("timeout",),
    ),
    "death signal given up": (
        "libc.prctl(1, 0)\nlibc.prctl(36, 1)\nif os.fork() == 0:\n    libc.prctl(1, 0)\n    time.sleep(10 ** 6)",
        ("ok",),
    ),
    "ptrace": (
        "result = libc.ptrace(16, @VICTIM@, 0, 0)\nprint('ESCAPED' if result == 0 else 'refused')\n"
        "print('ESCAPED' if libc.ptrace(0, 0, 0, 0) == 0 else 'refused')",
        ("ok",),
    ),
    "memory of another process": (
        "buffer = ctypes.create_string_buffer(16)\nvector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)\n"
        "print('ESCAPED' if libc.process_vm_readv(@VICTIM@, vector, 1, vector, 1, 0) > 0 else 'refused')\n"
        "attempt('mem', lambda: open('/proc/@VICTIM@/mem', 'rb'))",
        ("ok",),
    ),
    "looking round in /proc": (
        "print([name for name in os.listdir('/proc')])\nattempt('environ', lambda: open('/proc/@VICTIM@/environ').read())\n"
        "attempt('self', lambda: os.readlink('/proc/self/exe'))\nattempt('parent', lambda: open('/proc/1/environ').read())",
        ("ok",),
    ),
    "priority raised": (
        "attempt('nice', lambda: os.nice(-10))\nattempt('fifo', lambda: os.sched_setscheduler(0, 1, os.sched_param(5)))",
        ("ok",),
    ),
    "its own limits raised": (
        "import resource\nfor name in ('AS', 'CPU', 'FSIZE', 'NOFILE', 'NPROC', 'CORE'):\n"
        "    attempt(name, lambda: resource.setrlimit(getattr(resource, 'RLIMIT_' + name), (-1, -1)))\n"
        "attempt('of another', lambda: resource.prlimit(@VICTIM@, resource.RLIMIT_CPU, (1, 1)))",
        ("ok",),
    ),
    # files
    "reading the user's home": (
        "attempt('secret', lambda: open('@SECRET_FILE@').read())\nattempt('list', lambda: os.listdir('@FOLDER@'))\n"
        "attempt('ssh', lambda: os.listdir(os.path.expanduser('~root') + '/.ssh'))\nattempt('passwd', lambda: open('/etc/passwd').read())",
        ("ok",),
    ),
    "searching for the secret": (
        "for top, folders, names in os.walk('/'):\n    if top.startswith(('/usr', '/lib', '/packages')) or top.endswith('/lib'):\n        folders[:] = []\n"
        "    for name in names:\n        if name == 'secret.txt':\n            print('ESCAPED', top)",
        ("ok",),
    ),
    "reading the environment": (
        "block = ctypes.c_void_p.in_dll(libc, 'environ').value\nprint(dict(os.environ))\nassert not os.environ\n"
        "getenv = libc.getenv; getenv.restype = ctypes.c_char_p\nprint('ESCAPED' if getenv(b'SANDBOX_TEST_SECRET') else 'refused')",
        ("ok",),
    ),
    "searching its own stack for the environment": (
        "start = ctypes.c_void_p.in_dll(libc, '__libc_stack_end').value & ~4095\nreading, writing = os.pipe()\ntext = b''\n"
        "while libc.write(writing, ctypes.c_void_p(start), 4096) == 4096:\n    text += os.read(reading, 4096)\n    start += 4096\n"
        "print('ESCAPED' if b'SANDBOX_TEST_' + b'SECRET' in text else 'refused', len(text), b'PYTHONHASHSEED' in text)",
        ("ok",),
    ),
    "writing outside": (
        "for path in ('@CANARY@', '/canary', '/usr/lib/canary', '/packages/canary', '/dev/canary', '/etc/canary', '/proc/canary',\n"
        "             os.path.dirname(os.__file__) + '/canary.py'):\n    attempt(path, lambda: open(path, 'w').write('x'))",
        ("ok",),
    ),
    "poisoning a package": (
        "import sympy\nattempt('sympy', lambda: open(sympy.__file__, 'a').write('evil'))\n"
        "attempt('remove', lambda: os.unlink(sympy.__file__))\nattempt('rename', lambda: os.rename('/packages', '/tmp/p'))",
        ("ok",),
    ),
    "symbolic links": (
        "os.symlink('@CANARY@', 'link')\nattempt('write', lambda: open('link', 'r+').write('x'))\nos.symlink('@FOLDER@', 'folder')\n"
        "attempt('list', lambda: os.listdir('folder'))\nos.symlink('../' * 40 + '@SECRET_FILE@'[1:], 'up')\nattempt('up', lambda: open('up').read())",
        ("ok",),
    ),
    "hard links": (
        "attempt('link', lambda: os.link('@CANARY@', 'hard'))\nattempt('null', lambda: os.link('/dev/null', 'null'))",
        ("ok",),
    ),
    "climbing": (
        "os.chdir('/')\nfor _ in range(50):\n    os.chdir('..')\nattempt('secret', lambda: open('.@SECRET_FILE@').read())",
        ("ok",),
    ),
    "deleting its own folder": (
        "import shutil\nshutil.rmtree('/tmp', ignore_errors=True)\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nprint('gone')",
        ("ok", "error"),
    ),
    "deleting everything": ("import shutil\nshutil.rmtree('/', ignore_errors=True)\nimport json", ("ok", "timeout")),
    "closing to the clean-up": (
        "os.makedirs('a/b/c')\nfor path in ('a/b/c', 'a/b', 'a', '.'):\n    os.chmod(path, 0)\nos.kill(os.getpid(), 11)",
        ANY,
    ),
    "chmod and chown": (
        "attempt('chmod', lambda: os.chmod('/usr', 0o777))\nattempt('chown', lambda: os.chown('/tmp', 0, 0))\n"
        "attempt('canary', lambda: os.chmod('@CANARY@', 0))",
        ("ok",),
    ),
    "set-user-id files": (
        "open('program', 'w').close()\nos.chmod('program', 0o4755)\nimport subprocess\n"
        "attempt('su', lambda: subprocess.run(['/bin/su'], check=True))\nattempt('sudo', lambda: subprocess.run(['sudo', 'id'], check=True))",
        ("ok",),
    ),
    "device nodes": (
        "import stat\nattempt('mknod', lambda: os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0)))",
        ("ok",),
    ),
    "terminal": (
        "attempt('tty', lambda: os.open('/dev/tty', os.O_RDWR))\nimport fcntl\nattempt('sti', lambda: fcntl.ioctl(0, 0x5412, b'x'))",
        ("ok",),
    ),
    "left behind for the next program": (
        "open('/tmp/left', 'w').write('x')\nsys.modules['math'].pi = 3\nimport builtins\nbuiltins.print = None",
        ("ok",),
    ),
    "what the last program left behind": (
        "import math\nprint(os.listdir('/tmp'), math.pi > 3)\nassert os.listdir('/tmp') == [] and math.pi > 3",
        ("ok",),
    ),
    # network and messages
    "internet": (
        "attempt('tcp', lambda: socket.create_connection(('1.1.1.1', 53), 1))\nattempt('udp', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))\n"
        "attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))\nattempt('name', lambda: socket.gethostbyname('example.org'))",
        ("ok",),
    ),
    "local server": (
        "attempt('connect', lambda: socket.create_connection(('127.0.0.1', @PORT@), 1))\n"
        "attempt('listen', lambda: socket.create_server(('127.0.0.1', 0)))",
        ("ok",),
    ),
    "unix sockets": (
        "def reach(path):\n    client = socket.socket(socket.AF_UNIX)\n    client.connect(path)\n"
        "attempt('file', lambda: reach('@UNIX@'))\nattempt('abstract', lambda: reach('\\0@ABSTRACT@'))",
        ("ok",),
    ),
    "other socket families": (
        "for family in (16, 17, 38, 40):\n    attempt(family, lambda: socket.socket(family, socket.SOCK_RAW))",
        ("ok",),
    ),
    "shared memory": (
        "print('ESCAPED' if libc.shmget(@KEY@, 4096, 0o1666) >= 0 else 'refused')\n"
        "print('ESCAPED' if libc.msgget(@KEY@, 0o1666) >= 0 else 'refused')\n"
        "print('ESCAPED' if libc.semget(@KEY@, 1, 0o1666) >= 0 else 'refused')\n"
        "attempt('posix', lambda: open('/dev/shm/@SHARED@').read())",
        ("ok",),
    ),
    "inherited descriptors": (
        "for fd in range(3, 4096):\n    try:\n        os.fstat(fd)\n        print('ESCAPED', fd)\n    except OSError:\n        pass\n"
        "print(os.read(0, 10))",
        ("ok",),
    ),
    # privileges and the kernel
    "becoming root": (
        "attempt('setuid', lambda: os.setuid(0))\nattempt('setgroups', lambda: os.setgroups([0]))\nprint(os.getuid())\n"
        "print('ESCAPED' if os.getuid() == 0 else 'refused')",
        ("ok",),
    ),
    "mount": (
        "print('ESCAPED' if libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, 0) == 0 else 'refused')\n"
        "print('ESCAPED' if libc.umount2(b'/tmp', 2) == 0 else 'refused')\nprint('ESCAPED' if libc.umount2(b'/proc', 2) == 0 else 'refused')\n"
        "print('ESCAPED' if libc.mount(b'proc', b'/proc', b'proc', 0, 0) == 0 else 'refused')",
        ("ok",),
    ),
    "namespaces": (
        "for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000):\n    print('ESCAPED' if libc.unshare(flag) == 0 else 'refused')\n"
        "print('ESCAPED' if libc.setns(0, 0) == 0 else 'refused')\nattempt('chroot', lambda: os.chroot('/tmp'))",
        ("ok",),
    ),
    "system calls by number": (
        "import platform\nassert platform.machine() == 'x86_64' or sys.exit()\n"
        "for name, number in dict(ptrace=101, bpf=321, keyctl=250, perf=298, uring=425, userfault=323, kexec=246, module=175, handle=304,\n"
        "                         swap=167, statmount=457, listmount=458, flock=73, reboot=169, memfd=319, socket=41, acct=163, quota=179, clone3=435, later=500).items():\n"
        "    system(name, number, 0, 0, 0, 0, 0)",
        ("ok",),
    ),
    "system calls of another architecture": (
        "import mmap, platform\nassert platform.machine() == 'x86_64' or sys.exit()\n"
        "# int 0x80 with eax = 20 (getpid of i386), then ret\n"
        "page = mmap.mmap(-1, 4096, prot=7)\npage.write(bytes.fromhex('b814000000cd80c3'))\n"
        "function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))\nprint('ESCAPED', function())",
        ("killed",),
    ),
    "exec of a shell": (
        "import subprocess\nfor shell in ('/bin/sh', '/bin/bash', '/usr/bin/env', '/usr/bin/python3'):\n"
        "    attempt(shell, lambda: subprocess.run([shell, '-c', 'id'], check=True))\nprint(os.system('id'))\n"
        "attempt('exec', lambda: os.execv('/bin/sh', ['sh']))",
        ("ok",),
    ),
    "locks of files that can only be read": (
        "import fcntl, json, struct\n"
        "for path in (os.__file__, json.__file__, '/dev/null', 'own'):\n"
        "    file = open(path, 'w+' if path == 'own' else 'r')\n"
        "    for mode in (fcntl.LOCK_SH, fcntl.LOCK_EX):\n"
        "        attempt('flock', lambda: fcntl.flock(file, mode | fcntl.LOCK_NB))\n"
        "    attempt('lockf', lambda: fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB))\n"
        "    attempt('lease', lambda: fcntl.fcntl(file, 1024, 0))\n"
        "    for command in (6, 7, 37, 38):\n"
        "        attempt('fcntl', lambda: fcntl.fcntl(file, command, struct.pack('hhqqi', 0, 0, 0, 0, 0)))\n"
        "attempt('notice', lambda: fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), 1026, 1))",
        ("ok",),
    ),
    "list of mounts": (
        "for number in (457, 458):\n"
        "    request = (ctypes.c_uint64 * 4)(24, (1 << 64) - 1, 0, 0)\n"
        "    answer = ctypes.create_string_buffer(4096)\n"
        "    system('mounts', number, request, answer, ctypes.c_size_t(512), 0)",
        ("ok",),
    ),
    "execution of what was written": (
        "import mmap, pathlib, shutil\n"
        "pathlib.Path('run').write_text('#!/usr/bin/python3\\nprint(1)')\nos.chmod('run', 0o755)\n"
        "attempt('script', lambda: os.execv('/tmp/run', ['run']))\n"
        "library = next(pathlib.Path(os.__file__).parent.glob('lib-dynload/*.so'))\nshutil.copy(library, 'copy.so')\n"
        "attempt('library', lambda: ctypes.CDLL('/tmp/copy.so'))\n"
        "with open('copy.so', 'rb') as file:\n"
        "    attempt('mapping', lambda: mmap.mmap(file.fileno(), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC))",
        ("ok",),
    ),
    "host name": ("print('ESCAPED' if libc.sethostname(b'x', 1) == 0 else 'refused')", ("ok",)),
    "clock": ("attempt('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0))", ("ok",)),
    "core pattern": (
        "attempt('core', lambda: open('/proc/sys/kernel/core_pattern', 'w'))\nattempt('sys', lambda: os.listdir('/sys'))",
        ("ok",),
    ),
    "the nursery's frames": (
        "import gc\nfound = [one for one in gc.get_objects() if isinstance(one, socket.socket)]\n"
        'for one in found:\n    attempt(\'send\', lambda: one.send(b\'{"code": 0, "cpu": 0, "for": ""}\'))',
        SHORT,
    ),
    "source that is no text": ("\x00\udc80", ("error",)),
}


@contextlib.contextmanager
def surroundings():
    """What the programs are let loose on; yields (values of @NAME@, a function that says what was harmed)."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o777)
        canary, secret = folder / "canary.txt", folder / "secret.txt"
        canary.write_text("sings")
        canary.chmod(0o666)
        secret.write_text(SECRET)
        victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        unix.bind(str(folder / "unix"))
        (folder / "unix").chmod(0o777)
        abstract.bind(f"\0sandbox-test-{os.getpid()}")
        for listener in (unix, abstract):
            listener.listen()
        for listener in (server, unix, abstract):
            listener.setblocking(False)
        values = {
            "CANARY": canary,
            "SECRET_FILE": secret,
            "FOLDER": folder,
            "SECRET": SECRET,
            "VICTIM": victim.pid,
            "PORT": server.getsockname()[1],
            "UNIX": folder / "unix",
            "ABSTRACT": f"sandbox-test-{os.getpid()}",
            "KEY": os.getpid(),
            "SHARED": f"sandbox-test-{os.getpid()}",
        }
        shared = Path("/dev/shm") / values["SHARED"]
        if shared.parent.is_dir():
            shared.write_text(SECRET)
            stack.callback(shared.unlink)

        def harmed() -> list[str]:
            found = []
            if canary.read_text() != "sings" or canary.stat().st_mode & 0o777 != 0o666:
                found.append("the canary")
            if sorted(path.name for path in folder.iterdir()) != ["canary.txt", "secret.txt", "unix"]:
                found.append("the folder")
            if victim.poll() is not None:
                found.append("the victim")
            for listener in (server, unix, abstract):
                with contextlib.suppress(BlockingIOError):
                    listener.accept()
                    found.append(f"{listener.getsockname()} was reached")
            return found

        yield values, harmed


def filled(source: str, values: dict) -> str:
    """The program with the preamble and the surroundings' values."""
    for name, value in values.items():
        source = source.replace(f"@{name}@", str(value))
    return PREAMBLE + source


def descendants(root: int) -> set[int]:
    """Process ids below `root`, zombies left out."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(path.name)] = int(parent)
    found, todo = set(), [root]
    while todo:
        one = todo.pop()
        children = [pid for pid, parent in parents.items() if parent == one]
        found.update(children)
        todo += children
    return found


def run_all(sandbox: Sandbox, seconds: float) -> dict:
    """Every hostile program with an honest one after it: `results`, `harmed`, `honest` (all right?), `left` processes."""
    with surroundings() as (values, harmed):
        limits = ProgramLimits(wall_seconds=seconds, cpu_seconds=30, memory_bytes=1 << 29)
        sandbox.run(["print(1)", "import sympy"] * sandbox.workers * 4)
        before = descendants(os.getpid())
        programs = []
        for index, (source, _) in enumerate(PROGRAMS.values()):
            programs += [filled(source, values), f"print({index} ** 2)"]
        results = sandbox.run(programs, limits)
        deadline = time.monotonic() + 10
        while (left := descendants(os.getpid()) - before) and time.monotonic() < deadline:
            time.sleep(0.05)
        honest = [result.stdout == f"{index**2}\n" and result.status == "ok" for index, result in enumerate(results[1::2])]
        rows = {
            name: {
                "status": result.status,
                "stdout": result.stdout[:2000],
                "stderr": result.stderr[-500:],
                "code": result.exit_code,
            }
            for name, result in zip(PROGRAMS, results[::2], strict=True)
        }
        return {"results": rows, "harmed": harmed(), "honest": honest, "left": len(left), "sandbox": sandbox.describe()}


def complaints(outcome: dict) -> list[str]:
    """What a run of all programs shows to be wrong."""
    wrong = []
    for name, row in outcome["results"].items():
        if row["status"] not in PROGRAMS[name][1]:
            wrong.append(f"{name}: ended as {row['status']}: {row['stdout'][:200]} {row['stderr'][-300:]}")
        if "ESCAPED" in row["stdout"] or "ESCAPED" in row["stderr"] or SECRET in row["stdout"]:
            wrong.append(f"{name}: {row['stdout'][:300]}")
    wrong += [f"harmed: {what}" for what in outcome["harmed"]]
    names = list(PROGRAMS)
    wrong += [f"the honest program after {names[index]!r} failed" for index, fine in enumerate(outcome["honest"]) if not fine]
    if outcome["left"]:
        wrong.append(f"{outcome['left']} processes left behind")
    return wrong


if __name__ == "__main__":
    os.environ["SANDBOX_TEST_SECRET"] = SECRET
    with Sandbox(boundaries=sys.argv[2:] or ("bubblewrap", "unshare")) as made:
        print(json.dumps(run_all(made, float(sys.argv[1]))))
