"""Base models asked with worked examples: prompts, letters by likelihood against plain passes, tables, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from base_models import tiny_model

from unified_rl.cli import main
from unified_rl.plotting import paper_tables
from unified_rl.stages import world
from unified_rl.stages.base_models import asked
from unified_rl.statistics.table_files import read_table
from unified_rl.tasks.templates import render

SHORT = ("max_new_tokens=6", "threads=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models") / "one")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """GSM8K and MMLU-STEM files in their publishers' words, made up."""
    folder = tmp_path_factory.mktemp("data")
    problems = [{"question": f"Ann has {n} jars and buys {n}. How many?", "answer": f"#### {2 * n}"} for n in range(2, 8)]
    choices = [
        {"question": f"What is {n} + 1?", "options": [str(n), str(n + 1), "0", "7 or 8"][: 3 + n % 2], "answer": "B", "id": n}
        | {"topic": "abstract_algebra"}
        for n in range(6)
    ]
    for name, records in (("gsm8k_test", problems), ("mmlu_stem_test", choices)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def words(model: Path, data: Path, task: str, *more: str) -> list[str]:
    return [f"model={model}", f"task={task}", f"data.path={data / f'{task}_test.jsonl'}", *SHORT, *more]


@pytest.fixture(scope="module")
def answered(model, data, tmp_path_factory):
    """A model's answers in every style."""
    out = tmp_path_factory.mktemp("answers") / "one"
    for more in (["gsm8k"], ["gsm8k", "style=pot"], ["mmlu_stem"], ["mmlu_stem", "style=letters"]):
        assert main(["evaluate", *words(model, data, *more), f"out={out}"]) == 0
    return out


def read(folder: Path) -> tuple[pd.DataFrame, dict]:
    return pd.read_parquet(folder / "samples.parquet"), json.loads((folder / "meta.json").read_text())


def test_what_is_stored(answered, model):
    samples, meta = read(answered / "evaluations" / "gsm8k_cot")
    assert (meta["method"], meta["label"], meta["samples_per_problem"], meta["step"]) == ("base_model", "one", 0, 0)
    assert meta["shots"] == {"count": 8, "chosen_by": "paper", "examples": "built-in, written for this project"}
    assert meta["model"]["path"] == str(model) and meta["model"]["content"]
    assert list(samples["mode"].unique()) == ["greedy"] and len(samples) == 6
    assert meta["decoding"]["max_new_tokens"] == 6
    _, letters = read(answered / "evaluations" / "mmlu_stem_letters")
    assert letters["shots"] == {"count": 5, "chosen_by": "our choice", "examples": "built-in, written for this project"}


@pytest.mark.parametrize(
    ("style", "task", "shots", "stands"),
    [
        ("cot", "gsm8k", 8, "Problem: "),
        ("pot", "gsm8k", 8, "print("),
        ("cot", "mmlu_stem", 4, "Problem: "),
        ("letters", "mmlu_stem", 5, "Answer:"),
    ],
)
def test_as_many_worked_examples_as_the_style_says(model, data, style, task, shots, stands):
    config = asked(words(model, data, task, f"style={style}")).config
    (problem, *_) = world.make_task(config).problems("test")
    text = render(problem, config.task.template, config.task.solution, None, config.task.shots)
    assert text.count(stands) == shots + (stands != "print(")
    config = asked(words(model, data, task, f"style={style}", "shots=1")).config
    assert render(problem, config.task.template, config.task.solution, None, 1).count(stands) == 1 + (stands != "print(")


def test_the_letter_is_the_likeliest_by_a_plain_pass(answered, model, data):
    """Over prompt and letter together, in float64: the model by itself, one sequence at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain, tokenizer = (
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64).eval(),
        AutoTokenizer.from_pretrained(model),
    )
    config = asked(words(model, data, "mmlu_stem", "style=letters")).config
    samples, _ = read(answered / "evaluations" / "mmlu_stem_letters")
    chosen = dict(zip(samples["problem_id"], samples["text"], strict=True))
    problems = world.make_task(config).problems("test")
    for problem, prompt in zip(problems, world.as_prompts(list(problems), tokenizer, config), strict=True):
        text = render(problem, "letters", "letter_likelihood", None, 5)
        assert text.endswith("\nAnswer:")
        scores = {}
        for letter in "ABCD"[: len(problem.info["options"])]:
            added = tokenizer.encode(f"{text} {letter}", add_special_tokens=False)[
                len(tokenizer.encode(text, add_special_tokens=False)) :
            ]
            ids = torch.tensor([[*prompt.token_ids, *added]])
            with torch.no_grad():
                logp = plain(ids).logits[0].log_softmax(-1)
            scores[letter] = sum(float(logp[len(prompt.token_ids) - 1 + place, token]) for place, token in enumerate(added))
        assert chosen[problem.id].strip() == max(scores, key=scores.get)
    assert ((samples["text"].str.strip() == "B") == (samples["verdict"] == "correct")).all()


def test_tables_beside_the_papers(answered, model, data, tmp_path, capsys):
    other, tables = tmp_path / "two", tmp_path / "tables"
    assert main(["evaluate", *words(model, data, "gsm8k", "label=again", f"out={other}")]) == 0
    capsys.readouterr()
    assert main(["tables", str(answered), str(other), f"out={tables}"]) == 0
    printed = capsys.readouterr().out
    assert (
        "paper, Table 2: DeepSeekMath-Base 7B" in printed
        and "64.2" in printed
        and "mmlu_stem (letters): 5, our choice" in printed
    )
    ours, _ = read_table(tables / "base_models.csv")
    assert list(ours["label"]) == ["one"] * 4 + ["again"]
    assert list(ours["benchmark"])[:4] == ["gsm8k", "gsm8k", "mmlu_stem", "mmlu_stem"]
    letters = ours[ours["style"] == "letters"].iloc[0]
    samples, _ = read(answered / "evaluations" / "mmlu_stem_letters")
    assert letters["accuracy"] == pytest.approx((samples["verdict"] == "correct").mean())
    assert letters["low"] <= letters["accuracy"] <= letters["high"]
    paper, _ = read_table(tables / "paper_tables.csv")
    assert set(zip(paper["benchmark"], paper["style"], strict=True)) == {
        ("gsm8k", "cot"),
        ("gsm8k", "pot"),
        ("mmlu_stem", "cot"),
    }
    (page,) = paper_tables.draw(tables, tmp_path)
    assert page.read_text().count("| ours: again |") == 4  # Tables 1, 2, 6 and 8, of chain of thought


def test_what_is_refused(answered, model, data, tmp_path, capsys):
    def refused(*given: str) -> str:
        assert main(["evaluate", *given]) == 2
        return capsys.readouterr().err

    gsm8k = words(model, data, "gsm8k")
    assert "not both" in refused(*gsm8k, "run=runs/mine")
    assert "needs task=NAME" in refused(f"model={model}")
    assert "style='pott' is unknown" in refused(*gsm8k, "style=pott")
    assert "is for multiple choice" in refused(*gsm8k, "style=letters", f"out={tmp_path / 'a'}")
    assert "samples nothing" in refused(*words(model, data, "mmlu_stem", "style=letters", "samples=2", f"out={tmp_path / 'b'}"))
    assert "exists already" in refused(*gsm8k, f"out={answered}")
    assert "calls this model 'one'" in refused(*gsm8k, f"out={answered}", "label=other", "name=again")
    other = tiny_model(tmp_path / "other", seed=1)
    assert "answers of another model" in refused(*words(other, data, "gsm8k"), f"out={answered}", "name=again")
    assert "shots=40" in refused(*gsm8k, "shots=40", f"out={tmp_path / 'c'}")
    assert "is unknown" in refused(f"model={model}", "task=gsm9k", f"out={tmp_path / 'd'}")


def test_two_models_of_one_label_are_not_one_row(answered, data, tmp_path, capsys):
    other = tiny_model(tmp_path / "one", seed=1)
    assert main(["evaluate", *words(other, data, "gsm8k"), f"out={tmp_path / 'out'}"]) == 0
    assert main(["tables", str(answered), str(tmp_path / "out"), f"out={tmp_path / 'tables'}"]) == 2
    assert "calls another model 'one' too" in capsys.readouterr().err


def test_training_on_letters_is_refused(data, tmp_path, capsys):
    line = ["train", "method=grpo", "task=mmlu_stem", "task.solution=letter_likelihood", f"run_dir={tmp_path / 'run'}"]
    assert main(line) == 2
    assert "a way to evaluate" in capsys.readouterr().err
