"""Iterative RL (the paper's Algorithm 1): train, renew the reference and the reward model, train on; with the old ones as control.

    RUN_DIR/iteration_0/   steps 1 .. M with the initial reward model, then control steps with the same
    RUN_DIR/forks/1/       iteration 0's policy after M steps: where iteration 1 starts, and its reference
    RUN_DIR/iteration_1/   from there on with the reward model that was renewed on that policy's samples, then control steps; ...
    RUN_DIR/iterate.json   which policy, reference and reward model each iteration has
    RUN_DIR/agreement/     what each reward model says of the same held-out responses

Each iteration is an ordinary run directory. An iteration sees the prompts and sampling noise that its control sees at the same
step, so the two differ in what was renewed (and in the optimiser's state, which starts anew).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import transformers

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError, ConfigError, RunDirectoryError
from unified_rl.base.types import ONE_RANK, Ranks
from unified_rl.config.schema import Config
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.presets import chain, loading
from unified_rl.records import runs, seals
from unified_rl.records.artifacts import Artifact, ArtifactStore
from unified_rl.records.config_file import as_text
from unified_rl.records.progress import progress
from unified_rl.stages import world
from unified_rl.stages.chain import initial_policy
from unified_rl.stages.fingerprints import path_fingerprint
from unified_rl.stages.kinds.reward_samples import Samples, read_samples, samples_of
from unified_rl.stages.renewal import Renewal
from unified_rl.stages.rewards import initial_reward_model, model_reward
from unified_rl.stages.threads import use_threads
from unified_rl.stages.trained import shown_by_first
from unified_rl.stages.training import preflight, run_training

SCHEMA = 1
AGREEMENT_SAMPLES = 4
#: Settings that may differ when an iterative run is taken up again.
_RESUMABLE = ("run_dir", "resume", "artifacts", "label", "threads")
_LOCK = ".iterate.lock"
#: What one that was killed while it was being created leaves behind.
_STARTED = runs.STARTED | {_LOCK}


@dataclass(frozen=True)
class Iteration:
    """What iteration `index` starts with; `reference` None is its own starting policy."""

    index: int
    policy: Artifact
    reference: Artifact | None
    reward: Artifact | None


def iterate(config: Config, ranks: Ranks = ONE_RANK) -> Path:
    """Run (or take up again) all iterations; returns the run directory.

    Args:
        ranks: the processes that call this together. They train together; what is small, the first one does alone.

    Raises:
        ConfigError: settings that iterative RL cannot follow. UnifiedRLError: see the subclasses.
    """
    check_iterate(config)
    use_threads(config.threads)
    transformers.utils.logging.disable_progress_bar()
    preflight(config)
    root = Path(config.run_dir)
    with _opened(root, config) if ranks.first else contextlib.nullcontext():
        ranks.barrier()
        made = []
        for iteration in _iterations(config, root, ranks):
            made.append(iteration)
            if ranks.first:
                _record(root, config, iteration)
        for iteration in made[:-1]:
            _extend(config, root, iteration, ranks)
        if ranks.first:
            _set_status(root, "finished", _listed(root))
    return root


def check_iterate(config: Config) -> None:
    """Refuse what cannot be iterated. Raises ConfigError with the reason and the remedy."""
    options = config.iterate
    if options.reward_model == "renewed" and not config.reward.learned:
        raise ConfigError(
            f"iterate renews the reward model, but reward.source={config.reward.source} has none; set reward.source=model, or "
            "iterate.reward_model=kept"
        )
    if (count := config.reward.num_models) > 1:
        raise ConfigError(
            f"iterate renews one reward model, but {count} have a say; leave one of reward.parts, or reward.members=1"
        )
    if config.trainer.schedule != "constant":
        raise ConfigError(
            f"trainer.schedule={config.trainer.schedule} has an end, but iterations go on from each other; set "
            "trainer.schedule=constant"
        )
    if config.trainer.token_budget:
        raise ConfigError("iterate counts steps (iterate.steps, iterate.control_steps); leave trainer.token_budget out")
    if config.reference:
        raise ConfigError("iterate sets the reference itself (iterate.reference=renewed or kept); leave `reference` out")


def _opened(root: Path, config: Config) -> Any:
    """The directory, created or taken up again, and held by this process."""
    stored = root / "config.yaml"
    settings = loading.as_dict(config)
    if stored.exists():
        if not config.resume:
            raise RunDirectoryError(f"{root} already holds a run; choose another run_dir, or set resume=true to go on with it")
        changed = loading.other_settings(stored, config, _RESUMABLE)
        if changed:
            raise ConfigError(
                f"{root} was started with other settings in {', '.join(changed)}; resume with those, or use a new run_dir"
            )
    elif root.exists() and any(item.name not in _STARTED for item in root.iterdir()):
        raise RunDirectoryError(f"{root} exists, is not empty, and holds no run; choose another run_dir")
    with files.disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        lock = runs.held(root / _LOCK)
    _set_status(root, "running")
    files.write_text(stored, as_text(settings))
    return lock


def _iterations(config: Config, root: Path, ranks: Ranks) -> Iterator[Iteration]:
    """Each iteration, trained up to its fork."""
    store = ArtifactStore(Path(config.artifacts), ranks)
    start = initial_policy(config, store)
    reward = initial_reward_model(config, store, config.reward.models[0]) if config.reward.learned else None
    renewal = Renewal(config, store)
    renews = config.iterate.reward_model == "renewed"
    if renews and config.reward.made:
        renewal.remember_initial(start)
    fixed = _agreement_samples(config, store, start) if reward else None
    policy, reference = start, None
    for index in range(config.iterate.iterations + 1):
        if ranks.first and reward is not None and fixed is not None and (renews or index == 0):
            _write_agreement(config, root, index, reward, fixed, start)
        iteration = Iteration(index, policy, reference, reward)
        _train(config, root, iteration, ranks)
        yield iteration
        if index < config.iterate.iterations:
            policy = _fork(config, root, index + 1, ranks)
            reference = None if config.iterate.reference == "renewed" else start
            if renews and reward is not None:
                reward = renewal.renew(reward, policy, index + 1)


def iteration_config(config: Config, root: Path, iteration: Iteration, steps: int) -> Config:
    """An iteration as a run of its own, of `steps` steps in all."""
    index = iteration.index
    options: dict[str, Any] = {}
    if index:
        options = {"init": chain.root(config), "model": replace(config.model, path=str(iteration.policy.path))}
    if iteration.reference is not None:
        options["reference"] = str(iteration.reference.path)
    if iteration.reward is not None:
        options["reward"] = config.reward.with_model(str(iteration.reward.path))
    return replace(
        config,
        run_dir=str(root / f"iteration_{index}"),
        resume=True,
        label=f"iteration {index}",
        rollout=replace(config.rollout, first_step=config.rollout.first_step + index * config.iterate.steps),
        trainer=replace(config.trainer, steps=steps),
        **options,
    )


def _train(config: Config, root: Path, iteration: Iteration, ranks: Ranks) -> None:
    """Train an iteration up to its fork, unless that has been done (the run may have gone on since); the last one to its end."""
    options = config.iterate
    if iteration.index == options.iterations:
        _run(iteration_config(config, root, iteration, options.steps + options.control_steps), ranks)
    elif not (root / "forks" / str(iteration.index + 1)).is_dir():
        _run(iteration_config(config, root, iteration, options.steps), ranks)


def _extend(config: Config, root: Path, iteration: Iteration, ranks: Ranks) -> None:
    """Let an iteration go on with its old reward model and reference: the control of the next one."""
    _run(iteration_config(config, root, iteration, config.iterate.steps + config.iterate.control_steps), ranks)


def _run(config: Config, ranks: Ranks) -> None:
    with shown_by_first(ranks, config.label, config.trainer.steps) as on_step:
        run_training(config, on_step, ranks)


def _fork(config: Config, root: Path, index: int, ranks: Ranks) -> Artifact:
    """The policy that iteration `index` starts from: a copy, since the run that made it goes on."""
    final = root / "forks" / str(index)
    if ranks.first and not final.is_dir():
        checkpoint = runs.latest_checkpoint(root / f"iteration_{index - 1}")
        if checkpoint is None or int(checkpoint.name.removeprefix("step_")) != config.iterate.steps:
            raise CheckpointError(
                f"{root / f'iteration_{index - 1}'} has no checkpoint of step {config.iterate.steps} to fork from; delete that "
                "folder and resume"
            )
        with files.replacing(final) as aside:
            shutil.copytree(checkpoint / "policy", aside)
    ranks.barrier()
    return Artifact(path_fingerprint(str(final)), final)


def _set_status(root: Path, state: str, listed: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Say whether all is done, and then what the files hold that tables are made of. An iteration has a status of its own."""
    facts = {"state": state, "step": 0, "steps": 0, "error": None, "ended_by": None}
    seals.write_status(root, facts, listed)


