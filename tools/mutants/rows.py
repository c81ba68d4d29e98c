"""Mutants of single rows: each gate, advantage and selection broken in its own ways, against the tests of that row."""

from __future__ import annotations

from tools.mutants.mutant import Mutant, Suites

GRADIENTS = "tests/maths/test_gradients.py"


def tests_of(*cases: str) -> Suites:
    """The gradient tests of these cases on three batches, and the cases worked by hand."""
    whole = "test_equals_autograd_of_the_textbook_objective"
    nodes = tuple(f"{GRADIENTS}::{whole}[{seed}-{case}]" for case in cases for seed in range(3))
    return (("tests/maths/test_gates_and_links.py", *nodes),)


def of(file: str, cases: str, *changes: tuple[str, str, str]) -> tuple[Mutant, ...]:
    """Mutants of one file against the tests of the cases: (what, old, new)."""
    return tuple(Mutant(file, what, old, new, tests_of(*cases.split())) for what, old, new in changes)


GATES, ADV = "ops/gates.py", "ops/advantages.py"
SELECT, KL, IMP = (f"ops/{name}.py" for name in ("selection", "kl", "importance"))
GROUPS, VERDICTS, OTHER = (f"methods/{name}.py" for name in ("policy_gradient", "verdicts", "other_gates"))
TOKENS = "methods/selected_tokens.py"
SETS, MIXED, SCORES, MISMATCHED = "ops/sets.py", "methods/demonstrated.py", "methods/preference_scores.py", "loop/mismatched.py"

