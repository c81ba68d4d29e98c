"""What an arm of a sweep of learning rates is called: what its labels have alike. Without pandas, since grids plan with it."""

from __future__ import annotations

import re

_OF_RATE = re.compile(r",? ?\b(?:lr |trainer\.learning_rate=)[0-9.e+-]+")


def arm(label: str, method: str) -> str:
    """A label without its rate; the method, where nothing is left."""
    return _OF_RATE.sub("", label).strip(", ") or method
