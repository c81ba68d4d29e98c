"""The configuration schema: one dataclass per section, with defaults, units and range checks. No torch.

`loading.load_config` composes defaults, a stack, a method and `key=value` overrides into a `Config`. Each coefficient has its own
dataclass (`methods/`), so an option that a coefficient does not have is an error, not a silently ignored line. The
source's options stand beside the sources (`sources/settings.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding
from unified_rl.config.demonstrations import BATCHES, DemonstrationFile
from unified_rl.config.engines import GENERATORS, TRAINERS, DeepSpeedConfig, VllmConfig
from unified_rl.config.plan import ArchitectureConfig, PlanConfig
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive
from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.config.stages import LearningRateConfig, StageConfig
from unified_rl.sources.settings import SourceConfig

# --------------------------------------------------------------------------------------------------------------------------------
# The other axes

REWARD_SOURCES = ("none", "rule", "exact", "model", "mixture")
MODEL_SOURCES = frozenset({"model", "mixture"})
SUPERVISIONS = ("none", "outcome", "process")
AGGREGATIONS = ("sequence_mean", "prompt_token_mean", "batch_token_mean", "constant_length", "pair_mean")
IMPORTANCES = ("none", "truncated", "masked")


@dataclass
class RewardConfig:
    """The reward. `source` says who judges, `supervision` what is judged; they are independent.

    source: none | rule (final answer) | exact (final answer and every step, where the task can check steps) | model (a reward
        model) | mixture (rule_weight x rule + (1 - rule_weight) x model) | FILE.py:NAME.
    supervision: outcome (one reward per response) | process (one per step) | none.
    correct, incorrect: outcome reward of a right and of any other answer; also of right and wrong steps (rule, exact).
    overlong: soft overlong penalty (DAPO, Eq. 13): the last `overlong` tokens before the length limit cost up to 1; 0 = off.
    false_positive, false_negative: chance that a wrong answer or step is judged right, and a right one wrong (rule, exact; the
        same response is always judged alike). noise_seed: which ones.
    model_path: directory of a trained reward model; "" = the one that section reward_model describes, made where it is missing.
    output, reduction, form, temperature: how a reward model's logits become rewards (rewards/model.py has the formulas).
        output: probability | logit. reduction (of steps to one reward, under outcome supervision): min | product | last; "" = min
        for a process model, last for an outcome model. form (of step rewards, under process supervision): sum (the paper) | min
        (PURE), `temperature` being that of its softmax.
    rule_weight: the rule's share in a mixture.
    """

    source: str = "rule"
    supervision: str = "outcome"
    correct: float = 1.0
    incorrect: float = 0.0
    overlong: int = 0
    false_positive: float = 0.0
    false_negative: float = 0.0
    noise_seed: int = 0
    model_path: str = ""
    output: str = "probability"
    reduction: str = ""
    form: str = "sum"
    temperature: float = 0.1
    rule_weight: float = 0.5

    def __post_init__(self) -> None:
        if ":" not in self.source:
            one_of("reward.source", self.source, REWARD_SOURCES)
        one_of("reward.supervision", self.supervision, SUPERVISIONS)
        at_least("reward.overlong", self.overlong, 0)
        between("reward.false_positive", self.false_positive, 0.0, 1.0)
        between("reward.false_negative", self.false_negative, 0.0, 1.0)
        one_of("reward.output", self.output, ("probability", "logit"))
        one_of("reward.reduction", self.reduction, ("", "min", "product", "last"))
        one_of("reward.form", self.form, ("sum", "min"))
        positive("reward.temperature", self.temperature)
        between("reward.rule_weight", self.rule_weight, 0.0, 1.0)

    @property
    def noisy(self) -> bool:
        return self.false_positive > 0 or self.false_negative > 0

    @property
    def learned(self) -> bool:
        """Whether a reward model has a say."""
        return self.source in MODEL_SOURCES


@dataclass
class AggregationConfig:
    """How token gradients are averaged; `length` is constant_length's constant (0 = generator.max_new_tokens).

    truncated: "keep" responses cut off at the length limit as they were scored, or "drop" them (weight 0, still counted).
    """

    name: str = "sequence_mean"
    length: int = 0
    truncated: str = "keep"

    def __post_init__(self) -> None:
        one_of("aggregation.name", self.name, AGGREGATIONS)
        at_least("aggregation.length", self.length, 0)
        one_of("aggregation.truncated", self.truncated, ("keep", "drop"))


@dataclass
class ImportanceConfig:
    """Correction of the difference between the sampler and the trainer: a factor on every term, w = pi_old / pi_sampler limited.

    name: none | truncated (TIS: min(w, cap)) | masked (MIS: w inside [floor, cap], else 0).
    level: what w is the ratio of: each token, or the whole response (sequence).
    """

    name: str = "none"
    level: str = "token"
    cap: float = 2.0
    floor: float = 0.5

    def __post_init__(self) -> None:
        one_of("importance.name", self.name, IMPORTANCES)
        one_of("importance.level", self.level, ("token", "sequence"))
        positive("importance.cap", self.cap)
        not_negative("importance.floor", self.floor)
        if self.floor >= self.cap:
            raise ConfigError(f"importance.floor={self.floor} must be below importance.cap={self.cap}")


# --------------------------------------------------------------------------------------------------------------------------------
# The world and the model


@dataclass
class TaskConfig:
    """The problems, and how they are put to the policy.

    name: arithmetic | gsm8k | a benchmark (docs/benchmarks.md) | table (any file of records) | FILE.py:CLASS.
    template: see tasks/templates.py: deepseek | chat | few_shot | completion | arithmetic | a text with "{question}".
    solution: chain_of_thought | program_of_thought (the response is a program, what it prints is the answer) | tool_integrated
        (the programs in a response are run, and it goes on after their output).
    max_rounds: programs that are run in one tool-integrated response. shots: worked examples of template few_shot (0 = all).
    examples: file of worked examples (records with question and solution); "" = the built-in ones.
    stop: texts at which a response ends, as at EOS; template few_shot stops by itself where the next example would begin.
    allow_unsandboxed: run model-written programs even where the machine cannot contain them (docs/sandbox.md).
    options: the task's constructor arguments.
    """

    name: str = "arithmetic"
    template: str = "arithmetic"
    solution: str = "chain_of_thought"
    max_rounds: int = 3
    shots: int = 0
    examples: str = ""
    stop: list[str] = field(default_factory=list)
    allow_unsandboxed: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("task.solution", self.solution, ("chain_of_thought", "program_of_thought", "tool_integrated"))
        at_least("task.max_rounds", self.max_rounds, 1)
        at_least("task.shots", self.shots, 0)


@dataclass
class DataConfig:
    """path: file or directory of the task's data, or hub:OWNER/NAME. prompts: training prompts in the pool (0 = all).

    slices: the task's slices that training prompts come from, in equal shares; [] = the task's first, on which it is demonstrated.
    demonstrations: files of demonstrations and their weights in the mix (docs/demonstrations.md); [] = the task's own solutions.
        A file's form and language choose its instruction, in place of task.solution.
    batch: what a step of that mix counts: demonstrations, or the rows of context_tokens that they fill (the paper's SFT).
    context_tokens: the longest demonstration, its prompt and EOS included; longer ones are left out, and reported.
    """

    path: str = ""
    prompts: int = 2048
    slices: list[str] = field(default_factory=list)
    demonstrations: list[DemonstrationFile] = field(default_factory=list)
    batch: str = "demonstrations"
    context_tokens: int = 4096

    def __post_init__(self) -> None:
        at_least("data.prompts", self.prompts, 0)
        one_of("data.batch", self.batch, BATCHES)
        at_least("data.context_tokens", self.context_tokens, 2)
        if len(set(self.slices)) < len(self.slices):
            raise ConfigError(f"data.slices={self.slices} names a slice twice; shares are even, so name each once")
        if 0 < self.prompts < len(self.slices):
            raise ConfigError(
                f"data.prompts={self.prompts} cannot be shared among data.slices={self.slices}; raise data.prompts"
            )

    @property
    def mixed(self) -> bool:
        """Whether demonstrations are a weighted mix, stored as tokens, rather than graded answers to the task's problems."""
        return bool(self.demonstrations) or self.batch == "rows"


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
        one_of("model.dtype", self.dtype, ("float32", "bfloat16"))
        positive("model.init_std", self.init_std)
        for name in ("hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions", "vocabulary"):
            at_least(f"model.{name}", getattr(self, name), 1)
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"model.hidden_size={self.hidden_size} is not a multiple of model.num_heads={self.num_heads}; change one of them"
            )


