"""The audit against dumps and words that mislead it: what cannot be meant is refused, and the report says what is so."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from base_models import tiny_model
from labs.test_audit import audited, tokenizer  # noqa: F401  (a fixture)

from unified_rl.cli import main
from unified_rl.labs.audit import measure, rescoring, run
from unified_rl.labs.audit.readers import Rollout, read
from unified_rl.labs.options import AuditOptions
from unified_rl.methods import METHODS
from unified_rl.models.policy_model import load_policy
from unified_rl.plotting import microscope as figure
from unified_rl.presets.loading import load_config
from unified_rl.statistics.table_files import read_table

GOOD = {"prompt_id": "a", "token_ids": [1, 2], "reward": 1.0}


def _dump(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _two_steps(path):
    """Text without a tokenizer: lengths are of characters, and no figure is drawn, which would take seconds."""
    rows = [
        {"prompt_id": "a", "step": step, "reward": reward, "completion": "x" * length}
        for step, lengths in ((1, (4, 2)), (2, (8, 4)))
        for reward, length in zip((1, 0), lengths, strict=True)
    ]
    return _dump(path, *rows)


def _refusal(words, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["audit", *map(str, words), f"out={out}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert not [path for path in out.rglob("*") if path.is_file()]
    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dialect=trl"], "dialect=trl: an audit is of two dialects; say as="),
        (["method=grpo_ps"], "reads step rewards, which no dump has"),
        (["method=vine_ppo"], "reads step rewards, which no dump has"),
        (["method=sft"], "reads demonstrations, which no dump has"),
        (["method=dft"], "reads demonstrations, which no dump has"),
        (["losses.entropy_bonus=0.5"], "losses.entropy_bonus=0.5: losses beside the method's own are not audited"),
        (["prompt=zzz"], "prompt=zzz is not in the dump"),
        (["prompt=z\nz"], "prompt=z\\nz is not in the dump"),
    ],
)
def test_words_that_an_audit_cannot_follow_are_refused_before_anything_is_written(words, message, tmp_path, capsys):
    assert message in _refusal([_two_steps(tmp_path / "dump.jsonl"), *words], tmp_path, capsys)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"truncated": "false"}, "line 2: truncated is 'false', neither true nor false"),
        ({"truncated": float("nan")}, "line 2: truncated is 'nan'"),
        ({"prompt_id": float("nan")}, "line 2: prompt_id is 'nan', neither a text nor a whole number"),
        ({"prompt_id": True}, "line 2: prompt_id is 'True'"),
        ({"prompt_id": ["a"]}, "line 2: prompt_id is"),
        ({"logp": [-1.0, 800.0]}, "line 2: logp has 800, and no log-prob is above 0"),
        ({"ref_logp": [0.01, -1.0]}, "line 2: ref_logp has 0.01"),
        ({"reward": 1e308}, "line 2: reward is '1e+308', beyond 1e+100"),
        ({"reward": 10**399}, "line 2: reward is '1000"),
        ({"advantage": 10**399}, "line 2: advantage is '1000"),
        ({"logp": [-(10**399), -1.0]}, "line 2: logp is '-1000"),
        ({"token_ids": [1, -5]}, "line 2: token_ids has -5, which is no token's number"),
        ({"token_ids": [1, 2**61]}, "line 2: token_ids has 2305843009213693952"),
        ({"prompt_id": "\ud800"}, "line 2: prompt_id has half of a character"),
        ({"prompt": "\ud800"}, "line 2: prompt has half of a character"),
        ({"token_ids": ["a", "\ud800"]}, "line 2: token_ids has half of a character"),
        ({"completion": "\ud800"}, "line 2: the response has half of a character"),
    ],
)
def test_values_that_cannot_be_are_refused_by_line_and_field(row, message, tmp_path, capsys):
    file = _dump(tmp_path / "dump.jsonl", GOOD, {**GOOD, "reward": 0.0, **row})
    assert message in _refusal([file], tmp_path, capsys)


def test_a_push_that_overflows_is_refused(tmp_path, capsys):
    far = {"logp": [-90.0, -1.0], "ref_logp": [-1.0, -1.0]}
    file = _dump(tmp_path / "dump.jsonl", {**GOOD, **far}, {**GOOD, **far, "reward": 0})
    assert "line 1: its push overflows" in _refusal([file, "coefficient.kl_coef=1e305"], tmp_path, capsys)


def test_one_prompt_s_number_and_text_are_not_merged(tmp_path, capsys):
    file = _dump(tmp_path / "dump.jsonl", {**GOOD, "prompt_id": 1}, {**GOOD, "prompt_id": "1"})
    assert "line 2 has '1' from prompt_id as text, and" in _refusal([file], tmp_path, capsys)


def test_a_field_that_stands_twice_is_refused(tmp_path, capsys):
    file = tmp_path / "dump.jsonl"
    for twice in ('"reward": 0, "reward": 1', '"reward": 0, "old_logp": [-1], "old_log_probs": [-2]'):
        file.write_text(f'{{"prompt_id": "a", "token_ids": [1], {twice}}}\n')
        assert "line 1 has " in _refusal([file], tmp_path, capsys)
    columns = [pa.array(["q"]), pa.array(["a"]), pa.array([1.0]), pa.array([0.0])]
    pq.write_table(pa.Table.from_arrays(columns, ["prompt", "completion", "reward", "reward"]), tmp_path / "twice.parquet")
    assert "twice.parquet has reward twice" in _refusal([tmp_path / "twice.parquet"], tmp_path, capsys)


def test_a_column_that_python_cannot_hold_is_refused(tmp_path, capsys):
    text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff"))
    for name, column in (("completion", text), ("when", pa.array([2**62], pa.timestamp("us")))):
        columns = {"prompt": pa.array(["q"]), "completion": pa.array(["a"]), "reward": pa.array([1.0]), name: column}
        pq.write_table(pa.table(columns), tmp_path / "odd.parquet")
        assert f"odd.parquet: column {name} cannot be read" in _refusal([tmp_path / "odd.parquet"], tmp_path, capsys)


def test_responses_that_are_all_empty_are_refused(tmp_path, capsys):
    file = _dump(tmp_path / "dump.jsonl", {**GOOD, "token_ids": []}, {**GOOD, "token_ids": []})
    assert "every response is empty" in _refusal([file], tmp_path, capsys)


def test_a_file_s_name_may_be_anything_and_a_refusal_is_one_line(tmp_path, capsys):
    assert "du\\nmp.jsonl, line 1 is not JSON" in _refusal([_named(tmp_path / "du\nmp.jsonl", "{")], tmp_path, capsys)
    assert "du\\nmp.jsonl has no record" in _refusal([_named(tmp_path / "du\nmp.jsonl", "")], tmp_path, capsys)


def _named(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("method", METHODS)
def test_every_row_of_the_table_is_audited_or_refused(method, tmp_path):
    """Whatever reads what no dump has is refused by name; of all others every push is a number."""
    rollouts = [Rollout("ab"[place // 4], float(place % 2), 1, f"line {place}", tokens=[1, 2]) for place in range(8)]
    (batch,) = measure.batches(rollouts, [2] * 8)
    try:
        config = load_config([f"method={method}"])
        measure.check(config, f"method={method}")
    except ValueError as error:
        assert method in str(error) or "teacher=DIR" in str(error)
        return
    found = measure.push(config, batch)
    assert found.push_BT.isfinite().all() and found.advantage_B.shape == (8,)


def test_rft_pushes_what_is_right_and_nothing_else(tmp_path):
    for method in ("rft", "online_rft"):
        audited([_two_steps(tmp_path / "dump.jsonl"), f"method={method}"], tmp_path / "out")
        table, _ = read_table(tmp_path / "out" / "tables" / "audit.csv")
        assert (table["advantage"] == table["reward"]).all() and ((table["push"] > 0) == (table["reward"] > 0)).all()


@pytest.mark.parametrize(
    ("words", "constant", "said"),
    [
        ([], 8, True),
        (["limit=16"], 16, False),
        (["generator.max_new_tokens=32"], 32, False),
        (["aggregation.length=64", "limit=16"], 64, False),
    ],
)
def test_a_constant_length_is_one_for_all_steps(words, constant, said, tmp_path):
    """Dr. GRPO: each token of two responses is pushed (r - 1/2) / (2 L), and so twice as long responses twice as much."""
    report = audited([_two_steps(tmp_path / "dump.jsonl"), "method=dr_grpo", *words], tmp_path)
    table, _ = read_table(tmp_path / "tables" / "audit.csv")
    assert table["push"].tolist() == pytest.approx([0.5 * n / 2 / constant for n in (4, -2, 8, -4)])
    assert any("sums are divided by 8" in note for note in report["notes"]) == said


def test_log_probs_of_some_steps_are_said_to_be_of_these():
    rollouts = [Rollout("a", float(reward), step, "line", tokens=[1]) for step in (1, 2, 3) for reward in (0, 1)]
    for one in rollouts[2:5]:  # both responses of step 2, and one of step 3
        one.logps["logp"] = [-1.0]
    notes = run._of_logps(measure.batches(rollouts, [1] * 6))
    assert "log-probs: logp in 1 of 3 steps: 2; without old_logp, behaviour_logp, ref_logp" in notes
    assert any(note.startswith("no log-probs in 2 of 3 steps: 1, 3: there every ratio is 1") for note in notes)
    assert "logp is not used in 1 of 3 steps: 3, where only some responses have it" in notes


def test_what_a_dump_says_stands_and_a_model_fills_what_is_missing(tmp_path):
    """The model's log-probs beside those of a plain pass of it over prompt and response."""
    model, words = load_policy(folder := tiny_model(tmp_path / "policy"), torch.float32, "cpu")
    prompt, tokens = words("1 + 1", add_special_tokens=False)["input_ids"], [5, 6]
    own, bare = (Rollout("a", 1.0, 1, "line", prompt_text="1 + 1", tokens=list(tokens)) for _ in range(2))
    own.logps["old_logp"] = [-1.0, -2.0]
    said = rescoring.rescored([own, bare], str(folder), "old_logp")
    assert said.startswith("old_logp of 1 of 2 responses, which had none, are")
    with torch.no_grad():
        logp = model(torch.tensor([[*prompt, *tokens]])).logits[0].log_softmax(-1)
    plain = [float(logp[len(prompt) - 1 + place, token]) for place, token in enumerate(tokens)]
    assert own.logps["old_logp"] == [-1.0, -2.0] and bare.logps["old_logp"] == pytest.approx(plain, abs=1e-5)
    assert "is the dump's own; /nowhere was not asked" in rescoring.rescored([own, bare], "/nowhere", "old_logp")


