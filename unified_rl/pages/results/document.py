"""docs/results.md, whole: what is known and what is not, the paper's claims and figures beside ours, then a section per result.

    unified-rl results [GRID_DIR ...] [shipped=experiments/results] [out=docs/results.md]

Only shipped tables are read: nothing is computed again, no number is written by hand, and a test makes the page again and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_rl.pages.results.answers import Answer, answers
from unified_rl.pages.results.markdown import link_to, picture, table, wrapped
from unified_rl.pages.results.numbers import STAR, differences, points, row_of
from unified_rl.pages.results.section import answers_table, section
from unified_rl.pages.results.shipped import Shipped
from unified_rl.statistics import claims, evidence
from unified_rl.statistics.interval_coverage import LEARNING
from unified_rl.statistics.table_files import read_table

#: In the repository: the ablations, whose docstrings say what is asked.
EXPERIMENTS = Path("experiments")
COMMAND = "unified-rl results"
#: What `unified-rl interval-coverage` has measured, and the size of most results.
COVERAGE, MOST_SEEDS = "interval_coverage.csv", 5
BY_METRIC = (
    "*By*: the metric. Most claims are read by greedy answers, one to a problem as in the paper's curves; the primary contrasts "
    "above take the mean over samples."
)
FIGURES = {
    "paper_figure5": "Figure 5: methods while training",
    "paper_figure6": "Figure 6: iterative RL",
    "paper_figure7": "Figure 7: Maj@K and Pass@K before and after RL",
}
#: How to read the page, in paragraphs.
READING = (
    "Differences are in percentage points, with 95 % intervals over problems and seeds (crossed), paired by both. *Starts* counts "
    "the SFT policies behind the seeds: with one, an interval says nothing of others.",
    "A primary contrast was declared before its run, with the margin within which a difference does not matter. It is *supported* "
    "or *contradicted* where it differs after Holm's correction, as its hypothesis has it or the other way, and *above* or *below* "
    "where it differs and the hypothesis states no direction; *equivalent* where two one-sided tests put it within the margin, "
    "after Holm's correction over the experiment's primary contrasts; *at its ceiling* where that is so by construction, because "
    f"Pass@K of both arms is at least {100 * evidence.CEILING:g} %; otherwise *cannot tell*.",
    f"In the other tables a star ({STAR}) marks what stands after Holm's correction over all tests of the experiment, often more "
    "than a hundred. An interval that leaves out 0 without a star is a lead: a difference was seen, as one test in twenty sees one "
    "where there is none, and it is neither established nor shown to be nothing.",
)


def document(results: Sequence[Shipped], page: Path) -> str:
    """The page. results: as `read_shipped` gives them; page: where it will be, to which links are relative."""
    found = [answer for one in results for answer in answers(one)]
    base = page.parent
    parts = [
        *_head(results, base),
        *_known(found),
        *_unknown(found, results, base),
        *_claims(results),
        *_beside_the_paper(results, base),
        "## Every experiment",
        *(section(one, base) for one in results),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(results: Sequence[Shipped], base: Path) -> list[str]:
    counts = sorted({int(one.cost["parameters"]) for one in results if one.cost.get("parameters")})
    sizes = ", ".join(f"{count / 1e6:.2g}M" for count in counts)
    policies = f"Policies of {sizes} parameters (without embeddings)" if sizes else "Small policies"
    return [
        "# Results, as measured",
        wrapped(
            f"**Not shown:** anything about a public pretrained model; none was trained. {policies} learn in worlds that make "
            "their own problems ([the tiny world](tiny_world.md)): effects are of those worlds, and their sizes are not those of "
            "language models."
        ),
        wrapped(
            f"`{COMMAND}` writes this page from the tables in `experiments/results`; every number is read from one. Negative "
            "results stay: here as tables, in [experiments/LOG.md](../experiments/LOG.md) in words."
        ),
        *map(wrapped, READING),
        *map(wrapped, filter(None, [_where_starts_do_not_learn(results, base), *_shared_starts(results)])),
    ]


def _where_starts_do_not_learn(results: Sequence[Shipped], base: Path) -> str:
    """How often an interval then holds the truth, by the table of `unified-rl interval-coverage`; "" where there is none."""
    path = next((one.folder.parent / COVERAGE for one in results if (one.folder.parent / COVERAGE).exists()), None)
    if path is None:
        return ""
    rows = read_table(path)[0]
    of_five = rows[(rows["kind"] == LEARNING) & (rows["seeds"].astype(int) == MOST_SEEDS)]
    shares, coverage = 100 * of_five["not_learning"], 100 * of_five["coverage"]
    return (
        "A 95 % interval presumes starts whose differences are nearly normal. Where a start did not learn it is too narrow: in "
        f"simulated tables of {MOST_SEEDS} starts, of which {shares.min():.0f} to {shares.max():.0f} % do not learn and the others "
        f"gain 15 points, it held the truth in {coverage.min():.0f} to {coverage.max():.0f} % "
        f"([table]({link_to(path, base)}), kind `{LEARNING}`)."
    )


def _shared_starts(results: Sequence[Shipped]) -> list[str]:
    """Which results are of the same start policies, by what these scored."""
    groups: dict[frozenset[tuple[str, ...]], list[Shipped]] = {}
    for one in results:
        if one.starts > 1 and one.start_scores:
            groups.setdefault(one.start_scores, []).append(one)
    return [
        f"{', '.join(f'[{one.name}](#{one.name})' for one in same)} all start from the same {same[0].starts} SFT policies (seeds "
        f"{' '.join(map(str, same[0].facts.get('seeds', [])))}), so that these sections are not independent of each other: what "
        "is particular to these policies is in all of them."
        for same in groups.values()
        if len(same) > 1
    ]


def _known(found: Sequence[Answer]) -> list[str]:
    known = [one for one in found if one.known]
    nothing = "No primary contrast has been decided yet."
    return ["## What is known", answers_table(known, experiment=True) if known else nothing]


def _unknown(found: Sequence[Answer], results: Sequence[Shipped], base: Path) -> list[str]:
    unknown = [one for one in found if not one.known]
    blocks = ["## What is not known"]
    if unknown:
        blocks += ["Measured, and neither told apart nor shown to be the same:", answers_table(unknown, experiment=True)]
    earlier = [one for one in results if one.starts == 1]
    if earlier:
        named = ", ".join(f"[{one.name}](#{one.name})" for one in earlier)
        blocks.append(wrapped(f"Of one SFT policy only, and so of that policy, from before contrasts were declared: {named}."))
    waiting = _not_measured(results)
    if waiting:
        named = ", ".join(f"[{name}]({link_to(path, base)})" for name, path in waiting.items())
        blocks.append(wrapped(f"Declared, and not measured yet with a start of its own for every seed: {named}."))
    return blocks


def _not_measured(results: Sequence[Shipped]) -> dict[str, Path]:
    """The ablations of which no result with independent starts is shipped: name -> file."""
    names = {one.grid.name for one in results if one.starts > 1}
    tables = {path.stem for one in results[:1] for path in one.folder.parent.glob("*.csv")}
    return {path.stem: path for path in sorted(EXPERIMENTS.glob("*.py")) if path.stem not in names | tables}


def _claims(results: Sequence[Shipped]) -> list[str]:
    folders = [place for one in results for place in (one.folder, *(arm.folder for arm in one.arms.values()))]
    there = [place for place in folders if any((place / name).exists() for name in evidence.TABLES)]
    found = claims.judged([evidence.read_experiment_tables(place) for place in there])
    stand, tests = claims.standing(found)
    of_one = ", all of one SFT policy" if stand and all(one.starts == 1 for one in stand) else ""
    return [
        "## The paper's claims",
        wrapped(
            "What holds here of the claims of the paper's section 5.2; every test beside the paper's own points is in "
            "[analysis/CLAIMS.md](../analysis/CLAIMS.md). The verdicts are test by test, each at 5 % and not adjusted for how many "
            f"there are: of {tests} tests about {0.05 * tests:.0f} would be decided by chance if nothing were true. After Holm's "
            f"correction over all of them {len(stand)} of the {tests} verdicts still stand{of_one}; the table says of which claim. "
            "Tests that two experiments share count once."
        ),
        wrapped(" ".join(filter(None, [BY_METRIC, _opposite_signs(results)]))),
        table(claims.BRIEF, claims.in_brief(found)),
    ]


def _opposite_signs(results: Sequence[Shipped]) -> str:
    """Primary contrasts by the mean over samples whose greedy answers go the other way, one of the two clearly."""
    said = []
    for one in results:
        rows = differences(one)
        for label, baseline in dict.fromkeys((each.label, each.baseline) for each in one.grid.primary if each.metric == "avg"):
            for name in dict.fromkeys(rows["slice"]):
                key = {"comparison": f"{label} - {baseline}", "slice": name}
                mean, greedy = (row_of(rows, metric=metric, **key) for metric in ("avg", "greedy"))
                if mean and greedy and mean["estimate"] * greedy["estimate"] < 0 and any(map(_leaves_out_0, (mean, greedy))):
                    where = f"{key['comparison']} in {one.name}, {evidence.in_world(name, one.world)}"
                    said.append(f"{where}: {points(mean)} by the mean, {points(greedy)} by greedy answers")
    return f"They can have opposite signs ({'; '.join(said)})." if said else ""


def _leaves_out_0(row: Mapping[str, Any]) -> bool:
    return bool(row["low"] > 0 or row["high"] < 0)


def _beside_the_paper(results: Sequence[Shipped], base: Path) -> list[str]:
    """Of each of the paper's figures the first result that has it: ours above, the paper's below, on the same axes."""
    blocks = []
    for name, title in FIGURES.items():
        there = next(((one, path) for one in results if (path := one.figure(name))), None)
        if there:
            shipped, path = there
            blocks += [f"### {title}", f"Ours (above) is [{shipped.name}](#{shipped.name}).", picture(path, title, base)]
    return ["## Beside the paper's figures", *blocks] if blocks else []
