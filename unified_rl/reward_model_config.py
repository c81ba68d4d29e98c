"""Options of the reward-model stages: what is sampled, how steps are labelled, how the model is trained. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.errors import ConfigError
from unified_rl.ranges import at_least, one_of, positive

KINDS = ("outcome", "process")
STEP_LABELS = ("shepherd_hard", "shepherd_soft", "exact", "outcome")
INITS = ("base", "sft")


@dataclass
class RewardModelConfig:
    """The reward model.

    kind: outcome (one logit, at the response's end; its label is the rule's verdict) | process (one per step).
    labels: of a process model's steps: shepherd_hard (1 if any of `completions` samples from there reaches the answer) |
        shepherd_soft (the share of them that do) | exact (the task's own step checker) | outcome (the final verdict on each step).
    segmentation: newline | step_n | task (the task's own steps) | token:ID.
    init: what the backbone is copied from: base (the paper's 7B) | sft. The tiny world's base is untrained, so sft is the default.
    prompts, samples_per_prompt: training responses, sampled by the SFT policy for the first `prompts` training problems.
    completions: N of Math-Shepherd: samples from each step's end.
    epochs, sequences_per_step, learning_rate, schedule (constant | linear to zero), warmup_steps: of its training.
    checkpoint_every: in updates; what a kill can cost.
    """

    kind: str = "process"
    labels: str = "shepherd_hard"
    segmentation: str = "task"
    init: str = "sft"
    prompts: int = 1024
    samples_per_prompt: int = 4
    completions: int = 8
    epochs: int = 3
    sequences_per_step: int = 64
    learning_rate: float = 1e-3
    schedule: str = "linear"
    warmup_steps: int = 10
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("reward_model.kind", self.kind, KINDS)
        one_of("reward_model.labels", self.labels, STEP_LABELS)
        one_of("reward_model.init", self.init, INITS)
        one_of("reward_model.schedule", self.schedule, ("constant", "linear"))
        positive("reward_model.learning_rate", self.learning_rate)
        for name in ("prompts", "samples_per_prompt", "completions", "epochs", "sequences_per_step", "checkpoint_every"):
            at_least(f"reward_model.{name}", getattr(self, name), 1)
        at_least("reward_model.warmup_steps", self.warmup_steps, 0)
        known = self.segmentation in ("newline", "step_n", "task")
        if not known and not self.segmentation.removeprefix("token:").isdecimal():
            raise ConfigError(
                f"reward_model.segmentation={self.segmentation!r} is not known; choose one of: newline, step_n, task, token:ID"
            )

    @property
    def trained_labels(self) -> str:
        """What the model is trained to predict: an outcome model knows no other label than the rule's verdict."""
        return "outcome" if self.kind == "outcome" else self.labels

    @property
    def needed_completions(self) -> int:
        """Completions per step that its labels need: none, unless they are Math-Shepherd's."""
        return self.completions if self.trained_labels.startswith("shepherd") else 0