@pytest.mark.parametrize("name", ["reward", "score", "accuracy_reward"])
def test_trl_s_columns_are_summed_whatever_they_are_called(name, tmp_path):
    columns = {"step": [1], "prompt": ["q"], "completion": ["a"], name: [1.0], "format_reward": [0.25], "advantage": [0.5]}
    pq.write_table(pa.table(columns), tmp_path / "completions.parquet")
    report = audited([tmp_path / "completions.parquet"], tmp_path / "out")
    assert report["rollouts"]["mean reward"] == 1.25
    assert f"the reward is the sum of the columns {name}, format_reward, as TRL dumps them" in report["notes"]
    (one,) = read(_dump(tmp_path / "records.jsonl", {**GOOD, "advantage": 0.5, "length": 2}))  # no layout of TRL's
    assert one.reward == 1.0


def test_an_end_at_the_limit_is_no_truncation(tokenizer, tmp_path):  # noqa: F811
    end = rescoring.tokenizer_of(str(tokenizer)).eos_token_id
    for ended in (True, False):
        last = end if ended else end + 1
        rows = [{**GOOD, "token_ids": [end + 1, end + 1, last]}, {**GOOD, "token_ids": [end + 1, end], "reward": 0}]
        file = _dump(tmp_path / "dump.jsonl", *rows)
        for words, share in (([f"tokenizer={tokenizer}"], 0 if ended else 0.5), ([], 0.5)):
            rollouts = read(file)
            options = AuditOptions(file, limit=3, tokenizer=words[0].partition("=")[2] if words else "")
            _, notes = rescoring.lengths_of(rollouts, options)
            assert sum(one.truncated for one in rollouts) / 2 == share
            assert any("count as truncated" in note for note in notes) != bool(words)


