"""A grid on the command line: the product over what the words list. `method=grpo,rft trainer.learning_rate=1e-5,1e-4`.

Commas outside brackets and quotes separate values. Words with one value are those of every arm; `seed=0,1` are the seeds.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

from unified_rl.base.errors import ConfigError
from unified_rl.grids.definition import Arm, Grid, Preset, slug
from unified_rl.methods import METHODS

NAME_LENGTH = 40
HYPOTHESIS = "None is stated: a grid of the command line."


def grid_of_line(words: Sequence[str], command: str = "train") -> Grid:
    """The grid that `key=a,b other=c` words describe.

    Args:
        command: train | iterate, of every arm.

    Raises:
        ConfigError: a key that is given twice, or seeds that are no whole numbers.
    """
    values: dict[str, list[str]] = {}
    for word in words:
        key, _, text = word.partition("=")
        if key in values:
            raise ConfigError(f"{key} is given twice; list its values in one word, as in {key}=a,b")
        values[key] = split_values(text)
    seeds = _whole("seed", values.pop("seed", ["0"]))
    varying = {key: found for key, found in values.items() if len(found) > 1}
    common = tuple(f"{key}={found[0]}" for key, found in values.items() if len(found) == 1)
    arms = tuple(
        _arm(dict(zip(varying, choice, strict=True)), values, command) for choice in itertools.product(*varying.values())
    )
    digest = hashlib.sha256(" ".join(sorted(common + tuple(map(str, varying.items())))).encode()).hexdigest()[:6]
    return Grid(
        name=f"{slug(' '.join([*varying, *itertools.chain(*varying.values())]))[:NAME_LENGTH]}_{digest}",
        title="Grid of " + (", ".join(f"{key}={','.join(found)}" for key, found in varying.items()) or "one arm"),
        arms=arms,
        presets={"default": Preset(seeds=seeds, evaluate=() if command == "train" else None)},
        common=common,
        figures=("learning_curves", "results_table") if command == "train" else ("iterations",),
        tuning="as the words of the command line say",
    )


def split_values(text: str) -> list[str]:
    """The values between commas; commas in brackets or quotes are part of a value."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += (letter in "[{(") - (letter in "]})") if not quote else 0
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _arm(choice: dict[str, str], values: dict[str, list[str]], command: str) -> Arm:
    """An arm is called by what varies; where nothing does, by its method."""
    shown = [_in_words(key, value) for key, value in choice.items()] or [_in_words("method", values.get("method", ["grpo"])[0])]
    return Arm(", ".join(shown), tuple(f"{key}={value}" for key, value in choice.items()), command=command)


def _in_words(key: str, value: str) -> str:
    if key != "method":
        return f"{key}={value}"
    return METHODS[value].label if value in METHODS else value


def _whole(key: str, texts: Sequence[str]) -> tuple[int, ...]:
    if not all(text.isdecimal() for text in texts):
        raise ConfigError(f"{key}={','.join(texts)} must be whole numbers")
    return tuple(int(text) for text in texts)
