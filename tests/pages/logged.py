"""Runs that have logged responses, in the documented format: for tests of what is shown of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_runs import write_status

QUESTION = "Zoe has 93 cards. She loses 14. How many cards does she have?"


def logged(step: int, number: int, tokens: Sequence[str], **other: Any) -> dict[str, Any]:
    """An entry of samples.jsonl."""
    rng = np.random.default_rng([step, number])
    advantage = rng.standard_normal(len(tokens)).round(3).tolist()
    entry = {
        "step": step,
        "prompt_id": f"train-{number}",
        "prompt": QUESTION,
        "tokens": list(tokens),
        "finish": "stop",
        "reward": float(number % 2),
        "verdict": "correct" if number % 2 else "incorrect",
        "step_ends": [len(tokens) - 1] if len(tokens) else [],
        "logp": (-rng.random(len(tokens))).round(3).tolist(),
        "coefficient": {"total": advantage, "advantage": advantage, "kl": [0.0] * len(tokens)},
    }
    return {**entry, **other}


def write_logged_run(
    path: Path,
    label: str,
    seed: int,
    steps: int,
    samples: Sequence[dict[str, Any]],
    state: str = "finished",
    reward: float = 0.0,
    **metrics: float,
) -> Path:
    """A run with config, status, metrics of every step, and these samples; its mean reward is `reward` + step / steps."""
    path.mkdir(parents=True)
    facts = {"method": "grpo", "label": label, "seed": seed, "trainer": {"steps": steps}}
    (path / "config.yaml").write_text(json.dumps(facts))
    write_status(path, state, steps, steps)
    rows = [
        {
            "step": step,
            "reward/mean": reward + step / steps,
            "reward/correct": step / steps,
            "kl/k3": 10.0 ** (step / steps - 3),
            "response/length": 40 - step / steps,
            "entropy/mean": 1 / step,
            **metrics,
        }
        for step in range(1, steps + 1)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return path
