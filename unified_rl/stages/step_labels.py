"""Step labels as in Math-Shepherd (arXiv 2312.08935): how often do completions sampled from a step's end reach the answer?

Stored are the raw facts: for each step but the last, whether completion 1, 2 ... N reached the gold answer, in order, so that the
labels for every smaller N follow without sampling again:

    hard  y = 1 if any of the first N completions is right            soft  y = their share that is right

From the last step's end there is nothing to complete: its label is the rule's verdict on the response itself.
`rewards.completions` has how prefixes are completed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl.base import files
from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding, Generator, Prompt, Response, Task, Tokenizer
from unified_rl.records.progress import progress
from unified_rl.rewards import ExactSteps, OutcomeReward, Segmenter
from unified_rl.rewards.completions import Completer, Prefix, prefix_of


@dataclass(frozen=True)
class StepFacts:
    """What is known of the K steps of one response.

    Attributes:
        ends: int64 [K], each step's last token.
        successes: bool [K - 1, N], whether completion n from step k's end reached the answer; none from the last step.
        outcome: the rule's verdict on the response.
        exact: float32 [K], the exact checker's verdicts, NaN where there is none.
    """

    ends: np.ndarray
    successes: np.ndarray
    outcome: bool
    exact: np.ndarray

    def labels(self, name: str, completions: int) -> np.ndarray:
        """float64 [K] in 0..1, NaN for no label.

        Args:
            name: shepherd_hard | shepherd_soft | exact | outcome. completions: N, at most as many as were sampled.

        Raises:
            ConfigError: more completions than there are, or no exact checker.
        """
        if name == "outcome":
            return np.full(len(self.ends), float(self.outcome))
        if name == "exact":
            if np.isnan(self.exact).all():
                raise ConfigError("labels=exact, but the task has no exact step checker; set reward_model.labels=shepherd_hard")
            return self.exact.astype(np.float64)
        if not 0 < completions <= self.successes.shape[1]:
            raise ConfigError(
                f"labels from {completions} completions are asked for, but {self.successes.shape[1]} were sampled"
            )
        first = self.successes[:, :completions]
        estimate = first.any(1) if name == "shepherd_hard" else first.mean(1)
        return np.append(estimate.astype(np.float64), float(self.outcome))


def label_steps(
    task: Task,
    tokenizer: Tokenizer,
    segmenter: Segmenter,
    generator: Generator,
    decoding: Decoding,
    prompts: Sequence[Prompt],
    responses: Sequence[Sequence[Response]],
    *,
    completions: int,
    policy_version: int = 0,
    seed: int = 0,
) -> list[list[StepFacts]]:
    """The facts of every response.

    Args:
        generator: the completer policy. decoding: of the completions; `max_new_tokens` bounds prefix and completion together.
        completions: N; with 0, only what needs no sampling. seed: of their random numbers.

    Returns:
        One `StepFacts` per response, in the order of `responses`.
    """
    ends = [[segmenter.step_ends(prompt, response) for response in group] for prompt, group in _pairs(prompts, responses)]
    prefixes = _unfinished(responses, ends)
    none = np.zeros(0, dtype=bool)
    reached = dict.fromkeys(prefixes, none)
    if completions:
        completer = Completer(task, tokenizer, generator, decoding, completions, seed)
        reached = _complete(completer, prompts, prefixes, policy_version)
    outcome, exact = OutcomeReward(task), ExactSteps(task, tokenizer)
    return [
        [
            StepFacts(
                ends=ends_K,
                successes=np.array([reached[prefix_of(place, response, end)] for end in ends_K[:-1]], dtype=bool).reshape(
                    len(ends_K) - 1, completions
                ),
                outcome=outcome.score_one(prompts[place], response).verdict == "correct",
                exact=_exact_or_unknown(exact, prompts[place], response, ends_K),
            )
            for response, ends_K in zip(group, ends[place], strict=True)
        ]
        for place, group in enumerate(responses)
    ]


def _pairs(prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> zip:
    return zip(prompts, responses, strict=True)


def _unfinished(responses: Sequence[Sequence[Response]], ends: Sequence[Sequence[np.ndarray]]) -> list[Prefix]:
    """What is to be completed: each response up to the end of each of its steps but the last; equal ones once."""
    found = [
        prefix_of(place, response, end)
        for place, group in enumerate(responses)
        for response, ends_K in zip(group, ends[place], strict=True)
        for end in ends_K[:-1]
    ]
    return list(dict.fromkeys(found))


def _complete(
    completer: Completer, prompts: Sequence[Prompt], prefixes: Sequence[Prefix], policy_version: int
) -> dict[Prefix, np.ndarray]:
    """For each prefix, bool [N]: whether completion n reached the answer."""
    each = completer.completions
    with progress("completing steps", len(prefixes) * each, "completions") as hook:
        reached = completer.reached(prompts, prefixes, policy_version, lambda done: hook(done * each, {}))
    return {prefix: found.successes for prefix, found in reached.items()}


def _exact_or_unknown(exact: ExactSteps, prompt: Prompt, response: Response, ends_K: np.ndarray) -> np.ndarray:
    try:
        return exact.verdicts(prompt, response, ends_K)
    except ConfigError:  # the task has no exact step checker
        return np.full(len(ends_K), np.nan, dtype=np.float32)


def write_facts(path: Path, facts: Sequence[Sequence[StepFacts]]) -> None:
    """One row per step, in the order of prompts, responses and steps. Raises RunDirectoryError."""
    rows = [
        (prompt, sample, step, one)
        for prompt, group in enumerate(facts)
        for sample, one in enumerate(group)
        for step in range(len(one.ends))
    ]
    table = pa.table(
        {
            "prompt": pa.array([prompt for prompt, *_ in rows], pa.int32()),
            "sample": pa.array([sample for _, sample, *_ in rows], pa.int32()),
            "step": pa.array([step for *_, step, _ in rows], pa.int32()),
            "end": pa.array([one.ends[step] for *_, step, one in rows], pa.int32()),
            "successes": pa.array(
                [one.successes[step].tolist() if step + 1 < len(one.ends) else None for *_, step, one in rows],
                pa.list_(pa.bool_()),
            ),
            "outcome": [one.outcome for *_, one in rows],
            "exact": pa.array(
                [None if np.isnan(one.exact[step]) else one.exact[step] > 0 for *_, step, one in rows], pa.bool_()
            ),
        }
    )
    with files.replacing(path) as aside:
        pq.write_table(table, aside)


def read_facts(path: Path, completions: int) -> list[list[StepFacts]]:
    """What `write_facts` wrote."""
    steps: dict[tuple[int, int], list[dict]] = {}
    for row in pq.read_table(path).to_pylist():
        steps.setdefault((row["prompt"], row["sample"]), []).append(row)
    facts: list[list[StepFacts]] = [[] for _ in range(1 + max((prompt for prompt, _ in steps), default=-1))]
    for (prompt, _), rows in steps.items():
        facts[prompt].append(
            StepFacts(
                ends=np.array([row["end"] for row in rows], dtype=np.int64),
                successes=np.array([row["successes"] for row in rows[:-1]], dtype=bool).reshape(len(rows) - 1, completions),
                outcome=rows[0]["outcome"],
                exact=np.array([np.nan if row["exact"] is None else row["exact"] for row in rows], dtype=np.float32),
            )
        )
    return facts
