"""The configuration schema: one dataclass per section, with defaults, units and range checks. No torch.

`loading.load_config` composes defaults, a stack, a method and `key=value` overrides into a `Config`. Each coefficient has its own
dataclass, so an option that a coefficient does not have is an error, not a silently ignored line.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from unified_rl.errors import ConfigError
from unified_rl.types import Decoding

# --------------------------------------------------------------------------------------------------------------------------------
# Coefficients. The class attributes say what a coefficient is; the fields are its options. `coefficients.py` adds the maths.
#
# unit      what has to stay together in a micro-batch: "token", "sequence", "pair", "group", or "batch" (the whole update's
#           log-probs are computed first, without gradient)
# needs     inputs beyond the rollout itself: "ref_logp", "old_logp" (fixed over a rollout's updates), "values", "pairs", "groups"
# corrects_staleness   whether it carries an importance weight, so that several updates per rollout follow the right gradient
# contains_weights     whether it is already multiplied by the aggregation weight (derived from a whole objective)


@dataclass
class CoefficientConfig:
    name: str
    unit: ClassVar[str] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome"})
    corrects_staleness: ClassVar[bool] = False
    contains_weights: ClassVar[bool] = False
    formula: ClassVar[str] = ""
    equation: ClassVar[str] = ""

    def describe(self, supervision: str) -> str:
        """The formula with these options in it, where they change it."""
        return self.formula


@dataclass
class SftCoefficient(CoefficientConfig):
    name: str = "sft"
    supervisions: ClassVar[frozenset[str]] = frozenset({"none", "outcome"})
    formula: ClassVar[str] = "1"
    equation: ClassVar[str] = "Eq. 7"


@dataclass
class RftCoefficient(CoefficientConfig):
    name: str = "rft"
    formula: ClassVar[str] = "I(o): 1 if the answer is right, else 0"
    equation: ClassVar[str] = "Eq. 10"


@dataclass
class DpoCoefficient(CoefficientConfig):
    """`form`: "standard" (summed log-ratios), "length_averaged" (the gradient of Eq. 12) or "as_printed" (Eq. 14)."""

    name: str = "dpo"
    form: str = "standard"
    beta: float = 0.1
    unit: ClassVar[str] = "pair"
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "pairs"})
    formula: ClassVar[str] = "+-|o| beta sigma(-m), m = beta [sum log(pi/pi_ref)(o+) - sum log(pi/pi_ref)(o-)]"
    equation: ClassVar[str] = "Eqs. 12-14 (forms: standard, length_averaged, as_printed)"

    def __post_init__(self) -> None:
        _one_of("coefficient.form", self.form, ("standard", "length_averaged", "as_printed"))
        _positive("coefficient.beta", self.beta)

    def describe(self, supervision: str) -> str:
        return {
            "standard": self.formula,
            "length_averaged": "+-beta sigma(-m), m = beta [mean log(pi/pi_ref)(o+) - mean log(pi/pi_ref)(o-)]",
            "as_printed": "+-sigma(-m_t), m_t = beta [log(pi/pi_ref)(o+_t) - log(pi/pi_ref)(o-_t)]",
        }[self.form]


@dataclass
class PpoCoefficient(CoefficientConfig):
    """GAE on token rewards with a KL penalty (Eq. 2) and a learned value model, which is a companion update of its own.

    `value_learning_rate` and `value_epochs` belong to that companion: epochs over each rollout before the next one.
    """

    name: str = "ppo"
    kl_coef: float = 0.04
    clip_eps: float = 0.2
    discount: float = 1.0
    trace_decay: float = 0.95
    value_learning_rate: float = 1e-3
    value_epochs: int = 2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "values"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A_t, A = GAE(r_t - beta log(pi_old/pi_ref), V)"
    equation: ClassVar[str] = "Eqs. 1-2, 18"

    def __post_init__(self) -> None:
        _not_negative("coefficient.kl_coef", self.kl_coef)
        _positive("coefficient.clip_eps", self.clip_eps)
        _between("coefficient.discount", self.discount, 0.0, 1.0)
        _between("coefficient.trace_decay", self.trace_decay, 0.0, 1.0)
        _positive("coefficient.value_learning_rate", self.value_learning_rate)
        _at_least("coefficient.value_epochs", self.value_epochs, 1)


@dataclass
class GrpoCoefficient(CoefficientConfig):
    """`kl_estimator` (in the loss): "k3" (the paper), "k1", "k2" or "weighted_k3" (DeepSeek-V3.2)."""

    name: str = "grpo"
    kl_coef: float = 0.04
    kl_estimator: str = "k3"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "groups"})
    supervisions: ClassVar[frozenset[str]] = frozenset({"outcome", "process"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] A + beta (pi_ref/pi - 1), A = (r - mean)/std in the group"
    equation: ClassVar[str] = "Eqs. 3, 21"

    def __post_init__(self) -> None:
        _not_negative("coefficient.kl_coef", self.kl_coef)
        _positive("coefficient.clip_eps", self.clip_eps)
        _one_of("coefficient.kl_estimator", self.kl_estimator, ("k1", "k2", "k3", "weighted_k3"))

    def describe(self, supervision: str) -> str:
        kl = {
            "k1": "- beta",
            "k2": "- beta log(pi/pi_ref)",
            "k3": "+ beta (pi_ref/pi - 1)",
            "weighted_k3": "- beta rho log(pi/pi_ref)",
        }[self.kl_estimator]
        process = "sum over own and later steps of (r_step - mean)/std, pooled over the group's steps"
        advantage = process if supervision == "process" else "(r - mean)/std in the group"
        return f"rho 1[not clipped] A {kl}, A = {advantage}"


@dataclass
class RlooCoefficient(CoefficientConfig):
    """`kl_coef` weighs the summed k1 in the sequence's reward (arXiv 2402.14740)."""

    name: str = "rloo"
    kl_coef: float = 0.03
    needs: ClassVar[frozenset[str]] = frozenset({"ref_logp", "old_logp", "groups"})
    formula: ClassVar[str] = "R_i - mean of the others' R, R = r - beta sum log(pi_old/pi_ref)"
    equation: ClassVar[str] = "arXiv 2402.14740"

    def __post_init__(self) -> None:
        _not_negative("coefficient.kl_coef", self.kl_coef)