def _listed(root: Path) -> dict[str, Any]:
    agreement = sorted(f"agreement/{path.name}" for path in (root / "agreement").glob("*.parquet"))
    return seals.extents(root, ["config.yaml", "iterate.json", *agreement])


def _record(root: Path, config: Config, iteration: Iteration) -> None:
    """Enter an iteration into iterate.json, in place of what may stand there for it."""
    path = root / "iterate.json"
    entry = {
        "iteration": iteration.index,
        "run": f"iteration_{iteration.index}",
        "first_step": iteration.index * config.iterate.steps,
        "policy": iteration.policy.key,
        "reference": (iteration.reference or iteration.policy).key,
        "reward_model": iteration.reward.key if iteration.reward else None,
    }
    known = json.loads(path.read_text(encoding="utf-8"))["iterations"] if path.exists() else []
    kept = [other for other in known if other["iteration"] < iteration.index]
    files.write_json(path, {"schema": SCHEMA, **asdict(config.iterate), "iterations": [*kept, entry]})


def _agreement_samples(config: Config, store: ArtifactStore, start: Artifact) -> Samples:
    """Held-out responses of the initial policy, the same for every reward model."""
    made = samples_of(
        config,
        start,
        split="validation",
        problems=config.iterate.agreement_problems,
        per_prompt=AGREEMENT_SAMPLES,
        stream="agreement",
    ).build(store)
    return read_samples(config, made, load_tokenizer(start.path))


def _write_agreement(config: Config, root: Path, index: int, reward: Artifact, fixed: Samples, start: Artifact) -> None:
    """What a reward model says of each held-out response, beside the rule's verdict."""
    path = root / "agreement" / f"{index}.parquet"
    if path.exists():
        return
    (options,) = config.reward.models
    judge = model_reward(config, options, [reward.path], world.make_task(config), load_tokenizer(start.path))
    with progress(f"reward model {index} on held-out responses", sum(map(len, fixed.responses)), "responses") as hook:
        scores = judge.score(fixed.prompts, fixed.responses)
        hook(sum(map(len, scores)), {})
    rows = [
        {
            "prompt_id": prompt.id,
            "sample_index": place,
            "reward": score.reward,
            "accepted": bool(score.judged_correct),
            "correct": score.verdict == "correct",
        }
        for prompt, group in zip(fixed.prompts, scores, strict=True)
        for place, score in enumerate(group)
    ]
    with files.disk_errors(path):
        path.parent.mkdir(exist_ok=True)
    with files.replacing(path) as aside:
        pq.write_table(pa.Table.from_pylist(rows), aside)
