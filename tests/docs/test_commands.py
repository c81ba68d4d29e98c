"""Every command of README and documentation is one that can be typed: read by the real grammar, its configuration checked."""

from __future__ import annotations

import itertools
import re
import tomllib

import pytest
from docs.pages import PAGES, ROOT, commands, named_files

from unified_rl.base.errors import ConfigError
from unified_rl.cli.command import COMMANDS
from unified_rl.cli.grammar import read
from unified_rl.cli.schema import types_of
from unified_rl.config.records import EvaluationConfig
from unified_rl.config.schema import Config
from unified_rl.corpus import loading as corpus_loading
from unified_rl.grids.line import grid_of_line
from unified_rl.presets import loading

OURS = "unified-rl"
#: Programs of others: their words are not ours to check. Each with why a page names it.
OTHERS = {
    "pip": "installs extras, which are checked against pyproject.toml",
    "source": "activates the environment that make install made",
    "hf": "fetches a model of 14 GB",
    "lm_eval": "another project's harness; its page says that the commands were not run for it",
    "verl.trainer.main_ppo": "verl's own training, which the adapter's page starts with a row of ours",
    "srun": "starts torchrun on a cluster's nodes; what it starts is checked",
}
FOUND = [command for page in PAGES for command in commands(page)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with every file that a page writes down, as a reader of all of them would have it."""
    folder = tmp_path_factory.mktemp("pages")
    for page in PAGES:
        for name, text in named_files(page).items():
            (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("command", FOUND, ids=str)
def test_a_command_can_be_typed(command, files, monkeypatch):
    monkeypatch.chdir(files)
    words = list(itertools.dropwhile(re.compile("[A-Z_]+=").match, command.words))
    program = words[0]
    if "unified_rl.cli" in words:
        check_ours(words[words.index("unified_rl.cli") + 1 :])
    elif program == OURS:
        check_ours(words[1:])
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:2]) <= set(targets), words
    elif program == "python":
        assert (words[1] == "-m" and (words[2] in OTHERS or module_is_there(words[2]))) or (ROOT / words[1]).is_file(), words
    else:
        assert program in OTHERS, f"{program}: is it a command? Then say in OTHERS why it is not checked"
        check_extras(" ".join(words))


def check_ours(words: list[str]) -> None:
    """The words of `unified-rl`, placeholders left out. A synopsis ([a=b] for what may be left out) is checked name by name."""
    words = [word for word in words if word.strip("[]") != "..."]
    if "--help" in words:
        assert set(words) - {"--help"} <= set(COMMANDS)
        return
    if any(word.startswith("[") for word in words):
        check_synopsis(words)
        return
    name, command = words[0], COMMANDS[words[0]]
    call = read(name, command, words[1:])
    rest = [word for word in call.rest if not word.startswith("slurm.")]
    if name == "grid" and rest:
        for arm in grid_of_line(rest, call.options.command).arms:
            loading.load_config([*(word for word in rest if word.partition("=")[0] not in keys(arm.words)), *arm.words])
    elif command.whole:
        corpus_loading.load(rest)
    elif "config" in command.sections and name not in ("grid", "compose-data"):
        loading.load_config(rest)
    elif "evaluation" in command.sections:
        own = [word for word in rest if word.partition("=")[0].partition(".")[0] not in ("task", "data")]
        loading.override(EvaluationConfig(), own, "evaluation")
        loading.other_problems(loading.load_config([]), [word for word in rest if word not in own])


def check_synopsis(words: list[str]) -> None:
    command = COMMANDS[words[0]]
    known = {*types_of(command.options), *types_of(Config)}
    if "grading" in command.sections:
        from unified_rl.grading.policies import GradingPolicy

        known |= {*types_of(GradingPolicy), "policy"}
    for word in (word.strip("[]|") for word in words[1:]):
        if word.startswith("--"):
            assert word in command.flags, word
        elif "=" in word and not word.startswith(command.free or ("-",)):
            assert word.partition("=")[0] in known, word


def check_extras(line: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"unified-rl\[([\w,-]+)\]", line):
        assert set(named.split(",")) <= set(extras), line


def keys(words) -> set[str]:
    return {word.partition("=")[0] for word in words}


def module_is_there(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_extras_that_pages_name_in_their_text_are_there():
    for page in PAGES:
        check_extras(page.read_text())


@pytest.mark.parametrize(
    "words", [["train", "method=gropo"], ["grid", "method=grpo,rft", "trainer.stepz=1"], ["tables"], ["corpus", "recal"]]
)
def test_a_command_that_nobody_could_type_is_noticed(words):
    with pytest.raises(ConfigError):
        check_ours(words)


def test_pages_have_commands():
    assert len(FOUND) > 100 and any(command.words[0] == "torchrun" for command in FOUND)
