"""Does what pre-training gave survive RL? Two base models, code or general text before mathematics, through SFT and GRPO.

Hypothesis: a difference between base models is there after SFT and smaller after GRPO, which both take to the same problems.

Arms: the first stage is 4M tokens of code (half of its programs show values, half tell the problem) or of general text, as in
code_or_general; the second 1.5M tokens of mathematics, for both. Then SFT on demonstrations, and GRPO from there; both are
evaluated. SFT is that of code.
Settings: the made-up world of pre-training and its two-layer Llama of width 64, 48 updates of 256 responses. The task has the
world's numbers. Rates are the tiny stack's times 96 / 64, as in size_ladder; SFT's is an eighth of pre-training's, the paper's
own proportion. Seeds: five; each draws the base models' weights and rows, SFT and RL anew. Budget: 20 runs, an hour of one core.
Primary: GRPO after code over GRPO after general text, by the mean over samples, margin 2 points.
Matching rule: equal tokens of mathematics and in all, equal demonstrations, equal updates of equally many responses.

True by construction: general text has no digit. What cannot be matched: SFT's demonstrations are mathematics too, so that the
longer SFT is, the less of the base model is left to ask about; it was made short, before any arm was run.
"""

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Preset, Primary, equal_updates
from unified_rl.grids.presets import EVALUATION, MARGIN, MARGIN_REASON, TESTING
from unified_rl.grids.pretraining import COMMON, MATHEMATICS, OTHER, sizes

AFTER_CODE, GENERAL, AFTER_GENERAL = "GRPO+OS after code", "SFT after general text", "GRPO+OS after general text"
TASK = (
    "task.options.max_start=40",
    "task.options.max_operand=20",
    "task.options.max_long_operand=19",
    "task.options.bulk_probability=0.1",
)
CHAIN = (
    "stages.first.kind=pretrain",
    "stages.first.inputs.policy=base",
    "stages.mathematics.kind=pretrain",
    "stages.mathematics.inputs.policy=first",
    "stages.mathematics.settings.pretraining={sources: [{name: mathematics, path: 'world:mathematics'}]}",
    "stages.demonstrated.kind=sft",
    "stages.demonstrated.inputs.policy=mathematics",
    "init=demonstrated",
    "sft.demonstrations=1000",
    "sft.steps=60",
    "sft.learning_rate=5e-4",
)


def _first(source: str, tokens: int = OTHER) -> str:
    section = f"sources: [{{name: {source}, path: 'world:{source}'}}], tokens: {tokens}, held_out_every: 0"
    return f"stages.first.settings.pretraining={{{section}}}"


FROM_GENERAL = _first("general")
GRPO = ("method=grpo", "trainer.learning_rate=1.5e-4")
SMALL = ("pretraining.held_out_tokens=400", "pretraining.world.held_out=10")

GRID = Grid(
    name="after_pretraining",
    title="Two base models through SFT and GRPO",
    arms=(
        Arm(AFTER_CODE, GRPO),
        Arm(GENERAL, ("method=sft", "trainer.steps=0", FROM_GENERAL)),
        Arm(AFTER_GENERAL, (*GRPO, FROM_GENERAL)),
    ),
    presets={
        "testing": Preset(
            seeds=(0,),
            train=(*TESTING.train, *sizes(2048, 4096, *SMALL), _first("code", 2048)),
            evaluate=TESTING.evaluate,
            arms={label: (_first("general", 2048),) for label in (GENERAL, AFTER_GENERAL)},
        ),
        "default": Preset(
            seeds=(0, 1, 2, 3, 4),
            train=("logging.curve_problems=200", *sizes(MATHEMATICS, OTHER, "pretraining.held_out_every=0")),
            evaluate=EVALUATION,
        ),
    },
    matching=equal_updates(),
    contrasts=((AFTER_CODE, AFTER_GENERAL), (AFTER_GENERAL, GENERAL)),
    primary=(Primary(AFTER_CODE, AFTER_GENERAL, "avg", MARGIN, MARGIN_REASON),),
    common=(*TASK, *COMMON, *CHAIN, _first("code")),
    starts=PER_SEED,
    tuning="rates are the tiny stack's times 96 / 64; none was swept for these models",
)
