"""Three updates of every coefficient in float64, alone or by torchrun: `ranks_job.py OUT.npz own|all`.

own: under its own aggregation, and of GRPO under all four. all: under every aggregation that each allows.

The first rank writes, per case, the loss, the gradient norm and the parameters after the updates, and the metrics' values; it
fails if the ranks do not agree to the last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cases import role_of
from test_gradients import CASES, LENGTH, case

from unified_rl.base.types import Ranks
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.packing.layout import Layout
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.ranks import join_ranks
from unified_rl.training.torch_trainer import TorchTrainer

AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length")


def cases(which: str) -> Iterator[tuple[str, str | None]]:
    for name, (_, own, *_) in CASES.items():
        free = own not in (None, "pair_mean") and (which == "all" or name == "grpo")
        yield from ((name, aggregation) for aggregation in (AGGREGATIONS if free else (own,)))


def updated(name: str, aggregation: str | None, ranks: Ranks) -> dict[str, np.ndarray]:
    batch, coefficient, *_ = case(name, seed=3)
    trainer = TorchTrainer(batch.policy, role_of(coefficient), AdamWOptions(1e-3, 10), Layout(40, 80), ranks)
    inputs = coefficient.prepare(batch.inputs)
    weights_B = None if coefficient.contains_weights else aggregation_weights(aggregation, inputs, LENGTH, "keep")
    unit_B = inputs.group_B.numpy() if coefficient.unit in ("pair", "group") else None
    reports, metrics = [], {}
    for _ in range(3):
        loss = SurrogateLoss(coefficient, inputs, weights_B, watched=frozenset({0, 5}))
        if coefficient.unit == "batch":
            loss.fix(trainer.outputs(batch.sequences))
        report = trainer.update(batch.sequences, loss, unit_B)
        loss.gather(ranks)
        assert set(loss.seen) == {0, 5}
        reports.append((report.loss, report.grad_norm))
        metrics = loss.record.metrics()
    parameters = np.concatenate([parameter.detach().numpy().ravel() for parameter in batch.policy.parameters()])
    outputs = trainer.outputs(batch.sequences[:1])["logp"].numpy()  # fewer sequences than ranks
    return {
        "parameters": parameters,
        "reports": np.array(reports),
        "outputs": outputs,
        "metrics": np.array([metrics[key] for key in sorted(metrics)]),
    }


def main(out: Path, which: str) -> None:
    ranks = join_ranks()
    results = {}
    for name, aggregation in cases(which):
        for key, value in updated(name, aggregation, ranks).items():
            assert all(np.array_equal(value, other) for other in ranks.gather(value)), f"ranks differ in {name} {key}"
            results[f"{name}/{aggregation}/{key}"] = value
    if ranks.first:
        np.savez(out, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
