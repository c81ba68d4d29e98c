"""Every metric that a run logs, described: its name in metrics.jsonl or timings.jsonl, its unit, what it is, and when it is there.

What writes them does not read this table (in `loop` and `training.weight_sync`); a test runs
methods of every kind and holds both against each other. Words in capitals stand for names that a run brings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

NATS, SHARE, TOKENS, REWARD = "nats", "share, 0..1", "tokens", "reward"
ALWAYS = "always"
SAMPLED = "responses that a policy wrote"


@dataclass(frozen=True)
class Metric:
    """One metric.

    name: its key; a word in capitals stands for any name. unit: what it is counted in. text: what it is. when: in which runs and
    steps it is there.
    """

    name: str
    unit: str
    text: str
    when: str = ALWAYS

    def names(self, key: str) -> bool:
        """Whether a logged key is this metric."""
        pattern = re.sub(r"[A-Z]+", "[^/]+", re.escape(self.name))
        return re.fullmatch(pattern, key) is not None


_REFERENCE = "coefficients that read the reference; any, with logging.reference_kl=true"
_READ, _OLD = "coefficients that read it", "coefficients that read old log-probs"
_PRETRAINING, _HELD_OUT = "pre-training", "steps of `pretraining.held_out_every`"
_TRACKED = "coefficients that read `tracked_value`"
_VALUES = "`reward.source=step_values`"
_LIMITED = "`importance` that limits or drops weights"

#: Heading -> the metrics of metrics.jsonl, one object per step. Means over tokens are over the response tokens of an update.
METRICS: Mapping[str, tuple[Metric, ...]] = {
    "The step and its work": (
        Metric("step", "steps", "how many steps were made, this one included"),
        Metric("updates", "updates", "optimiser steps of the policy so far", "training from responses"),
        Metric(
            "tokens/sampled",
            TOKENS,
            "tokens that this run's policy has sampled, for responses and to judge them, in all steps so far",
        ),
        Metric("tokens/trained", TOKENS, "response tokens trained on in all steps so far, each epoch counted"),
        Metric("groups/count", "prompts", "groups of responses (or pairs) in the step; 0: the step had nothing to train on"),
        Metric("groups/zero_variance", SHARE, "groups with one reward throughout, of which a group baseline leaves nothing"),
    ),
    "Rewards": (
        Metric("reward/mean", REWARD, "mean reward of the step's responses"),
        Metric("reward/std", REWARD, "population standard deviation of these rewards"),
        Metric("reward/correct", SHARE, "responses whose final answer the grader calls correct, whatever the reward says"),
        Metric("reward/accepted", SHARE, "responses that the reward itself takes for right"),
        Metric("reward/unparsable", SHARE, "responses in which the grader found no answer"),
        Metric(
            "reward/false_positive", SHARE, "of the wrong responses, those that the reward accepts", "a step with wrong ones"
        ),
        Metric(
            "reward/false_negative", SHARE, "of the right responses, those that the reward rejects", "a step with right ones"
        ),
        Metric(
            "reward/wrong_of_form",
            SHARE,
            "of the wrong responses, those of the form that `logging.form` names",
            "`logging.form`, a step with wrong ones",
        ),
        Metric("reward/NAME/mean", REWARD, "mean of one of several rewards, before its weight", "several named rewards"),
        Metric("reward/NAME/std", REWARD, "population standard deviation of one of several rewards", "several named rewards"),
        Metric("reward/greedy", REWARD, "mean reward of the greedy responses beside the groups", "`source.wrappers=[greedy]`"),
        Metric("tracker/value", REWARD, "mean of what was believed of the step's prompts before it", _TRACKED),
        Metric("tracker/kept", SHARE, "mean share rho of earlier rewards that the tracker keeps", _TRACKED),
        Metric("tracker/drift", NATS, "mean |log pi_then - log pi_now| of what was last written to the prompts", _TRACKED),
        Metric("reward/step_mean", REWARD, "mean reward of a solution step", "`reward.supervision=process`"),
        Metric("reward/steps", "steps of a solution", "rewarded steps per response", "`reward.supervision=process`"),
        Metric("reward/value_of_prompt", REWARD, "mean value of the states in which responses begin", _VALUES),
        Metric("reward/value_of_state", REWARD, "mean value of the states in which steps begin", _VALUES),
        Metric("reward/judging_tokens", TOKENS, "tokens of the completions that values are estimated with", _VALUES),
        Metric(
            "reward/step_false_positive", SHARE, "of the wrong steps, those accepted", "steps that the exact checker looks at"
        ),
        Metric(
            "reward/step_false_negative", SHARE, "of the right steps, those rejected", "steps that the exact checker looks at"
        ),
    ),
    "Responses": (
        Metric("response/tokens", TOKENS, "response tokens of the step that are trained on, once"),
        Metric("response/length", TOKENS, "mean length of a response, its end token included"),
        Metric("response/longest", TOKENS, "the longest response"),
        Metric("response/truncated", SHARE, "responses that the length limit ended"),
    ),
    "The update": (
        Metric(
            "loss", "loss", "value of the surrogate -(w GC log pi), summed; its gradient is the method's, its size says little"
        ),
        Metric("grad_norm", "norm", "length of the gradient before clipping, mean over the step's updates"),
        Metric("learning_rate", "per update", "learning rate of the step's last update"),
        Metric("logp/mean", NATS, "mean log-probability of a response token, at the sampling temperature"),
        Metric("entropy/mean", NATS, "mean entropy of the distributions that the tokens were drawn from"),
        Metric(
            "loss/NAME",
            NATS,
            "mean of a named loss before its weight; in pre-training, of a source's tokens",
            "`losses`, sources",
        ),
        Metric(
            "ROLE/loss", "loss", "loss of a role that is trained beside the policy (`value`), first update", "a value model"
        ),
        Metric("ROLE/grad_norm", "norm", "length of that role's gradient, first update", "a value model"),
        Metric("squared_probs/mean", "probability", "mean of sum_v p(v)^2 over the vocabulary", _READ),
        Metric("uniform_kl/mean", NATS, "mean KL(policy || uniform): log of the vocabulary less the entropy", _READ),
        Metric("reverse_kl/mean", NATS, "mean KL(policy || teacher) over the vocabulary", "teacher losses or coefficients"),
        Metric("forward_kl/mean", NATS, "mean KL(teacher || policy) over the vocabulary", "teacher losses or coefficients"),
        Metric(
            "jsd/mean", NATS, "mean generalised JSD of teacher and policy over the vocabulary", "teacher losses or coefficients"
        ),
    ),
    "The gradient coefficient": (
        Metric("coef/total/mean", "coefficient", "mean gradient coefficient of a token"),
        Metric("coef/total/abs_mean", "coefficient", "mean of its size: how hard the update pushes"),
        Metric("coef/TERM/mean", "coefficient", "the same of each term of the coefficient (`advantage`, `kl`, ...)"),
        Metric("coef/TERM/abs_mean", "coefficient", "the same of the term's size"),
        Metric("ratio/mean", "ratio", "mean of pi / pi_old; of the step's last update", _OLD),
        Metric("ratio/max_log", NATS, "largest |log pi - log pi_old| of the last update", _OLD),
        Metric("ratio/clip_fraction", SHARE, "tokens whose gradient the clip has set to zero, mean over the step's updates"),
        Metric("kl/k1", NATS, "estimate log(pi/pi_ref) of KL(pi || pi_ref): unbiased, of either sign", _REFERENCE),
        Metric("kl/k2", NATS, "estimate 1/2 log(pi/pi_ref)^2: biased, little noise", _REFERENCE),
        Metric("kl/k3", NATS, "estimate pi_ref/pi - 1 - log(pi_ref/pi), the paper's: unbiased, never negative", _REFERENCE),
        Metric("kl/max_log", NATS, "largest |log pi - log pi_ref|", _REFERENCE),
    ),
    "The sampler": (
        Metric(
            "sampler/logp_difference", NATS, "mean |log pi_trainer - log pi_sampler| of the first update; 0 for stored texts"
        ),
        Metric(
            "sampler/max_logp_difference", NATS, "the largest such difference; a fresh float32 batch beyond 1e-3 ends the run"
        ),
        Metric("sampler/kl_k1", NATS, "KL(sampler || trainer) on the sampler's own tokens, as in `kl/k1`"),
        Metric("sampler/kl_k3", NATS, "the same, as in `kl/k3`"),
        Metric("sampler/staleness_mean", "updates", "updates between a response's sampling and its use, mean", SAMPLED),
        Metric("sampler/staleness_max", "updates", "the same, of the oldest response", SAMPLED),
        Metric("importance/mean", "weight", "mean weight pi_old / pi_sampler after its limits", "`importance` other than none"),
        Metric("importance/limited", SHARE, "tokens whose weight a limit has changed or dropped", _LIMITED),
        Metric(
            "sync/logp_difference", NATS, "mean log-prob difference of the probe after a push of weights", "`generator=vllm`"
        ),
        Metric("sync/max_logp_difference", NATS, "the largest difference of that probe", "`generator=vllm`"),
    ),
    "Pre-training": (
        Metric("tokens/NAME", TOKENS, "tokens of a source so far", _PRETRAINING),
        Metric("epochs/NAME", "passes", "passes over a source so far", _PRETRAINING),
        Metric("held_out/NAME/loss", NATS, "mean negative log-probability of a held-out text's tokens", _HELD_OUT),
        Metric("held_out/NAME/bits_per_byte", "bits", "the same over the text's bytes, whatever the tokenizer", _HELD_OUT),
        Metric("held_out/NAME/KIND/loss", NATS, "of the tokens of one kind, in a made-up world", _HELD_OUT),
        Metric("held_out/NAME/KIND/right", SHARE, "tokens of that kind to which more than a half is given", _HELD_OUT),
        Metric("held_out/NAME/steps/right", SHARE, "solution steps all of whose tokens are", _HELD_OUT),
    ),
}

#: The phases of timings.jsonl: wall-clock seconds of each step.
TIMINGS: tuple[Metric, ...] = (
    Metric("source", "seconds", "drawing the step's responses and rewards: sampling and grading, or reading what is stored"),
    Metric("prepare", "seconds", "passes before the updates (old policy, reference, value model) and the advantages"),
    Metric("update", "seconds", "the updates on the rollout: forward, backward, optimiser"),
    Metric("held_out", "seconds", "losses of held-out texts", _HELD_OUT),
    Metric("keep", "seconds", "writing a model that is kept", "steps of `pretraining.keep_every`"),
    Metric("curve", "seconds", "answers of the learning curve", "steps of `logging.curve_every`"),
    Metric("checkpoint", "seconds", "writing a checkpoint", "steps of `logging.checkpoint_every`"),
)


def every() -> list[Metric]:
    """All metrics of metrics.jsonl, in the order of the documentation."""
    return [metric for group in METRICS.values() for metric in group]


def described(key: str) -> Metric | None:
    """The metric that a key of metrics.jsonl is, those with names of their own first; None where nobody has described it."""
    return next((metric for metric in sorted(every(), key=_placeholders) if metric.names(key)), None)


def _placeholders(metric: Metric) -> int:
    return len(re.findall(r"[A-Z]+", metric.name))
