"""Noise and its correction where a correction acts: a judge that lets one wrong form through, and a judge of steps.

Hypothesis: a judge that accepts one wrong form more often than others pays for that form, and the policy moves to it, with a
baseline or without. Corrected backward by the judge's own rates for each response it does not; by the judge's mean rates it does as
if uncorrected, since for REINFORCE, too, that is one scale and one shift for all responses; forward neither, for it needs the rate
of right answers rejected alone, which is 0. A judge of steps pays for every wrong step at its rate of error, so for more steps;
backward takes that back also where the rate is the same for all.

The form: a final answer that ends in 7, as a tenth of the wrong ones of the SFT policies do. The judge accepts a wrong answer of
the form at 30, 60 or 90 %, another wrong one at 10 %, and every right one.
Arms of REINFORCE (no baseline, no std), outcome rewards: the rule; the rule with 0 and -1 in place of 1 and 0, which is what
forward shifts to; at each level the judge uncorrected, corrected backward by its own rates for each response, and backward by its
mean rates, counted on 4,096 audited responses of the start; at 60 % also forward. Arms of GRPO+OS: the rule; the judge at 60 %,
uncorrected and corrected backward by its own rates, which differ within a group, so that baseline and std do not cancel it.
Arms of PPO, step rewards: the step checker; a judge of steps that errs on 10, 20 and 30 % of the wrong steps and on half as many of
the right ones, uncorrected and corrected backward.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 110 runs of 48
steps and their evaluation.
Primary, at 60 %, REINFORCE: corrected by its own rates against by mean rates, by the mean over samples, margin 5 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise; the
judges err on the same responses.

What is measured besides: wrong_forms.csv, the share of wrong answers with the form, by the final evaluation, and when it doubled in
training; response length in dynamics.csv. What cannot be matched: a correction enlarges rewards (a rejected answer of the form is
worth -9 at 90 %), so gradients; Adam sees a constant factor hardly, and clipping at norm 1 does.
"""

from math import log

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, LEARNED_MARGIN, LEARNED_MARGIN_REASON, TESTING_LEARNED, with_small_arms

FORM = "ends_in:7"
#: Of wrong answers with the form the share accepted; of others.
LEVELS, OTHERS = (0.3, 0.6, 0.9), 0.1
STEP_LEVELS = (0.1, 0.2, 0.3)
REINFORCE, GRPO = ("method=reinforce",), ("method=grpo",)
STEPS = ("method=ppo", "reward=exact", "reward.supervision=process")
BACKWARD, FORWARD = ("reward.correction=backward",), ("reward.correction=forward",)
MEAN_RATES = (*BACKWARD, "reward.correction_rates=estimated", "reward.audited=4096")
#: Which judgements are turned over is drawn anew for every seed.
DRAWN = "reward.noise_seed={seed}"


def _judge(level: float) -> tuple[str, ...]:
    slope = log(level / (1 - level)) - log(OTHERS / (1 - OTHERS))
    return (f"reward.false_positive={OTHERS:g}", f"reward.noise_by={FORM}", f"reward.noise_slope={slope:.6g}", DRAWN)


def _outcome(level: float) -> tuple[Arm, ...]:
    base = (*REINFORCE, *_judge(level))
    return (
        Arm(f"7 passes at {level:.0%}", base),
        Arm(f"7 passes at {level:.0%}, own rates", (*base, *BACKWARD)),
        Arm(f"7 passes at {level:.0%}, mean rates", (*base, *MEAN_RATES)),
    )


def _process(level: float) -> tuple[Arm, ...]:
    base = (*STEPS, f"reward.false_positive={level:g}", f"reward.false_negative={level / 2:g}", DRAWN)
    return (Arm(f"Steps, {level:.0%} wrong", base), Arm(f"Steps, {level:.0%} wrong, backward", (*base, *BACKWARD)))


GRID = Grid(
    name="noise_correction",
    title="Noise on one form and on steps, and its correction",
    common=(f"logging.form={FORM}",),
    arms=(
        Arm("Rule", REINFORCE),
        Arm("Rule, 0 and -1", (*REINFORCE, "reward.correct=0", "reward.incorrect=-1")),
        *(arm for level in LEVELS for arm in _outcome(level)),
        Arm("7 passes at 60%, forward", (*REINFORCE, *_judge(0.6), *FORWARD)),
        Arm("GRPO", GRPO),
        Arm("GRPO, 7 passes at 60%", (*GRPO, *_judge(0.6))),
        Arm("GRPO, 7 passes at 60%, own rates", (*GRPO, *_judge(0.6), *BACKWARD)),
        Arm("Step checker", STEPS),
        *(arm for level in STEP_LEVELS for arm in _process(level)),
    ),
    presets={
        "testing": with_small_arms(
            TESTING_LEARNED, {f"7 passes at {level:.0%}, mean rates": ("reward.audited=32",) for level in LEVELS}
        ),
        "default": DEFAULT,
    },
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary(
            "7 passes at 60%, own rates", "7 passes at 60%, mean rates", "avg", LEARNED_MARGIN, LEARNED_MARGIN_REASON, "above"
        ),
    ),
    contrasts=(
        ("Rule, 0 and -1", "Rule"),
        *((f"7 passes at {level:.0%}", "Rule") for level in LEVELS),
        *((f"7 passes at {level:.0%}, {how} rates", f"7 passes at {level:.0%}") for level in LEVELS for how in ("own", "mean")),
        *((f"7 passes at {level:.0%}, own rates", f"7 passes at {level:.0%}, mean rates") for level in LEVELS),
        ("7 passes at 60%, forward", "7 passes at 60%"),
        ("7 passes at 60%, forward", "Rule, 0 and -1"),
        ("GRPO, 7 passes at 60%", "GRPO"),
        ("GRPO, 7 passes at 60%, own rates", "GRPO, 7 passes at 60%"),
        *((f"Steps, {level:.0%} wrong", "Step checker") for level in STEP_LEVELS),
        *((f"Steps, {level:.0%} wrong, backward", f"Steps, {level:.0%} wrong") for level in STEP_LEVELS),
    ),
    figures=("wrong_forms", "learning_curves", "contrasts", "results_table", "dynamics"),
    tuning="no arm was swept: all have the stack's rate of their row",
)
