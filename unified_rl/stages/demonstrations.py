"""The SFT data of a run: demonstrations of every part of the mix as tokens, stored once, and what the mix is composed of.

ARTIFACTS/demonstrations/KEY/token_ids.npy  written.npy  offsets.npy  prompt_tokens.npy  part.npy  composition.json
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import DataError
from unified_rl.base.types import Demonstration, Problem, Prompt, Response, Task, Tokenizer
from unified_rl.config.demonstrations import DemonstrationFile
from unified_rl.config.schema import Config
from unified_rl.presets import chain
from unified_rl.records.artifacts import ArtifactStore, built
from unified_rl.records.progress import progress
from unified_rl.sources.demonstrations import NO_POLICY
from unified_rl.sources.mixture import ByCount, ByRows, Mixture
from unified_rl.stages import world
from unified_rl.stages.chain import stage
from unified_rl.stages.fingerprints import world_settings
from unified_rl.stages.models import check_model_path
from unified_rl.tasks.demonstration_files import (
    BLANK,
    REPEATED,
    SPECIAL,
    TOO_LONG,
    EncodedDemonstration,
    encode_demonstration,
    read_demonstrations,
)

RECIPE = 1
COMPOSITION = "composition.json"
#: What stands for a path where the demonstrations are the task's own.
OWN = "(the task's own solutions)"
_ARRAYS = ("token_ids", "written", "offsets", "prompt_tokens", "part")


@dataclass(frozen=True)
class StoredDemonstrations:
    """All demonstrations of a mix, one after the other.

    Attributes:
        token_ids: int32 [tokens], prompts and responses. written: bool [tokens], what is trained on. offsets: int64 [n + 1].
        prompt_tokens: int32 [n]. part: int32 [n], ascending. weights: of each part, in an epoch.
    """

    token_ids: np.ndarray
    written: np.ndarray
    offsets: np.ndarray
    prompt_tokens: np.ndarray
    part: np.ndarray
    weights: tuple[float, ...]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each demonstration, int64 [n]."""
        return np.diff(self.offsets)

    def mixture(self, seed: int) -> Mixture:
        """The order of epochs of these demonstrations."""
        sizes = np.bincount(self.part, minlength=len(self.weights)).tolist()
        return Mixture(sizes, self.weights, seed)

    def item(self, index: int, tokenizer: Tokenizer) -> tuple[Prompt, Response]:
        """Demonstration `index` as a prompt and a response nobody sampled."""
        start, stop = int(self.offsets[index]), int(self.offsets[index + 1])
        middle = start + int(self.prompt_tokens[index])
        prompt_ids = tuple(int(token) for token in self.token_ids[start:middle])
        response_ids = np.array(self.token_ids[middle:stop], dtype=np.int64)
        written = np.array(self.written[middle:stop])
        problem = Problem(f"demonstration/{index}", tokenizer.decode(list(prompt_ids), skip_special_tokens=True), "")
        response = Response(
            token_ids=response_ids,
            behaviour_logp=np.full(len(response_ids), np.nan, dtype=np.float32),
            finish="stop",
            policy_version=NO_POLICY,
            decoding=None,
            seed=0,
            text=tokenizer.decode(response_ids.tolist(), skip_special_tokens=True),
            response_mask=None if written.all() else written,
        )
        return Prompt(problem, prompt_ids), response


def batches(config: Config, stored: StoredDemonstrations) -> ByCount | ByRows:
    """Which demonstrations each step holds."""
    mixture, per_step = stored.mixture(config.seed), config.rollout.prompts_per_step
    if config.data.batch == "rows":
        return ByRows(mixture, stored.lengths, config.data.context_tokens, per_step)
    return ByCount(mixture, per_step)


def stored_demonstrations(
    config: Config, store: ArtifactStore, task: Task, tokenizer: Tokenizer, policy_key: str
) -> tuple[str, Path]:
    """Key and folder of the tokenised mix, made if nobody has.

    Args:
        policy_key: of the model whose tokenizer this is.

    Raises:
        ConfigError, DataError: a file of the mix cannot be used, or nothing of it is left.
    """
    return store.get_or_build(
        "demonstrations",
        {**world_settings(config), "limit": 0 if config.data.demonstrations else config.data.prompts},
        recipe_version=RECIPE,
        inputs={"tokenizer": policy_key},
        build=lambda folder: _build(config, task, tokenizer, folder),
    )


def load_demonstrations(config: Config, folder: Path) -> StoredDemonstrations:
    """What `stored_demonstrations` made. The arrays stay on the disk until they are read."""
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
    return StoredDemonstrations(**arrays, weights=tuple(part.weight for part in _parts(config)))


def compose(config: Config) -> tuple[Path, dict[str, Any]]:
    """The folder of the configuration's SFT data and its composition; starts no training.

    Raises:
        UnifiedRLError: see the subclasses.
    """
    from transformers import AutoTokenizer

    store = ArtifactStore(Path(config.artifacts))
    check_model_path(config)
    task, base = world.make_task(config), built(stage(config, chain.root(config)), store)
    tokenizer = AutoTokenizer.from_pretrained(base.path, local_files_only=True, trust_remote_code=False)
    _, folder = stored_demonstrations(config, store, task, tokenizer, base.key)
    return folder, json.loads((folder / COMPOSITION).read_text(encoding="utf-8"))


