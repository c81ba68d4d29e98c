"""What is refused of the reward axis before any work, with the field and the remedy in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scored import TASK, WORDS, Given, only

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.rewards import RewardConfig, RewardPart
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config
from unified_rl.rewards.checked import CheckedReward
from unified_rl.rewards.corrections import CorrectedReward
from unified_rl.rewards.judges import Judgements
from unified_rl.stages.rewards import preflight_reward, try_reward

HERE = Path(__file__)
NOISY = ("reward.false_positive=0.2", "reward.false_negative=0.1")


def one_number(response):
    return float(len(response))


def score(response):
    return 1.0


def score_2(response):
    return 0.0


def two_numbers(response):
    return {"long": float(len(response)), "there": 1.0}


def of_length(response):
    return {"there": 1.0, "overlong": -0.1}


def refused(*given):
    """The one line with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        load_config(list(given))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ((*NOISY, "reward.correction=forward"), "reward.correction=forward"),
        ((*NOISY, "reward.correction=backward"), "reward.correction=backward"),
        (("reward.incorrect=-1",), "reward.incorrect=-1"),
        (("reward.overlong=4",), "reward.overlong=4"),
        (("reward=model", "reward.output=logit"), "reward.output=logit"),
        (("reward=[rule,random*-1]",), "reward.parts.random.weight=-1"),
        (("coefficient.kl_coef=0.1", "coefficient.kl_in=reward", "coefficient.kl_estimator=k1"), "coefficient.kl_in=reward"),
    ],
)
def test_a_mean_that_may_be_below_0_divides_nothing(more, field):
    for divided in (("method=max_rl",), ("method=grpo", "coefficient.std=mean")):
        said = refused(*divided, *more)
        assert said.startswith(field) and "trains backwards; set " in said
    load_config(["method=grpo", *more])


def test_names_of_listed_rewards_are_their_own_whatever_the_functions_are_called():
    listed = [f"{HERE}:score_2", f"{HERE}:score", f"{HERE}:score"]
    for order in (listed, listed[::-1]):
        parts = load_config(["method=grpo", f"reward=[{','.join(order)}]"]).reward.parts
        assert [part.source for part in parts.values()] == order


def test_rewards_that_the_user_names_stand_in_place_of_gdpo_s_own():
    def parts(*more):
        return {name: part.source for name, part in load_config(["method=gdpo", *more]).reward.parts.items()}

    assert parts() == {"right": "rule"}
    assert parts("reward=[random,majority]") == {"random": "random", "majority": "majority"}
    assert parts("reward.parts={mine: {source: random}}") == {"mine": "random"}
    assert parts("reward.parts.right.weight=2") == {"right": "rule"}
    assert parts(f"reward={HERE}:two_numbers") == {}


def tried(name, *more):
    """A reward of this file, asked about made-up responses before a run."""
    try_reward(load_config(["method=gdpo", *more, f"reward={HERE}:{name}"]), TASK, WORDS)


def test_one_number_is_not_normalised_apart_and_a_dict_is():
    with pytest.raises(
        DataError, match=r"^reward\.source=.*is one number, but coefficient=gdpo.*; return a dict of named numbers"
    ):
        tried("one_number")
    tried("two_numbers")
    tried("one_number", "coefficient=grpo")
    with pytest.raises(DataError, match=r"a part is called 'overlong'; give each a name of its own"):
        tried("of_length")


def test_a_reward_that_is_one_number_later_on_is_named_too():
    with pytest.raises(DataError, match="one number, but coefficient=gdpo"):
        only(CheckedReward(Given(1.0), "reward.source=f", "coefficient=gdpo"))


