"""The one grammar of the command line: `unified-rl COMMAND [PLACE ...] [key=value ...] [--flag ...]`.

Words with `=` are settings: those of the command's own options, typed by their dataclass, or those of the configuration. Words
without are what the command works on; words that begin with `--` are flags and have no value.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from keyword import iskeyword
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.cli.schema import kind_of, types_of
from unified_rl.config.ranges import one_of
from unified_rl.config.schema import Config

_PAIR = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
JSON = {"--json": "machine-readable output"}


@dataclass(frozen=True)
class NoOptions:
    """A command that has no settings of its own."""


@dataclass(frozen=True)
class Call:
    """A command's words, read. options: its own settings. rest: the words of the configuration. words: all, as they were given."""

    name: str
    options: Any
    rest: tuple[str, ...]
    flags: frozenset[str]
    words: tuple[str, ...]

    @property
    def line(self) -> str:
        """The command as it would be typed."""
        return shlex.join(["unified-rl", self.name, *self.words])

    @property
    def json(self) -> bool:
        return "--json" in self.flags


@dataclass(frozen=True)
class Command:
    """A command.

    summary: one line. example: its words, below `unified-rl COMMAND`. run: does the work; returns an exit status or None for 0.
    options: dataclass of its own settings. place: the field of it that takes the words without `=`. flags: flag -> what it does.
    sections: names of the dataclasses whose settings it takes besides ("config" for all of the configuration). free: beginnings of
    settings that are passed on as they are. whole: another configuration than a run's, all of whose settings it takes.
    goes_on: word that makes the same words go on after Ctrl-C, "" where they do so as they are, None where nothing is kept.
    more: a paragraph for its help. instead: ends the refusal of an unknown setting.
    """

    summary: str
    example: str
    run: Callable[[Call], int | None]
    options: type[Any] = NoOptions
    place: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    sections: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    whole: type[Any] | None = None
    goes_on: str | None = None
    more: str = ""
    instead: str = ""

    def after_interrupt(self, name: str, words: Sequence[str]) -> str:
        """What to say after Ctrl-C: with what to type to go on, where something is kept."""
        if self.goes_on is None:
            return "interrupted"
        more = [self.goes_on] if self.goes_on and self.goes_on not in words else []
        return f"interrupted; to go on: {shlex.join(['unified-rl', name, *words, *more])}"


def read(name: str, command: Command, words: Sequence[str]) -> Call:
    """The words of a command, typed and checked.

    Raises:
        ConfigError: an unknown flag or setting (with the nearest known one), a wrong type, or something missing.
    """
    places, pairs, flags = split(words)
    own = types_of(command.options)
    for flag in flags:
        if flag not in command.flags:
            raise ConfigError(_unknown_flag(name, flag, command))
    given: dict[str, list[str]] = {}
    rest = []
    for key, value in pairs:
        key = f"{key}_" if iskeyword(key) else key  # a dataclass has no field of that name
        if key in own:
            given.setdefault(key, []).append(value)
        elif key.startswith(command.free) or command.whole or (command.sections and not _misspelt(key, own)):
            rest.append(f"{key}={value}")
        else:
            raise ConfigError(f"{key!r} is not a setting of `unified-rl {name}`{_known(key, own)}{command.instead}")
    if places and not command.place:
        usage = "" if not own and not command.sections else f" (it is not of the form key=value: unified-rl {name} --help)"
        raise ConfigError(f"`unified-rl {name}` cannot use the word {places[0]!r}{usage}")
    if command.place and places:
        given[command.place] = [*given.get(command.place, []), *places]
    return Call(name, typed(name, command, given), tuple(rest), frozenset(flags), tuple(words))


def split(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]], list[str]]:
    """(words without `=`, (key, value) pairs, flags), each in the order given."""
    places, pairs, flags = [], [], []
    for word in words:
        pair = _PAIR.fullmatch(word)
        if word.startswith("--"):
            flags.append(word)
        elif pair:
            pairs.append((pair[1], pair[2]))
        else:
            places.append(word)
    return places, pairs, flags


def typed(name: str, command: Command, given: Mapping[str, Sequence[str]]) -> Any:
    """An instance of the command's options from setting -> texts.

    Raises:
        ConfigError: a setting that is of another type or is missing; two places where one is meant.
    """
    own, values = types_of(command.options), {}
    for item in fields(command.options):
        if item.name not in given:
            if item.default is MISSING and item.default_factory is MISSING:
                shown = item.name.upper() if item.name == command.place else f"{item.name}=..."
                raise ConfigError(f"{name} needs {shown}, for example: unified-rl {name} {command.example}")
            continue
        texts, kind = given[item.name], own[item.name]
        if get_origin(kind) in (list, tuple):
            separator = item.metadata.get("separator", ",")
            parts = [part for text in texts for part in (text.split(separator) if item.name != command.place else [text])]
            parts = [one for part in parts for one in (_counted(part) if get_args(kind)[0] is int else [part])]
            values[item.name] = get_origin(kind)(_value(item.name, part, get_args(kind)[0]) for part in parts if part)
        elif item.name == command.place and len(texts) > 1:
            raise ConfigError(f"{name} takes one {item.name}, got {', '.join(texts)}")
        else:
            values[item.name] = _value(item.name, texts[-1], kind)  # the later wins, as in the configuration
    return command.options(**values)


def _counted(text: str) -> list[str]:
    """`0..4` as its five numbers; anything else as it is."""
    ends = re.fullmatch(r"(\d{1,6})\.\.(\d{1,6})", text)
    return [str(number) for number in range(int(ends[1]), int(ends[2]) + 1)] if ends else [text]


def _value(name: str, text: str, kind: Any) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"{name}={text} must be true or false")
        return text.lower() == "true"
    if get_origin(kind) is Literal:
        one_of(name, text, get_args(kind))
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{name}={text} must be a {kind_of(kind)}") from None
    return Path(text) if kind is Path else text


def _unknown_flag(name: str, flag: str, command: Command) -> str:
    key = flag[2:].partition("=")[0].replace("-", "_")
    nearly = difflib.get_close_matches(flag, [*command.flags, "--help"], n=1)
    if key in types_of(command.options) or ((command.sections or command.whole) and not nearly):
        return f"{flag!r} is not a flag of `unified-rl {name}`; settings are written key=value, as in {key}=..."
    return f"{flag!r} is not a flag of `unified-rl {name}`{_known(flag, [*command.flags, '--help'])}"


def _misspelt(key: str, own: Iterable[str]) -> bool:
    """Whether a word that could be the configuration's is nearly one of the command's own, and no name of the configuration."""
    return key not in types_of(Config) and bool(difflib.get_close_matches(key, list(own), n=1, cutoff=0.75))


def _known(key: str, known: Iterable[str]) -> str:
    names = list(known)
    return did_you_mean(key, names) if names else "; it has none"
