"""The section of the reward axis: who judges, what is judged, and how judgements become numbers. No torch."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain, count
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, one_of, positive
from unified_rl.config.reward_models import check_segmentation

#: Rewards that are added up of named parts.
SEVERAL = "several"
#: What the penalty for length is called among several rewards.
OVERLONG = "overlong"
CONTROLS = ("random", "format", "wrong", "majority")
#: Judges that know nothing but the right answer, and tell steps by what the policy makes of them: in completions of its own, or in
#: the other responses of a group that share their beginning.
STEP_VALUES, NODE_VALUES = "step_values", "node_values"
#: Those that look at all responses to a prompt.
COMPARING = frozenset({"majority", NODE_VALUES})
REWARD_SOURCES = ("none", "rule", "exact", STEP_VALUES, NODE_VALUES, "model", "mixture", SEVERAL, *CONTROLS)
MODEL_SOURCES = frozenset({"model", "mixture"})
#: Rewards of ours that can judge steps.
STEP_SOURCES = MODEL_SOURCES | {"exact", STEP_VALUES, NODE_VALUES}
SUPERVISIONS = ("none", "outcome", "process")
#: `reward.noise_by` of rates that change along the response's length.
LENGTH = "length"


def shifted_rate(rate: float, shift: float) -> float:
    """sigma(logit(rate) + shift): how `noise_slope` moves a judge's rate of error. A rate of 0 or 1 stays."""
    if rate in (0.0, 1.0):
        return rate
    odds = rate / (1 - rate)
    return 1 / (1 + math.exp(min(-shift, 700.0)) / odds)


def listed(rewards: Sequence[object]) -> dict[str, Any]:
    """Section reward of a list of rewards, each `SOURCE` or `SOURCE*WEIGHT`: their weighted sum, by the names of the functions.

    Raises:
        ConfigError: one that is no text, or none at all.
    """
    parts: dict[str, Any] = {}
    for one in rewards:
        if not isinstance(one, str) or not one:
            raise ConfigError(f"reward={list(rewards)!r:.80}: {one!r:.40} is no reward; name each as SOURCE or SOURCE*WEIGHT")
        source, star, times = one.rpartition("*")
        weight = _number(times) if star else None
        source, weight = (one, 1.0) if weight is None else (source.strip(), weight)
        parts[_free_name(source.rpartition(":")[2], parts)] = {"source": source, "weight": weight}
    if not parts:
        raise ConfigError("reward=[] lists no rewards; name at least one")
    return {"source": SEVERAL, "parts": parts}


def _free_name(name: str, taken: Collection[str]) -> str:
    """A name that no other reward has: `name`, else the first of name_2, name_3, ... that is free."""
    return next(one for one in chain([name], (f"{name}_{place}" for place in count(2))) if one not in taken)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass
