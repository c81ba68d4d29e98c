"""Node values of responses that begin alike: a tree worked by hand, every tree by brute force, and those of a real search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import AnswerCheck, Problem, Prompt, Response
from unified_rl.presets.loading import load_config
from unified_rl.rewards.node_values import NodeValues
from unified_rl.rewards.steps import TokenSegmenter

EOS, BREAK = 1, 3
PROMPT = Prompt(Problem("p", "", ""), (2, 9))


class Numbers:
    def decode(self, token_ids, skip_special_tokens=False):
        return " ".join(str(token) for token in token_ids if token != EOS)


class EvenSum:
    """Right is what adds up to an even number."""

    def check_answer(self, problem, text):
        right = sum(map(int, text.split())) % 2 == 0
        return AnswerCheck("correct" if right else "incorrect", text, text)


def respond(*ids):
    ids = (*ids, EOS)
    return Response(np.array(ids), np.zeros(len(ids), np.float32), "stop", 0, None, 0, Numbers().decode(ids))


def scored(group, **values):
    return NodeValues(EvenSum(), TokenSegmenter(BREAK, Numbers()), **values).score([PROMPT], [group])[0]


def test_a_tree_by_hand():
    # "|" ends a step, r is right. The root has four leaves, two of them right: V = 1/2.
    #   4|6|8  r    4|6|9 x    4|7|5  x      9|9|6  r      V(4|) = 1/3   V(4|6|) = 1/2
    group = [
        respond(4, BREAK, 6, BREAK, 8),
        respond(4, BREAK, 6, BREAK, 9),
        respond(4, BREAK, 7, BREAK, 6),
        respond(9, BREAK, 9, BREAK, 6),
    ]
    rewards = [score.reward for score in scored(group)]
    assert rewards == [1, 0, 0, 1]  # 4 + 3 + 6 + 3 + 8 = 24; 25; 23; 30
    found = scored(group)
    third, half = 1 / 3, 1 / 2
    to_4, to_46 = 2 * (third - half), (half - half) + (half - third)
    assert found[0].step_rewards.tolist() == pytest.approx([to_4, to_46, (1 - half) + (1 - half)])
    assert found[1].step_rewards.tolist() == pytest.approx([to_4, to_46, (0 - half) + (0 - half)])
    # nobody else went on from 4|7|: the rest of the response is one step, whose tokens share what the leaf is worth
    assert found[2].step_rewards.tolist() == pytest.approx([to_4, (0 - half) + (0 - third)])
    assert found[2].step_ends.tolist() == [1, 5]
    # a response that shares nothing: twice the centred reward
    assert found[3].step_rewards.tolist() == pytest.approx([2 * (1 - half)])
    assert found[0].step_ends.tolist() == [1, 3, 5]
    assert found[0].step_values.tolist() == pytest.approx([half, third, half])


def test_values_are_means_of_the_set_rewards():
    group = [respond(4, BREAK, 8), respond(4, BREAK, 9), respond(6)]
    for one, other in zip(scored(group), scored(group, correct=2.0, incorrect=-1.0), strict=True):
        assert other.step_rewards.tolist() == pytest.approx((3 * one.step_rewards).tolist())
        assert other.step_values.tolist() == pytest.approx((3 * one.step_values - 1).tolist())


def by_brute_force(group):
    """The reward of each token, by asking of every response whether it begins like this one up to the token's step's end."""
    rewards = [float(sum(one.token_ids.tolist()[:-1]) % 2 == 0) for one in group]
    found = []
    for place, response in enumerate(group):
        ids = response.token_ids.tolist()
        ends = [t + 1 for t in range(len(ids)) if ids[t] == BREAK and ids[t + 1 :] != [EOS]]

        def passing(length, ids=ids, place=place):
            """Who passes through this state: all that have a step's end there, too."""
            if length == len(ids):
                return [place]
            return [n for n, one in enumerate(group) if one.token_ids.tolist()[:length] == ids[:length]]

        root, parent, tokens, begun = np.mean(rewards), np.mean(rewards), [], 0
        states = [*ends, len(ids)]
        for state, following in zip(states, [*states[1:], None], strict=True):
            if following is not None and len(passing(state)) == len(passing(following)):
                continue
            value = np.mean([rewards[n] for n in passing(state)])
            tokens += [(value - root) + (value - parent)] * (state - begun)
            parent, begun = value, state
        found.append(tokens)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([BREAK, 4, 5]), min_size=1, max_size=6), min_size=1, max_size=6))
def test_every_tree_by_brute_force(texts):
    group = [respond(*text, 4) for text in texts]
    for score, tokens in zip(scored(group), by_brute_force(group), strict=True):
        spread = np.repeat(score.step_rewards, np.diff(np.append(-1, score.step_ends)))
        assert spread.tolist() == pytest.approx(tokens, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reward.supervision=outcome coefficient=grpo source=online_samples", "node_values says what each step gains"),
        ("source=online_samples", "branch off from each other.*set source=tree_search"),
        ("reward=step_values", "set reward.source=node_values, or source=online_samples"),
        ("reward.completions=3", "reward.completions=3 means nothing to reward.source=node_values"),
        ("reward.segmentation=lines", "choose one of: newline, step_n, task, token:ID"),
        ("coefficient=grpo", "about the policy's samples and their probability"),
        ("source.wrappers=[mixed] source.mixed_with=offline_samples", "branch off from each other"),
        ("importance=truncated", "weighs responses by their probability under the sampler"),
        ("rollout.responses_per_prompt=1", "responses_per_prompt"),
    ],
)
def test_what_means_nothing_is_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        load_config(["method=tree_rl", *words.split()])


def test_node_values_of_independent_samples_are_legal_too():
    config = load_config(["method=grpo_ps", "reward=node_values", "reward.segmentation=task"])
    assert config.reward.segmentation == "task"
