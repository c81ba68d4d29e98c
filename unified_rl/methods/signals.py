"""What the loop can supply to a coefficient beyond the rollout itself, and the model roles that it comes from. No torch.

A coefficient names the signals that it `needs`, and finds each in its `Inputs` under the signal's field. The loop runs one pass
for each role that is needed, the planner counts the role's memory, and `explain` says what it is: all read these two registries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from unified_rl.base.errors import ConfigError


@dataclass(frozen=True)
class Role:
    """A model that a run keeps.

    label: its name for people. words: config -> what it is, for `explain`.
    weights: of a frozen role: config -> its Hugging Face directory, "" = the policy that training starts from; None = trained.
    setting: of a frozen role without that default: how to say where its weights are.
    options: of a trained role beside the policy: the coefficient's options with its learning rate and its epochs per rollout.
    """

    name: str
    label: str
    words: Callable[[Any], str]
    weights: Callable[[Any], str] | None = None
    setting: str = ""
    options: tuple[str, ...] = ()

    @property
    def frozen(self) -> bool:
        return self.weights is not None


@dataclass(frozen=True)
class Signal:
    """One thing that coefficients may read, per response token (or, of a prompt, per response).

    field: where it is in `Inputs`. role: whose pass gives it, under the name `output`.
    when: once per "rollout", before its first update and without gradient; before each "update", of others than its own sequences
    (responses after prompts that are not theirs, `loop.mismatched`); or at every "micro_batch", as a side output of the pass
    that gives the policy's log-probs, detached; or, of the "prompt", what the run remembers from before this rollout (role "");
    or, of the "reward", what it says of each response by name (role ""); or, of the "source", what a group of it has beside its
    responses, the same for all of them (role "", the group's attribute `output`); or of "chance", drawn anew for each update
    (`loop.chance`, role ""). The hidden states of a frozen role whose signal is of the micro-batch enter the policy's pass: its
    distributions over the vocabulary, which nobody could keep for a rollout, are compared with the policy's.
    also: config -> whether the loop wants it even where the coefficient does not ask for it.
    words, spared: for `explain`: what it is, and what stands in its place where it is not needed; "" = the role's words say it all.
    options, passes: of the prompt: the coefficient's options that it is remembered by, and passes of the policy that it takes after
    each rollout's updates.
    """

    name: str
    field: str
    role: str
    output: str
    when: Literal["rollout", "update", "micro_batch", "prompt", "reward", "source", "chance"] = "rollout"
    also: Callable[[Any], bool] = lambda config: False
    words: tuple[str, str] = ("", "")
    spared: str = "not needed"
    options: tuple[str, ...] = ()
    passes: int = 0


ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role("policy", "policy", words=lambda config: "the trained policy"),
        Role(
            "value",
            "value model",
            words=lambda config: (
                "an adapter and a scalar head of its own on the policy's weights"
                if config.model.lora.rank
                else "a copy of the initial policy with a scalar head"
            ),
            options=("value_learning_rate", "value_epochs"),
        ),
        Role(
            "reference",
            "reference",
            words=lambda config: (
                config.reference
                or ("the policy, its adapter switched off" if config.model.lora.rank else "the initial policy, frozen")
            ),
            weights=lambda config: config.reference,
        ),
        Role(
            "teacher",
            "teacher",
            words=lambda config: config.teacher,
            weights=lambda config: config.teacher,
            setting="teacher=DIR",
        ),
    )
}
SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal(
            "old_logp",
            "old_logp_BT",
            "policy",
            "logp",
            also=lambda config: config.rollout.updates > 1,
            words=("old log-probs", "one pass before each rollout's updates"),
            spared="those of the only update",
        ),
        Signal("ref_logp", "ref_logp_BT", "reference", "logp"),
        Signal("teacher_logp", "teacher_logp_BT", "teacher", "logp"),
        Signal("values", "values_BT", "value", "value"),
        Signal("entropy", "entropy_BT", "policy", "entropy", when="micro_batch"),
        Signal("squared_probs", "squared_probs_BT", "policy", "squared_probs", when="micro_batch"),
        Signal("uniform_kl", "uniform_kl_BT", "policy", "uniform_kl", when="micro_batch"),
        Signal("reverse_kl", "reverse_kl_BT", "teacher", "reverse_kl", when="micro_batch"),
        Signal("forward_kl", "forward_kl_BT", "teacher", "forward_kl", when="micro_batch"),
        Signal("jsd", "jsd_BT", "teacher", "jsd", when="micro_batch"),
        Signal("mismatched_kl", "mismatched_kl_B", "reference", "mismatched_kl", when="update"),
        Signal("prompt_count", "prompt_count_B", "", "count", when="prompt"),
        Signal("prompt_mean", "prompt_mean_B", "", "mean", when="prompt"),
        Signal("prompt_std", "prompt_std_B", "", "std", when="prompt"),
        Signal(
            "tracked_value",
            "tracked_value_B",
            "",
            "value",
            when="prompt",
            options=("drift_half", "kept_least", "kept_most"),
            passes=2,
        ),
        Signal("reward_parts", "reward_parts_BK", "", "value", when="reward"),
        Signal("reward_weights", "reward_weights_BK", "", "weight", when="reward"),
        Signal("greedy_reward", "greedy_reward_B", "", "greedy_reward", when="source"),
        Signal("reference_rewards", "reference_rewards_BN", "", "reference_rewards", when="source"),
        Signal("chance", "chance_BT", "", "uniform", when="chance"),
    )
}
#: What a coefficient may need of its source rather than of the loop: pairs, groups, samples that a policy wrote,
#: demonstrations beside samples, or a tree.
OF_THE_SOURCE = frozenset({"pairs", "groups", "samples", "demonstrated", "tree"})


def per_rollout(needs: Iterable[str], config: Any) -> list[Signal]:
    """The signals to be computed before a rollout's first update."""
    return [one for one in SIGNALS.values() if one.when == "rollout" and (one.name in needs or one.also(config))]


def per_micro_batch(needs: Iterable[str]) -> list[Signal]:
    """The signals that come with the log-probs of each micro-batch."""
    return [one for one in SIGNALS.values() if one.when == "micro_batch" and one.name in needs]


def per_update(needs: Iterable[str]) -> list[Signal]:
    """The signals that need a pass of their own before each update."""
    return [one for one in SIGNALS.values() if one.when == "update" and one.name in needs]


def within_update(needs: Iterable[str]) -> list[Role]:
    """The frozen roles that read every micro-batch of an update along with the policy."""
    roles = dict.fromkeys(signal.role for signal in per_micro_batch(needs))
    return [ROLES[name] for name in roles if ROLES[name].frozen]


def per_prompt(needs: Iterable[str]) -> list[Signal]:
    """The signals that the run remembers from one rollout to the next."""
    return [one for one in SIGNALS.values() if one.when == "prompt" and one.name in needs]


def of_reward(needs: Iterable[str]) -> list[Signal]:
    """The signals that only a reward of several named parts has."""
    return [one for one in SIGNALS.values() if one.when == "reward" and one.name in needs]


def of_source(needs: Iterable[str]) -> list[Signal]:
    """The signals that a source has beside the responses to a prompt."""
    return [one for one in SIGNALS.values() if one.when == "source" and one.name in needs]


def of_chance(needs: Iterable[str]) -> list[Signal]:
    """The signals that are drawn anew for each update."""
    return [one for one in SIGNALS.values() if one.when == "chance" and one.name in needs]


def passes(needs: Iterable[str], config: Any) -> list[str]:
    """The roles whose pass over the rollout is run before its first update, each once."""
    return list(dict.fromkeys(signal.role for signal in per_rollout(needs, config)))


def beside_policy(needs: Iterable[str]) -> list[Role]:
    """The models that a run keeps beside the policy, in the order of the registry."""
    wanted = {signal.role for signal in SIGNALS.values() if signal.name in needs}
    return [role for role in ROLES.values() if role.name in wanted and (role.frozen or role.options)]


def check_needs(needs: Mapping[str, Iterable[str]], coefficient: Any, config: Any) -> None:
    """Raise ConfigError for a need that nothing supplies, or a role that the configuration leaves without weights or options.

    needs: who -> what it needs.
    """
    for who, names in needs.items():
        _check_needs_of(who, names, coefficient, config)
    wanted = {name for names in needs.values() for name in names}
    used, along = beside_policy(wanted), within_update(wanted)
    if len(along) > 1:  # the head's pass compares two distributions
        raise ConfigError(
            f"{' and '.join(needs)} compare the policy's distributions with those of {' and '.join(role.name for role in along)}; "
            "leave out all but one of them, or read the log-probs of the others"
        )
    for role in ROLES.values():
        if role.weights is not None and role.setting and role.weights(config) and role not in used:
            raise ConfigError(
                f"coefficient={coefficient.name} has no use for a {role.label}, but {role.name}={role.weights(config)}; leave it "
                "out"
            )


def _check_needs_of(who: str, needs: Iterable[str], coefficient: Any, config: Any) -> None:
    for name in needs:
        if name not in SIGNALS and name not in OF_THE_SOURCE:
            known = ", ".join([*SIGNALS, *OF_THE_SOURCE])
            raise ConfigError(
                f"{who} needs {name!r}, which nothing supplies; set its `needs` to some of {known}{_nearest(name)}"
            )
    for one in per_prompt(needs):
        if without := [option for option in one.options if not hasattr(coefficient, option)]:
            raise ConfigError(
                f"{who} needs {one.name}, but has no option {' nor '.join(without)}, by which it is remembered; set them as "
                "fields of its dataclass (see `SingleStream` in unified_rl/methods/beyond.py)"
            )
    for role in beside_policy(needs):
        missing = [option for option in role.options if not hasattr(coefficient, option)]
        if missing:
            raise ConfigError(
                f"{who} needs a {role.label}, but has no option {' nor '.join(missing)} for its companion update; set them as "
                "fields of its dataclass (see `Ppo` in unified_rl/methods/critic.py)"
            )
        if role.weights is not None and role.setting and not role.weights(config):
            raise ConfigError(f"{who} needs a {role.label}, whose weights are not the policy's own; set {role.setting}")


def _nearest(name: str) -> str:
    """The end of a message about a name that nothing supplies: the one that was probably meant."""
    near = get_close_matches(name, [*SIGNALS, *OF_THE_SOURCE], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
