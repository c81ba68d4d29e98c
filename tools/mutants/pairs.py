"""Mutants of rows on pairs: each link and each score broken in its own ways, against the tests of that row."""

from __future__ import annotations

from tools.mutants.rows import of

LINKS, PREF = "ops/links.py", "ops/preferences.py"
PAIRS, MARGINS, FREE = "methods/preference.py", "methods/preference_margins.py", "methods/preference_likelihoods.py"

MUTANTS = (
    *of(
        LINKS,
        "cdpo",
        ("cDPO: sign of the smoothing", "- smoothing * torch.sigmoid(margin_B)", "+ smoothing * torch.sigmoid(margin_B)"),
        ("cDPO: weight", "(1 - smoothing) * torch.sigmoid(-margin_B) - smoothing", "torch.sigmoid(-margin_B) - smoothing"),
        ("cDPO: same side", "- smoothing * torch.sigmoid(margin_B)", "- smoothing * torch.sigmoid(-margin_B)"),
    ),
    *of(
        MARGINS,
        "wpo",
        ("WPO: the other's weight alone", "ops.preferences.pair_sum(log_weight_B, inputs.group_B).exp()", "log_weight_B.exp()"),
        (
            "WPO: not aligned",
            "mean_log_ratio(logp_BT, energy_BT.log(), mask_BT)",
            "mean_log_ratio(logp_BT, 0 * logp_BT, mask_BT)",
        ),
        (
            "WPO: of the sum",
            "ops.preferences.mean_log_ratio(logp_BT, energy_BT",
            "ops.preferences.summed_log_ratio(logp_BT, energy_BT",
        ),
    ),
    *of(
        LINKS,
        "robust_dpo",
        ("robust: not rescaled", "/ (1 - 2 * smoothing)", ""),
        ("robust: sign", "+ smoothing * torch.sigmoid(margin_B)) /", "- smoothing * torch.sigmoid(margin_B)) /"),
        ("robust: rescaled by 1 - e", "(1 - 2 * smoothing)", "(1 - smoothing)"),
    ),
    *of(
        LINKS,
        "hinge",
        ("hinge: the other side", "(margin_B < 1)", "(margin_B > 1)"),
        ("hinge: at 0", "(margin_B < 1)", "(margin_B < 0)"),
        ("hinge: by 2", "(margin_B < 1).to(margin_B)", "2 * (margin_B < 1).to(margin_B)"),
    ),
    *of(
        LINKS,
        "ipo ipo_mean",
        ("IPO: target 1", "(1 - 2 * margin_B) / beta**2", "(2 - 2 * margin_B) / beta**2"),
        ("IPO: beta once", "(1 - 2 * margin_B) / beta**2", "(1 - 2 * margin_B) / beta"),
        ("IPO: no square", "(1 - 2 * margin_B) / beta**2", "(1 - margin_B) / beta**2"),
    ),
    *of(
        LINKS,
        "exo",
        ("EXO: no curvature", "chance_B * (1 - chance_B) *", "chance_B *"),
        ("EXO: sign of m", "- margin_B)\n", "+ margin_B)\n"),
        (
            "EXO: labels swapped",
            "math.log(1 - smoothing) - math.log(smoothing)",
            "math.log(smoothing) - math.log(1 - smoothing)",
        ),
    ),
    *of(
        LINKS,
        "discopop",
        ("DiscoPOP: no turning", "* gate_B - turning_B", "* gate_B"),
        (
            "DiscoPOP: gate swapped",
            "torch.sigmoid(-margin_B) * (1 - gate_B) + torch.exp(-margin_B) * gate_B",
            "torch.sigmoid(-margin_B) * gate_B + torch.exp(-margin_B) * (1 - gate_B)",
        ),
        ("DiscoPOP: temperature outside", "(1 - gate_B) / temperature", "(1 - gate_B)"),
    ),
    *of(
        LINKS,
        "bco",
        (
            "BCO: sides swapped",
            "torch.where(chosen_B, torch.sigmoid(-scaled_B), torch.sigmoid(scaled_B))",
            "torch.where(chosen_B, torch.sigmoid(scaled_B), torch.sigmoid(-scaled_B))",
        ),
        ("BCO: one classification", "torch.sigmoid(-scaled_B), torch.sigmoid(scaled_B))", "torch.sigmoid(-scaled_B), 0)"),
        (
            "BCO: both as chosen",
            "torch.sigmoid(-scaled_B), torch.sigmoid(scaled_B))",
            "torch.sigmoid(-scaled_B), torch.sigmoid(-scaled_B))",
        ),
    ),
    *of(
        LINKS,
        "nca",
        ("NCA: not halved", "torch.sigmoid(scaled_B) / 2", "torch.sigmoid(scaled_B)"),
        ("NCA: chosen not held down", "torch.sigmoid(-scaled_B) - down_B, down_B", "torch.sigmoid(-scaled_B), down_B"),
        ("NCA: rejected forgotten", "- down_B, down_B)", "- down_B, 0 * down_B)"),
    ),
    *of(
        LINKS,
        "sppo",
        ("SPPO: sides swapped", "1 - 2 * scaled_B, 1 + 2 * scaled_B", "1 + 2 * scaled_B, 1 - 2 * scaled_B"),
        ("SPPO: targets 0", "1 - 2 * scaled_B, 1 + 2 * scaled_B", "-2 * scaled_B, 2 * scaled_B"),
        ("SPPO: beta once", "1 + 2 * scaled_B) / beta**2", "1 + 2 * scaled_B) / beta"),
    ),
    *of(
        LINKS,
        "apo_zero",
        ("APO-zero: logistic", "return torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)", "return torch.sigmoid(-scaled_B)"),
        (
            "APO-zero: doubled",
            "return torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)",
            "return 2 * torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)",
        ),
        (
            "APO-zero: sign",
            "return torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)",
            "return -torch.sigmoid(scaled_B) * torch.sigmoid(-scaled_B)",
        ),
    ),
    *of(
        LINKS,
        "apo_down",
        ("APO-down: chosen up", "apart_B - anchored_zero(scaled_B), apart_B", "apart_B + anchored_zero(scaled_B), apart_B"),
        (
            "APO-down: rejected by itself",
            "anchored_zero(scaled_B), apart_B)",
            "anchored_zero(scaled_B), anchored_zero(scaled_B))",
        ),
        ("APO-down: no anchor", "apart_B - anchored_zero(scaled_B), apart_B", "apart_B, apart_B"),
    ),
    *of(
        FREE,
        "simpo",
        ("SimPO: no gamma", "margin_B - self.gamma", "margin_B"),
        ("SimPO: gamma added", "margin_B - self.gamma", "margin_B + self.gamma"),
    ),
    *of(FREE, "orpo", ("ORPO: beta inside", "margin_B / self.beta", "margin_B")),
    *of(
        PREF,
        "orpo",
        ("ORPO: no odds", "mean_logp_B - torch.log(rest_B)", "mean_logp_B"),
        ("ORPO: slope of log p", "(1 / rest_B)[:, None]", "(0 * rest_B + 1)[:, None]"),
    ),
    *of(
        PAIRS,
        "cpo dpo_nll orpo",
        (
            "NLL of the rejected too",
            "chosen=given(inputs.chosen_B)[:, None].to(logp_BT)",
            "chosen=0 * given(inputs.chosen_B)[:, None].to(logp_BT) + 1",
        ),
        ("NLL: sign", "nll_coef=logp_BT.new_full((), weight)", "nll_coef=logp_BT.new_full((), -weight)"),
        ("NLL: no weight", "nll_coef=logp_BT.new_full((), weight)", "nll_coef=logp_BT.new_full((), 0.5)"),
    ),
    *of(
        PREF,
        "f_dpo_forward_kl f_dpo_js f_dpo_alpha",
        (
            "f-DPO: forward KL's slope",
            "-torch.expm1(-held_B), torch.exp(-held_B)",
            "-torch.expm1(-held_B), torch.ones_like(held_B)",
        ),
        ("f-DPO: JS slope", "torch.sigmoid(-log_ratio_B)\n    power", "torch.sigmoid(log_ratio_B)\n    power"),
        ("f-DPO: alpha not divided", "torch.expm1(power * held_B) / power", "torch.expm1(power * held_B)"),
    ),
    *of(
        PREF,
        "ld_dpo",
        ("LD-DPO: the longer length", "torch.minimum(lengths_B", "torch.maximum(lengths_B"),
        ("LD-DPO: off by one", "(response_mask_BT.cumsum(1) <= shorter_B", "(response_mask_BT.cumsum(1) < shorter_B"),
    ),
    *of(
        MARGINS,
        "ld_dpo",
        (
            "LD-DPO: shared tokens weighed",
            "shared_BT + self.tail_weight * (mask_BT & ~shared_BT)",
            "(mask_BT & ~shared_BT) + self.tail_weight * shared_BT",
        ),
    ),
    *of(
        PREF,
        "aot",
        ("AOT: ranks over both sides", "earlier_BB & (side_B[:, None] == side_B)", "earlier_BB | (side_B[:, None] == side_B)"),
        ("AOT: own side", "(side_B[:, None] != side_B)\n", "(side_B[:, None] == side_B)\n"),
    ),
    *of(
        MARGINS,
        "aot",
        (
            "AOT: own pair",
            "ranked_B = sides_B * (scaled_B - ops.preferences.ranked_partners(scaled_B, chosen_B))",
            "ranked_B = margin_B + 0 * sides_B",
        ),
    ),
)
