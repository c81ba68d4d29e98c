"""From scored groups to what an update needs: sequences for the trainer, tensors for the coefficient, facts for the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unified_rl.base.errors import DataError
from unified_rl.base.types import Group, ScoredResponse
from unified_rl.grading.forms import Form
from unified_rl.methods.base import Inputs
from unified_rl.methods.signals import SIGNALS, of_reward, of_source
from unified_rl.ops.advantages import zero_variance_groups
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.training.batch import Batch


@dataclass(frozen=True)
class Rollout:
    """One step's data: groups as drawn, their responses one after the other as sequences, and the same as tensors [B, T]."""

    groups: list[Group]
    sequences: Batch
    inputs: Inputs

    @property
    def scored(self) -> list[ScoredResponse]:
        return [response for group in self.groups for response in group.responses]


def collate(groups: Sequence[Group], device: torch.device | str, *, process: bool, pairs: bool) -> Rollout:
    """Tensors of a step's groups, right-padded, one row per response in the order of the groups.

    Args:
        process: whether step rewards are wanted. pairs: whether each group is a pair, its chosen response first.

    Raises:
        DataError: a response without tokens, or without the step rewards that are wanted.
    """
    scored = [(index, group.prompt, item) for index, group in enumerate(groups) for item in group.responses]
    for _, prompt, item in scored:
        if len(item.response) == 0:
            raise DataError(f"a response to prompt {prompt.id!r} has no tokens; a response holds at least its EOS token")
    sequences = Batch(
        [TokenSequence(np.array(prompt.token_ids), item.response.token_ids, prompt.id) for _, prompt, item in scored]
    )
    responses, scores = [item.response for *_, item in scored], [item.score for *_, item in scored]
    masks = [np.ones(len(r), dtype=bool) if r.response_mask is None else r.response_mask for r in responses]
    step_rewards, step_ends = _steps(scored, device) if process else (None, None)
    inputs = Inputs(
        response_mask_BT=_padded(masks, device),
        group_B=torch.tensor([index for index, *_ in scored], device=device),
        rewards_B=torch.tensor([score.reward for score in scores], dtype=torch.float32, device=device),
        correct_B=torch.tensor([float(score.judged_correct) for score in scores], device=device),
        truncated_B=torch.tensor([response.truncated for response in responses], device=device),
        behaviour_logp_BT=_padded([response.behaviour_logp for response in responses], device),
        step_rewards_BT=step_rewards,
        step_ends_BT=step_ends,
        chosen_B=torch.tensor([True, False] * len(groups), device=device) if pairs else None,
        demonstrated_B=torch.tensor([response.policy_version < 0 for response in responses], device=device),
        more=_parts(scored, device) | _beside(groups, device),
    )
    return Rollout(list(groups), sequences, inputs)


def facts(rollout: Rollout, form: Form | None = None) -> dict[str, float]:
    """Deterministic metrics of the data itself: rewards, verdicts, lengths, truncation, spread within groups.

    Args:
        form: of which the share among wrong answers is counted.
    """
    inputs = rollout.inputs
    lengths = inputs.response_mask_BT.sum(1).double().cpu().numpy()  # tokens that the policy wrote
    verdicts = [item.score.verdict for item in rollout.scored]
    rewards = inputs.rewards_B.double()
    return (
        {
            "reward/mean": rewards.mean().item(),
            "reward/std": rewards.std(correction=0).item(),
            "reward/correct": verdicts.count("correct") / len(verdicts),
            "reward/accepted": inputs.correct_B.double().mean().item(),
            "reward/unparsable": verdicts.count("unparsable") / len(verdicts),
            "groups/count": float(len(rollout.groups)),
            "groups/zero_variance": zero_variance_groups(inputs.rewards_B, inputs.group_B).double().mean().item(),
            "response/tokens": float(lengths.sum()),
            "response/length": float(lengths.mean()),
            "response/longest": float(lengths.max()),
            "response/truncated": inputs.truncated_B.double().mean().item(),
        }
        | _step_facts(rollout)
        | _value_facts(rollout)
        | _part_facts(rollout)
        | _greedy_facts(rollout)
        | _error_facts(rollout)
        | _form_facts(rollout, form)
    )


def staleness(groups: Sequence[Group], updates: int) -> dict[str, float]:
    """Updates between a response's sampling and its use, mean and most; nothing where no policy wrote the responses.

    Args:
        updates: behind the policy's present weights.
    """
    versions = [item.response.policy_version for group in groups for item in group.responses]
    ages = [updates - version for version in versions if version >= 0]
    return {"sampler/staleness_mean": float(np.mean(ages)), "sampler/staleness_max": float(max(ages))} if ages else {}


def _step_facts(rollout: Rollout) -> dict[str, float]:
    rewards = [item.score.step_rewards for item in rollout.scored if item.score.step_rewards is not None]
    if not rewards:
        return {}
    every = np.concatenate(rewards).astype(np.float64)
    return {"reward/step_mean": float(every.mean()), "reward/steps": len(every) / len(rewards)}


