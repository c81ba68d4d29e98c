"""The page of a run while it goes on: when it is written, what it costs, and that it can neither end a run nor be left behind."""

from __future__ import annotations

import json

import pytest
from logged import logged, write_logged_run

from unified_rl.pages import live, page
from unified_rl.records.progress import progress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def facts(path):
    text = path.read_text().split('<script type="application/json" id="facts">')[1].split("</script>")[0]
    return json.loads(text)


def test_it_is_written_as_often_as_asked_and_a_last_time_at_the_end(tmp_path, monkeypatch):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [logged(1, 0, ["a"])], state="running")
    written = []
    monkeypatch.setattr(live.page, "write", lambda content, out: written.append(content))
    clock = Clock()
    shown = live.LivePage(run, 10.0, clock, clock)
    for clock.now in range(31):
        shown.tick()
    assert len(written) == 4 and '"going":true' in written[-1]
    shown.end()
    assert len(written) == 5 and '"going":false' in written[-1]


def test_a_slow_page_is_written_seldom(tmp_path, monkeypatch):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [], state="running")
    clock, written = Clock(), []

    def slowly(content, out):
        written.append(clock.now)
        clock.now += 2.0

    monkeypatch.setattr(live.page, "write", slowly)
    shown = live.LivePage(run, 10.0, clock, clock)
    while clock.now < 500:
        shown.tick()
        clock.now += 1.0
    assert 2.0 * len(written) <= 500 / 45


@pytest.mark.parametrize("error", [OSError("disk"), MemoryError(), RecursionError(), KeyError("x")])
def test_whatever_goes_wrong_is_said_once_and_the_work_goes_on(tmp_path, monkeypatch, capsys, error):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [], state="running")

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(live.page, "page_of", broken)
    with live.beside_work(run, 1e-9), progress("RFT", 3) as hook:
        for done in (1, 2, 3):
            hook(done, {})
    assert capsys.readouterr().err.count("the page is given up") == 1
    assert not (run / "index.html").exists()


def test_a_page_where_none_can_be_written_is_given_up(tmp_path, capsys):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [], state="running")
    (run / "index.html").mkdir()
    with live.beside_work(run, 1e-9), progress("RFT", 1) as hook:
        hook(1, {})
    assert "index.html cannot be written" in capsys.readouterr().err
    assert not list((run / "index.html").iterdir()) and not list(run.glob(".index*"))


def test_without_work_there_is_no_page_and_with_0_never_one(tmp_path):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [], state="running")
    with live.beside_work(run, 10.0):
        pass
    with live.beside_work(run, 0.0), progress("RFT", 1) as hook:
        hook(1, {})
    assert not (run / "index.html").exists()


def test_a_run_that_fails_has_a_page_that_says_so(tmp_path):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [], state="running")
    with pytest.raises(ZeroDivisionError), live.beside_work(run, 10.0), progress("RFT", 2) as hook:
        hook(1, {})
        assert facts(run / "index.html")["going"]
        write_logged_run(tmp_path / "other", "RFT", 0, 8, [], state="failed")
        (tmp_path / "other" / "status.json").replace(run / "status.json")
        raise ZeroDivisionError
    assert not facts(run / "index.html")["going"]
    assert "<td>failed</td>" in (run / "index.html").read_text()


def test_a_page_holds_the_latest_of_training_and_says_how_many_there_are(tmp_path, monkeypatch):
    run = write_logged_run(tmp_path / "run", "RFT", 0, 8, [logged(step, 0, ["a"]) for step in range(1, 9)])
    monkeypatch.setattr(page.samples, "MOST_SAMPLES", 3)
    text = page.page(run, page.places(run))
    assert "3 responses (8 were logged by training)" in text
    blocks = [json.loads(part.split("</script>")[0]) for part in text.split('class="samples">')[1:]]
    assert [sample["s"] for block in blocks for sample in block] == [8, 7, 6]
