"""The page in a real browser: sorting, pointing at curves and tokens, the browser of responses, a page that reloads itself, and
runs that write what a browser would execute. A hundred runs and ten thousand responses are `long`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import browser
from logged import logged, write_logged_run

from unified_rl.cli import main
from unified_rl.pages import page
from unified_rl.pages.experiment import FollowedExperiment

ROWS = "[...document.querySelectorAll('#runs ~ .wide tbody')[0].rows]"
ATTACKS = (
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 2</script>",
    "<!--<script>window.hit = 3",
    "<img src=x onerror='window.hit = 4'>",
    "]]></script><svg onload=window.hit=5>",
    "\u2028window.hit = 6;\u2029",
    "javascript:window.hit=7",
    "'\"><iframe srcdoc='<script>parent.hit = 8</script>'>",
    "\ud800 \x00 \x1b[31m \u202e reversed",
    "{{constructor.constructor('window.hit=9')()}}",
    "</style><style>* { display: none }",
    "x" * 300_000,
)


@pytest.fixture(scope="module")
def chrome():
    with browser() as opened:
        opened.size(1300, 900)
        yield opened


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser") / "three runs"
    for place, label in enumerate(("GRPO+OS", "RFT", "DPO")):
        samples = [logged(step, number, [" The", " answer", " is", f" {step}"]) for step in (1, 16) for number in range(8)]
        write_logged_run(root / "runs" / f"{label[:3].lower()}-0", label, 0, 20 + 100 * place, samples, reward=place)
    assert main(["page", str(root)]) == 0
    return root / "index.html"


@pytest.fixture
def opened(chrome, small):
    chrome.open(small)
    chrome.evaluate("sessionStorage.clear()")
    chrome.open(small)
    return chrome


def words(chrome, selector):
    return chrome.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")


def column(chrome, number):
    return chrome.evaluate(f"{ROWS}.map((row) => row.cells[{number}].textContent)")


def test_it_says_nothing_to_the_console_and_asks_for_nothing(opened, small):
    assert opened.said == [] and opened.asked == [small.resolve().as_uri()]
    assert words(opened, "#news").startswith("Ended; this page was written")


def test_a_heading_sorts_numbers_as_numbers_both_ways_and_is_remembered(opened, small):
    heading = "#runs ~ .wide th:nth-child(5)"
    opened.click(heading)
    assert column(opened, 4) == ["20 of 20", "120 of 120", "220 of 220"]
    opened.click(heading)
    assert column(opened, 4) == ["220 of 220", "120 of 120", "20 of 20"]
    opened.open(small)
    assert column(opened, 4) == ["220 of 220", "120 of 120", "20 of 20"]


def test_pointing_at_a_curve_says_whose_value_it_is(opened):
    assert opened.evaluate("document.querySelectorAll('#charts .chart canvas').length") == 5
    opened.point_at("#charts .chart .u-over", 0.05, 0.95)
    label, value = words(opened, "#tip").split("\n")
    assert label == "GRPO+OS, seed 0" and value.startswith("step ")
    step, number = (float(word) for word in value.removeprefix("step ").split(": "))
    assert number == pytest.approx(step / 20, abs=1e-3)
    assert opened.evaluate("!document.getElementById('tip').hidden")


def test_a_label_is_hidden_and_shown_by_its_button(opened):
    pixels = "document.querySelector('#charts canvas').toDataURL()"
    before = opened.evaluate(pixels)
    opened.click("#key button")
    opened.until(f"{pixels} !== {json.dumps(before)}")
    opened.click("#key button")
    opened.until(f"{pixels} === {json.dumps(before)}")


def test_the_browser_of_responses_pages_filters_and_shows_every_token(opened):
    assert words(opened, "#sample-count") == "1 to 10 of 48"
    opened.click("#sample-after")
    assert words(opened, "#sample-count") == "11 to 20 of 48"
    choose = "(() => {{ const e = document.getElementById('{}'); e.value = '{}'; e.dispatchEvent(new Event('{}')); }})()"
    opened.evaluate(choose.format("sample-run", "1", "input"))
    opened.evaluate(choose.format("sample-verdict", "correct", "input"))
    opened.evaluate(choose.format("sample-words", "ANSWER is 16", "change"))
    assert words(opened, "#sample-count") == "1 to 4 of 4"
    assert "step 16" in words(opened, "#sample-list article .where")
    assert words(opened, "#sample-list .tokens") == " The answer is 16"
    assert opened.evaluate("document.querySelector('.tokens span').style.background").startswith("rgba(")
    opened.point_at("#sample-list .tokens span:nth-child(2)")
    told = words(opened, "#tip").split("\n")
    assert told[0] == 'token 2 of 4: " answer"'
    assert [line.split(":")[0] for line in told[1:]] == ["total", "advantage", "kl", "log-prob"]
    assert opened.evaluate("document.querySelector('.tokens span:last-child').className") == "end"


def test_a_page_of_a_run_that_goes_on_reloads_itself_and_stops_when_it_has_ended(chrome, tmp_path):
    root = tmp_path / "run"
    write_logged_run(root, "RFT", 0, 4, [], state="running")
    followed, where = FollowedExperiment(root), page.places(root)

    def write(going):
        page.write(page.page_of(root, followed.look(), where, every=0.5, going=going), where.out)

    write(True)
    chrome.open(where.out)
    assert chrome.seen(lambda: words(chrome, "#news")).startswith("Going on;")
    assert chrome.seen(lambda: column(chrome, 4)) == ["4 of 4"]
    with (root / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "reward/mean": 0.5}\n')
    write(False)
    chrome.until("document.getElementById('news')?.textContent.startsWith('Ended')")
    assert column(chrome, 4) == ["5 of 4"]
    chrome.evaluate("window.same = true; new Promise((done) => setTimeout(done, 3000))")
    assert chrome.evaluate("window.same"), "a page that has ended is not loaded again"


def test_what_runs_write_is_never_executed(chrome, tmp_path):
    root = tmp_path / "hostile"
    for number, attack in enumerate(ATTACKS):
        tokens = [attack, " and", attack[:100]]
        fields = {"prompt": attack, "prompt_id": attack, "finish": attack, "verdict": attack}
        terms = {attack: [1.0, -1.0, float("nan")], "total": ["x", 1, 2], "advantage": [1e400, 2, 3]}
        samples = [
            logged(1, number, tokens, coefficient=terms, **fields),
            logged(2, number, tokens, logp=attack) | {"tokens": attack},
        ]
        write_logged_run(root / "runs" / f"run-{number}", attack[:2000], 0, 3, samples, **{attack[:200]: 1.0})
    (root / "logs").mkdir()
    (root / "logs" / "x.log").write_text("\n".join(ATTACKS), errors="replace")
    assert main(["page", str(root)]) == 0
    chrome.open(root / "index.html", script_first="window.hit = 0; window.alert = () => { window.hit = 10; };")
    chrome.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for _ in range(3):
        chrome.evaluate(
            "document.querySelectorAll('button, th, .tokens span').forEach((one) => one.dispatchEvent(new Event('mouseover')))"
        )
        chrome.click("#sample-after")
    assert chrome.evaluate("window.hit") == 0 and chrome.opened == []
    assert chrome.asked == [(root / "index.html").resolve().as_uri()], "nothing is fetched"
    assert chrome.said == [], "nothing was even tried: the policy refused no script and no style"
    assert len(column(chrome, 1)) == len(ATTACKS) + 1 and ATTACKS[0] in column(chrome, 1)
    assert chrome.evaluate("getComputedStyle(document.body).display") == "block"


def test_the_policy_refuses_a_script_that_would_stand_in_the_page(chrome, small):
    chrome.open(small)
    chrome.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 1\">')")
    chrome.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hit = 2'; document.body.append(s); })()"
    )
    chrome.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert not chrome.evaluate("window.hit")
    assert any("Content Security Policy" in line for line in chrome.said)


def first_paint(chrome) -> float:
    """Milliseconds from opening to the first content on the screen."""
    name = "first-contentful-paint"
    chrome.until(f"performance.getEntriesByName('{name}').length === 1")
    return chrome.evaluate(f"performance.getEntriesByName('{name}')[0].startTime")


def drawn(chrome) -> float:
    """Milliseconds from opening to everything being drawn, curves and responses included."""
    return chrome.evaluate("performance.now()")


@pytest.mark.long
def test_a_hundred_runs_and_ten_thousand_responses_open(chrome, tmp_path, record_property):
    root = tmp_path / "large"
    text = [f" word{number}" for number in range(40)]
    for number in range(100):
        samples = [logged(1 + place // 4 * 16, place, text) for place in range(100)]
        write_logged_run(root / "runs" / f"grpo-{number}", f"arm {number // 5}", number % 5, 400, samples, reward=number)
    assert main(["page", str(root)]) == 0
    out = root / "index.html"
    chrome.open(out)
    times = {"first paint": first_paint(chrome), "drawn": drawn(chrome), "MiB": out.stat().st_size / 2**20}
    record_property("times", times)
    print({name: round(value, 1) for name, value in times.items()})
    assert len(column(chrome, 0)) == 100
    assert words(chrome, "#sample-count") == "1 to 10 of 10000"
    read = "[...document.querySelectorAll('script.samples')].length"
    assert chrome.evaluate(read) == 50
    chrome.click("#runs ~ .wide th:nth-child(6)")
    assert [float(reward) for reward in column(chrome, 5)] == list(range(1, 101))
    chrome.point_at("#charts .chart .u-over", 0.5, 0.5)
    assert words(chrome, "#tip").startswith("arm ")
    chrome.evaluate(
        "(() => { const e = document.getElementById('sample-run'); e.value = '99'; e.dispatchEvent(new Event('input')); })()"
    )
    assert words(chrome, "#sample-count") == "1 to 10 of 100"


@pytest.mark.long
def test_what_the_page_costs_grows_with_what_is_new_alone(tmp_path):
    """A look at a run of 4n steps costs, once it has read them, what one at a run of n steps does."""
    import time

    seconds = []
    for steps in (2_000, 8_000):
        run = write_logged_run(tmp_path / str(steps), "RFT", 0, steps, [])
        followed = FollowedExperiment(Path(run))
        followed.look()
        start = time.process_time()
        for _ in range(50):
            followed.look()
        seconds.append(time.process_time() - start)
    assert seconds[1] < 3 * seconds[0]
