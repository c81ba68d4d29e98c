"""A grid on the command line: the product over what the words list. `method=grpo,rft trainer.learning_rate=1e-5,1e-4`.

Commas outside brackets and quotes separate values. Words with one value are those of every arm; `seed=0,1` are the seeds.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

from unified_rl.base.errors import ConfigError
from unified_rl.grids.definition import Grid, Preset, slug
from unified_rl.grids.factors import factorial
from unified_rl.methods import DEFAULT

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
    arms = factorial(varying, command, alone=values.get("method", [DEFAULT])[0])
    digest = hashlib.sha256(" ".join(sorted(common + tuple(map(str, varying.items())))).encode()).hexdigest()[:6]
    return Grid(
        name=f"{slug(' '.join([*varying, *itertools.chain(*varying.values())]))[:NAME_LENGTH]}_{digest}",
        title="Grid of " + (", ".join(f"{key}={','.join(found)}" for key, found in varying.items()) or "one arm"),
        arms=arms,
        presets={"default": Preset(seeds=seeds, evaluate=() if command == "train" else None)},
        common=common,
        factors={key: tuple(found) for key, found in varying.items()},
        figures=("learning_curves", "results_table") if command == "train" else ("iterations",),
        tuning="as the words of the command line say",
        line=(*words, *([] if command == "train" else [f"command={command}"])),
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


def _whole(key: str, texts: Sequence[str]) -> tuple[int, ...]:
    if not all(text.isdecimal() for text in texts):
        raise ConfigError(f"{key}={','.join(texts)} must be whole numbers")
    return tuple(int(text) for text in texts)