@dataclass
class DrGrpoCoefficient(CoefficientConfig):
    name: str = "dr_grpo"
    clip_eps: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped] (r - mean)"
    equation: ClassVar[str] = "arXiv 2503.20783"

    def __post_init__(self) -> None:
        _positive("coefficient.clip_eps", self.clip_eps)


@dataclass
class DapoCoefficient(CoefficientConfig):
    name: str = "dapo"
    clip_low: float = 0.2
    clip_high: float = 0.28
    needs: ClassVar[frozenset[str]] = frozenset({"groups"})
    corrects_staleness: ClassVar[bool] = True
    formula: ClassVar[str] = "rho 1[not clipped to 1-0.2, 1+0.28] (r - mean)/std"
    equation: ClassVar[str] = "arXiv 2503.14476"

    def __post_init__(self) -> None:
        _positive("coefficient.clip_low", self.clip_low)
        _positive("coefficient.clip_high", self.clip_high)

    def describe(self, supervision: str) -> str:
        return f"rho 1[not clipped to {1 - self.clip_low:g}, {1 + self.clip_high:g}] (r - mean)/std"


COEFFICIENTS: dict[str, type[CoefficientConfig]] = {
    "sft": SftCoefficient,
    "rft": RftCoefficient,
    "dpo": DpoCoefficient,
    "ppo": PpoCoefficient,
    "grpo": GrpoCoefficient,
    "rloo": RlooCoefficient,
    "dr_grpo": DrGrpoCoefficient,
    "dapo": DapoCoefficient,
}

# --------------------------------------------------------------------------------------------------------------------------------
# The other axes

SOURCES = ("demonstrations", "offline_samples", "online_samples", "informative_samples", "preference_pairs")
REWARD_SOURCES = ("none", "rule", "exact")
SUPERVISIONS = ("none", "outcome", "process")
AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length", "pair_mean")


@dataclass
class SourceConfig:
    """The data source.

    name: demonstrations | offline_samples (of the frozen initial policy, stored once) | online_samples (of the current policy) |
        informative_samples (online, prompts whose rewards all agree are replaced: DAPO's dynamic sampling) | preference_pairs
        (built from the stored samples by the reward).
    samples_per_prompt: stored samples per prompt (offline_samples, preference_pairs).
    max_rounds: most batches of prompts that informative_samples tries per step.
    """

    name: str = "online_samples"
    samples_per_prompt: int = 8
    max_rounds: int = 3

    def __post_init__(self) -> None:
        _one_of("source.name", self.name, SOURCES)
        _at_least("source.samples_per_prompt", self.samples_per_prompt, 1)
        _at_least("source.max_rounds", self.max_rounds, 1)


