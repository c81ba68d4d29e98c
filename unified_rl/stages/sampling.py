"""The stored samples of a frozen policy: made once, kept as an artefact, reused by every run that names them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl import files, rng
from unified_rl.artifacts import ArtifactStore
from unified_rl.config import Config
from unified_rl.engines.policy_model import load_policy
from unified_rl.engines.torch_generator import TorchGenerator
from unified_rl.progress import progress
from unified_rl.stages import world
from unified_rl.types import Prompt, Response

RECIPE = 1
FILE = "samples.parquet"


def offline_samples(
    config: Config, store: ArtifactStore, policy_key: str, policy_path: Path, prompts: list[Prompt]
) -> tuple[str, list[list[Response]]]:
    """Key of the artefact and, per prompt, `source.samples_per_prompt` responses of the frozen policy.

    They depend on the policy, the prompts and the decoding settings, not on the run's seed: every run shares them.
    """
    settings = {
        **world.world_settings(config),
        "prompts": len(prompts),
        "dtype": config.model.dtype,
        "samples_per_prompt": config.source.samples_per_prompt,
        "decoding": asdict(config.generator.decoding),
    }
    key, folder = store.get_or_build(
        "offline_samples",
        settings,
        recipe_version=RECIPE,
        inputs={"policy": policy_key},
        build=lambda aside: _sample(config, policy_path, prompts, aside),
    )
    return key, _read(folder / FILE, len(prompts), config)


def _sample(config: Config, policy_path: Path, prompts: list[Prompt], folder: Path) -> None:
    model, tokenizer = load_policy(policy_path, world.model_dtype(config), config.model.device)
    generator = TorchGenerator(model, tokenizer, max_concurrent_sequences=config.generator.max_concurrent_sequences)
    per_prompt = config.source.samples_per_prompt
    seeds = [[rng.derive_seed(0, "offline", index, k) for k in range(per_prompt)] for index in range(len(prompts))]
    with progress("offline samples", len(prompts) * per_prompt, "responses") as hook:
        generator.on_progress = lambda done, total: hook(done, {})
        responses = generator.generate(prompts, seeds, config.generator.decoding, policy_version=0)
    rows = [(index, response) for index, group in enumerate(responses) for response in group]
    table = pa.table(
        {
            "prompt": pa.array([index for index, _ in rows], pa.int32()),
            "prompt_id": [prompts[index].id for index, _ in rows],
            "token_ids": pa.array([response.token_ids for _, response in rows], pa.list_(pa.int64())),
            "behaviour_logp": pa.array([response.behaviour_logp for _, response in rows], pa.list_(pa.float32())),
            "finish": [response.finish for _, response in rows],
            "seed": pa.array([response.seed for _, response in rows], pa.int64()),
            "text": [response.text for _, response in rows],
        }
    )
    with files.disk_errors(folder / FILE):
        pq.write_table(table, folder / FILE)


def _read(path: Path, num_prompts: int, config: Config) -> list[list[Response]]:
    stored: list[list[Response]] = [[] for _ in range(num_prompts)]
    for row in pq.read_table(path).to_pylist():
        stored[row["prompt"]].append(
            Response(
                token_ids=np.array(row["token_ids"], dtype=np.int64),
                behaviour_logp=np.array(row["behaviour_logp"], dtype=np.float32),
                finish=row["finish"],
                policy_version=0,
                decoding=config.generator.decoding,
                seed=row["seed"],
                text=row["text"],
            )
        )
    return stored
