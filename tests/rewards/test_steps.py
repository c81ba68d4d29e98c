"""Step segmentations: hand-worked texts, and what holds for every text and tokenizer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import Response
from unified_rl.rewards import ExactProcessReward, ExactSteps, build_segmenter
from unified_rl.rewards.steps import line_ends, step_n_ends
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.templates import encode
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer

TASK = Arithmetic()
WORDS = word_tokenizer(TASK.corpus())
BYTES = train_tokenizer(["Step 1: two lines\n\nStep 2: of text"], vocab_size=320)
PROMPT = encode(TASK.problems("train", 1)[0], WORDS, "arithmetic")


def respond(text, tokenizer=BYTES, finish="stop"):
    ids = [*tokenizer.encode(text, add_special_tokens=False), *([tokenizer.eos_token_id] if finish == "stop" else [])]
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    return Response(np.array(ids, dtype=np.int64), np.zeros(len(ids), np.float32), finish, 0, None, 0, decoded)


def pieces(text, ends):
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_lines():
    text = "a\n\n b\nc"
    assert pieces(text, line_ends(text)) == ["a\n", "\n b\n", "c"]
    assert line_ends("") == line_ends("\n \n") == []
    assert line_ends("a\n") == [2]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Step 1: add.\nStep 2: stop.", ["Step 1: add.\n", "Step 2: stop."]),
        ("Let us see.\nStep 1: add. Step 2: stop.", ["Let us see.\nStep 1: add.", " Step 2: stop."]),
        ("**Step 1** x\n### step 2. y\n", ["**Step 1** x\n", "### step 2. y\n"]),
        (
            "Step 1: x\nStep 2: by what\nStep 1 gave, y\nStep 3: z",
            ["Step 1: x\n", "Step 2: by what\nStep 1 gave, y\n", "Step 3: z"],
        ),
        ("the next step 2 is", []),
        ("Step one: x", []),
        ("", []),
    ],
)
def test_step_n(text, steps):
    assert pieces(text, step_n_ends(text)) == steps


def test_task_steps_are_the_exact_reward_s():
    response = respond(TASK.solution(PROMPT.problem), WORDS)
    expected = ExactProcessReward(TASK, WORDS).score_one(PROMPT, response)
    assert build_segmenter("task", TASK, WORDS).step_ends(PROMPT, response).tolist() == expected.step_ends.tolist()
    assert build_segmenter("newline", TASK, WORDS).step_ends(PROMPT, response).tolist() == expected.step_ends.tolist()


def test_a_token_as_separator():
    newline = WORDS.encode("\n", add_special_tokens=False)
    assert len(newline) == 1
    segmenter = build_segmenter(f"token:{newline[0]}", TASK, WORDS)
    with_rest = respond("1+1=2\n2+1=3\n#### 3", WORDS)
    assert segmenter.step_ends(PROMPT, with_rest).tolist() == [5, 11, len(with_rest) - 1]
    ended = respond("1+1=2\n2+1=3\n", WORDS)
    assert segmenter.step_ends(PROMPT, ended).tolist() == [5, len(ended) - 1], "EOS belongs to the last step"
    truncated = respond("1+1=2\n2+1=3\n", WORDS, "length")
    assert segmenter.step_ends(PROMPT, truncated).tolist() == [5, 11]
    assert segmenter.step_ends(PROMPT, respond("12", WORDS)).tolist() == [2], "a response without steps is one step"


@pytest.mark.parametrize("name", ["lines", "token:", "token:x", "token:-1", "", "step"])
def test_unknown_segmentations_are_refused(name):
    with pytest.raises(ConfigError, match="segmentation"):
        build_segmenter(name, TASK, WORDS)


texts = st.text("abStep 12\n.:#é再", max_size=16)
chunks = st.lists(
    st.sampled_from(
        ["Step 1: ", "Step 2: ", "\nStep 3", ". Step 4", "\n\n", "\n", " ", "a", "1", "é", "再算", ".", "**Step 5**"]
    ),
    max_size=15,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=texts | chunks, name=st.sampled_from(["newline", "step_n", "task", "token:9", "token:20"]), stop=st.booleans())
def test_every_segmentation_covers_the_response(text, name, stop):
    response = respond(text, BYTES, "stop" if stop or not text else "length")
    ends = build_segmenter(name, TASK, BYTES).step_ends(PROMPT, response)
    assert ends.dtype == np.int64
    assert (np.diff(ends) > 0).all()
    assert ends[0] >= 0
    assert ends[-1] == len(response) - 1


@settings(max_examples=80, deadline=None)
@given(text=chunks)
def test_newline_steps_end_at_line_breaks(text):
    response = respond(text)
    ends = build_segmenter("newline", TASK, BYTES).step_ends(PROMPT, response)
    for end in ends[:-1]:
        assert "\n" in BYTES.decode([int(response.token_ids[end])])
    assert len(ends) <= max(1, sum(1 for line in text.split("\n") if line.strip()))


def test_oracle_on_another_segmentation():
    """Two lines in one step: it is right if both are; a step in which nothing ends is not judged."""
    solution = TASK.solution(PROMPT.problem)
    exact = ExactSteps(TASK, WORDS)
    response = respond(solution, WORDS)
    lines = build_segmenter("newline", TASK, WORDS).step_ends(PROMPT, response)
    assert exact.verdicts(PROMPT, response, lines).tolist() == [1.0] * len(lines)
    assert exact.verdicts(PROMPT, response, lines[1::2]).tolist()[0] == 1.0
    first, *rest = solution.splitlines()
    wrong = respond("\n".join([first.split("=")[0] + "=0", *rest]), WORDS)
    lines = build_segmenter("newline", TASK, WORDS).step_ends(PROMPT, wrong)
    assert exact.verdicts(PROMPT, wrong, lines).tolist() == [0.0] + [1.0] * (len(lines) - 1)
    whole = np.array([lines[1], lines[-1]])
    assert exact.verdicts(PROMPT, wrong, whole).tolist() == [0.0, 1.0]
    inside = np.array([1, *lines])
    assert np.isnan(exact.verdicts(PROMPT, wrong, inside)[0])
