"""A policy as it stands, its responses, and every method's coefficients on the same responses. Nothing is trained.

The responses are the policy's own; methods that would take theirs from elsewhere (RFT, DPO: stored samples; SFT: demonstrations)
are asked what they would make of these. So coefficients differ by method alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from unified_rl.base import rng
from unified_rl.base.errors import CheckpointError, ConfigError, DataError
from unified_rl.base.types import Draw, Group, Prompt, Reward, ScoredResponse, Split, Task
from unified_rl.config.schema import Config
from unified_rl.loop.chance import uniform
from unified_rl.loop.mismatched import mismatched_kl
from unified_rl.loop.rollout import Rollout, collate
from unified_rl.loop.surrogate import CompanionLoss, aggregation_weights
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.methods.base import Coefficient, Inputs
from unified_rl.methods.losses import of_role
from unified_rl.methods.signals import SIGNALS, beside_policy, of_chance, of_reward, of_source, per_prompt
from unified_rl.models.policy_model import ValueModel, build_value_model, load_policy
from unified_rl.models.roles import policy_role, value_role
from unified_rl.ops.terms import Terms
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.presets import loading
from unified_rl.records import runs
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.rewards import ExactProcessReward, OutcomeReward
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import GreedyBeside, score_groups
from unified_rl.sources.greedy import WRAPPER as GREEDY
from unified_rl.stages import stored, world
from unified_rl.stages.chain import initial_policy
from unified_rl.stages.models import model_dtype
from unified_rl.stages.solutions import solution_generator
from unified_rl.stages.threads import use_threads
from unified_rl.training.optimiser import AdamWOptions
from unified_rl.training.passes import evaluate_role
from unified_rl.training.torch_trainer import TorchTrainer

#: What `sample` draws beside each group.
DRAWN = GREEDY.gives
NO_MODEL = "none: V = 0"


@dataclass
class Frozen:
    """A policy and what its coefficients need.

    policy, reference: the models; step: training steps behind the policy. value: PPO's value model. words: what each of them is,
    for captions.
    """

    config: Config
    task: Task
    tokenizer: PreTrainedTokenizerBase
    policy: PreTrainedModel
    reference: PreTrainedModel
    value: TorchTrainer
    words: dict[str, str]

    @property
    def layout(self) -> Layout:
        return Layout(self.config.trainer.row_tokens, self.config.trainer.micro_batch_tokens)


@dataclass(frozen=True)
class Scored:
    """Responses with everything that any coefficient reads: one row per response, in the order of the groups."""

    groups: list[Group]
    sequences: list[TokenSequence]
    inputs: Inputs
    logp_BT: Tensor

    @property
    def responses(self) -> list[ScoredResponse]:
        return [item for group in self.groups for item in group.responses]


@dataclass(frozen=True)
class Measured:
    """One method on these responses: its terms, its prepared inputs, and which of the responses its rows are."""

    method: str
    label: str
    terms: Terms
    inputs: Inputs
    rows: list[int]


def open_run(
    run_dir: Path, reference: Path | None = None, values_of: Path | None = None, threads: int = 0, allow_code: bool = False
) -> Frozen:
    """The latest policy of a finished (or unfinished) run.

    Args:
        reference: a run directory or a Hugging Face folder; by default the policy that the run started from, which is made again
            where the artefacts that the run's configuration names are gone.
        allow_code: see `stages.stored`.
        values_of: a PPO run whose value model to use; by default the run's own where it has one, else a head of zeros.

    Raises:
        ConfigError, CheckpointError, DataError: no run there, no checkpoint, or one that does not fit.
    """
    config = stored.read_run(run_dir, allow_code)
    stored.check_code(config.task.name, run_dir, allow_code)
    use_threads(threads or config.threads)
    checkpoint = runs.latest_checkpoint(run_dir)
    if checkpoint is None:
        raise CheckpointError(f"{run_dir} has no checkpoint; train it first (or go on with resume=true)")
    reference_path, words = (_given(reference), f"the policy in {reference.name}") if reference else _start(config)
    step = int(checkpoint.name.removeprefix("step_"))
    frozen = _frozen(config, checkpoint / "policy", reference_path)
    frozen.words = {"policy": f"{config.label or config.method}, seed {config.seed}, step {step}", "reference": words}
    _set_values(frozen, values_of, checkpoint)
    return frozen


def open_start(words: Sequence[str]) -> Frozen:
    """The policy that training with this configuration would start from. It is its own reference, so KL terms are exactly 0."""
    config = loading.load_config(["method=grpo", *words])
    use_threads(config.threads)
    path = initial_policy(config, ArtifactStore(Path(config.artifacts))).path
    frozen = _frozen(config, path, path)
    frozen.words = {"policy": "the policy that training starts from", "reference": "the same policy (so KL terms are 0)"}
    _set_values(frozen, None, None)
    return frozen


def sample(frozen: Frozen, prompts: Sequence[Prompt], per_prompt: int, stream: str, seed: int = 0) -> list[Group]:
    """`per_prompt` responses of the policy to each prompt, with the rule's verdict and, where the task can check steps, theirs.

    Beside each group there is a greedy response.

    Args:
        stream: name of the random stream. seed: which draw of it.
    """
    generator = solution_generator(frozen.config, TorchGenerator(frozen.policy, frozen.tokenizer), frozen.tokenizer)
    seeds = [[rng.derive_seed(seed, stream, place, index) for index in range(per_prompt)] for place in range(len(prompts))]
    decoding, reward = frozen.config.generator.decoding, _reward(frozen)
    groups = score_groups(reward, prompts, generator.generate(prompts, seeds, decoding, policy_version=0))
    return GreedyBeside(Fixed(groups), generator, reward, decoding).draw(0, 0).groups


@dataclass(frozen=True)
class Fixed:
    """A source of the same groups at every step."""

    groups: list[Group]

    def draw(self, step: int, policy_version: int) -> Draw:
        return Draw(self.groups)


def prompts(frozen: Frozen, split: Split, count: int, slice_name: str | None = None) -> list[Prompt]:
    """The first `count` prompts of a split and slice (None: the task's first)."""
    return world.as_prompts(list(frozen.task.problems(split, count, slice_name)), frozen.tokenizer, frozen.config)


def has_step_checks(frozen: Frozen) -> bool:
    """Whether the task can check steps, which process supervision needs here."""
    try:
        frozen.task.check_steps(frozen.task.problems("train", 1)[0], "")
    except (ConfigError, AttributeError):  # a user's task may leave the method out
        return False
    return True


def measurable(frozen: Frozen, names: Sequence[str]) -> list[str]:
    """The methods among `names` that can be measured here: without step checks, none under process supervision, and none that reads
    another model than those of `Frozen`, or what only a run keeps of its prompts.

    Raises:
        ConfigError: there is no such method.
    """
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise ConfigError(f"there is no method {unknown[0]!r}; choose from: {', '.join(METHODS)}")
    steps = has_step_checks(frozen)
    return [name for name in names if (METHODS[name].supervision != "process" or steps) and not _reads_more(name)]


def _reads_more(method: str) -> bool:
    """Whether a method reads a model that a run does not have of itself, or what is kept of prompts."""
    needs = COEFFICIENTS[METHODS[method].coefficient].needs
    kept = {one.name for one in (*of_source(needs), *per_prompt(needs))} - DRAWN
    return bool(kept) or any(role.setting for role in beside_policy(needs))


def score(frozen: Frozen, groups: Sequence[Group]) -> Scored:
    """The log-probs and values that coefficients read, for scored groups."""
    device = next(frozen.policy.parameters()).device
    rollout = collate(groups, device, process=has_step_checks(frozen), pairs=False)
    role = policy_role(frozen.config.generator.temperature)
    of_pass = {one.field: one.output for one in SIGNALS.values() if one.when == "micro_batch" and not beside_policy({one.name})}
    with_all = policy_role(frozen.config.generator.temperature, beside=frozenset(of_pass.values()))
    outputs = evaluate_role(frozen.policy, with_all, rollout.sequences, frozen.layout)
    logp_BT = outputs["logp"]
    beside = {field: outputs[output] for field, output in of_pass.items()}
    inputs = replace(
        rollout.inputs,
        old_logp_BT=logp_BT,  # one update per rollout: the policy is the one that sampled
        ref_logp_BT=evaluate_role(frozen.reference, role, rollout.sequences, frozen.layout)["logp"],
        values_BT=frozen.value.outputs(rollout.sequences)["value"],
        more={**_one_part(rollout.inputs.rewards_B), **_of_update(frozen, rollout), **rollout.inputs.more, **beside},
    )
    return Scored(rollout.groups, list(rollout.sequences), inputs, logp_BT)


def _of_update(frozen: Frozen, rollout: Rollout) -> dict[str, Tensor]:
    """What would precede an update: what responses after others' prompts say, and what is drawn."""
    role = policy_role(frozen.config.generator.temperature)
    policy, reference = (
        partial(evaluate_role, model, role, layout=frozen.layout) for model in (frozen.policy, frozen.reference)
    )
    inputs = rollout.inputs
    found = mismatched_kl(rollout.sequences, inputs.response_mask_BT, inputs.group_B, policy, reference)
    drawn = uniform(frozen.config.seed, 0, np.arange(len(rollout.sequences)), inputs.response_mask_BT)
    return {
        **{signal.field: found for signal in SIGNALS.values() if signal.when == "update"},
        **{signal.field: drawn for signal in of_chance(SIGNALS)},
    }


def _one_part(rewards_B: Tensor) -> dict[str, Tensor]:
    """One reward as several are given to coefficients."""
    value, weight = of_reward(("reward_parts", "reward_weights"))
    return {value.field: rewards_B[:, None], weight.field: torch.ones_like(rewards_B)[:, None]}


def measure(frozen: Frozen, method: str, scored: Scored) -> Measured:
    """A method's terms, with the options that it has on this stack.

    A method on pairs is given the pairs that it could make of each group: right with wrong responses, one to one, in order.

    Raises:
        DataError: the method works on pairs, and no group has both a right and a wrong response.
    """
    row = METHODS[method]
    options = loading.compose([f"method={method}", f"stack={frozen.config.stack}"]).coefficient
    coefficient: Coefficient = options
    inputs, rows = scored.inputs, list(range(len(scored.sequences)))
    if row.supervision != "process":
        inputs = replace(inputs, step_rewards_BT=None, step_ends_BT=None)
    if "pairs" in coefficient.needs:
        pairs = as_pairs(scored)
        if not pairs:
            raise DataError(f"{row.label} needs pairs, but no prompt has both a right and a wrong response among these")
        rows = [place for pair in pairs for place in pair]
        inputs = _paired(inputs, rows)
    inputs = coefficient.prepare(inputs)
    terms = coefficient.terms(scored.logp_BT[rows], inputs)
    return Measured(method, row.label, terms, inputs, rows)


def as_pairs(scored: Scored) -> list[tuple[int, int]]:
    """Rows of right responses matched with rows of wrong ones to the same prompt, one to one, in the order of sampling."""
    pairs, place = [], 0
    for group in scored.groups:
        right = [place + i for i, item in enumerate(group.responses) if item.score.judged_correct]
        wrong = [place + i for i, item in enumerate(group.responses) if not item.score.judged_correct]
        pairs += list(zip(right, wrong, strict=False))
        place += len(group.responses)
    return pairs


def reads_values(method: str) -> bool:
    """Whether a method learns a value model."""
    return "values" in COEFFICIENTS[METHODS[method].coefficient].needs


def fit_values(frozen: Frozen, groups: Sequence[Group], updates: int) -> None:
    """Fit a value model to the policy's own responses by the companion update of a method that has one, `updates` times."""
    scored = score(frozen, groups)
    inputs = measure(frozen, next(name for name in METHODS if reads_values(name)), scored).inputs
    weights_B = aggregation_weights("sequence_mean", inputs, 1, "keep")
    for _ in range(updates):
        frozen.value.update(scored.sequences, CompanionLoss(of_role("value"), inputs, weights_B))
    frozen.words["values"] = f"fitted to {len(scored.sequences)} responses of the policy by {updates} updates"


def _paired(inputs: Inputs, rows: list[int]) -> Inputs:
    device = inputs.group_B.device
    chosen = torch.tensor([True, False] * (len(rows) // 2), device=device)
    pair_B = torch.arange(len(rows) // 2, device=device).repeat_interleave(2)
    return replace(inputs.rows(torch.tensor(rows, device=device)), chosen_B=chosen, group_B=pair_B)


def _start(config: Config) -> tuple[Path, str]:
    if config.reference:
        return Path(config.reference), "the run's reference policy"
    path = initial_policy(config, ArtifactStore(Path(config.artifacts))).path
    return path, "the policy that the run started from"


def _given(path: Path) -> Path:
    checkpoint = runs.latest_checkpoint(path)
    if checkpoint is None and not (path / "config.json").is_file():
        raise CheckpointError(f"reference={path} holds neither a run with a checkpoint nor a Hugging Face model")
    return checkpoint / "policy" if checkpoint else path


def _frozen(config: Config, policy_path: Path, reference_path: Path) -> Frozen:
    dtype, device = model_dtype(config), config.model.device
    policy, tokenizer = load_policy(policy_path, dtype, device)
    reference, _ = load_policy(reference_path, dtype, device)
    value = _value_trainer(config, build_value_model(policy))
    return Frozen(config, world.make_task(config), tokenizer, policy, reference, value, {})


def _set_values(frozen: Frozen, values_of: Path | None, checkpoint: Path | None) -> None:
    """The value model of a PPO run, or a head of zeros until `fit_values`."""
    given = runs.latest_checkpoint(values_of) if values_of else checkpoint
    if values_of and (given is None or not (given / "value").is_dir()):
        raise CheckpointError(f"values={values_of} has no value model; name a finished run of method=ppo")
    if given is None or not (given / "value").is_dir():
        frozen.words["values"] = NO_MODEL
        return
    model = ValueModel.load(given / "value", model_dtype(frozen.config), frozen.config.model.device)
    frozen.value = _value_trainer(frozen.config, model)
    frozen.words["values"] = "the run's own" if not values_of else f"of the run {values_of.name}"


def _value_trainer(config: Config, model: ValueModel) -> TorchTrainer:
    options = AdamWOptions(learning_rate=1e-3, total_updates=1)
    return TorchTrainer(model, value_role(), options, Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens))


def _reward(frozen: Frozen) -> Reward:
    return ExactProcessReward(frozen.task, frozen.tokenizer) if has_step_checks(frozen) else OutcomeReward(frozen.task)