def test_the_report_says_what_is_in_the_dump_and_names_its_units(tmp_path):
    rows = [
        {"prompt_id": f"p{place}", "step": step, "reward": reward, "completion": "x" * (1 + place)}
        for step in (1, 2)
        for place in range(5)
        for reward in (0, 1)
    ]
    report = audited([_dump(tmp_path / "dump.jsonl", *rows)], tmp_path / "out")
    assert report["rollouts"]["prompts"] == 5 and report["rollouts"]["groups (a prompt in a step)"] == 10
    assert report["paper"]["share on truncated responses"] is None
    rows[0]["truncated"] = False
    report = audited([_dump(tmp_path / "dump.jsonl", *rows)], tmp_path / "out")
    assert report["paper"]["share on truncated responses"] == 0
    assert "19 of 20 responses do not say whether they were truncated, and count as not" in report["notes"]


@pytest.mark.parametrize("place", ["audit.json", "tables/audit.csv", "tables/microscope.csv"])
def test_a_folder_where_a_file_is_to_go_is_left_alone(place, tmp_path, capsys):
    (tmp_path / "out" / place / "sub").mkdir(parents=True)
    assert "is a folder, where a file is to go" in _refusal([_two_steps(tmp_path / "dump.jsonl")], tmp_path, capsys)
    assert (tmp_path / "out" / place / "sub").is_dir()


def test_a_report_takes_a_link_s_place_and_leaves_its_target(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("kept")
    (tmp_path / "out" / "audit.json").symlink_to(tmp_path / "mine")
    audited([_two_steps(tmp_path / "dump.jsonl")], tmp_path / "out")
    assert (tmp_path / "mine").read_text() == "kept" and not (tmp_path / "out" / "audit.json").is_symlink()


def test_a_caption_has_a_prompt_s_markup_as_text():
    hostile = "<script>1</script>[x](y)`"
    caption = " ".join(figure._of_a_dump({"prompt_id": hostile, "rollouts": hostile}))
    assert caption.count("&lt;script&gt;1&lt;/script&gt;\\[x\\](y)\\`") == 2 and "<script>" not in caption
    policy = {name: hostile for name in ("prompt_id", "gold", "policy", "reference", "values")}
    assert "<script>" not in " ".join(figure._of_a_policy(policy))
    assert figure._code(hostile) == f"`` {hostile} ``" and figure._code("a b") == "`a b`"
