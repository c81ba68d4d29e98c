"""Every benchmark from its real file and from its publisher's layout, graded; tables of one's own; what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import upstream
from upstream import write_jsonl, write_parquet

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.grading.policies import BENCHMARKS as POLICIES
from unified_rl.tasks import build_task
from unified_rl.tasks.benchmarks import BENCHMARKS
from unified_rl.tasks.reading import HUB, hub_commit, read_records

REAL = Path(__file__).parents[2].parent / "shared" / "data"
needs_real = pytest.mark.skipif(
    not REAL.is_dir(), reason="needs the benchmark files in ../shared/data, which are not part of the project"
)

#: Benchmark -> (real file, records, as its README counts them).
FILES = {
    "math": ("math_test.jsonl", 5000),
    "math500": ("math500_test.jsonl", 500),
    "cmath": ("cmath_test.jsonl", 1098),
    "mgsm_zh": ("mgsm_zh_test.jsonl", 250),
    "gaokao_mathcloze": ("gaokao_mathcloze.jsonl", 118),
    "gaokao_mathqa": ("gaokao_mathqa.jsonl", 351),
    "sat_math": ("sat_math_test.jsonl", 32),
    "ocw": ("ocw_test.jsonl", 272),
    "mmlu_stem": ("mmlu_stem_test.jsonl", 3018),
}

#: One made-up record in the format of each real file, with its question, gold answer, a right and a wrong response.
MADE_UP = {
    "math": (
        {"problem": "Half of $x$?", "level": "Level 3", "type": "Algebra", "solution": "It is $\\boxed{\\frac{x}{2}}$."},
        ("Half of $x$?", "\\frac{x}{2}", "So $\\boxed{0.5x}$.", "So $\\boxed{2x}$."),
    ),
    "math500": (
        {
            "problem": "1+1?",
            "solution": "\\boxed{2}",
            "answer": "2",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "t/a/1.json",
        },
        ("1+1?", "2", "The answer is 2.", "The answer is 3."),
    ),
    "cmath": (
        {"grade": 1, "question": "3盒6包？", "golden": "1,800", "reasoning_step": 1, "num_digits": 4},
        ("3盒6包？", "1800", "答案是 \\boxed{1800}。", "答案是 \\boxed{18}。"),
    ),
    "mgsm_zh": (
        {"dataset": "mgsm-zh", "id": "0", "messages": [{"role": "user", "content": "多少？"}], "answer": "18"},
        ("多少？", "18", "答案是18。", "答案是19。"),
    ),
    "gaokao_mathcloze": (
        {"passage": None, "question": "则 $a=$", "options": None, "answer": "$5$;$10$", "other": {"source": "2021"}},
        ("则 $a=$", "$5$, $10$", "$\\boxed{5}$，$\\boxed{10}$", "\\boxed{10, 5}"),
    ),
    "gaokao_mathqa": (
        {
            "question": "则 $z=$\\\\\n",
            "options": ["(A)$-1$", "(B)1", "(C)2", "(D)3"],
            "label": "A C",
            "answer": None,
            "other": {"source": "2021"},
        },
        (
            "则 $z=$\n下列选项中哪些正确？请用选项的字母作答。\n(A) $-1$\n(B) 1\n(C) 2\n(D) 3",
            "AC",
            "故选AC。",
            "故选A。",
        ),
    ),
    "sat_math": (
        {"id": "0", "question": "Which?", "options": "A) 1 B) 2 C) 3 D) 4", "Answer": "B"},
        (
            "Which?\nWhich of these options is right? Answer with its letter.\nA) 1 B) 2 C) 3 D) 4",
            "B",
            "The answer is (B).",
            "A",
        ),
    ),
    "ocw": (
        {"problem": "How far?", "solution": "$\\boxed{1.6}$", "answer": "1.6", "id": "0"},
        ("How far?", "1.6", "\\boxed{1.605}", "\\boxed{1.7}"),  # judged at 1 %
    ),
    "mmlu_stem": (
        {"question": "Pick.", "options": [float("nan"), "y", "z", "w"], "answer": "D", "topic": "astronomy", "id": 0},
        (
            "Pick.\nWhich of these options is right? Answer with its letter.\n(A) None\n(B) y\n(C) z\n(D) w",
            "D",
            "\\boxed{D}",
            "\\boxed{A}",
        ),
    ),
}


@pytest.fixture(scope="module")
def made():
    """Makes tasks and at last ends their graders."""
    tasks = []

    def make(name, path, /, **options):
        tasks.append(build_task(name, path=path, **{"grading_workers": 1, **options}))
        return tasks[-1]

    yield make
    for task in tasks:
        task.close()


def gold_grades_correct(task, problems):
    checks = task.check_answers([(problem, f"So it is $\\boxed{{{problem.gold}}}$.") for problem in problems])
    assert [problem.id for problem, check in zip(problems, checks, strict=True) if check.verdict != "correct"] == []


# ---- the table


def test_the_table_agrees_with_the_grader_and_the_writers():
    assert list(MADE_UP) == list(FILES) == list(upstream.WRITERS) == list(BENCHMARKS)
    for name, row in BENCHMARKS.items():
        assert row.format == ("choice" if name in ("gaokao_mathqa", "sat_math", "mmlu_stem") else "auto")
        assert row.policy in POLICIES
        assert row.hub.count("/") == 1


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_record_in_both_layouts(name, made, tmp_path):
    row, (question, gold, right, wrong) = MADE_UP[name]
    write_jsonl(tmp_path / "files" / FILES[name][0], [row])
    (tmp_path / "upstream").mkdir()
    upstream.WRITERS[name]([row], tmp_path / "upstream")
    for folder in (tmp_path / "files", tmp_path / "upstream"):
        task = made(name, folder)
        (problem,) = task.problems("test")
        assert (problem.question, problem.gold) == (question, gold)
        checks = task.check_answers([(problem, right), (problem, wrong), (problem, "I do not know.")])
        assert [check.verdict for check in checks] == ["correct", "incorrect", "unparsable"]
        assert checks[0] == task.check_answer(problem, right)
        assert checks[0].answer_class != checks[1].answer_class


def test_the_original_archive_of_math(made, tmp_path):
    row = MADE_UP["math"][0]
    upstream.math_archive([row, {**row, "problem": "And of $y$?", "type": "Geometry"}], tmp_path)
    problems = made("math", tmp_path).problems("test")
    assert [problem.question for problem in problems] == ["Half of $x$?", "And of $y$?"]
    assert [problem.info["subject"] for problem in problems] == ["Algebra", "Geometry"]


# ---- the real files


@needs_real
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_real_gold_answer_in_both_layouts(name, made, tmp_path):
    file, count = FILES[name]
    task = made(name, REAL)
    problems = task.problems("test")
    assert len(problems) == count
    gold_grades_correct(task, problems)
    rows = [json.loads(line) for line in (REAL / file).read_text(encoding="utf-8").splitlines()]
    upstream.WRITERS[name](rows, tmp_path)
    again = made(name, tmp_path).problems("test")
    key = (lambda problem: (problem.question, problem.gold)) if name != "math" else (lambda problem: problem.question)
    # MATH comes by subject there, and its answers from the solutions' boxes.
    assert (
        sorted(map(key, again)) == sorted(map(key, problems))
        if name == "math"
        else list(map(key, again)) == list(map(key, problems))
    )
    if name == "math":
        golds = {problem.question + problem.info["solution"]: problem.gold for problem in problems}
        pairs = [(problem, f"\\boxed{{{golds[problem.question + problem.info['solution']]}}}") for problem in again]
        assert {check.verdict for check in task.check_answers(pairs)} == {"correct"}


@needs_real
@pytest.mark.parametrize("name", ["cmath", "gaokao_mathcloze", "mmlu_stem", "gaokao_mathqa"])
def test_the_next_problems_answer_is_rarely_right(name, made):
    task = made(name, REAL)
    problems = task.problems("test")[:300]
    pairs = [(one, f"\\boxed{{{other.gold}}}") for one, other in zip(problems, problems[1:] + problems[:1], strict=True)]
    right = [one.gold == other.gold for one, other in zip(problems, problems[1:] + problems[:1], strict=True)]
    verdicts = [check.verdict == "correct" for check in task.check_answers(pairs)]
    assert sum(verdicts) <= sum(right) + 3
    assert sum(verdicts) < 0.5 * len(problems)


@needs_real
def test_math_has_train_validation_and_test(made):
    task = made("math", REAL)
    train, validation, test = (task.problems(split) for split in ("train", "validation", "test"))
    assert (len(train) + len(validation), len(test)) == (7498, 5000)  # two of 7,500 end in an empty box
    assert not {problem.question for problem in train} & {problem.question for problem in validation}
    assert 0.03 < len(validation) / 7500 < 0.07
    gold_grades_correct(task, validation)
    demonstrations = task.demonstrations(200)
    pairs = [(item.problem, item.solution) for item in demonstrations]
    assert {check.verdict for check in task.check_answers(pairs)} == {"correct"}
    hardest = made("math", REAL, where={"level": 5, "subject": ["Geometry", "Algebra"]}).problems("test")
    assert {problem.info["level"] for problem in hardest} == {5}
    assert {problem.info["subject"] for problem in hardest} == {"Geometry", "Algebra"}


# ---- splits


def test_a_benchmark_without_training_data_says_so(made, tmp_path):
    write_jsonl(tmp_path / "ocw_test.jsonl", [MADE_UP["ocw"][0]])
    task = made("ocw", tmp_path)
    for split in ("train", "validation"):
        with pytest.raises(DataError, match=f"benchmark ocw has no {split} split, only test"):
            task.problems(split)
    with pytest.raises(DataError, match="no train split"):
        task.demonstrations()


def test_cmath_brings_its_own_validation_file(made, tmp_path):
    row = MADE_UP["cmath"][0]
    write_jsonl(tmp_path / "cmath_test.jsonl", [row])
    write_jsonl(tmp_path / "cmath_dev.jsonl", [{**row, "question": "别的？"}])
    task = made("cmath", tmp_path)
    assert [task.problems(split)[0].question for split in ("validation", "test")] == ["别的？", "3盒6包？"]


def test_a_split_whose_file_is_elsewhere(made, tmp_path):
    write_jsonl(tmp_path / "math_train.jsonl", [MADE_UP["math"][0]])
    with pytest.raises(DataError, match="holds no test split, only train"):
        made("math", tmp_path / "math_train.jsonl", validation_fraction=0).problems("test")


# ---- a table of one's own


TABLE = {
    "question": "{context}\n{task}",
    "gold": "result.value",
    "solution": "how",
    "id": "key",
    "info": {"source": "from", "level": "level"},
}


def table_rows(count=40):
    return [
        {
            "key": f"k{i}",
            "context": f"There are {i} jars.",
            "task": "Double them.",
            "result": {"value": 2 * i},
            "how": f"2 * {i} = {2 * i}.",
            "from": "me" if i % 2 else "you",
            "level": i % 3,
        }
        for i in range(count)
    ]


@pytest.mark.parametrize(("write", "suffix"), [(write_jsonl, "jsonl"), (write_parquet, "parquet")])
def test_any_file_by_a_mapping(write, suffix, made, tmp_path):
    write(tmp_path / f"train.{suffix}", table_rows())
    write(tmp_path / f"test.{suffix}", table_rows(3))
    task = made("table", tmp_path, **TABLE, validation_fraction=0.3, final_line="The answer is {answer}.")
    train, validation = task.problems("train"), task.problems("validation")
    assert len(train) + len(validation) == 40
    assert 3 < len(validation) < 25
    problem = task.problems("test")[2]
    assert (problem.id, problem.question, problem.gold) == ("table/k2", "There are 2 jars.\nDouble them.", "4")
    assert problem.info["source"] == "you"
    demonstration = task.demonstrations(1)[0]
    assert demonstration.solution.endswith(f"The answer is {demonstration.problem.gold}.")
    assert task.check_answer(demonstration.problem, demonstration.solution).verdict == "correct"
    mine = made("table", tmp_path, **TABLE, where={"source": "me", "level": [0, 1]})
    assert {(problem.info["source"], problem.info["level"]) for problem in mine.problems("test")} == {("me", 1)}


def test_a_table_with_choices_from_one_csv_file(made, tmp_path):
    (tmp_path / "test.csv").write_text('Ask,One,Right\n"Which, then?","A) 1 B) 2",B\n')
    task = made("table", tmp_path / "test.csv", question="Ask", choices="One", gold="Right", gold_form="letter", name="quiz")
    (problem,) = task.problems("test")
    assert problem.id == "quiz/test/0"
    assert problem.question.startswith("Which, then?\nWhich of these options is right?")
    assert task.check_answer(problem, "It must be (B).").verdict == "correct"
    assert task.check_answer(problem, "2").verdict != "correct"


def test_a_policy_of_ones_own_is_used_and_named_in_the_identity(made, tmp_path):
    write_jsonl(tmp_path / "test.jsonl", table_rows(3))
    strict, lenient = (made("table", tmp_path, **TABLE, policy=policy) for policy in ({"unmarked": "refuse"}, None))
    problem = strict.problems("test")[1]
    assert strict.check_answer(problem, "so 2").verdict == "unparsable"
    assert lenient.check_answer(problem, "so 2").verdict == "correct"
    assert strict.identity != lenient.identity


# ---- bad input


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"golden": "1"}, r"cmath_test\.jsonl, line 2: field 'question' must be a non-empty text.*fields: golden"),
        ({"question": " ", "golden": "1"}, r"line 2: field 'question'"),
        ({"question": ["a"], "golden": "1"}, r"line 2: field 'question'"),
        ({"question": "多少？"}, r"line 2: field 'golden' must hold the answer"),
        ({"question": "多少？", "golden": ""}, r"line 2: field 'golden'"),
        ([1], r"line 2: a JSON list"),
    ],
)
def test_malformed_records_name_file_line_and_field(row, message, made, tmp_path):
    write_jsonl(tmp_path / "cmath_test.jsonl", [MADE_UP["cmath"][0], row])
    with pytest.raises(DataError, match=message):
        made("cmath", tmp_path).problems("test")


@pytest.mark.parametrize("label", ["E F G H I J K L M", "2nd", -1, 99, True])
def test_a_label_that_is_no_letter(label, made, tmp_path):
    write_jsonl(tmp_path / "gaokao_mathqa.jsonl", [{**MADE_UP["gaokao_mathqa"][0], "label": label}])
    with pytest.raises(DataError, match=r"line 1: field 'label\|gold' must hold the answer \(letter\)"):
        made("gaokao_mathqa", tmp_path).problems("test")


def test_math_without_answer_or_box(made, tmp_path):
    row = {**MADE_UP["math"][0], "solution": "It is half."}
    write_jsonl(tmp_path / "math_test.jsonl", [row])
    with pytest.raises(DataError, match=r"line 1: no field 'answer', and its solution has no"):
        made("math", tmp_path).problems("test")


def test_repeated_ids_are_refused(made, tmp_path):
    write_jsonl(tmp_path / "ocw_test.jsonl", [MADE_UP["ocw"][0]] * 2)
    with pytest.raises(DataError, match="two problems of id 'ocw/0'"):
        made("ocw", tmp_path).problems("test")


def test_a_torn_table_names_its_line(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: 1 fields where there are 2 columns"):
        list(read_records(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("math", {"path": ""}, "hub:EleutherAI/hendrycks_math"),
        ("math", {"path": "nowhere"}, "path=nowhere does not exist"),
        ("math", {"path": ".", "validation_fraction": 1}, "validation_fraction=1"),
        ("math", {"path": ".", "final_line": "#### 5"}, "final_line"),
        ("math", {"path": ".", "policy": {"unit": "drop"}}, "unit is no setting of the grading policy"),
        ("math", {"path": ".", "where": {"grade": 5}}, "where='grade'.*subject, level"),
        ("maths", {"path": "."}, "Did you mean 'math'"),
        ("table", {"path": ".", "question": "q", "gold": "a", "gold_form": "word"}, "gold_form='word'"),
        ("table", {"path": ".", "question": "q", "gold": "a", "format": "letters"}, "format='letters'"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        build_task(name, **options)


def test_an_empty_folder_names_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"test: .*cmath_test\.jsonl"):
        build_task("cmath", path=tmp_path)


def test_single_steps_are_refused_with_the_remedy(made, tmp_path):
    write_jsonl(tmp_path / "ocw_test.jsonl", [MADE_UP["ocw"][0]])
    task = made("ocw", tmp_path)
    with pytest.raises(ConfigError, match=r"reward\.supervision=outcome"):
        task.check_steps(task.problems("test")[0], "1+1=2")


# ---- the hub, from its cache


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A cache of the hub's with one data set in it, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "datasets--math-ai--minervamath"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd" * 5)
    upstream.WRITERS["ocw"]([MADE_UP["ocw"][0]], _made(repository / "snapshots" / ("0123abcd" * 5)))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_a_data_set_of_the_hub_by_name(offline, made):
    task = made("ocw", "hub:math-ai/minervamath")
    assert task.problems("test")[0].gold == "1.6"
    assert hub_commit("hub:math-ai/minervamath") == f"{HUB}math-ai/minervamath@{'0123abcd' * 5}"


def test_the_hub_out_of_reach_says_what_to_do(offline):
    with pytest.raises(
        DataError, match=r"cannot fetch the data set nobody/nothing .*hf download --repo-type dataset nobody/nothing"
    ):
        build_task("ocw", path="hub:nobody/nothing")
    with pytest.raises(ConfigError, match="hub:OWNER/NAME"):
        build_task("ocw", path="hub:minervamath")
