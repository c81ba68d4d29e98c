"""Numbers that no setting means: not finite, or larger than anything that could be counted. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from unified_rl.base.errors import ConfigError

#: More than any count of prompts, steps, tokens of a row, sizes of a layer.
MOST = 10**9
#: Seeds are 64-bit numbers; budgets and plans count tokens, bytes and parameters of any machine.
_SEED, _MOST_OF_PLANS = 2**63 - 1, 10**18
_PLANS = (
    "pretraining.sources.",
    "plan.",
    "architecture.",
    "trainer.token_budget",
    "vllm.",
    "deepspeed.",
    "corpus.recall.tokens",
    "pretraining.tokens",
)
_OF_A_STAGE = re.compile(r"stages\.[^.]+\.settings\.")


def check_numbers(settings: Mapping[str, Any], prefix: str = "") -> None:
    """Look at every number of a configuration.

    Raises:
        ConfigError: one is not finite, or too large for what it counts; the message names the setting.
    """
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            check_numbers(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            check_numbers({str(place): item for place, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name}={value} is not a finite number; give one")
        elif isinstance(value, int) and abs(value) > _most(name):
            raise ConfigError(f"{name}={value} is larger than anything it could count; {_most(name)} is the most")


def _most(name: str) -> int:
    if name.endswith("seed"):
        return _SEED
    return _MOST_OF_PLANS if _OF_A_STAGE.sub("", name, count=1).startswith(_PLANS) else MOST
