"""Two factors, four arms, one line. `python examples/factorial_grid.py [FOLDER]`"""

import sys
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur


def main(folder: Path) -> None:
    axes = {"coefficient": ["grpo", "rloo"], "coefficient.kl_coef": [0, 0.04]}
    data, store = str(sums(folder / "qa.csv")), str(folder / "artifacts")
    settings = {**SMALL, "data": data, "artifacts": store, "steps": 2, "evaluation": {"max_new_tokens": 12, "samples": 4}}
    found = ur.grid(out=folder / "grid", **axes, **settings)
    print(found.results[["label", "num_seeds", "k", "avg", "pass"]].to_string(index=False))
    print(found.complete, len(found.runs), found.page.name, found.page.is_file())


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "factorial_grid")
    place.mkdir(exist_ok=True)
    main(place)
