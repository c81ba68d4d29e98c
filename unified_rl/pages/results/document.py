"""docs/results.md, whole: what is known and what is not, the paper's claims and figures beside ours, then a section per result.

    unified-rl results [GRID_DIR ...] [shipped=experiments/results] [out=docs/results.md]

Only shipped tables are read: nothing is computed again, no number is written by hand, and a test makes the page again and compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unified_rl.pages.results.answers import Answer, answers
from unified_rl.pages.results.markdown import link_to, picture, table, wrapped
from unified_rl.pages.results.section import answers_table, section
from unified_rl.pages.results.shipped import Shipped
from unified_rl.statistics import claims, evidence

#: In the repository: the ablations, whose docstrings say what is asked.
EXPERIMENTS = Path("experiments")
COMMAND = "unified-rl results"
FIGURES = {
    "paper_figure5": "Figure 5: methods while training",
    "paper_figure6": "Figure 6: iterative RL",
    "paper_figure7": "Figure 7: Maj@K and Pass@K before and after RL",
}
INTERVALS = (
    "Differences are in percentage points, with 95 % intervals over problems and seeds (crossed), paired by both. A primary "
    "contrast was declared before its run, with the margin within which a difference does not matter: *supported* and "
    "*contradicted* where it stands after Holm's correction, *equivalent* where two one-sided tests put it within the margin, "
    "otherwise *cannot tell*. *Starts* counts the SFT policies behind the seeds: with one, an interval says nothing of others."
)


def document(results: Sequence[Shipped], page: Path) -> str:
    """The page. results: as `read_shipped` gives them; page: where it will be, to which links are relative."""
    found = [answer for one in results for answer in answers(one)]
    base = page.parent
    parts = [
        *_head(results),
        *_known(found),
        *_unknown(found, results, base),
        *_claims(results),
        *_beside_the_paper(results, base),
        "## Every experiment",
        *(section(one, base) for one in results),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _head(results: Sequence[Shipped]) -> list[str]:
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
            f"`{COMMAND}` writes this page from the tables in `experiments/results`; every number is read from one. {INTERVALS} "
            "Negative results stay: here as tables, in [experiments/LOG.md](../experiments/LOG.md) in words."
        ),
    ]


def _known(found: Sequence[Answer]) -> list[str]:
    known = [one for one in found if one.known]
    nothing = "No primary contrast has been decided yet."
    return ["## What is known", answers_table(known, experiment=True) if known else nothing]


def _unknown(found: Sequence[Answer], results: Sequence[Shipped], base: Path) -> list[str]:
    unknown = [one for one in found if not one.known]
    blocks = ["## What is not known"]
    if unknown:
        blocks += ["Measured, and not told apart nor shown to be the same:", answers_table(unknown, experiment=True)]
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
    rows = claims.in_brief([evidence.read_experiment_tables(place) for place in there])
    return [
        "## The paper's claims",
        wrapped(
            "What holds here of the claims of the paper's section 5.2; every test beside the paper's own points is in "
            "[analysis/CLAIMS.md](../analysis/CLAIMS.md)."
        ),
        table(["claim", "here", "starts"], [list(row) for row in rows]),
    ]


def _beside_the_paper(results: Sequence[Shipped], base: Path) -> list[str]:
    """Of each of the paper's figures the first result that has it: ours above, the paper's below, on the same axes."""
    blocks = []
    for name, title in FIGURES.items():
        there = next(((one, path) for one in results if (path := one.figure(name))), None)
        if there:
            shipped, path = there
            blocks += [f"### {title}", f"Ours (above) is [{shipped.name}](#{shipped.name}).", picture(path, title, base)]
    return ["## Beside the paper's figures", *blocks] if blocks else []
