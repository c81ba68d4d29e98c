"""A grid of seconds: two methods on the coin task, two seeds by default."""

from tiny import WORDS

from unified_rl.grids.definition import Arm, Grid, Preset

GRID = Grid(
    name="coin",
    title="Two methods on a coin",
    arms=(Arm("RFT", ("method=rft",)), Arm("GRPO+OS", ("method=grpo",))),
    presets={
        "testing": Preset(seeds=(0,), train=WORDS, evaluate=("samples=4", "problems=4")),
        "default": Preset(seeds=(0, 1), train=(*WORDS, "trainer.steps=6"), evaluate=("samples=8", "problems=8")),
        "long": Preset(
            seeds=(0, 1, 2),
            train=(
                *WORDS,
                "trainer.steps=40",
                "logging.checkpoint_every=3",
                "evaluation.responses_per_chunk=32",
            ),
            evaluate=("samples=16", "problems=24"),
        ),
    },
    contrasts=(("GRPO+OS", "RFT"),),
    figures=(),
)
