"""Causal language models of many families, made tiny by transformers alone: right, or refused in one line."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from tiny import words

from tools.model_checks import outcome, tokenizer
from tools.model_table import PAGE, built, page
from tools.tiny_models import FAMILIES, tiny_model
from unified_rl.cli import main

#: Shared prompts under windows per layer, a soft cap, a scale, latent attention with experts, whole sequences, and a state.
SIX = {
    "gemma2": ("shared prompts", "cache"),
    "gpt_oss": ("shared prompts", "cache"),
    "granite": ("shared prompts", "cache"),
    "deepseek_v3": ("shared prompts", "cache"),
    "mpt": ("whole sequences", "every token again"),
    "lfm2": ("one sequence", "every token again"),
}
WORKING = (
    *("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "gemma3_text", "olmo2", "granite", "cohere"),
    *("gpt_neox", "gpt2", "deepseek_v3", "mixtral", "opt", "bloom", "falcon", "xglm", "gpt_neo", "mamba2"),
)

#: Not of Qwen-2, whose tokenizer is always its own and has no words here: `tests/run/test_hugging_face_models.py` has it.
PPO = sorted({*SIX, *WORKING} - {"qwen2"})


@pytest.mark.parametrize("family", SIX)
def test_six_families(family, tmp_path):
    found = outcome(family, tiny_model(family), tmp_path / "model")
    assert (found.line, found.rows, found.decoding) == ("", *SIX[family])


@cache
def every_family():
    return dict(built([*FAMILIES]))


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_every_family_works_or_is_refused_in_a_line():
    tried = {family: one for family, one in every_family().items() if one is not None}
    working = {family for family, one in tried.items() if not one.line}
    assert len(tried) >= 80
    assert len(working) >= 45
    assert working >= set(WORKING)


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_the_page_says_what_was_found():
    assert PAGE.read_text(encoding="utf-8") == page(every_family())


@pytest.mark.parametrize(
    "family",
    ["opt", *(pytest.param(family, marks=pytest.mark.nightly) for family in PPO if family != "opt")],
)
def test_ppo_runs_and_goes_on(family, tmp_path):
    """Two steps and two more are four: policy, value model and what a decoder is read by, all from the checkpoint."""
    tiny_model(family).save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    more = (
        *("init=base", f"model.path={tmp_path / 'base'}", "logging.curve_problems=0", "generator.max_new_tokens=6"),
        *("trainer.learning_rate=0.001", "rollout.prompts_per_step=2", "rollout.responses_per_prompt=2"),
    )
    runs = {name: words("ppo", tmp_path / name, tmp_path / "artifacts", *more) for name in ("whole", "halves")}
    assert main(["train", *runs["whole"]]) == 0
    assert main(["train", *runs["halves"], "trainer.steps=2"]) == 0
    assert main(["train", *runs["halves"], "resume=true"]) == 0
    whole, halves = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()] for name in runs
    )
    assert len(whole) == 4
    for entry, same in zip(whole, halves, strict=True):
        assert entry == pytest.approx(same, rel=1e-4, abs=1e-5)
        assert entry["sampler/max_logp_difference"] < 1e-4 * max(1.0, abs(entry["logp/mean"]) * 10)


def test_a_document_does_not_reach_the_next_whatever_the_model(tmp_path):
    """The likelihood of documents, and its gradient, do not depend on how many of them a row holds."""
    from tools.model_checks import _sequences
    from unified_rl.models.forward import response_logps
    from unified_rl.models.traits import fitted
    from unified_rl.packing.layout import Layout

    for family in ("lfm2", "mamba2", "gpt_neo"):
        model, losses = tiny_model(family), []
        for row_tokens in (1, 200):
            model.zero_grad()
            packed = fitted(Layout(row_tokens, 400), model).pack(_sequences(), None, torch.device("cpu"))
            for micro_batch in packed:
                response_logps(model, micro_batch)[0].sum().backward()
            losses.append(torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None]))
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-3 * float(losses[0].abs().max()))
