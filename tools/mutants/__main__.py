"""The command line: runs the mutants and prints which survive.

    python -m tools.mutants [workers=N] [only=SUBSTRING]

Each mutant replaces one piece of text in a copy of the code; an assertion of its tests must then fail. An error is not enough: it
may only say that the mutant does not run. The tests themselves must pass without any mutant. Exits 1 if one survives.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from tools.mutants import adapted, beyond, judged, machinery, objectives, pairs, rows, trial
from tools.mutants.mutant import Mutant

MUTANTS = (
    *objectives.MUTANTS,
    *rows.MUTANTS,
    *beyond.MUTANTS,
    *pairs.MUTANTS,
    *machinery.MUTANTS,
    *judged.MUTANTS,
    *adapted.MUTANTS,
)
Task = tuple[Mutant | None, tuple[tuple[str, ...], ...]]


def warm() -> None:
    """Imports what the tests import of others' and what takes long; nothing of ours, which every trial has its own copy of."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import hypothesis  # noqa: F401
    import omegaconf  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch
    import transformers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    assert not any(name.split(".")[0] == "unified_rl" for name in sys.modules), "a trial would see this code, not its own"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


def outcomes(tasks: list[Task], workers: int) -> Iterator[tuple[Mutant | None, str]]:
    """(mutant, how it ended) as they end: "killed", "survived", or why neither; suites run until one kills."""
    waiting, running = deque(tasks), dict[int, tuple[Task, int, Path]]()

    def begin(task: Task, number: int) -> None:
        process, file = trial.start(task[0], task[1][number])
        running[process] = task, number, file

    while waiting or running:
        while waiting and len(running) < workers:
            begin(waiting.popleft(), 0)
        process, _status = os.wait()
        task, number, file = running.pop(process)
        outcome = trial.read(file)
        verdict = _verdict(outcome)
        if verdict == "survived" and number + 1 < len(task[1]):
            begin(task, number + 1)
        else:
            yield task[0], verdict


def _verdict(outcome: trial.Outcome) -> str:
    if not outcome.ran:
        return f"did not run:\n{outcome.output}"
    if outcome.killed_by:
        return "killed"
    return "failed without an assertion:\n" + "\n".join(outcome.broken) if outcome.broken else "survived"


def main(words: list[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    chosen = [mutant for mutant in MUTANTS if given.get("only", "") in f"{mutant.file} {mutant.what}"]
    for mutant in chosen:
        trial.mutated(mutant)
    workers = int(given.get("workers", os.cpu_count() or 1))
    warm()
    suites = dict.fromkeys(suite for mutant in chosen for suite in mutant.suites)
    for _none, verdict in outcomes([(None, (suite,)) for suite in suites], workers):
        if verdict != "survived":
            print(f"without a mutant, tests do not pass: {verdict}")
            return 1
    killed = 0
    for tried, verdict in outcomes([(mutant, mutant.suites) for mutant in chosen], workers):
        assert tried is not None
        killed += verdict == "killed"
        print(f"{'killed  ' if verdict == 'killed' else 'SURVIVED'} {tried.file}: {tried.what}", flush=True)
        if verdict not in ("killed", "survived"):
            print(verdict)
    print(f"{killed} of {len(chosen)} mutants killed")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
