"""Our evaluation of base models against the real lm-evaluation-harness: the same prompts token for token, the same responses and
verdicts but for named reasons, on a tiny model that has learnt to answer in several ways.

These need lm-eval (extra `harness`). Everything before them needs none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from base_models import tiny_model

from unified_rl.adapters.harness_export import NUMBER, export
from unified_rl.cli import main
from unified_rl.models.policy_model import load_policy, save_policy
from unified_rl.stages import world
from unified_rl.stages.base_models import asked
from unified_rl.tasks.gsm8k import extract_answer
from unified_rl.tasks.templates import render

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
try:
    import lm_eval
except ImportError:
    lm_eval = None
needs_harness = pytest.mark.skipif(lm_eval is None, reason="lm-eval is not installed (extra `harness`)")

REAL = Path(__file__).parents[3] / "shared" / "data"
PROBLEMS, SHOTS, TOKENS, REAL_PROBLEMS = 20, 1, 40, 250
#: How the made-up solutions conclude, in turn: `{0}` is the answer. What a grader and a pattern may read differently is among them.
ENDS = (
    "The answer is \\boxed{{{0}}}.",
    "#### {0}",
    "The answer is {0}.",
    "The answer is \\boxed{{{0}.0}}.",
    "It is {0} jars.",
    "The answer is \\boxed{{{0} \\text{{ jars}}}}.",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """GSM8K's and MMLU-STEM's files with made-up problems, and the solutions that the model is shown."""
    folder = tmp_path_factory.mktemp("data")
    numbers, choices = [], []
    for n in range(PROBLEMS):
        a, b = 2 + n % 5, 3 + n // 5
        numbers.append({"question": f"A shelf holds {a} rows of {b} jars. How many jars?", "answer": f"#### {a * b}"})
        options = [str(a + b), str(a * b), str(a), str(10 * b)][: 3 + n % 2]
        options = [*options[n % 2 :], *options[: n % 2]]
        choices.append(
            {"question": f"What is {a} * {b}?", "options": options, "answer": "ABCD"[options.index(str(a * b))], "id": n}
            | {"topic": "abstract_algebra"}
        )
    for name, records in (("gsm8k_test", numbers), ("mmlu_stem_test", choices)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def solution(place: int, gold: str) -> str:
    """What the model is taught to answer to a problem: wrong in every fifth."""
    said = str(int(gold) + 1) if place % 5 == 4 else gold
    return " So it is. " + ENDS[place % len(ENDS)].format(said) + "\n\nProblem:"


@pytest.fixture(scope="module")
def model(data, tmp_path_factory) -> Path:
    """A tiny Llama that has learnt the problems by heart, as they are asked with one worked example."""
    folder = tmp_path_factory.mktemp("models") / "taught"
    llama, tokenizer = load_policy(tiny_model(folder, width=64))
    rows = []
    for task in ("gsm8k", "mmlu_stem"):
        config = asked(words(folder, data, task)).config
        problems = world.make_task(config).problems("test")
        for place, prompt in enumerate(world.as_prompts(list(problems), tokenizer, config)):
            if task == "gsm8k":
                text = solution(place, problems[place].gold)
            else:
                text = f" Option {problems[place].gold} it is. The answer is \\boxed{{{'ABC'[place % 3]}}}.\n\nProblem:"
            rows.append((list(prompt.token_ids), tokenizer.encode(text, add_special_tokens=False)))
    teach(llama, rows)
    save_policy(llama, tokenizer, folder)
    return folder


def teach(llama: Any, rows: list[tuple[list[int], list[int]]]) -> None:
    """Cross-entropy of the solutions, all in one batch."""
    longest = max(len(prompt) + len(text) for prompt, text in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), -100)
    for row, (prompt, text) in enumerate(rows):
        ids[row, : len(prompt) + len(text)] = torch.tensor([*prompt, *text])
        labels[row, len(prompt) : len(prompt) + len(text)] = torch.tensor(text)
    optimiser = torch.optim.AdamW(llama.parameters(), lr=3e-3, weight_decay=0.0)
    llama.train()
    for _ in range(100):
        loss = llama(input_ids=ids, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    llama.eval()


def words(model: Path, data: Path, task: str, *more: str) -> list[str]:
    line = [f"model={model}", f"task={task}", f"data.path={data / f'{task}_test.jsonl'}", f"shots={SHOTS}", "threads=1"]
    return [*line, f"max_new_tokens={TOKENS}", *more]


@pytest.fixture(scope="module")
def ours(model, data, tmp_path_factory) -> dict[str, pd.DataFrame]:
    """Our evaluation: task and style -> samples by problem."""
    out = tmp_path_factory.mktemp("ours") / "taught"
    found = {}
    for task, style in (("gsm8k", "cot"), ("mmlu_stem", "cot"), ("mmlu_stem", "letters")):
        assert main(["evaluate", *words(model, data, task, f"style={style}"), f"out={out}"]) == 0
        path = out / "evaluations" / f"{task}_{style}" / "samples.parquet"
        found[f"{task}_{style}"] = pd.read_parquet(path).set_index("problem_id")
    return found


@pytest.fixture(scope="module")
def theirs(model, data, tmp_path_factory) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    """The harness's own run of the exported tasks: task and style -> its samples; and its model."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    out = tmp_path_factory.mktemp("harness")
    line = ["tasks=gsm8k,mmlu_stem,mmlu_stem:letters", f"data={data}", f"out={out / 'tasks'}", f"shots={SHOTS}"]
    assert main(["export-harness", f"model={model}", *line]) == 0
    names = export(["gsm8k", "mmlu_stem", "mmlu_stem:letters"], data, out / "tasks", model, SHOTS).names
    lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager(include_path=str(out / "tasks"), include_defaults=False)
    found = lm_eval.simple_evaluate(
        lm, tasks=list(names), task_manager=manager, log_samples=True, gen_kwargs=f"max_gen_toks={TOKENS}", bootstrap_iters=0
    )
    return {name.removeprefix("unified_rl_"): found["samples"][name] for name in names}, lm