# --------------------------------------------------------------------------------------------------------------------------------
# The work


@dataclass
class RolloutConfig:
    """One step's batch: `prompts_per_step` x `responses_per_prompt` responses, used for `epochs` x `minibatches` updates.

    first_step: steps made elsewhere before this run's first: its prompts and sampling seeds go on from there (iterative RL).
    staleness: steps that sampling runs ahead of training: step t is trained on responses of the weights of step t - staleness.
    """

    prompts_per_step: int = 32
    responses_per_prompt: int = 8
    epochs: int = 1
    minibatches: int = 1
    first_step: int = 0
    staleness: int = 0

    def __post_init__(self) -> None:
        for name in ("prompts_per_step", "responses_per_prompt", "epochs", "minibatches"):
            at_least(f"rollout.{name}", getattr(self, name), 1)
        at_least("rollout.first_step", self.first_step, 0)
        at_least("rollout.staleness", self.staleness, 0)
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
    """How training samples are drawn. Training needs the whole support: top_p 1 and top_k 0.

    name: torch (by the very module that is trained) | vllm (by an engine of its own, to which weights are pushed; section vllm).
    compiled: the torch generator's decoding step as machine code of this processor, made once for all models of one shape and kept
        among the artefacts (float32 Llama and Qwen2 models of at most 30M parameters on a CPU; needs a C++ compiler).
    """

    name: str = "torch"
    compiled: bool = False
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 96
    max_concurrent_sequences: int = 512

    def __post_init__(self) -> None:
        one_of("generator.name", self.name, GENERATORS)
        _decoding_ranges("generator", self)
        at_least("generator.max_concurrent_sequences", self.max_concurrent_sequences, 1)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)


