"""Words for a pre-training that takes seconds: twelve steps on the mixture of a very small world."""

WORLD = {"mathematics": 4000, "code": 3000, "general": 3000, "arxiv": 2000, "held_out": 12}
SMALL = (
    "mix=tiny",
    *(f"pretraining.world.{name}={size}" for name, size in WORLD.items()),
    "model.hidden_size=32",
    "model.num_heads=2",
    "model.num_layers=1",
    "model.intermediate_size=48",
    "pretraining.context_tokens=128",
    "pretraining.rows_per_step=4",
    "pretraining.tokens=6000",
    "pretraining.held_out_every=6",
    "pretraining.checkpoint_every=4",
    "pretraining.keep_every=5",
    "pretraining.warmup_steps=2",
    "threads=1",
)
