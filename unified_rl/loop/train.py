"""A step of the loop. It does not know which method it runs.

prompts -> source -> responses -> reward -> coefficient -> policy update -> run directory
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unified_rl.base import rng
from unified_rl.base.errors import ConfigError, TrainingError
from unified_rl.base.types import ONE_RANK, Ranks, Source
from unified_rl.config.schema import Config
from unified_rl.grading.forms import form
from unified_rl.loop.blame import not_finite
from unified_rl.loop.chance import uniform
from unified_rl.loop.memory import Memory
from unified_rl.loop.mismatched import mismatched_kl
from unified_rl.loop.rollout import Rollout, collate, facts, staleness
from unified_rl.loop.steps import Work, due, repeat, timed
from unified_rl.loop.surrogate import CompanionLoss, SurrogateLoss, aggregation_weights
from unified_rl.methods import losses, signals
from unified_rl.methods.base import Coefficient, Inputs
from unified_rl.models.roles import Outputs
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.records.runs import Run
from unified_rl.training.batch import Batch
from unified_rl.training.loss_scale import until_it_fits
from unified_rl.training.protocol import Trainer, UpdateReport

#: Largest |log ratio| that two passes of the same weights over differently packed tokens may show.
INVARIANT_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.03}

#: Largest difference of a token's log-prob, in nats, between a sampler and a trainer with the same weights in float32.
SAMPLER_TOLERANCE = 1e-3

#: What a role computes of sequences, without gradient.
Pass = Callable[[Sequence[TokenSequence]], Outputs]


@dataclass
class Parts:
    """What a run is made of, already built.

    policy: the trained role. frozen: the passes of the frozen roles that are needed, by name. companions: the trainers of the roles
    that are trained beside the policy. curve: entries for `curve.jsonl` under the present weights. save: writes weights and
    tokenizer to a folder. decode: tokens to text pieces, for the samples. ranks: the processes that run this loop together, each on
    the whole data. memories: what the run remembers of its prompts, where a coefficient asks. sampler_metrics: how well a sampler
    with weights of its own agrees with the policy.
    """

    source: Source
    coefficient: Coefficient
    policy: Trainer
    frozen: Mapping[str, Pass]
    companions: Mapping[str, Trainer]
    curve: Callable[[], list[dict[str, Any]]]
    save: Callable[[Path], None]
    decode: Callable[[Sequence[int]], list[str]]
    ranks: Ranks = ONE_RANK
    memories: Sequence[Memory] = ()
    sampler_metrics: Callable[[], Mapping[str, float]] = dict

    def outputs(self, role: str, sequences: Sequence[TokenSequence]) -> Outputs:
        """A role's pass over sequences, without gradient."""
        if role in self.frozen:
            return self.frozen[role](sequences)
        return self.companions.get(role, self.policy).outputs(sequences)


def train(parts: Parts, config: Config, run: Run, on_step: Callable[[int, dict[str, float]], None] = lambda *_: None) -> None:
    """Run the steps that are left, from the run's latest checkpoint to `config.trainer.steps` or the end of the token budget.

    Raises:
        TrainingError: a loss that is not finite or a broken step-0 invariant; the last checkpoint stays good.
    """
    work = Work(
        step=lambda step, timings: run_step(parts, config, step, timings),
        save=parts.save,
        curve=parts.curve,
        totals=lambda entry, before: _with_totals(entry, before, config.rollout.epochs),
    )
    repeat(work, config, run, on_step)


