"""The whole line once, tiny and real: crawl, corpus, base model in two stages, SFT, GRPO, evaluation, and one page of its figures.

    python -m tools.line OUT          (make line; minutes on one core; the same command goes on after a kill)

The crawl is the one that the corpus's tests generate, of eight places of which three are mathematical; worked problems of task
`arithmetic` are written into its mathematical pages, so that the corpus holds what the policy is later asked. It is too small for
the accuracies to mean anything beyond that every part reads what the part before it wrote.
"""

from __future__ import annotations

import html
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from unified_rl.base import files
from unified_rl.corpus.shards import read_pages, shard_folders
from unified_rl.corpus.token_files import TokenWriter
from unified_rl.presets.loading import load_config
from unified_rl.records import reading
from unified_rl.stages.chain import stage
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.tokenizers import train_tokenizer

#: Pages of each place of the crawl, and worked problems on a mathematical one.
PAGES, PROBLEMS = 60, 14
#: Questions that nothing may be trained on: of the test split, as they are asked at the end.
ASKED = 60
HELD_OUT = 40
RECALL = (
    "recall.tokens=[62000]",
    "recall.rounds=2",
    "recall.stop_overlap=1.01",
    "classifier.dim=8",
    "classifier.buckets=1000",
    "classifier.epochs=25",
    "classifier.learning_rate=0.5",
    "data.held_out=0.5",
    "annotation.by=labels",
)
MODEL = (
    "model.hidden_size=64",
    "model.num_layers=2",
    "model.num_heads=2",
    "model.intermediate_size=176",
    "pretraining.context_tokens=128",
    "pretraining.rows_per_step=8",
    "pretraining.learning_rate=4e-3",
    "pretraining.held_out_every=50",
    "pretraining.checkpoint_every=100",
    "trainer.micro_batch_tokens=2048",
    "threads=1",
)
RL = (
    "sft.demonstrations=3000",
    "sft.steps=400",
    "data.prompts=256",
    "rollout.prompts_per_step=16",
    "rollout.responses_per_prompt=8",
    "trainer.steps=10",
    "logging.curve_problems=40",
    "logging.curve_every=5",
    "logging.checkpoint_every=5",
    "evaluation.max_new_tokens=64",
    "generator.max_new_tokens=64",
)
#: Runs that are evaluated: name -> (words, how they are shown).
RUNS = {
    "base": (("method=sft", "trainer.steps=0", "init=mathematics"), "base model"),
    "sft": (("method=sft", "trainer.steps=0", "init=demonstrated"), "after SFT"),
    "grpo": (("method=grpo", "init=demonstrated"), "after GRPO"),
}


def main(words: Sequence[str]) -> int:
    """Make what is missing in the folder, and the page."""
    out = Path(words[0] if words else "runs/line")
    out.mkdir(parents=True, exist_ok=True)
    crawl(out)
    corpus(out)
    tokens(out)
    mix = write_mix(out)
    for name, (own, _) in RUNS.items():
        run_dir = out / name
        command("train", *own, *MODEL, *RL, f"mix={mix}", f"run_dir={run_dir}", f"artifacts={out / 'artifacts'}", "resume=true")
        if not list(run_dir.glob("evaluations/*/")):
            command("evaluate", f"run={run_dir}", f"problems={ASKED}", "samples=4", "threads=1")
    print(f"the page: {page(out, mix)}")
    return 0


def command(*words: str) -> None:
    """One command of the library, in a process of its own. Its failure ends the line."""
    print(f"\n$ unified-rl {' '.join(words)}", flush=True)
    if subprocess.run([sys.executable, "-m", "unified_rl.cli", *words], check=False).returncode:
        raise SystemExit(f"`unified-rl {words[0]}` failed; the same command goes on from there")


