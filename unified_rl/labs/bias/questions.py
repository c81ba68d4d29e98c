"""The questions of the bias laboratory, a table each: (panel, label, x, value) or, of all rows, a line per row and objective.

A batch is one prompt's samples. Rows whose token mean ranges over the batch are measured in the limit of many prompts, in which its
denominator is a constant; what it is with one prompt is the prompt's token mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from math import comb

import pandas as pd
import torch
from torch import Tensor

from unified_rl.config.schema import Config
from unified_rl.labs.bias.expectation import (
    Gradient,
    Sampled,
    Situation,
    expected,
    informative,
    inputs_of,
    multisets,
    responses_of,
    right_wrong_pairs,
)
from unified_rl.labs.bias.world import (
    filtered,
    gradient_of,
    gradients,
    random_logits,
    reverse_kl,
    token_kl,
    with_success,
    world,
)
from unified_rl.labs.conformance import of_logp
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.methods.base import Inputs
from unified_rl.presets.dialects import DIALECTS, PAPER
from unified_rl.presets.loading import compose
from unified_rl.sources.declaration import Writer
from unified_rl.sources.informative import DECLARATION as filtered_samples
from unified_rl.sources.registry import SOURCES

GROUP, SUCCESS, KL_COEF = 4, 0.3, 0.04
SUCCESSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99)
STALENESS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
#: Unbiased on policy, so that what a situation does to them is all that is seen: no std, the others' mean, sums over tokens.
PLAIN = "coefficient.baseline=leave_one_out coefficient.std=none aggregation=constant_length aggregation.length=1"
COLUMNS = ("panel", "label", "x", "value")
#: Objectives beyond the expected reward that rows claim, by the row or its coefficient.
CLAIMS = {
    **dict.fromkeys(("sft", "dft"), "likelihood"),
    **dict.fromkeys(("opd", "minillm"), "-KL to teacher"),
    "max_rl": "log p",
    **dict.fromkeys(("best_of_group", "pass_at_k", "pkpo"), "Pass@4"),
}
SUPPLIED = frozenset(
    {"groups", "samples", "pairs", "old_logp", "ref_logp", "teacher_logp", "values", "entropy", "squared_probs"}
)
Row = tuple[str, str, float, float]


@cache
def situation(p: float = SUCCESS, longest: int = 3, staleness: float = 0.0, away: float = 0.3) -> Situation:
    """A policy of success p, a reference `away` from it, and an older policy `staleness` from it, which is the sampler."""
    given = world(longest)
    policy = with_success(given, random_logits(given, 0), p)
    old = policy + staleness * random_logits(given, 3)
    reference = policy + away * random_logits(given, 1)
    return Situation(given, policy, old, old, reference, random_logits(given, 2))


def cosine(a: Tensor, b: Tensor) -> float:
    """Of two gradients; 0 where one of them is 0."""
    size = float(a.norm() * b.norm())
    return float(a @ b) / size if size > 1e-15 else 0.0


def measure(words: Sequence[str], around: Situation, group: int = GROUP) -> Gradient:
    """A configuration's expected gradient, on the samples that its source would yield."""
    config = many_prompts(compose(words), around)
    return expected(config, around, sampled(config, around, group))


def many_prompts(config: Config, around: Situation) -> Config:
    """The configuration with the batch's token mean as it is for many prompts: sums over tokens over the mean length."""
    if config.aggregation.name != "batch_token_mean":
        return config
    expected_length = float(around.world.probability(around.sampler) @ around.world.lengths_R.double())
    return replace(config, aggregation=replace(config.aggregation, name="constant_length", length=expected_length))  # type: ignore[arg-type]


def sampled(config: Config, around: Situation, group: int) -> Sampled:
    """Everything that the source of a configuration can yield for one prompt, with its probability."""
    source, needs = SOURCES[config.source.name], config.coefficient.needs
    if "pairs" in needs:
        return right_wrong_pairs(responses_of(around, around.reference), around.world.right_R)
    if not source.provides.sampled:  # the teacher demonstrates
        return multisets(responses_of(around, around.teacher), 1)
    wrote = around.reference if source.provides.writer is Writer.FROZEN else around.sampler
    found = multisets(responses_of(around, wrote), group)
    return informative(found, around.world.right_R) if source == filtered_samples else found


