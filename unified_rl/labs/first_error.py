"""First-error detection of a trained reward model on real, human-marked solutions: raw facts, then the table.

    python -m unified_rl.labs.first_error model=DIR data=FILE.jsonl [out=DIR] [template=completion] [device=cpu]

FILE has records `{"question", "steps": [...], "first_error_step": 1-based or null}`. Any reward model directory will do, whatever
its backbone; from scratch, expect chance.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import transformers

from unified_rl.errors import UnifiedRLError
from unified_rl.stages.first_error import write_first_errors
from unified_rl.statistics import first_error as analysis


def main(words: Sequence[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    known = {"model", "data", "out", "template", "device"}
    if set(given) - known or not {"model", "data"} <= set(given):
        print(
            "error: usage: python -m unified_rl.labs.first_error model=DIR data=FILE.jsonl [out=DIR] [template=NAME] [device=cpu]",
            file=sys.stderr,
        )
        return 2
    folder = Path(given.get("out", "runs/first_error"))
    transformers.utils.logging.disable_progress_bar()
    try:
        write_first_errors(
            Path(given["model"]),
            Path(given["data"]),
            folder,
            template=given.get("template", "completion"),
            device=given.get("device", "cpu"),
        )
        frame = analysis.write(folder, folder)
    except UnifiedRLError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(analysis.format_table(frame))
    print(f"facts and table: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
