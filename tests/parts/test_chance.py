"""Chance for coefficients: by seed, update and place, whatever is padded, left out or resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from tiny import words

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.loop.chance import uniform
from unified_rl.presets.loading import load_config

DRAWN = ("coefficient.share=0.2", "coefficient.above=0", "coefficient.below=9", "rollout.epochs=2", "rollout.minibatches=2")


def test_a_token_s_number_is_its_own():
    mask = torch.ones(4, 6, dtype=torch.bool)
    whole = uniform(3, 7, np.arange(4), mask)
    assert whole.dtype == torch.float64
    assert ((whole >= 0) & (whole < 1)).all()
    assert len(whole.unique()) == whole.numel()
    some = uniform(3, 7, np.array([2, 0]), mask[:2, :3])
    assert torch.equal(some, whole[[2, 0], :3])
    for other in (uniform(4, 7, np.arange(4), mask), uniform(3, 8, np.arange(4), mask)):
        assert (other != whole).all()


def test_a_run_draws_tokens_and_resumes_bit_for_bit(tmp_path):
    def trained(run, *more):
        assert main(["train", *words("clip_cov", tmp_path / run, tmp_path / "artifacts", *DRAWN, *more)]) == 0
        return [json.loads(line) for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]

    whole = trained("whole", "trainer.steps=2")
    trained("parts", "trainer.steps=1")
    assert trained("parts", "trainer.steps=2", "resume=true") == whole
    plain = trained("plain", "trainer.steps=1", "coefficient.above=8")
    assert plain[0]["grad_norm"] != whole[0]["grad_norm"], "what is drawn has no gradient"


def test_a_band_that_holds_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"coefficient\.above=5.0 must be less than coefficient\.below=5.0"):
        load_config(["method=clip_cov", "coefficient.above=5"])
    with pytest.raises(ConfigError, match=r"coefficient\.share=2"):
        load_config(["method=clip_cov", "coefficient.share=2"])
