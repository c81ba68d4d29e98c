"""Words for a run that takes seconds: the real pipeline on a very small world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.methods.signals import beside_policy

COIN = Path(__file__).with_name("coin_task.py")

WORDS = (
    f"task={COIN}:Coin",
    "task.template='{question}:'",
    "model.hidden_size=64",
    "model.num_heads=2",
    "model.num_layers=1",
    "model.intermediate_size=96",
    "sft.demonstrations=400",
    "sft.steps=40",
    "sft.sequences_per_step=32",
    "data.prompts=32",
    "rollout.prompts_per_step=4",
    "rollout.responses_per_prompt=4",
    "trainer.steps=4",
    "generator.max_new_tokens=16",
    "evaluation.max_new_tokens=16",
    "evaluation.problems=4",
    "evaluation.samples=4",
    "logging.curve_problems=4",
    "logging.curve_every=2",
    "logging.samples_every=2",
    "logging.checkpoint_every=2",
    "threads=1",
)


def words(method: str, run_dir: Path, artifacts: Path, *more: str) -> list[str]:
    """`train` words for a tiny run; later words win."""
    return [f"method={method}", *WORDS, f"run_dir={run_dir}", f"artifacts={artifacts}", *more]


def wants(method: str) -> list[str]:
    """Words without which a row means nothing: where the weights of its frozen roles are (a folder that need not be there)."""
    needs = COEFFICIENTS[METHODS[method].coefficient].needs
    return [role.setting for role in beside_policy(needs) if role.setting]


def environment() -> dict[str, str]:
    """One thread per process, offline."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def command(*args: str) -> subprocess.CompletedProcess[str]:
    """Run `unified-rl ...` for real."""
    line = [sys.executable, "-m", "unified_rl.cli", *args]
    return subprocess.run(line, capture_output=True, text=True, env=environment(), check=False, timeout=200)


def keep_order(registry, request):
    """After the test the entries are what they were, and in the order of documentation, which putting one back does not restore."""
    before = dict(registry)

    def restore():
        registry.clear()
        registry.update(before)

    request.addfinalizer(restore)