@dataclass
class TrainerConfig(LearningRateConfig):
    """AdamW on packed micro-batches.

    name: torch (a whole copy of each model on every rank) | deepspeed (section `deepspeed` says what the ranks divide).
    steps: rollouts (one step = one rollout and its updates). schedule: constant | linear (to zero at the last step).
    token_budget: end with the step in which this many response tokens are reached, `steps` staying the upper limit; 0 = none.
    budget_counts: what the budget is of: tokens sampled by the policy, or trained (each epoch counted).
    compiled: the torch trainer's passes through policy, reference and value model by torch.compile (needs a C++ compiler on a CPU;
        compiles for up to a minute at the start). Stages before the run, such as SFT, are the same with and without it.
    micro_batch_tokens, row_tokens: packing (tokens per forward pass and per packed row); memory, not results, depends on them.
    """

    name: str = "torch"
    compiled: bool = False
    steps: int = 48
    token_budget: int = 0
    budget_counts: str = "sampled"
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    adam_eps: float = 1e-8
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 2048
    row_tokens: int = 192

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("trainer.name", self.name, TRAINERS)
        at_least("trainer.steps", self.steps, 0)
        at_least("trainer.token_budget", self.token_budget, 0)
        one_of("trainer.budget_counts", self.budget_counts, ("sampled", "trained"))
        if self.token_budget and self.schedule != "constant":
            raise ConfigError(
                f"trainer.schedule={self.schedule} is shaped by the last step, which a run with trainer.token_budget="
                f"{self.token_budget} does not know beforehand; set trainer.schedule=constant, or trainer.token_budget=0"
            )
        not_negative("trainer.weight_decay", self.weight_decay)
        between("trainer.beta1", self.beta1, 0.0, 0.9999999)
        between("trainer.beta2", self.beta2, 0.0, 0.9999999)
        positive("trainer.adam_eps", self.adam_eps)
        positive("trainer.max_grad_norm", self.max_grad_norm)
        at_least("trainer.micro_batch_tokens", self.micro_batch_tokens, 1)
        at_least("trainer.row_tokens", self.row_tokens, 1)