def described(composition: dict[str, Any]) -> str:
    """A composition as text for people."""
    lines = [f"{'form':<20}{'language':<10}{'weight':>7}{'records':>10}{'kept':>10}{'per epoch':>11}{'share':>8}  path"]
    for part in composition["parts"]:
        counts = f"{part['records']:>10,}{part['examples']:>10,}{part['examples_per_epoch']:>11,}{part['share_of_epoch']:>8.1%}"
        lines.append(f"{part['form']:<20}{part['language']:<10}{part['weight']:>7g}{counts}  {part['path']}")
        lines += [f"{'':<20}left out: {count:,} {reason}" for reason, count in part["dropped"].items()]
    total, epoch = composition["total"], composition["epoch"]
    lines += [
        f"tokens: {total['trained_tokens']:,} trained on, {total['prompt_tokens']:,} of prompts, "
        f"{total['tool_output_tokens']:,} of programs' outputs",
        f"an epoch: {epoch['examples']:,} examples, {epoch['tokens']:,} tokens, {epoch['rows']:,} rows of {epoch['row_tokens']:,} "
        f"({epoch['padding']:.1%} padding)",
    ]
    return "\n".join(lines)


def _parts(config: Config) -> list[DemonstrationFile]:
    """The parts of the mix; without files, the task's own solutions are the only one."""
    return config.data.demonstrations or [DemonstrationFile(path=OWN, form=config.task.solution)]


def _written(config: Config, task: Task, part: DemonstrationFile) -> list[Demonstration | None]:
    own = part.path == OWN
    return list(task.demonstrations(config.data.prompts or None) if own else read_demonstrations(part))


def _build(config: Config, task: Task, tokenizer: Any, folder: Path) -> None:
    kept: list[EncodedDemonstration] = []
    numbers: list[int] = []
    reports = []
    for number, part in enumerate(_parts(config)):
        dropped: Counter[str] = Counter()
        written = _written(config, task, part)
        with progress(f"encoding {part.path}", len(written), "records") as on_record:
            mine = list(_encoded(config, written, part, tokenizer, dropped, on_record))
        if not mine:
            raise DataError(f"data.demonstrations: nothing of {part.path} can be used: {dict(dropped) or 'it is empty'}")
        kept += mine
        numbers += [number] * len(mine)
        reports.append(_report(part, mine, dropped))
    arrays = {
        "token_ids": np.concatenate([np.r_[item.prompt_ids, item.response_ids] for item in kept]),
        "written": np.concatenate([np.r_[np.zeros(len(item.prompt_ids), bool), item.written] for item in kept]),
        "offsets": np.cumsum([0, *(len(item) for item in kept)]),
        "prompt_tokens": np.array([len(item.prompt_ids) for item in kept], np.int32),
        "part": np.array(numbers, np.int32),
    }
    with files.disk_errors(folder):
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values)
    files.write_json(folder / COMPOSITION, _composition(config, reports, load_demonstrations(config, folder)))


def _encoded(
    config: Config,
    written: list[Demonstration | None],
    part: DemonstrationFile,
    tokenizer: Any,
    dropped: Counter[str],
    on_record: Callable[[int, Mapping[str, float]], None],
) -> Iterator[EncodedDemonstration]:
    """A part's usable demonstrations; why the others are not is counted in `dropped`."""
    seen: set[int] = set()
    end = world.response_end(tokenizer, config)
    for count, demonstration in enumerate(written, start=1):
        on_record(count, {})
        if demonstration is None:
            dropped[BLANK] += 1
            continue
        text = hash((demonstration.problem.question, demonstration.solution))
        if text in seen:
            dropped[REPEATED] += 1
            continue
        seen.add(text)
        item = encode_demonstration(demonstration, tokenizer, config.task.template, part.form, end)
        if item is None:
            dropped[SPECIAL] += 1
        elif len(item) > config.data.context_tokens:
            dropped[TOO_LONG] += 1
        else:
            yield item


def _report(part: DemonstrationFile, kept: list[EncodedDemonstration], dropped: Counter[str]) -> dict[str, Any]:
    written = sum(int(item.written.sum()) for item in kept)
    responses = sum(len(item.response_ids) for item in kept)
    return {
        **asdict(part),
        "records": len(kept) + sum(dropped.values()),
        "examples": len(kept),
        "dropped": dict(sorted(dropped.items())),
        "prompt_tokens": sum(len(item.prompt_ids) for item in kept),
        "trained_tokens": written,
        "tool_output_tokens": responses - written,
    }


def _composition(config: Config, reports: list[dict[str, Any]], stored: StoredDemonstrations) -> dict[str, Any]:
    """Examples and tokens by part, form and language, and what one epoch of the weighted mix holds."""
    mixture = stored.mixture(config.seed)
    for report, count in zip(reports, mixture.counts, strict=True):
        report["examples_per_epoch"] = count
        report["share_of_epoch"] = count / len(mixture)
    totals = ("records", "examples", "prompt_tokens", "trained_tokens", "tool_output_tokens", "examples_per_epoch")
    rows = len(ByRows(mixture, stored.lengths, config.data.context_tokens, 1).rows(0))
    tokens = int(stored.lengths[mixture.epoch(0)].sum())
    return {
        "total": {name: sum(report[name] for report in reports) for name in totals},
        "dropped": dict(sorted(sum((Counter(report["dropped"]) for report in reports), Counter()).items())),
        "by_form": _summed(reports, "form", totals),
        "by_language": _summed(reports, "language", totals),
        "parts": reports,
        "epoch": {
            "examples": len(mixture),
            "tokens": tokens,
            "rows": rows,
            "row_tokens": config.data.context_tokens,
            "padding": 1 - tokens / (rows * config.data.context_tokens),
        },
    }


def _summed(reports: list[dict[str, Any]], field: str, totals: tuple[str, ...]) -> dict[str, dict[str, int]]:
    values = sorted({report[field] for report in reports})
    return {
        value: {name: sum(report[name] for report in reports if report[field] == value) for name in totals} for value in values
    }
