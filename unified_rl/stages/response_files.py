"""Sampled responses as a Parquet file, one row each, grouped by the prompt they answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.types import Decoding, Prompt, Response


def write_responses(path: Path, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> None:
    """One row per response; column `prompt` is the prompt's place in the list. Raises RunDirectoryError."""
    rows = [(index, response) for index, group in enumerate(responses) for response in group]
    table = pa.table(
        {
            "prompt": pa.array([index for index, _ in rows], pa.int32()),
            "prompt_id": [prompts[index].id for index, _ in rows],
            "token_ids": pa.array([response.token_ids for _, response in rows], pa.list_(pa.int64())),
            "behaviour_logp": pa.array([response.behaviour_logp for _, response in rows], pa.list_(pa.float32())),
            "finish": [response.finish for _, response in rows],
            "policy_version": pa.array([response.policy_version for _, response in rows], pa.int32()),
            "seed": pa.array([response.seed for _, response in rows], pa.int64()),
            "text": [response.text for _, response in rows],
            "response_mask": pa.array([response.response_mask for _, response in rows], pa.list_(pa.bool_())),
        }
    )
    with files.replacing(path) as aside:
        pq.write_table(table, aside)


def read_responses(path: Path, prompts: Sequence[Prompt], decoding: Decoding) -> list[list[Response]]:
    """What `write_responses` wrote, for the same prompts.

    Raises:
        DataError: the file was written for other prompts.
    """
    stored: list[list[Response]] = [[] for _ in prompts]
    for row in pq.read_table(path).to_pylist():
        if row["prompt"] >= len(prompts) or prompts[row["prompt"]].id != row["prompt_id"]:
            raise DataError(f"{path} answers other prompts (it has {row['prompt_id']!r}); delete it and it will be made again")
        stored[row["prompt"]].append(
            Response(
                token_ids=np.array(row["token_ids"], dtype=np.int64),
                behaviour_logp=np.array(row["behaviour_logp"], dtype=np.float32),
                finish=row["finish"],
                policy_version=row["policy_version"],
                decoding=decoding,
                seed=row["seed"],
                text=row["text"],
                response_mask=None if row.get("response_mask") is None else np.array(row["response_mask"], dtype=bool),
            )
        )
    return stored
