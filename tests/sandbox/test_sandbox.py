"""The sandbox as its users meet it: results, limits, refusals, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hostile_programs import descendants

from unified_rl.base.errors import ConfigError
from unified_rl.isolation import sandbox_seccomp
from unified_rl.isolation.sandbox import PROTECTIONS, ProgramLimits, Sandbox, SandboxError

HERE = Path(__file__).parent
TRACES = HERE.parents[2] / "shared" / "data" / "tora70b_gsm8k_test_traces.jsonl"


def made(**options) -> Sandbox:
    """A sandbox with everything asked for; where that cannot be had, the refusal is checked and the test skipped."""
    try:
        return Sandbox(**options)
    except SandboxError as refusal:
        assert "allow_unsandboxed=true" in str(refusal)
        assert "bubblewrap" in str(refusal)
        pytest.skip(f"not on this machine: {refusal}")


@pytest.fixture(scope="module")
def sandbox():
    with made() as one:
        yield one


def test_results(sandbox):
    programs = {
        "print(1 + 1)": ("ok", "2\n", 0),
        "import sympy; print(sympy.sqrt(8), sympy.integrate(sympy.Symbol('x')))": ("ok", "2*sqrt(2) x**2/2\n", 0),
        "import importlib; print(importlib.import_module('sym' + 'py').Integer(7))": ("ok", "7\n", 0),
        "import numpy; print(numpy.arange(3).sum())": ("ok", "3\n", 0),
        "if __name__ == '__main__':\n    print('main')\nexit()": ("ok", "main\n", 0),
        "print('ünï ∑ \\ud800')": ("ok", "ünï ∑ \\ud800\n", 0),
        "print('before'); 1 / 0": ("error", "before\n", 1),
        "print(": ("error", "", 1),
        "import sys; sys.exit(3)": ("error", "", 3),
        "import os; os.kill(os.getpid(), 9); os.abort()": ("killed", "", None),
        "x = 'a' * 10 ** 11": ("memory", "", 1),
        "": ("ok", "", 0),
    }
    for result, (status, stdout, code) in zip(sandbox.run(list(programs)), programs.values(), strict=True):
        assert (result.status, result.stdout) == (status, stdout), result
        assert code is None or result.exit_code == code
        assert result.seconds > 0


def test_tracebacks_name_the_program_only(sandbox):
    (result,) = sandbox.run(["def f(x):\n    return 1 / x\n\nf(0)"])
    assert 'File "program.py", line 4, in <module>\n    f(0)\n' in result.stderr
    assert result.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    assert result.stderr.count("File ") == 2


def test_output_before_the_end_is_kept(sandbox):
    limits = ProgramLimits(wall_seconds=1, output_bytes=1000, stderr_bytes=100)
    programs = ["print('so far')\nwhile True: pass", "print('x' * 5000)", "import sys; sys.stderr.write('a' * 300 + 'end')"]
    slow, long, complaining = sandbox.run(programs, limits)
    assert (slow.status, slow.stdout) == ("timeout", "so far\n")
    assert (long.status, long.stdout) == ("output", "x" * 1000)
    assert complaining.stderr == "a" * 97 + "end"


def test_cpu_time_is_limited_beside_wall_time(sandbox):
    limits = ProgramLimits(wall_seconds=60, cpu_seconds=1)
    spinning, sleeping = sandbox.run(["while True: pass", "import time; time.sleep(1.5); print('slept')"], limits)
    assert spinning.status == "timeout"
    assert spinning.seconds < 50
    assert (sleeping.status, sleeping.stdout) == ("ok", "slept\n")


def test_programs_are_the_same_each_time_and_strangers_to_each_other(sandbox):
    source = "import random, math; print(random.random(), list({'a', 'b', 'c', 'd'}), getattr(math, 'mark', 0)); math.mark = 1"
    assert len({result.stdout for result in sandbox.run([source] * 10)}) == 1


def test_honest_use_of_processes_and_threads(sandbox):
    programs = [
        "import multiprocessing as m\nwith m.Pool(2) as pool: print(pool.map(abs, [-1, 2]))",
        "from concurrent.futures import ThreadPoolExecutor as T\nprint(list(T(3).map(abs, [-1, 2])))",
        "import asyncio\nasync def f(): return 5\nprint(asyncio.run(f()))",
        "import tempfile\nwith tempfile.TemporaryFile() as f: print(f.write(b'12'))",
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: print('alarm'))\nsignal.alarm(1)\nsignal.pause()",
    ]
    printed = [result.stdout for result in sandbox.run(programs)]
    assert printed == ["[1, 2]\n", "[1, 2]\n", "5\n", "2\n", "alarm\n"]


def test_stream_is_ordered_and_may_be_abandoned(sandbox):
    stream = sandbox.stream(["import time; time.sleep(0.3); print(0)", *[f"print({n})" for n in range(1, 9)]])
    assert [next(stream).stdout for _ in range(3)] == ["0\n", "1\n", "2\n"]
    stream.close()
    assert [result.stdout for result in sandbox.run(["print(5)"])] == ["5\n"]


def test_only_what_is_listed_can_be_imported(sandbox):
    results = sandbox.run(["import unified_rl", "import torch", "import pytest"])
    assert all("ModuleNotFoundError" in result.stderr for result in results)


def test_state_of_the_machine_is_told(sandbox):
    assert [one.name for one in sandbox.protections] == list(PROTECTIONS)
    assert all(one.active and one.reason for one in sandbox.protections)
    assert sandbox.describe() == f"sandbox: {sandbox.boundary}; active: {', '.join(PROTECTIONS)}; missing: none"


def test_refused_where_protections_cannot_be_had():
    with pytest.raises(SandboxError, match=r"cannot protect.*no filesystem.*[Ii]nstall bubblewrap.*allow_unsandboxed=true"):
        Sandbox(boundaries=["none"])
    assert issubclass(SandboxError, ConfigError)


def test_allowed_without_protections():
    before = descendants(os.getpid())
    with Sandbox(boundaries=["none"], allow_unsandboxed=True, workers=1) as sandbox:
        assert "filesystem (" in sandbox.describe().partition("missing:")[2]
        daemon = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    time.sleep(1000)"
        results = sandbox.run(
            ["import sympy; print(sympy.Integer(4))", daemon, "while True: pass"], ProgramLimits(wall_seconds=2)
        )
        assert [result.status for result in results] == ["ok", "ok", "timeout"]
        assert results[0].stdout == "4\n"
    assert gone(descendants(os.getpid()) - before)


def test_missing_protection_that_nobody_asked_for():
    with Sandbox(boundaries=["none"], protections=[], workers=1) as sandbox:
        assert sandbox.run(["print(1)"])[0].stdout == "1\n"


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="unknown protection 'files'"):
        Sandbox(protections=["files"])
    with pytest.raises(ConfigError, match="unknown boundary 'docker'"):
        Sandbox(boundaries=["docker"])
    with pytest.raises(ConfigError, match="wall_seconds=0"):
        ProgramLimits(wall_seconds=0)


def test_a_call_may_not_exceed_what_the_sandbox_was_made_for(sandbox):
    with pytest.raises(ConfigError, match="output_bytes"):
        sandbox.run(["print(1)"], ProgramLimits(output_bytes=1 << 24))


def test_lost_nursery_costs_one_program_and_is_replaced():
    before = descendants(os.getpid())
    with made(workers=1) as sandbox, ThreadPoolExecutor(1) as thread:
        supervisor = sandbox._pool.pids[1]
        idle = len(descendants(supervisor))
        running = thread.submit(
            sandbox.run, ["print(1)", "import time; time.sleep(20)", "print(3)"], ProgramLimits(wall_seconds=15)
        )
        time.sleep(1)  # the second program is running: the first takes milliseconds
        assert len(descendants(supervisor)) > idle
        kill(descendants(supervisor))
        assert [result.status for result in running.result()] == ["ok", "killed", "ok"]
        nurseries = descendants(supervisor)
        kill(nurseries)  # and once more while nothing runs
        assert gone(nurseries)
        assert [result.stdout for result in sandbox.run(["print(4)", "print(5)"])] == ["4\n", "5\n"]
    assert gone(descendants(os.getpid()) - before)


def kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # some end with others
            os.kill(pid, signal.SIGKILL)


def test_nobody_outlives_a_killed_parent():
    busy = "import os\nos.fork()\nif os.getpid() > 1:\n    os.setsid()\nwhile True:\n    pass"
    program = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom unified_rl.isolation.sandbox import Sandbox\n"
        f"stream = Sandbox().stream(['print(1)', *[{busy!r}] * 4])\nnext(stream)\n"
        "print('running', flush=True)\nnext(stream)"
    )
    made().close()
    parent = subprocess.Popen([sys.executable, "-c", program, str(HERE.parents[1])], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "running\n"
    time.sleep(1)
    family = descendants(parent.pid)
    assert len(family) >= 9  # zygote; two of each: supervisor, launcher, nursery, program (and its child)
    parent.kill()
    parent.wait()
    assert gone(family)


def test_close_ends_everything():
    before = descendants(os.getpid())
    sandbox = made()
    sandbox.run(["print(1)"] * 4)
    assert len(descendants(os.getpid())) > len(before)
    sandbox.close()
    assert gone(descendants(os.getpid()) - before)


def gone(pids: set[int], seconds: float = 10.0) -> bool:
    """Whether these processes end in time."""
    deadline = time.monotonic() + seconds
    while any(_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_real_programs_reproduce_their_predictions(sandbox):
    if not TRACES.exists():
        pytest.skip("the real programs are not at hand")
    from unified_rl.bench.sandbox import read_traces, reproduced

    traces = read_traces(TRACES)
    assert len(traces) == 1319
    counts = reproduced(sandbox, traces[::8])
    assert counts["programs"] == 165
    assert counts["stored output"] >= 0.99 * counts["programs"]
    assert counts["stored prediction"] >= 0.9 * counts["programs"]  # some predictions are the output rounded


def test_filter_for_both_architectures():
    assert sandbox_seccomp.build("riscv64") == b""
    for column, machine in enumerate(("x86_64", "aarch64")):
        numbers = [pair[column] for pair in sandbox_seccomp.DENIED.values() if pair[column] is not None]
        assert len(numbers) == len(set(numbers))
        for number in numbers:
            assert verdict(machine, number) == REFUSED
        assert verdict(machine, sandbox_seccomp.CLONE[column], 17) == ALLOWED  # SIGCHLD: a fork
        assert verdict(machine, sandbox_seccomp.CLONE[column], 17 | 0x10000000) == REFUSED
        assert verdict(machine, sandbox_seccomp.CLONE3[column]) == ABSENT
        assert verdict(machine, sandbox_seccomp.IOCTL[column], 0, 0x5401) == ALLOWED
        assert verdict(machine, sandbox_seccomp.IOCTL[column], 0, 0x5412) == REFUSED
        assert [verdict(machine, sandbox_seccomp.FCNTL[column], 0, lock) for lock in (6, 7, 37, 38, 1024)] == [REFUSED] * 5
        assert [verdict(machine, sandbox_seccomp.FCNTL[column], 0, other) for other in (0, 1, 3, 4, 1030, 1031)] == [
            ALLOWED
        ] * 6
        assert verdict(machine, 463) == verdict(machine, 0x40000000) == ABSENT
        assert verdict(machine, 4) == ALLOWED
        assert verdict(machine, 4, architecture=0x40000003) == KILLED  # i386


ALLOWED, KILLED, REFUSED, ABSENT = 0x7FFF0000, 0x80000000, 0x50001, 0x50026


def verdict(machine: str, number: int, first: int = 0, second: int = 0, architecture: int | None = None) -> int:
    """What the filter says to a call: the kernel's rules for these five instructions, written out."""
    if architecture is None:
        architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    data = struct.pack("<IIQQQ", number, architecture, 0, first, second)
    code = list(struct.iter_unpack("=HBBI", sandbox_seccomp.build(machine)))
    place, value = 0, 0
    while True:
        instruction, if_true, if_false, operand = code[place]
        if instruction == 0x06:
            return operand
        if instruction == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
            place += 1
            continue
        holds = {0x15: value == operand, 0x25: value > operand, 0x45: bool(value & operand)}[instruction]
        place += 1 + (if_true if holds else if_false)
