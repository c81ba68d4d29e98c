"""docs/results.md: what is shipped is what the command makes; contrasts, readings and paper figures are read from the tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.pages.results import prose
from unified_rl.pages.results.answers import answers
from unified_rl.pages.results.document import document
from unified_rl.pages.results.of_forms import of_forms
from unified_rl.pages.results.of_pretraining import of_pretraining, starts_of_pretraining
from unified_rl.pages.results.section import section
from unified_rl.pages.results.shipped import Shipped, read_shipped
from unified_rl.statistics import claims
from unified_rl.statistics.table_files import read_table, write_table

ROOT = Path(__file__).parents[2]
PAGE, RESULTS = ROOT / "docs" / "results.md", ROOT / "experiments" / "results"
PRIMARY = {"label": "B", "baseline": "A", "metric": "avg", "margin": 0.02, "reason": "two points, by hand"}


def page_of(folder: Path) -> str:
    return document(read_shipped(folder), folder.parent / "page.md")


def contrast(slice_name, estimate, half, conclusion):
    row = {
        "label": "B",
        "baseline": "A",
        "slice": slice_name,
        "split": "test",
        "metric": "avg",
        "k": None,
        "estimate": estimate,
    }
    row |= {"low": estimate - half, "high": estimate + half, "p": 0.01, "p_holm": 0.02, "decision": "above"}
    return row | {"margin": 0.02, "conclusion": conclusion, "num_problems": 1000, "num_seeds": 5, "num_starts": 5}


def ship_small(folder: Path, rows, *, name="small", starts=5, primary=(PRIMARY,)):
    """A result of two arms as `unified-rl grid` leaves it."""
    place = folder / name
    facts = {"seeds": [0, 1, 2, 3, 4], "num_starts": starts, "commits": ["abcdef0123456789"], "decoding": "arithmetic, T=0.7"}
    write_table(pd.DataFrame(rows), place / "grid_contrasts.csv", facts)
    level = {"slice": "main", "metric": "avg", "k": None, "low": 0.2, "high": 0.4, "num_problems": 1000}
    levels = [{"label": label, "estimate": 0.3, **level} for label in ("A", "B")]
    write_table(pd.DataFrame(levels), place / "grid.csv", facts)
    plan = {
        "name": name,
        "title": "Small",
        "preset": "default",
        "hypothesis": "Is B better?\n\nHypothesis: it is.",
        "cells": [],
    }
    plan |= {"primary": list(primary), "contrasts": [["B", "A"]], "matching": "Matched by hand."}
    (place / "grid.json").write_text(json.dumps(plan))
    return Shipped(place)


def test_the_page_is_what_the_command_makes_of_the_shipped_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    made = document(read_shipped(Path("experiments/results")), Path("docs/results.md"))
    assert PAGE.read_text() == made, "run: unified-rl results"


def test_a_number_changed_in_a_table_changes_the_page(tmp_path):
    shutil.copytree(RESULTS / "engines", tmp_path / "results" / "engines")
    before = page_of(tmp_path / "results")
    path = tmp_path / "results" / "engines" / "grid_contrasts.csv"
    lines = path.read_text().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if "DeepSpeed and vLLM" in line and ",GRPO+OS,main,test,greedy," in line)
    number = next(word for word in lines[place].split(",") if word.startswith("-0.0"))
    lines[place] = lines[place].replace(number, "-0.123", 1)
    path.write_text("".join(lines))
    assert page_of(tmp_path / "results") != before and "-12.3 [" in page_of(tmp_path / "results")


def test_what_is_decided_is_known_and_what_is_not_is_not(tmp_path):
    rows = [contrast("main", 0.05, 0.01, "supported"), contrast("hard", 0.01, 0.03, "cannot tell")]
    ship_small(tmp_path / "results", rows)
    text = page_of(tmp_path / "results")
    known, unknown = text.partition("## What is not known")[::2]
    link = "| [small](#small) | B - A | mean accuracy |"
    assert f"{link} main | +5.0 [+4.0, +6.0] | 2 | 5 | 1,000 | 0.020 | **supported** |" in known
    wide = "**cannot tell** (half-width 3.0, wider than the margin)"
    assert f"{link} hard | +1.0 [-2.0, +4.0] | 2 | 5 | 1,000 | 0.020 | {wide} |" in unknown.partition("##")[0]
    assert "Each seed has an SFT policy of its own: 5 independent starts." in text
    assert "Code: abcdef012345." in text and "two points, by hand" in text
    assert "**Is B better?**" in text and "Hypothesis: it is." in text


def test_results_of_several_starts_come_before_those_of_one_and_take_their_place(tmp_path):
    rows = [contrast("main", 0.05, 0.01, "supported")]
    ship_small(tmp_path / "results", rows, name="an_old_one", starts=1, primary=())
    ship_small(tmp_path / "results", rows, name="new")
    assert [one.name for one in read_shipped(tmp_path / "results")] == ["new", "an_old_one"]
    assert "before contrasts were declared: [an_old_one](#an_old_one)." in " ".join(page_of(tmp_path / "results").split())
    ship_small(tmp_path / "results", rows, name="an_old_one")
    assert "before contrasts were declared" not in " ".join(page_of(tmp_path / "results").split())


def test_gains_of_iterative_arms_are_concluded_from_their_tables(tmp_path):
    """Clear of 0, of the margin on both sides, and of neither."""
    place = tmp_path / "iterated"
    gains = [("Clear", 0.2, 0.05, 0.0001), ("Level", 0.0, 0.01, 0.9), ("Wide", 0.0, 0.2, 0.9)]
    for label, estimate, half, p in gains:
        row = {
            "iteration": 1,
            "step": 48,
            "slice": "main",
            "estimate": estimate,
            "low": estimate - half,
            "high": estimate + half,
        }
        later = row | {"iteration": 2}
        table = pd.DataFrame([one | {"p": p, "num_problems": 200, "num_seeds": 5, "num_starts": 5} for one in (row, later)])
        write_table(table, place / label.lower() / "iteration_gains.csv", {"label": label, "num_starts": 5})
    about = {"metric": "gain", "margin": 0.05, "expected": "above"}
    primary = [{**PRIMARY, "label": label, "baseline": label, **about} for label, *_ in gains]
    (place / "grid.json").write_text(json.dumps({"name": "iterated", "preset": "default", "cells": [], "primary": primary}))
    (shipped,) = read_shipped(tmp_path)
    found = {one.comparison: one.conclusion for one in answers(shipped)}
    assert found == {"Clear": "supported", "Level": "equivalent within the margin", "Wide": "cannot tell"}


def reading_of(shipped: Shipped, text: str, digest: str | None = None) -> tuple[str, str]:
    first = prose.FIRST_LINE.format(digest=digest or shipped.digest)
    (shipped.folder / "reading.md").write_text(f"{first}\n{text}\n")
    return prose.reading(Shipped(shipped.folder))


def coverage_of(folder, level):
    """Both arms' Pass@64 on main, in the result's own table."""
    row = {"slice": "main", "metric": "pass", "k": 64, "low": level - 0.02, "high": level + 0.02, "num_problems": 200}
    path = folder / "grid.csv"
    table, facts = read_table(path)
    found = pd.concat([table, pd.DataFrame([row | {"label": label, "estimate": level} for label in "AB"])])
    write_table(found, path, facts)


@pytest.mark.parametrize(
    ("metric", "level", "stated", "conclusion"),
    [
        ("pass", 0.95, "equivalent within the margin", "at its ceiling"),
        ("pass", 0.95, "cannot tell", "at its ceiling"),
        ("pass", 0.95, "contradicted", "contradicted"),
        ("pass", 0.7, "equivalent within the margin", "equivalent within the margin"),
        ("avg", 0.95, "equivalent within the margin", "equivalent within the margin"),
    ],
)
def test_arms_at_the_ceiling_are_not_known_to_be_alike(metric, level, stated, conclusion, tmp_path):
    """A difference that is there all the same is one."""
    rows = [contrast("main", 0.001, 0.01, stated) | {"metric": metric, "k": 64}]
    shipped = ship_small(tmp_path / "results", rows, primary=[PRIMARY | {"metric": metric}])
    coverage_of(shipped.folder, level)
    (found,) = answers(Shipped(shipped.folder))
    assert found.conclusion == conclusion and found.known == (conclusion != "at its ceiling")
    known = page_of(tmp_path / "results").partition("## What is not known")[0]
    assert ("| [small](#small) | B - A |" in known) == found.known


def test_a_result_of_another_world_has_its_command_and_its_world_named(tmp_path):
    shipped = ship_small(tmp_path / "results", [contrast("main", 0.05, 0.01, "supported")], name="small_task_countdown")
    path = shipped.folder / "grid.json"
    plan = json.loads(path.read_text()) | {"line": ["small", "task=countdown"], "world": ["task=countdown"]}
    path.write_text(json.dumps(plan))
    text = page_of(tmp_path / "results")
    assert "    unified-rl grid small task=countdown\n" in text and "grid small_task_countdown" not in text
    assert "*Written of the ablation's own world; here all of it is with task=countdown," in text
    assert text.count("| B - A | mean accuracy | main (task=countdown) |") == 2
    assert "| main (task=countdown): mean accuracy |" in text and "| B - A | main (task=countdown) |" in text


def test_a_grid_of_the_line_has_its_words_as_command(tmp_path):
    shipped = ship_small(tmp_path / "results", [contrast("main", 0.05, 0.01, "supported")], name="method_grpo_rft_a1b2c3")
    path = shipped.folder / "grid.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"line": ["method=grpo,rft", "data.pack=[a, b]"]}))
    assert "    unified-rl grid method=grpo,rft 'data.pack=[a, b]'\n" in page_of(tmp_path / "results")


@pytest.mark.parametrize(("decision", "starred"), [("above", True), ("not told apart", False)])
def test_what_a_star_and_none_means_stands_below_the_comparisons(decision, starred, tmp_path):
    rows = [contrast("main", 0.05, 0.01, "cannot tell") | {"decision": decision, "comparisons": 144}]
    ship_small(tmp_path / "results", rows)
    text = " ".join(page_of(tmp_path / "results").split())
    family = "stands after Holm's correction over all comparisons, slices and metrics of the experiment (144 tests); "
    said = f"\\*: {family}without it" if starred else f"None of these {family}"
    assert f"{said}{' ' * starred}an interval that leaves out 0 is a lead." in text
    assert ("| +5.0\\* [" in text) == starred
    assert "An interval that leaves out 0 without a star is a lead" in text


def with_starts(shipped, first):
    cells = [{"label": "SFT", "seed": seed, "slice": "main", "greedy": first + seed / 100, "avg": 0.3} for seed in range(5)]
    write_table(pd.DataFrame(cells), shipped.folder / "cells.csv", {})


def test_results_of_the_same_starts_are_said_to_depend_on_each_other(tmp_path):
    for name, first in (("one", 0.2), ("two", 0.2), ("other", 0.4)):
        with_starts(ship_small(tmp_path / "results", [contrast("main", 0.05, 0.01, "supported")], name=name), first)
    text = " ".join(page_of(tmp_path / "results").split())
    assert "[one](#one), [two](#two) all start from the same 5 SFT policies (seeds 0 1 2 3 4), so that" in text
    assert "[other](#other) all" not in text and "[other](#other)," not in text


def test_how_often_intervals_hold_where_starts_do_not_learn_is_read_off_the_table(tmp_path):
    ship_small(tmp_path / "results", [contrast("main", 0.05, 0.01, "supported")])
    assert "nearly normal" not in page_of(tmp_path / "results")
    rows = [
        {"kind": "learning", "seeds": 5, "not_learning": share, "coverage": held} for share, held in ((0.1, 0.7), (0.3, 0.81))
    ]
    rows.append({"kind": "difference", "seeds": 5, "not_learning": 0.0, "coverage": 0.95})
    write_table(pd.DataFrame(rows), tmp_path / "results" / "interval_coverage.csv", {})
    said = "of which 10 to 30 % do not learn and the others gain 15 points, it held the truth in 70 to 81 % ("
    assert said in " ".join(page_of(tmp_path / "results").split())


def test_claims_on_the_page_say_what_stands_and_by_which_metric(tmp_path):
    """Online RFT is below RFT by the mean over samples, and above by greedy answers; one claim of the two stands after Holm."""
    pair = {"label": "Online RFT", "baseline": "RFT"}
    rows = [contrast("main", -0.05, 0.01, "cannot tell") | pair]
    rows += [contrast("main", 0.04, 0.01, "") | pair | {"metric": "greedy", "p": 0.001}]
    rows += [contrast("main", 0.04, 0.035, "") | {"label": "GRPO+OS", "baseline": "Online RFT", "metric": "greedy", "p": 0.04}]
    rows += [contrast("hard", 0.04, 0.035, "") | {"label": "GRPO+OS", "baseline": "Online RFT", "metric": "greedy", "p": 0.04}]
    shipped = ship_small(tmp_path / "results", rows, primary=[PRIMARY | pair])
    text = " ".join(page_of(tmp_path / "results").split())
    online, grpo = (next(claim.says for claim in claims.CLAIMS if claim.key == key) for key in "ab")
    assert f"| {online} | greedy accuracy | **supports** (the one test): main +4.0 [+3.0, +5.0], 5 seeds | 1 of 1 | 5 |" in text
    assert f"| {grpo} | greedy accuracy | **supports** (both tests): main " in text and " | 0 of 2 | 5 |" in text
    assert (
        "of 3 tests about 0 would be decided by chance" in text
        and "over all of them 1 of the 3 verdicts still stand; the table says" in text
    )
    assert (
        f"Online RFT - RFT in {shipped.name}, main: -5.0 [-6.0, -4.0] by the mean, +4.0 [+3.0, +5.0] by greedy answers" in text
    )


def test_a_reading_has_its_numbers_from_the_tables(tmp_path):
    shipped = ship_small(tmp_path, [contrast("main", 0.05, 0.01, "supported")])
    fields = "B gains {B - A | avg\n| main}, to {B | avg | main}, p {grid_contrasts.csv | slice=main | p_holm}."
    text, note = reading_of(shipped, fields)
    assert (text, note) == ("B gains +5.0 [+4.0, +6.0], to 30 % [20, 40], p 0.02.", "")
    assert text in page_of(tmp_path)


@pytest.mark.parametrize("text", ["It gains 5.0 points.", "It gains 5 points.", "to 31 %", "an interval of [+4, +6]"])
def test_a_measured_number_that_is_no_field_is_refused(text, tmp_path):
    shipped = ship_small(tmp_path, [contrast("main", 0.05, 0.01, "supported")])
    with pytest.raises(DataError, match=r"reading\.md.*is no field"):
        reading_of(shipped, text)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("{C - A | avg | main}", "no table of .* has C - A"),
        ("{B - A | avg}", "none of the fields"),
        ("{grid.csv | label=C | estimate}", "0 rows"),
        ("{grid.csv | labell=B | estimate}", "no column 'labell'"),
        ("{nothing.csv | estimate}", "is not there"),
    ],
)
def test_a_field_that_no_table_fills_is_refused(field, says, tmp_path):
    shipped = ship_small(tmp_path, [contrast("main", 0.05, 0.01, "supported")])
    with pytest.raises(DataError, match=says):
        reading_of(shipped, f"It is {field}.")


def test_a_reading_of_other_tables_is_left_out_and_said(tmp_path, capsys):
    shipped = ship_small(tmp_path / "results", [contrast("main", 0.05, 0.01, "supported")])
    reading_of(shipped, "B gains.")
    ship_small(tmp_path / "results", [contrast("main", -0.05, 0.01, "contradicted")])
    assert main(["results", f"shipped={tmp_path / 'results'}", f"out={tmp_path / 'page.md'}"]) == 0
    assert "B gains." not in (tmp_path / "page.md").read_text()
    assert f"<!-- tables {Shipped(shipped.folder).digest} -->" in capsys.readouterr().out


def test_every_shipped_reading_is_of_the_tables_beside_it():
    assert [note for one in read_shipped(RESULTS) if (note := prose.reading(one)[1])] == []


def test_a_result_that_asks_about_many_samples_shows_their_curves():
    """Others have that figure too, and show how their runs learned."""
    shown = {one.name: section(one, ROOT / "docs") for one in read_shipped(RESULTS)}
    assert "pass_at_1024/figures/maj_pass.png)" in shown["pass_at_1024"]
    assert "online_vs_offline/figures/learning_curves.png)" in shown["online_vs_offline"]


def test_the_papers_figures_stand_beside_ours():
    text = PAGE.read_text()
    for number in (5, 6, 7):
        at = text.index(f"### Figure {number}")
        assert f"paper_figure{number}.png)" in text[at : at + 400]


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    assert main(["results", f"shipped={tmp_path / 'nowhere'}", f"out={tmp_path / 'page.md'}"]) == 2
    assert "shipped=DIR" in capsys.readouterr().err


def test_an_ablation_of_pretraining_has_its_arms_and_differences(tmp_path):
    folder = tmp_path / "results" / "two_ways"
    folder.mkdir(parents=True)
    facts = {"schema": 1, "name": "two_ways", "seeds": [0, 1, 2], "num_starts": 3, "commits": ["abc"]}
    one = {"source": "m", "source_tokens": 1e6, "loss": 0.5, "reading_loss": 0.1, "computing_loss": 0.2}
    rows = [
        {
            "label": label,
            "seed": seed,
            "total_tokens": total,
            "tokens_to_half": at,
            "left_at_half": left,
            "steps_right": 0.5,
            **one,
        }
        for label, total in (("a", 3e6), ("b", 1e6))
        for seed, (at, left) in enumerate([(4e5, 0.6), (None, 0.0), (7e5, 0.3)])
    ]
    write_table(pd.DataFrame(rows), folder / "pretraining.csv", {"table": "pretraining", **facts})
    difference = {"label": "a", "baseline": "b", "estimate": 0.25, "low": 0.125, "high": 0.375, "decision": "above"}
    found = pd.DataFrame(
        [difference | {"metric": "left_at_half"}, difference | {"metric": "reading_loss", "decision": "not told apart"}]
    )
    write_table(found, folder / "pretraining_contrasts.csv", {"table": "pretraining_contrasts", **facts})
    shipped = Shipped(folder)
    text = of_pretraining(shipped)
    assert "| a | 3.0M | 2 of 3 | 30 | 50 | 0.100 | 0.200 |" in text and "| b | 1.0M | 2 of 3 |" in text
    assert "| a - b | +25.0\\* [+12.5, +37.5] | - | +0.250 [+0.125, +0.375] | - |" in text
    assert "3 independent starts" in starts_of_pretraining(shipped)
    row = "{pretraining_contrasts.csv | metric="
    said, _ = reading_of(shipped, row + "left_at_half | estimate} of it, " + row + "reading_loss | estimate} nats.")
    assert said == "25 % [12, 38] of it, +0.250 [+0.125, +0.375] nats."
    assert of_pretraining(Shipped(tmp_path)) == starts_of_pretraining(Shipped(tmp_path)) == ""


def test_who_found_a_form_stands_beside_the_start_and_when_it_had_doubled(tmp_path):
    shipped = ship_small(tmp_path, [contrast("main", 0.05, 0.01, "supported")])
    one = {"form": "ends_in:7", "slice": "main", "measure": "of_wrong", "num_seeds": 5}
    rows = [
        {"label": "SFT", "baseline": "", "estimate": 0.1, "low": 0.09, "high": 0.11, **one},
        {"label": "B", "baseline": "", "estimate": 0.4, "low": 0.3, "high": 0.5, **one},
        {"label": "B", "baseline": "SFT", "estimate": 0.3, "low": 0.2, "high": 0.4, **one},
        {"label": "B", "baseline": "A", "estimate": 0.2, "low": 0.1, "high": 0.3, **one},
        {"label": "B", "baseline": "", **one, "slice": "", "measure": "doubled_at", "estimate": 17.0, "num_reached": 3},
        {"label": "A", "baseline": "", **one, "slice": "", "measure": "doubled_at", "num_reached": 0},
        {"label": "A", "baseline": "", "estimate": 0.1, "low": 0.05, "high": 0.15, **one},
    ]
    assert of_forms(shipped) == ""
    write_table(pd.DataFrame(rows), shipped.folder / "wrong_forms.csv", {"table": "wrong_forms"})
    text = of_forms(Shipped(shipped.folder))
    assert "main: wrong answers with `ends_in:7`, %" in text
    for line in (
        "| SFT | 10 [9, 11] | - | - |",
        "| B | 40 [30, 50] | +30.0 [+20.0, +40.0] | 17 (3 of 5) |",
        "| A | 10 [5, 15] | - | never (0 of 5) |",
    ):
        assert line in text
