"""Other places for what a run records: TensorBoard and Weights & Biases, if `logging.sinks` names them.

They get the numbers of metrics.jsonl and curve.jsonl, the responses of samples.jsonl, and the configuration as hyper-parameters.

The run directory stays the record. A sink is a copy of it for looking at, so it never stops a run: at its first failure it is given
up with a warning. It never holds a step twice either. TensorBoard's folder is written anew from the record whenever a run is taken
up, after the record was cut back to the checkpoint. W&B cannot be cut back: `wandb.json` remembers the last step that was sent
whole, and the steps made again, which come out the same, are not sent again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from unified_rl.base import files
from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config
from unified_rl.records import curve_points
from unified_rl.records.config_file import flat
from unified_rl.records.progress import announce
from unified_rl.records.reading import read_config, read_jsonl
from unified_rl.records.runs import Run

#: The files whose entries are numbers by step, in the order in which a step writes them.
RECORDS = ("metrics", "curve")
SAMPLES = "samples"
#: Columns of a table of responses.
SAMPLE_COLUMNS = ("step", "prompt_id", "prompt", "response", "reward", "verdict", "finish")
#: Metrics that TensorBoard shows beside the hyper-parameters.
HEADLINES = ("reward/mean", "reward/correct", "kl/k3", "response/length", "entropy/mean")
_LONGEST_TEXT = 20_000
PROJECT = "unified_rl"
Done = TypeVar("Done")


class Sink(Protocol):
    """A place for scalars and responses by step. Steps come in order, each in one piece or in several."""

    def write(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def sample(self, step: int, entry: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def check(names: Sequence[str]) -> None:
    """Raise ConfigError, with the remedy, where the package of a sink is not installed."""
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # without an origin: a mere folder of that name, such as W&B leaves behind
            raise ConfigError(
                f"logging.sinks names {name}, which is not installed: pip install 'unified-rl[{name}]', or leave it out"
            )


@contextmanager
def attached(config: Config, run: Run) -> Iterator[None]:
    """Within this context, everything that the run logs also goes to the configured sinks."""
    sinks = [_Guarded(name, partial(_opened, name, run.path)) for name in config.logging.sinks]

    def observe(name: str, entry: Mapping[str, Any]) -> None:
        for sink in sinks:
            _give(sink, name, entry)

    run.observers.append(observe)
    try:
        yield
    finally:
        run.observers.remove(observe)
        for sink in sinks:
            sink.close()


def _give(sink: Sink, name: str, entry: Mapping[str, Any]) -> None:
    """An entry of a log, to a sink that takes its kind."""
    if name in RECORDS:
        sink.write(entry["step"], scalars(name, entry))
    elif name == SAMPLES:
        sink.sample(entry["step"], entry)


def _opened(name: str, run_dir: Path) -> Sink:
    return OPENERS[name](run_dir)


def scalars(name: str, entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of one entry: of metrics.jsonl under their own names, of curve.jsonl an accuracy (`curve_points.series`)."""
    if name == "curve":
        correct = entry["correct"]
        return {curve_points.series(entry): sum(correct) / len(correct)}
    return {key: float(value) for key, value in entry.items() if key != "step" and isinstance(value, (int, float))}


def sample_row(entry: Mapping[str, Any]) -> list[Any]:
    """A response in the columns `SAMPLE_COLUMNS`."""
    tokens = entry.get("tokens")
    response = "".join(map(str, tokens)) if isinstance(tokens, list) else ""
    found = {**entry, "response": response[:_LONGEST_TEXT], "prompt": str(entry.get("prompt") or "")[:_LONGEST_TEXT]}
    return [found.get(name) for name in SAMPLE_COLUMNS]


def hyper_parameters(run_dir: Path) -> dict[str, bool | int | float | str]:
    """The configuration of a run as flat names and plain values."""
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else str(value) for name, value in flat(read_config(run_dir) or {}).items()}


