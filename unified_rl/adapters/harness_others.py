"""The benchmarks of the paper's Table 4 as local tasks of lm-evaluation-harness, where their files are there: MMLU, BBH, code.

    mmlu        mmlu_test.jsonl and mmlu_dev.jsonl, or all/test-*.parquet and all/dev-*.parquet: five examples of each subject
    bbh         bbh/NAME.jsonl (input, target); prompts of the harness's own bbh_cot_fewshot
    humaneval   HumanEval.jsonl; mbpp   mbpp.jsonl: programs, which run in our sandbox and not in the harness's process

The harness's own tasks of these names fetch their data; with a network, `lm_eval run --tasks mmlu,bbh_cot_fewshot` is as good.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_rl.adapters.harness import PASSED
from unified_rl.adapters.harness_files import PREFIX, HarnessTask, raw
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.tasks.options import letter, letter_question, option_list
from unified_rl.tasks.reading import find_files, read_records

MMLU = {
    "test": ("mmlu_test.jsonl", "mmlu/test.jsonl", "all/test-*.parquet"),
    "dev": ("mmlu_dev.jsonl", "mmlu/dev.jsonl", "all/dev-*.parquet"),
}
HUMANEVAL = {"test": ("HumanEval.jsonl", "humaneval.jsonl", "openai_humaneval/test-*.parquet")}
MBPP = {"all": ("mbpp.jsonl", "full/*.parquet")}
BBH = {"test": ("bbh/*.jsonl",)}
#: Problem numbers of MBPP (Austin et al. 2021): the first three of the prompt part that every evaluation shows, and the test part.
MBPP_SHOTS, MBPP_TEST = (2, 3, 4), range(11, 511)
#: A task that is answered by the likelihood of letters.
BY_LETTER: Mapping[str, Any] = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "letters",
    "doc_to_target": "target",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
_PASSES = {"metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]}
_ENDS_OF_FUNCTION = ["\nclass", "\ndef", "\n#", "\nif", "\nprint"]


def mmlu(data: Path) -> list[HarnessTask]:
    """A task per subject, and a group of all. Raises DataError where a file or a field is missing."""
    found = find_files(data, MMLU, "mmlu")
    if set(found) != set(MMLU):
        raise DataError(f"{data} holds only {', '.join(found)} of MMLU; its five examples of each subject are {MMLU['dev'][0]}")
    subjects: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for split, paths in found.items():
        for place, record in (pair for path in paths for pair in read_records(path)):
            doc = _mmlu_doc(place, record)
            subjects.setdefault(str(doc.pop("subject")), {name: [] for name in MMLU})[split].append(doc)
    made = []
    for subject, parts in sorted(subjects.items()):
        facts = {
            **BY_LETTER,
            "description": f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n",
            "num_fewshot": min(5, len(parts["dev"])),
        }
        made.append(HarnessTask(f"{PREFIX}mmlu_{subject}", facts, parts["test"], parts["dev"], part_of_group=True))
    made = [task for task in made if task.docs]
    whole = {"aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}]}
    return [*made, _group("mmlu", made, whole)]


def bbh(data: Path) -> list[HarnessTask]:
    """A task per file that includes the harness's own, and a group. Raises ConfigError where the harness is not installed."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            "tasks=bbh takes its prompts from the harness, which is not installed; pip install 'unified-rl[harness]'"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "tasks" / "bbh" / "cot_fewshot"
    made = []
    for path in find_files(data, BBH, "bbh")["test"]:
        prompts = folder / f"{path.stem}.yaml"
        if not prompts.exists():
            raise DataError(f"{path} is no task of BBH that the harness knows; rename it, or take it away")
        docs = [_fields(place, record, "input", "target") for place, record in read_records(path)]
        facts = {"include": str(prompts), "dataset_name": None}
        made.append(HarnessTask(f"{PREFIX}bbh_{path.stem}", facts, docs, part_of_group=True))
    whole = {"aggregate_metric_list": [{"metric": "exact_match", "weight_by_size": True, "filter_list": "get-answer"}]}
    return [*made, _group("bbh", made, whole)]