def crawl(out: Path) -> None:
    """The generated crawl with worked problems in its mathematical pages, its seed, labels, and the questions to be kept out."""
    if (out / "crawl").is_dir():
        return
    made = _generator_of_crawls()
    pages, problems = made.make(per_place=PAGES), iter(Arithmetic().problems("train", PAGES * 8 * PROBLEMS)[5000:])
    for url in [url for url, wanted in pages.wanted.items() if wanted]:
        worked = [f"{one.question}\n{Arithmetic.solution(one)}" for one, _ in zip(problems, range(PROBLEMS), strict=False)]
        pages.pages[url] = "\n".join([pages.pages[url].split("\n")[0], "".join(worked)])
    for url in list(pages.pages)[3:400:37]:
        pages.add(url.replace("https://", "http://www.") + "#copy", pages.pages[url] + " copied", pages.wanted[url])
    made.write_seed(pages, out / "seed.txt", 25)
    made.write_labels(pages, out / "labels.tsv")
    (out / "asked").mkdir(exist_ok=True)
    asked = Arithmetic().problems("test", ASKED)
    lines = [json.dumps({"question": one.question, "answer": f"#### {one.gold}"}) + "\n" for one in asked]
    files.write_text(out / "asked" / "test.jsonl", "".join(lines))
    with files.replacing(out / "crawl") as aside:
        aside.mkdir()
        made.write(pages, aside)


def corpus(out: Path) -> None:
    """Recall, decontamination and a tokenizer of what is left; each step goes on by itself."""
    here = f"run_dir={out / 'corpus'}"
    data = (f"data.path={out / 'crawl'}", f"data.seed={out / 'seed.txt'}", f"data.labels={out / 'labels.tsv'}")
    command("corpus", "recall", *data, here, *RECALL)
    command("corpus", "decontaminate", here, f"decontamination.benchmarks.gsm8k={out / 'asked'}")
    if not (out / "tokenizer").is_dir():
        texts = [page.text for name in ("clean", "pages") for page in _pages(out / "corpus" / name)]
        with files.replacing(out / "tokenizer") as aside:
            train_tokenizer([*texts, *Arithmetic.corpus()], vocab_size=640).save_pretrained(aside)
    command("corpus", "tokenise", here, f"tokenizer={out / 'tokenizer'}")
    command("corpus", "report", here)