class TensorBoard:
    """RUN/tensorboard, made anew from what the run directory holds."""

    def __init__(self, run_dir: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run_dir / "tensorboard"
        files.remove(folder)
        self._writer = SummaryWriter(str(folder), flush_secs=10)
        self._place = (-1, 0)  # a step, and how many of its responses are written
        self._write_hyper_parameters(hyper_parameters(run_dir))
        for name, entry in _by_step(run_dir):
            _give(self, name, entry)

    def _write_hyper_parameters(self, settings: Mapping[str, Any]) -> None:
        """For the dashboard of hyper-parameters, in the run's own folder."""
        from torch.utils.tensorboard.summary import hparams

        assert self._writer.file_writer is not None
        for summary in hparams(dict(settings), dict.fromkeys(HEADLINES, 0.0)):
            self._writer.file_writer.add_summary(summary)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def sample(self, step: int, entry: Mapping[str, Any]) -> None:
        """As text in Markdown, in which an indented line stands as it is."""
        count = self._place[1] if self._place[0] == step else 0
        self._place = (step, count + 1)
        facts = dict(zip(SAMPLE_COLUMNS, sample_row(entry), strict=True))
        texts = [_indented(str(facts.pop(name))) for name in ("prompt", "response")]
        words = ", ".join(f"{name} {value}" for name, value in facts.items() if name != "step")
        self._writer.add_text(f"samples/{count}", "\n\n".join([*texts, _indented(words)]), step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """One W&B run per run directory, also over several sessions. WANDB_MODE, WANDB_PROJECT and the like are W&B's to read."""

    def __init__(self, run_dir: Path) -> None:
        import wandb

        self._state = run_dir / "wandb.json"
        before = json.loads(self._state.read_text(encoding="utf-8")) if self._state.exists() else {}
        self._id, self._sent = str(before.get("id") or uuid.uuid4().hex), int(before.get("sent", -1))
        self._step, self._pending, self._rows = self._sent, dict[str, Any](), list[list[Any]]()
        files.write_json(self._state, {"id": self._id, "sent": self._sent})
        config = read_config(run_dir) or {}
        self._run = wandb.init(
            id=self._id,
            name=run_dir.name,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=os.environ.get("WANDB_RUN_GROUP") or config.get("label"),  # an arm: its seeds belong together
            job_type=config.get("method"),
            dir=str(run_dir),
            config=config,
            resume="allow",
        )
        for name, entry in _by_step(run_dir):  # what was recorded and never sent whole
            _give(self, name, entry)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Collect a step; it is sent when the next one begins, so that it is sent once and whole."""
        if self._at(step):
            self._pending |= scalars

    def sample(self, step: int, entry: Mapping[str, Any]) -> None:
        """Collect a response; those of a step are sent as a table."""
        if self._at(step):
            self._rows.append(sample_row(entry))

    def _at(self, step: int) -> bool:
        """Send what was collected of the step before, if this is another one; False if it has been sent already."""
        if step <= self._sent:
            return False
        if step != self._step:
            self._send()
            self._step = step
        return True

    def close(self) -> None:
        self._send()
        self._run.finish()

    def _send(self) -> None:
        if self._rows:
            import wandb

            self._pending["samples"] = wandb.Table(columns=list(SAMPLE_COLUMNS), data=self._rows)
            self._rows = []
        if self._pending:
            self._run.log(self._pending, step=self._step)
            self._sent, self._pending = self._step, {}
            files.write_json(self._state, {"id": self._id, "sent": self._sent})


OPENERS: dict[str, Callable[[Path], Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}


class _Guarded:
    """A sink that is given up at its first failure, with a warning: looking at a run must not end it."""

    def __init__(self, name: str, open_sink: Callable[[], Sink]) -> None:
        self._name = name
        self._sink: Sink | None = self._try(open_sink)

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        if (sink := self._sink) is not None:
            self._try(lambda: sink.write(step, scalars))

    def sample(self, step: int, entry: Mapping[str, Any]) -> None:
        if (sink := self._sink) is not None:
            self._try(lambda: sink.sample(step, entry))

    def close(self) -> None:
        if (sink := self._sink) is not None:
            self._try(sink.close)

    def _try(self, action: Callable[[], Done]) -> Done | None:
        try:
            return action()
        except Exception as error:  # whatever a third party's package raises
            self._sink = None
            reason = str(error) or type(error).__name__
            announce(f"warning: {self._name} failed ({reason}); the run goes on without it")
            return None


def _by_step(run_dir: Path) -> list[tuple[str, dict[str, Any]]]:
    """The entries of all records in the order of their steps."""
    entries = [(name, entry) for name in (*RECORDS, SAMPLES) for entry in read_jsonl(run_dir / f"{name}.jsonl")]
    return sorted(entries, key=lambda pair: pair[1]["step"])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
