"""The one command: its grammar, its help and its refusals. None of them starts anything or loads torch."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest

from unified_rl.cli import main
from unified_rl.cli.command import COMMANDS
from unified_rl.cli.grammar import read
from unified_rl.cli.schema import descriptions, sections, settings, types_of
from unified_rl.config.schema import Config
from unified_rl.config.training import TrainerConfig
from unified_rl.labs.options import MicroscopeOptions
from unified_rl.methods import COEFFICIENTS
from unified_rl.presets import loading
from unified_rl.sources.settings import SourceConfig
from unified_rl.statistics.maj_at_k import NO_ANSWER_RULES, TIE_RULES
from unified_rl.statistics.options import NO_ANSWER, TIES


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_every_setting_and_starts_nothing(name, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for words in (["--help"], ["out=here", "--help", "preset=smoke"]):
        assert main([name, *words]) == 0
        text = capsys.readouterr().out
        assert f"for example: unified-rl {name}" in text
        for item in fields(COMMANDS[name].options):
            assert f"\n  {item.name.removesuffix(chr(95))}  (" in text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_of_a_command_is_described(name):
    """A setting without a word on what it is would be a riddle; the words are the dataclass's own docstring."""
    for setting in settings(COMMANDS[name].options):
        assert setting.text, f"{name}: {setting.name} is not described"


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_can_be_read(name):
    read(name, COMMANDS[name], shlex.split(COMMANDS[name].example))


def test_help_says_type_default_and_range(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for name, _ in sections(Config):
        assert f"\n{name}" in text
    assert "coefficient.kl_coef  (number; 0 or more; default 0.04)" in text
    assert "trainer.steps  (whole number; 0 or more; default 48)" in text
    assert "source.branch_from  (text; random | best; default random)" in text
    assert main(["train", "--help", "trainer"]) == 0
    assert "source.branch_from" not in capsys.readouterr().out


def test_every_setting_of_the_configuration_is_in_the_help(capsys):
    main(["train", "--help"])
    text = capsys.readouterr().out
    for section, options in sections(Config):
        names = [item.name for item in fields(options) if not is_dataclass(types_of(options)[item.name])]
        assert [name for name in names if f"  {section}.{name}  (" not in text] == []
    for options in COEFFICIENTS.values():
        assert all(f"  coefficient.{item.name}  (" in text for item in fields(options) if item.name != "name")


def test_descriptions_come_from_docstrings():
    assert descriptions(SourceConfig)["samples_per_prompt"].startswith("stored samples per prompt")
    assert descriptions(SourceConfig)["roots"] == descriptions(SourceConfig)["segmentation"]
    assert "rollouts" in descriptions(TrainerConfig)["steps"]
    inherited = descriptions(MicroscopeOptions)
    assert "whose latest policy" in inherited["run"] and "sampled to it" in inherited["responses"]


def test_overview_names_every_command(capsys):
    for words, status in ((["--help"], 0), ([], 2)):
        assert main(words) == status
        text = capsys.readouterr().out
        assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "did you mean 'train'"),
        (["tables", "runs", "outt=x"], "did you mean 'out'"),
        (["tables", "runs", "--out", "x"], "out=..."),
        (["tables", "out=x"], "tables needs RECORDS, for example"),
        (["figures", "tables=x"], "figures needs out=..."),
        (["tables", "runs", "gain=much"], "gain=much must be a number"),
        (["tables", "runs", "ties=random"], "uniform, first, wrong"),
        (["browse", "a", "b"], "takes one run"),
        (["browse", "a", "step=1.5"], "step=1.5 must be a whole number"),
        (["page", "x", "--embedd"], "did you mean '--embed'"),
        (["grid", "presett=testing"], "did you mean 'preset'"),
        (["reproduce", "preset=smok"], "did you mean 'smoke'"),
        (["reproduce", "method=grpo"], "not a setting of `unified-rl reproduce`"),
        (["microscope", "respones=4"], "did you mean 'responses'"),
        (["pass-rate", "samples=10"], "multiple of group=8"),
        (["evaluate", "runn=x"], "did you mean 'run'"),
        (["bench", "enginess"], "did you mean 'engines'"),
        (["bench", "gpu", "device=tpu"], "device='tpu' is not known"),
        (["reward-models", "preset=smoek"], "smoke, default, full"),
        (["train", "trainer.lerning_rate=1"], "did you mean trainer.learning_rate"),
        (["config", "method=grpo", "stack=tinny"], "did you mean 'tiny'"),
        (["methods", "gropo"], "did you mean 'grpo'"),
        (["methods", "--diff", "grpo"], "takes two methods"),
        (["methods", "family=preference"], "did you mean 'preferences'"),
        (["diff", "a"], "compares two runs"),
        (["export", "runs"], "export needs out=..."),
        (["train", "nonsense"], "key=value"),
    ],
)
def test_refusals_name_the_nearest(words, hint, capsys):
    assert main(words) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and hint in message and "Traceback" not in message


def test_help_and_refusals_do_not_load_torch():
    code = (
        "import sys\nfrom unified_rl.cli import main\n"
        "for words in (['--help'], ['grid', '--help'], ['train', '--help'], ['tables', 'x', 'outt=1'], ['methods', 'grpo'],\n"
        "              ['microscope', 'respones=1'], ['train', 'method=gropo'], ['config', 'method=grpo'],\n"
        "              ['grid', 'method=grpo,rft', 'seed=x'], ['grid', 'method=grpo,rft', '--status']): main(words)\n"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0


def test_config_prints_what_a_run_would_store(capsys, tmp_path):
    assert main(["config", "method=dapo", "trainer.steps=3"]) == 0
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    assert loading.load_resolved(tmp_path / "config.yaml") == loading.load_config(["method=dapo", "trainer.steps=3"])
    assert main(["config", "method=dapo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["coefficient"]["clip_high"] == 0.28


def test_a_row_and_the_difference_of_two(capsys):
    assert main(["methods", "dpo"]) == 0
    text = capsys.readouterr().out
    assert main(["methods", "cdpo"]) == 0
    assert "[0.9 sigma(-m) - 0.1 sigma(m)]" in capsys.readouterr().out, "the row's own settings, in its formula"
    assert main(["methods", "source=preference_pairs"]) == 0
    listed = capsys.readouterr().out
    assert "  ipo " in listed and "family=preferences" in listed and "  grpo " not in listed
    assert max(map(len, listed.splitlines())) <= 160
    assert "coefficient.beta" in text and "pair_mean" in text and "ref_logp" in text
    assert main(["methods", "--diff", "grpo", "grpo_ps", "--json"]) == 0
    differences = {what: (a, b) for what, a, b in json.loads(capsys.readouterr().out)["settings"]}
    assert "later steps" in differences.pop("formula")[1]
    assert differences == {"reward": ("rule", "exact"), "supervision": ("outcome", "process")}
    assert main(["methods", "--diff", "grpo", "dr_grpo"]) == 0
    assert "aggregation\n  grpo     sequence_mean\n  dr_grpo  constant_length" in capsys.readouterr().out


def test_values_are_typed():
    call = read("tables", COMMANDS["tables"], ["a", "b", "pair=GRPO+OS, slow|RFT", "pair=x|y", "gain=0.2"])
    assert [str(path) for path in call.options.records] == ["a", "b"]
    assert call.options.pair == ["GRPO+OS, slow|RFT", "x|y"] and call.options.gain == 0.2
    call = read("interval-coverage", COMMANDS["interval-coverage"], ["seeds=1,3", "tables=10"])
    assert call.options.seeds == [1, 3] and call.options.tables == 10
    assert read("tables", COMMANDS["tables"], ["a", "gain=1", "gain=2"]).options.gain == 2, "the later wins"


def test_names_of_the_rules_are_those_of_the_estimators():
    assert (tuple(TIE_RULES), tuple(NO_ANSWER_RULES)) == (TIES, NO_ANSWER)
