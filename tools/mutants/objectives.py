"""Mutants of the maths: advantages, aggregation, KL, preferences, gradient coefficients, the surrogate."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

ADV = "ops/advantages.py"
AGG = "ops/aggregation.py"
BASE = "methods/base.py"
COEF = "ops/coefficients.py"
GROUPS = "methods/policy_gradient.py"
COMPOSED, OPTIONS, PAIRS = (f"methods/{name}.py" for name in ("composition", "options", "preference"))
GATES, LINKS, RATIO = (f"ops/{name}.py" for name in ("gates", "links", "ratios"))
KL = "ops/kl.py"
PPO = "methods/critic.py"
PREF = "ops/preferences.py"
SUR = "loop/surrogate.py"
TERMS = "ops/terms.py"

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
        "kl.value(estimator, old_logp_BT, ref_logp_BT)",
        "kl.value(estimator, ref_logp_BT, old_logp_BT)",
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
    Mutant(AGG, "constant length ignored", "1.0 / (max(len(lengths), 1) * length)", "1.0 / max(len(lengths), 1)"),
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
        "ref_ratio_minus_one=torch.expm1(bounded(ref_logp_BT - logp_BT))",
        "ref_ratio_minus_one=-torch.expm1(bounded(ref_logp_BT - logp_BT))",
    ),
    Mutant(
        KL,
        "k3 term: ratio inverted",
        "ref_ratio_minus_one=torch.expm1(bounded(ref_logp_BT - logp_BT))",
        "ref_ratio_minus_one=torch.expm1(bounded(logp_BT - ref_logp_BT))",
    ),
    Mutant(KL, "k3 term: minus one forgotten", "ref_ratio_minus_one=torch.expm1(", "ref_ratio_minus_one=torch.exp("),
    Mutant(
        KL,
        "k3 value: log ratio forgotten",
        "return torch.expm1(bounded(log_ratio)) - log_ratio",
        "return torch.expm1(bounded(log_ratio))",
    ),
    Mutant(KL, "k2 value: no half", "return 0.5 * (logp_BT", "return (logp_BT"),
    Mutant(KL, "k1 term: sign", "kl_coef=_constant(logp_BT, -kl_coef), one=", "kl_coef=_constant(logp_BT, kl_coef), one="),
    Mutant(KL, "k2 term: sign", "-kl_coef), log_ratio=logp_BT - ref_logp_BT)", "kl_coef), log_ratio=logp_BT - ref_logp_BT)"),
    Mutant(
        KL,
        "weighted k3: no importance weight",
        "        importance_weight=torch.exp(bounded(logp_BT - old_logp_BT)),\n",
        "        importance_weight=torch.ones_like(logp_BT),\n",
    ),
    Mutant(RATIO, "ratio inverted", "difference_BT = logp_BT - old_logp_BT", "difference_BT = old_logp_BT - logp_BT"),
    Mutant(RATIO, "ratio without a bound", "return bounded(difference_BT)", "return difference_BT"),
    Mutant(
        COMPOSED,
        "ratio without exp",
        "ops.gates.clipped(log_ratio.exp(), advantages_BT",
        "ops.gates.clipped(1 + log_ratio, advantages_BT",
    ),
    Mutant(
        GATES,
        "clip on the wrong side above",
        "((advantages_BT > 0) & (ratio > 1 + high))",
        "((advantages_BT < 0) & (ratio > 1 + high))",
    ),
    Mutant(
        GATES,
        "clip on the wrong side below",
        "((advantages_BT < 0) & (ratio < 1 - low))",
        "((advantages_BT > 0) & (ratio < 1 - low))",
    ),
    Mutant(
        GATES,
        "clip on both sides",
        "((advantages_BT > 0) & (ratio > 1 + high)) | ((advantages_BT < 0) & (ratio < 1 - low))",
        "(ratio > 1 + high) | (ratio < 1 - low)",
    ),
    Mutant(GATES, "no clip", '"not_clipped": (~bites).to(ratio)', '"not_clipped": torch.ones_like(ratio)'),
    Mutant(GATES, "clip mask inverted", '"not_clipped": (~bites).to(ratio)', '"not_clipped": bites.to(ratio)'),
    Mutant(
        GATES,
        "importance weight dropped",
        'return {"importance_weight": ratio, "not_clipped": (~bites)',
        'return {"importance_weight": torch.ones_like(ratio), "not_clipped": (~bites)',
    ),
    Mutant(
        COMPOSED,
        "clip_low and clip_high swapped",
        "advantages_BT, self.low, self.high, self.dual_clip)",
        "advantages_BT, self.high, self.low, self.dual_clip)",
    ),
    Mutant(
        COMPOSED, "GRPO: KL term missing", '            found["kl"] = self.kl_term(logp_BT, inputs)\n', "            pass\n"
    ),
    Mutant(
        OPTIONS,
        "GRPO: reference and old policy swapped",
        "logp_BT, given(inputs.ref_logp_BT), inputs.old_or(logp_BT), self.kl_coef, self.kl_clamp",
        "logp_BT, inputs.old_or(logp_BT), given(inputs.ref_logp_BT), self.kl_coef, self.kl_clamp",
    ),
    Mutant(COEF, "SFT: -1", "term(one=response_mask_BT.to(dtype))", "term(one=-response_mask_BT.to(dtype))"),
    Mutant(COEF, "RFT: wrong responses rewarded", "term(correct=correct_B[:, None])", "term(correct=1 - correct_B[:, None])"),
    Mutant(
        LINKS,
        "DPO: sigma of +m",
        "return (1 - smoothing) * torch.sigmoid(-margin_B)",
        "return (1 - smoothing) * torch.sigmoid(margin_B)",
    ),
    Mutant(
        PAIRS, "preference: beta missing outside", '"beta": logp_BT.new_full((), self.beta)', '"beta": logp_BT.new_ones(())'
    ),
    Mutant(
        PAIRS,
        "preference: |o| missing",
        '"length": by_token,\n            "side"',
        '"length": by_token**0,\n            "side"',
    ),
    Mutant(
        PAIRS,
        "preference: means for sums",
        "return ops.preferences.summed_log_ratio(logp_BT, base_BT, mask_BT)",
        "return ops.preferences.mean_log_ratio(logp_BT, base_BT, mask_BT)",
    ),
    Mutant(
        PAIRS,
        "DPO length-averaged: sums for means",
        "return ops.preferences.mean_log_ratio(logp_BT, base_BT",
        "return ops.preferences.summed_log_ratio(logp_BT, base_BT",
    ),
    Mutant(COEF, "Eq. 14: sigma of +m", "misranking=torch.sigmoid(-margin_BT)", "misranking=torch.sigmoid(margin_BT)"),
    Mutant(PREF, "chosen and rejected swapped", "torch.where(chosen_B, 1.0, -1.0)", "torch.where(chosen_B, -1.0, 1.0)"),
    Mutant(PREF, "margin: beta missing inside", "return beta * pair_sum(signed_B", "return pair_sum(signed_B"),
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
        "discount=self.discount, trace_decay=decay",
        "discount=decay, trace_decay=self.discount",
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
    Mutant(
        COMPOSED,
        "KL not in the reward",
        "rewards_B = rewards_B + self.kl_of_tokens(inputs).sum(1)",
        "rewards_B = rewards_B + 0 * self.kl_of_tokens(inputs).sum(1)",
    ),
    Mutant(
        COMPOSED,
        "KL in the reward: sign",
        "rewards_B = rewards_B + self.kl_of_tokens(inputs).sum(1)",
        "rewards_B = rewards_B - self.kl_of_tokens(inputs).sum(1)",
    ),
    Mutant(
        GROUPS,
        "Dr. GRPO: divided by std",
        'name: str = "dr_grpo"\n    std: str = "none"',
        'name: str = "dr_grpo"\n    std: str = "population"',
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
        '"prompt_token_mean": lambda: aggregation.prompt_token_mean(lengths_B, group_B)',
        '"prompt_token_mean": lambda: aggregation.batch_token_mean(lengths_B)',
    ),
)
