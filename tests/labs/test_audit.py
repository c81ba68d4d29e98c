"""The audit of dumped rollouts: a real dump of TRL beside its own log, verl's layout, tokens with log-probs, hostile files."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from unified_rl.cli import main
from unified_rl.labs import conformance
from unified_rl.labs.audit import measure
from unified_rl.labs.audit.readers import read
from unified_rl.presets.loading import load_config
from unified_rl.stages import world
from unified_rl.stages.kinds.base import _make_tokenizer
from unified_rl.statistics.table_files import read_table

DATA = Path(__file__).parents[1] / "data"
TRL = DATA / "audit" / "trl"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """The tokenizer of the policy that TRL trained for the dump: the tiny world's own."""
    config = load_config(["method=grpo"])
    folder = tmp_path_factory.mktemp("tokenizer")
    _make_tokenizer(world.make_task(config), config).save_pretrained(folder)
    return folder


def audited(words, out):
    assert main(["audit", *map(str, words), f"out={out}"]) == 0
    return json.loads((out / "audit.json").read_text())


def test_a_real_dump_of_trl_gives_the_numbers_that_its_run_logged(tokenizer, tmp_path, capsys):
    """Three steps of TRL 1.16's GRPOTrainer with log_completions, its defaults; `log_history.json` is its own log."""
    log = json.loads((TRL / "log_history.json").read_text())
    for step in log:
        file = TRL / f"completions_{step['step']:05d}.parquet"
        report = audited([file, "as=trl", f"tokenizer={tokenizer}", "limit=40"], tmp_path)
        found = report["rollouts"]
        assert found["mean reward"] == pytest.approx(step["reward"])
        assert found["share of groups without spread"] == step["frac_reward_zero_std"]
        assert found["mean length"] == pytest.approx(step["completions/mean_length"])
        assert found["share of truncated responses"] == step["completions/clipped_ratio"]
        assert report["trl"]["largest difference from the dump's own advantages"] < 1e-6  # its float32
        assert any("100.0% of the responses come back" in note for note in report["notes"])
    assert "no log-probs: every ratio is 1" in capsys.readouterr().out


def test_the_dump_s_advantages_tell_dialects_apart(tmp_path):
    differences = {}
    for name in ("trl", "verl", "nemo_rl", "paper"):
        report = audited([TRL, f"as={name}"], tmp_path)
        differences[name] = report[name]["largest difference from the dump's own advantages"]
    assert differences["trl"] < 1e-6 < 1e-4 < differences["verl"] < 1e-2 < differences["paper"]
    assert differences["nemo_rl"] > 0.01


