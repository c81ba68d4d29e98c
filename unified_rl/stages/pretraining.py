"""Pre-training: the loop of everything that is trained, on rows of a weighted mix of token files, by the likelihood row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.types import ONE_RANK, Ranks
from unified_rl.config.schema import Config
from unified_rl.loop.steps import Made, Work, due, repeat, timed
from unified_rl.models.policy_model import load_policy, save_policy
from unified_rl.models.roles import policy_role
from unified_rl.packing.layout import Layout
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.pretraining.held_out import HeldOut, read_held_out
from unified_rl.pretraining.loss import RowLoss
from unified_rl.pretraining.rows import RowMixture, SourceRows, token_files
from unified_rl.records import runs, sinks
from unified_rl.records.artifacts import Artifact, ArtifactStore
from unified_rl.records.progress import announce
from unified_rl.stages.chain import initial_policy
from unified_rl.stages.models import check_model_path, model_dtype
from unified_rl.stages.optimisers import adamw
from unified_rl.stages.pretraining_data import fingerprint, located
from unified_rl.stages.threads import use_threads
from unified_rl.stages.trained import StepHook, opened
from unified_rl.training.batch import Batch
from unified_rl.training.protocol import Trainer
from unified_rl.training.trainers import build_trainer, preflight_trainer, state_name

#: Of the run directory: models that are kept for evaluation.
MODELS = "models"


@dataclass(frozen=True)
class Parts:
    """What a pre-training is made of. names: of the sources. device: of the model."""

    trainer: Trainer
    tokenizer: PreTrainedTokenizerBase
    mixture: RowMixture
    names: list[str]
    vocabulary: int
    device: torch.device
    ranks: Ranks
    held_out: Mapping[str, HeldOut] = field(default_factory=dict)


def run_pretraining(
    config: Config, on_step: StepHook = lambda *_: None, ranks: Ranks = ONE_RANK, start: Artifact | None = None
) -> runs.Run:
    """Run (or resume) the pre-training that `kinds.pretrain.as_run` describes.

    Args:
        ranks: the processes that call this together, with the same configuration; the first one writes the run directory.
        start: the model that it begins with, where that is known; else the one of stage `init`.

    Raises:
        UnifiedRLError: see the subclasses; the run directory's `status.json` then says "failed" and why.
    """
    use_threads(config.threads)
    transformers.utils.logging.disable_progress_bar()
    sinks.check(config.logging.sinks)
    check_model_path(config)
    preflight_trainer(config.trainer.name)
    store = ArtifactStore(Path(config.artifacts), ranks)
    read = {f"tokens of {one.name}": fingerprint(config, one.path) for one in config.pretraining.sources}
    with opened(config, ranks) as run:
        policy = start or initial_policy(config, store)
        parts = _parts(config, store, policy.path, run.latest_checkpoint(), ranks)
        if ranks.first:
            announce(described(config, parts.mixture))
        run.write_provenance({"policy": policy.key, **read}, {})
        work = Work(
            step=lambda step, timings: _step(parts, config, run.path, step, timings),
            save=lambda folder: _save(config, parts, folder),
        )
        repeat(work, config, run, on_step)
    return run


def described(config: Config, mixture: RowMixture) -> str:
    """What the run reads of each source, in words."""
    rows = config.trainer.steps * config.pretraining.rows_per_step
    each = zip(config.pretraining.sources, mixture.counts(rows), mixture.epochs(rows), mixture.sources, strict=True)
    told = [
        f"{one.name} {count * config.pretraining.context_tokens:,} tokens ({epochs:.2f} epochs of {source.tokens:,})"
        for one, count, epochs, source in each
    ]
    return f"{config.label}: {rows * config.pretraining.context_tokens:,} tokens: {', '.join(told)}"


def _parts(config: Config, store: ArtifactStore, policy: Path, checkpoint: Path | None, ranks: Ranks) -> Parts:
    section = config.pretraining
    model, tokenizer = load_policy(checkpoint / "policy" if checkpoint else policy, model_dtype(config), config.model.device)
    vocabulary = int(model.config.get_text_config().vocab_size)
    mixture = RowMixture(
        [
            SourceRows(
                one.name,
                token_files(located(config, one.path, store), f"path of source {one.name}"),
                section.context_tokens,
                config.seed,
            )
            for one in section.sources
        ],
        [one.weight for one in section.sources],
    )
    held_out = {
        name: read_held_out(
            located(config, path, store), f"held-out {name}", tokenizer, section.context_tokens, section.held_out_tokens
        )
        for name, path in section.measured.items()
    }
    layout = Layout(config.trainer.row_tokens, config.trainer.micro_batch_tokens)
    options, role = adamw(config.trainer), policy_role(1.0)
    trainer = build_trainer(config.trainer.name, config.deepspeed, model, role, options, layout, ranks)
    if checkpoint:
        trainer.load(checkpoint / state_name(config.trainer.name, "optimizer"))
    device = torch.device(config.model.device)
    return Parts(trainer, tokenizer, mixture, [one.name for one in section.sources], vocabulary, device, ranks, held_out)


def _step(parts: Parts, config: Config, run_dir: Path, step: int, timings: dict[str, float]) -> Made:
    """One update on the rows of this step; where they are due, measurements and a model that is kept."""
    section = config.pretraining
    with timed(timings, "source"):
        sequences, source_B = _batch(parts, config, step)
    loss = RowLoss(sequences, source_B, len(parts.names))
    with timed(timings, "update"):
        report = parts.trainer.update(Batch(sequences), loss)
    entry = {
        "step": step,
        "loss": report.loss,
        "grad_norm": report.grad_norm,
        "learning_rate": report.learning_rate,
        "updates": float(parts.trainer.updates),
    }
    entry |= _of_sources(parts, config, step, loss)
    if due(step, section.held_out_every, config.trainer.steps):
        with timed(timings, "held_out"):
            entry |= _measured(parts)
    if section.keep_every and step % section.keep_every == 0:
        with timed(timings, "keep"):
            _keep(parts, run_dir / MODELS / runs.checkpoint_name(step))
    return entry, []


def _batch(parts: Parts, config: Config, step: int) -> tuple[list[TokenSequence], torch.Tensor]:
    """The sequences of a step's rows, and of which source each is, int64 [B]."""
    per_step, sequences, sources = config.pretraining.rows_per_step, [], []
    for number in range((step - 1) * per_step, step * per_step):
        row = parts.mixture.row(number)
        if row.tokens.max() >= parts.vocabulary:
            raise DataError(
                f"source {parts.names[row.source]} holds token {row.tokens.max()}, and the model has {parts.vocabulary}; tokenise "
                "it with the model's own tokenizer"
            )
        made = row.sequences(config.pretraining.documents)
        sequences += made
        sources += [row.source] * len(made)
    return sequences, torch.tensor(sources, device=parts.device)