def test_a_loophole_is_of_outcomes():
    assert refused("method=grpo_ps", "reward.loophole=ends_in:7").startswith("reward.loophole=ends_in:7")
    steps = "reward.parts.steps={source: exact, settings: {loophole: 'ends_in:7'}}"
    assert refused("method=grpo_ps", "reward=several", steps).startswith("reward.parts.steps.loophole=ends_in:7")
    right = "reward.parts={steps: {source: exact}, right: {source: rule, settings: {loophole: 'ends_in:7'}}}"
    load_config(["method=grpo_ps", "reward=several", right])


CORRECTED = ("method=reinforce", *NOISY, "reward.correction=backward")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            (*CORRECTED, "reward.correction_rates=estimated", "reward.audited=100000"),
            r"^reward\.audited=100000 .*2048 x 4 = 8192",
        ),
        (
            (*CORRECTED, "reward.correction_rates=estimated", "stages.reward_samples.settings={reward_model: {prompts: 8}}"),
            r"^reward\.audited=256 .*stage reward_samples has 8 x 4 = 32; set",
        ),
        (
            ("method=reinforce", "reward=majority", "rollout.responses_per_prompt=1"),
            r"^reward\.source=majority .*each is alone; set",
        ),
        (
            ("method=vine_ppo", "reward=node_values", "rollout.responses_per_prompt=1"),
            r"^reward\.source=node_values .*responses_per_prompt to 2",
        ),
        (("method=dpo", "reward.false_positive=1"), r"^reward\.false_positive=1 .*accepts whatever"),
        (("method=online_rft", "reward.false_negative=1"), r"reward\.false_negative=1 rejects whatever"),
        (("method=grpo", "reward=random", "reward.random_rate=0"), r"^reward\.random_rate=0 rejects"),
        (
            ("method=online_rft", "reward=[rule*-1]"),
            r"^reward\.parts\.rule\.weight .*no response is accepted.*set a weight above 0",
        ),
        (
            ("method=grpo", "reward.correct=0", "reward.false_positive=0.1"),
            r"^reward\.correct=0 and reward\.incorrect=0 are the same",
        ),
        (
            ("method=grpo", "reward=several", "reward.overlong=4", "reward.parts={overlong: {source: rule}}"),
            r"^reward\.parts has a part called 'overlong'.*a name of its own",
        ),
        (("method=grpo", "reward=several", "reward.parts={'': {source: rule}}"), r"called '', but it is empty; give"),
    ],
)
def test_what_says_nothing_or_has_nothing_to_judge_is_refused(more, says):
    assert re.search(says, refused(*more))


def test_what_still_says_something_is_not_refused():
    for more in (
        ("method=grpo", "reward.false_positive=1", "reward.false_negative=1"),
        ("method=grpo", "reward.false_negative=1", "reward.loophole=ends_in:7"),
        ("method=grpo", "reward=[rule*-1]"),
        ("method=grpo", "reward=several", "reward.parts={overlong: {source: rule}}"),
        (*CORRECTED, "reward.correction_rates=estimated", "reward.audited=8192"),
    ):
        load_config(list(more))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("noise_by=length", "noise_slope=0.15", "noise_centre=36"), r"noise_by=length is 96; lower reward\.noise_slope"),
        (("noise_by=length", "noise_slope=-0.1", "noise_centre=60"), "noise_by=length is 1; lower"),
        (("noise_by=ends_in:7", "noise_slope=4"), "noise_by=ends_in:7 is 1; lower"),
    ],
)
def test_a_correction_that_divides_by_next_to_nothing_somewhere_is_refused_before_a_run(more, says):
    words = [f"reward.{word}" for word in (*more, "false_positive=0.2", "false_negative=0.1")]
    for kind in ("backward", "forward"):
        message = refused("method=reinforce", *words, f"reward.correction={kind}")
        assert re.search(rf"^reward\.correction={kind} divides by 1 - [\d.]+ - [\d.]+, .*{says}", message)
    load_config(["method=reinforce", *words])
    given = ("reward.correction_rates=given", "reward.assumed_false_positive=0.2")
    load_config(["method=reinforce", *words, "reward.correction=backward", *given])


