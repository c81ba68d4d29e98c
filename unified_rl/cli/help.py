"""What `--help` prints: of the whole command line, and of each command with every setting that it takes. Starts nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from unified_rl.cli.grammar import Command
from unified_rl.cli.schema import Setting, descriptions, kind_of, sections, settings, types_of
from unified_rl.config import ranges
from unified_rl.config.schema import Config
from unified_rl.methods import COEFFICIENTS
from unified_rl.presets.loading import SHORTHANDS

WIDTH = 128
INDENT = 6


def overview(groups: Mapping[str, Mapping[str, Command]], description: str) -> str:
    """All commands, one line each."""
    width = max(len(name) for commands in groups.values() for name in commands)
    lines = [description, "", "  unified-rl COMMAND [key=value ...]        unified-rl COMMAND --help: its settings"]
    for title, commands in groups.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:{width}}  {command.summary}" for name, command in commands.items()]
    return "\n".join(lines)


def of_command(name: str, command: Command, only: Sequence[str] = ()) -> str:
    """A command's usage, example, flags and settings. only: sections of the configuration to show; () = all."""
    several = " ..." if command.place and kind_of(types_of(command.options)[command.place]).startswith("list") else ""
    place = f" [{command.place.upper()}{several}]" if command.place else ""
    flags = "".join(f" [{flag}]" for flag in command.flags)
    lines = [f"unified-rl {name}{place} [key=value ...]{flags}", "", f"  {command.summary}", ""]
    if command.more:
        lines += [*_wrapped(command.more, 2), ""]
    lines += [f"  for example: unified-rl {name} {command.example}".rstrip()]
    if command.flags:
        lines += ["", "flags:", *(f"  {flag:12} {text}" for flag, text in command.flags.items())]
    if fields(command.options):
        lines += ["", "settings of the command:", *_settings(settings(command.options))]
    for section in command.sections:
        lines += _configuration(only) if section == "config" else _section(section, only=True)
    if command.whole:
        lines += _whole(command.whole)
    return "\n".join(lines)


def _configuration(only: Sequence[str]) -> Iterator[str]:
    """Every setting of the configuration, section by section; a coefficient's own under each coefficient's name."""
    if not only:
        yield from ("", "settings of the configuration:", *_settings(settings(Config)))
    for name in (*(section for section, _ in sections(Config)), "coefficient"):  # whose dataclass depends on its name
        if not only or name in only:
            yield from _section(name)


def _whole(configuration: type) -> Iterator[str]:
    """Every setting of a configuration of its own, section by section."""
    yield from ("", "settings:", *_settings(settings(configuration)))
    for name, options in sections(configuration):
        yield from ("", f"{name}: {first_words(options)}", *_settings(settings(options, f"{name}.")))


def _section(name: str, only: bool = False) -> list[str]:
    """A section's settings; only: it is the whole of what may be set, so its name is left out."""
    if name == "coefficient":
        return [line for coefficient, options in COEFFICIENTS.items() for line in _coefficient(coefficient, options)]
    options = _grading() if name == "grading" else dict(sections(Config))[name]
    short = f" ({name}=... is short for {name}.{SHORTHANDS[name]}=...)" if name in SHORTHANDS else ""
    prefix = "" if only else f"{name}."
    found = _with_ranges(settings(options, prefix), options, name, prefix)
    return ["", f"{name}{short}: {first_words(options)}", *_settings(found)]


def _grading() -> type:
    from unified_rl.grading.policies import GradingPolicy  # with the grader, which other commands need not wait for

    return GradingPolicy


def _coefficient(name: str, options: type) -> list[str]:
    found = [one for one in settings(options, "coefficient.") if one.name != "coefficient.name"]
    return ["", f"coefficient={name}:", *(_settings(found) or ["  no settings"])]


def _with_ranges(found: list[Setting], options: type, section: str, prefix: str) -> list[Setting]:
    """Checks name a field by its section even where the command line leaves the section out."""
    if prefix:
        return found
    with ranges.noted() as notes:
        options()
    return [Setting(one.name, one.kind, one.default, one.text, notes.get(f"{section}.{one.name}", "")) for one in found]


def _settings(found: Sequence[Setting]) -> list[str]:
    lines = []
    for one in found:
        default = "must be given" if one.default is None else f"default {one.default}"
        lines.append(f"  {one.name}  ({'; '.join(part for part in (one.kind, one.allowed, default) if part)})")
        lines += _wrapped(one.text, INDENT)
    return lines


def first_words(options: type) -> str:
    """A section's docstring up to where it begins to describe fields."""
    text = " ".join((options.__doc__ or "").split())
    starts = [text.find(f"{name}: ") for name in descriptions(options)]
    first = min((start for start in starts if start >= 0), default=len(text))
    return text[:first].rpartition(".")[0].strip() or "settings"


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * indent, break_long_words=False)