def measurable() -> list[str]:
    """The rows that read nothing which the problem lacks (it has one reward, no history of prompts, no text)."""
    return [name for name, row in METHODS.items() if COEFFICIENTS[row.coefficient].needs <= SUPPLIED]


def row_words(method: str) -> list[str]:
    """A row of the table as it comes."""
    return [f"method={method}", *(["teacher=TEACHER"] if "opd" in METHODS[method].coefficient else [])]


def rows(methods: Sequence[str]) -> pd.DataFrame:
    """Every row, on policy: the cosine of its expected gradient with each objective's, its scale on grad p, and its noise."""
    around = situation()
    targets = gradients(around.world, around.policy, around.reference, around.teacher, KL_COEF)
    found = []
    for method in methods:
        got = measure(row_words(method), around)
        config = compose(row_words(method))
        for objective, target in targets.items():
            found.append(
                {
                    "method": method,
                    "label": METHODS[method].label,
                    "claims": claim(method, config),
                    "objective": objective,
                    "cosine": cosine(got.mean, target),
                    "scale": float(got.mean @ target / (target @ target)),
                    "noise": got.noise,
                    "groups": got.groups,
                }
            )
    return pd.DataFrame(found)


def claim(method: str, config: Config) -> str:
    """The objective that a row claims: by its name, by its KL, or the expected reward."""
    if "pairs" in config.coefficient.needs:
        return "none of these"
    default = "reward - KL" if getattr(config.coefficient, "kl_coef", 0) else "expected reward"
    return CLAIMS.get(method, default)


def weight_on_grad_p(config: Config, p: float, group: int) -> float:
    """w(p) in E[gradient] = w(p) grad p of an advantage that depends on rewards alone: a sum over the number of right ones.

    A right response pushes along grad p / p, a wrong one along -grad p / (1 - p); k of the G are right with binomial probability.
    """
    total = 0.0
    for right in range(group + 1):
        advantage_G = _advantages(config, group, right)
        towards = sum(advantage_G[:right]) / p - sum(advantage_G[right:]) / (1 - p)
        total += comb(group, right) * p**right * (1 - p) ** (group - right) * towards / group
    return total


def _advantages(config: Config, group: int, right: int) -> list[float]:
    ones, rewards = torch.ones(group, dtype=torch.float64), torch.zeros(group, dtype=torch.float64)
    rewards[:right] = 1
    zeros_BT = torch.zeros(group, 1, dtype=torch.float64)
    mask_BT = ones[:, None].bool()
    inputs = Inputs(mask_BT, torch.zeros(group).long(), rewards, rewards, ~mask_BT[:, 0], zeros_BT)
    prepared = config.coefficient.prepare(inputs)
    terms = config.coefficient.terms(zeros_BT, replace(prepared, old_logp_BT=zeros_BT, ref_logp_BT=zeros_BT))
    return list(terms["advantage"].value().expand(group, 1)[:, 0].tolist())


WEIGHTS = {
    "GRPO": ("method=grpo",),
    "Dr. GRPO": ("method=dr_grpo",),
    "RLOO": ("method=rloo", "coefficient.kl_coef=0"),
    "MaxRL": ("method=max_rl",),
    "NeMo-RL's GRPO": ("method=grpo", "dialect=nemo_rl"),
    "NSR": ("method=nsr",),
}
LIMITS: Mapping[str, Callable[[float], float]] = {"GRPO": lambda p: (p * (1 - p)) ** -0.5, "MaxRL": lambda p: 1 / p}


def weight() -> Iterator[Row]:
    """The weight on grad p by success rate, for groups of 4, 8 and 64, and in the limit."""
    for label, words in WEIGHTS.items():
        config = compose(words)
        for group in (4, 8, 64):
            for p in SUCCESSES:
                yield label, f"G = {group}", p, weight_on_grad_p(config, p, group)
        if label in LIMITS:
            for p in SUCCESSES:
                yield label, "limit", p, LIMITS[label](p)


def length() -> Iterator[Row]:
    """The mean push of right and of wrong responses by length, over that under constant_length: 1 where lengths weigh nothing."""
    for label in ("sequence_mean", "prompt_token_mean", "constant_length"):
        yield from _pushes(label, situation(), GROUP)


