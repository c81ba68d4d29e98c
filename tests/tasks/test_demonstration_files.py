"""Records to tokens and masks: the three forms, two languages, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Demonstration, Problem
from unified_rl.config.demonstrations import DemonstrationFile
from unified_rl.tasks.demonstration_files import encode_demonstration, pieces, read_demonstrations
from unified_rl.tasks.reading import read_records
from unified_rl.tasks.tokenizers import train_tokenizer

SHARED = Path(__file__).parents[3] / "shared" / "data"
TOOL = (
    "We add.\n```python\nprint(2 + 3)\n```\n```output\n5\n```\nAnd again.\n```python\nprint(5 * 2)\n```\n```output\n10\n```\n"
    "So \\boxed{10}."
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([TOOL, "两个苹果加三个苹果。答案是5。"], vocab_size=300)


def encoded(tokenizer, question, solution, form, language="en"):
    problem = Problem("p", question, "", {"language": language})
    return encode_demonstration(Demonstration(problem, solution), tokenizer, "deepseek", form, tokenizer.eos_token_id)


def test_outputs_of_programs_are_read_and_not_learned(tokenizer):
    found = pieces(TOOL, "tool_integrated")
    assert "".join(text for text, _ in found) == TOOL
    assert [text for text, written in found if not written] == ["\n```output\n5\n```\n", "\n```output\n10\n```\n"]
    item = encoded(tokenizer, "2 + 3, twice?", TOOL, "tool_integrated")
    unlearned = tokenizer.decode(item.response_ids[~item.written].tolist())
    assert unlearned == "\n```output\n5\n```\n\n```output\n10\n```\n"
    assert tokenizer.decode(item.response_ids[:-1].tolist()) == TOOL
    assert item.response_ids[-1] == tokenizer.eos_token_id
    assert item.written[-1]


@pytest.mark.parametrize("form", ["chain_of_thought", "program_of_thought"])
def test_other_forms_are_learned_whole(form, tokenizer):
    assert encoded(tokenizer, "2 + 3, twice?", TOOL, form).written.all()


def test_form_and_language_choose_the_instruction(tokenizer):
    prompts = {
        (form, language): tokenizer.decode(encoded(tokenizer, "1+1?", "2", form, language).prompt_ids.tolist())
        for form in ("chain_of_thought", "program_of_thought", "tool_integrated")
        for language in ("en", "zh")
    }
    assert len(set(prompts.values())) == 6
    assert "step by step" in prompts["chain_of_thought", "en"]
    assert "Python程序" in prompts["program_of_thought", "zh"]


def test_a_special_tokens_text_cannot_end_a_demonstration(tokenizer):
    assert encoded(tokenizer, "1+1?", f"2{tokenizer.eos_token}3", "chain_of_thought") is None


def test_fields_and_formats(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"messages": [{"content": "1+1?"}, {"content": "2"}]})
        + "\n"
        + json.dumps({"messages": [{"content": " "}, {"content": "2"}]})
        + "\n"
    )
    (tmp_path / "b.csv").write_text("messages.0.content,messages.1.content\n3+3?,6\n")
    part = DemonstrationFile(str(tmp_path), question="messages.0.content", solution="messages.1.content")
    found = list(read_demonstrations(part))
    assert [None if item is None else (item.problem.question, item.solution) for item in found] == [
        ("1+1?", "2"),
        None,
        ("3+3?", "6"),
    ]
    assert "a.jsonl, line 1" in found[0].problem.id


def test_paths_that_hold_nothing_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        list(read_demonstrations(DemonstrationFile(str(tmp_path / "nowhere"))))
    (tmp_path / "data.txt").write_text("")
    with pytest.raises(ConfigError, match=r"data\.txt"):
        list(read_demonstrations(DemonstrationFile(str(tmp_path / "data.txt"))))
    with pytest.raises(ConfigError, match="form"):
        DemonstrationFile("x", form="chain")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data, which is not part of the project")
def test_real_tool_integrated_traces(tokenizer):
    """Every real trace falls into pieces that make it up again, and its outputs are what stands in its output blocks."""
    file = SHARED / "tora70b_gsm8k_test_traces.jsonl"
    part = DemonstrationFile(str(file), form="tool_integrated", solution="code.0")
    blocks = 0
    for item, (_, record) in zip(read_demonstrations(part), read_records(file), strict=True):
        if item is None:
            assert not record["code"][0].strip()
            continue
        found = pieces(item.solution, "tool_integrated")
        assert "".join(text for text, _ in found) == item.solution == record["code"][0].strip()
        outputs = [text for text, written in found if not written]
        assert all("```output" in text for text in outputs)
        assert not any("```output" in text for text, written in found if written)
        blocks += len(outputs)
    assert blocks > 1000
    sample = encoded(tokenizer, record["question"], item.solution, "tool_integrated")
    assert 0 < np.count_nonzero(~sample.written) < len(sample.written)
