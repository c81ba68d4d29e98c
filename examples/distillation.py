"""A small policy learns from a larger one on its own samples, token by token. `python examples/distillation.py [FOLDER]`"""

import sys
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur

LARGER = {"hidden_size": 96, "num_layers": 2, "num_heads": 3, "intermediate_size": 192, "vocabulary": 300}


def main(folder: Path) -> None:
    common = {"data": sums(folder / "qa.csv"), "artifacts": str(folder / "artifacts"), **SMALL}
    teacher = ur.train(folder / "teacher", **common | {"method": "sft", "steps": 40, "model": LARGER})
    weights = max((teacher.path / "checkpoints").glob("step_*/policy"))
    # No reward: each token of the student's own samples is pushed by log pi_teacher - log pi.
    student = ur.train(
        folder / "student", **common | {"method": "opd", "steps": 8, "teacher": str(weights), "label": "Student"}
    )
    # The same teacher beside a reward: the KL over the whole vocabulary as a loss by name.
    both = {
        "method": "grpo",
        "steps": 4,
        "teacher": str(weights),
        "losses": {"teacher_reverse_kl": 0.1},
        "label": "GRPO + teacher",
    }
    beside = ur.train(folder / "beside", **common | both)
    print(student.metrics[["step", "coef/distillation/mean", "logp/mean"]].tail(1).to_string(index=False))
    print(beside.metrics[["step", "reward/mean", "loss/teacher_reverse_kl"]].tail(1).to_string(index=False))
    print(student.explain().splitlines()[0])


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "distillation")
    place.mkdir(exist_ok=True)
    main(place)
