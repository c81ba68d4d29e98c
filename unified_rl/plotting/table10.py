"""The method table (the paper's Table 10, further methods included) as Markdown and LaTeX, from the code that runs it."""

from __future__ import annotations

from pathlib import Path

from unified_rl.methods import table
from unified_rl.plotting import latex

#: Nothing: the table is the library's own.
INPUTS: tuple[str, ...] = ()
HEADER = ("Method", "Data source", "Reward", "Gradient coefficient GC", "Source")
REWARDS = {
    "none": "-",
    "rule": "Rule",
    "exact": "Exact step checker",
    "model": "Model",
    "mixture": "Rule and model",
}
CAPTION = (
    "**The unified paradigm as a table** (after Table 10 of arXiv 2402.03300; every row is a method that runs). A method's "
    "gradient is the mean over its data source of (1/|o|) sum_t GC grad log pi(o_t | q, o_<t): the rows differ in the three "
    "columns between method and source, and in nothing else. Where the paper says Model (PPO, GRPO), the reward is an option "
    "of the row here, `reward=model`; the rows show the default. A is 0 in groups whose rewards agree. Made from "
    "`unified_rl.methods`."
)


def draw(tables: Path | str, out: Path | str) -> list[Path]:
    """Write table10.md (with its caption) and table10.tex.

    Args:
        tables: not read; every figure module has the same signature.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    files = {folder / "table10.md": markdown(), folder / "table10.tex": as_latex()}
    for path, content in files.items():
        path.write_text(content + "\n", encoding="utf-8")
    return list(files)


def rows() -> list[dict[str, str]]:
    """One per method: the five columns, as plain text."""
    return [
        {
            "Method": row["label"],
            "Data source": row["source_in_words"],
            "Reward": _reward(row),
            "Gradient coefficient GC": row["formula"],
            "Source": row["equation"],
        }
        for row in table()
    ]


def markdown() -> str:
    """The table as Markdown, formulas as code; below it the caption."""
    lines = [list(HEADER), ["---"] * len(HEADER)]
    for row in rows():
        words = [row["Method"], f"`{row['Data source']}`", row["Reward"], f"`{row['Gradient coefficient GC']}`", row["Source"]]
        lines.append([word.replace("|", r"\|") for word in words])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{CAPTION}"


def as_latex() -> str:
    """The table as a LaTeX tabular that needs no package; as wide as a page."""
    columns = "".join(rf"p{{{share}\textwidth}}" for share in (0.12, 0.22, 0.11, 0.29, 0.13))
    body = [
        [
            latex.text(row["Method"]),
            latex.formula(row["Data source"]),
            latex.text(row["Reward"]),
            latex.formula(row["Gradient coefficient GC"]),
            latex.text(row["Source"]),
        ]
        for row in rows()
    ]
    narrow = latex.tabular(columns, [latex.text(name) for name in HEADER], body)
    return f"{{\\small\\setlength{{\\tabcolsep}}{{3pt}}\n{narrow}\n}}"


def _reward(row: dict[str, str]) -> str:
    words = REWARDS.get(row["reward"], row["reward"])
    return f"{words}, per step" if row["supervision"] == "process" else words
