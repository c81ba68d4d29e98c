"""A real run tells what it is at and writes its page while it goes on, and comes out the same without."""

from __future__ import annotations

import json

from tiny import words

from unified_rl.cli import main
from unified_rl.pages import live
from unified_rl.records import phase


def test_a_run_writes_its_page_and_is_the_same_without_one(tmp_path, monkeypatch, capsys):
    pages = []
    write = live.page.write
    monkeypatch.setattr(live.page, "write", lambda content, out: (pages.append(content), write(content, out)))
    monkeypatch.setattr(live, "RELATIVE_PAUSE", 0.0)
    settings = ["sft.steps=4", "trainer.steps=3", "logging.samples_every=1"]
    for name, every in (("with", "0.001"), ("without", "0")):
        given = words("grpo", tmp_path / name, tmp_path / "artifacts", *settings, f"logging.page_every={every}")
        assert main(["train", *given]) == 0
    assert not (tmp_path / "without" / "index.html").exists()
    for log in ("metrics.jsonl", "samples.jsonl", "curve.jsonl"):
        assert (tmp_path / "with" / log).read_text() == (tmp_path / "without" / log).read_text()
    assert any("SFT stage" in content for content in pages[:-1]), "a stage before the run is shown as well"
    assert all('"going":true' in content for content in pages[:-1]) and '"going":false' in pages[-1]
    assert (tmp_path / "with" / "index.html").read_text() == pages[-1]
    found = phase.read(tmp_path / "with")
    assert (found.unit, found.done, found.total) == ("steps", 3, 3)
    capsys.readouterr()
    assert main(["watch", str(tmp_path / "with")]) == 0
    assert "3/3" in capsys.readouterr().out


def test_a_refused_run_leaves_no_page(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my own page")
    assert main(["train", *words("grpo", tmp_path / "mine", tmp_path / "artifacts")]) != 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["index.html"]
    assert (tmp_path / "mine" / "index.html").read_text() == "my own page"


def test_an_evaluation_says_how_far_it_is(tmp_path, monkeypatch):
    assert main(["train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", "sft.steps=4", "trainer.steps=1")]) == 0
    assert main(["evaluate", f"run={tmp_path / 'run'}", "problems=2", "samples=2"]) == 0
    facts = json.loads((tmp_path / "run" / phase.FILE).read_text())
    assert facts["label"].startswith("evaluating ") and facts["unit"] == "responses" and facts["done"] == facts["total"] > 0
