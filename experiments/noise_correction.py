"""Noise and its correction where a correction acts: a judge that errs more on longer responses. REINFORCE and PPO.

Hypothesis: rates that are the same for all responses only shrink the expected gradient, corrected or not; a judge whose errors
grow with length pays for length, which a correction by the judge's own rates for each response takes back and one by its mean
rates does not.

Arms of REINFORCE (no baseline, no std), outcome rewards: the rule; the rule with wrong answers accepted at a tenth, a fifth and
three tenths at 36 tokens (right ones rejected half as often), log-odds rising by 0.15 a token; each uncorrected, corrected
backward and forward by its own rates, and backward by the rates at 36 tokens. Arms of PPO, step rewards: the step checker; the
same three judges of steps, uncorrected and corrected backward by their own rates. GRPO+OS at a fifth, with rates that do not
change, uncorrected and corrected: the theorem's case, in which nothing may change.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 110 runs of 48
steps and their evaluation.
Primary, at a fifth: corrected by its own rates against by mean rates, by the mean over samples, margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise; the
judges err on the same responses.

What cannot be matched: a correction enlarges rewards, so gradients; Adam sees a constant factor hardly, and clipping at norm 1
does.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, LEARNED_MARGIN, LEARNED_MARGIN_REASON, TESTING

LEVELS = (0.1, 0.2, 0.3)
REINFORCE = ("method=reinforce",)
STEPS = ("method=ppo", "reward=exact", "reward.supervision=process")
BACKWARD, FORWARD = ("reward.correction=backward",), ("reward.correction=forward",)


def _rates(level: float) -> tuple[str, ...]:
    """Which judgements are turned over is drawn anew for every seed."""
    return (f"reward.false_positive={level:g}", f"reward.false_negative={level / 2:g}", "reward.noise_seed={seed}")


def _judge(level: float) -> tuple[str, ...]:
    return (*_rates(level), "reward.noise_by=length", "reward.noise_slope=0.15", "reward.noise_centre=36")


def _mean_rates(level: float) -> tuple[str, ...]:
    assumed = (f"reward.assumed_false_positive={level:g}", f"reward.assumed_false_negative={level / 2:g}")
    return (*BACKWARD, "reward.correction_rates=given", *assumed)


def _outcome(level: float) -> tuple[Arm, ...]:
    base = (*REINFORCE, *_judge(level))
    return (
        Arm(f"{level:.0%} wrong", base),
        Arm(f"{level:.0%} wrong, backward", (*base, *BACKWARD)),
        Arm(f"{level:.0%} wrong, forward", (*base, *FORWARD)),
        Arm(f"{level:.0%} wrong, mean rates", (*base, *_mean_rates(level))),
    )


def _process(level: float) -> tuple[Arm, ...]:
    base = (*STEPS, *_judge(level))
    return (Arm(f"Steps, {level:.0%} wrong", base), Arm(f"Steps, {level:.0%} wrong, backward", (*base, *BACKWARD)))


GRID = Grid(
    name="noise_correction",
    title="Noise that grows with length, and its correction",
    arms=(
        Arm("Rule", REINFORCE),
        *(arm for level in LEVELS for arm in _outcome(level)),
        Arm("Step checker", STEPS),
        *(arm for level in LEVELS for arm in _process(level)),
        Arm("GRPO, 20% wrong", ("method=grpo", *_rates(0.2))),
        Arm("GRPO, 20% wrong, backward", ("method=grpo", *_rates(0.2), *BACKWARD)),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("20% wrong, backward", "20% wrong, mean rates", "avg", LEARNED_MARGIN, LEARNED_MARGIN_REASON),),
    contrasts=(
        *((f"{level:.0%} wrong", "Rule") for level in LEVELS),
        *(
            (f"{level:.0%} wrong, {how}", f"{level:.0%} wrong")
            for level in LEVELS
            for how in ("backward", "forward", "mean rates")
        ),
        *((f"{level:.0%} wrong, backward", f"{level:.0%} wrong, mean rates") for level in LEVELS),
        *((f"Steps, {level:.0%} wrong", "Step checker") for level in LEVELS),
        *((f"Steps, {level:.0%} wrong, backward", f"Steps, {level:.0%} wrong") for level in LEVELS),
        ("GRPO, 20% wrong, backward", "GRPO, 20% wrong"),
    ),
    figures=("learning_curves", "contrasts", "results_table", "dynamics"),
    tuning="no arm was swept: all have the stack's rate of their row",
)
