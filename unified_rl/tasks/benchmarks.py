"""The table of benchmarks: where each one's records are, which field holds what, and how its answers are graded.

`benchmark_task.BenchmarkTask` serves every row; docs/benchmarks.md is its description. A field is written as its name, as a path
into nested values (`messages.0.content`), as alternatives of which the first that is there counts (`query|question`), or as a
text with fields in braces (`{passage}\\n{question}`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from unified_rl.grading.extract import Format

#: MMLU's subjects that count as science and mathematics here: those of the paper's 3,018 questions.
STEM = (
    "abstract_algebra",
    "astronomy",
    "college_biology",
    "college_chemistry",
    "college_computer_science",
    "college_mathematics",
    "college_physics",
    "computer_security",
    "conceptual_physics",
    "electrical_engineering",
    "elementary_mathematics",
    "high_school_biology",
    "high_school_chemistry",
    "high_school_computer_science",
    "high_school_mathematics",
    "high_school_physics",
    "high_school_statistics",
    "machine_learning",
)

Layouts = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Benchmark:
    """One row of the table.

    Attributes:
        question, gold, solution, choices, id: fields. `solution` and `choices` may be empty; an empty `id` numbers the records.
        gold_form: how the gold answer stands in its field: "plain"; "number" (thousands commas are dropped); "letter" (a letter,
            several, or the index of a choice); "list" (semicolons between the answers of several blanks).
        gold_in_solution: whether the gold answer is the solution's last box where the gold field is missing.
        unanswered: "refuse" records without a gold answer, or "leave_out" those known to be there (MATH: two training problems
            whose solutions end in an empty box).
        layouts: split -> globs below the data folder, the first that finds files counts. A split that is not here does not exist;
            validation is cut off train where it has no files of its own.
        format: how a response gives its answer (`grading.extract`). policy: the name of its grading policy, and changes of it.
        language: "en" or "zh", of the instruction that a prompt adds.
        info: name -> field, what else to keep of a record.
        where: info name -> the values that a record must have, where only some records belong to the benchmark.
        strip: pattern that is cut out of the question. columns: of a table file without header.
        hub: the repository on the Hugging Face Hub.
    """

    question: str
    gold: str
    layouts: Layouts
    gold_form: str = "plain"
    gold_in_solution: bool = False
    unanswered: Literal["refuse", "leave_out"] = "refuse"
    solution: str = ""
    choices: str = ""
    id: str = ""
    format: Format = "auto"
    policy: str = "default"
    policy_changes: Mapping[str, object] = field(default_factory=dict)
    language: str = "en"
    info: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    strip: str = ""
    columns: Sequence[str] = ()
    hub: str = ""


def _layouts(split: str, *first: str) -> Sequence[str]:
    """Globs of one split: a benchmark's own, then what the Hub's converter and common habit give."""
    return (
        *first,
        f"data/{split}-*.parquet",
        f"{split}-*.parquet",
        f"{split}.parquet",
        f"{split}.jsonl",
        f"data/{split}.jsonl",
    )


BENCHMARKS: dict[str, Benchmark] = {
    "math": Benchmark(
        question="problem",
        gold="answer",
        gold_in_solution=True,
        unanswered="leave_out",
        solution="solution",
        id="id|unique_id",
        policy="math",
        info={"subject": "type|subject", "level": "level"},
        layouts={
            # By subject (the Hub), one file per problem (the original archive), one file per split.
            "train": ("*/train-*.parquet", "train/*/*.json", *_layouts("train", "math_train.jsonl")),
            "test": ("*/test-*.parquet", "test/*/*.json", *_layouts("test", "math_test.jsonl")),
        },
        hub="EleutherAI/hendrycks_math",
    ),
    "math500": Benchmark(
        question="problem",
        gold="answer",
        solution="solution",
        id="unique_id|id",
        policy="math",
        info={"subject": "subject|type", "level": "level"},
        layouts={"test": _layouts("test", "math500_test.jsonl")},
        hub="HuggingFaceH4/MATH-500",
    ),
    "cmath": Benchmark(
        question="question",
        gold="golden",
        gold_form="number",
        policy="cmath",
        language="zh",
        info={"level": "grade", "steps": "reasoning_step"},
        layouts={"validation": ("cmath_dev.jsonl",), "test": _layouts("test", "cmath_test.jsonl")},
        hub="weitianwen/cmath",
    ),
    "mgsm_zh": Benchmark(
        question="question|messages.0.content",
        gold="answer_number|answer",
        gold_form="number",
        id="id",
        policy="mgsm_zh",
        language="zh",
        columns=("question", "answer"),  # the .tsv has no header
        layouts={"test": ("mgsm_zh.tsv", "mgsm_zh_test.jsonl", "mgsm_zh.jsonl", "zh/test-*.parquet", *_layouts("test"))},
        hub="juletxara/mgsm",
    ),
    "gaokao_mathcloze": Benchmark(
        question="question|query",
        gold="answer",
        gold_form="list",
        policy="gaokao_mathcloze",
        policy_changes={"list_order": "same"},  # the blanks have an order
        language="zh",
        strip=r"(?s)\A\s*问题：|\s*答案：\s*\Z",
        info={"source": "other.source"},
        layouts={"test": ("gaokao-mathcloze.jsonl", "gaokao_mathcloze.jsonl", "v1/gaokao-mathcloze.jsonl", *_layouts("test"))},
        hub="hails/agieval-gaokao-mathcloze",
    ),
    "gaokao_mathqa": Benchmark(
        question="question|query",
        gold="label|gold",
        gold_form="letter",
        choices="options|choices",
        format="choice",
        policy="gaokao_mathqa",
        language="zh",
        strip=r"(?s)\A\s*问题：|(?:\\\\|\s)*(?:选项：\s*\(A\).*)?\Z",
        info={"source": "other.source"},
        layouts={"test": ("gaokao-mathqa.jsonl", "gaokao_mathqa.jsonl", "v1/gaokao-mathqa.jsonl", *_layouts("test"))},
        hub="hails/agieval-gaokao-mathqa",
    ),
    "sat_math": Benchmark(
        question="question|Question",
        gold="Answer|answer",
        gold_form="letter",
        choices="options|Possible Answers",
        id="id",
        format="choice",
        policy="sat_math",
        layouts={"test": ("SAT_Questions_multiple_choice.csv", "sat_math_test.jsonl", *_layouts("test"))},
        hub="mcaleste/sat_multiple_choice_math_may_23",
    ),
    "ocw": Benchmark(
        question="problem|question",
        gold="answer",
        solution="solution",
        id="id",
        policy="ocw",
        layouts={"test": ("ocw_test.jsonl", *_layouts("test"))},
        hub="math-ai/minervamath",
    ),
    "mmlu_stem": Benchmark(
        question="question",
        gold="answer",
        gold_form="letter",
        choices="options|choices",
        id="id",
        format="choice",
        policy="mmlu_stem",
        info={"subject": "topic|subject"},
        where={"subject": STEM},
        layouts={"test": ("mmlu_stem_test.jsonl", "all/test-*.parquet", *_layouts("test"))},
        hub="cais/mmlu",
    ),
}
