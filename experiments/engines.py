"""Does the engine matter? The same methods on the torch engines, and on DeepSpeed with samples from vLLM.

Hypothesis: no. Both make the same updates to rounding, and both sample from the policy as it is, so learning curves differ by no
more than those of two seeds. A difference would be a fault of an engine, or a mismatch between sampler and trainer that matters.

Arms: GRPO+OS and Online RFT, each with engine=torch generator=torch and with engine=deepspeed generator=vllm.
Settings: the tiny stack; 48 updates of 256 responses, all from the SFT policy that the torch trainer made.
Seeds: five, each with an SFT policy of its own. Budget: 20 runs of 48 steps and their evaluation, half of them on engines that are
extras: run it in the environment of `make install-engines`.
Primary: GRPO+OS on the two pairs of engines, by the mean over samples, margin 2 points.
Matching rule: equal updates of equally many responses to the same prompts in the same order.

What cannot be matched: sampling noise. vLLM draws its own, so two arms of one method share prompts, but no response: their paired
difference has the spread of two sampling seeds. Evaluations are sampled by the arm's own generator.
"""

from dataclasses import replace

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, SWEPT, TESTING

LARGE = ("engine=deepspeed", "sft.trainer=torch", "generator=vllm", "vllm.cpu_cache_gib=0.25")

GRID = Grid(
    name="engines",
    title="The same methods on two pairs of engines",
    arms=(
        Arm("GRPO+OS", ("method=grpo",)),
        Arm("GRPO+OS, DeepSpeed and vLLM", ("method=grpo", *LARGE)),
        Arm("Online RFT", ("method=online_rft",)),
        Arm("Online RFT, DeepSpeed and vLLM", ("method=online_rft", *LARGE)),
    ),
    presets={"testing": TESTING, "default": replace(DEFAULT, train=(*DEFAULT.train, "logging.curve_every=4"))},
    matching=equal_updates(),
    starts=PER_SEED,
    primary=(Primary("GRPO+OS, DeepSpeed and vLLM", "GRPO+OS", "avg", MARGIN, MARGIN_REASON),),
    contrasts=(("GRPO+OS, DeepSpeed and vLLM", "GRPO+OS"), ("Online RFT, DeepSpeed and vLLM", "Online RFT")),
    tuning=f"Online RFT (3e-5) and GRPO+OS (1e-4) have the best rate of {SWEPT}, on the torch engines",
)