MUTANTS = (
    *of(
        ADV,
        "gdpo gdpo_sample",
        ("GDPO: one weight for all", "weight_B * relative(reward_B", "relative(reward_B"),
        (
            "GDPO: not whitened",
            "return torch.where(flat, 0, centred_B / (torch.where(flat, 1, std) + epsilon))",
            "return values_B",
        ),
        ("GDPO: the other std", 'len(values_B) - (1 if convention == "sample" else 0)', "len(values_B) - 0"),
    ),
    *of(
        GATES,
        "cispo",
        ("CISPO: no cap", "ratio.clamp(max(1 - low, 0.0), 1 + high)", "ratio.clamp(max(1 - low, 0.0))"),
        ("CISPO: no floor", "ratio.clamp(max(1 - low, 0.0), 1 + high)", "ratio.clamp(max=1 + high)"),
        ("CISPO: bounds swapped", "ratio.clamp(max(1 - low, 0.0), 1 + high)", "ratio.clamp(max(1 - high, 0.0), 1 + low)"),
    ),
    *of(
        GATES,
        "sapo",
        ("SAPO: half the gate", "4 * opened * (1 - opened)", "2 * opened * (1 - opened)"),
        ("SAPO: centre at 0", "temperature * (ratio - 1)", "temperature * ratio"),
        ("SAPO: temperatures swapped", "advantages_BT > 0, temperature_positive", "advantages_BT <= 0, temperature_positive"),
    ),
    *of(
        GATES,
        "dppo_tv",
        (
            "DPPO: signs of A swapped",
            "advantages_BT > 0, moved_BT <= high, moved_BT >= -low",
            "advantages_BT < 0, moved_BT <= high, moved_BT >= -low",
        ),
        ("DPPO: nothing dropped below", "moved_BT <= high, moved_BT >= -low)", "moved_BT <= high, moved_BT >= -9)"),
        ("DPPO: nothing dropped above", "moved_BT <= high, moved_BT >= -low)", "moved_BT <= 9, moved_BT >= -low)"),
    ),
    *of(
        GATES,
        "dppo_kl",
        ("DPPO: KL the other way", "_binary_kl(old_logp_BT, logp_BT)", "_binary_kl(logp_BT, old_logp_BT)"),
        ("DPPO: the way back is barred", "(kl_BT <= high) | (logp_BT <= old_logp_BT)", "(kl_BT <= high)"),
        (
            "DPPO: KL of the token alone",
            "return p * (logp - other_logp) + (1 - p)",
            "return p * (logp - other_logp) + 0 * (1 - p)",
        ),
    ),
    *of(
        GATES,
        "both_sides",
        ("both sides: one side", "(moved_BT <= high) & (moved_BT >= -low)", "(moved_BT <= high)"),
        ("both sides: either", "(moved_BT <= high) & (moved_BT >= -low)", "(moved_BT <= high) | (moved_BT >= -low)"),
    ),
    *of(OTHER, "both_sides dro", ("drift: sign", "logp_BT.new_full((), -weight)", "logp_BT.new_full((), weight)")),
    *of(OTHER, "both_sides", ("drift: half", "(logp_BT), 2 * self.squared_drift)", "(logp_BT), self.squared_drift)")),
    *of(
        OTHER,
        "dro",
        (
            "DRO: to the reference",
            "drift = drift_term(logp_BT, inputs.old_or(logp_BT)",
            "drift = drift_term(logp_BT, inputs.ref_logp_BT",
        ),
        (
            "DRO: no penalty",
            'inputs.old_or(logp_BT), self.drift)\n        return {**super().terms(logp_BT, inputs), "drift": drift}',
            "inputs.old_or(logp_BT), self.drift)\n        return {**super().terms(logp_BT, inputs)}",
        ),
    ),
    *of(
        OTHER,
        "kimi",
        (
            "Kimi: no penalty",
            'expand_as(logp_BT))\n        return {**super().terms(logp_BT, inputs), "drift": drift}',
            "expand_as(logp_BT))\n        return {**super().terms(logp_BT, inputs)}",
        ),
    ),
    *of(
        GATES,
        "drpo",
        ("DRPO: sign", '"leaning": 1 - torch.sign', '"leaning": 1 + torch.sign'),
        ("DRPO: sign without A", "torch.sign(advantages_BT * (ratio - 1))", "torch.sign(ratio - 1)"),
        ("DRPO: no delta", "* moved_BT / delta", "* moved_BT"),
    ),
    *of(
        GATES,
        "vespo",
        ("VESPO: not 1 at 1", "torch.exp(decay + power", "torch.exp(power"),
        ("VESPO: no power", "+ power * log_weight_B1", "+ log_weight_B1"),
        ("VESPO: signs swapped", "up_BT = advantages_BT >= 0", "up_BT = advantages_BT < 0"),
    ),
    *of(
        GATES,
        "gmpo",
        ("GMPO: arithmetic", '"importance_weight": mean_B1.exp()', '"importance_weight": (1 + mean_B1)'),
        (
            "GMPO: not clipped in the mean",
            "torch.where(bites_BT, log_ratio_BT.clamp(-low, high), log_ratio_BT)",
            "log_ratio_BT",
        ),
        (
            "GMPO: clipped tokens have a gradient",
            '"not_clipped": (~bites_BT).to(log_ratio_BT)',
            '"not_clipped": torch.ones_like(log_ratio_BT)',
        ),
    ),
    *of(
        GATES,
        "deepseek_v32",
        ("off-policy mask: positives too", "(advantages_BT < 0) & (mean_B1 > delta)", "(mean_B1 > delta)"),
        ("off-policy mask: the other way", "old_logp_BT - logp_BT, 0)", "logp_BT - old_logp_BT, 0)"),
        (
            "off-policy mask: the sum",
            "mean_B1 = drift_BT.sum(1, keepdim=True) / response_mask_BT.sum(1, keepdim=True).clamp(min=1)",
            "mean_B1 = drift_BT.sum(1, keepdim=True)",
        ),
    ),
    *of(
        GATES,
        "grpo_dual_clip",
        ("dual clip: positives too", "bites | ((advantages_BT < 0) & (ratio > dual))", "bites | (ratio > dual)"),
        ("dual clip: below", "(ratio > dual)", "(ratio < dual)"),
        ("dual clip: never", "if dual is not None:", "if False:"),
    ),
    *of(
        ADV,
        "grpo_sample_std grpo_batch_std grpo_std_of_others",
        (
            "std: population for sample",
            '"sample": lambda: _group_std(rewards_B, group_B, 1)',
            '"sample": lambda: _group_std(rewards_B, group_B, 0)',
        ),
        ("std: no epsilon", "torch.where(flat_B, 1, divisor_B) + epsilon)", "torch.where(flat_B, 1, divisor_B))"),
        (
            "std: group's for batch's",
            '"batch": lambda: _batch_std(rewards_B)',
            '"batch": lambda: _group_std(rewards_B, group_B, 1)',
        ),
        ("std of others: ddof 0", "(count_B - 1).clamp(min=1)).sqrt()", "count_B.clamp(min=1)).sqrt()"),
        (
            "std of others: own reward too",
            "(group_B[:, None] == group_B).fill_diagonal_(False).to(rewards_B)",
            "(group_B[:, None] == group_B).to(rewards_B)",
        ),
    ),
    *of(
        ADV,
        "max_rl",
        (
            "MaxRL: divided by the centred",
            '"mean": lambda: rewards_B - group_centred',
            '"mean": lambda: rewards_B + group_centred',
        ),
    ),
    *of(
        GROUPS,
        "max_rl",
        ("MaxRL: std", 'std: str = "mean"', 'std: str = "population"'),
        ("MaxRL: no divisor", 'std: str = "mean"', 'std: str = "none"'),
    ),
    *of(
        ADV,
        "best_of_group",
        ("best of the group: the others lose", "(rewards_B - rival_B).clamp(min=0)", "(rewards_B - rival_B)"),
        (
            "best of the group: over the worst",
            ".amax(1)\n    return torch.where(others_BB.any(1)",
            ".amin(1).clamp(min=0)\n    return torch.where(others_BB.any(1)",
        ),
        ("best of the group: of the batch", "others_BB = same_BB.clone()", "others_BB = torch.ones_like(same_BB)"),
    ),
    *of(
        ADV,
        "opo",
        (
            "OPO: plain mean",
            "_segment_sum(lengths_B * rewards_B, index, len(count)) / totals",
            "_segment_sum(rewards_B, index, len(count)) / count",
        ),
        (
            "OPO: of the batch",
            "_segment_sum(lengths_B * rewards_B, index, len(count)) / totals)[index]",
            "(lengths_B * rewards_B).sum() / lengths_B.sum())",
        ),
    ),
    *of(GROUPS, "opo", ("OPO: no baseline", 'baseline: str = "length_weighted"', 'baseline: str = "none"')),
    *of(
        GROUPS,
        "gpg",
        ("GPG: no alpha", "* (len(rewards_B) / rewarded)", ""),
        ("GPG: alpha upside down", "(len(rewards_B) / rewarded)", "(rewarded / len(rewards_B))"),
        ("GPG: alpha of the negatives", "(rewards_B != 0).sum()", "(rewards_B == 0).sum()"),
    ),
    *of(
        VERDICTS,
        "w_reinforce psr raft_pp",
        ("signed: wrong ones raised", "- self.wrong * (1 - right_B)", "+ self.wrong * (1 - right_B)"),
        ("signed: weights swapped", "self.right * right_B - self.wrong", "self.wrong * right_B - self.right"),
        ("signed: by the reward", "right_B = inputs.correct_B.to(rewards_B)", "right_B = rewards_B"),
    ),
    *of(
        ADV,
        "reinforce_pp reinforce_pp_baseline ppo_whitened",
        ("whitening: population for sample", '(count - (1 if convention == "sample" else 0))', "count"),
        (
            "whitening: not centred",
            "torch.where(response_mask_BT, advantages_BT - mean, 0)",
            "torch.where(response_mask_BT, advantages_BT, 0)",
        ),
        (
            "whitening: padding counted",
            "count = response_mask_BT.sum().to(advantages_BT)",
            "count = torch.full_like(advantages_BT.sum(), advantages_BT.numel())",
        ),
        (
            "KL to go: from the start",
            "return _own_and_later_sum(torch.where(response_mask_BT, values_BT, 0))",
            "return torch.where(response_mask_BT, values_BT, 0).cumsum(1)",
        ),
    ),
    *of(
        SELECT,
        "high_entropy",
        ("80/20: the lowest", "(values_BT >= quantile - slack)", "(values_BT <= quantile - slack)"),
        ("80/20: the complement", "to(values_BT) * share", "to(values_BT) * (1 - share)"),
        ("80/20: padding counted", "(mask_BT.sum() - 1)", "(mask_BT.numel() - 1 + 0 * mask_BT.sum())"),
    ),
    *of(
        SELECT,
        "clip_cov",
        ("Clip-Cov: the highest numbers", "torch.where(candidates_BT, -chance_BT", "torch.where(candidates_BT, chance_BT"),
        ("Clip-Cov: outside the band too", "mask_BT, share) & candidates_BT", "mask_BT, share)"),
    ),
    *of(
        TOKENS,
        "clip_cov",
        ("Clip-Cov: no upper bound", " & (covariance_BT < self.below)", ""),
        ("Clip-Cov: no lower bound", "mask_BT & (covariance_BT > self.above)", "mask_BT"),
        ("Clip-Cov: nothing drawn", "not_drawn=(~drawn_BT)", "not_drawn=(~drawn_BT | True)"),
    ),
    *tuple(
        Mutant("loop/chance.py", what, old, new, (("tests/parts/test_chance.py",),))
        for what, old, new in (
            ("chance: every update alike", '"chance", update, int(row)', '"chance", 0, int(row)'),
            (
                "chance: by the place in the update",
                "int(row)).random(width) for row in rows",
                "row).random(width) for row in range(len(rows))",
            ),
            ("chance: one seed for all", 'rng.generator(seed, "chance"', 'rng.generator(0, "chance"'),
        )
    ),
    *of(
        SELECT,
        "kl_cov",
        ("KL-Cov: the lowest", "argsort(descending=True", "argsort(descending=False"),
        ("KL-Cov: A not centred", "_centred(advantages_BT, mask_BT) *", "advantages_BT *"),
        ("KL-Cov: log pi not centred", "* _centred(logp_BT, mask_BT)", "* logp_BT"),
    ),
    *of(
        GATES,
        "luffy",
        ("LUFFY: f in place of its factor", "shaping * pi_BT / (pi_BT + shaping).square()", "pi_BT / (pi_BT + shaping)"),
        ("LUFFY: samples shaped", "torch.where(shaped_B1, shaping", "torch.where(~shaped_B1, shaping"),
        ("LUFFY: a ratio of demonstrations", "torch.where(shaped_B1, shaping", "torch.where(shaped_B1 & False, shaping"),
    ),
    *of(
        MIXED,
        "sft_rl chord_phi",
        (
            "SFT + RL: samples compared with demonstrations",
            "inputs, group_B=ops.advantages.apart_from",
            "inputs, correct_B=ops.advantages.apart_from",
        ),
        ("SFT + RL: one average", "part_B=demonstrated_B.long()", "part_B=0 * demonstrated_B.long()"),
        ("SFT + RL: weights swapped", "self.demonstration_weight * demonstrated_B1", "self.sample_weight * demonstrated_B1"),
        ("CHORD: p", "logp_BT.exp() * -logp_BT.expm1()", "logp_BT.exp()"),
    ),
    *of(
        SELECT,
        "hpt",
        ("HPT: demonstrations count", "& ~demonstrated_B).to(correct_B)", "& (group_B == group_B)).to(correct_B)"),
        ("HPT: the other way round", "(rate_B > solved) != demonstrated_B", "(rate_B > solved) == demonstrated_B"),
        ("HPT: at least", "(rate_B > solved)", "(rate_B >= solved)"),
    ),
    *of(
        SCORES,
        "kto",
        ("KTO: no z0", "score_B - inputs.mismatched_kl_B", "score_B + 0 * inputs.mismatched_kl_B"),
        ("KTO: z0 added", "score_B - inputs.mismatched_kl_B", "score_B + inputs.mismatched_kl_B"),
        ("KTO: wrong ones raised", "- self.undesirable_weight * (1", "+ self.undesirable_weight * (1"),
        ("KTO: one weight", "self.undesirable_weight * (1 - right_B)", "self.desirable_weight * (1 - right_B)"),
    ),
    *tuple(
        Mutant(MISMATCHED, what, old, new, (("tests/parts/test_signals.py::test_mismatched_pairs_by_plain_passes",),))
        for what, old, new in (
            ("KTO: z0 below 0", "mean.clamp(min=0)", "mean"),
            ("KTO: matched pairs", "+ sizes_B) %", "+ 0 * sizes_B) %"),
            ("KTO: own mask", "response_mask_BT[partner_B]", "response_mask_BT[partner_B * 0 + torch.arange(len(sequences))]"),
        )
    ),
    *of(
        SETS,
        "pass_at_k pass_at_3",
        ("Pass@k: no sigma", "found_B / torch.where(spread_B > 0, spread_B, 1)", "found_B"),
        ("Pass@k: wrong ones as right ones", "(1 - correct_B) * others_B", "0 * others_B"),
        ("Pass@k: with replacement", "(marked_B - drawn).clamp(min=0)", "marked_B.clamp(min=0)"),
    ),
    *of(
        SETS,
        "pkpo pkpo_3",
        ("PKPO: one subset size for all", "_choose(rank_B, k - 2)", "_choose(rank_B, 0)"),
        ("PKPO: not times n", "weight_B = count_B * ", "weight_B = "),
        ("PKPO: all others", "torch.where(below_BB, rewards_B[:, None]", "torch.where(same_BB, rewards_B[:, None]"),
    ),
    *of(
        ADV,
        "otb",
        (
            "OTB: energy of one token",
            "torch.where(response_mask_BT, energy_BT, 0).cumsum(1)",
            "torch.where(response_mask_BT, energy_BT, 0)",
        ),
        (
            "OTB: all groups",
            "same_BB = (group_B[:, None] == group_B).to(weight_BT)",
            "same_BB = (group_B[:, None] >= group_B).to(weight_BT)",
        ),
        ("OTB: by column", "baseline_BT.gather(1, place_BT)", "baseline_BT"),
    ),
    *of(GROUPS, "otb", ("OTB: p once", "1 - 2 * logp_BT.exp()", "1 - logp_BT.exp()")),
    *of(
        OTHER,
        "kimi",
        ("Kimi: per token", "log_ratio=apart_B[:, None].expand_as(logp_BT)", "log_ratio=logp_BT - inputs.old_or(logp_BT)"),
        (
            "Kimi: pushed away",
            "drift_coef=logp_BT.new_full((), -self.drift), log_ratio=apart_B",
            "drift_coef=logp_BT.new_full((), self.drift), log_ratio=apart_B",
        ),
        (
            "Kimi: to the reference",
            "summed_log_ratio(logp_BT, inputs.old_or(logp_BT)",
            "summed_log_ratio(logp_BT, inputs.ref_logp_BT",
        ),
    ),
)
