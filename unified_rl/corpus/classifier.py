"""The classifier's interface, and fastText behind it: trained in a process of its own on a file of lines, scores texts in batches.

fastText (0.9.2) with one thread fills only the first tenth of its matrix and leaves the rest as the memory was, so that training
differs from call to call or ends in "Encountered NaN". In our process every allocation is zeroed (`MALLOC_PERTURB_`, glibc), which
is what a fresh process mostly happens to get; one thread then gives the same bytes every time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from unified_rl.base import files
from unified_rl.base.errors import ConfigError, TrainingError
from unified_rl.base.plugins import import_by_path
from unified_rl.corpus.settings import Classifier as Settings

WANTED, OTHER = "__label__wanted", "__label__other"
#: Zeroes what malloc returns: glibc fills with the complement of this byte.
_ZEROED = {"MALLOC_PERTURB_": "255", "OMP_NUM_THREADS": "1"}


class Classifier(Protocol):
    """What a classifier of one's own must offer. It is built with the settings."""

    def __init__(self, settings: Settings) -> None: ...

    def train(self, examples: Path, model: Path, seed: int) -> None:
        """Write a model. examples: a file of lines "LABEL text", shuffled; LABEL is `WANTED` or `OTHER`."""

    def scores(self, model: Path, texts: Sequence[str]) -> np.ndarray:
        """Probability that each text is wanted: float32 [n], in [0, 1]."""


def build(settings: Settings) -> Classifier:
    """The classifier that the settings name. Raises ConfigError where it cannot be found."""
    if settings.name == "fasttext":
        return FastText(settings)
    return import_by_path(settings.name, "classifier.name")(settings)


def example_line(label: str, text: str, settings: Settings) -> str:
    """A page as a line of the file that a classifier is trained on."""
    return f"{label} {as_words(text, settings.characters)}\n"


def as_words(text: str, characters: int) -> str:
    """The beginning of a text as a classifier reads it: case folded, on one line, with no word that could be taken for a label."""
    return " ".join(text[:characters].casefold().replace("__label__", "label").split())


class FastText:
    """Joulin et al. 2016, by the library."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def train(self, examples: Path, model: Path, seed: int) -> None:
        """See `Classifier`. Raises ConfigError without the library, TrainingError where the loss is not finite."""
        _library()
        job = {"examples": str(examples), "model": str(model), "seed": seed % 2**31, **asdict(self.settings)}
        command = [sys.executable, "-c", _TRAIN, json.dumps(job)]
        done = subprocess.run(command, env={**os.environ, **_ZEROED}, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise TrainingError(
                f"fastText could not be trained ({last[:200]}); change the section classifier or the seed's pages"
            )

    def scores(self, model: Path, texts: Sequence[str]) -> np.ndarray:
        """See `Classifier`."""
        if not texts:
            return np.zeros(0, np.float32)
        lines = [as_words(text, self.settings.characters) for text in texts]
        labels, values = _model(str(model), files.file_hash(model)).predict(lines, k=1)
        found = [_wanted(label, value) for label, value in zip(labels, values, strict=True)]
        return np.clip(np.array(found, np.float32), 0.0, 1.0)


def _wanted(labels: Sequence[str], values: Sequence[float]) -> float:
    """The probability of `WANTED` from the better label's; 0 for a text of which the model knows no word."""
    if not len(labels):
        return 0.0
    return values[0] if labels[0] == WANTED else 1 - values[0]


#: The training process: it imports nothing of ours, which would cost more than small trainings do.
_TRAIN = """
import json, sys
import fasttext
job = json.loads(sys.argv[1])
model = fasttext.train_supervised(
    job["examples"], dim=job["dim"], lr=job["learning_rate"], epoch=job["epochs"], wordNgrams=job["word_ngrams"],
    minCount=job["min_count"], bucket=job["buckets"], thread=job["threads"], seed=job["seed"], verbose=0)
model.save_model(job["model"])
"""


@lru_cache(maxsize=1)
def _model(path: str, digest: str) -> Any:
    """A model, read once for as long as its file has this hash."""
    return _library().load_model(path)


def _library() -> Any:
    try:
        import fasttext
    except ImportError as error:
        raise ConfigError("classifier.name=fasttext needs the library; pip install 'unified-rl[corpus]'") from error
    fasttext.FastText.eprint = lambda *words: None  # a warning about nothing at every loading
    return fasttext
