"""Preference files: columns of the usual names, pairs in the data's order, and everything from one line."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import unified_rl as ur
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.presets.loading import load_config
from unified_rl.tasks.preferences import Preferences

ROWS = [{"prompt": f"{i}+2?", "chosen": f"It is {i + 2}", "rejected": f"It is {i}"} for i in range(12)]


def write(folder, rows=ROWS, name="pairs.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


def turns(*texts):
    return [{"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=False)]


def all_pairs(path):
    task = Preferences(path, test_fraction=0.0, validation_fraction=0.0)
    return [(better.problem.question, better.solution, worse.solution) for better, worse in task.compared()]


CHAT = {"chosen": turns("2+2?", "4"), "rejected": turns("2+2?", "5")}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "2+2?", "chosen": "4", "rejected": "5"},
        {"Question": "2+2?", "Chosen": "4", "REJECTED": "5", "score": 3},
        {"instruction": "2+2?", "preferred": "4", "dispreferred": "5"},
        {"prompt": turns("2+2?"), "chosen": turns("2+2?", "4")[1:], "rejected": turns("2+2?", "5")[1:]},
        {"prompt": "2+2?", **CHAT},
        CHAT,
    ],
    ids=["plain", "case", "other names", "prompt as messages", "conversations and prompt", "conversations"],
)
def test_columns_of_the_usual_names(row, tmp_path):
    assert all_pairs(write(tmp_path, [row])) == [("2+2?", "4", "5")]


def test_csv_and_parquet(tmp_path):
    expected = [(row["prompt"], row["chosen"], row["rejected"]) for row in ROWS]
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "pairs.parquet")
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    for name in ("pairs.parquet", "pairs.csv"):
        assert all_pairs(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "q", "chosen": "4"}, "line 1: no rejected response.*its columns: prompt, chosen"),
        ({"prompt": "q", "chosen": " ", "rejected": "5"}, "line 1: no chosen response"),
        ({"prompt": "q", "chosen": 4, "rejected": "5"}, "no chosen response"),
        ({"prompt": "q", "chosen": "4", "rejected": "4 "}, "the same text"),
        ({"chosen": "4", "rejected": "5"}, "line 1: no question in a column of a usual name"),
        ({"prompt": "q", "chosen": [{"role": "user"}], "rejected": "5"}, "messages must be a list"),
        ({"chosen": turns("a", "b") + turns("c", "d"), "rejected": turns("a", "e")}, "conversation of 2 questions"),
    ],
)
def test_refused_in_a_line(row, says, tmp_path):
    with pytest.raises(DataError, match=says) as caught:
        all_pairs(write(tmp_path, [row]))
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preferences")
    data = write(folder)
    settings = {"sft": {"steps": 20}, "rollout": {"prompts_per_step": 4}, "trainer": {"learning_rate": 3e-3}, "threads": 1}
    return ur.train(
        method="dpo",
        data=str(data),
        steps=6,
        run_dir=str(folder / "run"),
        artifacts=str(folder / "artifacts"),
        logging={"samples": 2, "samples_every": 1},
        **settings,
    )


def test_one_line_from_a_file_to_a_run(run):
    """`ur.train(method="dpo", data="pairs.jsonl")`: the file says which task reads it, and that its pairs are trained on."""
    assert run.config["task"]["name"] == "preferences"
    samples = run.samples
    order = {row["prompt"]: (row["chosen"], row["rejected"]) for row in ROWS}
    for _, step in samples.groupby("step"):
        better, worse = step.iloc[0], step.iloc[1]
        assert (better["text"].removesuffix("</s>"), worse["text"].removesuffix("</s>")) == order[better["prompt"]]
        assert (better["reward"], worse["reward"]) == (1.0, 0.0)
        assert np.array(better["coefficient"]["total"], float).sum() > 0 > np.array(worse["coefficient"]["total"], float).sum()
    logged = run.metrics
    assert set(logged["groups/count"]) == {4.0}
    assert logged["loss"].iloc[-1] < logged["loss"].iloc[0], "the margin grows"


def test_what_the_file_says(tmp_path):
    pairs = write(tmp_path)
    questions = write(tmp_path, [{"question": "2+2?", "answer": "4"}], "qa.jsonl")

    def chosen(*words):
        config = load_config([*words])
        return config.task.name, config.source.name

    assert chosen("method=dpo", f"data={pairs}") == ("preferences", "written_pairs")
    assert chosen("method=ipo", f"data.path={pairs}", "task=preferences") == ("preferences", "written_pairs")
    assert chosen("method=sft", f"data={pairs}") == ("preferences", "demonstrations")
    assert chosen("method=dpo", f"data={pairs}", "source=offline_samples", "source.wrappers=[pairs]")[1] == "offline_samples"
    assert chosen("method=dpo", f"data={questions}", "task=table") == ("table", "preference_pairs")
    assert chosen("method=grpo", f"data={questions}")[0] == "table"
    assert chosen("method=grpo")[0] == "arithmetic"
    for wrong, says in (
        (["method=dpo", "source=written_pairs"], "task=arithmetic has none; set task=preferences"),
        (["method=grpo", "source=written_pairs", f"data={pairs}"], "yields pairs, which coefficient=grpo cannot use"),
        (["method=dpo", f"data={pairs}", "importance=truncated"], "importance"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_config(wrong)


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if "pairs" in COEFFICIENTS[row.coefficient].needs])
def test_every_row_of_pairs_takes_a_file(method, tmp_path):
    assert load_config([f"method={method}", f"data={write(tmp_path)}"]).source.name == "written_pairs"


def test_pairs_that_do_not_fit_the_context(tmp_path):
    rows = [*ROWS, {"prompt": "long?", "chosen": "word " * 80, "rejected": "short"}]
    line = {"sft": {"steps": 1}, "model": {"max_positions": 60}, "generator": {"max_new_tokens": 8}, "threads": 1}
    folder = {"artifacts": str(tmp_path / "artifacts"), "data": str(write(tmp_path, rows)), "steps": 1, **line}
    with pytest.raises(DataError, match=r"leave no room for their responses in a context of 60.*data.too_long=drop"):
        ur.train(method="dpo", init="base", run_dir=str(tmp_path / "a"), **folder)
    run = ur.train(
        method="dpo",
        init="base",
        run_dir=str(tmp_path / "b"),
        **{**folder, "data": {"path": folder["data"], "too_long": "drop"}},
    )
    assert len(run.metrics) == 1
