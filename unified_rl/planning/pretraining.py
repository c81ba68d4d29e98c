"""What a pre-training would read, take and leave behind: tokens and epochs by source, GPU-days, checkpoints. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from unified_rl.config.schema import Config
from unified_rl.planning import render
from unified_rl.planning.plan import plan, precision, ranks
from unified_rl.planning.shapes import shape_of

#: Of larger vocabularies a token takes four bytes in its file (`corpus.token_files`).
_SHORT_VOCABULARY = 65500
#: Adam's two moments and the master weights, in float32.
_STATE_BYTES = 12


def facts(runs: Sequence[Config], words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A plan for each run, in order.

    Args:
        runs: as `kinds.pretrain.as_run` makes them. words: those of the command line, which the launch command repeats.
    """
    return [_facts(run, words) for run in runs]


def _facts(run: Config, words: Sequence[str]) -> dict[str, Any]:
    section, steps = run.pretraining, run.trainer.steps
    shape, _ = shape_of(run)
    rows = replace(run, data=replace(run.data, batch="rows", context_tokens=section.context_tokens))
    planned = plan(rows, words)
    tokens, width = steps * section.step_tokens, 2 if shape.vocabulary < _SHORT_VOCABULARY else 4
    total = sum(one.weight for one in section.sources)
    hours = planned["time"].get("run_hours")
    weights = precision(run) * shape.parameters
    return {
        "label": run.label,
        "tokens": tokens,
        "steps": steps,
        "step_tokens": section.step_tokens,
        "rate": f"{run.trainer.learning_rate:g}, {run.trainer.schedule}, warm-up {run.trainer.warmup_steps} steps",
        "documents": section.documents,
        "sources": [
            {
                "name": one.name,
                "share": one.weight / total,
                "tokens": round(tokens * one.weight / total),
                "epochs": tokens * one.weight / total / one.holds if one.holds else None,
                "bytes": width * (one.holds or round(tokens * one.weight / total)),
            }
            for one in section.sources
        ],
        "gpu_days": None if hours is None else hours / 24 * ranks(run),
        "days": None if hours is None else hours / 24,
        "checkpoint_bytes": weights + _STATE_BYTES * shape.parameters,
        "checkpoints": -(-steps // section.checkpoint_every) if section.checkpoint_every else 1,
        "kept_models": steps // section.keep_every if section.keep_every else 0,
        "kept_bytes": weights * (steps // section.keep_every if section.keep_every else 0),
        "plan": planned
        | {
            "launch": planned["launch"]
            .replace("unified-rl train", "unified-rl pretrain")
            .replace(".cli train", ".cli pretrain")
        },
    }


def _launch(line: str) -> str:
    """The command that trains, as the one that pre-trains."""
    return line.replace("unified-rl train ", "unified-rl pretrain ").replace(".cli train ", ".cli pretrain ")


def described(found: Sequence[dict[str, Any]]) -> str:
    """The plans as text for people."""
    return "\n\n".join("\n".join(_lines(one)) for one in found)


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [
        f"{one['label']}: {one['tokens']:,} tokens = {one['steps']:,} steps of {one['step_tokens']:,}",
        f"  documents {one['documents']}, learning rate {one['rate']}",
    ]
    for source in one["sources"]:
        epochs = "" if source["epochs"] is None else f", {source['epochs']:.2f} epochs"
        held = f"{source['tokens']:,} tokens{epochs}; files of {render.size(source['bytes'])}"
        lines.append(f"  {source['name']}: {source['share']:.1%}, {held}")
    if one["gpu_days"] is not None:
        lines.append(f"  {one['gpu_days']:,.0f} GPU-days, {one['days']:,.1f} days")
    kept = f"models kept for evaluation: {one['kept_models']:,}, {render.size(one['kept_bytes'])}"
    lines.append(f"  checkpoints: {one['checkpoints']:,} of {render.size(one['checkpoint_bytes'])}, the last stays; {kept}")
    return [*lines, *render.lines(one["plan"])]
