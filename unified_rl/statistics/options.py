"""What `unified-rl tables` is told on the command line. No pandas, so that help and refusals come at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.config.ranges import one_of

#: Names of the rules that `statistics.maj_at_k` describes.
TIES = ("uniform", "first", "wrong")
NO_ANSWER = ("no_vote", "class")


@dataclass(frozen=True)
class TablesOptions:
    """What is read and how votes are counted.

    records: folders of runs, a grid's folder, a file of `unified-rl export`, run directories of `unified-rl iterate` (one per
    seed), folders of base models' evaluations, a folder of facts, or shipped results, to be compared over sizes. out: folder for
    the CSV files; by default FOLDER/tables.
    pair: LABEL|BASELINE, a planned comparison beside those with the baseline; may be repeated. ties: who wins a tied vote.
    no_answer: what samples without an answer count. evaluation: name of the evaluation to use where a run has several of its
    last step. gain: tokens are counted up to the level that is this far above the start's accuracy.
    """

    records: list[Path]
    out: Path | None = None
    pair: list[str] = field(default_factory=list, metadata={"separator": "\n"})
    ties: str = "uniform"
    no_answer: str = "no_vote"
    evaluation: str = ""
    gain: float = 0.1

    def __post_init__(self) -> None:
        one_of("ties", self.ties, TIES)
        one_of("no_answer", self.no_answer, NO_ANSWER)
