"""The folder of one who reads the documentation: a model, data and finished runs, all small, under the names that pages use.

python tests/docs/reader.py FOLDER
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from base_models import tiny_model
from docs.pages import ROOT
from docs.run_page import run_command

REWARD = """
def reward(prompt, response, answer):
    return 1.0 if answer in response else -len(response) / 1000
"""
Records = Iterable[Mapping[str, object]]

#: Runs that pages speak of as finished, in the order in which they are made.
MADE = (
    "corpus recall data.path=crawl/ data.seed=seed.txt run_dir=runs/corpus",
    "corpus decontaminate run_dir=runs/corpus decontamination.benchmarks.gsm8k=gsm8k/ decontamination.benchmarks.math=math/",
    "corpus tokenise run_dir=runs/corpus tokenizer=model/",
    "train method=grpo run_dir=runs/mine",
    "evaluate run=runs/mine",
    "train method=grpo run_dir=runs/a label=A",
    "evaluate run=runs/a",
    "train method=grpo_ps run_dir=runs/default/runs/ps label=GRPO+PS",
    "evaluate run=runs/default/runs/ps",
    "train method=grpo run_dir=runs/default/runs/os label=GRPO+OS logging.samples_every=1",
    "evaluate run=runs/default/runs/os",
    "train method=grpo_ps reward=model run_dir=runs/b label=B",
    "evaluate run=runs/b",
    "grid coefficient=grpo,rloo seeds=0 out=runs/online_vs_offline workers=1",
    "tables runs/default/runs out=tables",
    "train method=grpo task=table data=parity.csv run_dir=runs/parity sft.steps=60",
)
#: What stands for something of the reader's own, and what this reader has; and of some pages alone, which mean another thing.
STANDS_FOR = {
    **dict.fromkeys(("RUN", "RUN_DIR", "RUN_A"), "runs/default/runs/os"),
    **dict.fromkeys(("MODEL", "MODEL_DIR", "POLICY", "START"), "model"),
    **dict.fromkeys(("GRID_DIR", "EXPERIMENT_DIR"), "runs/online_vs_offline"),
    **dict.fromkeys(("GSM8K", "DATA", "hub:openai/gsm8k"), "gsm8k"),
    "RUNS": "runs/default/runs",
    "RUN_B": "runs/default/runs/ps",
    "A|B": "GRPO+PS|GRPO+OS",
    "TEXT": "train",
    "NAME": "model",
    "NNNNNN": "000002",
    "FOLDER": "benchmarks",
    "FILE.jsonl": "answers.jsonl",
    "hub:OWNER/NAME": "tools.jsonl",
    "DIR": "out/dir",
    "TABLES": "out/tables",
    "FIGURES": "out/figures",
    "MERGED_DIR": "out/merged",
    "FILE.parquet": "out/votes.parquet",
}
GOLDEN = {"tests/data/golden": str(ROOT / "tests/data/golden")}
OF_PAGES = {
    "docs/conformance.md": {"FILE": str(ROOT / "tests/data/golden/trl.json")} | GOLDEN,
    "docs/dialects.md": {"FILE": str(ROOT / "tests/data/golden/slime.json")},
    "docs/base_models.md": {"DIR": "model"},
    "docs/methods.md": {"MODEL_DIR": "runs/a/checkpoints/step_000002/policy"},  # a teacher has the policy's tokens
    "docs/pretraining.md": {"DIR": "model"},
    "docs/grading.md": {"DIR": "runs/default/runs/os"},
    "docs/reference/commands.md": {"DIR": "model"} | GOLDEN,
    "docs/corpus.md": {"MODEL": "model", "MATH": "math"},
}


def in_place(words: Iterable[str], page: str) -> list[str]:
    """A command's words with what this reader has; `...` says where a run goes, what a synopsis puts into brackets is left out."""
    names = STANDS_FOR | OF_PAGES.get(page, {})
    stands = re.compile(rf"(?<![A-Za-z.])({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w])")
    words = ["run_dir=out/dir" if word == "..." else word for word in words]
    kept = [word for word in words if not re.match(r"\[|.*\]$", word) or "=[" in word]
    return [stands.sub(lambda found: names[found[1]], word) for word in kept]


def lines(path: str, records: Records) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))


def table(path: str, rows: Iterable[tuple[object, object]]) -> None:
    Path(path).write_text("question,answer\n" + "".join(f"{question},{answer}\n" for question, answer in rows))


