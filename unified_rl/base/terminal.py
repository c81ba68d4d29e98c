"""Text that others wrote, made safe to print: what a terminal would obey is shown by its escape. No torch."""

from __future__ import annotations

from io import TextIOBase
from typing import TextIO

_KEPT = frozenset("\n\t")


def shown(text: str) -> str:
    """Control and formatting characters by their escapes; line ends and tabs are left."""
    return text if text.isprintable() else "".join(map(_character, text))


def one_line(text: object) -> str:
    """As `shown`, with line ends and tabs escaped too: a file may be called anything, and a refusal is one line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def _character(char: str) -> str:
    if char.isprintable() or char in _KEPT:
        return char
    code = ord(char)  # four digits, so that a string of JSON stays one
    return f"\\u{code:04x}" if 0x80 <= code < 0x10000 else char.encode("unicode_escape").decode()


class Escaping(TextIOBase):
    """A text stream that writes to another, everything as `shown`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def beneath(self) -> TextIO:
        """The stream itself, for text that is wholly ours and is meant to be obeyed (colours)."""
        return self._stream

    def write(self, text: str) -> int:
        self._stream.write(shown(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding
