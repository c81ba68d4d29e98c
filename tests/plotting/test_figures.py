"""Tables -> figures: files, captions that say what is shown, one look per label, clear errors."""

import shutil

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from synthetic_runs import write_experiment

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.plotting import inputs, iterations, learning_curves, maj_pass, make, paper_figure7, sft_vs_rl, style
from unified_rl.statistics.tables import write_tables

SIZE = {"problems": 12, "samples": 8, "steps": 16}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("figures")
    write_experiment(root / "exp", labels=("RFT", "GRPO+OS", "my own_loss & more"), seeds=(3, 4), **SIZE)
    shutil.rmtree(root / "exp" / "rft-4")
    write_tables([root / "exp"], root / "tables")
    return root / "tables"


@pytest.fixture(scope="module")
def one_seed_tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("one_seed")
    write_experiment(root / "exp", labels=("RFT", "GRPO+OS"), seeds=(5,), **SIZE)
    write_tables([root / "exp"], root / "tables")
    return root / "tables"


@pytest.fixture(scope="module")
def drawn(tables, tmp_path_factory):
    out = tmp_path_factory.mktemp("drawn")
    files, errors = make.make(tables, out)
    assert errors == []
    assert {path.parent for path in files} == {out}
    return out


#: What `statistics.tables` alone feeds, and is about accuracy; the others have tests of their own.
MAIN_FIGURES = ("learning_curves", "maj_pass", "sft_vs_rl", "paper_figure7", "results_table")


def test_figures_whose_tables_are_there_are_drawn_by_default(tables, tmp_path):
    assert tuple(make.drawable(tables)) == (*MAIN_FIGURES, "dynamics")
    assert make.drawable(tmp_path) == []
    _, errors = make.make(tmp_path, tmp_path)
    assert len(errors) == len(make.FIGURES) - len(make.without_inputs()), (
        "an empty folder is an error, not a success without figures"
    )


def test_all_figures_are_drawn(drawn):
    tmp_path = drawn
    for name in MAIN_FIGURES:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
        caption = " ".join((tmp_path / f"{name}.md").read_text().split())
        assert "2 training seeds per method (seeds: 3 4) are too few" in caption
        assert "95 % intervals over problems only, for these very policies" in caption
        assert "main 12" in caption
        assert "of experiment exp" in caption
        assert "RFT, seed 4: missing" in caption


def test_pictures_have_the_resolution_of_print(drawn):
    for path in drawn.glob("*.png"):
        with Image.open(path) as picture:
            assert picture.width == round(250 * style.FULL_WIDTH), path.name


def test_of_many_lines_no_bands_are_drawn_and_the_caption_says_so(tmp_path):
    labels = ("RFT", "DPO", "Online RFT", "PPO", "GRPO+OS")
    write_experiment(tmp_path / "exp", labels=labels, seeds=(0, 1), **SIZE)
    write_tables([tmp_path / "exp"], tmp_path / "tables")
    source = inputs.load(tmp_path / "tables", "curves.csv", learning_curves.COLUMNS)
    axis = Figure().subplots()
    learning_curves._panel(axis, source.table[(source.table["seed"] == "all") & (source.table["slice"] == "main")])
    assert len(axis.collections) == 0 and len(axis.lines) == 3 * len(labels)
    files = learning_curves.draw(tmp_path / "tables", tmp_path / "out")
    caption = " ".join(files[2].read_text().split())
    assert "as bands, would hide each other" in caption and "Whiskers are 95 % intervals" in caption


def test_captions_of_sampled_figures_state_the_rules(drawn):
    for name in ("maj_pass", "sft_vs_rl", "paper_figure7"):
        caption = " ".join((drawn / f"{name}.md").read_text().split())
        assert "8 samples per problem at temperature 0.7" in caption
        assert "Ties: one of the tied answers, each with equal chance" in caption
        assert "No answer: a sample without an answer is drawn but does not vote" in caption


