"""logging.reference_kl: the KL from the reference in the log of a method that has no use for one, and nothing else changed."""

from __future__ import annotations

import json

import pytest
from tiny import words

from unified_rl.cli import main
from unified_rl.methods.losses import all_needs
from unified_rl.presets.loading import load_config


def test_it_asks_for_a_reference_where_the_method_does_not():
    plain, watched = (load_config(["method=online_rft", *more]) for more in ([], ["logging.reference_kl=true"]))
    assert "ref_logp" not in all_needs(plain) and all_needs(watched) == all_needs(plain) | {"ref_logp"}


@pytest.mark.long
def test_training_is_the_same_with_it_and_the_kl_rises_from_nothing(tmp_path):
    rows = {}
    for name, more in (("watched", ["logging.reference_kl=true"]), ("plain", [])):
        fast = ("trainer.steps=3", "trainer.learning_rate=1e-3", *more)
        assert main(["train", *words("online_rft", tmp_path / name, tmp_path / "artifacts", *fast)]) == 0
        rows[name] = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
    kl = [row["kl/k3"] for row in rows["watched"]]
    assert kl[0] == 0 and 0 < kl[1] < kl[2]
    without = [{key: value for key, value in row.items() if not key.startswith("kl/")} for row in rows["watched"]]
    assert without == rows["plain"]
