"""Dialects: each project's defaults against its own gradients, and its advantages against formulas written out here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.labs import conformance
from unified_rl.planning import dialects as in_words
from unified_rl.presets.dialects import DIALECTS
from unified_rl.presets.loading import compose, load_config

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "golden"
SHARED = ROOT.parent / "shared" / "golden" / "peers.json"
REWARDS = torch.tensor([1.0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0], dtype=torch.float64).view(4, 4)


@pytest.mark.skipif(not SHARED.is_file(), reason=f"no golden gradients at {SHARED}")
def test_every_dialect_gives_the_gradients_of_its_project():
    found = conformance.compare_dialects(conformance.read(SHARED))
    assert {one.peer.split()[0] for one in found} == {dialect.project for dialect in DIALECTS.values()}
    assert len(found) >= 24
    for one in found:
        assert one.agrees, one


def test_the_dialect_that_is_recorded_here_gives_its_project_s_gradient(capsys):
    assert main(["conformance", "slime", "dialects=true", f"golden={RECORDED}"]) == 0
    assert "dialect=slime" in (printed := capsys.readouterr().out) and "1 of 1 agree" in printed


def test_another_dialect_is_told_apart():
    golden = conformance.read(RECORDED)
    row = next(row for row in golden["rows"] if row["method"] == "clip-higher (same A)")
    ours = conformance.gradient(["method=grpo", "dialect=verl"], golden["data"][row["data"]])
    assert conformance.difference(ours, torch.tensor(row["gradient"], dtype=torch.float64)) > 1e-2


def _of_others(rewards: torch.Tensor) -> torch.Tensor:
    """(r - mean)/(std + 1e-6) of the others, ddof 1, r - mean where their std is 0: written as loops."""
    found = torch.zeros_like(rewards)
    for group, values in enumerate(rewards.tolist()):
        for place, own in enumerate(values):
            others = values[:place] + values[place + 1 :]
            mean = sum(others) / len(others)
            std = (sum((other - mean) ** 2 for other in others) / (len(others) - 1)) ** 0.5
            found[group, place] = (own - mean) / (std + 1e-6) if std else own - mean
    return found


@pytest.mark.parametrize(
    ("dialect", "theirs"),
    [
        ("paper", lambda r: torch.nan_to_num((r - r.mean(1, keepdim=True)) / r.std(1, correction=0, keepdim=True))),
        ("trl", lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4)),
        ("verl", lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-6)),
        ("openrlhf", lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-9)),
        ("slime", lambda r: (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-6)),
        ("prime_rl", lambda r: r - r.mean(1, keepdim=True)),
        ("open_instruct", lambda r: r - r.mean(1, keepdim=True)),
        ("nemo_rl", _of_others),
    ],
)
def test_advantages_of_each_dialect_from_rewards(dialect, theirs):
    config = compose(["method=grpo", f"dialect={dialect}", "coefficient.kl_coef=0"])
    golden = conformance.read(RECORDED)
    given = next(iter(golden["data"].values()))
    count = REWARDS.numel()
    data = {name: value[:1] * count if isinstance(value, list) else value for name, value in given.items()}
    data |= {"group": [place // 4 for place in range(count)], "rewards": REWARDS.flatten().tolist()}
    prepared = config.coefficient.prepare(conformance.inputs_of(data))
    torch.testing.assert_close(prepared.advantages_BT[:, 0].view(4, 4), theirs(REWARDS), atol=1e-12, rtol=1e-12)


def test_the_paper_s_dialect_is_the_row_itself_and_the_line_overrides_a_dialect():
    assert asdict(load_config(["method=grpo", "dialect=paper"])) == asdict(load_config(["method=grpo"]))
    found = load_config(["method=grpo", "dialect=verl", "rollout.minibatches=1", "coefficient.dual_clip=null"])
    assert (found.rollout.minibatches, found.coefficient.dual_clip, found.coefficient.std) == (1, None, "sample")
    assert load_config(["method=grpo", "dialect=prime_rl"]).coefficient.name == "dppo"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_line_overrides_every_setting_of_a_dialect(dialect):
    """Option by option: a dialect that brings a coefficient of its own takes words like any other, and no word is lost."""
    for method, words in DIALECTS[dialect].words.items():
        start = [f"method={method}", f"dialect={dialect}"]
        own = asdict(compose(start).coefficient)
        for key, value in own.items():
            if isinstance(value, float) and value:
                other = (value + 0.125) / 2
                try:
                    given = compose([*start, f"coefficient.{key}={other}"])
                except ConfigError as refused:  # for another option beside it
                    assert f"coefficient.{key}" in str(refused)
                    continue
                assert asdict(given.coefficient) == {**own, key: other}, key
        with pytest.raises(ConfigError, match=r"unknown key 'coefficient\.nonsense'"):
            compose([*start, "coefficient.nonsense=1"])
        row = compose([f"method={method}"]).coefficient
        if f"coefficient={own['name']}" in words:
            assert compose([*start, f"coefficient={row.name}"]).coefficient == row


def test_explain_says_what_a_run_does_otherwise_than_its_dialect(capsys):
    words = ["aggregation=sequence_mean", "rollout.minibatches=1", "coefficient.std=none", "coefficient.std_epsilon=1e-6"]
    assert main(["explain", "method=grpo", "dialect=verl", *words]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for said in (
        "aggregation.name sequence_mean -> batch_token_mean by default; here sequence_mean",
        "rollout.minibatches 1 -> 4 by default; here 1",
        "coefficient.std population -> sample by default; here none",
        "coefficient.std_epsilon 0 -> 1e-06: shrinks",
    ):
        assert said in printed
    assert main(["explain", "method=grpo", "dialect=prime_rl", "coefficient=grpo"]) == 0
    assert "coefficient.cap - -> 20 by default; not here: no option of coefficient=grpo" in " ".join(
        capsys.readouterr().out.split()
    )


def test_the_gradient_of_prime_rl_in_words_has_its_cap_and_its_pull():
    said = compose(["method=grpo", "dialect=prime_rl", "coefficient.cap=7"]).coefficient.describe("outcome")
    assert said.startswith("min(rho, 7) 1[") and " A - 0.002 log(pi/pi_old), A = " in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dialect=trrl"], "did you mean 'trl'"),
        (["dialect=slime", "method=dpo"], "dialect=slime says nothing of method=dpo.*method=grpo or ppo"),
    ],
)
def test_a_dialect_that_there_is_not_is_refused_in_one_line(words, message):
    with pytest.raises(ConfigError, match=message) as error:
        load_config(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_explain_names_every_setting_that_differs_and_what_it_does(dialect, capsys):
    for method in DIALECTS[dialect].words:
        config = load_config([f"method={method}", f"dialect={dialect}"])
        found = in_words.differences(config)
        given = {word.partition("=")[0] for word in DIALECTS[dialect].words[method].split()}
        short = {"aggregation": "aggregation.name", "importance": "importance.name", "coefficient": "coefficient.name"}
        differs = {short.get(key, key) for key in given} - {"importance.cap"}  # 2 is the default
        assert differs <= found.keys(), f"{dialect}, {method}: {differs - found.keys()} set, but no difference from the paper's"
        assert all(effect and "it counts" not in effect for _, _, effect in found.values()), found
    assert main(["explain", "method=grpo", f"dialect={dialect}"]) == 0
    assert f"{DIALECTS[dialect].project} {DIALECTS[dialect].version}" in capsys.readouterr().out


def test_the_page_has_every_dialect_with_its_words():
    text = (ROOT / "docs" / "dialects.md").read_text()
    for name, dialect in DIALECTS.items():
        for method, words in dialect.words.items():
            assert f"| `{name}` | {dialect.project} {dialect.version} | {method} | `{words or '-'}` |" in text, name


def test_a_run_remembers_its_dialect(capsys):
    assert main(["config", "method=grpo", "dialect=trl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dialect"] == "trl"
