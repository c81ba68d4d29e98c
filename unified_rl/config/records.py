"""The sections of what is written while and after training: logging, evaluation, iterations. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding
from unified_rl.config.decoding import decoding_ranges
from unified_rl.config.ranges import at_least, between, one_of


@dataclass
class RunConfig:
    """What is written while training, and when.

    checkpoint_every, curve_every, samples_every: in steps, 0 = only at the end. curve_problems: per slice, or all
    that there are. curve_split: train | validation | test: where the learning curve is measured.
    curve_samples: 0 = by greedy answers; otherwise by the mean over so many samples of each problem, decoded as section
    evaluation says, with seeds that are the problem's own: the same at every step and in every run.

    keep_checkpoints: how many of the latest stay on the disk. samples: responses that are logged with their tokens.
    sinks: tensorboard, wandb: where metrics, learning curve, logged responses and the configuration go as well.
    page_every: seconds, at least, between two writings of RUN/index.html while the run goes on; 0 = no page.
    reference_kl: log the KL from the reference also where the method has no use for one; it costs a pass over each rollout.
    form: log of wrong answers the share of this form, as ends_in:7 (grading/forms.py), whatever the reward is; "" = of none.
    """

    checkpoint_every: int = 20
    keep_checkpoints: int = 2
    curve_every: int = 8
    curve_problems: int = 100
    curve_split: str = "validation"
    curve_samples: int = 0
    samples_every: int = 16
    samples: int = 4
    sinks: list[str] = field(default_factory=list)
    page_every: float = 10.0
    reference_kl: bool = False
    form: str = ""

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "curve_every", "curve_problems", "curve_samples", "samples_every", "samples"):
            at_least(f"logging.{name}", getattr(self, name), 0)
        between("logging.page_every", self.page_every, 0.0, 86_400.0)
        at_least("logging.keep_checkpoints", self.keep_checkpoints, 1)
        one_of("logging.curve_split", self.curve_split, ("train", "validation", "test"))
        for name in self.sinks:
            one_of("logging.sinks", name, ("tensorboard", "wandb"))


@dataclass
class EvaluationConfig:
    """How a trained policy is evaluated.

    problems: per slice (0 = all). samples: responses per problem at these decoding settings, beside one greedy response.
    slices: those of the task's slices that are evaluated; [] = all.

    split: train | validation | test. temperature, top_p, top_k, max_new_tokens: decoding, as in section generator.
    seed: of the samples.
    coverage_problems, coverage_samples: the first so many problems of a slice have so many samples instead (0 = none), and
        Pass@K and Maj@K are theirs: means need many problems, large K many samples.
    responses_per_chunk: about how many responses are sampled and stored at a time: what a killed evaluation loses at most.
    """

    split: str = "test"
    slices: list[str] = field(default_factory=list)
    problems: int = 0
    samples: int = 64
    coverage_problems: int = 0
    coverage_samples: int = 0
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 96
    seed: int = 0
    responses_per_chunk: int = 4096

    def __post_init__(self) -> None:
        one_of("evaluation.split", self.split, ("train", "validation", "test"))
        at_least("evaluation.problems", self.problems, 0)
        if len(set(self.slices)) < len(self.slices):
            raise ConfigError(f"evaluation.slices={self.slices} names a slice twice; name each once")
        at_least("evaluation.samples", self.samples, 0)
        at_least("evaluation.coverage_problems", self.coverage_problems, 0)
        if self.coverage_problems and not 1 <= self.samples < self.coverage_samples:
            raise ConfigError(
                f"evaluation.coverage_samples={self.coverage_samples} of the first {self.coverage_problems} problems must be more "
                f"than evaluation.samples={self.samples}, and these 1 or more; or set evaluation.coverage_problems=0"
            )
        if self.coverage_samples and not self.coverage_problems:
            raise ConfigError("evaluation.coverage_samples is for evaluation.coverage_problems problems; set that too")
        at_least("evaluation.responses_per_chunk", self.responses_per_chunk, 1)
        decoding_ranges("evaluation", self)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)

    def parts(self, problems: int) -> list[tuple[int, int]]:
        """(problems, samples of each) of the first problems of a slice and of the others, of those that there are."""
        first = min(self.coverage_problems, problems)
        return [part for part in ((first, self.coverage_samples), (problems - first, self.samples)) if part[0]]


@dataclass
class IterateConfig:
    """Iterative RL (the paper's Algorithm 1): train, then renew the reference and the reward model, and train on.

    iterations: renewals; iteration 0 has the initial reward model, so there is one run more than this.
    steps: M. Iteration i + 1 starts from iteration i's policy after this many of its steps.
    control_steps: for how many more steps each iteration then goes on with its own old reward model, as the control.
    reference, reward_model: renewed | kept, each on its own, so that their effects can be told apart.
    replay: share of earlier iterations' data in each mix that a renewed reward model is trained on (the paper: 10 %).
    epochs: passes over that mix; the other settings of its training are those of section reward_model.
    agreement_problems: validation problems on which successive reward models are compared (4 samples of the SFT policy each).
    """

    iterations: int = 2
    steps: int = 16
    control_steps: int = 16
    reference: str = "renewed"
    reward_model: str = "renewed"
    replay: float = 0.1
    epochs: int = 1
    agreement_problems: int = 200

    def __post_init__(self) -> None:
        at_least("iterate.iterations", self.iterations, 0)
        at_least("iterate.steps", self.steps, 1)
        at_least("iterate.control_steps", self.control_steps, 0)
        one_of("iterate.reference", self.reference, ("renewed", "kept"))
        one_of("iterate.reward_model", self.reward_model, ("renewed", "kept"))
        between("iterate.replay", self.replay, 0.0, 0.99)
        at_least("iterate.epochs", self.epochs, 1)
        at_least("iterate.agreement_problems", self.agreement_problems, 1)
