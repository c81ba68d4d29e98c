"""The full product of the axes: every refusal has its remedy; and runs that together hold every legal pair of axis values."""

from __future__ import annotations

import itertools
import json

import pytest
from tiny import words

from tools import legality
from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS
from unified_rl.methods.signals import beside_policy
from unified_rl.presets import rules

SMALL_REWARD_MODEL = (
    "reward_model.prompts=16",
    "reward_model.samples_per_prompt=2",
    "reward_model.completions=2",
    "reward_model.epochs=1",
)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory):
    return tmp_path_factory.mktemp("legality")


@pytest.mark.long
def test_every_refusal_of_the_full_product_has_a_reason_and_a_remedy():
    legal, refused, count = legality.survey()
    assert count == len(legal) + sum(refused.values()) > 100_000
    for why in refused:
        assert any(remedy in why for remedy in ("set ", "leave ", "both or neither")), f"no remedy in: {why}"
        assert len(why.splitlines()) == 1
    chosen = legality.covering(legal)
    pairs = set().union(*(one.pairs() for one in legal))
    assert set().union(*(one.pairs() for one in chosen)) == pairs
    print(f"{count} combinations, {len(legal)} legal, {len(pairs)} legal pairs in {len(chosen)} runs")


@pytest.mark.long
def test_the_survey_says_what_the_check_says():
    known, chosen = {}, set(legality.covering(legality.survey()[0]))
    for one, config in legality.every():
        if one in chosen:
            rules.check(config)
    for _, config in itertools.islice(legality.every(), 0, 100_000, 997):
        said = legality.refusal(config, known)
        try:
            rules.check(config)
            assert not said
        except ValueError as error:
            assert str(error) == said


def trained(one, place, folder):
    """Two steps of a combination on the coin world; the metrics."""
    more = [*one.words(), "trainer.steps=2", "logging.curve_problems=0", "evaluation.problems=2", *SMALL_REWARD_MODEL]
    if any(role.setting for role in beside_policy(COEFFICIENTS[one.coefficient].needs)):
        more.append(f"teacher={next((folder / 'teacher' / 'checkpoints').glob('step_*2/policy'))}")
    line = words("grpo", folder / f"run{place}", folder / "artifacts", *more)
    assert main(["train", *line]) == 0, " ".join(one.words())
    return [json.loads(entry) for entry in (folder / f"run{place}" / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.nightly
def test_two_steps_of_every_legal_pair_of_axis_values(everywhere):
    line = words("online_rft", everywhere / "teacher", everywhere / "artifacts", "trainer.steps=2")
    assert main(["train", *line]) == 0
    failed = []
    for place, one in enumerate(legality.covering(legality.survey()[0])):
        try:
            assert len(trained(one, place, everywhere)) == 2
        except AssertionError as error:
            failed.append(f"{one}: {error}")
    assert not failed, "\n".join(failed)
