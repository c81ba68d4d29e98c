"""SPO's tracker: what a run believes of each prompt, worked by hand, against a loop of its own, and across checkpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.base.types import Decoding, Group, Problem, Prompt, Response, Score, ScoredResponse
from unified_rl.loop.memory import PromptMemory, memories
from unified_rl.loop.tracker import ValueTracker
from unified_rl.methods import beyond
from unified_rl.packing.packed_rows import TokenSequence
from unified_rl.planning import plan
from unified_rl.presets.loading import load_config

HALF, LEAST, MOST = 0.06, 0.875, 0.96


def group(name, rewards, lengths=None, others=None, masks=None):
    lengths, masks = lengths or [2] * len(rewards), masks or [None] * len(rewards)
    responses = [
        Response(np.arange(n), np.zeros(n, dtype=np.float32), "stop", 0, Decoding(max_new_tokens=9), 0, "", mask)
        for n, mask in zip(lengths, masks, strict=True)
    ]
    scored = [ScoredResponse(one, Score(reward, "correct", "", "")) for one, reward in zip(responses, rewards, strict=True)]
    return Group(Prompt(Problem(name, "q", "1"), (1, ord(name))), tuple(scored), reference_rewards=others)


def sequences(groups):
    return [
        TokenSequence(np.array(one.prompt.token_ids), item.response.token_ids, one.prompt.id)
        for one in groups
        for item in one.responses
    ]


def policy(offset):
    """A policy whose log-prob of every token of the prompt (1, x) is -x/100 + offset."""

    def outputs(given):
        longest = max(len(one.response_ids) for one in given)
        return {"logp": torch.tensor([[offset - one.prompt_ids[1] / 100] * longest for one in given], dtype=torch.float32)}

    return outputs


def value(tracker, name, others=None):
    return tracker.recall([group(name, [0.0], others=others)], "cpu")["value"].item()


def note(tracker, groups, offset):
    return tracker.note(groups, sequences(groups), policy(offset))


def test_by_hand():
    tracker = ValueTracker(HALF, LEAST, MOST)
    assert value(tracker, "a") == 0.5, "nothing is known"
    # 8 samples of the reference, 6 right: (6 + 0.5)/(8 + 1) = 0.7222, weighed as 1/(1 - 0.875) = 8 responses
    assert value(tracker, "a", (1, 1, 1, 1, 1, 1, 0, 0)) == pytest.approx(6.5 / 9)
    # first seen: D = 0, rho = 2^0 held to 0.96. right: (0.96 x 0.5 + 1)/(0.96 x 1 + 1) = 1.48/1.96
    first = note(tracker, [group("a", [1.0])], 0.0)
    assert first == {"tracker/value": 0.5, "tracker/kept": MOST}
    assert value(tracker, "a") == pytest.approx(1.48 / 1.96)
    # the policy has moved by 0.0099 on every token: rho = 2^(-0.0099/0.06) = 0.891921;
    # wrong: (0.891921 x 1.48)/(0.891921 x 1.96 + 1)
    again = note(tracker, [group("a", [0.0])], 0.0099)
    assert again["tracker/kept"] == pytest.approx(0.891921, abs=1e-5)
    assert again["tracker/drift"] == pytest.approx(0.0099, abs=1e-6)
    assert value(tracker, "a") == pytest.approx(1.320043 / 2.748165, abs=1e-5)
    # moved by 1: rho = 2^-16.7 held to 0.875
    assert note(tracker, [group("a", [0.0])], 1.0099)["tracker/kept"] == LEAST


def test_reference_samples_are_as_many_responses_as_are_remembered_at_least():
    tracker = ValueTracker(HALF, LEAST, MOST)
    note(tracker, [group("a", [1.0], others=(0, 0, 0, 1))], 0.0)  # a: 8 x 1.5/5 = 2.4, n = 8
    assert value(tracker, "a") == pytest.approx((0.96 * 2.4 + 1) / (0.96 * 8 + 1))


def test_the_drift_is_of_the_tokens_that_the_policy_wrote_at_the_prompt_before():
    tracker, mask = ValueTracker(HALF, LEAST, MOST), np.array([True, False, True])
    note(tracker, [group("a", [1.0], [3], masks=[mask])], 0.0)

    def outputs(given):  # 0.01 and 0.03 on what it wrote, 9 on what a tool wrote; of what is new, anything
        rows = [[0.01, 9.0, 0.03] if len(one.response_ids) == 3 else [0.5, 0.5, 0.5] for one in given]
        return {"logp": torch.tensor(rows) - ord("a") / 100}

    groups = [group("a", [0.0], [2])]
    assert tracker.note(groups, sequences(groups), outputs)["tracker/drift"] == pytest.approx(0.02, abs=1e-6)


def test_a_policy_that_stays_has_not_moved_whatever_it_wrote():
    """Each response has log-probs of its own; a prompt's are not its neighbour's in the rollout."""

    def outputs(given):
        each = {len(one.response_ids): -float(len(one.response_ids)) for one in given}
        return {"logp": torch.tensor([[each[len(one.response_ids)]] * 6 for one in given])}

    tracker = ValueTracker(HALF, LEAST, MOST)
    groups = [group("a", [1.0, 0.0], [2, 3]), group("b", [1.0, 0.0, 1.0], [4, 5, 6])]
    tracker.note(groups, sequences(groups), outputs)
    assert tracker.note(groups, sequences(groups), outputs)["tracker/drift"] == 0.0


ROLLOUTS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.lists(st.floats(-1, 2, width=16), min_size=1, max_size=3)),
            min_size=1,
            max_size=4,
        ),
        st.floats(-0.25, 0.25, width=16),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40)
@given(ROLLOUTS)
def test_it_is_a_discounted_mean_and_survives_a_checkpoint(tmp_path_factory, rollouts):
    tracker, sums, counts, then = ValueTracker(HALF, LEAST, MOST), {}, {}, {}
    folder = tmp_path_factory.mktemp("tracker")
    for rollout, offset in rollouts:
        groups = [group(name, rewards) for name, rewards in rollout]
        for name in "abc":
            assert value(tracker, name) == pytest.approx(sums.get(name, 0.5) / counts.get(name, 1), abs=1e-5)
        note(tracker, groups, offset)
        for name in {name for name, _ in rollout}:
            rho = min(max(2 ** (-abs(then.get(name, offset) - offset) / HALF), LEAST), MOST)
            mine = [reward for other, rewards in rollout if other == name for reward in rewards]
            sums[name] = rho * sums.get(name, 0.5) + sum(mine)
            counts[name] = rho * counts.get(name, 1) + len(mine)
            then[name] = offset
        tracker.save(folder)
        tracker = ValueTracker(HALF, LEAST, MOST)
        tracker.load(folder)


def test_what_is_damaged_is_named(tmp_path):
    tracker = ValueTracker(HALF, LEAST, MOST)
    tracker.save(tmp_path)
    ValueTracker(HALF, LEAST, MOST).load(tmp_path)
    (tmp_path / "tracker.npz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"tracker.npz does not hold.*restore the file"):
        tracker.load(tmp_path)


def test_a_coefficient_has_the_memories_that_it_reads():
    (found,) = memories(beyond.SingleStream(drift_half=0.5))
    assert isinstance(found, ValueTracker)
    assert memories(beyond.ReMax()) == ()
    both = type("Both", (beyond.SingleStream,), {"needs": frozenset({"tracked_value", "prompt_mean"})})()
    assert {type(one) for one in memories(both)} == {PromptMemory, ValueTracker}


READS = """
from dataclasses import dataclass
from unified_rl.coefficients import Coefficient


