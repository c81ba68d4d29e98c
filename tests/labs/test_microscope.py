"""The microscope's picture from a table by hand: which rows share a line, which responses are shown, what is said of them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from unified_rl.base.errors import DataError
from unified_rl.plotting import microscope
from unified_rl.statistics.table_files import SCHEMA, write_table

#: Response -> (verdict, tokens).
RESPONSES = {
    0: ("incorrect", ["12", "\n", "$"]),
    1: ("incorrect", ["N", "A"]),
    2: ("incorrect", ["x"]),
    3: ("correct", ["1", "=", " 2"]),
}


def rows(label, term, value, responses=RESPONSES):
    return [
        {"method": label.lower(), "label": label, "response": response, "token_index": index, "token": json.dumps(token)}
        | {"term": term, "value": value(response, index), "reward": float(verdict == "correct"), "verdict": verdict}
        | {"step_end": int(index + 1 == len(tokens)), "step_reward": 1.0 if index + 1 == len(tokens) else None}
        for response, (verdict, tokens) in RESPONSES.items()
        if response in responses
        for index, token in enumerate(tokens)
    ]


@pytest.fixture
def tables(tmp_path):
    table = pd.DataFrame(
        [
            *rows("A", "advantage", lambda response, index: response - 1.5),
            *rows("A", "kl", lambda response, index: 0.0),
            *rows("B", "advantage", lambda response, index: response - 1.5),
            *rows("DPO", "preference", lambda response, index: 1.0, responses={0, 3}),
        ]
    )
    facts = {"schema": SCHEMA, "question": "How much is $1 + $2?", "prompt_id": "p", "policy": "GRPO", "command": "c"}
    write_table(table, tmp_path / "microscope.csv", facts)
    return tmp_path


def read(tables):
    return microscope.load(tables, "microscope.csv", microscope.COLUMNS, microscope.MADE_BY).table


def test_tokens_that_look_like_numbers_or_nothing_survive_the_table(tables):
    tokens = read(tables).drop_duplicates(["response", "token_index"])
    assert [json.loads(token) for token in tokens["token"]] == ["12", "\n", "$", "N", "A", "x", "1", "=", " 2"]


def test_methods_with_equal_numbers_share_a_row(tables):
    found = microscope.merged_rows(read(tables))
    assert [(row.name, row.scale) for row in found] == [("A, B: advantage", 1.5), ("A: kl", 0.0), ("DPO: preference", 1.0)]


def test_many_sharing_methods_are_cut_and_told_in_the_caption(tables, tmp_path):
    labels = [f"Method number {number}" for number in range(6)]
    table = pd.DataFrame([row for label in labels for row in rows(label, "advantage", lambda response, index: 1.0)])
    write_table(table, tmp_path / "many" / "microscope.csv", {"schema": SCHEMA})
    (row,) = microscope.merged_rows(read(tmp_path / "many"))
    assert row.name == "Method number 0, +5: advantage"
    caption = microscope.draw(tmp_path / "many", tmp_path / "out")[2].read_text()
    assert "Method number 5" in caption


def test_right_and_wrong_responses_are_shown_in_equal_parts(tables):
    table = read(tables)
    assert microscope.choose(table) == [0, 1, 2, 3]
    more = [table.assign(response=table["response"] + 4 * copy) for copy in range(3)]  # 3 right, 9 wrong
    assert microscope.choose(pd.concat(more)) == [0, 1, 3, 7]


def test_the_picture_and_its_caption(tables, tmp_path):
    files = microscope.draw(tables, tmp_path / "out")
    assert files[1].read_bytes().startswith(b"\x89PNG")
    caption = " ".join(files[2].read_text().split())
    assert "4 of the group's 4 responses" in caption and "Policy: GRPO" in caption
    assert files == microscope.draw(tables, tmp_path / "out")


def test_long_responses_are_cut_and_the_caption_says_so(tmp_path):
    count = microscope.LINE * microscope.MOST_LINES + 1
    row = {"method": "a", "label": "A", "response": 0, "token": '"t"', "term": "x", "value": 1.0, "reward": 1.0}
    table = pd.DataFrame(
        [row | {"token_index": i, "verdict": "correct", "step_end": 0, "step_reward": None} for i in range(count)]
    )
    write_table(table, tmp_path / "microscope.csv", {"schema": SCHEMA})
    caption = " ".join(microscope.draw(tmp_path, tmp_path / "out")[2].read_text().split())
    assert f"First {count - 1} tokens of response 1." in caption


def test_a_missing_table_names_its_command(tmp_path):
    with pytest.raises(DataError, match=r"make it with: unified-rl microscope"):
        microscope.draw(tmp_path, tmp_path / "out")
