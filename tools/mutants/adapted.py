"""Mutants of the adapters that need no other trainer's package to be tested: verl's."""

from __future__ import annotations

from tools.mutants.mutant import Mutant, Suites

VERL = "adapters/verl.py"
TESTS: Suites = (("tests/adapters/test_verl.py",),)

MUTANTS = (
    Mutant(
        VERL,
        "verl: rewards off the mask count",
        "torch.where(mask_BT, token_level_rewards, 0).sum(1)",
        "token_level_rewards.sum(1)",
        TESTS,
    ),
    Mutant(
        VERL,
        "verl: one group for all",
        "return torch.as_tensor(number, device=rewards_B.device)",
        "return 0 * torch.as_tensor(number, device=rewards_B.device)",
        TESTS,
    ),
    Mutant(
        VERL,
        "verl: the loss ascends",
        "torch.where(mask_BT, -coef_BT * log_prob, 0)",
        "torch.where(mask_BT, coef_BT * log_prob, 0)",
        TESTS,
    ),
    Mutant(VERL, "verl: any average", "if loss_agg_mode != mode:", "if False:", TESTS),
    Mutant(VERL, "verl: the old policy is the present one", '"old_logp_BT": old_logp_BT,', '"old_logp_BT": logp_BT,', TESTS),
    Mutant(VERL, "verl: the sampler's weights are left out", "if rollout_is_weights is not None:", "if False:", TESTS),
    Mutant(VERL, "verl: a KL passes", "if rule.kl_coef:", "if False:", TESTS),
    Mutant(VERL, "verl: accepted is what is not punished", "correct_B=(rewards_B > 0)", "correct_B=(rewards_B >= 0)", TESTS),
)