def _value_facts(rollout: Rollout) -> dict[str, float]:
    """What the states were taken to be worth in which responses and their steps began, and what it took to find out."""
    scores = [item.score for item in rollout.scored]
    values = [score.step_values.astype(np.float64) for score in scores if score.step_values is not None]
    if not values:
        return {}
    return {
        "reward/value_of_prompt": float(np.mean([one[0] for one in values])),
        "reward/value_of_state": float(np.concatenate(values).mean()),
        "reward/judging_tokens": float(sum(score.sampled_tokens for score in scores)),
    }


def _error_facts(rollout: Rollout) -> dict[str, float]:
    """How often the reward's judgement errs on these responses: of what is wrong the share accepted, of what is right the rejected.

    The same of steps, where the exact checker has looked at them. A share of nothing is left out.
    """
    scores = [item.score for item in rollout.scored]
    outcomes = [(score.verdict == "correct", bool(score.judged_correct)) for score in scores]
    steps = [
        pair
        for score in scores
        if score.steps_right is not None and score.steps_accepted is not None
        for pair in zip(score.steps_right.tolist(), score.steps_accepted.tolist(), strict=True)
    ]
    found: dict[str, float] = {}
    for of, pairs in (("", outcomes), ("step_", steps)):
        for name, truth in (("false_positive", False), ("false_negative", True)):
            wrong = [accepted is not truth for right, accepted in pairs if right is truth]
            found |= {f"reward/{of}{name}": float(np.mean(wrong))} if wrong else {}
    return found


def _form_facts(rollout: Rollout, form: Form | None) -> dict[str, float]:
    """Of the wrong responses the share that has the form; nothing of a step without a wrong one."""
    wrong = [item for item in rollout.scored if item.score.verdict != "correct"]
    if form is None or not wrong:
        return {}
    return {
        "reward/wrong_of_form": sum(form(one.response.text, one.score.answer, len(one.response)) for one in wrong) / len(wrong)
    }


def _part_facts(rollout: Rollout) -> dict[str, float]:
    """Mean and spread of each of several rewards, by name."""
    names = [part.name for part in rollout.scored[0].score.parts]
    rewards_BK = np.array([[part.reward for part in item.score.parts] for item in rollout.scored], dtype=np.float64)
    return {
        f"reward/{name}/{of}": float(value)
        for place, name in enumerate(names)
        for of, value in (("mean", rewards_BK[:, place].mean()), ("std", rewards_BK[:, place].std()))
    }


def _greedy_facts(rollout: Rollout) -> dict[str, float]:
    """The mean reward of the greedy responses beside the groups, where the source draws them."""
    rewards = [group.greedy_reward for group in rollout.groups if group.greedy_reward is not None]
    return {"reward/greedy": float(np.mean(rewards))} if rewards else {}


def _parts(scored: Sequence[tuple], device: torch.device | str) -> dict[str, Tensor]:
    """The signals of the reward: each response's several rewards [B, K] and their weights; none where there is one reward."""
    parts = [item.score.parts for *_, item in scored]
    if not any(parts):
        return {}
    names = [part.name for part in parts[0]]
    for (_, prompt, _), found in zip(scored, parts, strict=True):
        if [part.name for part in found] != names:
            raise DataError(
                f"a response to prompt {prompt.id!r} has rewards named {[part.name for part in found]}, another one {names}; give "
                "all of them the same, in one order"
            )
    return {
        signal.field: torch.tensor([[getattr(part, of) for part in row] for row in parts], dtype=torch.float32, device=device)
        for signal, of in zip(of_reward(("reward_parts", "reward_weights")), ("reward", "weight"), strict=True)
    }


def _beside(groups: Sequence[Group], device: torch.device | str) -> dict[str, Tensor]:
    """The signals of the source: what its groups have beside their responses, for each of these."""
    found = {}
    for signal in of_source(SIGNALS):
        values = [getattr(group, signal.output) for group in groups for _ in group.responses]
        if values and all(value is not None for value in values):
            found[signal.field] = torch.tensor(values, dtype=torch.float32, device=device)
    return found


def _steps(scored: Sequence[tuple], device: torch.device | str) -> tuple[Tensor, Tensor]:
    rewards, ends = [], []
    for _, prompt, item in scored:
        if item.score.step_rewards is None or item.score.step_ends is None:
            raise DataError(
                f"a response to prompt {prompt.id!r} has no step rewards, but reward.supervision=process needs them"
            )
        at = np.zeros(len(item.response), dtype=np.float32)
        mark = np.zeros(len(item.response), dtype=bool)
        at[item.score.step_ends], mark[item.score.step_ends] = item.score.step_rewards, True
        rewards.append(at)
        ends.append(mark)
    return _padded(rewards, device), _padded(ends, device)


def _padded(rows: Sequence[np.ndarray], device: torch.device | str) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(np.ascontiguousarray(row)) for row in rows], batch_first=True).to(
        device
    )