def test_figure_7_names_the_paper_beside_our_runs(drawn, tables, tmp_path):
    caption = " ".join((drawn / "paper_figure7.md").read_text().split())
    assert "upper panels: SFT and GRPO+OS" in caption
    assert "arXiv 2402.03300" in caption
    source = inputs.load(tables, "pass_maj.csv", maj_pass.COLUMNS)
    figure, _, _ = paper_figure7.figure_of(source)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        "Ours: main problems (test, n = 12)",
        "Ours: hard problems (test, n = 12)",
        "Paper: GSM8K (n = 1,319)",
        "Paper: MATH (n = 5,000)",
    ]
    assert [len(axis.lines) for axis in figure.axes] == [4, 4, 4, 4]
    gsm8k = [line.get_ydata()[-1] for line in figure.axes[2].lines]
    assert gsm8k == pytest.approx([0.991, 0.895, 0.973, 0.910])


def test_one_seed_is_said_to_be_one(one_seed_tables, tmp_path):
    make.make(one_seed_tables, tmp_path)
    for name in MAIN_FIGURES:
        caption = " ".join((tmp_path / f"{name}.md").read_text().split())
        assert "over problems only, because there is one training seed per method (seeds: 5)" in caption


def test_equal_tables_give_equal_files(tables, drawn, tmp_path):
    files, _ = make.make(tables, tmp_path, ["sft_vs_rl"])
    for path in files:
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


def test_result_table_as_markdown_and_latex(drawn):
    markdown = (drawn / "results_table_markdown.md").read_text().splitlines()
    assert markdown[0].startswith("| Slice | Method | Greedy %")
    assert len(markdown) == 2 + 2 * 4
    assert any("1 of 2 seeds; seed 4 missing" in line for line in markdown)
    assert r"my own\_loss \& more" in (drawn / "results_table.tex").read_text()


def test_unfinished_labels_are_drawn_without_failing(tmp_path):
    """A label of which nothing is there yet: no line, but no crash, and the caption names it."""
    experiment = write_experiment(tmp_path / "exp", labels=("RFT", "GRPO+OS"), seeds=(0,), **SIZE)
    shutil.rmtree(experiment / "grpo-0" / "evaluations")
    (experiment / "grpo-0" / "curve.jsonl").unlink()
    write_tables([experiment], tmp_path / "tables")
    _, errors = make.make(tmp_path / "tables", tmp_path / "out", ["learning_curves", "maj_pass", "results_table"])
    assert errors == []
    assert "GRPO+OS, seed 0: not evaluated" in " ".join((tmp_path / "out" / "maj_pass.md").read_text().split())


# ---- style


def test_known_labels_look_different_from_each_other():
    methods = [look for label, look in style.STYLES.items() if ", " not in label]
    assert len({look.color for look in methods}) == len(methods)
    assert len({look.marker for look in methods}) == len(methods)
    ablation = [look for label, look in style.STYLES.items() if ", " in label]  # drawn without the methods: two colours
    assert len({(look.color, look.marker, look.linestyle) for look in ablation}) == len(ablation)
    assert len({look.marker for look in ablation}) == len(ablation)


def test_unknown_labels_get_a_look_of_their_own():
    alone = style.styles(["my loss"])["my loss"]
    assert style.styles(["SFT", "GRPO+OS", "my loss"])["my loss"] == alone
    five = style.styles([f"loss {letter}" for letter in "abcde"]).values()
    assert (
        len({look.color for look in five}) == len({look.marker for look in five}) == len({look.linestyle for look in five}) == 5
    )
    many = style.styles([f"loss {number} of mine {number}" for number in range(25)])
    assert len({(look.color, look.marker) for look in many.values()}) == 25
    assert not {look.color for look in many.values()} & {look.color for look in style.STYLES.values()}
    assert len(style.styles([f"loss {number}" for number in range(50)])) == 50


def test_values_of_an_ordered_factor_have_ordered_colours():
    looks = style.styles(["groups of 16", "groups of 2", "groups of 4", "groups of 8", "RFT"])
    places = [style.ORDERED.index(looks[f"groups of {size}"].color) for size in (2, 4, 8, 16)]
    assert places == sorted(set(places)) and places[0] == 0 and places[-1] == len(style.ORDERED) - 1
    assert len({looks[f"groups of {size}"].marker for size in (2, 4, 8, 16)}) == 4
    two = style.styles(["groups of 2", "groups of 4"])
    assert not {look.color for look in two.values()} & set(style.ORDERED), "two are no order"


