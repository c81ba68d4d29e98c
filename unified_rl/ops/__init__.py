"""Pure tensor maths: no configuration, files, randomness or choice of device. A module is loaded when it is first looked at.

So the table of methods, whose rows say which of these functions they are made of, is read without torch (PEP 562).
"""

from __future__ import annotations

import importlib
from types import ModuleType

_MODULES = (
    "advantages",
    "aggregation",
    "coefficients",
    "gates",
    "importance",
    "kl",
    "links",
    "logprobs",
    "preferences",
    "ratios",
    "selection",
    "sets",
    "terms",
)


def __getattr__(name: str) -> ModuleType:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
