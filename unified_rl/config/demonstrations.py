"""Options of demonstrations read from files of one's own: what a run's SFT data is mixed from. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import one_of, positive

FORMS = ("chain_of_thought", "program_of_thought", "tool_integrated")
LANGUAGES = ("en", "zh")
BATCHES = ("demonstrations", "rows")


@dataclass
class DemonstrationFile:
    """One part of the mix.

    path: a file or folder of records (JSON lines, JSON, Parquet, CSV, TSV), or hub:OWNER/NAME[@REVISION].
    form: chain_of_thought | program_of_thought | tool_integrated: chooses the instruction that the template adds; the outputs in
        a tool-integrated solution are read and not trained on.
    language: en | zh, also of the instruction.
    weight: how often its records are seen, relative to one pass over the file per epoch: 2 = twice, 0.5 = every other epoch.
    question, solution: fields, as a task's (docs/benchmarks.md): a name, a path into nested values, alternatives, or a text with
        fields in braces.
    """

    path: str = ""
    form: str = "chain_of_thought"
    language: str = "en"
    weight: float = 1.0
    question: str = "question|problem|query|instruction"
    solution: str = "solution|response|output|answer"

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError(
                "data.demonstrations: a part of the mix has no path; set path to a file of records or hub:OWNER/NAME"
            )
        one_of("data.demonstrations.form", self.form, FORMS)
        one_of("data.demonstrations.language", self.language, LANGUAGES)
        positive("data.demonstrations.weight", self.weight)
