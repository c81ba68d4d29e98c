"""A run that goes on under other code says so: at once, in its provenance by ranges of steps, in tables, and in captions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import environment, words

import unified_rl
from unified_rl.cli import main
from unified_rl.plotting.inputs import load, source_sentence
from unified_rl.records.provenance import code_by_steps
from unified_rl.statistics.table_files import read_table


@pytest.mark.long
def test_another_learning_rate_rule(tmp_path, capsys):
    line = words("grpo", tmp_path / "run", tmp_path / "artifacts")
    assert main(["train", *line, "trainer.steps=2"]) == 0
    other = tmp_path / "other"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(unified_rl.__file__).parent, other / "unified_rl", ignore=ignored)
    rule = other / "unified_rl" / "training" / "optimiser.py"
    rule.write_text(rule.read_text().replace("return self.learning_rate", "return 0.5 * self.learning_rate"))
    assert "0.5 * self" in rule.read_text()

    paths = os.pathsep.join([str(other), str(Path(__file__).parents[1])])
    command = [sys.executable, "-m", "unified_rl.cli", "train", *line, "trainer.steps=4", "resume=true"]
    done = subprocess.run(
        command, env={**environment(), "PYTHONPATH": paths}, cwd=other, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "steps from 3 on are made by other code" in done.stderr

    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    (first, second) = code_by_steps(facts, 4)
    assert (first[:2], second[:2]) == ((1, 2), (3, 4)) and first[2] != second[2]

    assert main(["tables", str(tmp_path / "run"), f"out={tmp_path / 'tables'}"]) == 0
    words_of_code = f"steps 1-2 by {first[2]}, steps 3-4 by {second[2]}"
    for name in ("runs", "cells"):
        table, provenance = read_table(tmp_path / "tables" / f"{name}.csv")
        assert set(table["mixed_code"]) == {words_of_code}
        assert list(provenance["mixed_code"].values()) == [words_of_code]
    caption = source_sentence(load(tmp_path / "tables", "curves.csv", ()))
    assert words_of_code in caption
    capsys.readouterr()


def test_steps_that_were_made_again_are_the_last_sessions():
    def session(step: int, code: str) -> dict:
        return {"from_step": step, "code": code * 16, "git": {"commit": None, "dirty": None}, "packages": {}}

    sessions = [session(0, "a"), session(4, "b"), session(2, "c"), session(6, "c"), session(8, "d")]
    named = [f"source {code * 12}" for code in "abcd"]
    found = code_by_steps({"sessions": sessions}, 9)
    assert found == [(1, 2, named[0]), (3, 8, named[2]), (9, 9, named[3])]
