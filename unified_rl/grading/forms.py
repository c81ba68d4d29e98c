"""Forms of a response, told without knowing the right answer: what a format reward pays for, where a judge errs, what is counted.

    ends_in:TEXT       the final answer ends in TEXT
    contains:TEXT      the response has TEXT in it
    lines_under:N      it has fewer than N lines
    tokens_over:N      it is longer than N tokens

Text is compared, never read as an expression, so the time is linear in the response whatever a policy writes.
"""

from __future__ import annotations

from collections.abc import Callable

from unified_rl.base.errors import ConfigError

#: (text of the response, its final answer, its length in tokens) -> whether it has the form.
Form = Callable[[str, str | None, int], bool]

NAMES = ("ends_in:TEXT", "contains:TEXT", "lines_under:N", "tokens_over:N")


def is_form(name: str) -> bool:
    """Whether a word names a form, known or not: numbers of a problem's info have no colon."""
    return ":" in name


def form(name: str, where: str) -> Form:
    """The form called `name`.

    Args:
        where: the setting that holds the name.

    Raises:
        ConfigError: no form has that name, or its TEXT or N is missing.
    """
    kind, _, value = name.partition(":")
    if kind == "ends_in" and value:
        return lambda text, answer, tokens: answer is not None and answer.endswith(value)
    if kind == "contains" and value:
        return lambda text, answer, tokens: value in text
    if kind in ("lines_under", "tokens_over") and value.isdecimal():
        limit = int(value[:9])
        if kind == "lines_under":
            return lambda text, answer, tokens: len(text.strip().splitlines()) < limit
        return lambda text, answer, tokens: tokens > limit
    raise ConfigError(f"{where}={name!r} is not known; choose one of: {', '.join(NAMES)}")