def test_an_arm_with_something_added_has_the_colour_of_its_pair_lighter():
    looks = style.styles(["PPO", "PPO, vLLM", "GRPO+OS", "GRPO+OS, vLLM"])
    for base in ("PPO", "GRPO+OS"):
        own, paired = (to_rgb(looks[label].color) for label in (base, f"{base}, vLLM"))
        assert all(light > dark for light, dark in zip(paired, own, strict=True)) and looks[f"{base}, vLLM"].linestyle != "-"
    several = style.styles(["PPO", "PPO, a", "PPO, b"])
    assert len({look.color for look in several.values()}) == 3


def test_legend_order_is_the_maps():
    assert list(style.styles(["zz", "GRPO+PS", "SFT", "RFT", "aa"])) == ["SFT", "RFT", "GRPO+PS", "aa", "zz"]


def test_percent_ticks_are_not_rounded_to_wrong_numbers():
    axis = Figure().subplots().xaxis
    style.percent_axis(axis)
    assert [axis.get_major_formatter()(value) for value in (0.96, 0.975, 0.0, 1.0)] == ["96", "97.5", "0", "100"]
    style.percent_axis(axis, signed=True)
    assert [axis.get_major_formatter()(value) for value in (-0.1, 0.0, 0.25)] == ["-10", "0", "+25"]


# ---- errors


def test_missing_table_names_the_file_and_the_command(tables, tmp_path, capsys):
    shutil.copytree(tables, tmp_path / "tables")
    (tmp_path / "tables" / "curves.csv").unlink()
    folders = [f"tables={tmp_path / 'tables'}", f"out={tmp_path / 'out'}"]
    assert main(["figures", "learning_curves", "sft_vs_rl", *folders]) == 2
    printed, message = capsys.readouterr()
    assert "figure learning_curves" in message
    assert "curves.csv does not exist; make it with: unified-rl tables" in message
    assert str(tmp_path / "out" / "sft_vs_rl.pdf") in printed  # the others are drawn all the same


@pytest.mark.long
def test_of_all_figures_one_that_lacks_something_is_named_and_no_failure(tables, tmp_path, capsys):
    lines = (tables / "pass_maj.csv").read_text().splitlines(keepends=True)
    (tmp_path / "pass_maj.csv").write_text("".join(line for line in lines if "sft_policy" not in line))
    shutil.copy(tables / "curves.csv", tmp_path)
    folders = [f"tables={tmp_path}", f"out={tmp_path / 'out'}"]
    assert main(["figures", *folders]) == 0
    printed, message = capsys.readouterr()
    assert "figure sft_vs_rl" in message and "method=sft trainer.steps=0" in message
    assert str(tmp_path / "out" / "learning_curves.pdf") in printed
    assert main(["figures", "sft_vs_rl", *folders]) == 2


def test_unknown_figure_suggests_the_nearest(tables, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'maj_pass'"):
        make.make(tables, tmp_path, ["maj_pas"])


def test_tables_without_the_policy_to_compare(tables, tmp_path):
    with pytest.raises(DataError, match="needs the SFT policy and PPO"):
        sft_vs_rl.draw(tables, tmp_path, label="PPO")


def test_table_without_numbers_or_columns(tables, tmp_path):
    lines = (tables / "curves.csv").read_text().splitlines()
    (tmp_path / "curves.csv").write_text("\n".join(lines[:2]) + "\n")
    _, (error,) = make.make(tmp_path, tmp_path, ["learning_curves"])
    assert "nothing to draw yet" in str(error)
    (tmp_path / "curves.csv").write_text(lines[0] + "\nlabel,step\nRFT,1\n")
    _, (error,) = make.make(tmp_path, tmp_path, ["learning_curves"])
    assert "lacks the columns seed" in str(error)


def test_the_last_iteration_is_nobodys_control():
    rows = [
        {"iteration": iteration, "step": 4 * iteration + step, "part": "main" if step <= 4 else "control", "accuracy": 0.5}
        for iteration in (0, 1)
        for step in (0, 4, 8)
    ]
    axis = Figure().subplots()
    iterations._accuracy(axis, pd.DataFrame(rows).assign(low=0.4, high=0.6))
    lengths = [(line.get_linestyle(), len(line.get_xdata())) for line in axis.lines]
    assert lengths == [("-", 2), ("--", 2), ("-", 3), ("--", 1)], "of the second iteration all is drawn as one line"
