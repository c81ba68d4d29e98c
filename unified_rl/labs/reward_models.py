"""Reward models on the tiny world: how good are completion labels, and what do models trained on them know? One table, one figure.

Hypotheses (Math-Shepherd, arXiv 2312.08935): hard labels get better with N and then worse again, as wrong steps find their way to
the answer by luck; a process model tells right answers from wrong ones better than an outcome model trained on the same responses.
Matching rule: all models are trained on the same sampled responses, from the same SFT policy, with the same optimiser settings
and as many epochs; they differ in their labels alone. Held-out problems are validation problems. `unified-rl reward-models`
calls it; further words set the run's configuration.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers

from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.labs.options import RewardModelsOptions
from unified_rl.plotting import reward_models as figure
from unified_rl.presets import chain, loading
from unified_rl.records.artifacts import ArtifactStore, built
from unified_rl.stages.chain import initial_policy, stage
from unified_rl.stages.reward_model_quality import write_quality
from unified_rl.stages.threads import use_threads
from unified_rl.statistics import reward_models as analysis

ORM = {"kind": "outcome"}
PRM_HARD = {"kind": "process", "labels": "shepherd_hard"}
PRM_SOFT = {"kind": "process", "labels": "shepherd_soft"}
PRM_EXACT = {"kind": "process", "labels": "exact"}


@dataclass(frozen=True)
class Preset:
    """models: label -> a reward model's own options. section: options of all. held_out: of the measurement. words: of the run."""

    models: Mapping[str, Mapping[str, Any]]
    section: Mapping[str, Any]
    held_out: Mapping[str, int]
    words: tuple[str, ...] = ()


MAIN = {"ORM": ORM, "PRM, hard labels": PRM_HARD}
PRESETS = {
    "smoke": Preset(
        MAIN,
        {"prompts": 32, "samples_per_prompt": 2, "completions": 4, "epochs": 1},
        {"problems": 24, "per_prompt": 4, "completions": 4},
        ("sft.steps=60", "sft.demonstrations=2000"),
    ),
    "default": Preset(MAIN, {}, {"problems": 200, "per_prompt": 8, "completions": 16}),
    "full": Preset(
        {**MAIN, "PRM, soft labels": PRM_SOFT, "PRM, exact labels": PRM_EXACT},
        {"prompts": 4096, "epochs": 6},
        {"problems": 500, "per_prompt": 16, "completions": 64},
    ),
}


def run(options: RewardModelsOptions, words: Sequence[str]) -> Path:
    """Train what the preset names, measure it, and write `quality`, `tables` and `figures`; returns their folder."""
    preset, folder = PRESETS[options.preset], Path(options.out or f"runs/reward_models_{options.preset}")
    config = loading.load_config(["method=grpo", *preset.words, *words])
    use_threads(config.threads)
    transformers.utils.logging.disable_progress_bar()
    store = ArtifactStore(Path(config.artifacts))
    policy = initial_policy(config, store)
    models = {}
    for label, own in preset.models.items():
        section = replace(RewardModelConfig(), **preset.section, **own)
        made = stage(replace(config, reward_model=section), chain.provider(config, chain.REWARD))
        models[label] = _timed(f"reward model {label!r}", built, made, store).path
    quality = folder / "quality"
    _timed("quality", write_quality, config, store, policy, models, quality, **preset.held_out)
    frame = analysis.write(quality, folder / "tables")
    figure.draw(folder / "tables", folder / "figures")
    print(analysis.format_table(frame))
    return folder


def _timed(what: str, work: Any, *args: Any, **options: Any) -> Any:
    start = time.perf_counter()
    result = work(*args, **options)
    print(f"{what}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return result
