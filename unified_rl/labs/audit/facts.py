"""What people ask of a batch of rollouts, as plain numbers: groups without spread, lengths, and where the gradient goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unified_rl.labs.audit.measure import Batch, Pushed
from unified_rl.ops import advantages

PARTS = 4


def of_rollouts(found: Sequence[Batch]) -> dict[str, Any]:
    """What is true of the rollouts whatever the loss."""
    groups = [size for batch in found for size in torch.bincount(batch.inputs.group_B).tolist()]
    flat = [
        bool(one) for batch in found for one in advantages.zero_variance_groups(batch.inputs.rewards_B, batch.inputs.group_B)
    ]
    rollouts = [one for batch in found for one in batch.rollouts]
    lengths = torch.cat([batch.inputs.response_mask_BT.sum(1) for batch in found]).double()
    said = [one.truncated for one in rollouts if one.truncated is not None]
    same = Counter((one.step, one.prompt, one.text if one.tokens is None else tuple(one.tokens)) for one in rollouts)
    return {
        "responses": len(rollouts),
        "prompts": len({one.prompt for one in rollouts}),
        "steps": len(found),
        "groups (a prompt in a step)": len(groups),
        "tokens": int(lengths.sum()),
        "smallest group": min(groups),
        "largest group": max(groups),
        "mean reward": float(torch.cat([batch.inputs.rewards_B for batch in found]).mean()),
        "mean length": float(lengths.mean()),
        "share of groups without spread": sum(flat) / len(flat),
        "share of truncated responses": sum(said) / len(said) if said else None,
        "share of responses that repeat another to the same prompt": 1 - len(same) / len(rollouts),
        "length of the better responses over that of the worse": _better_over_worse(found),
        **_mismatch(found),
    }


def _better_over_worse(found: Sequence[Batch]) -> float | None:
    """Mean length of responses above their group's mean reward over that of those below, in groups with spread."""
    sums = torch.zeros(2, 2, dtype=torch.float64)
    for batch in found:
        centred_B = advantages.group_centred(batch.inputs.rewards_B, batch.inputs.group_B)
        lengths_B = batch.inputs.response_mask_BT.sum(1).double()
        for place, which in enumerate((centred_B > 1e-9, centred_B < -1e-9)):
            sums[place] += torch.stack([lengths_B[which].sum(), which.sum().double()])
    means = sums[:, 0] / sums[:, 1]
    return float(means[0] / means[1]) if bool((sums[:, 1] > 0).all()) else None


def _mismatch(found: Sequence[Batch]) -> dict[str, Any]:
    """Between the sampler's log-probs and the trainer's, where the dump has both."""
    both = [batch for batch in found if "behaviour_logp" in batch.known and {"old_logp", "logp"} & batch.known]
    if not both:
        return {"mean |log(pi_old/pi_sampler)|": None, "share of tokens with pi_old/pi_sampler outside 0.5 to 2": None}
    drift = torch.cat(
        [(one.inputs.old_or(one.logp_BT) - one.inputs.behaviour_logp_BT)[one.inputs.response_mask_BT] for one in both]
    )
    outside = (drift.abs() > torch.log(torch.tensor(2.0))).double().mean()
    return {
        "mean |log(pi_old/pi_sampler)|": float(drift.abs().mean()),
        "share of tokens with pi_old/pi_sampler outside 0.5 to 2": float(outside),
    }


def of_loss(found: Sequence[Batch], pushed: Sequence[Pushed]) -> dict[str, Any]:
    """What a loss does to these rollouts: where its push, |w GC| summed over tokens, goes."""
    whole = sum(float(one.push_BT.abs().sum()) for one in pushed)
    size = whole or 1.0
    up = sum(float(one.push_BT.clamp(min=0).sum()) for one in pushed)
    cut = [batch.inputs.truncated_B for batch in found]
    of_cut = sum(float(one.push_BT.abs().sum(1)[rows].sum()) for one, rows in zip(pushed, cut, strict=True))
    said = any(one.truncated is not None for batch in found for one in batch.rollouts)
    tokens = sum(int(batch.inputs.response_mask_BT.sum()) for batch in found)
    return {
        "push in all": whole,
        "share that raises": up / size,
        "share of the top tenth of the groups": _top_groups(found, pushed),
        "share by position (first to last quarter of each response)": [part / size for part in _positions(found, pushed)],
        "push per token by length (shortest to longest quarter)": _by_length(found, pushed),
        "share on truncated responses": of_cut / size if said else None,
        "share of tokens clipped or masked": sum(int(one.gated_BT.sum()) for one in pushed) / tokens,
        "largest difference from the dump's own advantages": _own_advantages(found, pushed),
    }


