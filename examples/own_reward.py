"""Rewards of one's own: named parts in a dict, a batch at once, several with weights. `python examples/own_reward.py [FOLDER]`"""

import sys
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur

HERE = Path(__file__).resolve()


def parts(response, answer):
    """Named numbers: their sum is the reward, and each is a metric."""
    written = response.strip()
    return {"number": float(written.isdecimal()), "right": 2.0 * (written == answer), "short": -len(written) / 100}


def batch(prompts, responses, answers):
    """All responses of a step at once, as a judge on a GPU or behind a server wants them."""
    return [response.strip() == answer for response, answer in zip(responses, answers, strict=True)]


def main(folder: Path) -> None:
    common = {"method": "grpo", "data": sums(folder / "qa.csv"), "steps": 4, "artifacts": str(folder / "artifacts"), **SMALL}
    named = ur.train(folder / "named", reward=parts, **common)
    print(sorted(name for name in named.metrics if name.startswith("reward/") and name.endswith("/mean")))
    print(named.samples[["step", "reward", "rewards"]].head(1).to_string(index=False))
    ur.train(folder / "batched", reward=batch, **common)
    weighted = {"right": {"source": "rule"}, "mine": {"source": f"{HERE}:parts", "weight": 0.5}}
    both = ur.train(folder / "both", reward={"source": "several", "parts": weighted}, **common)
    print(both.metrics[["step", "reward/right/mean", "reward/mine/mean"]].tail(1).to_string(index=False))


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "own_reward")
    place.mkdir(exist_ok=True)
    main(place)
