"""The sections of rollouts, sampling and updates, and of the SFT stage. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Decoding
from unified_rl.config.decoding import decoding_ranges
from unified_rl.config.engines import GENERATORS, TRAINERS
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive
from unified_rl.config.stages import LearningRateConfig


@dataclass
class RolloutConfig:
    """One step's batch of responses, and the updates that are made of it.

    prompts_per_step: prompts of a step. responses_per_prompt: responses to each, a group (demonstrations have one).
    epochs: passes over the step's responses. minibatches: updates of a pass, each on its share of the groups.
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
    """How training samples are drawn. Training needs the whole support.

    temperature: of the softmax; log-probs are those at this temperature. top_p: nucleus, 1 = everything. top_k: most likely tokens
        that may be drawn, 0 = all. max_new_tokens: the longest response, its end token included, in tokens.
    max_concurrent_sequences: responses that are decoded at a time; memory, not results, depends on it.
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
        decoding_ranges("generator", self)
        at_least("generator.max_concurrent_sequences", self.max_concurrent_sequences, 1)

    @property
    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.top_k, self.max_new_tokens)


@dataclass
class TrainerConfig(LearningRateConfig):
    """AdamW on packed micro-batches.

    learning_rate: AdamW's, per update. weight_decay: AdamW's. beta1, beta2: decay rates of AdamW's first and second
        moment. adam_eps: added to AdamW's denominator. max_grad_norm: longer gradients are cut to this length.
    name: torch (a whole copy of each model on every rank) | deepspeed (section `deepspeed` says what the ranks divide).
    steps: rollouts (one step = one rollout and its updates). schedule, and what shapes it: config/stages.py.
    token_budget: end with the step in which this many response tokens are reached, `steps` staying the upper limit; 0 = none.
    budget_counts: what the budget is of: tokens sampled by the policy, or trained (each epoch counted).
    compiled: the passes through policy, reference and value model by torch.compile (needs a C++ compiler on a CPU, and whole
        weights, not ZeRO-3; compiles for up to a minute at the start). Stages before the run, such as SFT, are the same with and
        without it.
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

    seed: of the order of the demonstrations, and of what is later sampled from the frozen policy (stored samples, data of reward
        models). steps: updates. sequences_per_step: demonstrations of an update. learning_rate: AdamW's, at its highest.
    schedule: as trainer.schedule (linear: to zero at the last step). demonstrations: how many to use (0 = all the task has).
    trainer: torch | deepspeed, "" = as `trainer.name`; named where runs on different trainers are to start from the same policy,
        which two trainers make alike but for rounding.
    """

    SECTION = "sft"

    seed: int = 0
    demonstrations: int = 0
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