@dataclass
class Reads(Coefficient):
    name: str = "reads"
    needs = frozenset({"tracked_value"})

    def terms(self, logp_BT, inputs):
        return {}
"""


@pytest.mark.parametrize(
    ("more", "hints"),
    [
        (["method=spo", "source=offline_samples"], ["written before", "source=online_samples"]),
        (["method=spo", "source=tree_search", "source.wrappers=[]"], ["nobody knows how likely"]),
        (["method=spo", "coefficient.std=population"], ["coefficient.std"]),
        (["method=spo", "coefficient.kept_most=0.5"], ["coefficient.kept_most"]),
        (["method=grpo", "coefficient=FILE:Reads"], ["tracked_value", "drift_half nor kept_least nor kept_most"]),
    ],
)
def test_what_cannot_be_tracked_is_refused(more, hints, tmp_path):
    (tmp_path / "reads.py").write_text(READS)
    with pytest.raises(ConfigError) as refused:
        load_config([word.replace("FILE", str(tmp_path / "reads.py")) for word in more])
    for hint in hints:
        assert hint in str(refused.value)


def test_its_passes_are_planned():
    config = load_config(["method=spo"])
    without = replace(config, coefficient=beyond.ReMax())
    assert plan(config)["work"]["scoring_passes"] == plan(without)["work"]["scoring_passes"] + 2
