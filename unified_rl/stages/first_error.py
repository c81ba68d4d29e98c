"""First-error detection on real text: written solutions whose first wrong step people have marked, scored by any reward model.

A record is `{"question", "steps": [text, ...], "first_error_step": 1-based number or null}` (MR-GSM8K, BIG-Bench-Mistake). Written
down are raw facts, `solutions.parquet`: the logit at the end of each step. `statistics.first_error` derives the rest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import PreTrainedTokenizerBase

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.types import Problem, Prompt, Response
from unified_rl.models.limits import context_limit
from unified_rl.models.reward_model import load_reward_model
from unified_rl.packing.layout import Layout
from unified_rl.tasks.templates import encode
from unified_rl.training.reward_scores import RewardScorer

SCHEMA = 1
COLUMNS = pa.schema(
    [
        ("solution", pa.int32()),
        ("source", pa.string()),
        ("num_steps", pa.int32()),
        ("first_error", pa.int32()),  # 0-based; -1 where every step is right
        ("logits", pa.list_(pa.float32())),  # at the end of each step; null where the solution did not fit the model's context
    ]
)


@dataclass(frozen=True)
class Solution:
    """A written solution. first_error: 0-based index of its first wrong step, None where every step is right."""

    question: str
    steps: tuple[str, ...]
    first_error: int | None
    source: str = ""


def read_solutions(path: Path) -> list[Solution]:
    """Solutions from JSON lines.

    Raises:
        DataError: names the line and the field at fault.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {path} ({error}); give a file of JSON lines with question, steps, first_error_step"
        ) from error
    solutions = [_solution(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not solutions:
        raise DataError(f"{path} holds no solutions; give a file of JSON lines with question, steps, first_error_step")
    return solutions


def _solution(line: str, where: str) -> Solution:
    try:
        record = json.loads(line)
        question, steps, first = record["question"], record["steps"], record["first_error_step"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: not a record with question, steps and first_error_step ({error!r}); mend or drop it"
        ) from error
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) and step.strip() for step in steps):
        raise DataError(f"{where}: steps must be a list of texts, none of them blank; mend or drop the record")
    if first is not None and not (isinstance(first, int) and 1 <= first <= len(steps)):
        raise DataError(f"{where}: first_error_step={first!r} must be null or a number from 1 to {len(steps)}; mend or drop it")
    return Solution(str(question), tuple(steps), None if first is None else first - 1, str(record.get("source", "")))


def write_first_errors(
    model_path: Path, data: Path, folder: Path, *, template: str, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Path:
    """Score every step of every solution and write the raw facts into `folder`.

    Args:
        model_path: a reward model's directory. data: see `read_solutions`. template: prompt template (tasks/templates.py).

    Returns:
        `folder`.
    """
    solutions = read_solutions(data)
    model, tokenizer, card = load_reward_model(model_path, dtype, device)
    longest, _ = context_limit(model.backbone.config)
    logits = score_solutions(RewardScorer(model, card.kind, Layout(512, 4096)), tokenizer, solutions, template, longest)
    rows: list[dict[str, Any]] = [
        {
            "solution": index,
            "source": solution.source,
            "num_steps": len(solution.steps),
            "first_error": -1 if solution.first_error is None else solution.first_error,
            "logits": None if logits_K is None else logits_K.tolist(),
        }
        for index, (solution, logits_K) in enumerate(zip(solutions, logits, strict=True))
    ]
    with files.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=COLUMNS), folder / "solutions.parquet")
    files.write_json(
        folder / "meta.json",
        {"schema": SCHEMA, "model": asdict(card), "data": files.file_hash(data), "template": template},
    )
    return folder


def score_solutions(
    scorer: RewardScorer,
    tokenizer: PreTrainedTokenizerBase,
    solutions: Sequence[Solution],
    template: str,
    longest: int | None = None,
) -> list[np.ndarray | None]:
    """Logits, float32 [K] at the end of each step; None where prompt and solution exceed `longest` tokens."""
    written = [_as_tokens(index, solution, tokenizer, template) for index, solution in enumerate(solutions)]
    fitting = [place for place, text in enumerate(written) if not longest or text.length <= longest]
    logits: list[np.ndarray | None] = [None] * len(solutions)
    scored = scorer.scores([written[place].prompt for place in fitting], [written[place].response for place in fitting])
    for place, logits_T in zip(fitting, scored, strict=True):
        logits[place] = logits_T[written[place].ends]
    return logits


@dataclass(frozen=True)
class _Written:
    """A solution as tokens. ends: int64 [K], each step's last token, EOS belonging to the last step."""

    prompt: Prompt
    response: Response
    ends: np.ndarray

    @property
    def length(self) -> int:
        return len(self.prompt.token_ids) + len(self.response)


def _as_tokens(index: int, solution: Solution, tokenizer: PreTrainedTokenizerBase, template: str) -> _Written:
    """Each step on a line of its own, encoded by itself: its last token is then known, whatever the tokenizer."""
    prompt = encode(Problem(f"solution/{index}", solution.question, ""), tokenizer, template)
    lines = [f"{step}\n" for step in solution.steps]
    ids = [list(tokenizer.encode(line, add_special_tokens=False)) for line in lines]
    ids[-1].append(tokenizer.eos_token_id)
    token_ids = np.array(list(chain.from_iterable(ids)), dtype=np.int64)
    unknown_logp = np.full(len(token_ids), np.nan, dtype=np.float32)
    response = Response(token_ids, unknown_logp, "stop", -1, None, 0, "".join(lines))
    return _Written(prompt, response, np.cumsum([len(step) for step in ids]) - 1)
