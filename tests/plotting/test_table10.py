"""The method table as Markdown and LaTeX: all rows, nothing that LaTeX would stumble over."""

from __future__ import annotations

import re

import pytest
from matplotlib.mathtext import MathTextParser

from unified_rl.methods import METHODS
from unified_rl.plotting import latex, table10

COMMANDS = {
    *("textbackslash", "textasciitilde", "textasciicircum", "textwidth", "small", "setlength", "tabcolsep"),
    *(
        "begin",
        "end",
        "toprule",
        "midrule",
        "bottomrule",
        "mathrm",
        "pm",
        "sim",
        "theta",
        "rho",
        "beta",
        "sigma",
        "pi",
        "gamma",
        "lambda",
        "tau",
        "epsilon",
    ),
}


def check_latex(source: str) -> None:
    """What LaTeX would refuse in our kind of source: specials, braces, maths, cells, unknown commands."""
    assert source.isascii()
    stripped = re.sub(r"\\[\\&%$#_{}]", "", source)  # escaped specials and line ends
    depth = 0
    for character in stripped:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0, source
    assert depth == 0, source
    outside = re.split(r"\$", stripped)
    assert len(outside) % 2 == 1, "a $ without its partner"
    for words in outside[::2]:
        assert not re.search(r"[_^#%~<>|]", re.sub(r"\\begin\{tabular\}\{.*\}", "", words)), words
    for formula in re.findall(r"(?<!\\)\$(.+?)(?<!\\)\$", source):
        MathTextParser("agg").parse(f"${formula}$")  # raises where it is no formula
    assert set(re.findall(r"\\([A-Za-z]+)", stripped)) <= COMMANDS


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)&", line.removesuffix(r"\\"))


def test_every_method_is_a_row_of_five_cells(tmp_path):
    files = table10.draw("no folder is read", tmp_path)
    assert [path.name for path in files] == ["table10.md", "table10.tex"]
    markdown = files[0].read_text().splitlines()
    rows = markdown[2 : 2 + len(METHODS)]
    for row, method in zip(rows, METHODS.values(), strict=True):
        assert row.startswith(f"| {method.label} |")
        assert len(re.findall(r"(?<!\\)\|", row)) == 6, "a | inside a formula is escaped"
    body = [line for line in files[1].read_text().splitlines() if line.endswith(r"\\")]
    assert len(body) == 1 + len(METHODS)
    assert {len(cells(line)) for line in body} == {5}


def test_latex_has_nothing_that_latex_refuses():
    check_latex(table10.as_latex())


def test_process_supervision_has_its_own_formula_and_reward():
    by_label = {row["Method"]: row for row in table10.rows()}
    assert by_label["GRPO+PS"]["Reward"].endswith("per step")
    assert "own and later steps" in by_label["GRPO+PS"]["Gradient coefficient GC"]
    assert "own and later steps" not in by_label["GRPO+OS"]["Gradient coefficient GC"]


@pytest.mark.parametrize("hostile", ["50% & more_of #1", "a^b ~ {c} $5 \\input{x}", "x < y | z > w", "[0.8] first"])
def test_any_text_becomes_latex(hostile):
    check_latex(latex.text(hostile))
    check_latex(latex.formula(hostile))
    check_latex(latex.tabular("l", ["h"], [[latex.text(hostile)]]))


def test_a_row_that_begins_with_a_bracket_is_not_an_option_of_the_line_break():
    assert "\n{}[0.8]" in latex.tabular("l", ["h"], [["a"], ["[0.8]"]])


def test_formulas_by_hand():
    assert latex.formula("rho A_t") == r"$\rho$ $A_t$"
    assert latex.formula("o ~ pi_theta(O|q)") == r"o $\sim$ $\pi_{\theta}$(O$|$q)"
    assert latex.formula("+-|o| beta") == r"$\pm|o|$ $\beta$"
    assert latex.formula("log(pi/pi_ref)(o+_t)") == r"log($\pi$/$\pi_{\mathrm{ref}}$)($o^{+}_t$)"
    assert latex.formula("mean of the others' R") == "mean of the others' R"
