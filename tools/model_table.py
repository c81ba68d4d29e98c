"""Which models work: the causal language models that transformers lists, each made tiny and checked. Writes docs/models.md.

python -m tools.model_table             docs/models.md
python -m tools.model_table llama mpt   prints the outcome of some families
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import transformers

from tools.model_checks import Outcome, outcome
from tools.tiny_models import FAMILIES, tiny_model

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
#: Of these not even the smallest configuration is tiny.
_LARGE = ("blt", "got_ocr2")

_HEAD = """# Models

Written by `python -m tools.model_table`: every causal language model that transformers {version} lists, made tiny and random by
transformers alone, then loaded as a run loads it. *Works* means, to 1e-4 nats: packed log-probs are those of the model's own
forward of one sequence at a time, whatever the length of rows; the torch generator's log-probs are the trainer's; the policy and
a value model that were saved and loaded again compute the same. All others are refused when they are loaded, in one line, before
a run directory exists.

*rows* is what a packed row may hold: `shared prompts` (several responses to one copy of their prompt), `whole sequences`, or `one
sequence` (the model's own pass; more padding). *decoding* by `every token again` is right and slow: one pass over the whole
response per token. Long responses of such models want `generator=vllm`.

{works} families work, {refused} are refused, {unbuilt} have no tiny configuration here.

| family | rows | decoding |
|---|---|---|
"""


def built(families: Sequence[str]) -> Iterator[tuple[str, Outcome | None]]:
    """What became of each family; None where no tiny model can be made of it. Raises `WrongError` where one is wrong."""
    for family in families:
        try:
            model = None if family in _LARGE else tiny_model(family)
        except Exception:  # the family's own classes refuse the sizes, each in its own way
            model = None
        with tempfile.TemporaryDirectory() as folder:
            yield family, None if model is None else outcome(family, model, Path(folder) / "model")


def page(found: dict[str, Outcome | None]) -> str:
    """docs/models.md."""
    outcomes = [one for one in found.values() if one is not None]
    works, refused = [one for one in outcomes if not one.line], [one for one in outcomes if one.line]
    unbuilt = sorted(family for family, one in found.items() if one is None)
    version = ".".join(transformers.__version__.split(".")[:2])
    text = _HEAD.format(version=version, works=len(works), refused=len(refused), unbuilt=len(unbuilt))
    text += "".join(f"| {one.family} | {one.rows} | {one.decoding} |\n" for one in works)
    text += "\nRefused, with the line:\n\n| family | line |\n|---|---|\n"
    text += "".join(f"| {one.family} | {one.line.replace('|', '/')} |\n" for one in refused)
    return text + f"\nNot made tiny, and so not tried: {', '.join(unbuilt)}.\n"


def main(families: Sequence[str]) -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    found = dict(built(families or [*FAMILIES]))
    if families:
        print("\n".join(f"{family}: {one}" for family, one in found.items()))
        return
    PAGE.write_text(page(found), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