@dataclass
class RewardConfig:
    """The reward.

    source: none | rule (final answer) | exact (final answer and every step, where the task can check steps) | FILE.py:NAME.
    supervision: outcome (one reward per response) | process (one per step) | none.
    correct, incorrect: outcome reward of a right and of any other answer; also of right and wrong steps.
    overlong: soft overlong penalty (DAPO, Eq. 13): the last `overlong` tokens before the length limit cost up to 1; 0 = off.
    """

    source: str = "rule"
    supervision: str = "outcome"
    correct: float = 1.0
    incorrect: float = 0.0
    overlong: int = 0

    def __post_init__(self) -> None:
        if ":" not in self.source:
            _one_of("reward.source", self.source, REWARD_SOURCES)
        _one_of("reward.supervision", self.supervision, SUPERVISIONS)
        _at_least("reward.overlong", self.overlong, 0)


@dataclass
class AggregationConfig:
    """How token gradients are averaged; `length` is constant_length's constant (0 = generator.max_new_tokens).

    truncated: "keep" responses cut off at the length limit as they were scored, or "drop" them (weight 0, still counted).
    """

    name: str = "sequence_mean"
    length: int = 0
    truncated: str = "keep"

    def __post_init__(self) -> None:
        _one_of("aggregation.name", self.name, AGGREGATIONS)
        _at_least("aggregation.length", self.length, 0)
        _one_of("aggregation.truncated", self.truncated, ("keep", "drop"))


# --------------------------------------------------------------------------------------------------------------------------------
# The world and the model


@dataclass
class TaskConfig:
    """name: arithmetic | gsm8k | FILE.py:CLASS. template: see tasks/templates.py. options: the task's constructor arguments."""

    name: str = "arithmetic"
    template: str = "arithmetic"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class DataConfig:
    """path: file or directory of the task's data (tasks that read data). prompts: training prompts in the pool (0 = all)."""

    path: str = ""
    prompts: int = 2048

    def __post_init__(self) -> None:
        _at_least("data.prompts", self.prompts, 0)


@dataclass
class ModelConfig:
    """The policy before any training: a Hugging Face directory (`path`), or a Llama of this shape from scratch.

    init_std: std of the initial weights; small widths learn several times faster with more than the usual 0.02.
    vocabulary: size of the tokenizer trained on the task's text, where the task does not bring its own.
    dtype: float32 | bfloat16. device: cpu | cuda | cuda:N.
    """

    path: str = ""
    hidden_size: int = 96
    num_layers: int = 3
    num_heads: int = 3
    intermediate_size: int = 256
    max_positions: int = 512
    init_std: float = 0.08
    vocabulary: int = 2048
    seed: int = 0
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        _one_of("model.dtype", self.dtype, ("float32", "bfloat16"))
        _positive("model.init_std", self.init_std)
        for name in ("hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions", "vocabulary"):
            _at_least(f"model.{name}", getattr(self, name), 1)
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"model.hidden_size={self.hidden_size} is not a multiple of model.num_heads={self.num_heads}; change one of them"
            )


# --------------------------------------------------------------------------------------------------------------------------------
# The work


@dataclass
class RolloutConfig:
    """One step's batch: `prompts_per_step` x `responses_per_prompt` responses, used for `epochs` x `minibatches` updates."""

    prompts_per_step: int = 32
    responses_per_prompt: int = 8
    epochs: int = 1
    minibatches: int = 1

    def __post_init__(self) -> None:
        for name in ("prompts_per_step", "responses_per_prompt", "epochs", "minibatches"):
            _at_least(f"rollout.{name}", getattr(self, name), 1)
        if self.minibatches > self.prompts_per_step:
            raise ConfigError(
                f"rollout.minibatches={self.minibatches} exceeds rollout.prompts_per_step={self.prompts_per_step}: "
                "a minibatch holds at least one prompt's group; lower rollout.minibatches"
            )

    @property
    def updates(self) -> int:
        return self.epochs * self.minibatches


@dataclass
class GeneratorConfig:
    """How training samples are drawn. Training needs the whole support: top_p 1 and top_k 0."""

    name: str = "torch"
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 96
    max_concurrent_sequences: int = 512

    def __post_init__(self) -> None:
        _one_of("generator.name", self.name, ("torch",))
        _decoding_ranges("generator", self)
        _at_least("generator.max_concurrent_sequences", self.max_concurrent_sequences, 1)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)