def _verl(folder):
    """Two steps as verl's trainer.rollout_data_dir has them: STEP.jsonl, keys input, output, gts, score, step, and extras."""
    for step in (1, 2):
        lines = [
            {"input": f"问题 {prompt}", "output": "x" * (4 + 3 * place + step), "gts": "7", "score": float(place < prompt),
             "step": step, "acc": place < prompt, "request_id": f"{step}-{prompt}-{place}"}
            for prompt in range(4)
            for place in range(3)
        ]  # fmt: skip
        (folder / f"{step}.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return folder


def test_verl_s_documented_layout(tmp_path, capsys):
    (tmp_path / "rollouts").mkdir()
    report = audited([_verl(tmp_path / "rollouts"), "as=verl", "against=paper"], tmp_path / "out")
    assert report["rollouts"]["responses"] == 24 and report["rollouts"]["steps"] == 2
    assert report["rollouts"]["share of groups without spread"] == 0.5  # all wrong, and all right
    assert report["verl"]["share that raises"] == pytest.approx(0.5, abs=0.2)
    assert any("characters" in note for note in report["notes"])
    table, _ = read_table(tmp_path / "out" / "tables" / "audit.csv")
    one = table[(table["step"] == 1) & (table["group"] == 1)]
    ours, theirs = one["push"] / one["advantage"], one["push_against"] / one["advantage_against"]
    lengths = one["length"]
    assert (ours / lengths).std() < 1e-8  # a token mean: the same for every token
    assert theirs.std() < 1e-8  # 1/|o|: the same for every response
    assert "as method=grpo" in capsys.readouterr().out


def _with_logps(path, data):
    """Golden data as a dump with tokens and all log-probs."""
    names = {"logp": "logp", "old_logp": "old_logp", "ref_logp": "ref_logp", "behaviour_logp": "behaviour_logp"}
    with path.open("w") as file:
        for row, mask in enumerate(data["response_mask"]):
            kept = [place for place, on in enumerate(mask) if on]
            line = {"prompt_id": str(data["group"][row]), "token_ids": kept, "reward": data["rewards"][row]}
            line |= {ours: [data[theirs][row][place] for place in kept] for ours, theirs in names.items()}
            file.write(json.dumps(line) + "\n")


@pytest.mark.parametrize("dialect", ["paper", "trl", "verl", "openrlhf", "nemo_rl", "prime_rl", "open_instruct", "slime"])
def test_with_log_probs_every_token_s_push_is_that_of_the_dialect(dialect, tmp_path):
    data = next(iter(conformance.read(DATA / "golden")["data"].values()))
    _with_logps(tmp_path / "dump.jsonl", data)
    rollouts = read(tmp_path / "dump.jsonl")
    (batch,) = measure.batches(rollouts, [len(one.tokens) for one in rollouts])
    words = ["method=grpo", f"dialect={dialect}"]
    found = measure.push(load_config(words), batch).push_BT
    theirs = -conformance.gradient(words, data)
    assert torch.allclose(found[batch.inputs.response_mask_BT], theirs[torch.tensor(data["response_mask"])], atol=1e-12)


def test_with_log_probs_clipped_tokens_and_the_sampler_s_mismatch_are_counted(tmp_path):
    tokens = {"token_ids": [1, 2], "old_logp": [-1.0, -1.0], "behaviour_logp": [-2.0, -1.0]}
    with (tmp_path / "dump.jsonl").open("w") as file:
        for reward, moved in ((1, 0.5), (0, -0.5), (0, 0.0), (1, 0.0)):  # risen under A > 0, fallen under A < 0: clipped
            file.write(json.dumps({"prompt_id": "a", "reward": reward, "logp": [-1.0 + moved, -1.0], **tokens}) + "\n")
    report = audited([tmp_path / "dump.jsonl", "as=verl"], tmp_path / "out")
    assert report["verl"]["share of tokens clipped or masked"] == 2 / 8
    assert report["rollouts"]["mean |log(pi_old/pi_sampler)|"] == pytest.approx(0.5)
    assert report["rollouts"]["share of tokens with pi_old/pi_sampler outside 0.5 to 2"] == 0.5
    assert report["rollouts"]["share of responses that repeat another to the same prompt"] == 0.75


def test_under_the_microscope_a_push_is_its_weight_times_its_factors(tmp_path, capsys):
    data = next(iter(conformance.read(DATA / "golden")["data"].values()))
    _with_logps(tmp_path / "dump.jsonl", data)
    audited([tmp_path / "dump.jsonl", "as=verl", "against=paper", "prompt=1"], tmp_path / "out")
    assert "token by token in" in capsys.readouterr().out
    table, facts = read_table(tmp_path / "out" / "tables" / "microscope.csv")
    assert facts["prompt_id"] == "1" and facts["group_size"] == data["group"].count(1)
    rows = [row for row, group in enumerate(data["group"]) if group == 1]
    for dialect in ("verl", "paper"):
        push_BT = -conformance.gradient(["method=grpo", f"dialect={dialect}"], data)
        mask_BT = torch.tensor(data["response_mask"])
        of = table[table["method"] == dialect].pivot_table(index=["response", "token_index"], columns="term", values="value")
        for number, row in enumerate(rows):
            found = of.loc[number]
            assert found["push"].tolist() == pytest.approx(push_BT[row][mask_BT[row]].tolist(), rel=1e-8, abs=1e-12)
            factors = [name for name in found if not name.startswith(("push", "weight", "kl: ")) and found[name].notna().all()]
            assert {"advantage", "importance_weight", "not_clipped"} <= set(factors)
            product = found[factors].prod(axis=1)
            if "kl: kl_coef" in found:
                product = product + found["kl: kl_coef"] * found["kl: ref_ratio_minus_one"]
            assert (product * found["weight in the mean"]).tolist() == pytest.approx(
                found["push"].tolist(), rel=1e-8, abs=1e-12
            )
    assert (tmp_path / "out" / "figures" / "microscope.png").stat().st_size > 10_000
    caption = (tmp_path / "out" / "figures" / "microscope.md").read_text()
    assert "behaviour_logp, logp, old_logp, ref_logp" in " ".join(caption.split())


def test_the_microscope_shows_where_the_losses_disagree(tmp_path):
    """Of two prompts one has responses of equal length, on which a token mean and a mean of means differ by a factor alone."""
    with (tmp_path / "dump.jsonl").open("w") as file:
        for prompt, lengths in (("even", (5, 5)), ("<b>uneven</b>\x1b[31m $x$", (1, 9))):
            for reward, length in enumerate(lengths):
                line = {
                    "prompt_id": prompt,
                    "token_ids": [f"\x1b[2J$\\frac{place}" for place in range(length)],
                    "reward": reward,
                }
                file.write(json.dumps(line) + "\n")
    audited([tmp_path / "dump.jsonl", "as=trl"], tmp_path / "out")
    _, facts = read_table(tmp_path / "out" / "tables" / "microscope.csv")
    assert "uneven" in facts["prompt_id"]
    assert (tmp_path / "out" / "figures" / "microscope.md").read_text().replace("\n", "").isprintable()
    assert main(["audit", str(tmp_path / "dump.jsonl"), "prompt=nobody", f"out={tmp_path / 'out'}"]) == 2


def test_text_alone_without_a_tokenizer_has_nothing_to_show_by_token(tmp_path):
    (tmp_path / "rollouts").mkdir()
    report = audited([_verl(tmp_path / "rollouts"), "as=verl"], tmp_path / "out")
    assert any("nothing token by token" in note for note in report["notes"])
    assert not (tmp_path / "out" / "tables" / "microscope.csv").exists()


def test_our_own_samples_are_read(tmp_path):
    line = {"step": 1, "prompt_id": "a", "prompt": "1+1=", "finish": "length", "tokens": ["2", "\n"], "reward": 1.0}
    line |= {"behaviour_logp": [-0.1, -0.2], "logp": [-0.1, -0.2], "verdict": "correct", "coefficient": {"total": [0.0, 0.0]}}
    (tmp_path / "samples.jsonl").write_text(
        json.dumps(line) + "\n" + json.dumps({**line, "reward": 0.0, "finish": "stop"}) + "\n"
    )
    report = audited([tmp_path / "samples.jsonl", "as=trl"], tmp_path / "out")
    assert report["rollouts"]["share of truncated responses"] == 0.5
    assert report["rollouts"]["mean |log(pi_old/pi_sampler)|"] == 0


GOOD = {"prompt": "q", "completion": "a", "reward": 1.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no record in it"),
        (b"\x80\x04K\x01.", "line 1 is not JSON"),
        (b'{"prompt": "q"', "line 1 is not JSON"),
        (b"[" * 200_000, "line 1 is not JSON"),
        (b"[1, 2]\n", "line 1 is no object of fields"),
        (json.dumps({"completion": "a", "reward": 1}).encode(), "has no prompt"),
        (json.dumps({"prompt": "q", "reward": 1}).encode(), "has no response"),
        (json.dumps({"prompt": "q", "completion": "a"}).encode(), "has no reward"),
        (json.dumps({**GOOD, "reward": float("nan")}).encode(), "not a finite number"),
        (json.dumps({**GOOD, "reward": "1"}).encode(), "reward is '1', not a finite number"),
        (json.dumps({**GOOD, "step": 1.5}).encode(), "step has '1.5', not a whole number"),
        (json.dumps({**GOOD, "token_ids": "abc"}).encode(), "token_ids is no list"),
        (
            json.dumps({**GOOD, "token_ids": [1, 2], "old_logp": [0.5]}).encode(),
            "old_logp has 1 entries, but there are 2 tokens",
        ),
        (json.dumps({**GOOD, "token_ids": [1], "logp": [None]}).encode(), "logp is 'None', not a finite number"),
        (json.dumps(GOOD).encode() + b'\n{"prompt": "\x1b[31mred"', "line 2 is not JSON"),
    ],
)
def test_damaged_and_hostile_files_are_refused_in_one_line(content, message, tmp_path, capsys):
    (tmp_path / "dump.jsonl").write_bytes(content)
    assert main(["audit", str(tmp_path / "dump.jsonl"), f"out={tmp_path / 'out'}"]) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "\x1b" not in error, error
    assert not (tmp_path / "out").exists()


