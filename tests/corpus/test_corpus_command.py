"""The command from a crawl to token files: what each round finds, a person's marks, kills at any moment, refusals, executors."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("fastwarc", reason="the extra corpus is not installed")
pytest.importorskip("fasttext", reason="the extra corpus is not installed")
pytest.importorskip("rensa", reason="the extra corpus is not installed")

from brute_force import contaminated
from crawl import make, write, write_labels, write_seed
from killed import held, run

from unified_rl.cli import main
from unified_rl.corpus.benchmark_texts import read_texts
from unified_rl.corpus.classifier import OTHER, WANTED, FastText
from unified_rl.corpus.settings import Classifier
from unified_rl.corpus.shards import read_pages
from unified_rl.corpus.token_files import TokenFile

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many altogether?"
#: What Slurm tells a job of its node.
NODE = {
    "SLURM_NODELIST": "here",
    "SLURM_NODEID": "0",
    "SLURM_JOB_NUM_NODES": "1",
    "SLURM_CPUS_PER_TASK": "1",
    "SLURM_MEM_PER_CPU": "3",
}
NODE |= {"SLURM_CPUS_ON_NODE": "1", "SLURM_JOB_CPUS_PER_NODE": "1", "SLURM_GPUS_ON_NODE": "0"}
SMALL = [
    "recall.tokens=[4000]",
    "classifier.dim=8",
    "classifier.buckets=100",
    "classifier.epochs=25",
    "classifier.learning_rate=0.5",
]
SMALL += ["recall.rounds=3", "recall.stop_overlap=1.01"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A crawl with copies and a planted question on disk, and the words that name it."""
    folder = tmp_path_factory.mktemp("world")
    crawl = make(per_place=16)
    planted = [url for url, wanted in crawl.wanted.items() if wanted][:6]
    for url in planted:
        first, *rest = crawl.pages[url].split("\n")
        crawl.pages[url] = "\n".join([first, QUESTION, *rest])
    for url in list(crawl.pages)[3:40:9]:
        crawl.add(url.replace("https://", "http://www.") + "#copy", crawl.pages[url] + " copied", crawl.wanted[url])
    write(crawl, folder / "crawl")
    write_seed(crawl, folder / "seed.txt", 12), write_labels(crawl, folder / "labels.tsv")
    (folder / "test.jsonl").write_text(json.dumps({"question": QUESTION, "answer": "48/2=24\n#### 72"}) + "\n")
    _tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"<eos>": 0, "[UNK]": 1, "the": 2, ".": 3, "of": 4}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def steps(world, run_dir, by="labels", *more):
    """The words of each step of the command."""
    data = [f"data.path={world / 'crawl'}", f"data.seed={world / 'seed.txt'}", f"data.labels={world / 'labels.tsv'}"]
    here = f"run_dir={run_dir}"
    return [
        ["corpus", "recall", *data, "data.held_out=0.5", f"annotation.by={by}", here, *SMALL, *more],
        ["corpus", "decontaminate", here, f"decontamination.benchmarks.gsm8k={world}", *more],
        ["corpus", "tokenise", here, f"tokenizer={world / 'tokenizer.json'}", *more],
        ["corpus", "report", here],
    ]


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """A run that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    for words in steps(world, run_dir):
        assert main(words) == 0
    return run_dir


def facts(folder):
    return json.loads((folder / "facts.json").read_text())


def test_rounds_find_more_than_the_first_and_copies_are_out(whole):
    rounds = [facts(whole / "rounds" / f"{number:02d}") for number in (1, 2, 3)]
    assert rounds[0]["overlap"] is None and all(0 < one["overlap"] <= 1 for one in rounds[1:])
    assert all(one["kept tokens"] <= 4000 for one in rounds)
    assert rounds[1]["positives"] > rounds[0]["positives"]  # marked paths joined the seed
    assert all(one["quality"]["precision"] >= 0.8 for one in rounds)
    read = facts(whole / "pages")
    assert read["copies by URL"] == 5 and read["kept"] == read["pages"] - 5
    kept, collected = np.load(whole / "pages" / "kept.npy"), np.load(whole / "rounds" / "03" / "collected.npy")
    assert not (collected & ~kept).any()


def test_what_is_trained_on_is_never_measured(whole):
    from unified_rl.corpus.labels import held_out
    from unified_rl.corpus.shards import read_index

    index = read_index(whole / "pages")
    out = held_out(index, 0.5, 0)
    for number in range(3):
        assert not (np.load(whole / "rounds" / f"{number:02d}" / "seed.npy") & out).any()
    assert 0.3 < out.mean() < 0.7
    assert facts(whole / "rounds" / "01")["quality"]["wanted"] < out.sum()


def test_nothing_of_a_benchmark_is_left_and_every_hit_says_why(whole):
    texts = [one.text for one in read_texts(whole / "clean" / "benchmarks.jsonl")]
    shards = sorted(path for path in (whole / "clean").iterdir() if path.is_dir())
    hits = [json.loads(line) for shard in shards for line in (shard / "hits.jsonl").read_text().splitlines()]
    left = [page for shard in shards for page in read_pages(shard)]
    assert hits and all(hit["segment"] == QUESTION and hit["benchmark"].startswith("gsm8k/") for hit in hits)
    assert facts(whole / "clean")["segments dropped"] == len(hits) and facts(whole / "clean")["not compared with"]
    assert left and not [page.url for page in left if contaminated(page.text, texts)]


def test_token_files_hold_the_clean_pages(whole):
    tokenizer = _tokenizer()
    count = 0
    for shard in sorted(path for path in (whole / "clean").iterdir() if path.is_dir()):
        tokens = TokenFile(whole / "tokens" / shard.name / "documents")
        pages = list(read_pages(shard))
        assert len(tokens) == len(pages)
        for number, page in enumerate(pages):
            assert tokens[number].tolist() == [*tokenizer.encode(page.text, add_special_tokens=False).ids, 0]
        count += int(tokens.lengths.sum())
    told = facts(whole / "tokens")
    assert told["tokens"] == count == sum(told["tokens by source"].values()) and "lines" in told["tokens by source"]


def test_the_report_shows_the_pages_around_the_cut_and_obeys_nothing(whole):
    text = (whole / "report.html").read_text()
    assert text.count("<div class='page in'>") > 5 and text.count("<div class='page out'>") > 5
    assert "mathforum.test" in text and "Natalia" in text and "<script" not in text


@pytest.mark.parametrize(("kill_at", "after"), [(17, True), pytest.param(3, True, marks=pytest.mark.long)])
def test_killed_again_and_again_it_goes_on_to_the_same_bytes(world, whole, tmp_path, kill_at, after):
    run_dir, log = tmp_path / "run", tmp_path / "log"
    kills = 0
    for words in steps(world, run_dir):
        while (status := run(words, kill_at, after, log)) == -9:
            kills += 1
            assert kills < 200
        assert status == 0, log.read_text()
    assert kills >= 2
    assert _same(held(run_dir)) == _same(held(whole))


def _same(files):
    """All but what names the folder."""
    return {name: digest for name, digest in files.items() if name not in ("corpus.yaml", "report.html")}


def test_a_person_marks_the_table_and_it_goes_on(world, tmp_path, capsys):
    (words, *_) = steps(world, tmp_path / "run", "person")
    assert main(words) == 3
    said = capsys.readouterr().err
    table = tmp_path / "run" / "rounds" / "01" / "annotations.tsv"
    assert f"{table}: " in said and "paths are not marked yet" in said and "unified-rl corpus recall" in said
    assert main(["corpus", "annotate", f"run_dir={tmp_path / 'run'}"]) == 0
    assert "mathforum.test/questions" in capsys.readouterr().out
    for number in (1, 2):
        table = tmp_path / "run" / "rounds" / f"{number:02d}" / "annotations.tsv"
        rows = [line.split("\t") for line in table.read_text().splitlines()]
        marked = [[("y" if "questions" in row[1] or "math" in row[1].split("/")[-1] else "No"), *row[1:]] for row in rows[1:]]
        assert number == 1 or any(row[0] for row in rows[1:]), "marks of the round before are there"
        table.write_text("\n".join("\t".join(row) for row in [rows[0], *marked]) + "\n")
        assert main(words) == (3 if number == 1 and _unmarked(tmp_path / "run" / "rounds" / "02" / "annotations.tsv") else 0)
    positives = [facts(tmp_path / "run" / "rounds" / f"{number:02d}")["positives"] for number in (1, 2, 3)]
    assert positives[0] < positives[1] <= positives[2]


def _unmarked(table):
    return table.is_file() and any(line.startswith("\t") for line in table.read_text().splitlines())


def test_other_settings_or_damage_are_refused_in_one_line(world, whole, tmp_path, capsys):
    run_dir = tmp_path / "run"
    shutil.copytree(whole, run_dir)
    recall, *_ = steps(world, run_dir)
    table = run_dir / "rounds" / "01" / "annotations.tsv"
    lone = tmp_path / "lone.tsv"
    lone.write_text("https://nowhere.test/\t1\n")
    cases = [
        ([*recall, "classifier.dim=16"], "was made with other settings or data (classifier)"),
        ([*recall, "extraction.min_characters=5"], "was made with other settings or data (extraction)"),
        ([*recall, f"data.labels={lone}"], "labels no page of data.path"),
        ([*recall, "data.held_out=0"], "set data.held_out"),
        ([*recall, "recall.round=3"], "did you mean recall.rounds?"),
        ([*recall, "duplicates.bands=13"], "is not a multiple of duplicates.bands=13"),
        (["corpus", "recall", "run_dir=" + str(tmp_path / "new")], "data.seed=... is missing"),
        (["corpus", "recall", "corpus=deepseekmth", "run_dir=x"], "did you mean 'deepseekmath'"),
        (["corpus", "recal", "run_dir=x"], "choose one of: recall"),
        (["corpus", "tokenise", "run_dir=" + str(tmp_path / "new"), "tokenizer=nowhere"], "is no tokenizer.json"),
        (["corpus", "decontaminate", "run_dir=" + str(tmp_path / "new")], "run first: unified-rl corpus recall"),
        (["corpus", "report", "run_dir=" + str(tmp_path / "new")], "has no round that is done"),
    ]
    for words, hint in cases:
        assert main(words) == 2, hint
        said = capsys.readouterr().err
        assert hint in said and len(said.splitlines()) == 1
    (run_dir / "rounds" / "01" / "seed.npy").unlink()
    table.write_text(table.read_text().replace("yes", "perhaps", 1))
    assert main(recall) == 2 and "annotations.tsv, line" in capsys.readouterr().err


def test_the_papers_settings_can_be_named(tmp_path):
    from unified_rl.corpus.loading import load

    config = load(["corpus=deepseekmath", "data.path=crawl", "run_dir=" + str(tmp_path)])
    classify, recall = config.classifier, config.recall
    assert (classify.dim, classify.learning_rate, classify.word_ngrams, classify.min_count, classify.epochs) == (
        256,
        0.1,
        3,
        3,
        3,
    )
    assert (recall.positives, recall.negatives, recall.tokens[0], recall.tokens[-1]) == (
        500_000,
        500_000,
        40 * 10**9,
        120 * 10**9,
    )
    assert (recall.rounds, recall.domain_share, recall.stop_overlap) == (4, 0.1, 0.98)
    assert (config.decontamination.grams, config.decontamination.shortest) == (10, 3)


def test_training_gives_the_same_bytes_each_time(tmp_path):
    """fastText leaves most of its matrix as the memory was; in a process like any other it fails or differs every few calls."""
    lines = [f"{WANTED if at % 2 else OTHER} word{at % 7} other{at % 2} foo bar\n" for at in range(300)]
    (tmp_path / "examples").write_text("".join(lines))
    judge = FastText(Classifier(dim=16, buckets=1000))
    for number in range(3):
        judge.train(tmp_path / "examples", tmp_path / f"{number}", 3)
    assert len({(tmp_path / f"{number}").read_bytes() for number in range(3)}) == 1
    scores = judge.scores(tmp_path / "0", ["word1 other1", "word0 other0", "", "__label__wanted"])
    assert scores[0] > scores[1] and scores.dtype == np.float32 and ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.skipif(importlib.util.find_spec("datatrove") is not None, reason="datatrove is installed")
def test_an_executor_without_its_library_says_what_to_install(world, tmp_path, capsys):
    for name in ("ray", "slurm"):
        assert main([*steps(world, tmp_path / "run")[0], f"executor={name}"]) == 2
        assert "pip install 'unified-rl[corpus-cluster]'" in capsys.readouterr().err


@pytest.mark.long
def test_two_processes_give_what_one_gives(world, whole, tmp_path):
    for words in steps(world, tmp_path / "run"):
        assert main([*words, "cluster.workers=2"]) == 0
    assert _same(held(tmp_path / "run")) == _same(held(whole))


@pytest.mark.long
def test_the_script_for_slurm_does_the_step_when_it_is_run(world, whole, tmp_path, monkeypatch):
    """Slurm's commands are stood in for: `sbatch` keeps the script, which is then run for each task of its array."""
    pytest.importorskip("datatrove", reason="the extra corpus-cluster is not installed")
    commands = {"sbatch": "echo Submitted batch job 7", "srun": 'shift 3; exec "$@"', "scontrol": "echo here"}
    for name, text in commands.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    recall, *_ = steps(world, tmp_path / "run")
    words = [
        *recall,
        "executor=slurm",
        "cluster.workers=2",
        "cluster.partition=long",
        "cluster.hours=1.5",
        "cluster.memory_gb=3",
    ]
    for step in ("pages", "scores", "scores", "scores"):
        assert main(words) == 0
        path = tmp_path / "run" / "logs" / step / "launch_script.slurm"
        script = path.read_text()
        wanted = ("--partition=long", "--time=01:30:00", "--mem-per-cpu=3", "--array=0-1")
        assert all(f"#SBATCH {line}" in script for line in wanted), script
        for task in range(2):
            environment = {
                **os.environ,
                "SLURM_ARRAY_TASK_ID": str(task),
                "SLURM_ARRAY_JOB_ID": "7",
                "SLURM_JOB_ID": "7",
                **NODE,
            }
            subprocess.run(["bash", str(path)], env=environment, check=True, timeout=120, capture_output=True)
    assert main(words) == 0
    ours, theirs = _same(held(tmp_path / "run")), _same(held(whole))
    assert ours == {name: digest for name, digest in theirs.items() if name.startswith(("pages", "rounds"))}


@pytest.mark.long
def test_two_ray_workers_give_what_one_process_gives(world, whole, tmp_path):
    pytest.importorskip("datatrove", reason="the extra corpus-cluster is not installed")
    pytest.importorskip("ray", reason="the extra corpus-cluster is not installed")
    for words in steps(world, tmp_path / "run"):
        assert main([*words, "cluster.workers=2", "executor=ray"]) == 0
    assert _same(held(tmp_path / "run")) == _same(held(whole))
