"""GSM8K from both record formats and all layouts, and the marked-answer rule."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem
from unified_rl.tasks.gsm8k import SPLITS, Gsm8k, extract_answer
from unified_rl.tasks.tokenizers import train_tokenizer

REAL = Path(__file__).parents[2].parent / "shared" / "data"

SOLUTION = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = <<48+24=72>>72 in all."
CLEAN_SOLUTION = "Natalia sold 48/2 = 24 clips in May.\nShe sold 48+24 = 72 in all."


def upstream(index, answer="72"):
    return {"question": f"Question {index}?", "answer": f"{SOLUTION}\n#### {answer}"}


def plain(index, answer="72"):
    return {"id": f"own/{index}", "question": f"Question {index}?", "solution": SOLUTION, "answer": answer}


def write_jsonl(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_parquet(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(records), path)


@pytest.fixture
def folder(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [upstream(i) for i in range(200)])
    write_jsonl(tmp_path / "test.jsonl", [upstream(i) for i in range(1000, 1010)])
    return tmp_path


# ---- reading


@pytest.mark.parametrize("make", [upstream, plain])
@pytest.mark.parametrize(
    ("write", "train", "test"),
    [
        (write_jsonl, "train.jsonl", "test.jsonl"),
        (write_jsonl, "gsm8k_train.jsonl", "gsm8k_test.jsonl"),
        (write_jsonl, "main/train.jsonl", "main/test.jsonl"),
        (write_parquet, "main/train-00000-of-00001.parquet", "main/test-00000-of-00001.parquet"),
        (write_parquet, "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
    ],
)
def test_every_layout_of_both_formats_reads_the_same(tmp_path, make, write, train, test):
    write(tmp_path / train, [make(i) for i in range(40)])
    write(tmp_path / test, [make(i, "1,000") for i in range(100, 105)])
    task = Gsm8k(tmp_path, validation_fraction=0.0)
    assert [problem.question for problem in task.problems("train")] == [f"Question {i}?" for i in range(40)]
    assert [problem.gold for problem in task.problems("test")] == ["1000"] * 5
    assert task.demonstrations(1)[0].solution == f"{CLEAN_SOLUTION}\n#### 72"


def test_parquet_shards_are_read_in_order(tmp_path):
    for shard in (1, 0):
        write_parquet(tmp_path / f"main/train-0000{shard}-of-00002.parquet", [upstream(10 * shard + i) for i in range(3)])
    questions = [problem.question for problem in Gsm8k(tmp_path, validation_fraction=0).problems("train")]
    assert questions == [f"Question {i}?" for i in (0, 1, 2, 10, 11, 12)]


def test_a_line_separator_inside_a_text_does_not_end_the_record(tmp_path):
    record = {"question": "One\u2028two?", "answer": "x\n#### 2"}
    (tmp_path / "train.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert Gsm8k(tmp_path, validation_fraction=0).problems("train")[0].question == "One\u2028two?"


def test_one_file_is_one_split(folder):
    assert len(Gsm8k(folder / "test.jsonl").problems("test")) == 10
    assert len(Gsm8k(folder / "train.jsonl", validation_fraction=0).problems("train")) == 200
    with pytest.raises(DataError, match="holds no test split"):
        Gsm8k(folder / "train.jsonl").problems("test")


def test_ids_are_the_records_own_or_made_from_their_place(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [plain(7), upstream(1)])
    problems = Gsm8k(tmp_path, validation_fraction=0).problems("train")
    assert [problem.id for problem in problems] == ["own/7", "gsm8k/train/1"]


def test_the_final_line_of_demonstrations_can_be_chosen(folder):
    task = Gsm8k(folder, final_line="The answer is \\boxed{{answer}}.")
    demo = task.demonstrations(1)[0]
    assert demo.solution.endswith("\nThe answer is \\boxed{72}.")
    assert task.check_answer(demo.problem, demo.solution).verdict == "correct"


# ---- splits


def test_validation_is_a_stable_part_of_train(folder):
    task = Gsm8k(folder, validation_fraction=0.2)
    train, validation, test = ({problem.question for problem in task.problems(split)} for split in SPLITS)
    assert len(train) + len(validation) == 200
    assert 20 <= len(validation) <= 60
    assert not train & validation
    assert not (train | validation) & test


def test_a_question_keeps_its_split_when_records_are_reordered(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("reordered")
    write_jsonl(other / "train.jsonl", [upstream(i) for i in reversed(range(100))])
    before, after = ({p.question for p in Gsm8k(path, 0.2).problems("validation")} for path in (folder, other))
    assert after < before


def test_counts_are_checked(folder):
    task = Gsm8k(folder)
    assert task.problems("test", 3) == task.problems("test")[:3]
    with pytest.raises(DataError, match="10 test problems"):
        task.problems("test", 11)
    with pytest.raises(DataError, match="empty"):
        Gsm8k(folder, validation_fraction=0).problems("validation")


# ---- bad input


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", r"train\.jsonl, line 2: not a JSON record"),
        ("[1]", r"train\.jsonl, line 2: a JSON list"),
        ('{"answer": "#### 1"}', r"train\.jsonl, line 2: field 'question'"),
        ('{"question": "  ", "answer": "#### 1"}', r"train\.jsonl, line 2: field 'question'"),
        ('{"question": "Q?", "answer": 5}', r"train\.jsonl, line 2: field 'answer'"),
        ('{"question": "Q?", "answer": "five"}', r"train\.jsonl, line 2: field 'answer' has no '#### N'"),
        ('{"question": "Q?", "answer": "#### five"}', r"train\.jsonl, line 2: field 'answer' holds no number"),
        ('{"question": "Q?", "solution": null, "answer": "5"}', r"train\.jsonl, line 2: field 'solution'"),
    ],
)
def test_malformed_records_name_file_line_and_field(tmp_path, line, message):
    (tmp_path / "train.jsonl").write_text(json.dumps(upstream(0)) + "\n" + line + "\n")
    with pytest.raises(DataError, match=message):
        Gsm8k(tmp_path).problems("train")


def test_missing_data_names_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=re.escape("train: main/train-*.parquet")):
        Gsm8k(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        Gsm8k(tmp_path / "nowhere")
    (tmp_path / "data.csv").write_text("question,answer")
    with pytest.raises(DataError, match=r"data\.csv"):
        Gsm8k(tmp_path / "data.csv")
    (tmp_path / "train.parquet").write_text("this is not parquet")
    with pytest.raises(DataError, match=r"train\.parquet: not a readable parquet file"):
        Gsm8k(tmp_path).problems("train")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"path": ""}, "path"), ({"validation_fraction": 1.0}, "validation_fraction"), ({"final_line": "{answer}"}, "final_line")],
)
def test_bad_options_are_named(folder, options, field):
    with pytest.raises(ConfigError, match=field):
        Gsm8k(**{"path": folder, **options})


def test_requests_it_cannot_serve_are_refused_with_the_remedy(folder):
    task = Gsm8k(folder)
    with pytest.raises(ConfigError, match=r"reward\.supervision=outcome"):
        task.check_steps(task.problems("test")[0], "1+1=2")
    with pytest.raises(ConfigError, match="slice='hard'"):
        task.problems("test", 1, "hard")
    with pytest.raises(ConfigError, match="split='dev'"):
        task.problems("dev")


# ---- the marked-answer rule


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#### 72", "72"),
        ("####72", "72"),
        ("So 3+4=7.\n#### 7\n", "7"),
        ("The answer is 72.", "72"),
        ("the final answer is: **72**", "72"),
        ("THE ANSWER IS $1,234.50.", "2469/2"),
        ("\\boxed{72}", "72"),
        ("$\\boxed{\\$18}$", "18"),
        ("\\boxed{72\\text{ apples}}", "72"),
        ("The answer is \\boxed{\n72}", "72"),
        ("\\boxed{\\frac{3}{4}}", "3/4"),
        ("\\boxed{-\\dfrac{1}{2}}", "-1/2"),
        ("#### 6/8", "3/4"),
        ("#### 2,000.00", "2000"),
        ("#### 1,234,567", "1234567"),
        ("#### .5", "1/2"),
        ("#### 5.", "5"),
        ("#### 50%", "50"),
        ("#### -5", "-5"),
        ("#### −5", "-5"),
        ("#### $-5", "-5"),
        ("#### -$5", "-5"),
        ("#### 72 apples, of 100", "72"),
        ("#### 1\n#### 2", "2"),
        ("#### 1, no: the answer is 2", "2"),
        ("72", None),
        ("x = 72", None),
        ("####", None),
        ("#### none", None),
        ("#### 3 + 4", None),
        ("#### 3-4", None),
        ("#### 2^10", None),
        ("#### 2 \\times 3", None),
        ("#### 1e5", None),
        ("#### 5 1/2", None),
        ("#### 12:30", None),
        ("#### 1,2345", None),
        ("#### 1/0", None),
        ("#### ٣", None),
        ("#### 5\n#### so there", None),
        ("#### " + "9" * 25, None),
        ("", None),
    ],
)
def test_the_marked_answer_rule(text, value):
    assert extract_answer(text) == (None if value is None else Fraction(value))


@given(st.fractions(max_denominator=10**6).filter(lambda value: abs(value) < 10**12))
def test_any_fraction_survives_the_writing_of_it(value):
    assert extract_answer(f"#### {value}") == value
    sign, top, bottom = "-" * (value < 0), abs(value.numerator), value.denominator
    assert extract_answer(f"so \\boxed{{{sign}\\frac{{{top}}}{{{bottom}}}}}.") == value


@given(st.integers(-(10**15), 10**15), st.integers(0, 3))
def test_commas_and_zeros_do_not_change_the_class(value, zeros):
    task_free = Gsm8k.check_answer
    written = f"{value:,}" + ("." + "0" * zeros if zeros else "")
    check = task_free(None, Problem("p", "q", str(value)), f"The answer is {written}.")
    assert (check.verdict, check.answer_class) == ("correct", str(value))


@given(st.text(max_size=80), st.text(alphabet="0123456789.,-+/%$\\{} frac#boxed", max_size=80))
@settings(max_examples=300)
def test_garbage_never_raises(before, after):
    extract_answer(before + "#### " + after)
    extract_answer(before + "\\boxed{" + after)


@pytest.mark.parametrize(
    "text",
    [
        "#### " * 200_000,
        "\\boxed{" * 100_000,
        "#### " + "1," * 300_000,
        "#### " + "$" * 600_000,
        "the answer is " * 50_000 + "(" * 9,
    ],
)
def test_hostile_text_is_cheap_and_no_answer(text):
    assert extract_answer(text) is None


# ---- the real files


@pytest.fixture(scope="module")
def real():
    if not (REAL / "gsm8k_train.jsonl").exists():
        pytest.skip(f"the real GSM8K files are not at {REAL}")
    return Gsm8k(REAL)


def test_every_real_gold_answer_is_extracted_and_grades_equal_to_itself(real):
    train, validation, test = (real.problems(split) for split in SPLITS)
    assert (len(train) + len(validation), len(test)) == (7473, 1319)
    for problem in (*train, *validation, *test):
        check = real.check_answer(problem, f"\\boxed{{{problem.gold}}}")
        assert (check.verdict, check.answer_class) == ("correct", problem.gold)


def test_every_real_demonstration_is_graded_correct_and_free_of_annotations(real):
    for demo in real.demonstrations():
        assert real.check_answer(demo.problem, demo.solution).verdict == "correct"
        assert "<<" not in demo.solution
        assert demo.solution.count("####") == 1


def test_a_tokenizer_trained_on_real_text_is_lossless_on_test(real):
    texts = [f"{demo.problem.question}\n{demo.solution}" for demo in real.demonstrations(500)]
    tokenizer = train_tokenizer(texts, vocab_size=600)
    for problem in real.problems("test", 200):
        assert tokenizer.decode(tokenizer.encode(problem.question, add_special_tokens=False)) == problem.question
