"""Breaks the maths on purpose, one mutant at a time, and counts how many the test suite notices.

    python -m tools.mutants [workers=N] [only=SUBSTRING]

Each mutant replaces one piece of text in a copy of the code; its tests must then fail. Prints the score; exits 1 if any survive.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Fast tests first: most mutants die there.
MATHS = (("tests/maths/test_by_hand.py", "tests/maths/test_properties.py"), ("tests/maths/test_gradients.py",))
REWARDS = (("tests/rewards", "tests/training/test_reward_model.py", "tests/parts/test_replay.py"),)
NOISE = (("tests/rewards", "tests/run/test_reward_model_stages.py", "tests/run/test_learned_rewards.py"),)
LABELS = (("tests/run/test_reward_model_stages.py",),)
LOGPROBS = (("tests/ops/test_logprobs.py",), ("tests/maths/test_entropy_bonus.py",))
SOURCES = (("tests/parts/test_sources.py",), ("tests/parts/test_source_declarations.py",))
IMPORTANCE = (("tests/maths/test_importance.py",), ("tests/maths/test_gradients.py",))
AHEAD = (("tests/parts/test_ahead_of_training.py",),)
PACKING = (("tests/packing/test_packing.py",),)
RECORDS, BATCH, ASKED = (
    ((f"tests/{name}.py",),) for name in ("parts/test_record", "training/test_batch", "sampling/test_requests")
)
DECODING = (("tests/sampling/test_torch_generator.py",), ("tests/sampling/test_compiled_step.py",))


@dataclass(frozen=True)
class Mutant:
    """In `unified_rl/<file>`, the text `old` (which must occur) becomes `new`; one of `suites` must notice."""

    file: str
    what: str
    old: str
    new: str
    suites: tuple[tuple[str, ...], ...] = MATHS


ADV, AGG, COEF, KL, PREF, TERMS = (
    f"ops/{name}.py" for name in ("advantages", "aggregation", "coefficients", "kl", "preferences", "terms")
)
PPO, GROUPS, BASE, SUR = "methods/critic.py", "methods/policy_gradient.py", "methods/base.py", "loop/surrogate.py"
RM = "training/reward_loss.py"
REPLAY, STEPS = "sources/replay.py", "stages/step_labels.py"
RATIO, TEACHER, LOSSES = "methods/sequence_ratio.py", "methods/distillation.py", "methods/losses.py"
LOGPS, PAIRS = "ops/logprobs.py", "sources/pairs.py"
MODEL, MIXED = "rewards/model.py", "rewards/mixtures.py"
LEAN, CACHE, SAMPLING = "sampling/llama_decoder.py", "sampling/kv_cache.py", "sampling/draws.py"
ATTEND, RECORD = "models/attention.py", "loop/record.py"
IMP, CORRECTED, LATER, PACK = "ops/importance.py", "methods/importance.py", "sources/ahead.py", "packing/packed_rows.py"

MUTANTS = (
    Mutant(
        ADV, "ddof 1 instead of 0", "len(groups)) / count\n    largest", "len(groups)) / (count - 1).clamp(min=1)\n    largest"
    ),
    Mutant(ADV, "variance not centred", "(values_N - mean[index]).square()", "values_N.square()"),
    Mutant(ADV, "advantage not centred", "return (values_N - mean[index]) * scale[index]", "return values_N * scale[index]"),
    Mutant(
        ADV,
        "sign of the advantage",
        "return (values_N - mean[index]) * scale[index]",
        "return (mean[index] - values_N) * scale[index]",
    ),
    Mutant(ADV, "zero-variance groups not recognised", "std <= MIN_STD * largest.clamp(min=1.0)", "std < 0"),
    Mutant(
        ADV,
        "zero-variance test ignores the size of rewards",
        "MIN_STD * largest.clamp(min=1.0)",
        "MIN_STD * torch.ones_like(largest)",
    ),
    Mutant(ADV, "zero-variance threshold too large", "MIN_STD = 1e-6", "MIN_STD = 1e-3"),
    Mutant(ADV, "leave-one-out: no G / (G - 1)", "* (count / others)[index]", ""),
    Mutant(ADV, "leave-one-out: group of one", "* (count > 1)[index]", "+ rewards_B * (count == 1)[index]"),
    Mutant(
        ADV,
        "centred: whole batch's mean",
        "rewards_B - _segment_sum(rewards_B, index, len(count))[index] / count[index]",
        "rewards_B - rewards_B.mean()",
    ),
    Mutant(ADV, "process: pooled over the batch, not the group", "group_B[rows])", "group_B[rows] * 0)"),
    Mutant(
        ADV,
        "process: own step only",
        "return _own_and_later_sum(normalised) * response_mask_BT",
        "return normalised * response_mask_BT",
    ),
    Mutant(ADV, "process: sum over earlier steps", "values_BT.flip(1).cumsum(1).flip(1)", "values_BT.cumsum(1)"),
    Mutant(
        ADV,
        "process: off by one (own step excluded)",
        "values_BT.flip(1).cumsum(1).flip(1)",
        "(values_BT.flip(1).cumsum(1).flip(1) - values_BT)",
    ),
    Mutant(ADV, "outcome reward at the first token", "(later == 1)", "(later == later.max(1, keepdim=True).values)"),
    Mutant(ADV, "outcome reward at every token", "(response_mask_BT & (later == 1))", "response_mask_BT"),
    Mutant(ADV, "KL reward: sign", "return rewards_BT - kl_coef", "return rewards_BT + kl_coef"),
    Mutant(
        ADV,
        "KL reward: reference and policy swapped",
        "(old_logp_BT - ref_logp_BT) * response_mask_BT",
        "(ref_logp_BT - old_logp_BT) * response_mask_BT",
    ),
    Mutant(ADV, "GAE: no discount on the next value", "+ discount * next_value", "+ next_value"),
    Mutant(ADV, "GAE: no trace decay", "delta + discount * trace_decay * advantage", "delta + discount * advantage"),
    Mutant(ADV, "GAE: value not subtracted", "+ discount * next_value - values_BT[:, t]", "+ discount * next_value"),
    Mutant(
        ADV,
        "GAE: gaps break the chain",
        "next_value = torch.where(on, values_BT[:, t], next_value)",
        "next_value = values_BT[:, t]",
    ),
    Mutant(ADV, "GAE: forward in time", "for t in reversed(range(values_BT.shape[1])):", "for t in range(values_BT.shape[1]):"),
    Mutant(
        ADV, "GAE: returns are the advantages", "(advantages + values_BT) * response_mask_BT", "advantages * response_mask_BT"
    ),
    Mutant(
        AGG,
        "sequence mean: no 1/|o|",
        "1.0 / (len(lengths) * lengths.clamp(min=1))",
        "1.0 / (len(lengths) * torch.ones_like(lengths))",
    ),
    Mutant(AGG, "sequence mean: no 1/N", "1.0 / (len(lengths) * lengths.clamp(min=1))", "1.0 / lengths.clamp(min=1)"),
    Mutant(
        AGG, "sequence mean: N counts non-empty only", "1.0 / (len(lengths) * lengths", "1.0 / ((lengths > 0).sum() * lengths"
    ),
    Mutant(
        AGG,
        "prompt token mean: over the batch",
        "totals.clamp(min=1))[index_B])",
        "totals.sum().clamp(min=1).expand(len(groups)))[index_B])",
    ),
    Mutant(
        AGG,
        "batch token mean: sequences counted, not tokens",
        "1.0 / lengths.sum().clamp(min=1)",
        "1.0 / torch.tensor(float(len(lengths)))",
    ),
    Mutant(AGG, "constant length ignored", "1.0 / (len(lengths) * length)", "1.0 / len(lengths)"),
    Mutant(AGG, "pair loss halved", "return 2.0 * sequence_mean(lengths_B)", "return sequence_mean(lengths_B)"),
    Mutant(
        AGG,
        "kept truncated dropped and the reverse",
        "torch.where(truncated_B, torch.zeros_like(weights_B), weights_B)",
        "torch.where(truncated_B, weights_B, torch.zeros_like(weights_B))",
    ),
    Mutant(
        KL,
        "k3 term: sign",
        "ref_ratio_minus_one=torch.expm1(ref_logp_BT - logp_BT)",
        "ref_ratio_minus_one=-torch.expm1(ref_logp_BT - logp_BT)",
    ),
    Mutant(
        KL,
        "k3 term: ratio inverted",
        "ref_ratio_minus_one=torch.expm1(ref_logp_BT - logp_BT)",
        "ref_ratio_minus_one=torch.expm1(logp_BT - ref_logp_BT)",
    ),
    Mutant(KL, "k3 term: minus one forgotten", "ref_ratio_minus_one=torch.expm1(", "ref_ratio_minus_one=torch.exp("),
    Mutant(KL, "k3 value: log ratio forgotten", "return torch.expm1(log_ratio) - log_ratio", "return torch.expm1(log_ratio)"),
    Mutant(KL, "k2 value: no half", "return 0.5 * (logp_BT", "return (logp_BT"),
    Mutant(KL, "k1 term: sign", "kl_coef=_constant(logp_BT, -kl_coef), one=", "kl_coef=_constant(logp_BT, kl_coef), one="),
    Mutant(KL, "k2 term: sign", "-kl_coef), log_ratio=logp_BT - ref_logp_BT)", "kl_coef), log_ratio=logp_BT - ref_logp_BT)"),
    Mutant(
        KL,
        "weighted k3: no importance weight",
        "importance_weight=torch.exp(logp_BT - old_logp_BT)",
        "importance_weight=torch.ones_like(logp_BT)",
    ),
    Mutant(COEF, "ratio inverted", "ratio = torch.exp(logp_BT - old_logp_BT)", "ratio = torch.exp(old_logp_BT - logp_BT)"),
    Mutant(COEF, "ratio without exp", "ratio = torch.exp(logp_BT - old_logp_BT)", "ratio = 1 + logp_BT - old_logp_BT"),
    Mutant(
        COEF,
        "clip on the wrong side above",
        "(advantages_BT > 0) & (ratio > 1 + clip_high)",
        "(advantages_BT < 0) & (ratio > 1 + clip_high)",
    ),
    Mutant(
        COEF,
        "clip on the wrong side below",
        "(advantages_BT < 0) & (ratio < 1 - clip_low)",
        "(advantages_BT > 0) & (ratio < 1 - clip_low)",
    ),
    Mutant(
        COEF,
        "clip on both sides",
        "((advantages_BT > 0) & (ratio > 1 + clip_high)) | ((advantages_BT < 0) & (ratio < 1 - clip_low))",
        "(ratio > 1 + clip_high) | (ratio < 1 - clip_low)",
    ),
    Mutant(COEF, "no clip", "not_clipped=(~clipped).to(ratio)", "not_clipped=torch.ones_like(ratio)"),
    Mutant(COEF, "clip mask inverted", "not_clipped=(~clipped).to(ratio)", "not_clipped=clipped.to(ratio)"),
    Mutant(
        COEF,
        "importance weight dropped",
        "term(importance_weight=ratio, not_clipped",
        "term(importance_weight=torch.ones_like(ratio), not_clipped",
    ),
    Mutant(
        COEF, "clip_low and clip_high swapped", "advantages_BT, clip_low, clip_high)}", "advantages_BT, clip_high, clip_low)}"
    ),
    Mutant(
        COEF,
        "GRPO: KL term missing",
        '        "kl": kl.loss_term(kl_estimator, logp_BT, ref_logp_BT, old_logp_BT, kl_coef),\n',
        "",
    ),
    Mutant(
        COEF,
        "GRPO: reference and old policy swapped",
        "kl.loss_term(kl_estimator, logp_BT, ref_logp_BT, old_logp_BT, kl_coef)",
        "kl.loss_term(kl_estimator, logp_BT, old_logp_BT, ref_logp_BT, kl_coef)",
    ),
    Mutant(COEF, "SFT: -1", "term(one=response_mask_BT.to(dtype))", "term(one=-response_mask_BT.to(dtype))"),
    Mutant(COEF, "RFT: wrong responses rewarded", "term(correct=correct_B[:, None])", "term(correct=1 - correct_B[:, None])"),
    Mutant(
        COEF,
        "DPO: sigma of +m",
        '"misranking": torch.sigmoid(-margin_B)[:, None]',
        '"misranking": torch.sigmoid(margin_B)[:, None]',
    ),
    Mutant(COEF, "DPO: beta missing outside", "torch.full((), beta, dtype", "torch.full((), 1.0, dtype"),
    Mutant(
        COEF, "DPO: |o| missing", "term(length=response_mask_BT.sum(1, keepdim=True).to(logp_BT), **factors)", "term(**factors)"
    ),
    Mutant(
        COEF, "DPO: means for sums", "log_ratio_B = preferences.summed_log_ratio", "log_ratio_B = preferences.mean_log_ratio"
    ),
    Mutant(
        COEF,
        "DPO length-averaged: sums for means",
        "log_ratio_B = preferences.mean_log_ratio",
        "log_ratio_B = preferences.summed_log_ratio",
    ),
    Mutant(COEF, "Eq. 14: sigma of +m", "misranking=torch.sigmoid(-margin_BT)", "misranking=torch.sigmoid(margin_BT)"),
    Mutant(PREF, "chosen and rejected swapped", "torch.where(chosen_B, 1.0, -1.0)", "torch.where(chosen_B, -1.0, 1.0)"),
    Mutant(PREF, "margin: beta missing inside", "return beta * (signed_B", "return (signed_B"),
    Mutant(
        PREF,
        "reference added",
        "return _masked(logp_BT - ref_logp_BT, response_mask_BT).sum(1)",
        "return _masked(logp_BT + ref_logp_BT, response_mask_BT).sum(1)",
    ),
    Mutant(
        PREF,
        "padding counted in the sum",
        "_masked(logp_BT - ref_logp_BT, response_mask_BT).sum(1)",
        "(logp_BT - ref_logp_BT).sum(1)",
    ),
    Mutant(
        PREF,
        "Eq. 14: tokens aligned by column, not by position",
        "position_BT = (response_mask_BT.cumsum(1) - 1).clamp(min=0)",
        "position_BT = torch.arange(logp_BT.shape[1]).expand_as(logp_BT)",
    ),
    Mutant(
        PREF,
        "Eq. 14: off by one",
        "(response_mask_BT.cumsum(1) - 1).clamp(min=0)",
        "response_mask_BT.cumsum(1).clamp(max=logp_BT.shape[1] - 1)",
    ),
    Mutant(
        TERMS,
        "terms multiplied, not added",
        "total = sum((item.value() for item in terms.values()), start=torch.zeros((), device=response_mask_BT.device))",
        "total = reduce(torch.mul, [item.value() for item in terms.values()])",
    ),
    Mutant(
        TERMS,
        "mask multiplied, not selected",
        "torch.where(response_mask_BT, total, zero).detach()",
        "(total * response_mask_BT).detach()",
    ),
    Mutant(
        TERMS,
        "coefficient not detached",
        "torch.where(response_mask_BT, total, zero).detach()",
        "torch.where(response_mask_BT, total, zero)",
    ),
    Mutant(
        PPO,
        "PPO: GAE settings swapped",
        "discount=self.discount, trace_decay=self.trace_decay",
        "discount=self.trace_decay, trace_decay=self.discount",
    ),
    Mutant(
        BASE,
        "PPO: process rewards ignored",
        "return given(inputs.step_rewards_BT) * inputs.step_ends_BT",
        "return ops.advantages.at_last_token(inputs.rewards_B, inputs.response_mask_BT)",
    ),
    Mutant(
        BASE,
        "PPO: rewards read where no step ends",
        "return given(inputs.step_rewards_BT) * inputs.step_ends_BT",
        "return given(inputs.step_rewards_BT) + 1.0 * (~inputs.step_ends_BT)",
    ),
    Mutant(GROUPS, "RLOO: KL not in the reward", "self.kl_coef)\n        advantages_B", "0.0)\n        advantages_B"),
    Mutant(
        GROUPS,
        "Dr. GRPO: divided by std",
        "centred_B = ops.advantages.group_centred",
        "centred_B = ops.advantages.group_normalised",
    ),
    Mutant(SUR, "surrogate: sign", "total = -token_sum(", "total = token_sum("),
    Mutant(
        SUR,
        "surrogate: weights of the wrong rows",
        "self._weights_B[rows_b, None], inputs.response_mask_BT",
        "self._weights_B[: len(rows_b), None], inputs.response_mask_BT",
    ),
    Mutant(
        SUR,
        "surrogate: inputs of the wrong rows",
        "self._inputs.rows(rows_b), outputs",
        "self._inputs.rows(torch.arange(len(rows_b))), outputs",
    ),
    Mutant(
        SUR,
        "aggregation: prompt mean for batch mean",
        '"prompt_token_mean": lambda: aggregation.prompt_token_mean(lengths_B, inputs.group_B)',
        '"prompt_token_mean": lambda: aggregation.batch_token_mean(lengths_B)',
    ),
    Mutant(RM, "read before the token, not after", "row[end_K + 1] = label_K", "row[end_K] = label_K", REWARDS),
    Mutant(
        RM,
        "loss: mean of the micro-batch",
        "torch.where(known_N, loss_N, 0).sum() / self._count",
        "loss_N[known_N].mean()",
        REWARDS,
    ),
    Mutant(MODEL, "minimum becomes mean", "float(values_K.min())", "float(values_K.mean())", REWARDS),
    Mutant(MODEL, "min form: weight on the best step", "exponents_K = -(rewards_K", "exponents_K = (rewards_K", REWARDS),
    Mutant(MODEL, "everything is accepted", "accepted=probability > 0.5", "accepted=probability > 0.0", REWARDS),
    Mutant(MIXED, "rates swapped", "draw < self._rates[right]", "draw < self._rates[not right]", REWARDS),
    Mutant(MIXED, "noise: the same for all steps", "step, *response.token_ids", "*response.token_ids", REWARDS),
    Mutant(MIXED, "rule given to every step", "of_rule[-1] = rule.reward", "of_rule[:] = rule.reward", REWARDS),
    Mutant(REPLAY, "share of the fresh data", "len(fresh) * share / (1 - share)", "len(fresh) * share", REWARDS),
    Mutant(
        REPLAY,
        "wrong origin",
        "[Kept(item, iteration, policy) for item in fresh]",
        "[Kept(item, 0, policy) for item in fresh]",
        REWARDS,
    ),
    Mutant(STEPS, "hard label: all, not any", "first.any(1)", "first.all(1)", LABELS),
    Mutant(
        STEPS, "labels from the last completions", "self.successes[:, :completions]", "self.successes[:, -completions:]", LABELS
    ),
    Mutant(
        IMP,
        "importance: sampler over trainer",
        "difference = old_logp_BT - behaviour_logp_BT",
        "difference = behaviour_logp_BT - old_logp_BT",
        IMPORTANCE,
    ),
    Mutant(
        IMP,
        "importance: padding counts",
        "torch.where(response_mask_BT, difference, torch.zeros_like(difference))",
        "difference",
        IMPORTANCE,
    ),
    Mutant(IMP, "importance: mean over the response", ".sum(1, keepdim=True)", ".mean(1, keepdim=True)", IMPORTANCE),
    Mutant(IMP, "truncated: from below", "(cap / weight).clamp(max=1.0)", "(cap / weight).clamp(min=1.0)", IMPORTANCE),
    Mutant(IMP, "truncated: upside down", "(cap / weight)", "(weight / cap)", IMPORTANCE),
    Mutant(IMP, "masked: no floor", "((weight >= floor) & (weight <= cap))", "(weight <= cap)", IMPORTANCE),
    Mutant(IMP, "masked: no cap", "((weight >= floor) & (weight <= cap))", "(weight >= floor)", IMPORTANCE),
    Mutant(IMP, "importance: first term only", "in terms.items()}", "in list(terms.items())[:1]}", IMPORTANCE),
    Mutant(CORRECTED, "importance: of the present policy", "(inputs.old_or(logp_BT), inputs", "(logp_BT, inputs", IMPORTANCE),
    Mutant(CORRECTED, "importance: forms swapped", 'name == "truncated"', 'name == "masked"', IMPORTANCE),
    Mutant(ADV, "positives: the size", "return advantages_BT.clamp(min=0)", "return advantages_BT.abs()"),
    Mutant(ADV, "negatives: the positives", "return advantages_BT.clamp(max=0)", "return advantages_BT.clamp(min=0)"),
    Mutant(
        GROUPS,
        "GRPO, KL in the reward: sign",
        "rewards_B = inputs.rewards_B + kl_penalty(inputs, self.kl_coef)\n        normalised_B",
        "rewards_B = inputs.rewards_B - kl_penalty(inputs, self.kl_coef)\n        normalised_B",
    ),
    Mutant(RATIO, "GSPO: clips swapped", "clip_low=self.clip_low", "clip_low=self.clip_high + 0.1"),
    Mutant(RATIO, "GSPO: ratio of the sum", "ops.preferences.mean_log_ratio", "ops.preferences.summed_log_ratio"),
    Mutant(
        TEACHER, "distillation: away from the teacher", "inputs.teacher_logp_BT - logp_BT", "logp_BT - inputs.teacher_logp_BT"
    ),
    Mutant(LOGPS, "entropy gradient: entropy missing", "(d_logits + entropy[0][chunk, None])", "(d_logits + 1.0)", LOGPROBS),
    Mutant(LOGPS, "entropy gradient: sign", ".mul_(d_entropy_N[chunk, None])", ".mul_(-d_entropy_N[chunk, None])", LOGPROBS),
    Mutant(LOSSES, "entropy bonus: a penalty", 'return -outputs["entropy"]', 'return outputs["entropy"]', LOGPROBS),
    Mutant(
        SUR,
        "named loss: not weighted",
        "token_sum(weights_b1 * values_bT,",
        "token_sum(values_bT,",
        LOGPROBS,
    ),
    Mutant(
        PAIRS, "pairs: the worse one first", "zip(better, worse, strict=False)", "zip(worse, better, strict=False)", SOURCES
    ),
    Mutant(PAIRS, "pairs: the state inside forgotten", "            self._inside.save(folder)", "            pass", SOURCES),
    Mutant(LATER, "ahead: one step late", "step + self._staleness + 1)", "step + self._staleness)", AHEAD),
    Mutant(LATER, "ahead: sampler not brought up to date", "            self._begin()\n", "            pass\n", AHEAD),
    Mutant(
        PACK,
        "row lengths: the last token is read",
        "read_tokens=[len(sequence.response_ids) - 1",
        "read_tokens=[len(sequence.response_ids)",
        PACKING,
    ),
    Mutant(ATTEND, "a response does not see its prompt", "visible_RLL |= continues_RL", "visible_RLL |= segment_RL", PACKING),
    Mutant(ATTEND, "a token sees what comes after it", "visible_RLL.tril_()", "visible_RLL", PACKING),
    Mutant(RECORD, "record: a program's output counts", "torch.where(self._written_N, values_N, 0)", "values_N", RECORDS),
    Mutant(
        RECORD,
        "watched: a row that is not there",
        "rows_b[place_W] == self._rows_W",
        "rows_b[place_W] >= self._rows_W",
        RECORDS,
    ),
    Mutant(
        RECORD, "record: the last micro-batch's largest", "max(self._largest[name], next(numbers))", "next(numbers)", RECORDS
    ),
    Mutant(
        SUR,
        "sum over a program's output",
        "torch.where(members.tokens(mask_bT), ",
        "torch.where(members.rows_b[0] >= 0, ",
        RECORDS,
    ),
    Mutant("training/batch.py", "packed by every pass", "if key not in self._shares:", "if True:", BATCH),
    Mutant("training/batch.py", "units do not count", "None if unit_B is None else unit_B.tobytes())", "None)", BATCH),
    Mutant("sampling/requests.py", "one token more than the context", "> info.context:", "> info.context + 1:", ASKED),
    Mutant(
        "loop/rollout.py", "training sees the rule", "float(score.judged_correct)", 'float(score.verdict == "correct")', NOISE
    ),
    Mutant(LEAN, "decoding: a token does not see itself", "> positions[:, None]", ">= positions[:, None]", DECODING),
    Mutant(LEAN, "rotation: halves not exchanged", "qk.roll(dim // 2, dims=-1)", "qk", DECODING),
    Mutant(LEAN, "rotation: sign of the first half", "// 2].neg_()", "// 2].abs_()", DECODING),
    Mutant(LEAN, "a norm's weight is forgotten", " * layer.post_attention_layernorm.weight", "", DECODING),
    Mutant(LEAN, "the last norm's weight is forgotten", "head.weight * body.norm.weight", "head.weight", DECODING),
    Mutant(LEAN, "projections without their bias", "weights[0], weights[1])", "weights[0])", DECODING),
    Mutant(LEAN, "prefill: a token sees the next", ".triu(1)", ".triu(2)", DECODING),
    Mutant(
        LEAN,
        "prefill: all tokens at one place",
        "turn = self.cos[:length].repeat(prompts, 1, 1)",
        "turn = self.cos[:1].repeat(prompts * length, 1, 1)",
        DECODING,
    ),
    Mutant(LEAN, "prefill: a layer too few", "< len(self.layers):", "< len(self.layers) - 1:", DECODING),
    Mutant(LEAN, "compiled: drawn at temperature 1", "logits / temperature", "logits", DECODING),
    Mutant(LEAN, "compiled: top-k and top-p ignored", "if decoding.full_support else", "if decoding else", DECODING),
    Mutant(CACHE, "rows kept from before the cache grew", "            self._first_rows = {}", "            pass", DECODING),
    Mutant(SAMPLING, "cumulative probability of the logits", "logp.double().exp().cumsum", "logp.double().cumsum", DECODING),
)


def survives(mutant: Mutant) -> bool:
    """Whether the suite passes with the mutant in place."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("unified_rl", "tests", "analysis", "experiments"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        target = folder / "unified_rl" / mutant.file
        text = target.read_text(encoding="utf-8")
        if mutant.old not in text:
            raise SystemExit(f"mutant {mutant.what!r}: its text is no longer in {mutant.file}; update tools/mutants.py")
        target.write_text(text.replace(mutant.old, mutant.new, 1), encoding="utf-8")
        return all(_passes(folder, suite) for suite in mutant.suites)


def _passes(folder: Path, suite: tuple[str, ...]) -> bool:
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--durations=0", *suite]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1):
        raise SystemExit(f"the suite did not run:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result.returncode == 0


def main(words: list[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    chosen = [mutant for mutant in MUTANTS if given.get("only", "") in f"{mutant.file} {mutant.what}"]
    alive = []
    with ThreadPoolExecutor(int(given.get("workers", os.cpu_count() or 1))) as pool:
        for mutant, survived in zip(chosen, pool.map(survives, chosen), strict=True):
            print(f"{'SURVIVED' if survived else 'killed  '} {mutant.file}: {mutant.what}", flush=True)
            alive += [mutant] if survived else []
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