def _pushes(label: str, around: Situation, group: int) -> Iterator[Row]:
    pushed, plain = (
        _push_of_responses(compose(["method=dr_grpo", f"aggregation={name}"]), around, group)
        for name in (label, "constant_length")
    )
    ratio, given = pushed / plain, around.world
    probability_R = given.probability(around.policy)
    middle = float((probability_R @ ratio) / probability_R.sum())
    for verdict, which in (("right", given.right_R), ("wrong", ~given.right_R)):
        for size in sorted({int(n) for n in given.lengths_R[which]}):
            chosen = which & (given.lengths_R == size)
            mean = float(probability_R[chosen] @ ratio[chosen] / probability_R[chosen].sum())
            yield verdict, label, size, mean / middle


def _push_of_responses(config: Config, around: Situation, group: int) -> Tensor:
    """E of the coefficient times weight on a token of each response, given that it is in the group. [R]."""
    every = multisets(responses_of(around, around.sampler), group)
    found, seen = (torch.zeros(len(around.world.names), dtype=torch.float64) for _ in range(2))
    inputs, logp_BT = inputs_of(around, every.rows_MG)
    ascent_B = -len(every.rows_MG) * of_logp(config, inputs, logp_BT)[:, 0]
    weight_B = every.probability_M.repeat_interleave(group)
    found.index_add_(0, every.rows_MG.flatten(), weight_B * ascent_B)
    seen.index_add_(0, every.rows_MG.flatten(), weight_B)
    return found / seen


def aggregation() -> Iterator[Row]:
    """1 - cosine with grad p by success rate, of each aggregation with and without a std."""
    for p in (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9):
        around = situation(p)
        target = gradient_of(around.world.success, around.policy)
        for panel, std in (("no std", "none"), ("std", "population")):
            for name in ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length"):
                words = ["method=grpo", "coefficient.kl_coef=0", f"coefficient.std={std}", f"aggregation={name}"]
                yield panel, name, p, 1 - cosine(measure(words, around).mean, target)


KL_IN_LOSS = ("k1", "k2", "k3", "abs", "weighted_k1", "weighted_k3", "full_k3")


def kl() -> Iterator[Row]:
    """The cosine of each KL term's expected gradient with those of the two KLs, on policy, by the distance from the reference."""
    start = "method=grpo coefficient.kl_coef=1 aggregation=constant_length coefficient.kl_estimator="
    lines = {f"{name} in the loss": f"{start}{name}" for name in KL_IN_LOSS}
    lines["k1 in the reward, to go"] = f"{start}k1 coefficient.kl_in=reward_to_go"
    for away in (0.1, 0.3, 0.6, 1.0, 1.5):
        around = situation(away=away)
        targets = kl_targets(around)
        for label, words in lines.items():
            got = kl_alone(words.split(), around)
            for panel, target in targets.items():
                yield panel, label, away, cosine(got.mean, target)


def kl_targets(around: Situation) -> dict[str, Tensor]:
    """What a KL term may follow: minus the gradient of the sequence's reverse KL, and of the visited states' KLs."""
    given, other = around.world, around.reference
    return {
        "reverse KL of the response": -gradient_of(lambda logits: reverse_kl(given, logits, other), around.policy),
        "reverse KL of visited states": -gradient_of(
            lambda logits: token_kl(given, logits, other, "reverse", around.policy), around.policy
        ),
        "forward KL of visited states": -gradient_of(
            lambda logits: token_kl(given, logits, other, "forward", around.policy), around.policy
        ),
    }


def kl_alone(words: Sequence[str], around: Situation) -> Gradient:
    """A configuration's gradient where all rewards are 0."""
    silent = replace(around, reward_R=torch.zeros(len(around.world.names), dtype=torch.float64))
    return expected(compose(words), silent, multisets(responses_of(silent, silent.sampler), 2))


STALE = {
    "no ratio": "method=grpo coefficient.ratio=none",
    "token ratio, no clip": "method=reinforce coefficient.ratio=token",
    "token ratio, clip 0.2": "method=grpo",
    "product, no clip": "method=reinforce coefficient.ratio=product",
    "GSPO": "method=gspo",
    "CISPO": "method=cispo coefficient.clip_high=0.28",
    "DPPO": "method=dppo_tv",
}


def staleness() -> Iterator[Row]:
    """How far the expected gradient is from grad p (relative), and the noise, by the sampler's distance from the policy."""
    yield from _against(STALE, [(size, situation(staleness=size)) for size in STALENESS])