def test_a_damaged_parquet_file_and_a_missing_one_are_refused_in_one_line(tmp_path, capsys):
    whole = (TRL / "completions_00001.parquet").read_bytes()
    for name, content in (
        ("cut", whole[: len(whole) // 2]),
        ("flipped", whole[:200] + b"\xff" * 600 + whole[800:]),
        ("other", b"PAR1"),
    ):
        file = tmp_path / f"{name}.parquet"
        file.write_bytes(content)
        assert main(["audit", str(file), f"out={tmp_path / 'out'}"]) != 0, name
        error = capsys.readouterr().err
        assert "no Parquet file, or a damaged one" in error and error.count("\n") == 1, error
    pq.write_table(pa.table({"prompt": ["q"], "completion": ["a"], "advantage": [0.1]}), tmp_path / "no_reward.parquet")
    for path, message in ((tmp_path / "nothing", "holds no rollouts"), (tmp_path / "no_reward.parquet", "row 1 has no reward")):
        assert main(["audit", str(path)]) != 0
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["as=verll"], "did you mean 'verl'"),
        (["method=ppo", "as=verl"], "reads values, which no dump has"),
        (["tokenizer=/nowhere"], "tokenizer=/nowhere holds no tokenizer"),
        (["model=/nowhere"], "/nowhere"),
        (["limit=-1"], "limit"),
    ],
)
def test_words_that_mean_nothing_are_refused_in_one_line(words, message, tmp_path, capsys):
    assert main(["audit", str(TRL), *words, f"out={tmp_path / 'out'}"]) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error


@pytest.mark.long
def test_the_work_grows_with_the_tokens_and_no_faster(tmp_path):
    """Twice the tokens take less than three times the processor's time."""

    def seconds(count):
        file = tmp_path / f"{count}.jsonl"
        with file.open("w") as lines:
            for place in range(count):
                line = {"prompt_id": str(place // 8), "reward": place % 3 == 0, "step": place // 400}
                lines.write(json.dumps({**line, "token_ids": [7] * 100, "old_logp": [-0.5] * 100}) + "\n")
        start = time.process_time()
        audited([file, "as=verl"], tmp_path / "out")
        return time.process_time() - start

    seconds(200)
    assert min(seconds(1600) for _ in range(2)) < 3 * min(seconds(800) for _ in range(2))
