"""The mixes that ship: whose each line is, the paper's numbers in them, and what `explain` plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unified_rl.cli import main
from unified_rl.planning import pretraining
from unified_rl.presets import loading
from unified_rl.stages.kinds.pretrain import command_config, runs_of

MIXES = Path(loading.CONFIGS) / "mix"
LARGE = sorted(path.stem for path in MIXES.glob("*.yaml") if path.stem != "tiny")


@pytest.mark.parametrize("name", LARGE)
def test_each_line_says_whose_it_is(name):
    for line in (MIXES / f"{name}.yaml").read_text().splitlines():
        setting, _, mark = line.partition("  # ")
        opens = setting.rstrip().endswith(":") or not setting.strip() or setting.startswith("#")
        assert opens or mark.startswith(("paper", "our choice")), line


@pytest.mark.parametrize("name", LARGE)
def test_each_is_planned_and_fits(name):
    for run in pretraining.facts(runs_of([f"mix={name}"])):
        assert run["plan"]["memory"]["fits"] and run["gpu_days"] > 1
        assert sum(one["tokens"] for one in run["sources"]) == pytest.approx(run["tokens"], rel=1e-9)


def test_the_papers_numbers():
    """Section 2.3 and 2.2.1; Tables 6 and 7."""
    base, ablation = (command_config([f"mix={name}"]) for name in ("deepseekmath_base_7b", "corpus_ablation_1_3b"))
    assert {one.name: one.weight for one in base.pretraining.sources} == {
        "mathematics": 0.56,
        "algebraic_stack": 0.04,
        "arxiv": 0.1,
        "code": 0.2,
        "natural_language": 0.1,
    }
    assert (base.pretraining.tokens, base.trainer.learning_rate) == (500e9, 4.2e-4)
    assert base.pretraining.step_tokens == pytest.approx(10e6, rel=1e-3)
    assert (ablation.pretraining.tokens, ablation.trainer.learning_rate, ablation.trainer.warmup_steps) == (150e9, 5.3e-4, 2000)
    assert ablation.pretraining.step_tokens == pytest.approx(4e6, rel=1e-3)
    assert (ablation.trainer.schedule, ablation.trainer.milestones, ablation.trainer.rates) == (
        "multi_step",
        [0.8, 0.9],
        [0.316, 0.1],
    )
    assert (ablation.trainer.weight_decay, ablation.trainer.beta1, ablation.trainer.beta2) == (0.1, 0.9, 0.95)
    tables = ("general_then_mathematics", "code_then_mathematics", "mathematics", "code_and_mathematics")
    budgets = {name: [run.pretraining.tokens / 1e9 for run in runs_of([f"mix={name}_1_3b"])] for name in tables}
    assert budgets == dict(zip(tables, [[400, 150], [400, 150], [150], [550]], strict=True))
    mixed = command_config(["mix=code_and_mathematics_1_3b"]).pretraining.sources
    assert [one.weight for one in mixed] == [400, 150]


def test_explain_says_gpu_days_checkpoints_and_volume(capsys):
    assert main(["explain", "mix=deepseekmath_base_7b"]) == 0
    text = capsys.readouterr().out
    assert "mathematics: 56.0%, 280,003,799,613 tokens, 2.33 epochs; files of 447.8 GiB" in text
    assert "GPU-days" in text and "checkpoints: 201 of 90.1 GiB" in text and "-m unified_rl.cli pretrain mix=" in text
    assert main(["explain", "mix=code_then_mathematics_1_3b", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["label"] == "pre-training, stage first" and second["tokens"] == pytest.approx(150e9, rel=1e-4)
    # 6 FLOPs per weight and token, attention and embeddings aside: an independent estimate, to a fifth
    weights = 1_633_781_760 - 102_400 * 2048
    days = 6 * weights * 150e9 / (0.18 * 989e12) / 86400
    assert second["gpu_days"] == pytest.approx(days, rel=0.2)