def pairs(ours: Any, theirs: Any, name: str, filtered: str = "none") -> Iterator[tuple[Any, dict[str, Any]]]:
    """(our row, the harness's sample) of each problem, by one of its filters."""
    samples = [sample for sample in theirs[0][name] if sample["filter"] == filtered]
    assert len(samples) == len(ours[name]) == PROBLEMS
    for sample in samples:
        yield ours[name].loc[sample["doc"]["id"]], sample


@needs_harness
@pytest.mark.parametrize("name", ["gsm8k_cot", "mmlu_stem_cot", "mmlu_stem_letters"])
def test_the_same_prompts_token_for_token(theirs, model, data, name):
    samples, lm = theirs
    task, _, style = name.rpartition("_")
    config = asked(words(model, data, task, f"style={style}")).config
    problems = world.make_task(config).problems("test")
    prompts = {prompt.id: prompt.token_ids for prompt in world.as_prompts(list(problems), lm.tokenizer, config)}
    assert {sample["doc"]["id"] for sample in samples[name]} == set(prompts)
    for sample in samples[name]:
        if style == "letters":
            for context, continuation in (request for request in sample["arguments"]):
                assert tuple(lm._encode_pair(context, continuation)[0]) == prompts[sample["doc"]["id"]]
        else:
            ids, _ = lm.tok_batch_encode([sample["arguments"][0][0]])
            assert tuple(ids[0].tolist()) == prompts[sample["doc"]["id"]]


@needs_harness
@pytest.mark.parametrize("name", ["gsm8k_cot", "mmlu_stem_cot"])
def test_the_same_responses_and_by_our_grader_the_same_verdicts(ours, theirs, name):
    verdicts = []
    for row, sample in pairs(ours, theirs, name, "graded"):
        assert sample["resps"][0][0] == row["text"]
        if row["finish"] == "length":
            assert row["verdict"] != "correct", "cut off at the limit: to us no answer, and the harness does not know"
        else:
            assert (sample["exact_match"] == 1.0) == (row["verdict"] == "correct")
        verdicts.append(row["verdict"] == "correct")
    assert 0 < sum(verdicts) < PROBLEMS, "right and wrong answers are both there"


@needs_harness
def test_by_the_harness_alone_the_same_verdicts_but_for_named_reasons(ours, theirs):
    reasons = []
    for row, sample in pairs(ours, theirs, "gsm8k_cot", "plain"):
        if (sample["exact_match"] == 1.0) != (row["verdict"] == "correct") and row["finish"] != "length":
            reasons.append(reason(row["text"], sample))
    assert set(reasons) <= set(DISAGREEMENTS.values())
    for row, sample in pairs(ours, theirs, "mmlu_stem_cot", "plain"):
        assert row["finish"] == "length" or (sample["exact_match"] == 1.0) == (row["verdict"] == "correct")


