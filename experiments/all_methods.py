"""Every method of the paper from the same SFT policies: SFT, RFT, DPO, Online RFT, PPO, GRPO+OS, GRPO+PS.

Hypothesis (the paper's 5.2): online sources beat offline ones, graded and signed coefficients beat the plain indicator, process
supervision beats outcome supervision, and RL raises Maj@K rather than Pass@K. Whatever comes out is what the tables say.

Arms: the rows of the method table, each as it stands, and the SFT policy itself (no steps), which all of them start from. GRPO+PS
has the task's exact step checker, the others the final answer's rule.
Settings: the tiny stack; 48 updates of 256 responses (32 prompts x 8), one update per rollout.
Seeds: five, each with an SFT policy of its own. Budget: 35 runs of 48 steps and their evaluation.
Primary: Online RFT over RFT, GRPO+OS over Online RFT, GRPO+PS over GRPO+OS, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses, from the seed's own SFT policy, on the same prompts in the same order; the
online methods sample with common random numbers; RFT and DPO share one store of samples per seed.

What cannot be matched: SFT has one demonstration per prompt, and so 256 prompts per update where the others have 32. DPO's update
holds at most 128 pairs, and fewer where a prompt's samples are all right or all wrong. PPO trains a value model besides. The
offline methods sample nothing during training, so "equal sampled tokens" means nothing for them.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, RESPONSES_PER_STEP, SWEPT, TESTING, with_small_arms

GRID = Grid(
    name="all_methods",
    title="Methods of the unified paradigm, from the same SFT policies",
    arms=(
        Arm(
            "SFT (continued)",
            ("method=sft", f"rollout.prompts_per_step={RESPONSES_PER_STEP}"),
            note="one demonstration per prompt, hence more prompts per update",
        ),
        Arm("RFT", ("method=rft",)),
        Arm("DPO", ("method=dpo",)),
        Arm("Online RFT", ("method=online_rft",)),
        Arm("PPO", ("method=ppo",)),
        Arm("GRPO+OS", ("method=grpo",)),
        Arm("GRPO+PS", ("method=grpo_ps",)),
    ),
    presets={
        "testing": with_small_arms(TESTING, {"SFT (continued)": ("rollout.prompts_per_step=32",)}),
        "default": DEFAULT,
    },
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(
        Primary("Online RFT", "RFT", "avg", MARGIN, MARGIN_REASON, "above"),
        Primary("GRPO+OS", "Online RFT", "avg", MARGIN, MARGIN_REASON, "above"),
        Primary("GRPO+PS", "GRPO+OS", "avg", MARGIN, MARGIN_REASON, "above"),
    ),
    contrasts=(
        ("Online RFT", "RFT"),
        ("GRPO+OS", "Online RFT"),
        ("GRPO+PS", "GRPO+OS"),
        ("GRPO+OS", "PPO"),
        ("DPO", "RFT"),
    ),
    figures=(
        *("learning_curves", "contrasts", "results_table", "maj_pass", "sft_vs_rl"),
        *("paper_figure5", "paper_figure7"),
    ),
    tuning=f"every method's own best rate in {SWEPT}",
)