@dataclass
class SftStageConfig(LearningRateConfig):
    """Training on demonstrations as a stage, which makes a policy from that of another stage.

    demonstrations: how many to use (0 = all the task has). trainer: torch | deepspeed, "" = as `trainer.name`; named where runs on
    different trainers are to start from the same policy, which two trainers make alike but for rounding.
    """

    SECTION = "sft"

    seed: int = 0
    demonstrations: int = 20000
    steps: int = 1800
    sequences_per_step: int = 32
    learning_rate: float = 3e-3
    schedule: str = "linear"
    warmup_steps: int = 20
    trainer: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("sft.trainer", self.trainer, ("", *TRAINERS))
        at_least("sft.demonstrations", self.demonstrations, 0)
        at_least("sft.steps", self.steps, 0)
        at_least("sft.sequences_per_step", self.sequences_per_step, 1)


@dataclass
class RunConfig:
    """checkpoint_every, curve_every, samples_every: in steps, 0 = only at the end. curve_problems: per slice, on `curve_split`.

    sinks: tensorboard, wandb: where the numbers of metrics.jsonl and curve.jsonl go as well.
    """

    checkpoint_every: int = 20
    keep_checkpoints: int = 2
    curve_every: int = 8
    curve_problems: int = 100
    curve_split: str = "validation"
    samples_every: int = 16
    samples: int = 4
    sinks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "curve_every", "curve_problems", "samples_every", "samples"):
            at_least(f"logging.{name}", getattr(self, name), 0)
        at_least("logging.keep_checkpoints", self.keep_checkpoints, 1)
        one_of("logging.curve_split", self.curve_split, ("train", "validation", "test"))
        for name in self.sinks:
            one_of("logging.sinks", name, ("tensorboard", "wandb"))


@dataclass
class EvaluationConfig:
    """problems: per slice (0 = all). samples: responses per problem at these decoding settings, beside one greedy response.

    responses_per_chunk: about how many responses are sampled and stored at a time: what a killed evaluation loses at most.
    """

    split: str = "test"
    problems: int = 200
    samples: int = 64
    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    max_new_tokens: int = 96
    seed: int = 0
    responses_per_chunk: int = 4096

    def __post_init__(self) -> None:
        one_of("evaluation.split", self.split, ("train", "validation", "test"))
        at_least("evaluation.problems", self.problems, 0)
        at_least("evaluation.samples", self.samples, 0)
        at_least("evaluation.responses_per_chunk", self.responses_per_chunk, 1)
        _decoding_ranges("evaluation", self)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)


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


@dataclass
class Config:
    """A complete, resolved configuration of one run.

    method: a row of the table (`unified-rl methods`); "" = the paper's own, GRPO with outcome supervision.
    init: the stage of the chain whose policy training starts from; "" = the last one that makes a policy. stages: the chain, in
        order, by name (configs/chain.yaml; docs/stages.md).
    reference: Hugging Face directory of the reference policy; "" = the policy that training starts from.
    teacher: Hugging Face directory of the teacher, for coefficients that need one.
    losses: weights of further losses of the policy by name (`unified_rl/methods/losses.py`), e.g. losses.entropy_bonus=0.01.
    artifacts: folder of the stages' content-addressed results. threads: CPU threads (0 = all cores).
    """

    run_dir: str = ""
    method: str = ""
    label: str = ""
    stack: str = "tiny"
    seed: int = 0
    resume: bool = False
    threads: int = 0
    artifacts: str = "artifacts"
    init: str = ""
    reference: str = ""
    teacher: str = ""
    task: TaskConfig = field(default_factory=TaskConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    coefficient: Any = None  # options of the coefficient, a dataclass of its own (`unified_rl/methods`)
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    importance: ImportanceConfig = field(default_factory=ImportanceConfig)
    losses: dict[str, float] = field(default_factory=dict)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    deepspeed: DeepSpeedConfig = field(default_factory=DeepSpeedConfig)
    vllm: VllmConfig = field(default_factory=VllmConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)
    sft: SftStageConfig = field(default_factory=SftStageConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    iterate: IterateConfig = field(default_factory=IterateConfig)
    logging: RunConfig = field(default_factory=RunConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        at_least("threads", self.threads, 0)


def _decoding_ranges(section: str, config: Any) -> None:
    not_negative(f"{section}.temperature", config.temperature)
    if not 0 < config.top_p <= 1:
        raise ConfigError(f"{section}.top_p={config.top_p} must lie in (0, 1]")
    at_least(f"{section}.top_k", config.top_k, 0)
    at_least(f"{section}.max_new_tokens", config.max_new_tokens, 1)
