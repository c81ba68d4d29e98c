"""Training on rows of tokens from a weighted mix of sources, from the policy of another stage. No torch until it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.config.lora import LoraConfig
from unified_rl.config.schema import Config
from unified_rl.presets import chain, loading
from unified_rl.presets.chain import POLICY, Kind, Work
from unified_rl.records.artifacts import Artifact, ArtifactStore, Stage
from unified_rl.records.runs import checkpoint_name
from unified_rl.stages.fingerprints import trainer_settings
from unified_rl.stages.kinds.sft import METHOD, SHARED

RECIPE = 1
LABEL = "pre-training"
#: The command whose runs are pre-training.
COMMAND = "pretrain"
#: Sections that the stage has in common with the run it is made for.
_SHARED = (*SHARED, "architecture", "plan", "pretraining")
#: Of section pretraining: what the optimiser has in section trainer, and what only says where the world comes from.
_NOT_IN_KEY = frozenset({"trainer", "world", "seed", "weight_decay", "tokens"})


def stage(run: Config, inputs: Mapping[str, Stage | Artifact]) -> Stage:
    """The model after the last step of the stage's run. Raises ConfigError where its mix has no source."""
    from unified_rl.stages.pretraining_data import fingerprint

    def make(folder: Path, inputs: Mapping[str, Artifact], store: ArtifactStore) -> None:
        from unified_rl.stages.pretraining import run_pretraining
        from unified_rl.stages.trained import run_inside

        run_inside(folder, run, store.ranks, lambda own, on_step: run_pretraining(own, on_step, store.ranks, inputs["policy"]))

    section = run.pretraining
    check(run)
    unread = {*_NOT_IN_KEY, *section.learning_rates, "sources", "held_out"}
    return Stage(
        kind="pretrain",
        settings={
            **{name: value for name, value in asdict(section).items() if name not in unread},
            "sources": [[one.name, one.weight, fingerprint(run, one.path)] for one in section.sources],
            "measured": {name: fingerprint(run, path) for name, path in section.measured.items()},
            "seed": run.seed,
            "trainer": trainer_settings(run.trainer),
            "dtype": run.model.dtype,
        },
        inputs=inputs,
        make=make,
        recipe=RECIPE,
        output=f"checkpoints/{checkpoint_name(run.trainer.steps)}/policy",
        together=True,
    )


def check(config: Config) -> None:
    """Refuse a mix of nothing. Raises ConfigError."""
    if not config.pretraining.sources:
        raise ConfigError(
            "pretraining.sources is empty; set mix=FILE.yaml (docs/pretraining.md), or "
            "pretraining.sources='[{name: mathematics, path: DIR, weight: 1}]'"
        )
    if config.model.lora.path:
        raise ConfigError(
            f"model.lora.path={config.model.lora.path}: pre-training trains whole weights; give it a whole model (model.path)"
        )


def as_run(config: Config) -> Config:
    """The stage as a run of its own, as long as the budget of section pretraining: the likelihood row, on rows of tokens.

    Whole weights are trained, also where later stages train adapters.
    """
    preset, section = _preset(config.stack), config.pretraining
    shared = {name: getattr(config, name) for name in _SHARED}
    return replace(
        preset,
        **shared | {"model": replace(config.model, lora=LoraConfig())},
        seed=section.seed,
        label=LABEL,
        data=config.data,
        rollout=replace(preset.rollout, prompts_per_step=section.rows_per_step, responses_per_prompt=1),
        trainer=replace(
            config.trainer,
            name=section.trainer or config.trainer.name,
            steps=section.steps,
            compiled=False,
            token_budget=0,
            weight_decay=section.weight_decay,
            row_tokens=section.context_tokens,
            micro_batch_tokens=max(config.trainer.micro_batch_tokens, section.context_tokens),
            **section.learning_rates,
        ),
        logging=replace(
            preset.logging, checkpoint_every=section.checkpoint_every, keep_checkpoints=1, curve_problems=0, samples=0
        ),
    )


@cache
def _preset(stack: str) -> Config:
    return loading.compose([f"method={METHOD}", f"stack={stack}"])


def runs_of(words: Sequence[str]) -> list[Config]:
    """What `unified-rl pretrain` trains with these words, in order: the pre-training stages before it, then its own run."""
    own = command_config(words)
    needed = chain.with_ancestors(own, [own.init])
    before = [name for name in needed if chain.kind_of(own, name) is KIND]
    return [replace(loading.stage_config(own, name), label=f"{LABEL}, stage {name}") for name in before] + [own]


def command_config(words: Sequence[str]) -> Config:
    """The configuration of `unified-rl pretrain`: from the last such stage of the chain, or the model before any training.

    `seed` is that of all its stages, unless they have their own.

    Raises:
        ConfigError: as `loading.load_config`; a mix without a source.
    """
    given = loading.parse_words(words)
    if "seed" in given and "seed" not in given.get("pretraining", {}):
        words = [*words, f"pretraining.seed={given['seed']}"]
    config = loading.load_config(words)
    check(config)
    trained = [name for name in config.stages if chain.kind_of(config, name) is KIND]
    start = config.init if given.get("init") else (trained or [chain.root(config)])[-1]
    run = as_run(config)
    label = config.label if "label" in given else LABEL
    return replace(run, run_dir=config.run_dir, resume=config.resume, init=start, mix=config.mix, label=label)


def config_of(command: str, words: Sequence[str]) -> Config:
    """The configuration that a run of a command with these words stores. Raises ConfigError."""
    return command_config(words) if command == COMMAND else loading.load_config(words)


def work(run: Config) -> Work:
    """Every token of every row is trained on."""
    return Work(trained=run.trainer.steps * run.pretraining.step_tokens)


KIND = Kind(
    provides=POLICY,
    needs={"policy": POLICY},
    stage=stage,
    as_run=as_run,
    work=work,
    words=lambda config: f"a model pre-trained on {config.pretraining.tokens:,} tokens",
)
