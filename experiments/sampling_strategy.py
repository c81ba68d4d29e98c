"""How responses are found: temperature, nucleus sampling, and a tree search over steps. RFT and Online RFT.

Hypothesis (the paper's 5.2.3): "naive nucleus sampling" leaves exploration on the table; a search finds right answers that plain
sampling misses, and RL then goes further.

Arms of Online RFT: temperature 1, 0.7 and 1.3; tree search (2 responses from the prompt, 6 that branch off at step ends in two
rounds), from random steps or from those of the best responses so far. Arms of RFT, with the same 8 stored samples per prompt:
temperature 1, 0.7 and 1.3, and nucleus sampling with top_p 0.9. Nucleus samples are data for RFT only: online sources and
coefficients about the policy's samples need its whole support (`unified-rl` refuses them and says why), and tree search means
nothing to coefficients with importance weights or group baselines.
Settings: the tiny stack; 48 updates of 256 responses. Seeds: five, each with an SFT policy of its own. Budget: 45 runs of 48 steps
and their evaluation.
Primary: tree search from the best against plain sampling (Online RFT), by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order. Plain online arms and the roots of a
tree share the sampling noise.

What cannot be matched: sampled tokens. A tree pays for a shared beginning once, so it samples fewer tokens for as many responses
(metrics.jsonl counts them; `matching=equal_sampled_tokens:440000` gives it more steps for as many); its responses to a prompt are
not independent. Log-probs are those at the sampling temperature, so at
another temperature it is the tempered policy that is trained; evaluation is at 0.7 in every arm.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

_ONLINE, _STORED = "method=online_rft", "method=rft"
_TREE = (_ONLINE, "source=tree_search", "source.roots=2", "source.branch_rounds=2")

GRID = Grid(
    name="sampling_strategy",
    title="Sampling strategies",
    arms=(
        Arm("Online RFT", (_ONLINE,)),
        Arm("Online RFT, T = 0.7", (_ONLINE, "generator.temperature=0.7")),
        Arm("Online RFT, T = 1.3", (_ONLINE, "generator.temperature=1.3")),
        Arm("Tree search, random", (*_TREE, "source.branch_from=random")),
        Arm("Tree search, best", (*_TREE, "source.branch_from=best")),
        Arm("RFT", (_STORED,)),
        Arm("RFT, T = 0.7", (_STORED, "generator.temperature=0.7")),
        Arm("RFT, T = 1.3", (_STORED, "generator.temperature=1.3")),
        Arm("RFT, top-p 0.9", (_STORED, "generator.top_p=0.9")),
    ),
    presets={"testing": TESTING, "default": DEFAULT},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("Tree search, best", "Online RFT", "avg", MARGIN, MARGIN_REASON, "above"),),
    contrasts=(
        ("Online RFT, T = 0.7", "Online RFT"),
        ("Online RFT, T = 1.3", "Online RFT"),
        ("Tree search, random", "Online RFT"),
        ("Tree search, best", "Online RFT"),
        ("Tree search, best", "Tree search, random"),
        ("RFT, T = 0.7", "RFT"),
        ("RFT, T = 1.3", "RFT"),
        ("RFT, top-p 0.9", "RFT"),
    ),
    tuning=f"Online RFT (3e-5) and RFT (1e-4) at temperature 1 have the best rate of {SWEPT}; the others take theirs",
)