def run_step(
    parts: Parts, config: Config, step: int, timings: dict[str, float]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """One rollout and its updates: the step's metrics and samples."""
    with timed(timings, "source"):
        draw = parts.source.draw(config.rollout.first_step + step - 1, parts.policy.updates)
    entry: dict[str, float] = {"step": step, "tokens/sampled": draw.sampled_tokens}
    if not draw.groups:  # preference pairs of a batch in which no prompt has both a right and a wrong sample
        return entry | {"groups/count": 0.0}, []
    entry |= staleness(draw.groups, parts.policy.updates) | dict(parts.sampler_metrics() if draw.sampled_tokens else {})
    with timed(timings, "prepare"):
        rollout = _prepare(parts, config, draw.groups)
    with timed(timings, "update"):
        metrics, samples = _updates(parts, config, step, rollout)
        for memory in parts.memories:
            metrics |= memory.note(draw.groups, rollout.sequences, parts.policy.outputs)
    counted = form(config.logging.form, "logging.form") if config.logging.form else None
    return entry | facts(rollout, counted) | metrics, samples


def _prepare(parts: Parts, config: Config, groups: list) -> Rollout:
    """Everything that stays fixed over the rollout's updates."""
    coefficient = parts.coefficient
    device = next(parts.policy.model.parameters()).device
    process = config.reward.supervision == "process"
    rollout = collate(groups, device, process=process, pairs="pairs" in coefficient.needs)
    needs = coefficient.needs | losses.all_needs(config)
    passes = {role: parts.outputs(role, rollout.sequences) for role in signals.passes(needs, config)}
    found = {one.field: passes[one.role][one.output] for one in signals.per_rollout(needs, config)}
    for memory in parts.memories:
        before = memory.recall(groups, device)
        found |= {one.field: before[one.output] for one in signals.per_prompt(coefficient.needs) if one.output in before}
    prepared = coefficient.prepare(rollout.inputs.adding(found))
    if not isinstance(prepared, Inputs):
        raise ConfigError(f"coefficient {coefficient.name}: prepare() gave a {type(prepared).__name__}; return the inputs")
    return replace(rollout, inputs=prepared)


def _updates(parts: Parts, config: Config, step: int, rollout: Rollout) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """All updates on one rollout. Metrics are the first update's; ratios are the last one's; clipping and norms are means."""
    first: dict[str, float] = {}
    samples: list[dict[str, Any]] = []
    reports: list[UpdateReport] = []
    clipped: list[float] = []
    for rows in _minibatches(rollout, config, step):
        watched = frozenset(range(config.logging.samples)) if not reports and _due_samples(step, config) else frozenset()
        loss, report = until_it_fits(partial(_policy_update, parts, config, rollout, rows, watched))
        metrics = loss.record.metrics()
        if not reports:
            _check_invariants(metrics, parts, config, rollout)
            first = metrics
            samples = _samples(parts, rollout, rows, loss)
        reports.append(report)
        clipped.append(metrics.get("ratio/clip_fraction", 0.0))
    if len(reports) > 1:  # the first update's ratios are 1 by construction; the last one's say how far the rollout went stale
        first |= {name: value for name, value in metrics.items() if name.startswith("ratio/")}
    return first | _companion_updates(parts, config, rollout) | {
        "ratio/clip_fraction": float(np.mean(clipped)),
        "loss": float(np.mean([report.loss for report in reports])),
        "grad_norm": float(np.mean([report.grad_norm for report in reports])),
        "learning_rate": reports[-1].learning_rate,
        "updates": float(parts.policy.updates),
    }, samples


def _policy_update(
    parts: Parts, config: Config, rollout: Rollout, rows: np.ndarray, watched: frozenset[int]
) -> tuple[SurrogateLoss, UpdateReport]:
    coefficient = parts.coefficient
    sequences = rollout.sequences.subset(rows)
    inputs = rollout.inputs.rows(torch.from_numpy(rows).to(rollout.inputs.group_B.device)).first_tokens(sequences.longest)
    inputs = inputs.adding(_of_update(parts, config, rows, sequences, inputs))
    weights_B = None if coefficient.contains_weights else _weights(config, inputs)
    loss = SurrogateLoss(coefficient, inputs, weights_B, watched, losses.of_policy(config.losses))
    if coefficient.unit == "batch":
        loss.fix(parts.policy.outputs(sequences))
    unit_B = inputs.group_B.cpu().numpy() if coefficient.unit in ("pair", "group") else None
    try:
        report = parts.policy.update(sequences, loss, unit_B)
    except TrainingError as error:
        raise TrainingError(f"{error}; {not_finite(inputs, sequences, loss.record)}") from error
    loss.gather(parts.ranks)
    return loss, report


def _of_update(parts: Parts, config: Config, rows: np.ndarray, sequences: Batch, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The signals of one update that its own passes do not give."""
    needs, mask_BT = parts.coefficient.needs, inputs.response_mask_BT
    found = {one.field: uniform(config.seed, parts.policy.updates, rows, mask_BT) for one in signals.of_chance(needs)}
    for one in signals.per_update(needs):
        passes = parts.policy.outputs, partial(parts.outputs, one.role)
        found[one.field] = mismatched_kl(sequences, mask_BT, inputs.group_B, *passes)
    return found


def _companion_updates(parts: Parts, config: Config, rollout: Rollout) -> dict[str, float]:
    """The roles that are trained beside the policy follow this rollout, each by its named loss."""
    found: dict[str, float] = {}
    for name, trainer in parts.companions.items():
        _, epochs = signals.ROLES[name].options
        loss = CompanionLoss(losses.of_role(name), rollout.inputs, _weights(config, rollout.inputs))
        update = partial(trainer.update, rollout.sequences, loss)
        reports = [until_it_fits(update) for _ in range(getattr(config.coefficient, epochs))]
        found |= {f"{name}/loss": reports[0].loss, f"{name}/grad_norm": reports[0].grad_norm}
    return found


def _weights(config: Config, inputs: Inputs) -> torch.Tensor:
    length = config.aggregation.length or config.generator.max_new_tokens
    options = config.aggregation
    return aggregation_weights(options.name, inputs, length, options.truncated, options.empty)


def _minibatches(rollout: Rollout, config: Config, step: int) -> Iterator[np.ndarray]:
    """Rows of each update: every epoch deals the groups, shuffled, to the minibatches. One update per rollout keeps the order."""
    group_B = rollout.inputs.group_B.cpu().numpy()
    num_groups = len(rollout.groups)
    for epoch in range(config.rollout.epochs):
        order = np.arange(num_groups)
        if config.rollout.minibatches > 1:
            order = rng.generator(config.seed, "minibatches", config.rollout.first_step + step, epoch).permutation(num_groups)
        for part in np.array_split(order, config.rollout.minibatches):
            if len(part):
                yield np.flatnonzero(np.isin(group_B, part))


def _check_invariants(metrics: dict[str, float], parts: Parts, config: Config, rollout: Rollout) -> None:
    """Before a rollout's first update pi = pi_old; before the run's first update pi = pi_ref, unless another one was given."""
    dtype = next(parts.policy.model.parameters()).dtype
    tolerance = INVARIANT_TOLERANCE.get(dtype, 1e-3)
    if dtype == torch.float32:
        _check_sampler(metrics, rollout, parts.policy.updates - 1)
    broken = [("ratio/max_log", "the old policy", metrics.get("ratio/max_log", 0.0))]
    if config.importance.name == "bypass":  # its ratio is to the sampler, which may be another policy
        broken = []
    if parts.policy.updates == 1 and not config.reference:
        broken.append(("kl/max_log", "the reference policy", metrics.get("kl/max_log", 0.0)))
    for name, other, value in broken:
        if value > tolerance:
            raise TrainingError(
                f"{name} is {value:.2g} at the first update, where the policy and {other} are the same "
                f"(tolerance {tolerance}); log-probs are not reproducible: is dropout on, or were the weights changed?"
            )


def _check_sampler(metrics: dict[str, float], rollout: Rollout, updates: int) -> None:
    """Before a rollout's first update pi = pi_behaviour, where all of it was sampled after `updates` updates, as many as were made.

    In float32 two programs for the same model differ by far less than the limit. In bfloat16 they need not.
    """
    difference, fresh = metrics.get("sampler/max_logp_difference", 0.0), staleness(rollout.groups, updates)
    if fresh and fresh["sampler/staleness_max"] == 0 and difference > SAMPLER_TOLERANCE:
        raise TrainingError(
            f"sampler/max_logp_difference is {difference:.2g} nats at the first update, on responses sampled with the trainer's "
            f"own weights (tolerance {SAMPLER_TOLERANCE:g} in float32): the generator computes another model than the trainer; set "
            "another generator, or choose another model"
        )


def _samples(parts: Parts, rollout: Rollout, rows: np.ndarray, loss: SurrogateLoss) -> list[dict[str, Any]]:
    """Watched responses of the first update, with tokens, rewards and per-token terms."""
    scored = rollout.scored
    entries = []
    for place, values in sorted(loss.seen.items()):
        row = int(rows[place])
        response, score = scored[row].response, scored[row].score
        group = rollout.groups[int(rollout.inputs.group_B[row])]
        entries.append(
            {
                "prompt_id": rollout.sequences[row].name,
                "prompt": group.prompt.problem.question,
                "tokens": parts.decode(response.token_ids.tolist()),
                "finish": response.finish,
                "policy_version": response.policy_version,
                "seed": response.seed,
                "decoding": None if response.decoding is None else asdict(response.decoding),
                "behaviour_logp": None if response.decoding is None else response.behaviour_logp.tolist(),
                "reward": score.reward,
                "rewards": {part.name: part.reward for part in score.parts},
                **({} if group.greedy_reward is None else {"greedy_reward": group.greedy_reward}),
                "verdict": score.verdict,
                "step_ends": None if score.step_ends is None else score.step_ends.tolist(),
                "step_rewards": None if score.step_rewards is None else score.step_rewards.tolist(),
                "logp": values.pop("logp"),
                "coefficient": values,
            }
        )
    return entries


def _with_totals(entry: dict[str, float], before: Mapping[str, Any], epochs: int) -> dict[str, float]:
    """The entry with running totals of response tokens: sampled by the policy in this run, and trained on."""
    return entry | {
        "tokens/sampled": before.get("tokens/sampled", 0) + entry["tokens/sampled"],
        "tokens/trained": before.get("tokens/trained", 0) + int(entry.get("response/tokens", 0)) * epochs,
    }


def _due_samples(step: int, config: Config) -> bool:
    return config.logging.samples > 0 and (step == 1 or due(step, config.logging.samples_every, config.trainer.steps))