def humaneval(data: Path) -> list[HarnessTask]:
    """One task without examples. Raises DataError where its file or a field is missing."""
    records = [pair for path in find_files(data, HUMANEVAL, "humaneval")["test"] for pair in read_records(path)]
    docs = [_fields(place, record, "prompt", "test", "entry_point") | {"target": PASSED} for place, record in records]
    return [HarnessTask(f"{PREFIX}humaneval", _program("humaneval", "{{prompt}}", _ENDS_OF_FUNCTION, 0), docs)]


def mbpp(data: Path) -> list[HarnessTask]:
    """One task with three examples. Raises DataError where its file or a field is missing."""
    records = [pair for path in find_files(data, MBPP, "mbpp")["all"] for pair in read_records(path)]
    docs = [_fields(place, record, "task_id", "text", "code", "test_list") for place, record in records]
    shots = [doc | {"target": f"{doc['code']}\n[DONE]"} for doc in docs if doc["task_id"] in MBPP_SHOTS]
    tests = [doc | {"target": PASSED} for doc in docs if doc["task_id"] in MBPP_TEST]
    if len(shots) != len(MBPP_SHOTS) or not tests:
        raise DataError(f"{data} lacks problems {MBPP_SHOTS} or {MBPP_TEST[0]} to {MBPP_TEST[-1]} of MBPP (task_id)")
    text = (
        "You are an expert Python programmer, and here is your task: {{text}} Your code should pass these tests:\n\n"
        "{{test_list | join('\n')}}\n[BEGIN]\n"
    )
    return [HarnessTask(f"{PREFIX}mbpp", _program("mbpp", text, ["[DONE]"], 3) | {"target_delimiter": ""}, tests, shots)]


MAKERS: Mapping[str, Callable[[Path], list[HarnessTask]]] = {"mmlu": mmlu, "bbh": bbh, "humaneval": humaneval, "mbpp": mbpp}


def _program(name: str, text: str, until: Sequence[str], shots: int) -> dict[str, Any]:
    """A task whose responses are programs that must pass tests."""
    return {
        "output_type": "generate_until",
        "doc_to_text": text,
        "doc_to_target": "{{target}}",
        "num_fewshot": shots,
        "generation_kwargs": {"until": list(until), "max_gen_toks": 1024, "do_sample": False},
        "filter_list": raw(
            f'[{{"name": "sandboxed", "filter": [{{"function": "custom", "filter_fn": !function graded.{name}}}, '
            '{"function": "take_first"}]}]'
        ),
        **_PASSES,
    }


def _group(name: str, tasks: Sequence[HarnessTask], facts: Mapping[str, Any]) -> HarnessTask:
    return HarnessTask(f"{PREFIX}{name}", {"group": f"{PREFIX}{name}", "task": [task.name for task in tasks], **facts})


def _mmlu_doc(place: str, record: Mapping[str, Any]) -> dict[str, Any]:
    options = option_list(record.get("choices", record.get("options")))
    letters = [letter(index) for index in range(len(options))]
    gold, stem = record.get("answer"), record.get("question")
    gold = letters.index(gold) if gold in letters else gold
    if not isinstance(stem, str) or not isinstance(gold, int) or not 0 <= gold < len(options):
        raise DataError(f"{place}: MMLU needs question, choices (a list) and answer (a letter, or its place from 0)")
    subject = record.get("subject", record.get("topic", "all"))
    return {"question": letter_question(stem, options, "en"), "letters": letters, "target": gold, "subject": subject}


def _fields(place: str, record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    if missing := [name for name in names if name not in record]:
        raise DataError(f"{place} lacks {', '.join(missing)}; give the file as it is published")
    return {name: record[name] for name in names}
