"""What GRPO divides by: the group's standard deviation, and the length of the response.

Hypothesis (Dr. GRPO, arXiv 2503.20783): dividing by std favours prompts that are very easy or very hard, dividing by a response's
own length favours long wrong answers; without both, accuracy is no lower. (That wrong responses stay shorter is its
other claim; see below.)

Arms: with std, a mean over the response (the paper), over the prompt's tokens, over the batch's tokens, or a constant length;
without std, a mean over the response, or a constant length (Dr. GRPO). All without a KL term, which Dr. GRPO does not have.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 30 runs of 48 steps
and their evaluation.
Primary: neither std nor length (Dr. GRPO) against both (GRPO), by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order with the same sampling noise.

What cannot be matched: the size of the gradient. A constant factor is one that Adam hardly sees; what differs between prompts or
lengths is the effect in question. Gradients are clipped at norm 1, which acts on the larger ones more often.
What this world cannot show: that wrong responses grow. A problem fixes how many steps its solution has, so that within a problem
lengths have a standard deviation of 0.8 tokens where over all responses it is 10.3, and wrong ones are 0.1 token longer than right
ones. Dividing by length has hardly anything to act on but differences between prompts; what is tested is the std.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

_WITH_STD = ("method=grpo", "coefficient.kl_coef=0")
_WITHOUT_STD = ("method=grpo", "coefficient=dr_grpo")

GRID = Grid(
    name="normalisation",
    title="Normalisation by standard deviation and by length",
    arms=(
        Arm("Std, response mean", _WITH_STD, note="GRPO without its KL term"),
        Arm("Std, prompt token mean", (*_WITH_STD, "aggregation=prompt_token_mean")),
        Arm("Std, batch token mean", (*_WITH_STD, "aggregation=batch_token_mean")),
        Arm("Std, constant length", (*_WITH_STD, "aggregation=constant_length")),
        Arm("No std, response mean", _WITHOUT_STD),
        Arm("No std, constant length", (*_WITHOUT_STD, "aggregation=constant_length"), note="Dr. GRPO"),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("No std, constant length", "Std, response mean", "avg", MARGIN, MARGIN_REASON),),
    contrasts=(
        ("No std, response mean", "Std, response mean"),
        ("No std, constant length", "Std, constant length"),
        ("Std, constant length", "Std, response mean"),
        ("Std, prompt token mean", "Std, response mean"),
        ("Std, batch token mean", "Std, response mean"),
        ("No std, constant length", "Std, response mean"),
    ),
    figures=("learning_curves", "contrasts", "results_table", "dynamics"),
    tuning=f"all arms have the rate of GRPO+OS (1e-4), the best of {SWEPT}, which had a KL term; they were not swept themselves",
)