def sums(count: int = 120) -> list[dict[str, str]]:
    asked = "Ann has {n} jars and buys {n}. How many?"
    return [{"question": asked.format(n=n), "answer": f"{n}+{n}={2 * n}\n#### {2 * n}"} for n in range(count)]


def write_data() -> None:
    """Small files of every kind that a page names."""
    table("qa.csv", ((f"What is {n} + {n + 1}?", 2 * n + 1) for n in range(100)))
    table("parity.csv", ((f"Is {n} odd?", n % 2) for n in range(200)))
    Path("my_reward.py").write_text(REWARD)
    for name in ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "benchmarks/gsm8k_test.jsonl", "gsm8k_test.jsonl"):
        lines(name, sums(6 if "_test" in name else 120))
    solved = [{"question": one["question"], "solution": one["answer"]} for one in sums()]
    for name in ("mine", "best", "cot", "cot_zh", "programs/some"):
        lines(f"{name}.jsonl", solved)
    said = [(one["question"], [{"content": "?"}, {"content": one["answer"]}]) for one in sums()]
    lines("tools.jsonl", ({"problem": question, "messages": messages} for question, messages in said))
    lines("pairs.jsonl", ({"prompt": one["question"], "chosen": one["answer"], "rejected": "#### 1"} for one in sums()))
    lines("answers.jsonl", ({"id": str(n), "gold": str(n), "response": f"\\boxed{{{n % 7}}}"} for n in range(20)))
    lines("samples.jsonl", ({"idx": n // 4, "pred": str(n % 3), "is_correct": n % 3 == 0} for n in range(40)))
    lines(
        "steps.jsonl",
        ({"question": "1+1+1?", "steps": ["1+1=2", "2+1=3"], "first_error_step": n % 3 or None} for n in range(6)),
    )
    for place in ("", "benchmarks/"):
        write_benchmarks(place)


def write_benchmarks(place: str) -> None:
    choice = {"question": "What is 1 + 1?", "options": ["1", "2", "3", "7"], "answer": "B", "topic": "abstract_algebra"}
    lines(f"{place}mmlu_stem_test.jsonl", (choice | {"id": n} for n in range(4)))
    problem = {"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$.", "level": "Level 1", "subject": "Algebra"}
    lines(f"{place}math_test.jsonl", (problem | {"answer": "2", "unique_id": f"test/{n}"} for n in range(4)))


def write_dumps() -> None:
    """Rollouts of other trainers: a real dump of TRL, records in verl's layout, and some with tokens and log-probs."""
    shutil.copytree(ROOT / "tests/data/audit/trl", "completions", ignore=shutil.ignore_patterns("*.json"))
    shutil.copy("completions/completions_00001.parquet", "completions.parquet")
    facts = {"gts": "7", "step": 1}
    answers = ({"input": f"Sum {n // 4}", "output": "x" * (3 + n), "score": float(n % 4 > 1)} for n in range(16))
    lines("rollouts/1.jsonl", (answer | facts for answer in answers))
    logps = {name: [-1.0, -1.5] for name in ("behaviour_logp", "old_logp", "logp", "ref_logp")}
    lines("dump.jsonl", ({"prompt_id": str(n // 4), "token_ids": [5, 6], "reward": float(n % 2)} | logps for n in range(16)))


def write_crawl() -> None:
    from crawl import make, write, write_seed

    web = make(per_place=16)
    write(web, Path("crawl"))
    write_seed(web, Path("seed.txt"))
    lines("math/test.jsonl", [{"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$."}])


def write_pretraining() -> None:
    """Token files and held-out text beside those of the corpus, and a model where a page puts one of 7B."""
    documents = next(Path("runs/corpus/tokens").glob("*/documents.bin"))
    Path("tokens").mkdir()
    for end in (".bin", ".idx"):
        shutil.copy(documents.with_suffix(end), f"tokens/code{end}")
    for name in ("mathematics", "code", "general"):
        shutil.copytree("runs/corpus/tokens", f"held/{name}")
    shutil.copytree("model", "models/7b")


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    tiny_model(Path("model"))
    write_data()
    write_dumps()
    write_crawl()
    shutil.copytree(ROOT / "experiments", "experiments")  # (some commands write there)
    for line in MADE:
        run_command(line.split())
    write_pretraining()
    found = sorted(Path(os.environ["PAGES_ARTIFACTS"]).glob("reward_model/*/model"))
    shutil.copytree(found[0], "runs/prm")


if __name__ == "__main__":
    sys.path[:0] = ["", str(ROOT / "tests/corpus")]
    write(Path(sys.argv[1]))