def tokens(out: Path) -> None:
    """Token files of all pages, for the first stage; marked held-out problems of the validation split."""
    from unified_rl.models.policy_model import load_tokenizer
    from unified_rl.pretraining.world import marked

    tokenizer: Any = load_tokenizer(out / "tokenizer")
    if not (out / "all_pages").is_dir():
        with files.replacing(out / "all_pages") as aside:
            aside.mkdir()
            writer = TokenWriter(aside / "documents", len(tokenizer))
            for one in _pages(out / "corpus" / "pages"):
                writer.add([*tokenizer(one.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id])
            writer.close()
    problems = Arithmetic().problems("validation", HELD_OUT)
    lines = [json.dumps({"pieces": marked(problem)}) + "\n" for problem in problems]
    files.write_text(out / "held_out.jsonl", "".join(lines))


def write_mix(out: Path) -> Path:
    """The chain: two stages of pre-training, SFT on demonstrations."""
    held_out = str(out / "held_out.jsonl")
    stages = {
        "pages": _pretraining("base", str(out / "all_pages"), "pages", held_out, 300_000),
        "mathematics": _pretraining("pages", str(out / "corpus" / "tokens"), "mathematics", held_out, 400_000),
        "demonstrated": {"kind": "sft", "inputs": {"policy": "mathematics"}},
    }
    path = out / "line.json.yaml"  # JSON is YAML
    files.write_text(path, json.dumps({"model": {"tokenizer": str(out / "tokenizer")}, "stages": stages}, indent=1))
    return path


def _pretraining(policy: str, path: str, name: str, held_out: str, budget: int) -> dict[str, Any]:
    section = {"sources": [{"name": name, "path": path}], "held_out": {"problems": held_out}, "tokens": budget}
    return {"kind": "pretrain", "inputs": {"policy": policy}, "settings": {"pretraining": section}}


def page(out: Path, mix: Path) -> Path:
    """The page: a row for each number on the way, and the curves of both stages."""
    rows = [*_of_pages(out), *_of_stages(out, mix), *_of_runs(out)]
    table = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>\n" for name, value in rows)
    text = (
        "<!doctype html><meta charset='utf-8'><title>From the first page to the last accuracy</title>"
        "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}td{padding:.2em 1em .2em 0;vertical-align:top}</style>"
        f"<h1>From the first page to the last accuracy</h1><table>{table}</table>"
        "<p>Tiny: that every part reads what the part before it wrote, and nothing about how well it works.</p>"
    )
    files.write_text(out / "index.html", text)
    print("\n" + "\n".join(f"{name:58} {value}" for name, value in rows))
    return out / "index.html"


def _of_pages(out: Path) -> list[tuple[str, str]]:
    run = out / "corpus"
    kept = [np.load(path) for path in sorted(run.glob("rounds/*/collected.npy"))]
    facts = [json.loads(path.read_text()) for path in sorted(run.glob("rounds/*/facts.json"))]
    clean, made = _summed(run / "clean"), _summed(run / "tokens")
    rows = [
        ("pages read", f"{sum(1 for _ in _pages(run / 'pages')):,}"),
        ("of them no copies", f"{int(np.load(run / 'pages' / 'kept.npy').sum()):,}"),
    ]
    for number, (one, fact) in enumerate(zip(kept, facts, strict=True), start=1):
        quality = fact.get("quality") or {}
        share = ", ".join(f"{name} {quality[name]:.2f}" for name in ("precision", "recall") if name in quality)
        rows.append((f"kept in round {number}", f"{int(one.sum()):,} pages; on held-out pages {share}"))
    rows.append(("decontaminated", f"{clean['pages kept']:,} pages, {clean['segments dropped']:,} lines dropped"))
    rows.append(("corpus", f"{made['documents']:,} documents, {made['tokens']:,} tokens"))
    return rows


def _summed(folder: Path) -> dict[str, int]:
    total: dict[str, int] = {}
    for shard in shard_folders(folder):
        for name, value in json.loads((shard / "facts.json").read_text()).items():
            if isinstance(value, int):
                total[name] = total.get(name, 0) + value
    return total


def _of_stages(out: Path, mix: Path) -> list[tuple[str, str]]:
    own = ("method=grpo", "init=demonstrated")
    config = load_config([*own, *MODEL, *RL, f"mix={mix}", f"artifacts={out / 'artifacts'}"])
    rows = []
    for name in ("pages", "mathematics"):
        found: Any = stage(config, name)
        lines = (out / "artifacts" / found.kind / found.key() / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        first, last = json.loads(lines[0]), json.loads(lines[-1])
        rows.append(
            (
                f"base model, stage {name}",
                f"{last['tokens/trained']:,.0f} tokens ({last[f'epochs/{name}']:.1f} epochs), loss {first['loss']:.2f} to "
                f"{last['loss']:.2f}; held-out problems: {last['held_out/problems/bits_per_byte']:.2f} bits a byte, reading "
                f"{last['held_out/problems/reading/loss']:.2f}, computing {last['held_out/problems/computing/loss']:.2f} nats",
            )
        )
    return rows


def _of_runs(out: Path) -> list[tuple[str, str]]:
    rows = []
    for name, (_, shown) in RUNS.items():
        (folder,) = out.glob(f"{name}/evaluations/*/")
        answers, _ = reading.read_evaluation(folder)
        for slice_name, mine in answers.groupby("slice"):
            rows.append((f"{shown}: right answers, {slice_name}", _accuracy(mine)))
    metrics = reading.read_metrics(out / "grpo")
    rows.insert(
        -2,
        (
            "GRPO",
            f"reward {metrics['reward/mean'].iloc[0]:.3f} to {metrics['reward/mean'].iloc[-1]:.3f} in {len(metrics)} steps",
        ),
    )
    return rows


def _accuracy(answers: pd.DataFrame) -> str:
    right = answers["verdict"] == "correct"
    greedy = answers["mode"] == "greedy"
    return f"{right[greedy].mean():.1%} greedy, {right[~greedy].mean():.1%} of samples ({int(greedy.sum())} problems)"


def _pages(folder: Path) -> Iterable[Any]:
    for shard in shard_folders(folder):
        yield from read_pages(shard)


def _generator_of_crawls() -> ModuleType:
    """tests/corpus/crawl.py, which is no package."""
    place = Path(__file__).parents[1] / "tests" / "corpus" / "crawl.py"
    spec = importlib.util.spec_from_file_location("generated_crawl", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
