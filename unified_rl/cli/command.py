"""The command line: `unified-rl COMMAND [key=value ...]`. Errors a user can mend are one message and a non-zero exit."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from unified_rl import __version__
from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.base.plugins import did_you_mean
from unified_rl.base.terminal import Escaping, shown
from unified_rl.cli import corpora, measurements, method_table, records, runs, sweeps, verdicts
from unified_rl.cli import help as words_of_help
from unified_rl.cli.grammar import Command, read

DESCRIPTION = "SFT, RFT, DPO, Online RFT, PPO and GRPO as one formula: data source x reward x gradient coefficient."
INTERRUPTED = 130
GROUPS: Mapping[str, Mapping[str, Command]] = {
    "runs": runs.COMMANDS,
    "corpora": corpora.COMMANDS,
    "methods and configurations": method_table.COMMANDS,
    "experiments": sweeps.COMMANDS,
    "what runs have shown": records.COMMANDS,
    "measurements": measurements.COMMANDS,
    "answers": verdicts.COMMANDS,
}
COMMANDS: Mapping[str, Command] = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = list(sys.argv[1:] if words is None else words)
    name, rest = (given[0], given[1:]) if given else ("", [])
    if name == "--version":
        print(__version__)
        return 0
    try:
        with _ended_by_sigterm(), contextlib.redirect_stdout(Escaping(sys.stdout)):
            return _dispatch(name, rest)
    except UnifiedRLError as error:
        return _refused(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print(shown(COMMANDS[name].after_interrupt(name, rest)), file=sys.stderr)
        return INTERRUPTED
    except MemoryError as error:
        return _refused(f"there is not enough memory for this ({error}); ask for less at a time", ConfigError.exit_code)
    except OSError as error:  # whatever the system says of a path that we were given
        place = f"{error.filename}: " if error.filename else ""
        return _refused(f"{place}{error.strerror or error}; check that path", ConfigError.exit_code)


def _refused(message: str, status: int) -> int:
    print(f"error: {shown(message)}", file=sys.stderr)
    return status


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Within this context SIGTERM ends the command as Ctrl-C does. (Signals are the main thread's to handle.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _dispatch(name: str, rest: Sequence[str]) -> int:
    if name in ("", "--help", "-h"):
        print(words_of_help.overview(GROUPS, DESCRIPTION))
        return 0 if name else ConfigError.exit_code
    if name not in COMMANDS:
        raise ConfigError(f"{name!r} is not a command of unified-rl{did_you_mean(name, COMMANDS)}")
    return _run(name, COMMANDS[name], rest)


def _run(name: str, command: Command, words: Sequence[str]) -> int:
    if "--help" in words or "-h" in words:
        print(words_of_help.of_command(name, command, [word for word in words if not word.startswith("-") and "=" not in word]))
        return 0
    return command.run(read(name, command, words)) or 0
