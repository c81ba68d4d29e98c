"""Options of the reward-model stages: what is sampled, how steps are labelled, how the model is trained. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, one_of, positive
from unified_rl.config.stages import LearningRateConfig

KINDS = ("outcome", "process")
STEP_LABELS = ("shepherd_hard", "shepherd_soft", "exact", "outcome")
OUTPUTS = ("probability", "logit")
REDUCTIONS = ("min", "product", "last")
FORMS = ("sum", "min")


@dataclass
class RewardModelConfig(LearningRateConfig):
    """The reward model.

    kind: outcome (one logit, at the response's end; its label is the rule's verdict) | process (one per step) | "": the kind that
        the reward's supervision reads directly.
    labels: of a process model's steps: shepherd_hard (1 if any of `completions` samples from there reaches the answer) |
        shepherd_soft (the share of them that do) | exact (the task's own step checker) | outcome (the final verdict on each step).
    segmentation: newline | step_n | task (the task's own steps) | token:ID.
    init: the stage whose policy the backbone is copied from (the paper's 7B takes its base model); "" = the one that the run starts
        from, which is the default since the tiny world's base model is untrained.
    prompts, samples_per_prompt: training responses, sampled by the SFT policy for the first `prompts` training problems.
    completions: N of Math-Shepherd: samples from each step's end. Its authors take 8; on the tiny world the labels of 4 agree with
        the exact checker as often (`unified-rl reward-models`) at half the cost.
    epochs: passes over the labelled responses. sequences_per_step: responses of an update. learning_rate: AdamW's, at its highest.
    schedule: as trainer.schedule (linear: to zero at the last update). warmup_steps: updates in which the rate rises.
    seed: of the order of its data, of the head's weights, and of which labels are turned over.
    label_false_positive, label_false_negative: a judge with a dial: the rates at which labels that the initial model is trained on
        are turned over, wrong taken for right and right for wrong. A renewal's own labels are not, and what it replays stays as
        it was.
    checkpoint_every: in updates; what a kill can cost.
    """

    SECTION = "reward_model"

    kind: str = ""
    labels: str = "shepherd_hard"
    segmentation: str = "task"
    init: str = ""
    prompts: int = 2048
    samples_per_prompt: int = 4
    completions: int = 4
    epochs: int = 4
    sequences_per_step: int = 32
    learning_rate: float = 1e-3
    schedule: str = "linear"
    warmup_steps: int = 20
    checkpoint_every: int = 100
    seed: int = 0
    label_false_positive: float = 0.0
    label_false_negative: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("reward_model.kind", self.kind, ("", *KINDS))
        one_of("reward_model.labels", self.labels, STEP_LABELS)
        for name in ("prompts", "samples_per_prompt", "completions", "epochs", "sequences_per_step", "checkpoint_every"):
            at_least(f"reward_model.{name}", getattr(self, name), 1)
        check_segmentation("reward_model.segmentation", self.segmentation)
        for name in ("label_false_positive", "label_false_negative"):
            between(f"reward_model.{name}", getattr(self, name), 0.0, 1.0)
        if any(self.label_rates) and self.trained_labels == "shepherd_soft":
            raise ConfigError(
                "reward_model.label_false_positive and _negative turn over labels that are right or wrong, and those of "
                "reward_model.labels=shepherd_soft are shares; set reward_model.labels=exact, or leave the rates out"
            )

    @property
    def label_rates(self) -> tuple[float, float]:
        """How often a wrong label is taken for right, and a right one for wrong."""
        return self.label_false_positive, self.label_false_negative

    def kind_for(self, supervision: str) -> str:
        """The kind, "" being resolved: the one that the reward's supervision reads directly."""
        return self.kind or ("process" if supervision == "process" else "outcome")

    @property
    def trained_labels(self) -> str:
        """What the model is trained to predict: an outcome model knows no other label than the rule's verdict."""
        return "outcome" if self.kind == "outcome" else self.labels

    @property
    def needed_completions(self) -> int:
        """Completions per step that its labels need: none, unless they are Math-Shepherd's."""
        return self.completions if self.trained_labels.startswith("shepherd") else 0


def check_segmentation(name: str, value: str) -> None:
    """Raise ConfigError for a segmentation that is not known. name: of the setting."""
    by_token = value.startswith("token:") and value.removeprefix("token:").isdecimal()
    if value not in ("newline", "step_n", "task") and not by_token:
        raise ConfigError(f"{name}={value!r} is not known; choose one of: newline, step_n, task, token:ID")


def section_of(section: RewardModelConfig, supervision: str) -> RewardModelConfig:
    """The section with its kind resolved (see `kind_for`)."""
    return replace(section, kind=section.kind_for(supervision))


def default_reduction(kind: str) -> str:
    return "min" if kind == "process" else "last"


def check_settings(kind: str, supervision: str, output: str, reduction: str, form: str, temperature: float = 0.1) -> None:
    """Refuse settings that mean nothing together.

    Args:
        kind: of the reward model, "outcome" or "process".

    Raises:
        ConfigError: names the fields, the reason and the remedy.
    """
    one_of("reward.output", output, OUTPUTS)
    one_of("reward.reduction", reduction, REDUCTIONS)
    one_of("reward.form", form, FORMS)
    one_of("reward.supervision", supervision, ("outcome", "process"))
    positive("reward.temperature", temperature)
    if kind == "outcome" and supervision == "process":
        raise ConfigError(
            "reward.supervision=process wants a reward per step, but the reward model is an outcome model, trained at the end of "
            "responses only; set reward.supervision=outcome, or train a process model (reward_model.kind=process)"
        )
    if kind == "outcome" and reduction != "last":
        raise ConfigError(
            f"reward.reduction={reduction} combines the scores of steps, but the reward model is an outcome model with one score "
            "at the end; set reward.reduction=last"
        )
    if reduction == "product" and output == "logit":
        raise ConfigError(
            "reward.reduction=product multiplies probabilities; a product of logits means nothing: set reward.output=probability, "
            "or reward.reduction=min"
        )
