"""The microscope and the pass rate on a real run of the coin task: coefficients against numbers worked out from the rewards."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from tiny import wants, words

from unified_rl.cli import main
from unified_rl.labs import frozen
from unified_rl.methods import COEFFICIENTS, METHODS
from unified_rl.presets import loading
from unified_rl.stages.training import run_training
from unified_rl.statistics.table_files import read_table

#: Those that read no model which a run does not have of itself.
#: All rows but those that read a model which a run does not have of itself, or what only a run keeps of its prompts.
MEASURABLE = {
    name
    for name, row in METHODS.items()
    if not wants(name) and not COEFFICIENTS[row.coefficient].needs & {"reference_rewards", "tracked_value"}
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A PPO run that has left its starting point."""
    folder = tmp_path_factory.mktemp("frozen")
    line = words("ppo", folder / "run", folder / "artifacts", "trainer.steps=3", "trainer.learning_rate=3e-3")
    run_training(loading.load_config(line))
    return folder / "run"


@pytest.fixture(scope="module")
def table(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("microscope")
    assert main(["microscope", f"run={run}", f"out={out}", "responses=8", "threads=1"]) == 0
    assert (out / "figures" / "microscope.png").stat().st_size > 10_000
    return read_table(out / "tables" / "microscope.csv")


def of(table: pd.DataFrame, method: str, term: str) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["term"] == term)].set_index(["response", "token_index"])


def test_every_method_is_there_with_its_named_terms(table):
    frame, facts = table
    assert set(frame["method"]) == MEASURABLE
    assert set(frame.loc[frame["method"] == "grpo", "term"]) == {"advantage", "kl"}
    assert facts["policy"] == "PPO, seed 0, step 3" and facts["values"] == "the run's own"
    assert facts["reference"] == "the policy that the run started from"


def test_coefficients_are_those_of_the_rewards(table):
    frame, _ = table
    facts = frame.drop_duplicates("response").set_index("response").sort_index()
    rewards = facts["reward"].to_numpy()
    assert 0 < rewards.mean() < 1, "the prompt is chosen so that responses differ"
    assert ((facts["verdict"] == "correct") == (rewards == 1)).all()
    expected = {
        ("online_rft", "indicator"): rewards,
        ("grpo", "advantage"): (rewards - rewards.mean()) / rewards.std(),
        ("dr_grpo", "advantage"): rewards - rewards.mean(),
        ("sft", "likelihood"): np.ones(8),
    }
    for (method, term), values in expected.items():
        found = of(frame, method, term).reset_index().groupby("response")["value"].agg(["min", "max"])
        assert found["min"].to_numpy() == pytest.approx(values, abs=1e-5), method
        assert found["max"].to_numpy() == pytest.approx(values, abs=1e-5), method
    kl = of(frame, "grpo", "kl")["value"]
    assert (kl.abs() > 1e-6).any() and of(frame, "grpo_ps", "kl")["value"].equals(kl), "the same reference, the same tokens"


def test_process_advantages_step_down_where_steps_end(table):
    frame, _ = table
    rows = of(frame, "grpo_ps", "advantage")
    steps = rows["step_reward"].dropna()
    normalised = (steps - steps.mean()) / steps.std(ddof=0)
    for response, part in rows.groupby("response"):
        mine = normalised[response]
        for index, value in part.loc[response, "value"].items():
            assert value == pytest.approx(mine[mine.index >= index].sum(), abs=1e-4)


def test_a_pair_is_a_right_and_a_wrong_response(table):
    frame, _ = table
    rows = of(frame, "dpo", "preference").reset_index().drop_duplicates("response")
    assert len(rows) >= 2 and (rows["verdict"] == "correct").sum() * 2 == len(rows)
    assert ((rows["value"] > 0) == (rows["verdict"] == "correct")).all()


def test_tokens_read_as_the_response(table):
    frame, _ = table
    tokens = of(frame, "sft", "likelihood")["token"]
    text = "".join(json.loads(token) for token in tokens[0])
    assert {"H", "T"} & set(text)


