"""Mutants of rows whose baseline is from beyond the group, and of what supplies it: greedy responses, stored rewards, beliefs."""

from __future__ import annotations

from dataclasses import replace

from tools.mutants.mutant import Mutant
from tools.mutants.rows import ADV, tests_of

BEYOND, GREEDY, REFERENCE = "methods/beyond.py", "sources/greedy.py", "sources/reference_rewards.py"
GREEDY_INSIDE = "replace(group, greedy=one.responses[0], responses=(*group.responses, one.responses[0]))"
TRACKER = "loop/tracker.py"


def beyond(cases: str, *changes: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Mutants of rows whose baseline is from beyond the group; their cases worked by hand have a file of their own."""
    suites = (("tests/maths/test_beyond.py", *tests_of(*cases.split())[0][1:]),)
    return tuple(Mutant(BEYOND, what, old, new, suites) for what, old, new in changes)


MUTANTS = (
    *beyond(
        "remax remax_over_std",
        ("ReMax: no baseline", "rewards_B - inputs.greedy_reward_B", "rewards_B + 0 * inputs.greedy_reward_B"),
        ("ReMax: added", "rewards_B - inputs.greedy_reward_B", "rewards_B + inputs.greedy_reward_B"),
        (
            "ReMax: the batch's greedy responses",
            "rewards_B - inputs.greedy_reward_B",
            "rewards_B - inputs.greedy_reward_B.mean()",
        ),
    ),
    *beyond(
        "astar_po",
        ("A*-PO: without V*", "inputs.rewards_B - values_B", "inputs.rewards_B - 0 * values_B"),
        ("A*-PO: pushed away", "scale=-self.beta * scale", "scale=self.beta * scale"),
        ("A*-PO: one beta", "2 * self.beta)", "2 * self.value_beta)"),
        ("A*-PO: per token", "log_ratio=apart_B[:, None].expand_as(logp_BT)", "log_ratio=logp_BT - given(inputs.ref_logp_BT)"),
        ("A*-PO: no pull", "scale=-self.beta * scale", "scale=0 * scale"),
    ),
    *tuple(
        replace(one, file=ADV)
        for one in beyond(
            "astar_po",
            ("V*: the sum of exp", "torch.logsumexp(rewards_BN / beta, 1) - count", "torch.logsumexp(rewards_BN / beta, 1)"),
            ("V*: the mean", "beta * (torch.logsumexp(rewards_BN / beta, 1) - count)", "rewards_BN.mean(1)"),
        )
    ),
    *beyond(
        "spo spo_population",
        ("SPO: no baseline", "rewards_B - inputs.tracked_value_B", "rewards_B - 0 * inputs.tracked_value_B"),
        ("SPO: not whitened", "tracked_value_B, self.over_batch, self", 'tracked_value_B, "none", self'),
        ("SPO: no dual clip", "dual_clip: float | None = 10.0", "dual_clip: float | None = 1.01"),
        ("SPO: one clip", "clip_high: float | None = 0.28", "clip_high: float | None = None"),
    ),
    *tuple(
        Mutant(TRACKER, what, old, new, (("tests/parts/test_tracker.py",),))
        for what, old, new in (
            ("tracker: never forgets", "self._kept(drifts.get(name, 0.0))", "1.0"),
            ("tracker: the other way round", "2 ** (-drift", "2 ** (drift"),
            ("tracker: no least", "self._half)), self._least)", "self._half)), 0.0)"),
            ("tracker: no most", ", self._least), self._most)", ", self._least), 1.0)"),
            ("tracker: rewards are not forgotten", "Belief(kept[name] * belief.rewards", "Belief(belief.rewards"),
            ("tracker: one response counted", "now.count + len(rewards)", "now.count + 1"),
            ("tracker: tools' tokens", "gap[one.mask].mean()", "gap.mean()"),
            ("tracker: signs of the drift", "np.abs(one.logp", "(one.logp"),
            ("tracker: samples as they are", "weight = 1 / ((1 - self._least) * ", "weight = 1 / ("),
            ("tracker: another's log-probs", "logp_BT[place + index]", "logp_BT[index]"),
            ("tracker: what was last is lost", "tuple(last[place : place + int(own)])", "()"),
        )
    ),
    *tuple(
        Mutant(REFERENCE, what, old, new, (("tests/parts/test_reference_rewards.py",),))
        for what, old, new in (
            ("reference rewards: judged at each draw", "if prompt.id not in self._rewards}", "}"),
            ("reference rewards: of another prompt", "stored[place] for place", "stored[place - 1] for place"),
            ("reference rewards: all but one", "for one in group.responses)", "for one in group.responses[1:])"),
        )
    ),
    *tuple(
        Mutant(GREEDY, what, old, new, (("tests/parts/test_greedy_source.py",),))
        for what, old, new in (
            ("greedy: sampled", "temperature=0.0, max", "temperature=1.0, max"),
            ("greedy: a member of the group", "replace(group, greedy=one.responses[0])", GREEDY_INSIDE),
            ("greedy: not counted", "draw.sampled_tokens + count_tokens(greedy)", "draw.sampled_tokens"),
            (
                "greedy: of the prompt before",
                "draw.groups, greedy, strict=True",
                "draw.groups, greedy[-1:] + greedy, strict=False",
            ),
        )
    ),
)
