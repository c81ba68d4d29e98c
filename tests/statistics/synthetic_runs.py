"""Run directories in the documented format, made of random numbers: for tests of the analysis and of the figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.records import seals

#: label -> (method, final ability in logits above the SFT policy, how much of the right answers' mass is concentrated)
POLICIES = {
    "RFT": ("rft", 0.9),
    "DPO": ("dpo", 1.1),
    "Online RFT": ("online_rft", 1.7),
    "PPO": ("ppo", 1.9),
    "GRPO+OS": ("grpo", 2.2),
    "GRPO+PS": ("grpo_ps", 2.4),
}
SLICES = {"main": -0.2, "hard": -2.2}


def write_experiment(
    root: Path,
    labels: Sequence[str] = tuple(POLICIES),
    seeds: Sequence[int] = (0, 1, 2),
    problems: int = 100,
    samples: int = 64,
    steps: int = 64,
) -> Path:
    """An experiment with an SFT policy and one finished, evaluated run per label and seed."""
    write_evaluation(root / "initial", {"method": "sft_policy", "label": "SFT", "seed": 0, "step": 0}, 0.0, problems, samples)
    for label in labels:
        method, gain = POLICIES.get(label, ("my_method", 1.4))
        for seed in seeds:
            write_run(root / f"{method}-{seed}", label, method, seed, gain, problems=problems, samples=samples, steps=steps)
    return root


def write_run(
    path: Path,
    label: str,
    method: str,
    seed: int,
    gain: float,
    *,
    problems: int = 100,
    samples: int = 64,
    steps: int = 64,
    state: str = "finished",
    done: int | None = None,
) -> Path:
    """One run with config, status, metrics, curve and (if it finished) an evaluation."""
    path.mkdir(parents=True)
    done = steps if done is None else done
    (path / "config.yaml").write_text(f"method: {method}\nlabel: {label}\nseed: {seed}\ntrainer:\n  steps: {steps}\n")
    write_status(path, state, done, steps, "loss is not finite" if state == "failed" else None)
    write_lines(path / "metrics.jsonl", [{"step": step, "reward/mean": step / steps} for step in range(1, done + 1)])
    rng = np.random.default_rng([seed, len(label)])
    shift = 0.15 * rng.standard_normal()
    entries = []
    for slice_name, base in SLICES.items():
        ability = abilities(slice_name, problems) + base
        for step in range(0, done + 1, 8):
            progress = gain * (1 - np.exp(-3 * step / steps)) + (shift if step else 0)
            right = ability + progress + 0.3 * rng.standard_normal(problems) > 0
            entries.append(curve_entry(step, slice_name, right.astype(int).tolist()))
    write_lines(path / "curve.jsonl", entries)
    if state == "finished":
        write_evaluation(path, {"method": method, "label": label, "seed": seed, "step": done}, gain + shift, problems, samples)
    return path


def curve_entry(step: int, slice_name: str, correct: Sequence[int], split: str = "validation") -> dict[str, Any]:
    ids = [f"{slice_name}-{number}" for number in range(len(correct))]
    facts = {"step": step, "split": split, "slice": slice_name, "problem_ids": ids, "correct": list(correct)}
    return facts | {"sampled_tokens": 8000 * step, "trained_tokens": 7000 * step}


def write_evaluation(
    run_dir: Path,
    facts: Mapping[str, Any],
    gain: float,
    problems: int = 100,
    samples: int = 64,
    *,
    name: str = "final",
    complete: bool = True,
) -> Path:
    """An evaluation directory: RL (`gain` > 0) moves right answers up without adding new ones."""
    rng = np.random.default_rng([int(facts["seed"]), len(str(facts["label"]))])
    rows = []
    for slice_name, base in SLICES.items():
        for number, ability in enumerate(abilities(slice_name, problems) + base):
            # A problem far out of reach stays there: concentration, not coverage.
            chance = 1 / (1 + np.exp(-(ability + gain * (ability > -4))))
            for index in range(-1, samples):
                greedy = index < 0
                right = ability + gain + 0.3 * rng.standard_normal() > 0 if greedy else rng.random() < chance
                rows.append(sample_row(f"{slice_name}-{number}", slice_name, greedy, index, right, rng))
    return write_samples(run_dir, rows, facts, samples, name=name, complete=complete)


def sample_row(
    problem: str, slice_name: str, greedy: bool, index: int, right: bool, rng: np.random.Generator
) -> dict[str, Any]:
    silent = not right and rng.random() < 0.1
    answer = None if silent else "7" if right else str(10 + int(rng.geometric(0.3)))
    return {
        "problem_id": problem,
        "slice": slice_name,
        "split": "test",
        "mode": "greedy" if greedy else "sample",
        "sample_index": np.int32(max(index, 0)),
        "seed": np.int64(index + 1),
        "text": f"... {answer}",
        "answer": answer,
        "answer_class": answer,
        "gold": "7",
        "gold_class": "7",
        "verdict": "correct" if right else "unparsable" if silent else "incorrect",
        "num_tokens": np.int32(40),
        "finish": "stop",
        "policy_version": np.int32(0),
    }


def write_samples(
    run_dir: Path,
    rows: list[dict[str, Any]],
    facts: Mapping[str, Any],
    samples: int,
    *,
    name: str = "final",
    complete: bool = True,
) -> Path:
    folder = run_dir / "evaluations" / name
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(folder / "samples.parquet", index=False)
    meta = {
        "schema": 1,
        "run": run_dir.name,
        "task": "arithmetic",
        "decoding": {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "max_new_tokens": 96},
        "samples_per_problem": samples,
        "problems": dict.fromkeys(SLICES, 0),
        "complete": complete,
    }
    (folder / "meta.json").write_text(json.dumps({**meta, **facts}))
    return folder


def write_status(path: Path, state: str, step: int, steps: int, error: str | None = None) -> None:
    (path / "status.json").write_text(json.dumps({"state": state, "step": step, "steps": steps, "error": error}))


def made_by(path: Path, provenance: Mapping[str, Any]) -> None:
    """Say of a run what made it, and list that in the run's manifest."""
    text = json.dumps(provenance)
    (path / "provenance.json").write_text(text)
    facts = json.loads((path / "status.json").read_text())
    seals.write_status(path, facts, {"provenance.json": seals.extent(text.encode())})


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def abilities(slice_name: str, problems: int) -> np.ndarray:
    """The same problems for every policy, as in a real experiment."""
    return 1.5 * np.random.default_rng(len(slice_name)).standard_normal(problems)
