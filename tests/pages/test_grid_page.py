"""The page of a grid: its question, its matching rule, its tables with Holm's marks, every planned cell; escaping; no resources."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from urllib.parse import unquote

import pytest
from synthetic_runs import write_experiment, write_status
from test_page import Reader

from unified_rl.cli import main
from unified_rl.pages.grid_parts import about
from unified_rl.statistics.grid_file import GridFacts

QUESTION = "Hypothesis: <b>online</b> beats offline.\n\nSeeds: three."
CELLS = [
    {"id": "initial", "label": "SFT", "seed": 0},
    *(
        {"id": f"{run}-{seed}", "label": label, "seed": seed}
        for run, label in (("rft", "RFT"), ("grpo", "GRPO+OS"))
        for seed in (0, 1)
    ),
    {"id": "dpo-0", "label": "DPO", "seed": 0},
]
FACTS = {
    "name": "toy",
    "title": "A toy & more",
    "hypothesis": QUESTION,
    "preset": "testing",
    "tuning": "one sweep",
    "matching": {"rule": "equal_updates", "caption": "Matched by updates: 16 each."},
    "contrasts": [["GRPO+OS", "RFT"]],
    "seeds": [0, 1],
    "cells": CELLS,
}


def test_of_another_world_the_page_says_that_its_words_are_about_the_first():
    facts = GridFacts(name="own_task_countdown", hypothesis="Carries are hard.", world=("task=countdown",))
    said = "own world; here all of it is with task=countdown, where not all of it need hold."
    assert said in about(facts, unfolded=True) and "own world" not in about(replace(facts, world=()), unfolded=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("grid_page") / "toy"
    write_experiment(root / "runs", labels=("RFT", "GRPO+OS"), seeds=(0, 1), problems=40, samples=8, steps=16)
    (root / "grid.json").write_text(json.dumps(FACTS))
    shutil.rmtree(root / "runs" / "rft-1")
    write_status(root / "runs" / "grpo-1", "failed", 5, 16, "loss is nan")
    (root / "logs").mkdir()
    (root / "logs" / "dpo-0.log").write_text("starting\nerror: no <pairs> left\n")
    assert main(["tables", str(root)]) == 0
    assert main(["page", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def text(made):
    return (made / "index.html").read_text()


def test_it_begins_with_the_question_and_the_rule(text):
    head = text[: text.index('<h2 id="runs">')]
    assert "<h1>A toy &amp; more</h1>" in head
    assert "Hypothesis: &lt;b&gt;online&lt;/b&gt; beats offline.</p>" in head and '<p class="prose">Seeds: three.</p>' in head
    assert "Matched by updates: 16 each. Learning rates: one sweep." in head
    assert "Preset testing, seeds 0 1" in head


def test_every_planned_cell_is_shown(text):
    rows = {tuple(row[:2]): row for row in Reader(text).rows}
    assert rows["rft-1", "RFT"][2:4] == ["1", "missing"]
    assert rows["dpo-0", "DPO"][3] == "failed before it began"
    assert rows["dpo-0", "DPO"][7:] == ["log", "error: no <pairs> left"]
    assert rows["grpo-1", "GRPO+OS"][3:5] == ["failed", "5 of 16"] and rows["grpo-1", "GRPO+OS"][8] == "loss is nan"
    assert "6 runs: 3 finished" in text or "1 failed before it began" in text


def test_results_are_those_of_the_grids_tables(made, text):
    rows = Reader(text).rows
    arms = [row for row in rows if row[0] == "GRPO+OS" and "[" in row[1]]
    assert len(arms) == 2 and arms[0][-1] == "1 of 2 seeds"
    differences = [row for row in rows if row[0] == "GRPO+OS − RFT"]
    assert len(differences) == 2
    table, _ = grid_table_of(made)
    wanted = table.query("label == 'GRPO+OS' and baseline == 'RFT' and slice == 'main' and metric == 'greedy'").iloc[0]
    star = "*" if wanted["decision"] in ("above", "below") else ""
    assert differences[0][1].startswith(f"{100 * wanted['estimate']:+.1f}{star} [")
    assert "nan" not in {cell for row in rows for cell in row}


def grid_table_of(root):
    from unified_rl.statistics.table_files import read_table

    return read_table(root / "tables" / "grid_contrasts.csv")


def test_one_file_without_resources_and_links_that_lead_somewhere(made, text):
    read = Reader(text)
    assert not {"link", "iframe", "object"} & read.tags and "default-src 'none'" in text
    assert not any("src" in dict(attributes) for attributes in read.scripts)
    for address in read.addresses:
        assert address.startswith("#") or (made / unquote(address)).exists(), address
    assert any(address.endswith("config.yaml") for address in read.addresses)
