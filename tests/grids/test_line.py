"""A grid on the command line: the product of what the words list, with stable ids, and the cells of the words typed one by one."""

from __future__ import annotations

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.grids.definition import cells
from unified_rl.grids.folder import describe
from unified_rl.grids.line import grid_of_line, split_values
from unified_rl.presets.loading import load_config


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("grpo,rft", ["grpo", "rft"]),
        ("[a,b],[c]", ["[a,b]", "[c]"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("[{path: a, weight: 1}, {path: b}]", ["[{path: a, weight: 1}, {path: b}]"]),
        ("1", ["1"]),
        ("", [""]),
    ],
)
def test_commas_outside_brackets_separate(text, values):
    assert split_values(text) == values


def test_the_product_of_what_is_listed():
    grid = grid_of_line(["method=grpo,rft", "trainer.learning_rate=1e-5,1e-4", "trainer.steps=3", "seed=2,5"])
    assert [arm.label for arm in grid.arms] == [
        f"{method}, trainer.learning_rate={rate}" for method in ("GRPO+OS", "RFT") for rate in ("1e-5", "1e-4")
    ]
    found = cells(grid, "default")
    assert len(found) == 1 + 4 * 2
    typed = load_config(["method=rft", "trainer.learning_rate=1e-4", "trainer.steps=3", "seed=5"])
    made = load_config(found[-1].train)
    assert (made.label, made.seed) == ("RFT, trainer.learning_rate=1e-4", 5)
    made.label = typed.label
    assert made == typed


def test_a_name_goes_with_what_is_listed():
    one, again = (grid_of_line(["method=grpo,rft", "seed=0"]).name for _ in range(2))
    assert one == again
    assert grid_of_line(["method=grpo,rft", "trainer.steps=3"]).name != one
    assert grid_of_line(["method=grpo,rft", "seed=0,1"]).name == one, "seeds are no part of what a grid is"


def test_a_grid_keeps_the_words_that_make_it():
    words = ["method=grpo,rft", "trainer.steps=3", "seed=2,5"]
    assert grid_of_line(words).line == tuple(words)
    iterated = grid_of_line(["method=grpo", "reward=model"], "iterate")
    assert iterated.line == ("method=grpo", "reward=model", "command=iterate")
    facts = describe(iterated, "default", cells(iterated, "default"), "")
    assert (facts["line"], facts["world"]) == (list(iterated.line), [])


def test_one_arm_is_called_by_its_method():
    assert [arm.label for arm in grid_of_line(["method=dpo"]).arms] == ["DPO"]


def test_iterated_arms():
    grid = grid_of_line(["method=grpo", "reward=model", "iterate.reference=kept,renewed"], "iterate")
    assert {cell.command for cell in cells(grid, "default")[1:]} == {"iterate"}
    with pytest.raises(ConfigError, match="method is given twice"):
        grid_of_line(["method=grpo", "method=rft"])


def test_the_command_plans_and_starts_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grid", "method=grpo,rft", "seeds=0,1", "--status"]) == 0
    assert capsys.readouterr().out.startswith("5 cells: 0 done, 0 running, 0 failed, 5 missing")
    assert main(["grid", "method=grpo,rft", "seeds=3", "arms=rft", "--status"]) == 0
    assert capsys.readouterr().out.startswith("4 cells")
    assert not list(tmp_path.iterdir())