def test_the_starting_policy_is_its_own_reference(run, tmp_path):
    line = [word for word in words("grpo", run, run.parent / "artifacts") if not word.startswith(("run_dir", "method"))]
    assert main(["microscope", *line, f"out={tmp_path}", "responses=4", "methods=grpo,ppo"]) == 0
    frame, facts = read_table(tmp_path / "tables" / "microscope.csv")
    assert (of(frame, "grpo", "kl")["value"] == 0).all()
    assert facts["values"].startswith("fitted to 384 responses")
    assert of(frame, "ppo", "advantage")["value"].nunique() > 1


def test_pass_rate_measures_what_the_formulas_say(run, tmp_path):
    line = [f"run={run}", f"out={tmp_path}", "prompts=12", "samples=16", "group=4", "threads=1"]
    assert main(["pass-rate", *line]) == 0
    frame, facts = read_table(tmp_path / "tables" / "pass_rate.csv")
    assert facts["prompts"] == 12 and "DPO" not in set(frame["label"])
    responses = pd.read_parquet(tmp_path / "facts" / "responses.parquet")
    paired = [name for name in MEASURABLE if "pairs" in COEFFICIENTS[METHODS[name].coefficient].needs]
    assert len(responses) == 12 * 16 * (len(MEASURABLE) - len(paired))
    assert responses.groupby(["label", "group"]).size().eq(4).all()
    for _, group in responses[responses["label"] == "Dr. GRPO"].groupby("group"):
        rewards = group["correct"].to_numpy(dtype=float)
        assert group["coefficient"].to_numpy() == pytest.approx(rewards - rewards.mean(), abs=1e-6)
        assert group["magnitude"].to_numpy() == pytest.approx(np.abs(rewards - rewards.mean()), abs=1e-6)
    weights = frame[(frame["label"] == "Online RFT") & (frame["quantity"] == "weight") & (frame["kind"] == "measured")]
    assert weights["value"].to_numpy() == pytest.approx(1.0)
    assert (tmp_path / "figures" / "pass_rate.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words_", "message"),
    [
        (["run=nowhere"], "nowhere/config.yaml does not exist"),
        (["run=RUN", "methods=grpoo"], "there is no method 'grpoo'"),
        (["run=RUN", "responses=1"], "set it to 2 or more"),
        (["run=RUN", "responses=x"], "must be a whole number"),
        (["run=RUN", "trainer.steps=3"], "whose configuration stands"),
        (["run=RUN", "values=RUN/.."], "has no value model"),
        (["run=RUN", "reference=RUN/.."], "neither a run with a checkpoint nor"),
        (["run=RUN", "prompt=none"], "is not among the first"),
        (["values=RUN"], "go with run="),
    ],
)
def test_errors_say_what_to_do(run, words_, message, tmp_path, capsys):
    line = [word.replace("RUN", str(run)) for word in words_]
    assert main(["microscope", *line, f"out={tmp_path}"]) != 0
    assert message in capsys.readouterr().err


def test_pass_rate_refuses_pairs_and_uneven_groups(run, tmp_path, capsys):
    assert main(["pass-rate", f"run={run}", "methods=dpo", f"out={tmp_path}"]) != 0
    assert "works on pairs" in capsys.readouterr().err
    assert main(["pass-rate", f"run={run}", "samples=10", f"out={tmp_path}"]) != 0
    assert "multiple of group=8" in capsys.readouterr().err


def test_pairs_are_formed_within_prompts(run):
    opened = frozen.open_run(run, threads=1)
    prompts = frozen.prompts(opened, "validation", 3)
    scored = frozen.score(opened, frozen.sample(opened, prompts, 4, "test"))
    owners = [place // 4 for place in range(12)]
    correct = [item.score.judged_correct for item in scored.responses]
    for right, wrong in frozen.as_pairs(scored):
        assert owners[right] == owners[wrong] and correct[right] and not correct[wrong]