class RewardPart:
    """One of several rewards: `reward.parts.NAME`.

    source: who judges, as `reward.source`. weight: of this part in their sum; of any sign. settings: other settings of section
        reward for this part alone, e.g. {correct: 2.0}.
    """

    source: str = "rule"
    weight: float = 1.0
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class RewardConfig:
    """The reward. `source` says who judges, `supervision` what is judged; they are independent.

    source: none | rule (final answer) | exact (final answer and every step, where the task can check steps) | step_values (what
        each step gains in the chance of the right answer, by completions of the policy) | node_values (the same by the group's
        responses that begin alike: of a tree search) | model (a reward model) | mixture (rule_weight x rule + (1 - rule_weight) x
        model) | several (the weighted sum of `parts`) | controls that know nothing of the right answer: random, format, wrong,
        majority (rewards/controls.py) | FILE.py:NAME (CONTRIBUTING.md).
    supervision: outcome (one reward per response) | process (one per step) | none.
    parts: of several rewards, by name: {NAME: {source: ..., weight: ..., settings: {...}}}.
    correct, incorrect: outcome reward of a right and of any other answer; also of right and wrong steps (rule, exact).
    completions: of source=step_values: samples from the beginning of each step (VinePPO's 9). segmentation: of step_values and
        node_values: where steps end: newline | step_n | task | token:ID (rewards/steps.py).
    overlong: soft overlong penalty (DAPO, Eq. 13): the last `overlong` tokens before the length limit cost up to 1; 0 = off.
    false_positive, false_negative: chance that a wrong answer or step is judged right, and a right one wrong (rule, exact; the
        same response is always judged alike). noise_seed: which ones.
    noise_unit: what errs together: response | answer (all with the same one) | problem. noise_by, noise_slope, noise_centre: the
        rates' log-odds change by noise_slope (x - noise_centre), x being the length in tokens (length), a number of the problem's
        info, such as steps, or 1 for a response of a form, as ends_in:7, and 0 for others; "" = they do not.
    loophole: a form in which a wrong answer is always accepted, as ends_in:7 (grading/forms.py; rule, exact).
    pattern: the form that source=format pays for. random_rate: the chance of source=random.
    correction: for a judge that errs (rewards/corrections.py): none | backward | forward. correction_rates: known (those set, for
        each response) | given | estimated (counted on responses of stage reward_samples, whose truth is looked up).
    assumed_false_positive, assumed_false_negative: the error rates that are given. audited: responses that rates are counted on.
    model_path: directory of a trained reward model; "" = the one that section reward_model describes, made where it is missing.
    output, reduction, form, temperature: how a reward model's logits become rewards (rewards/model.py has the formulas).
        output: probability | logit. reduction (of steps to one reward, under outcome supervision): min | product | last; "" = min
        for a process model, last for an outcome model. form (of step rewards, under process supervision): sum (the paper) | min
        (PURE), `temperature` being that of its softmax.
    members, pessimism, pessimism_scale: of an ensemble of reward models, which differ in the seed of their training: in the order
        of its data (from reward_model.seed on); how they are combined (rewards/ensembles.py): mean | minus_std | worst | soft;
        of probabilities the result is held between 1e-6 and 1 - 1e-6.
    rule_weight: the rule's share in a mixture.
    """

    source: str = "rule"
    supervision: str = "outcome"
    parts: dict[str, RewardPart] = field(default_factory=dict)
    correct: float = 1.0
    incorrect: float = 0.0
    completions: int = 9
    segmentation: str = "newline"
    overlong: int = 0
    false_positive: float = 0.0
    false_negative: float = 0.0
    noise_seed: int = 0
    noise_unit: str = "response"
    noise_by: str = ""
    noise_slope: float = 0.0
    noise_centre: float = 0.0
    loophole: str = ""
    pattern: str = ""
    random_rate: float = 0.5
    correction: str = "none"
    correction_rates: str = "known"
    assumed_false_positive: float = 0.0
    assumed_false_negative: float = 0.0
    audited: int = 256
    model_path: str = ""
    output: str = "probability"
    reduction: str = ""
    form: str = "sum"
    temperature: float = 0.1
    members: int = 1
    pessimism: str = "mean"
    pessimism_scale: float = 1.0
    rule_weight: float = 0.5

    def __post_init__(self) -> None:
        if ":" not in self.source:
            one_of("reward.source", self.source, REWARD_SOURCES)
        one_of("reward.supervision", self.supervision, SUPERVISIONS)
        at_least("reward.completions", self.completions, 1)
        check_segmentation("reward.segmentation", self.segmentation)
        at_least("reward.overlong", self.overlong, 0)
        between("reward.false_positive", self.false_positive, 0.0, 1.0)
        between("reward.false_negative", self.false_negative, 0.0, 1.0)
        one_of("reward.noise_unit", self.noise_unit, ("response", "answer", "problem"))
        between("reward.random_rate", self.random_rate, 0.0, 1.0)
        one_of("reward.correction", self.correction, ("none", "backward", "forward"))
        one_of("reward.correction_rates", self.correction_rates, ("known", "given", "estimated"))
        between("reward.assumed_false_positive", self.assumed_false_positive, 0.0, 1.0)
        between("reward.assumed_false_negative", self.assumed_false_negative, 0.0, 1.0)
        at_least("reward.audited", self.audited, 1)
        self._check_judge()
        one_of("reward.output", self.output, ("probability", "logit"))
        one_of("reward.reduction", self.reduction, ("", "min", "product", "last"))
        one_of("reward.form", self.form, ("sum", "min"))
        positive("reward.temperature", self.temperature)
        at_least("reward.members", self.members, 1)
        one_of("reward.pessimism", self.pessimism, ("mean", "minus_std", "worst", "soft"))
        positive("reward.pessimism_scale", self.pessimism_scale)
        if self.members > 1 and self.model_path:
            raise ConfigError(
                f"reward.members={self.members} models are made, but reward.model_path={self.model_path} is one; leave either out"
            )
        if self.members == 1 and self.pessimism != "mean":
            raise ConfigError(
                f"reward.pessimism={self.pessimism} is about several models that disagree; set reward.members to 2 or more"
            )
        between("reward.rule_weight", self.rule_weight, 0.0, 1.0)

    def _check_judge(self) -> None:
        """Refuse settings of noise and correction that mean nothing together."""
        if (self.noise_slope != 0) != bool(self.noise_by):
            raise ConfigError(
                f"reward.noise_by={self.noise_by!r} with reward.noise_slope={self.noise_slope:g}: rates change along "
                "something by a slope; set both or neither"
            )
        rates_set = self.false_positive > 0 or self.false_negative > 0
        if not rates_set and (self.noise_by or self.noise_unit != "response"):
            raise ConfigError(
                "reward.noise_unit and reward.noise_by say which judgements err, but none does; set reward.false_positive or "
                "reward.false_negative"
            )
        if (self.noisy or self.correction != "none") and self.correct == self.incorrect:
            raise ConfigError(
                f"reward.correct={self.correct:g} and reward.incorrect={self.incorrect:g} are the same, so that a judge has "
                "nothing to confuse and nothing to be corrected for; change one"
            )
        if self.source == "format" and not self.pattern:
            raise ConfigError(
                "reward.source=format pays for a form; set reward.pattern, for example reward.pattern=contains:####"
            )
        if self.correction == "none":
            return
        if self.correction_rates == "known" and self.loophole:
            raise ConfigError(
                f"reward.loophole={self.loophole} is accepted right or wrong, so that nothing corrects what a judge with known "
                "rates says of it; set reward.correction_rates=given or estimated"
            )
        given = {
            "known": (self.false_positive, self.false_negative),
            "given": (self.assumed_false_positive, self.assumed_false_negative),
            "estimated": (0.0, 0.0),
        }[self.correction_rates]
        if sum(given) >= 1:
            raise ConfigError(
                f"reward.correction={self.correction} of a judge with rates {given[0]:g} and {given[1]:g}: together they must be "
                "below 1, or it says nothing; lower them"
            )

    @property
    def noisy(self) -> bool:
        return self.false_positive > 0 or self.false_negative > 0 or bool(self.loophole)

    @property
    def audits(self) -> bool:
        """Whether rates are counted on responses of the initial policy before training."""
        return any(one.correction != "none" and one.correction_rates == "estimated" for one in self.judges.values())

    @property
    def corrected(self) -> bool:
        """Whether a reward is corrected for its judge's errors."""
        return any(one.correction != "none" for one in self.judges.values())

    @property
    def learned(self) -> bool:
        """Whether a reward model has a say."""
        return bool(self.models)

    @property
    def completed(self) -> list[RewardConfig]:
        """The judges that have the policy go on from where steps end."""
        return [one for one in self.judges.values() if one.source == STEP_VALUES]

    @property
    def made(self) -> bool:
        """Whether the reward model of section reward_model has a say, and not only models given by their paths."""
        return any(not one.model_path for one in self.models)

    @property
    def several(self) -> bool:
        """Whether each response has several rewards, by name."""
        return self.source in (SEVERAL, "mixture")

    @property
    def judges(self) -> dict[str, RewardConfig]:
        """The settings of each part by the name of its setting; of one reward its own.

        Raises:
            ConfigError: no parts at all, a part of parts, or a setting that is not known.
        """
        if self.source != SEVERAL:
            return {"reward": self}
        if not self.parts:
            raise ConfigError(
                "reward.source=several adds named rewards up, but reward.parts names none; set for example "
                "reward.parts.right.source=rule reward.parts.right.weight=1"
            )
        for name in self.parts:
            if not name or (name == OVERLONG and self.overlong):
                taken = f"reward.overlong={self.overlong} has it" if name else "it is empty"
                raise ConfigError(f"reward.parts has a part called {name!r}, but {taken}; give it a name of its own")
        return {f"reward.parts.{name}": self._judge(name, part) for name, part in self.parts.items()}

    @property
    def models(self) -> list[RewardConfig]:
        """The judges that are reward models."""
        return [one for one in self.judges.values() if one.source in MODEL_SOURCES]

    @property
    def num_models(self) -> int:
        """Reward models that a run keeps."""
        return sum(one.members for one in self.models)

    def with_model(self, path: str) -> RewardConfig:
        """The same with the reward model in `path` for every judge that is one."""
        if self.source != SEVERAL:
            return replace(self, model_path=path)
        parts = {
            name: replace(part, settings={**part.settings, "model_path": path}) if part.source in MODEL_SOURCES else part
            for name, part in self.parts.items()
        }
        return replace(self, parts=parts)

    def _judge(self, name: str, part: RewardPart) -> RewardConfig:
        where, known = f"reward.parts.{name}", [item.name for item in fields(self) if item.name not in ("source", "parts")]
        if part.source in (SEVERAL, "none"):
            raise ConfigError(f"{where}.source={part.source} is no single reward; name one of the others")
        for key in part.settings:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                meant = f"; did you mean {near[0]!r}?" if near else f"; choose one of: {', '.join(known)}"
                raise ConfigError(f"{where}.settings.{key} is not known{meant}")
        judges_steps = self.supervision == "process" and (part.source in STEP_SOURCES or ":" in part.source)
        settings = {key: _typed(value, key, f"{where}.settings.{key}") for key, value in part.settings.items()}
        try:
            return RewardConfig(source=part.source, **{"supervision": "process" if judges_steps else "outcome", **settings})
        except ConfigError as error:
            raise ConfigError(_of_part(str(error), where)) from error


def _typed(value: Any, key: str, where: str) -> Any:
    """A part's setting as section reward itself reads it. Raises ConfigError for a value of another type."""
    wanted = type(getattr(RewardConfig, key))
    if wanted is str and isinstance(value, str):  # nothing in it is interpolated
        return value
    try:
        return OmegaConf.select(OmegaConf.merge(OmegaConf.structured(RewardConfig), {key: value}), key)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}; give a {_KINDS[wanted]}") from error


_KINDS = {float: "number", int: "whole number", str: "text"}


def _of_part(message: str, where: str) -> str:
    """What is said of section reward, said of one of its parts: its source stands beside its settings."""
    return re.sub(r"\breward\.(?=[a-z_])", f"{where}.settings.", message).replace(f"{where}.settings.source", f"{where}.source")