@pytest.mark.parametrize("name", ["reward.noise_by=ends:7", "reward.loophole=tokens_over:x", "logging.form=regex:(a+)+"])
def test_a_form_that_nobody_knows_is_refused_before_a_run(name):
    message = refused(
        "method=grpo", name, "reward.false_positive=0.1", *(["reward.noise_slope=1"] if "noise_by" in name else [])
    )
    assert re.search(rf"^{re.escape(name.partition('=')[0])}=.* is not known; choose one of: ends_in:TEXT", message)


def test_what_rates_change_along_is_asked_of_the_task_before_a_run():
    def along(name):
        noise = (f"reward.noise_by={name}", "reward.noise_slope=0.1", "data.prompts=8")
        preflight_reward(load_config(["method=grpo", *NOISY, *noise]), TASK)

    along("steps")
    along("length")
    with pytest.raises(DataError, match=r"^reward\.noise_by=stepz, but problem .*name one of those, or length"):
        along("stepz")


def test_a_correction_by_rates_that_say_nothing_but_for_rounding_names_its_fields():
    judge = CorrectedReward(Given(1.0), Judgements(1.0, 0.0), "backward", lambda prompt, response, score: (0.5, 0.5 - 1e-12))
    with pytest.raises(ConfigError, match=r"lower reward\.false_positive and .*reward\.noise_by, reward\.noise_slope"):
        only(judge)


def test_explain_says_that_a_correction_cancels_only_where_nothing_is_added_to_the_reward():
    backward = "reward.correction=backward"
    part = (
        "reward.parts={right: {source: rule, settings: {false_positive: 0.2, correction: backward}}, chance: {source: random}}"
    )

    def reads(*more):
        return "cancel it" in explain.facts(load_config(list(more)))["axes"]["reward"]

    assert reads("method=grpo", *NOISY, backward) and reads("method=grpo_ps", *NOISY, backward)
    assert not reads("method=grpo", *NOISY, backward, "reward.noise_by=ends_in:7", "reward.noise_slope=1"), "within a group"
    assert reads("method=gdpo", part)
    assert not reads("method=grpo", "reward=several", part)
    assert not reads("method=grpo", *NOISY, backward, "reward.overlong=4")
    assert not reads("method=grpo", "coefficient=grpo_kl_in_reward", *NOISY, backward)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("correct", "two", "a number"),
        ("correct", None, "a number"),
        ("noise_slope", "x", "a number"),
        ("random_rate", True, "a number"),
        ("noise_seed", "x", "a whole number"),
        ("noise_seed", 1.5, "a whole number"),
        ("members", 2.5, "a whole number"),
        ("completions", "hi", "a whole number"),
        ("audited", {"a": 1}, "a whole number"),
        ("pattern", ["x"], "a text"),
        ("correction", None, "a text"),
        ("segmentation", 3, "3"),  # a text, but no segmentation
        ("false_positive", 2, "lie between"),
        ("supervision", "both", "choose one of"),
    ],
)
def test_settings_of_a_part_are_of_the_section_s_own_types(name, value, wanted):
    reward = RewardConfig(source="several", parts={"a": RewardPart(settings={name: value})})
    with pytest.raises(ConfigError, match=rf"^reward\.parts\.a\.settings\.{name}\b.*{wanted}"):
        _ = reward.judges


def test_settings_of_a_part_are_read_as_the_section_s_own():
    settings = {"false_positive": "0.1", "correct": 2, "loophole": "contains:${x}"}
    found = RewardConfig(source="several", parts={"a": RewardPart(settings=settings)}).judges["reward.parts.a"]
    assert (found.false_positive, found.correct, found.loophole) == (0.1, 2.0, "contains:${x}")
    with pytest.raises(ConfigError, match=r"^reward\.parts\.a\.source=format pays.*set reward\.parts\.a\.settings\.pattern"):
        _ = RewardConfig(source="several", parts={"a": RewardPart("format")}).judges