def _top_groups(found: Sequence[Batch], pushed: Sequence[Pushed]) -> float:
    sums = torch.cat(
        [
            torch.zeros(int(batch.inputs.group_B.max()) + 1, dtype=torch.float64).index_add_(
                0, batch.inputs.group_B, one.push_BT.abs().sum(1)
            )
            for batch, one in zip(found, pushed, strict=True)
        ]
    )
    top = sums.sort(descending=True).values[: max(1, len(sums) // 10)]
    return float(top.sum() / sums.sum()) if sums.sum() else 0.0


def _positions(found: Sequence[Batch], pushed: Sequence[Pushed]) -> list[float]:
    total = torch.zeros(PARTS, dtype=torch.float64)
    for batch, one in zip(found, pushed, strict=True):
        mask_BT = batch.inputs.response_mask_BT
        order_BT = mask_BT.cumsum(1) - 1
        part_BT = (order_BT * PARTS // mask_BT.sum(1, keepdim=True).clamp(min=1)).clamp(0, PARTS - 1)
        total.index_add_(0, part_BT[mask_BT], one.push_BT.abs()[mask_BT])
    return total.tolist()


def _by_length(found: Sequence[Batch], pushed: Sequence[Pushed]) -> list[float]:
    """Mean |push| per token of responses in groups with spread, by quarters of length, over the mean of all of these."""
    lengths, sums = [], []
    for batch, one in zip(found, pushed, strict=True):
        spread = one.push_BT.abs().sum(1) > 0
        lengths.append(batch.inputs.response_mask_BT.sum(1)[spread])
        sums.append(one.push_BT.abs().sum(1)[spread])
    lengths_B, sums_B = torch.cat(lengths).double(), torch.cat(sums)
    if len(lengths_B) < PARTS:
        return []
    order = lengths_B.argsort(stable=True)
    middle = sums_B.sum() / lengths_B.sum()
    return [float(sums_B[part].sum() / lengths_B[part].sum() / middle) for part in order.tensor_split(PARTS)]


def _own_advantages(found: Sequence[Batch], pushed: Sequence[Pushed]) -> float | None:
    differences = [
        abs(own.advantage - ours)
        for batch, one in zip(found, pushed, strict=True)
        for own, ours in zip(batch.rollouts, one.advantage_B.tolist(), strict=True)
        if own.advantage is not None
    ]
    return max(differences) if differences else None


def between(ours: Sequence[Pushed], theirs: Sequence[Pushed]) -> dict[str, Any]:
    """How far two losses differ on these rollouts, token by token."""
    a, b = (torch.cat([one.push_BT.flatten() for one in side]) for side in (ours, theirs))
    norm = float(a.norm() * b.norm())
    moved = (a != 0) | (b != 0)
    return {
        "cosine of the two pushes": float(a @ b) / norm if norm else None,
        "best factor between them": float(a @ b / (a @ a)) if float(a @ a) else None,
        "share of tokens that one raises and the other lowers": float((a * b < 0).sum() / moved.sum().clamp(min=1)),
        "share of tokens that only one moves": float(((a != 0) ^ (b != 0)).sum() / moved.sum().clamp(min=1)),
    }


def per_response(found: Sequence[Batch], ours: Sequence[Pushed], theirs: Sequence[Pushed]) -> dict[str, list[Any]]:
    """The table: a line per response."""
    table: dict[str, list[Any]] = {}

    def add(name: str, values: Tensor | Sequence[Any]) -> None:
        table.setdefault(name, []).extend(values.tolist() if isinstance(values, Tensor) else values)

    for batch, a, b in zip(found, ours, theirs, strict=True):
        add("step", [one.step for one in batch.rollouts])
        add("group", batch.inputs.group_B)
        add("reward", batch.inputs.rewards_B)
        add("length", batch.inputs.response_mask_BT.sum(1))
        add("advantage", a.advantage_B)
        add("push", a.push_BT.sum(1))
        add("advantage_against", b.advantage_B)
        add("push_against", b.push_BT.sum(1))
        add("tokens_gated", a.gated_BT.sum(1))
    return table
