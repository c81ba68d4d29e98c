"""What `explain` says of the data that are named: looked at where they are, said to be missing where not."""

import pytest

from unified_rl.base.errors import DataError
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config


def said(*words):
    return explain.facts(load_config(["method=grpo", *words]))["axes"].get("problems")


def test_columns_and_splits_of_a_file(tmp_path):
    (tmp_path / "qa.csv").write_text("Question,Answer\n" + "".join(f"What is {n}?,{n}\n" for n in range(200)))
    text = said(f"data={tmp_path / 'qa.csv'}")
    assert "questions from 'Question', answers from 'Answer'" in text
    counts = [int(part.split()[-2]) for part in text.split(" by a hash")[0].split(";")[1].split(",")]
    assert len(counts) == 3 and sum(counts) == 200


def test_data_that_are_not_here_or_not_looked_at(tmp_path):
    assert said("data=nothere.csv") == "nothere.csv is not here, so that nothing of it was looked at"
    assert "fetched by the run" in said("data=hub:OWNER/NAME", "task=table")
    assert said() is None
    (tmp_path / "qa.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"qa\.csv"):
        said(f"data={tmp_path / 'qa.csv'}")
