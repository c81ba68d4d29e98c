"""The sections of the problems, the data and the policy before any training. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.config.demonstrations import BATCHES, DemonstrationFile
from unified_rl.config.lora import LoraConfig
from unified_rl.config.ranges import at_least, one_of, positive

SOLUTIONS = ("chain_of_thought", "program_of_thought", "tool_integrated", "letter_likelihood")


@dataclass
class TaskConfig:
    """The problems, and how they are put to the policy.

    name: arithmetic | countdown | gsm8k | a benchmark (docs/benchmarks.md) | table (any file of records) | FILE.py:CLASS.
    template: see tasks/templates.py: deepseek | chat | few_shot | letters | completion | arithmetic | a text with "{question}".
    solution: chain_of_thought | program_of_thought (the response is a program, what it prints is the answer) | tool_integrated
        (the programs in a response are run, and it goes on after their output) | letter_likelihood (evaluation of multiple choice:
        nothing is sampled, the answer is the most likely letter).
    max_rounds: programs that are run in one tool-integrated response. shots: worked examples of a few-shot template (0 = all).
    examples: file of worked examples (records with question and solution); "" = the built-in ones.
    stop: texts at which a response ends, as at EOS; template few_shot stops by itself where the next example would begin.
    allow_unsandboxed: run model-written programs even where the machine cannot contain them (docs/sandbox.md).
    options: the task's constructor arguments.
    """

    name: str = "arithmetic"
    template: str = "completion"
    solution: str = "chain_of_thought"
    max_rounds: int = 3
    shots: int = 0
    examples: str = ""
    stop: list[str] = field(default_factory=list)
    allow_unsandboxed: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("task.solution", self.solution, SOLUTIONS)
        at_least("task.max_rounds", self.max_rounds, 1)
        at_least("task.shots", self.shots, 0)


@dataclass
class DataConfig:
    """The data of the task.

    path: file or directory of the task's data, or hub:OWNER/NAME. prompts: training prompts in the pool (0 = all).

    slices: the task's slices that training prompts come from, in equal shares; [] = the task's first, on which it is demonstrated.
    demonstrations: files of demonstrations and their weights in the mix (docs/demonstrations.md); [] = the task's own solutions.
        A file's form and language choose its instruction, in place of task.solution.
    batch: what a step of that mix counts: demonstrations, or the rows of context_tokens that they fill (the paper's SFT).
    too_long: of prompts that leave no room for a response in the model's context: refuse the run, or drop them.
    context_tokens: the longest demonstration, its prompt and EOS included; longer ones are left out, and reported.
    """

    path: str = ""
    prompts: int = 0
    slices: list[str] = field(default_factory=list)
    demonstrations: list[DemonstrationFile] = field(default_factory=list)
    batch: str = "demonstrations"
    too_long: str = "refuse"
    context_tokens: int = 4096

    def __post_init__(self) -> None:
        at_least("data.prompts", self.prompts, 0)
        one_of("data.batch", self.batch, BATCHES)
        one_of("data.too_long", self.too_long, ("refuse", "drop"))
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
    """The policy before any training: a Hugging Face or adapter's directory, or a Llama of this shape from scratch.

    path: directory of a Hugging Face causal language model, or its name on the Hub; "" = from scratch, with the fields below.
    hidden_size: width. num_layers: decoder layers. num_heads: attention heads, which divide the width. intermediate_size: width of
        the feed-forward layers. max_positions: the longest prompt with its response, in tokens. seed: of the initial weights.
    init_std: std of the initial weights; small widths learn several times faster with more than the usual 0.02.
    tokenizer: a folder with a Hugging Face tokenizer for a model from scratch, or
        world:tokenizer (docs/pretraining.md); "" = the task's own, or one that is trained.
    vocabulary: size of the tokenizer trained on the task's text, where the task does not bring its own.
    dtype: float32 | bfloat16 | float16. device: cpu | cuda | cuda:N. lora: train low-rank adapters in place of all weights.
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
    tokenizer: str = ""
    dtype: str = "float32"
    device: str = "cpu"
    lora: LoraConfig = field(default_factory=LoraConfig)

    def __post_init__(self) -> None:
        one_of("model.dtype", self.dtype, ("float32", "bfloat16", "float16"))
        positive("model.init_std", self.init_std)
        for name in ("hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions", "vocabulary"):
            at_least(f"model.{name}", getattr(self, name), 1)
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"model.hidden_size={self.hidden_size} is not a multiple of model.num_heads={self.num_heads}; change one of them"
            )
