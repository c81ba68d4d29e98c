"""A CSV and a reward of one's own. `python examples/five_lines.py [FOLDER]`"""

import sys
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur


def close(response, answer):
    """1 for the right number, less the further off it is, 0 for no number."""
    written = response.strip()
    return max(0.0, 1 - abs(int(written) - int(answer)) / 100) if written.isdecimal() else 0.0


def main(folder: Path) -> None:
    data = sums(folder / "qa.csv")
    run = ur.train(
        folder / "mine", method="grpo", data=data, reward=close, steps=8, artifacts=str(folder / "artifacts"), **SMALL
    )
    print(run.metrics[["step", "reward/mean", "response/length"]].tail(1).to_string(index=False))
    print(run.samples[["step", "reward", "verdict"]].head(1).to_string(index=False))
    print(run.evaluate(samples=4)[["slice", "k", "avg", "maj", "pass"]].to_string(index=False))
    print(run.explain().splitlines()[0])
    run.plot().savefig(folder / "run.png")
    print(sorted(path.name for path in folder.iterdir()))


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "five_lines")
    place.mkdir(exist_ok=True)
    main(place)
