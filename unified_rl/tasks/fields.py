"""Fields of records, as the tables of benchmarks and a user's own descriptions name them.

A field is written as its name, as a path into nested values (`messages.0.content`), as alternatives of which the first that is
there counts (`query|question`), or as a text with fields in braces (`{passage}\\n{question}`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from unified_rl.base.errors import DataError

_PLACES = re.compile(r"\{([^{}]+)\}")


def field_value(record: Mapping[str, Any], at: str) -> Any:
    """The value that a field description names; None where there is none."""
    if "{" in at:
        parts = {place: field_value(record, place) for place in _PLACES.findall(at)}
        if any(part is None for part in parts.values()):
            return None
        return _PLACES.sub(lambda match: str(parts[match[1]]), at)
    for alternative in at.split("|"):
        value = _at_path(record, alternative)
        if value is not None and value != "":
            return value
    return None


def _at_path(record: Mapping[str, Any], path: str) -> Any:
    if path in record:
        return record[path]
    value: Any = record
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def field_text(place: str, record: Mapping[str, Any], at: str) -> str:
    value = field_value(record, at)
    if not isinstance(value, str) or not value.strip():
        has = ", ".join(record) or "none"
        raise DataError(f"{place}: field {at!r} must be a non-empty text, and is {value!r:.60}; the record's fields: {has}")
    return value
