"""What a coefficient is: its class, what it reads, and a row of the table. No torch: the maths in `ops` is loaded when it is used.

To add one, inherit `Coefficient` in a dataclass, and name it by path (`coefficient=my_file.py:MyCoefficient`), or put it into the
file of its family here, with a row where it is a method of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from unified_rl import ops

if TYPE_CHECKING:
    from torch import Tensor

    from unified_rl.ops.terms import Terms


@dataclass(frozen=True)
class Inputs:
    """A rollout as tensors, one row per response, padded anywhere; the mask says which tokens are the response's.

    response_mask_BT: bool. group_B: int64, equal for responses to one prompt (and for the two rows of a pair).
    rewards_B: outcome rewards (with any length penalty). correct_B: 1 where the answer was judged right. truncated_B: bool.
    step_rewards_BT, step_ends_BT: under process supervision. chosen_B: bool, for pairs.
    behaviour_logp_BT: log-probs under the sampler; NaN where nobody knows them (demonstrations).
    old_logp_BT: log-probs before the rollout's first update. None while there is only that one update: then old = current.
    demonstrated_B: bool, for texts that no policy wrote. part_B: int64; responses of different parts are averaged apart, each over
    its own (where `prepare` says so).
    ref_logp_BT, values_BT: where the coefficient needs them. advantages_BT, returns_BT: what `prepare` adds.
    more: any other signal by its field (`methods.signals`), which is read as an attribute: `inputs.entropy_BT`.
    """

    response_mask_BT: Tensor
    group_B: Tensor
    rewards_B: Tensor
    correct_B: Tensor
    truncated_B: Tensor
    behaviour_logp_BT: Tensor
    step_rewards_BT: Tensor | None = None
    step_ends_BT: Tensor | None = None
    chosen_B: Tensor | None = None
    demonstrated_B: Tensor | None = None
    part_B: Tensor | None = None
    old_logp_BT: Tensor | None = None
    ref_logp_BT: Tensor | None = None
    values_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    returns_BT: Tensor | None = None
    more: Mapping[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Tensor:
        more = self.__dict__.get("more", {})
        if name not in more:
            raise AttributeError(f"inputs have no {name!r}; a coefficient names the signals that it reads in its `needs`")
        return more[name]

    def adding(self, signals: Mapping[str, Tensor]) -> Inputs:
        """With these signals, each under its field."""
        own = {name: value for name, value in signals.items() if name in _FIELDS}
        return replace(self, **own, more={**self.more, **{name: signals[name] for name in signals if name not in own}})

    def rows(self, index: Tensor) -> Inputs:
        """The same facts for some of the rows, in the order of `index`."""
        return self._each(lambda name, value: value[index])

    def first_tokens(self, count: int) -> Inputs:
        """The same facts for the first `count` columns only (the rest is padding)."""
        return self._each(lambda name, value: value[:, :count] if name.endswith("_BT") else value)

    def _each(self, change: Callable[[str, Tensor], Tensor]) -> Inputs:
        own = {name: getattr(self, name) for name in _FIELDS}
        changed: dict[str, Any] = {name: None if value is None else change(name, value) for name, value in own.items()}
        return Inputs(**changed, more={name: change(name, value) for name, value in self.more.items()})

    def old_or(self, logp_BT: Tensor) -> Tensor:
        """old_logp, or the current log-probs where this is the rollout's only update."""
        return logp_BT if self.old_logp_BT is None else self.old_logp_BT


_FIELDS = tuple(item.name for item in fields(Inputs) if item.name != "more")


@dataclass
class Coefficient:
    """A gradient coefficient: options (dataclass fields), what it is (class attributes), and two functions of tensors.

    unit      what has to stay together in a micro-batch: "token", "sequence", "pair", "group", or "batch" (the whole update's
              log-probs are computed first, without gradient)
    needs     inputs beyond the rollout itself: signals (`methods/signals.py`: "ref_logp", "old_logp", "values", "entropy" ...), and
              of the source "pairs", "groups", "samples" (of a policy, and not texts that somebody else wrote) or
              "demonstrated" (both, in one group), or "tree" (that share beginnings)
    supervisions         of the reward, for which it is defined
    corrects_staleness   whether it carries an importance weight, so that several updates per rollout follow the right gradient
    contains_weights     whether it is already multiplied by the aggregation weight (derived from a whole objective)
    constant             whether it is the same for every response, whatever its reward and its probability
    any_sampler          whether it only raises or lowers the likelihood of the texts it is given, and so means something whoever
                         chose them; the others estimate an expectation over samples of a policy, and need its whole support
    by_losses            whether it has no term, so that the losses beside it are all there is
    reads_reward         whether it reads what the reward is worth, and not only which responses it accepts
    own_rewards          of several rewards, those that it means where the configuration names none: name -> source
    formula, equation    for the table: GC in words, and where it is from
    """

    name: str
    unit: ClassVar[str] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome"})
    corrects_staleness: ClassVar[bool] = False
    contains_weights: ClassVar[bool] = False
    constant: ClassVar[bool] = False
    any_sampler: ClassVar[bool] = False
    by_losses: ClassVar[bool] = False
    reads_reward: ClassVar[bool] = True
    own_rewards: ClassVar[Mapping[str, str]] = {}
    formula: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    def describe(self, supervision: str) -> str:
        """The formula with these options in it, where they change it."""
        return self.formula

    def prepare(self, inputs: Inputs) -> Inputs:
        """Once per rollout, over whole groups: add what stays fixed over its updates (advantages, returns)."""
        return inputs

    def terms(self, logp_BT: Tensor, inputs: Inputs) -> Terms:
        """The named terms of GC at the current (detached) log-probs. Rows arrive in whole `unit`s."""
        raise NotImplementedError(f"{type(self).__name__} must define terms(logp_BT, inputs)")


@dataclass(frozen=True)
class Method:
    """One row of the table.

    source: where (q, o) come from (sources.registry.SOURCES). reward: who judges (config.rewards.REWARD_SOURCES). supervision:
    "none", "outcome" or "process". coefficient: a coefficient's name, or FILE.py:CLASS. label: how figures and tables call it.
    aggregation: how token gradients are averaged. settings: whatever else the method sets, by section.
    equation: where the row is from, if not from where its coefficient is.
    """

    source: str
    reward: str
    supervision: str
    coefficient: str
    label: str
    aggregation: str = "sequence_mean"
    settings: Mapping[str, Any] = field(default_factory=dict)
    equation: str = ""


def given(value: Tensor | None) -> Tensor:
    """An input that is there because the coefficient declares it."""
    assert value is not None, "an input that the coefficient declares in `needs` was not provided"
    return value


def token_rewards(inputs: Inputs) -> Tensor:
    """Rewards per token: at step ends under process supervision, else the outcome at the last token."""
    if inputs.step_ends_BT is None:
        return ops.advantages.at_last_token(inputs.rewards_B, inputs.response_mask_BT)
    return given(inputs.step_rewards_BT) * inputs.step_ends_BT


def with_advantages(inputs: Inputs, advantages_B: Tensor) -> Inputs:
    """The inputs with one advantage per response, on each of its tokens."""
    return replace(inputs, advantages_BT=ops.advantages.to_tokens(advantages_B, inputs.response_mask_BT))