#: A response to a problem whose answer is 12 -> why our grader and the `plain` number judge it differently.
DISAGREEMENTS = {
    "So \\boxed{12.0}.": "equal as a number, not as a text",
    "So \\boxed{\\frac{24}{2}}.": "our grader reads a form that the pattern does not know",
    "The answer is 12 + 0.": "the number goes on as a formula, which is no answer to our grader",
}
AGREED = {"The answer is $12.": True, "#### 1,2": False, "I think 12.": False, "\\boxed{11} or \\boxed{12}": True, "": False}


@needs_harness
def test_the_reasons_for_which_verdicts_differ(data, tmp_path):
    """The harness's own filters and metric on given responses, beside our grader."""
    from lm_eval.tasks import TaskManager

    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "gsm8k_test.jsonl").write_text(json.dumps({"question": "How many?", "answer": "#### 12"}) + "\n")
    (name,) = export(["gsm8k"], folder, tmp_path / "tasks").names
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    (loaded,) = manager.load([name])["tasks"].values()
    for text, expected in {**DISAGREEMENTS, **AGREED}.items():
        loaded.build_all_requests(rank=0, world_size=1)
        (request,) = loaded.instances
        request.resps = [text]
        loaded.apply_filters()
        by = {
            name: loaded.process_results(request.doc, [read])["exact_match"] == 1.0
            for name, read in request.filtered_resps.items()
        }
        if text in AGREED:
            assert by == {"graded": expected, "plain": expected}, text
        else:
            assert by["graded"] != by["plain"]
            assert reason(text, {"filtered_resps": [request.filtered_resps["plain"]]}) == expected


def reason(text: str, sample: dict[str, Any]) -> str:
    """Why our grader and the harness's pattern with its comparison of texts judge a response differently."""
    said, read = sample["filtered_resps"][0], extract_answer(text)
    if said == "[invalid]":
        return "our grader reads a form that the pattern does not know" if read is not None else "not named"
    if read is not None and Fraction(said.replace(",", "")) == read:
        return "equal as a number, not as a text"
    return "the number goes on as a formula, which is no answer to our grader" if read is None else "not named"


@needs_harness
def test_the_same_letters_by_likelihood(ours, theirs):
    right = []
    for row, sample in pairs(ours, theirs, "mmlu_stem_letters"):
        scores = [float(response[0][0]) for response in sample["resps"]]
        best = max(range(len(scores)), key=scores.__getitem__)
        assert row["text"].strip() == "ABCD"[best]
        assert (sample["acc"] == 1.0) == (row["verdict"] == "correct")
        right.append(sample["acc"] == 1.0)
    assert 0 < sum(right) < PROBLEMS


@needs_harness
@pytest.mark.skipif(not REAL.is_dir(), reason="needs the benchmark files in ../shared/data, which are not part of the project")
@pytest.mark.parametrize(
    "task", ["gsm8k:cot", "gsm8k:pot", "mmlu_stem:cot", "mmlu_stem:letters", "gaokao_mathqa:cot", "math:cot"]
)
def test_real_problems_are_asked_in_the_same_words(model, tmp_path, task):
    """The prompts that the harness puts together of the real files, with the paper's number of worked examples."""
    from lm_eval.tasks import TaskManager

    name, _, style = task.partition(":")
    (exported,) = export([task], REAL, tmp_path / "tasks").names
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    (loaded,) = manager.load([exported])["tasks"].values()
    loaded.build_all_requests(limit=REAL_PROBLEMS, rank=0, world_size=1)
    asked_there = {request.doc["id"]: request.args[0] for request in loaded.instances}
    config = asked([f"model={model}", f"task={name}", f"data.path={REAL}", f"style={style}"]).config
    problems = world.make_task(config).problems("test")
    assert len(loaded.eval_docs) == len(problems) and len(asked_there) == REAL_PROBLEMS
    shown = config.task
    for problem in problems[:REAL_PROBLEMS]:
        assert asked_there[problem.id] == render(problem, shown.template, shown.solution, None, shown.shots)


def test_the_pattern_reads_the_last_number_behind_a_mark():
    import re

    for text, number in {
        "\\boxed{1} then \\boxed{2}": "2",
        "#### 1,234": "1,234",
        "The answer is $7.5.": "7.5",
        "答案是：-3。": "-3",
        "It is 7.": None,
    }.items():
        found = re.findall(NUMBER, text)
        assert (found[-1] if found else None) == number
