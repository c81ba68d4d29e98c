"""The configuration schema: one dataclass per section, with defaults, units and range checks. No torch.

`loading.load_config` composes defaults, a stack, a method and `key=value` overrides into a `Config`. Each coefficient has its own
dataclass (`methods/`), so an option that a coefficient does not have is an error, not a silently ignored line. The
source's options stand beside the sources (`sources/settings.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from unified_rl.config.axes import AggregationConfig, ImportanceConfig
from unified_rl.config.engines import DeepSpeedConfig, VllmConfig
from unified_rl.config.plan import ArchitectureConfig, PlanConfig
from unified_rl.config.pretraining import PretrainingConfig
from unified_rl.config.problems import DataConfig, ModelConfig, TaskConfig
from unified_rl.config.ranges import at_least
from unified_rl.config.records import EvaluationConfig, IterateConfig, RunConfig
from unified_rl.config.reward_models import RewardModelConfig
from unified_rl.config.rewards import SEVERAL, RewardConfig, RewardPart
from unified_rl.config.stages import StageConfig
from unified_rl.config.training import GeneratorConfig, RolloutConfig, SftStageConfig, TrainerConfig
from unified_rl.sources.settings import SourceConfig


@dataclass
class Config:
    """A complete, resolved configuration of one run.

    run_dir: folder of the run, made where it is missing; "" = a command that needs none. resume: go on with the run that is there.
    label: what tables and figures call the run; "" = its row, and what of its axes is otherwise than the row's.
    stack: sizes and tuning of a world: tiny, deepseekmath_7b, another of presets/configs/stack, or a YAML file of one's own.
    seed: of prompts, samples and minibatches; every stage has a seed of its own.
    method: a row of the table (`unified-rl methods`); "" = the paper's own, GRPO with outcome supervision.
    dialect: whose defaults of it: paper | trl | verl | openrlhf | nemo_rl | prime_rl | open_instruct | slime (docs/dialects.md).
    init: the stage of the chain whose policy training starts from; "" = the last one that makes a policy. stages: the chain, in
        order, by name (configs/chain.yaml; docs/stages.md).
    mix: settings of pre-training by name: a file of configs/mix, or FILE.yaml (docs/pretraining.md).
    reference: Hugging Face directory of the reference policy; "" = the policy that training starts from.
    teacher: Hugging Face directory of the teacher, for coefficients that need one.
    jsd_beta: the teacher's share in the mixture of losses.teacher_jsd: 0.5 is the Jensen-Shannon divergence.
    losses: weights of further losses of the policy by name (`unified_rl/methods/losses.py`), e.g. losses.entropy_bonus=0.01.
    artifacts: folder of the stages' content-addressed results. threads: CPU threads (0 = all cores).
    """

    run_dir: str = ""
    method: str = ""
    dialect: str = "paper"
    label: str = ""
    stack: str = "tiny"
    seed: int = 0
    resume: bool = False
    threads: int = 0
    artifacts: str = "artifacts"
    init: str = ""
    mix: str = ""
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
    jsd_beta: float = 0.5
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    deepspeed: DeepSpeedConfig = field(default_factory=DeepSpeedConfig)
    vllm: VllmConfig = field(default_factory=VllmConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    sft: SftStageConfig = field(default_factory=SftStageConfig)
    reward_model: RewardModelConfig = field(default_factory=RewardModelConfig)
    iterate: IterateConfig = field(default_factory=IterateConfig)
    logging: RunConfig = field(default_factory=RunConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    architecture: ArchitectureConfig = field(default_factory=ArchitectureConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)

    def __post_init__(self) -> None:
        at_least("threads", self.threads, 0)
        if self.reward.source == SEVERAL and not self.reward.parts:  # here, and not in the row: a user's parts replace these
            own = getattr(self.coefficient, "own_rewards", {})
            self.reward = replace(self.reward, parts={name: RewardPart(source) for name, source in own.items()})