def _of_sources(parts: Parts, config: Config, step: int, loss: RowLoss) -> dict[str, float]:
    """Of each source: its loss in this batch, its tokens and its epochs so far."""
    rows, context = step * config.pretraining.rows_per_step, config.pretraining.context_tokens
    counts, epochs, losses = parts.mixture.counts(rows), parts.mixture.epochs(rows), loss.of_sources(parts.ranks)
    found: dict[str, float] = {"tokens/trained": rows * context}
    for name, count, epoch, value in zip(parts.names, counts.tolist(), epochs.tolist(), losses, strict=True):
        found |= {f"tokens/{name}": count * context, f"epochs/{name}": epoch}
        if value == value:
            found[f"loss/{name}"] = value
    return found


def _measured(parts: Parts) -> dict[str, float]:
    """The facts of every held-out text under the present weights."""
    found: dict[str, float] = {}
    for name, text in parts.held_out.items():
        logp_BT = parts.trainer.outputs(text.sequences)["logp"].float().cpu().numpy()
        found |= {f"held_out/{name}/{fact}": float(value) for fact, value in text.facts(logp_BT).items()}
    return found


def _keep(parts: Parts, folder: Path) -> None:
    """A model for evaluation, beside the checkpoints: one that a killed attempt left is replaced by the same bytes."""
    whole: Any = parts.trainer.whole_model()
    if parts.ranks.first:
        folder.parent.mkdir(exist_ok=True)
        with files.replacing(folder) as aside:
            save_policy(whole, parts.tokenizer, aside)


def _save(config: Config, parts: Parts, folder: Path) -> None:
    """Write a checkpoint's content: every rank its part of the optimiser's state, the first one everything else."""
    parts.trainer.save(folder / state_name(config.trainer.name, "optimizer"))
    whole: Any = parts.trainer.whole_model()
    if parts.ranks.first:
        save_policy(whole, parts.tokenizer, folder / "policy")
        files.write_json(folder / "state.json", {"updates": parts.trainer.updates})
