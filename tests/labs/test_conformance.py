"""Other projects' own gradients against one line of configuration each: those recorded here, and more where they lie beside us."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from unified_rl.base.errors import DataError
from unified_rl.cli import main
from unified_rl.labs import conformance
from unified_rl.labs.conformance_lines import LINES
from unified_rl.ops import advantages
from unified_rl.ops.gates import clipped, not_off_policy

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "golden"
SHARED = ROOT.parent / "shared" / "golden" / "peers.json"
beside = pytest.mark.skipif(not SHARED.is_file(), reason=f"no golden gradients at {SHARED}")


def test_every_recorded_gradient_is_that_of_its_line():
    found = conformance.compare(conformance.read(RECORDED))
    assert len(found) >= 8
    for one in found:
        assert one.agrees or (one.fault and one.difference > 1e-3), one
    assert sum(bool(one.fault) for one in found) == 2, "ORPO and CPO of TRL, whose other rows say what their faults are"


@beside
def test_every_gradient_of_seven_projects_is_that_of_its_line_or_a_fault_that_is_named():
    found = conformance.compare(conformance.read(SHARED))
    assert len({one.peer for one in found}) == 7
    for one in found:
        assert one.agrees or (one.fault and one.difference > 1e-3), one
    assert sum(bool(one.fault) for one in found) <= 2


@beside
def test_the_record_that_is_at_fault_agrees_with_the_advantages_that_its_own_gradient_implies():
    """slime's use_opsm was fed other advantages than those of the rewards recorded with it: its gate is ours nevertheless."""
    golden = conformance.read(SHARED)
    row = next(row for row in golden["rows"] if row["method"] == "use_opsm")
    inputs = conformance.inputs_of(golden["data"][row["data"]])
    logp, mask = torch.tensor(golden["data"][row["data"]]["logp"], dtype=torch.float64), inputs.response_mask_BT
    theirs = torch.tensor(row["gradient"], dtype=torch.float64)
    ratio = (logp - inputs.old_logp_BT).exp()
    count = mask.sum(1)
    implied = torch.where(mask, -theirs / ratio * len(logp) * count[:, None], 0)
    strongest = implied.gather(1, implied.abs().argmax(1)[:, None])[:, 0]
    for group in inputs.group_B.unique():
        rows = (inputs.group_B == group).nonzero()[:, 0]
        dropped = rows[strongest[rows] == 0]
        assert len(dropped) <= 1, "one response per group at most was dropped, so that the others say what its advantage was"
        strongest[dropped] = -strongest[rows].sum()
        assert strongest[rows].std(correction=0).item() == pytest.approx(1, abs=1e-9)
    given = advantages.to_tokens(strongest, mask)
    gate = not_off_policy(logp, inputs.old_logp_BT, mask, given, 0.02)
    factors = clipped(ratio, given, 0.2, 0.2)
    ours = -factors["importance_weight"] * factors["not_clipped"] * given * gate / len(logp) / count[:, None]
    assert conformance.difference(torch.where(mask, ours, 0), theirs) < 1e-9


def test_another_line_than_its_own_is_told_apart():
    """The comparison can fail: with another clip, another estimator or another average the difference is large."""
    golden = conformance.read(RECORDED)
    rows = {row["method"]: row for row in golden["rows"]}
    for method, words in (
        ("clip-higher (same A)", "method=grpo coefficient.kl_coef=0"),
        ("KL loss k3", "method=grpo coefficient.kl_estimator=k1"),
        ("cispo", "method=cispo coefficient.clip_high=0.28"),
        ("use_opsm, recorded here", "method=grpo coefficient.kl_coef=0"),
    ):
        ours = conformance.gradient(words.split(), golden["data"][rows[method]["data"]])
        assert conformance.difference(ours, torch.tensor(rows[method]["gradient"], dtype=torch.float64)) > 1e-3, method


def test_the_command_prints_the_table_and_names_what_is_missing(tmp_path, capsys):
    assert main(["conformance", "slime", f"golden={RECORDED}"]) == 0
    printed = capsys.readouterr().out
    assert "| slime | gspo | `method=gspo" in printed
    assert "8 of 8 agree within 1e-06" in printed
    assert main(["conformance", "nobody", f"golden={RECORDED}"]) == 2
    assert "there are of slime" in capsys.readouterr().err
    assert main(["conformance", f"golden={tmp_path}"]) == 2
    assert "python -m tools.golden" in capsys.readouterr().err
    (tmp_path / "other.json").write_text(json.dumps({"rows": []}))
    with pytest.raises(DataError, match="no golden file"):
        conformance.read(tmp_path)


def test_a_loss_without_a_line_is_said_to_have_none():
    golden = conformance.read(RECORDED)
    found = conformance.compare({**golden, "rows": [{**golden["rows"][0], "method": "a new one"}]})
    assert (found[0].difference, found[0].verdict) == (None, "no line")


def test_the_page_has_every_line():
    text = (ROOT / "docs" / "conformance.md").read_text()
    for peer, lines in LINES.items():
        for method, line in lines.items():
            assert f"| {peer} | {method.replace('|', chr(92) + '|')} | `{line.words}` |" in text, (
                f"docs/conformance.md lacks {peer}, {method}; put in what `unified-rl conformance golden=...` prints"
            )
