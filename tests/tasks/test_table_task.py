"""A file of questions and answers as people have them: columns of usual names, no files for splits, every format."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import DataError
from unified_rl.tasks import build_task
from unified_rl.tasks.hashed_split import hashed_split
from unified_rl.tasks.usual_columns import ANSWER, QUESTION, SOLUTION, usual

ROWS = [(f"What is {a} + {a}?", str(2 * a)) for a in range(40)]


def csv(path, header="question,answer", rows=ROWS):
    path.write_text(header + "\n" + "".join(f"{q},{a}\n" for q, a in rows))
    return path


def table(path, **more):
    return build_task("table", path=path, grading_workers=1, **more)


def test_a_csv_needs_no_description_and_no_split(tmp_path):
    task = table(csv(tmp_path / "qa.csv"))
    splits = {split: task.problems(split) for split in ("train", "validation", "test")}
    assert sorted(problem.question for found in splits.values() for problem in found) == sorted(q for q, _ in ROWS)
    assert all(splits.values()) and len(splits["train"]) > 25
    problem = splits["test"][0]
    assert task.check_answer(problem, f"It is {problem.gold}.").verdict == "correct"
    assert task.check_answer(problem, problem.gold).verdict == "correct"
    assert task.check_answer(problem, "999").verdict == "incorrect"
    assert task.demonstrations(1)[0].solution == splits["train"][0].gold
    said = task.in_words()
    assert "questions from 'question', answers from 'answer'" in said and f"{len(splits['test'])} test by a hash" in said
    shuffled = table(csv(tmp_path / "other.csv", rows=ROWS[::-1])).problems("test")
    assert {one.question for one in shuffled} == {one.question for one in splits["test"]}


def test_a_folder_with_one_file_is_that_file_and_named_files_stay_what_they_say(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    csv(folder / "qa.csv")
    assert len(table(folder).problems("train")) > 25
    assert len(table(csv(tmp_path / "my_test.csv")).problems("test")) == 40
    train = table(csv(tmp_path / "train.csv"), validation_fraction=0.0)
    assert len(train.problems("train")) == 40
    with pytest.raises(DataError, match="holds no test split"):
        train.problems("test")
    assert len(table(tmp_path / "train.csv", test_fraction=0.5).problems("test")) > 10
    assert len(table(folder, test_fraction=1).problems("test")) == 40


@pytest.mark.parametrize(
    ("record", "question", "answer", "solution"),
    [
        ({"Prompt": "2+2?", "Label": 4}, "2+2?", 4, "4"),
        ({"problem": "2+2?", "solution": "So \\boxed{4}."}, "2+2?", "4", "So \\boxed{4}."),
        ({"problem": "2+2?", "solution": "So \\boxed{4}.", "answer": "4"}, "2+2?", "4", "So \\boxed{4}."),
        ({"question": "2+2?", "answer": "2+2=4\n#### 4"}, "2+2?", "4", "2+2=4\n#### 4"),
        ({"instruction": "Add.", "input": "2, 2", "output": "4"}, "Add.\n2, 2", "4", "4"),
        ({"instruction": "Add 2, 2.", "input": "", "output": "4"}, "Add 2, 2.", "4", "4"),
        (
            {"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is \\boxed{4}"}]},
            "2+2?",
            "4",
            "It is \\boxed{4}",
        ),
        ({"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}], "answer": "4"}, "S\n\nQ", "4", "4"),
        (
            {"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "#### 4"}]},
            "Q",
            "4",
            "#### 4",
        ),
    ],
)
def test_usual_columns(record, question, answer, solution):
    found = usual("qa.jsonl, line 1", record)
    assert (found[QUESTION], found[ANSWER], found[SOLUTION]) == (question, answer, solution)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"frage": "2+2?", "answer": "4"},
            r"line 1: no question in a column of a usual name .*its columns: frage, answer; name",
        ),
        ({"question": "2+2?", "antwort": "4"}, r"no answer in a column .*task.options.gold=COLUMN"),
        ({"messages": [{"role": "user", "content": "a"}] * 2}, "a conversation of 2 questions"),
        ({"messages": "hello"}, "messages must be a list"),
        ({"messages": [{"role": "user"}]}, "messages must be a list"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no answer in a column"),
    ],
)
def test_what_has_no_usual_columns_is_one_line(record, words):
    with pytest.raises(DataError, match=words):
        usual("qa.jsonl, line 1", record)


def test_every_wrong_record_is_named(tmp_path):
    path = tmp_path / "qa.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in ({"question": "a", "answer": 1}, {"q": "b"}, {"q": "c"})))
    with pytest.raises(DataError, match=r"line 2: no question.*line 3: no question"):
        table(path).problems("train")


def test_one_field_may_be_named_and_the_other_usual(tmp_path):
    task = table(csv(tmp_path / "qa.csv", header="frage,answer"), question="frage")
    assert {problem.gold for problem in task.problems("train")} <= {a for _, a in ROWS}


def test_too_few_questions_are_refused(tmp_path):
    with pytest.raises(DataError, match="2 different questions, too few for 3 splits"):
        table(csv(tmp_path / "qa.csv", rows=ROWS[:2])).problems("train")
    assert len(table(tmp_path / "qa.csv", test_fraction=1.0).problems("test")) == 2


@settings(max_examples=200, deadline=None)
@example({65, 1, 112}, 0.3)
@given(st.sets(st.integers(0, 999), min_size=3, max_size=12), st.sampled_from([0.05, 0.3]))
def test_splits_are_whole_whatever_the_order(numbers, test):
    questions = [f"q{number}" for number in numbers]
    splits = dict(zip(questions, hashed_split(questions, 0.05, test, "qa"), strict=True))
    assert set(splits.values()) == {"train", "validation", "test"}
    again = questions[::-1] + questions[:2]
    assert hashed_split(again, 0.05, test, "qa") == [splits[question] for question in again]
