"""What the measurements are told on the command line. No torch, so that help and refusals come at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Split
from unified_rl.config.ranges import at_least, one_of
from unified_rl.methods import DEFAULT

#: Their content is in `labs.reward_models`.
REWARD_MODEL_PRESETS = ("smoke", "default", "full")


@dataclass(frozen=True)
class ConformanceOptions:
    """Whose gradients ours are compared with.

    peer: beginnings of projects' names; none = all that the golden file has. golden: a golden file, or a folder of some. dialects:
    the dialects' lines in place of those that were written for each loss.
    """

    peer: list[str] = field(default_factory=list)
    dialects: bool = False
    golden: Path = Path("tests/data/golden")


@dataclass(frozen=True)
class AuditOptions:
    """Whose rollouts, and which losses.

    rollouts: a file of another trainer's dump (TRL's Parquet, verl's JSONL, records with tokens and log-probs), or a folder.
    as_: the dialect whose loss it was. against: another's. method: whose loss, of both. tokenizer: a folder with one, for dumps
    without tokens. model, reference: folders of models by which old and reference log-probs are computed where the dump has none.
    limit: the longest response that was allowed, in tokens, for dumps that do not say what was truncated; 0 = unknown.
    prompt: whose responses are shown token by token: its id, or its text where the dump has no ids; none = the one on which
    the losses disagree most. out: folder for tables, figure and report.
    """

    rollouts: Path
    as_: str = "paper"
    against: str = "paper"
    method: str = DEFAULT
    tokenizer: str = ""
    model: str = ""
    reference: str = ""
    limit: int = 0
    prompt: str = ""
    out: Path = Path("runs/audit")

    def __post_init__(self) -> None:
        at_least("limit", self.limit, 0)


@dataclass(frozen=True)
class BiasLabOptions:
    """What is computed.

    questions: rows (every row against every objective), weight, group_size, length, aggregation, kl, staleness, temperature, top_p,
    truncation, dialects; none = all. methods: rows of the table, for the question `rows`; none = all. out: folder for tables,
    figures and numbers.
    """

    questions: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    out: Path = Path("runs/bias_lab")


@dataclass(frozen=True)
class PolicyOptions:
    """Which policy is measured, by which methods, on which problems.

    run: a run's directory, whose latest policy it is; "" = the policy that training with the further words would start from.
    reference: a run or a Hugging Face folder; by default the policy that the run started from. values: a PPO run whose value model
    is used; by default the run's own, or one fitted here to other responses. methods: names of the table; none = all that can be
    measured. split: of the problems. slice: of the problems; "" = the task's first. seed: which draw of responses. threads: of this
    process; 0 = as the configuration says. allow_code: also import a task's code that came with the run.
    """

    run: str = ""
    reference: str = ""
    values: str = ""
    methods: list[str] = field(default_factory=list)
    split: Split = "validation"
    slice: str = ""
    seed: int = 0
    threads: int = 0
    allow_code: bool = False

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        at_least("threads", self.threads, 0)
        if not self.run and (self.reference or self.values):
            raise ConfigError("reference= and values= go with run=, which names the policy")


@dataclass(frozen=True)
class MicroscopeOptions(PolicyOptions):
    """One prompt under the microscope.

    responses: sampled to it. prompt: a problem's id; "" = the first of a hundred whose responses come nearest to being half right.
    out: folder for the table and the figure.
    """

    responses: int = 8
    prompt: str = ""
    out: Path = Path("runs/microscope")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.responses < 2:
            raise ConfigError(
                f"responses={self.responses}: coefficients compare responses with each other; set it to 2 or more"
            )


@dataclass(frozen=True)
class PassRateOptions(PolicyOptions):
    """How many prompts and responses.

    prompts: the first so many of the split. samples: responses to each. group: they are scored in groups of this size. out: folder
    for facts, table and figure.
    """

    prompts: int = 128
    samples: int = 64
    group: int = 8
    out: Path = Path("runs/pass_rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group < 2 or self.samples < 1 or self.samples % self.group or self.prompts < 1:
            raise ConfigError(
                f"samples={self.samples} must be a multiple of group={self.group}, which must be at least 2; prompts at least 1"
            )


@dataclass(frozen=True)
class RewardModelsOptions:
    """How large the comparison is.

    preset: smoke (a minute), default, or full (with soft and exact labels). out: folder for facts, table and figure; by default
    runs/reward_models_PRESET.
    """

    preset: str = "default"
    out: str = ""

    def __post_init__(self) -> None:
        one_of("preset", self.preset, REWARD_MODEL_PRESETS)


@dataclass(frozen=True)
class FirstErrorOptions:
    """What is judged by what.

    model: directory of a reward model, whatever its backbone. data: file of records {"question", "steps": [...],
    "first_error_step": 1-based or null}. out: folder for facts and table. template: how questions are put (task.template). device:
    cpu or cuda.
    """

    model: Path
    data: Path
    out: Path = Path("runs/first_error")
    template: str = "completion"
    device: str = "cpu"
