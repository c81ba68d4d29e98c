"""Several rewards in one setting: a list or a dictionary in Python, a list of FILE.py:function with weights on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

import unified_rl as ur
from unified_rl.api import words
from unified_rl.base.errors import ConfigError, DataError
from unified_rl.presets.loading import load_config
from unified_rl.stages.fingerprints import user_code

HERE = str(Path(__file__))


def half(response):
    return 0.5


def lengths(prompts, responses):
    return [len(one) / 100 for one in responses]


def nothing(response):
    return False


def everything(response):
    return True


def small(folder):
    """Settings of a run of one step that takes a second."""
    return {
        "init": "base",
        "model": {"hidden_size": 64, "num_heads": 2, "num_layers": 1, "intermediate_size": 96, "vocabulary": 280},
        "rollout": {"prompts_per_step": 2, "responses_per_prompt": 2},
        "generator": {"max_new_tokens": 4},
        "logging": {"curve_problems": 0, "samples": 4},
        "steps": 1,
        "threads": 1,
        "artifacts": str(folder / "artifacts"),
        "run_dir": str(folder / "run"),
    }


def read(*given):
    reward = load_config(["method=grpo", *given]).reward
    return reward.source, {name: (one.source, one.weight) for name, one in reward.parts.items()}


TWO = ("several", {"half": (f"{HERE}:half", 0.5), "lengths": (f"{HERE}:lengths", 1.0)})


def test_in_python_and_on_the_command_line():
    assert read(*words({"reward": [(half, 0.5), lengths]})) == TWO
    assert read(*words({"reward": {"half": (half, 0.5), "lengths": lengths}})) == TWO
    assert read(f"reward=[{HERE}:half*0.5,{HERE}:lengths]") == TWO
    assert read("reward=[rule, random*0.25]") == ("several", {"rule": ("rule", 1.0), "random": ("random", 0.25)})
    twice = read(*words({"reward": [half, (half, -1), "rule", (f"{HERE}:half", 2)]}))[1]
    assert list(twice) == ["half", "half_2", "rule", "half_3"] and twice["half_2"][1] == -1.0
    section = read(*words({"reward": {"source": half, "overlong": 3}}))
    assert section == (f"{HERE}:half", {}), "a dictionary of settings stays one"
    assert load_config(["method=grpo", "reward=[rule,random*0.5]"]).label == "GRPO+OS, reward=rule+0.5 random"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], r"reward=\[\] lists no rewards"),
        ([half, 3], "reward is 3; give a function or a name"),
        ([(half, "much")], "give a function or a name, or a pair of one and a weight"),
        ({"mine": 3}, "reward 'mine' is 3; give a function"),
        (["rule*2", "nobody"], "reward.parts.nobody.*nobody"),
    ],
)
def test_what_is_no_reward_is_one_line(given, says):
    with pytest.raises(ConfigError, match=says) as caught:
        load_config(["method=grpo", *words({"reward": given})])
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ConfigError, match="is no reward; name each as SOURCE"):
        load_config(["method=grpo", "reward=[rule,3]"])


def test_a_run_adds_them_up(tmp_path):
    (tmp_path / "qa.csv").write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    run = ur.train(method="grpo", data=str(tmp_path / "qa.csv"), reward=[(half, 0.5), lengths], **small(tmp_path))
    (row,) = run.metrics.to_dict("records")
    assert row["reward/half/mean"] == 0.5
    assert row["reward/mean"] == pytest.approx(0.25 + row["reward/lengths/mean"])
    code = user_code(load_config(["method=grpo", *words({"reward": [(half, 0.5), "rule"]})]))
    assert list(code) == ["code of reward.parts.half.source"], "a run is not resumed with another content of the file"


@pytest.mark.parametrize(("accepted", "warned"), [(nothing, True), (everything, False)])
def test_a_run_that_learned_nothing_says_so_at_its_end(accepted, warned, tmp_path, capfd):
    (tmp_path / "qa.csv").write_text("question,answer\n" + "".join(f"{i} + 1?,{i + 1}\n" for i in range(40)))
    ur.train(method="online_rft", data=str(tmp_path / "qa.csv"), reward=accepted, **small(tmp_path))
    lines = [line for line in capfd.readouterr().err.splitlines() if "none of the 1 steps had a gradient" in line]
    assert len(lines) == warned


def test_a_part_is_tried_before_the_run(tmp_path):
    def wrong(response):
        raise ValueError("no")

    settings = {"init": "base", "run_dir": str(tmp_path / "run"), "artifacts": str(tmp_path / "artifacts"), "steps": 1}
    with pytest.raises(DataError, match=r"reward.parts.wrong.source.*ValueError: no") as caught:
        ur.train(method="grpo", reward=[wrong, half], **settings)
    assert len(str(caught.value).splitlines()) == 1 and not (tmp_path / "run" / "metrics.jsonl").exists()
