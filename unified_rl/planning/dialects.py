"""What a dialect sets otherwise than the paper, and what each setting does to the gradient, in words. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import sqrt
from typing import Any

from unified_rl.config.schema import Config
from unified_rl.presets import loading
from unified_rl.presets.dialects import DIALECTS, PAPER

SECTIONS = ("coefficient", "aggregation", "importance", "rollout")
_ABSENT = object()
_OFF_POLICY = "nothing at the first update of a rollout, where pi = pi_old; after it "


def differences(config: Config) -> dict[str, tuple[Any, Any, str]]:
    """Setting -> (the paper's, the dialect's, what that does to the gradient); {} for the paper's own dialect."""
    if config.dialect == PAPER:
        return {}
    start = [f"method={config.method}", f"stack={config.stack}"]
    papers, theirs = (_flat(loading.compose([*start, f"dialect={name}"])) for name in (PAPER, config.dialect))
    found = {}
    for key in dict.fromkeys([*papers, *theirs]):
        a, b = papers.get(key), theirs.get(key)
        if a != b and key in theirs:  # what only the paper's coefficient has is gone with its name
            found[key] = (a, b, _effect(key, b, config))
    return found


def lines(config: Config) -> dict[str, str]:
    """The same as text, for `explain`: setting -> from, to and effect."""
    if config.dialect == PAPER:
        return {}
    dialect = DIALECTS[config.dialect]
    found = {f"{dialect.project} {dialect.version}": f"its code's defaults for method={config.method}, recipes apart"}
    here = _flat(config)
    for key, (papers, theirs, effect) in differences(config).items():
        change = f"{_word(papers)} -> {_word(theirs)}"
        found[key] = (
            f"{change}: {effect}" if here.get(key, _ABSENT) == theirs else f"{change} by default; {_instead(key, here)}"
        )
    if dialect.beside:
        found["beside"] = "; ".join(dialect.beside)
    return found


def _instead(key: str, here: Mapping[str, Any]) -> str:
    """What a run has that does not follow its dialect in a setting."""
    return f"here {_word(here[key])}" if key in here else f"not here: no option of coefficient={here['coefficient.name']}"


def _flat(config: Config) -> dict[str, Any]:
    return {f"{section}.{key}": value for section in SECTIONS for key, value in asdict(getattr(config, section)).items()}


def _word(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _effect(key: str, value: Any, config: Config) -> str:
    effect = EFFECTS.get((key, value)) or EFFECTS.get((key, None))
    if effect is None:
        return _OFF_POLICY + "it counts"
    return effect(value, config.rollout.responses_per_prompt) if callable(effect) else effect


def _minibatches(value: int, group: int) -> str:
    return f"{value} updates per rollout: the ratio leaves 1 after the first, and clip, gate and staleness begin to count"


#: (setting, value; None = any) -> what it does, in words or by (value, responses to a prompt).
EFFECTS: Mapping[tuple[str, Any], str | Callable[[Any, int], str]] = {
    ("aggregation.name", "batch_token_mean"): "every token of the batch weighs the same, so a response's share grows with its "
    "length; under 1/|o| it did not, and a token of a short response weighed more",
    ("aggregation.length", None): lambda value, group: (
        f"sums over tokens divided by {value}: a constant factor, which Adam does not see"
    ),
    ("coefficient.std", "sample"): lambda value, group: (
        f"advantages x sqrt(1 - 1/{group}) = {sqrt(1 - 1 / group):.3f}: a "
        "constant, which Adam does not see but for its epsilon, unless another term stands beside"
    ),
    (
        "coefficient.std",
        "none",
    ): "a prompt's weight on grad p no longer grows as 1/sqrt(p (1 - p)): hard and easy prompts weigh as the middling ones",
    (
        "coefficient.std",
        "leave_one_out",
    ): "the only right (or only wrong) response of a group is divided by nothing, the others by "
    "a std that its own reward does not enter: no constant factor of the paper's",
    ("coefficient.flat", "undivided"): "the only right response of a group, whose others agree, keeps r - mean in place of 0",
    ("coefficient.baseline", "leave_one_out"): lambda value, group: (
        f"r - mean x {group}/{group - 1}: a constant factor; without a std it makes the expectation exactly grad p"
    ),
    ("coefficient.std_epsilon", None): lambda value, group: (
        f"shrinks advantages by at most {value / sqrt(1 / group):.0e} of themselves with rewards of 0 and 1"
    ),
    ("coefficient.lone", "reward"): "a group of one pushes with its reward; nothing where a prompt has several responses",
    ("coefficient.kl_coef", 0.0): "nothing pulls towards the reference",
    ("coefficient.kl_coef", None): lambda value, group: f"the pull towards the reference has weight {value:g}",
    (
        "coefficient.kl_in",
        "reward_to_go",
    ): "the pull is in the advantages: a token answers for its own and later log-ratios, which "
    "follows the reverse KL of the sequence; clip and ratio apply to it",
    ("coefficient.kl_estimator", "k1"): "in a reward: log(pi_old/pi_ref), of the rollout's own policy",
    (
        "coefficient.kl_estimator",
        "full_k3",
    ): "follows the reverse KL(pi || pi_ref), where k3 as the paper differentiates it follows the forward KL",
    ("coefficient.name", "dppo"): "in place of the clip a mask where pi - pi_old has moved too far; at pi = pi_old none",
    ("coefficient.divergence", None): "of that mask",
    ("coefficient.bound_low", None): "of that mask",
    ("coefficient.bound_high", None): "of that mask",
    ("coefficient.cap", None): "limits the ratio",
    (
        "coefficient.squared_drift",
        None,
    ): "pulls back to the sampler's policy by the square of log(pi/pi_sampler); 0 where they agree",
    ("coefficient.clip_high", None): _OFF_POLICY + "rising tokens have more room",
    ("coefficient.dual_clip", None): _OFF_POLICY + "a token of negative advantage whose ratio exceeds it gets no gradient",
    ("coefficient.ratio", None): _OFF_POLICY + "every token is weighed by it",
    ("coefficient.trace_decay", 1): "advantages are returns minus V, without GAE's smoothing: less bias of V, more variance",
    (
        "coefficient.whitening",
        None,
    ): "advantages are centred and scaled over the batch's tokens: a baseline and a scale that depend on the batch",
    ("coefficient.value_clip", None): "of the value model's loss alone",
    (
        "coefficient.form",
        "length_averaged",
    ): "margins of mean log-ratios (Eq. 12) in place of sums: long responses no longer have large margins",
    ("coefficient.beta", None): lambda value, group: f"margins are {value:g} times the log-ratios",
    ("importance.name", "bypass"): "ratios are taken to the sampler's own log-probs; nothing where sampler and trainer agree",
    (
        "importance.name",
        "truncated",
    ): "terms x min(pi_old/pi_sampler, cap), the KL apart; nothing where sampler and trainer agree",
    ("importance.cap", None): "of that factor",
    ("rollout.minibatches", None): _minibatches,
}
