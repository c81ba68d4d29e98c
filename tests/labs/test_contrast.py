"""Two rows on one frozen batch: every row can be put on it, and what is printed is what their coefficients are."""

from __future__ import annotations

import json

import pytest
import torch

from unified_rl.cli import main
from unified_rl.labs import contrast
from unified_rl.methods import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_row_can_be_measured(method):
    inputs, logp = contrast.batch()
    side = contrast.measure(method, inputs, logp)
    assert side.shares_BT.isfinite().all()
    same = method in ("pass_at_k", "gkd")  # of four responses there is only one subset of four; of GKD nothing is of log-probs
    assert (side.shares_BT[inputs.response_mask_BT].abs().sum() > 0) != same
    assert (side.shares_BT[~inputs.response_mask_BT] == 0).all()


def test_a_row_does_not_differ_from_itself():
    same = contrast.compare("grpo", "grpo")
    assert same.facts()["tokens_that_differ"] == 0 and same.factors() == []
    assert "0 of" in same.text() and "none" in same.text()


def test_what_differs_by_hand():
    # Dr. GRPO has no std, no KL and 1/(8 x 6) in place of 1/(8 |o|): but for the KL, its share is GRPO's times |o| / 6 times the
    # std, which is 1/2 where the rewards are 1, 0, 1, 0, and of 1, 0, 1/2, 0 the root of (25 + 9 + 1 + 9) / 64 / 4
    found = contrast.compare("grpo", "dr_grpo")
    assert found.factors() == ["advantage.advantage", "kl.kl_coef", "kl.ref_ratio_minus_one"]
    std = torch.tensor([0.5] * 4 + [(44 / 256) ** 0.5] * 4, dtype=torch.float64)[:, None]
    lengths = found.mask_BT.sum(1, keepdim=True)
    terms = found.ours.terms
    of_advantage = terms["advantage"].value() * found.mask_BT / (8 * lengths)
    assert torch.allclose(found.theirs.shares_BT, of_advantage * lengths / 6 * std)
    facts = found.facts()
    assert facts["tokens_that_differ"] == facts["tokens"] == int(found.mask_BT.sum()) == len(facts["shares"])


def test_the_command_says_both(capsys):
    assert main(["methods", "--diff", "dpo", "ipo"]) == 0
    text = capsys.readouterr().out
    assert "coefficient\n  dpo  dpo" in text and "preference.slope" in text and "microscope methods=dpo,ipo" in text
    assert main(["methods", "--diff", "dpo", "ipo", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["batch"]["factors"] == ["preference.slope"]
