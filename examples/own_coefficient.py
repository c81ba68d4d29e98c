"""A gradient coefficient of one's own beside GRPO's. `python examples/own_coefficient.py [FOLDER]`"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur
from unified_rl.coefficients import Coefficient, Inputs, Terms, term
from unified_rl.ops import advantages


@dataclass
class PositiveOnly(Coefficient):
    """Online RFT with the group's mean as a baseline, wrong answers left alone."""

    name: str = "positive_only"
    scale: float = 1.0
    needs = frozenset({"groups"})
    formula = "scale max(r - mean, 0)"

    def prepare(self, inputs: Inputs) -> Inputs:
        centred = advantages.group_centred(inputs.rewards_B, inputs.group_B).clamp(min=0)
        return replace(inputs, advantages_BT=advantages.to_tokens(centred, inputs.response_mask_BT))

    def terms(self, logp_BT, inputs: Inputs) -> Terms:
        return {"advantage": term(scale=self.scale * inputs.advantages_BT.new_ones(()), advantage=inputs.advantages_BT)}


def main(folder: Path) -> None:
    common = {"data": sums(folder / "qa.csv"), "steps": 4, "artifacts": str(folder / "artifacts"), **SMALL}
    mine = ur.train(folder / "mine", method="grpo", coefficient=PositiveOnly, label="Positive", **common)
    grpo = ur.train(folder / "grpo", method="grpo", label="GRPO", **common)
    for run in (mine, grpo):
        run.evaluate(samples=4)
    compared = ur.compare([mine, grpo])
    print(compared.results[["label", "k", "avg", "pass"]].to_string(index=False))
    print(compared.settings.loc[["coefficient.name", "label"]].to_string())


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "own_coefficient")
    place.mkdir(exist_ok=True)
    main(place)
