"""Data of one's own as it lies: CSV, chat messages, other columns, demonstrations. `python examples/own_data.py [FOLDER]`"""

import json
import sys
from pathlib import Path

from tiny import SMALL, sums

import unified_rl as ur


def as_lines(path: Path, records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def main(folder: Path) -> None:
    rows = [line.split(",") for line in sums(folder / "qa.csv").read_text().splitlines()[1:]]
    chat = as_lines(
        folder / "chat.jsonl",
        ({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in rows),
    )
    other = as_lines(folder / "exam.jsonl", ({"context": "Add.", "text": q, "key": a, "level": len(a)} for q, a in rows))
    worked = as_lines(folder / "cot.jsonl", ({"question": q, "solution": f"It is {a}. #### {a}"} for q, a in rows))
    described = {
        "question": "{context}\n{text}",
        "gold": "key",
        "solution": "key",
        "info": {"level": "level"},
        "grading_workers": 1,
    }
    common = {"method": "grpo", "steps": 2, "artifacts": str(folder / "artifacts"), **SMALL}
    for name, settings in {
        "csv": {"data": folder / "qa.csv"},
        "chat": {"data": chat},
        "described": {"data": other, "task": {"name": "table", "options": described}},
        "worked": {"data": {"path": str(folder / "qa.csv"), "demonstrations": [{"path": worked}]}},
    }.items():
        run = ur.train(folder / name, **common | settings)
        print(name, len(run.metrics), run.samples["prompt"].iloc[0].startswith("Add." if name == "described" else "What is"))


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "own_data")
    place.mkdir(exist_ok=True)
    main(place)
