"""Settings under which an example takes seconds: a model of 50,000 parameters and a file of sums."""

from __future__ import annotations

import random
from pathlib import Path

MODEL = {"hidden_size": 64, "num_heads": 2, "num_layers": 1, "intermediate_size": 96, "vocabulary": 300}
SMALL = {
    "model": MODEL,
    "sft": {"steps": 60, "sequences_per_step": 16},
    "rollout": {"prompts_per_step": 8, "responses_per_prompt": 4},
    "generator": {"max_new_tokens": 12},
    "evaluation": {"max_new_tokens": 12},
    "task": {"name": "table", "options": {"grading_workers": 1}},
    "logging": {"curve_every": 4, "curve_problems": 8},
    "threads": 1,
}


def sums(path: Path) -> Path:
    """A CSV of 100 questions with answers."""
    draw = random.Random(0)
    rows = [(draw.randrange(50), draw.randrange(50)) for _ in range(100)]
    path.write_text("question,answer\n" + "".join(f"What is {a} + {b}?,{a + b}\n" for a, b in rows))
    return path
