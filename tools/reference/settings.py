"""docs/reference/settings.md and commands.md: every setting of the configuration and of each command, from the dataclasses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from tools.reference.markdown import NOTE, prose, settings_table
from unified_rl.cli.command import GROUPS
from unified_rl.cli.grammar import Command
from unified_rl.cli.help import first_words
from unified_rl.cli.schema import sections, settings, written
from unified_rl.config.rewards import RewardPart
from unified_rl.config.schema import Config
from unified_rl.config.stages import StageConfig
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.grading.policies import GradingPolicy
from unified_rl.presets import loading
from unified_rl.records.config_file import flat

#: What stands inside a section: entries by a name of the user's own.
ENTRIES = {
    "stages.NAME": ("An entry of the chain", StageConfig, "../stages.md"),
    "reward.parts.NAME": ("One of several rewards", RewardPart, "../rewards.md"),
}

INTRO = """What `unified-rl train`, `iterate`, `evaluate`, `explain` and `grid` read, section by section; the same names are
the keywords of `unified_rl.train`. `unified-rl train --help SECTION` prints the same. Later wins: these defaults, the
method's row, the stack, the dialect, the command line. Where the stack `tiny`, which is the default, has another value for
GRPO, it is named beside the default; `unified-rl config` prints what any configuration comes to. The options of each
coefficient are in [methods](methods.md)."""


def settings_page() -> str:
    """Every setting of a run's configuration but the coefficients', which stand with the methods."""
    blocks = [
        f"# Settings\n\n{NOTE}",
        INTRO,
        f"## The run\n\n{settings_table(settings(Config), _in_tiny())}",
    ]
    blocks += [_section(name, options) for name, options in sections(Config)]
    blocks += [
        f"## {name}\n\n{title} ([more]({page})).\n\n{settings_table(settings(options))}"
        for name, (title, options, page) in ENTRIES.items()
    ]
    blocks.append(
        "## Grading\n\nSettings of `unified-rl grade` and `regrade`, and of `task.options.grading` "
        f"([more](../grading.md)).\n\n{settings_table(settings(GradingPolicy))}"
    )
    blocks.append("## Corpora\n\nWhat `unified-rl corpus` reads ([more](../corpus.md)); it has a configuration of its own.")
    blocks.append(settings_table([one for one in settings(CorpusConfig)]))
    for name, options in sections(CorpusConfig):
        blocks.append(f"### corpus: {name}\n\n{_words(options)}\n\n{settings_table(settings(options, f'{name}.'))}")
    return "\n\n".join(blocks) + "\n"


def commands_page() -> str:
    """Every command with its own settings and flags."""
    blocks = [
        f"# Commands\n\n{NOTE}",
        "`unified-rl COMMAND [PLACE ...] [key=value ...] [--flag ...]`. A command that takes a configuration takes every "
        "[setting](settings.md) besides.",
    ]
    for title, commands in GROUPS.items():
        blocks.append(f"## {title[0].upper()}{title[1:]}")
        blocks += [part for name, command in commands.items() for part in _command(name, command)]
    return "\n\n".join(blocks) + "\n"


def _section(name: str, options: type) -> str:
    short = f" `{name}=...` is short for `{name}.{loading.SHORTHANDS[name]}=...`." if name in loading.SHORTHANDS else ""
    return f"## {name}\n\n{_words(options)}.{short}\n\n{settings_table(settings(options, f'{name}.'), _in_tiny())}"


def _in_tiny() -> dict[str, str]:
    """Setting -> what the default stack has in place of its default, for the default method."""
    ours, plain = flat(loading.as_dict(loading.compose([]))), flat(loading.as_dict(Config()))
    axes = ("coefficient", "stages", "init", "label", "method")
    apart = {name: value for name, value in ours.items() if name.split(".")[0] not in axes and plain.get(name) != value}
    return {name: f" (`tiny`: `{written(value)}`)" for name, value in apart.items()}


def _words(options: type) -> str:
    return prose(first_words(options))


def _command(name: str, command: Command) -> Iterator[str]:
    place = f" {command.place.upper()}" if command.place else ""
    summary = prose(command.summary[0].upper() + command.summary[1:])
    yield f"### {name}\n\n{' '.join(filter(None, [f'{summary}.', prose(command.more)]))}"
    yield f"    unified-rl {name} {command.example}".rstrip()
    if command.flags:
        yield "\n".join(f"- `{flag}`: {text}" for flag, text in command.flags.items())
    if fields(command.options):
        yield (f"`{place.strip()}` is the setting of that name.\n\n" if place else "") + settings_table(
            settings(command.options)
        )
    if command.sections or command.whole:
        what = "the configuration" if "config" in command.sections else ", ".join(command.sections) or "a corpus"
        yield f"And the [settings](settings.md) of {what}."
