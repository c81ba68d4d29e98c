"""What the ablations of dialects and their sweep of learning rates share: GRPO as each project has it, in three regimes."""

from __future__ import annotations

from unified_rl.grids.definition import PER_SEED, Arm, Grid, Primary, equal_updates
from unified_rl.grids.presets import DEFAULT, MARGIN, MARGIN_REASON, TESTING
from unified_rl.presets.dialects import DIALECTS, NAMES, PAPER

LABELS = {PAPER: "Paper", **{name: dialect.project for name, dialect in DIALECTS.items()}}
ON_POLICY, UPDATES, LAG = "on policy", "4 x 2 updates", "lag 4"
#: Regimes set the number of updates per rollout, in place of the dialect's own.
REGIMES = {
    ON_POLICY: ("rollout.minibatches=1",),
    UPDATES: ("rollout.minibatches=4", "rollout.epochs=2"),
    LAG: ("rollout.minibatches=1", "rollout.staleness=4"),
}
#: Dialects that correct for a sampler that lags by themselves; the others take every ratio to the sampler.
_OWN_CORRECTION = ("prime_rl", "open_instruct")

#: Of the arms at one rate: GRPO+OS's.
RATE = 1e-4
#: What experiments/dialect_rates.py tried: with eight updates of a rollout also the lowest rate of lr_sweep.
RATES = {ON_POLICY: (3e-5, 1e-4, 3e-4), UPDATES: (1e-5, 3e-5, 1e-4, 3e-4), LAG: (3e-5, 1e-4, 3e-4)}
#: What it measured.
SWEEP = "experiments/results/dialect_rates.csv"
#: Regime -> dialect -> the best of these rates, the lower one of equals: read off the sweep, which a test asks again.
OWN: dict[str, dict[str, float]] = {
    ON_POLICY: dict.fromkeys(NAMES, RATE) | {"paper": 3e-5, "openrlhf": 3e-5, "prime_rl": 3e-5},
    UPDATES: dict.fromkeys(NAMES, 1e-5) | {"nemo_rl": 3e-5, "open_instruct": 3e-5, "slime": 3e-5},
    LAG: dict.fromkeys(NAMES, 3e-5) | {"paper": 3e-4, "nemo_rl": 1e-4, "open_instruct": 1e-4, "slime": 1e-4},
}


def label(dialect: str, regime: str, rate: float = RATE) -> str:
    """What tables call it: by its rate, too, where that is another one than most arms have."""
    return f"{LABELS[dialect]}, {regime}" + ("" if rate == RATE else f" lr {rate:g}")


def words(dialect: str, regime: str, rate: float) -> tuple[str, ...]:
    """Of `unified-rl train`."""
    bypass = ("importance=bypass",) if regime == LAG and dialect not in _OWN_CORRECTION else ()
    return ("method=grpo", f"dialect={dialect}", f"trainer.learning_rate={rate:g}", *REGIMES[regime], *bypass)


def ablation(name: str, regime: str, where: str) -> Grid:
    """A regime's ablation: all dialects at one rate, and at its own best each that has another. where: the regime, in a title.

    Contrasts: every dialect against the paper's GRPO, at one rate and each at its own; TRL's are the primary ones.
    """
    rates = [(one, RATE) for one in NAMES] + [(one, own) for one, own in OWN[regime].items() if own != RATE]
    own = {one: label(one, regime, rate) for one, rate in OWN[regime].items()}
    pairs = {one: ((label(one, regime), label(PAPER, regime)), (own[one], own[PAPER])) for one in DIALECTS}
    return Grid(
        name=name,
        title=f"GRPO as eight projects have it by default, {where}",
        arms=tuple(Arm(label(one, regime, rate), words(one, regime, rate)) for one, rate in rates),
        presets={"testing": TESTING, "default": DEFAULT},
        matching=equal_updates(),
        starts=PER_SEED,
        primary=tuple(Primary(*pair, "avg", MARGIN, MARGIN_REASON) for pair in pairs["trl"]),
        contrasts=tuple(dict.fromkeys(pair[which] for which in (0, 1) for pair in pairs.values())),
        figures=("contrasts", "results_table"),
        sweep=SWEEP,
    )
