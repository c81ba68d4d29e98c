"""Programs that a model wrote, run where they can do no harm.

Each program runs in a clean interpreter (a fork of a pristine one), in namespaces of its own, with limits on everything it could
use up. Which protections hold is tried at start-up, not assumed; see docs/sandbox.md. Linux only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from unified_rl.base.errors import ConfigError
from unified_rl.isolation import sandbox_boundary, sandbox_probe
from unified_rl.isolation.pool import Limits, Outcome, Pool
from unified_rl.isolation.sandbox_boundary import BOUNDARIES, Boundary
from unified_rl.isolation.sandbox_probe import PROTECTIONS, Protection

ProgramStatus = Literal["ok", "error", "timeout", "memory", "output", "killed"]

PACKAGES = ("sympy", "mpmath", "gmpy2", "numpy")
SUPERVISION_SECONDS = (
    90.0  # above the wall limit, until the pool gives up a supervising process: its start, and the kernel's delays
)
_SYMPY = re.compile(r"\bsympy\b")


class SandboxError(ConfigError):
    """The protections asked for cannot be had on this machine, or the sandbox ended."""


@dataclass(frozen=True, slots=True)
class ProgramLimits:
    """What one program may use.

    Attributes:
        wall_seconds: from its start to its end.
        cpu_seconds: CPU time of one process of it, rounded up to whole seconds; the wall limit bounds all of them together.
        memory_bytes: address space of one process of it, and, where the kernel lets us look, memory of all of them together.
        output_bytes: of standard output and standard error together; a program that prints more is ended.
        stderr_bytes: how much of the end of standard error is kept.
        file_bytes: size of one file.
        disk_bytes: size of its folder, which is memory.
        files: open files.
        processes: processes and threads, itself included.
    """

    wall_seconds: float = 5.0
    cpu_seconds: float = 5.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 16
    stderr_bytes: int = 4096
    file_bytes: int = 16 << 20
    disk_bytes: int = 64 << 20
    files: int = 64
    processes: int = 8

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"sandbox limit {name}={value}: must be positive")


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """How a program ended.

    Attributes:
        status: "ok" (exit code 0), "error" (another exit code, an exception included), "timeout" (wall or CPU time), "memory",
            "output" (printed too much), "killed" (by a signal, its own included).
        stdout: what it printed, up to the limit; bytes that are not UTF-8 replaced.
        stderr: the end of its standard error.
        seconds: wall-clock time.
        exit_code: negative for a signal; None where it is not known.
    """

    status: ProgramStatus
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    exit_code: int | None = None


class Sandbox:
    """Runs Python programs that nobody has read.

    Args:
        limits: of each program.
        protections: that must hold; names from `PROTECTIONS`.
        allow_unsandboxed: run with what protections there are where not all can be had. The programs may then read and write
            whatever this user may.
        workers: programs at a time.
        packages: what can be imported beside the standard library, where it is installed here.
        boundaries: ways to build the sandbox, in order of preference.

    Raises:
        SandboxError: a protection cannot be had (and `allow_unsandboxed` is not set).
        ConfigError: an unknown protection or boundary.

    Processes end with `close`, with the object, or with the parent, however it ends.
    """

    def __init__(
        self,
        limits: ProgramLimits | None = None,
        protections: Sequence[str] = PROTECTIONS,
        allow_unsandboxed: bool = False,
        workers: int = 2,
        packages: Sequence[str] = PACKAGES,
        boundaries: Sequence[Boundary] = BOUNDARIES,
    ) -> None:
        _known("protection", protections, PROTECTIONS)
        _known("boundary", boundaries, BOUNDARIES)
        self.limits = limits or ProgramLimits()
        self.workers = workers
        self._requested = tuple(protections)
        self._packages = tuple(packages)
        self.boundary, self.protections = self._choose(boundaries, allow_unsandboxed)

    def run(self, programs: Sequence[str], limits: ProgramLimits | None = None) -> list[ProgramResult]:
        """One result per program, in order. `limits` of the call in place of the sandbox's."""
        return list(self.stream(programs, limits))

    def stream(self, programs: Sequence[str], limits: ProgramLimits | None = None) -> Iterator[ProgramResult]:
        """Results in order, each as soon as it and those before it are known."""
        limits = limits or self.limits
        if _characters(limits) > self._most_output:
            raise ConfigError(
                f"sandbox: output_bytes={limits.output_bytes} of one call exceeds that of the sandbox; set it there"
            )
        payloads = [self._payload(source, limits, self._setting) for source in programs]
        for outcome in self._pool.stream(payloads, _pool_limits(limits)):
            yield _result(outcome)

    def describe(self) -> str:
        """One line: the boundary, and which protections are active on this machine."""
        active = ", ".join(one.name for one in self.protections if one.active) or "none"
        missing = "; ".join(f"{one.name} ({one.reason})" for one in self.protections if not one.active) or "none"
        return f"sandbox: {self.boundary}; active: {active}; missing: {missing}"

    def close(self) -> None:
        """End all processes."""
        self._pool.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- choosing the boundary

    def _choose(self, boundaries: Sequence[Boundary], allow_unsandboxed: bool) -> tuple[Boundary, list[Protection]]:
        """The first boundary with every requested protection; or, if allowed, the one with the most."""
        tried: list[tuple[int, Boundary, list[Protection]]] = []
        roomiest = replace(self.limits, output_bytes=max(self.limits.output_bytes, ProgramLimits().output_bytes))
        self._most_output = _characters(roomiest)
        self._pool = Pool("unified_rl.isolation.sandbox_worker:run", _pool_limits(roomiest), self.workers, batch=4)
        for boundary in boundaries:
            why = sandbox_boundary.available(boundary)
            protections = [Protection(name, False, why) for name in PROTECTIONS] if why else self._probe(boundary)
            tried.append((sum(one.active for one in protections), boundary, protections))
            if all(one.active for one in protections if one.name in self._requested):
                break
        else:
            if not allow_unsandboxed:
                self._pool.close()
                raise SandboxError(self._refusal(tried))
            tried.sort(key=lambda one: one[0])
        _, boundary, protections = tried[-1]
        self._setting = self._settings(boundary)
        return boundary, protections

    def _probe(self, boundary: Boundary) -> list[Protection]:
        limits = ProgramLimits(wall_seconds=60, cpu_seconds=60, processes=self.limits.processes)
        payload = self._payload(sandbox_probe.source(asdict(limits)), limits, self._settings(boundary))
        outcome = self._pool.map([payload], _pool_limits(limits))[0]
        answer = outcome.value if outcome.status == "done" else {"broken": f"the supervising process ended ({outcome.status})"}
        return sandbox_probe.judge(answer, asdict(limits))

    def _settings(self, boundary: Boundary) -> dict[str, Any]:
        return {"boundary": boundary, "layout": sandbox_boundary.layout(boundary, self._packages)}

    def _refusal(self, tried: list[tuple[int, Boundary, list[Protection]]]) -> str:
        reasons = []
        for _, boundary, protections in tried:
            missing: dict[str, list[str]] = {}
            for one in protections:
                if not one.active and one.name in self._requested:
                    missing.setdefault(one.reason, []).append(one.name)
            reasons.append(f"{boundary}: " + "; ".join(f"no {', '.join(names)} ({why})" for why, names in missing.items()))
        return (
            "cannot protect this machine from model-written programs. " + " | ".join(reasons) + ". Install bubblewrap or allow "
            "user namespaces; or set allow_unsandboxed=true to let the programs do what this user may"
        )

    def _payload(self, source: str, limits: ProgramLimits, setting: dict[str, Any]) -> dict[str, Any]:
        preload = ["sympy"] if _SYMPY.search(source) else []  # a lighter parent forks faster
        return {"source": source, "limits": asdict(limits), "setting": {**setting, "preload": preload, "seccomp": True}}


def _known(kind: str, names: Sequence[str], allowed: Sequence[str]) -> None:
    for name in names:
        if name not in allowed:
            raise ConfigError(f"sandbox: unknown {kind} {name!r}; known: {', '.join(allowed)}")


def _pool_limits(limits: ProgramLimits) -> Limits:
    """The pool's limits are the second line: the supervising process keeps the program's."""
    seconds = limits.wall_seconds + SUPERVISION_SECONDS
    return Limits(
        seconds=seconds, memory_bytes=0, output_bytes=6 * _characters(limits) + (1 << 14)
    )  # JSON escapes are six long


def _characters(limits: ProgramLimits) -> int:
    return limits.output_bytes + limits.stderr_bytes


def _result(outcome: Outcome) -> ProgramResult:
    answer = outcome.value
    if outcome.status != "done":
        return ProgramResult("killed", stderr=f"the supervising process ended ({outcome.status})", seconds=outcome.seconds)
    if "broken" in answer:
        raise SandboxError(f"the sandbox ended: {answer['broken']}")
    return ProgramResult(answer["status"], answer["stdout"], answer["stderr"], answer["seconds"], answer["code"])