def _against(configurations: Mapping[str, str], situations: Sequence[tuple[float, Situation]]) -> Iterator[Row]:
    for x, around in situations:
        target = gradient_of(around.world.success, around.policy)
        for label, words in configurations.items():
            plain = [*words.split(), *PLAIN.split()]
            got = measure([*plain, *(["coefficient.kl_coef=0"] if "kl_coef" in _options(words) else [])], around)
            yield "bias / |grad p|", label, x, float((got.mean - target).norm() / target.norm())
            yield "noise", label, x, got.noise


def _options(words: str) -> set[str]:
    return set(vars(compose(words.split()).coefficient))


CORRECTIONS = {
    "none": "importance=none",
    "token, cap 2": "importance=truncated importance.cap=2",
    "sequence, cap 2": "importance=truncated importance.level=sequence importance.cap=2",
    "sequence, mask 0.5 to 2": "importance=masked importance.level=sequence",
    "sequence, plain": "importance=plain importance.level=sequence",
    "ratio to the sampler, clip 0.2": "importance=bypass",
}


def temperature() -> Iterator[Row]:
    """The same by the temperature of the sampler, while the trainer's log-probs are of temperature 1."""
    yield from _mismatched(
        [(value, filtered(situation().policy, temperature=value)) for value in (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)]
    )


def top_p() -> Iterator[Row]:
    """The same by top_p of the sampler, which leaves out what no weight can bring back."""
    yield from _mismatched([(value, filtered(situation().policy, top_p=value)) for value in (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)])


def _mismatched(samplers: Sequence[tuple[float, Tensor]]) -> Iterator[Row]:
    words = {label: f"method=grpo {correction}" for label, correction in CORRECTIONS.items()}
    yield from _against(words, [(x, replace(situation(), sampler=logits)) for x, logits in samplers])


def truncation() -> Iterator[Row]:
    """1 - cosine with grad p, of each treatment of truncated responses, by their share."""
    given = world(2)
    for shift in (-2.0, -1.0, 0.0, 1.0, 2.0):
        logits = random_logits(given, 0)
        logits[:, -1] += shift
        around = replace(situation(longest=2), policy=logits, old=logits, sampler=logits)
        share = float(given.probability(logits)[given.truncated_R].sum())
        target = gradient_of(given.success, logits)
        for treatment in ("keep", "drop", "leave_out"):
            words = ["method=dr_grpo", f"aggregation.truncated={treatment}"]
            yield "Dr. GRPO", treatment, share, 1 - cosine(measure(words, around).mean, target)


def group_size() -> Iterator[Row]:
    """1 - cosine with grad p, and noise for equally many responses, by group size."""
    around = situation(longest=2)
    target = gradient_of(around.world.success, around.policy)
    labels = {"GRPO": "grpo", "Dr. GRPO": "dr_grpo", "RLOO": "rloo", "MaxRL": "max_rl", "REINFORCE": "reinforce", "OPO": "opo"}
    for size in (2, 3, 4, 6, 8):
        for label, method in labels.items():
            got = measure([f"method={method}"], around, size)
            yield "1 - cosine with grad p", label, size, 1 - cosine(got.mean, target)
            yield "noise of equally many responses", label, size, got.noise * size


def dialects() -> Iterator[Row]:
    """Each dialect's GRPO: cosines with grad p and with the paper's, by the old policy's distance; and its scale and noise."""
    for size in STALENESS:
        around = situation(staleness=size)
        target = gradient_of(around.world.success, around.policy)
        got = {name: measure(["method=grpo", f"dialect={name}"], around) for name in (PAPER, *DIALECTS)}
        for name, one in got.items():
            label = DIALECTS[name].project if name in DIALECTS else "Paper"
            yield "1 - cosine with grad p", label, size, 1 - cosine(one.mean, target)
            yield "1 - cosine with the paper's", label, size, 1 - cosine(one.mean, got[PAPER].mean)
            yield "length / the paper's", label, size, float(one.mean.norm() / got[PAPER].mean.norm())
            yield "noise", label, size, one.noise


QUESTIONS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "weight": weight,
    "group_size": group_size,
    "length": length,
    "aggregation": aggregation,
    "kl": kl,
    "staleness": staleness,
    "temperature": temperature,
    "top_p": top_p,
    "truncation": truncation,
    "dialects": dialects,
}


def table(question: str) -> pd.DataFrame:
    """A question's table: panel, label, x, value."""
    return pd.DataFrame(list(QUESTIONS[question]()), columns=list(COLUMNS))
