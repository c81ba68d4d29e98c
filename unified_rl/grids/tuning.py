"""Where the learning rates of a grid come from, read off the cells' own configurations and the sweep's table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unified_rl.base.errors import UnifiedRLError
from unified_rl.config.schema import Config
from unified_rl.launch.cells import Cell
from unified_rl.presets import loading
from unified_rl.stages.kinds.pretrain import config_of
from unified_rl.statistics.arms import arm

#: What `unified-rl grid lr_sweep` measured; without it nothing is said to be swept.
SWEEP = Path("experiments/results/lr_sweep.csv")


def sentence(cells: Sequence[Cell], of_arms: str = "", sweep: Path = SWEEP) -> str:
    """Per label the rate that its configuration has, and whether that rate was swept for it.

    of_arms: a table of a sweep of these very arms, which are looked up by their labels; "" = by their methods, in `sweep`.

    "best of n swept" where the arm is a row of the method table as it stands, but perhaps for the reward's source, and no swept
    rate of that row with that source did better; "swept, not the best"; or "not swept": no such sweep, or the arm is otherwise
    than what was swept, in another world or of another size.
    """
    found: dict[str, str] = {}
    sweep = Path(of_arms) if of_arms else sweep
    measured = _measured(sweep, by_arm=bool(of_arms))
    for cell in cells:
        if cell.label in found or "trainer.steps=0" in cell.train:
            continue
        try:
            config = config_of(cell.command, cell.train)
        except UnifiedRLError:
            continue  # the plan says what is wrong with it
        rate = config.trainer.learning_rate
        by_rate = measured.get((arm(cell.label, config.method), ""), {}) if of_arms else _of_method(config, measured)
        found[cell.label] = f"{cell.label} {rate:g} ({_standing(rate, by_rate)})"
    source = f"; sweep: {sweep}" if measured else ""
    return "; ".join(found.values()) + source


def _standing(rate: float, by_rate: dict[float, float]) -> str:
    if rate not in by_rate:
        return "not swept"
    return (
        f"best of {len(by_rate)} swept" if by_rate[rate] >= max(by_rate.values()) else f"swept, not the best of {len(by_rate)}"
    )


def _of_method(config: Config, measured: dict[tuple[str, str], dict[float, float]]) -> dict[float, float]:
    """Rate -> accuracy of the configuration's row with its reward's source; empty where it is otherwise than what was swept."""
    source = config.reward.source
    words = [f"method={config.method}", f"stack={config.stack}"]
    row = loading.load_config(words)
    own = row.reward.source
    if source != own and (config.method, source) in measured:
        row = loading.load_config([*words, f"reward={source}"])
    as_row = all(getattr(config, name) == getattr(row, name) for name in loading.AXES)
    as_row &= replace(config.reward_model, seed=row.reward_model.seed) == row.reward_model
    as_row &= config.task == row.task and replace(config.model, seed=row.model.seed) == row.model
    if not as_row:
        return {}
    return measured.get((config.method, source)) or (measured.get((config.method, ""), {}) if source == own else {})


def _measured(sweep: Path, *, by_arm: bool) -> dict[tuple[str, str], dict[float, float]]:
    """(method, reward's source) or (arm, "") -> rate -> mean validation accuracy; empty where there is no such table.

    The source is "" in tables from before it was noted, when every method had its row's.
    """
    found: dict[tuple[str, str], dict[float, float]] = {}
    if sweep.is_file():
        with sweep.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(line for line in file if not line.startswith("#")):
                key = (row["arm"], "") if by_arm else (row["method"], row.get("reward") or "")
                found.setdefault(key, {})[float(row["learning_rate"])] = float(row["mean"])
    return found