@dataclass
class TrainerConfig:
    """AdamW on packed micro-batches.

    steps: rollouts (one step = one rollout and its updates). schedule: constant | linear (to zero at the last step).
    micro_batch_tokens, row_tokens: packing (tokens per forward pass and per packed row); memory, not results, depends on them.
    """

    name: str = "torch"
    steps: int = 48
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    adam_eps: float = 1e-8
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 2048
    row_tokens: int = 192

    def __post_init__(self) -> None:
        _one_of("trainer.name", self.name, ("torch",))
        _at_least("trainer.steps", self.steps, 0)
        _positive("trainer.learning_rate", self.learning_rate)
        _one_of("trainer.schedule", self.schedule, ("constant", "linear"))
        _at_least("trainer.warmup_steps", self.warmup_steps, 0)
        _not_negative("trainer.weight_decay", self.weight_decay)
        _between("trainer.beta1", self.beta1, 0.0, 0.9999999)
        _between("trainer.beta2", self.beta2, 0.0, 0.9999999)
        _positive("trainer.adam_eps", self.adam_eps)
        _positive("trainer.max_grad_norm", self.max_grad_norm)
        _at_least("trainer.micro_batch_tokens", self.micro_batch_tokens, 1)
        _at_least("trainer.row_tokens", self.row_tokens, 1)


@dataclass
class SftStageConfig:
    """The run that makes the initial policy from the base model. demonstrations: how many to use (0 = all the task has)."""

    seed: int = 0
    demonstrations: int = 20000
    steps: int = 1800
    sequences_per_step: int = 32
    learning_rate: float = 3e-3
    schedule: str = "linear"
    warmup_steps: int = 20

    def __post_init__(self) -> None:
        _at_least("sft.demonstrations", self.demonstrations, 0)
        _at_least("sft.steps", self.steps, 0)
        _at_least("sft.sequences_per_step", self.sequences_per_step, 1)
        _one_of("sft.schedule", self.schedule, ("constant", "linear"))
        _at_least("sft.warmup_steps", self.warmup_steps, 0)
        _positive("sft.learning_rate", self.learning_rate)


@dataclass
class RunConfig:
    """checkpoint_every, curve_every, samples_every: in steps, 0 = only at the end. curve_problems: per slice, on `curve_split`."""

    checkpoint_every: int = 20
    keep_checkpoints: int = 2
    curve_every: int = 8
    curve_problems: int = 100
    curve_split: str = "validation"
    samples_every: int = 16
    samples: int = 4

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "curve_every", "curve_problems", "samples_every", "samples"):
            _at_least(f"logging.{name}", getattr(self, name), 0)
        _at_least("logging.keep_checkpoints", self.keep_checkpoints, 1)
        _one_of("logging.curve_split", self.curve_split, ("train", "validation", "test"))


@dataclass
class EvaluationConfig:
    """problems: per slice. samples: responses per problem at these decoding settings, beside one greedy response."""

    split: str = "test"
    problems: int = 200
    samples: int = 64
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 96
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("evaluation.split", self.split, ("train", "validation", "test"))
        _at_least("evaluation.problems", self.problems, 1)
        _at_least("evaluation.samples", self.samples, 0)
        _decoding_ranges("evaluation", self)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)


@dataclass
class Config:
    """A complete, resolved configuration of one run.

    init: which policy training starts from: "sft" (made from the base model by the sft stage) or "base".
    artifacts: folder of the stages' content-addressed results. threads: CPU threads (0 = all cores).
    """

    run_dir: str = ""
    method: str = "grpo"
    label: str = ""
    stack: str = "tiny"
    seed: int = 0
    resume: bool = False
    threads: int = 0
    artifacts: str = "artifacts"
    init: str = "sft"
    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    coefficient: Any = field(default_factory=GrpoCoefficient)
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    sft: SftStageConfig = field(default_factory=SftStageConfig)
    logging: RunConfig = field(default_factory=RunConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        _one_of("init", self.init, ("sft", "base"))
        _at_least("threads", self.threads, 0)


# --------------------------------------------------------------------------------------------------------------------------------
# Range checks: each names the field, the value and what is allowed


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}={value!r} is not known; choose one of: {', '.join(allowed)}")


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise ConfigError(f"{name}={value} must be at least {low}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name}={value} must be greater than 0")


def _not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ConfigError(f"{name}={value} must not be negative")


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}={value} must lie between {low} and {high}")


def _decoding_ranges(section: str, config: Any) -> None:
    _not_negative(f"{section}.temperature", config.temperature)
    if not 0 < config.top_p <= 1:
        raise ConfigError(f"{section}.top_p={config.top_p} must lie in (0, 1]")
    _at_least(f"{section}.top_k", config.top_k, 0)
    _at_least(f"{section}.max_new_tokens", config.max_new_tokens, 1)
