"""The HTML page of an experiment: every run, also failed and missing ones; relative links that lead somewhere; escaping."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from synthetic_runs import write_experiment, write_status

from unified_rl.cli import main
from unified_rl.pages import page
from unified_rl.statistics.tables import write_tables

VOID = {"meta", "img", "input"}
HOSTILE = 'my <b>loss</b> & "more" <script>alert(1)</script>'


class Reader(HTMLParser):
    """Balanced tags, the addresses, the text per table row, and the tags that were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.scripts: list[list[tuple]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "script":
            self.scripts.append(attrs)
        self.addresses += [value for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.rows and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("page") / "an experiment #1"
    size = {"problems": 12, "samples": 8, "steps": 16}
    write_experiment(root / "runs", labels=("RFT", "GRPO+OS", HOSTILE), seeds=(3, 4), **size)
    shutil.rmtree(root / "runs" / "rft-4")
    write_status(root / "runs" / "grpo-4", "failed", 5, 16, "loss is nan <img src=x>")
    (root / "runs" / "grpo-3" / "status.json").write_text("{")
    (root / "logs").mkdir()
    (root / "logs" / "ppo-seed0.log").write_text("starting\nerror: generator.top_k=5 is refused\n")
    (root / "logs" / "rft-3.log").write_text("fine\n")
    (root / "artifacts" / "sft" / "abc").mkdir(parents=True)
    (root / "artifacts" / "sft" / "abc" / "status.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def with_figures(experiment):
    (experiment / "runs" / "grpo-3" / "status.json").write_text('{"state": "finished", "step": 16, "steps": 16, "error": null}')
    write_tables([experiment / "runs"], experiment / "tables")
    (experiment / "figures").mkdir()
    (experiment / "figures" / "a figure.png").write_bytes(b"\x89PNG")
    (experiment / "figures" / "a figure.pdf").write_bytes(b"%PDF")
    (experiment / "figures" / "a figure.md").write_text("**Bold.** made by `x < y` & <i>more</i>\n")
    return experiment


def rows_of(text):
    return {tuple(row[:2]): row for row in Reader(text).rows}


def test_every_run_is_shown_whatever_became_of_it(experiment):
    text = page.page(experiment, page.Places(experiment / "none", experiment / "none", experiment / "index.html"))
    rows = rows_of(text)
    assert rows["grpo-4", "GRPO+OS"][3:] == ["failed", "5 of 16", "1", "1", "config, metrics, curve", "loss is nan <img src=x>"]
    assert rows["-", "RFT"][2:4] == ["4", "missing"]
    assert rows["-", "ppo-seed0"][3] == "failed before it began"
    assert rows["-", "ppo-seed0"][7:] == ["log", "error: generator.top_k=5 is refused"]
    assert rows["rft-3", "RFT"][3] == "finished" and rows["rft-3", "RFT"][7].endswith("log")
    assert rows["grpo-3", "GRPO+OS"][3] == "unreadable" and "status.json" in rows["grpo-3", "GRPO+OS"][8]
    assert not any("abc" in cell for row in rows.values() for cell in row), "a stage is no run"
    assert "No results yet" in text and "No figures yet" in text
    assert "1 failed, " in text and "1 missing" in text


def test_what_users_and_runs_write_is_escaped(with_figures):
    text = page.page(with_figures, page.places(with_figures))
    read = Reader(text)
    assert not {"b", "i"} & read.tags
    assert all(attributes == [] or ("type", "application/json") in attributes for attributes in read.scripts)
    assert sum(attributes == [] for attributes in read.scripts) == 2, (
        "uPlot and the page's own script, whose hashes are in the policy"
    )
    assert any(HOSTILE in row for row in read.rows)
    assert "<strong>Bold.</strong> made by <code>x &lt; y</code> &amp; &lt;i&gt;more&lt;/i&gt;" in text


def test_links_are_relative_and_lead_somewhere(with_figures):
    assert main(["page", str(with_figures)]) == 0
    out = with_figures / "index.html"
    found = Reader(out.read_text()).addresses
    addresses = [address for address in found if not address.startswith("#")]
    assert len(addresses) > 10 and {"#runs", "#responses"} <= set(found)
    for address in addresses:
        assert address.startswith("./")
        assert (out.parent / unquote(address)).exists(), address
    assert any(address.endswith("a%20figure.png") for address in addresses)


def test_embedded_pictures_need_no_files(with_figures, tmp_path):
    assert main(["page", str(with_figures), "--embed", f"out={tmp_path / 'p.html'}"]) == 0
    text = (tmp_path / "p.html").read_text()
    assert 'src="data:image/png;base64,iVBORw' in text and ".png" not in text.split('<h2 id="figures">')[1].split("<h2 ")[0]


def test_results_are_those_of_the_table(with_figures):
    text = page.page(with_figures, page.places(with_figures))
    rows = [row for row in Reader(text).rows if row[0] == "main (test)"]
    assert [row[1] for row in rows][:2] == ["SFT", "RFT"]
    assert all("[" in row[2] for row in rows)


def test_no_folder_and_no_place_are_errors(experiment, tmp_path, capsys):
    assert main(["page", str(tmp_path / "nothing")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["page", str(experiment), f"out={tmp_path / 'file' / 'index.html'}"]) == 2
    assert "choose another with out=FILE" in capsys.readouterr().err
