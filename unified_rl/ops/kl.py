"""Single-sample estimators of KL(policy || reference) per token, and the coefficients their use in the loss contributes.

Schulman's k1, k2, k3 (http://joschu.net/blog/kl-approx.html); the paper's Eq. 4 is k3. What a KL term's gradient follows is not
what its value estimates: see the `*_loss_term` functions. Ratios are formed of log-ratios within +-`ratios.MAX_LOG_RATIO`.
"""

import torch
from torch import Tensor

from unified_rl.ops.ratios import bounded
from unified_rl.ops.terms import Term, term


def k1(logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    """log(pi / pi_ref) per token: unbiased, may be negative. Shapes [B, T] -> [B, T]."""
    return logp_BT - ref_logp_BT


def k2(logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    """0.5 * log(pi / pi_ref)^2 per token: biased, low variance. Shapes [B, T] -> [B, T]."""
    return 0.5 * (logp_BT - ref_logp_BT).square()


def k3(logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    """pi_ref / pi - log(pi_ref / pi) - 1 per token (the paper's Eq. 4): unbiased and never negative. Shapes [B, T] -> [B, T]."""
    log_ratio = ref_logp_BT - logp_BT
    return torch.expm1(bounded(log_ratio)) - log_ratio


def k1_loss_term(logp_BT: Tensor, ref_logp_BT: Tensor, kl_coef: float) -> Term:
    """-beta * d k1 / d logp = -beta. Its expectation over whole-sequence sums is zero: no regularisation, only noise."""
    return term(kl_coef=_constant(logp_BT, -kl_coef), one=torch.ones_like(logp_BT))


def k2_loss_term(logp_BT: Tensor, ref_logp_BT: Tensor, kl_coef: float) -> Term:
    """-beta * d k2 / d logp = -beta * log(pi / pi_ref): follows the per-state reverse KL(pi || pi_ref)."""
    return term(kl_coef=_constant(logp_BT, -kl_coef), log_ratio=logp_BT - ref_logp_BT)


def k3_loss_term(logp_BT: Tensor, ref_logp_BT: Tensor, kl_coef: float) -> Term:
    """-beta * d k3 / d logp = beta * (pi_ref / pi - 1), the KL term of Eq. 21.

    With on-policy samples its expectation is minus the gradient of the per-state *forward* KL(pi_ref || pi), although the value
    estimates KL(pi || pi_ref).
    """
    return term(kl_coef=_constant(logp_BT, kl_coef), ref_ratio_minus_one=torch.expm1(bounded(ref_logp_BT - logp_BT)))


def weighted_k3_loss_term(logp_BT: Tensor, ref_logp_BT: Tensor, old_logp_BT: Tensor, kl_coef: float) -> Term:
    """-beta * d (rho * k3) / d logp = -beta * rho * log(pi / pi_ref) (DeepSeek-V3.2, arXiv 2512.02556).

    Follows the per-state reverse KL also when the samples came from pi_old; rho = pi / pi_old.
    """
    return term(
        kl_coef=_constant(logp_BT, -kl_coef),
        importance_weight=torch.exp(bounded(logp_BT - old_logp_BT)),
        log_ratio=logp_BT - ref_logp_BT,
    )


def value(estimator: str, logp_BT: Tensor, ref_logp_BT: Tensor) -> Tensor:
    """The estimate itself, for a reward: "k1", "k2", "k3" or "abs". [B, T] -> [B, T]."""
    if estimator == "abs":
        return (logp_BT - ref_logp_BT).abs()
    return {"k1": k1, "k2": k2, "k3": k3}[estimator](logp_BT, ref_logp_BT)


def loss_term(
    estimator: str,
    logp_BT: Tensor,
    ref_logp_BT: Tensor,
    old_logp_BT: Tensor,
    kl_coef: float,
    clamp: float | None = None,
) -> Term:
    """The coefficient term that adding `kl_coef` times the named estimator to the loss contributes.

    Args:
        estimator: "k3" (the paper's choice), "k1", "k2" or "abs": the derivative of that estimate; "weighted_kN": that of rho kN,
            which corrects for samples of pi_old and differentiates the sampler's share in the expectation; "full_kN": the same at
            rho = 1, so kN + its derivative, the whole gradient of E[kN] on samples of pi itself.
        logp_BT, ref_logp_BT, old_logp_BT: log-probs [B, T] of the policy, the reference and the policy before the update.
        clamp: the estimate is held within +-clamp, beyond which it has no gradient; None = nowhere.
    """
    prefix, _, plain = estimator.rpartition("_")
    if estimator == "weighted_k3":
        found = weighted_k3_loss_term(logp_BT, ref_logp_BT, old_logp_BT, kl_coef)
    elif prefix:
        found = _sampled_term(plain, logp_BT, ref_logp_BT, old_logp_BT if prefix == "weighted" else logp_BT, kl_coef)
    elif estimator == "abs":
        found = term(kl_coef=_constant(logp_BT, -kl_coef), sign=torch.sign(logp_BT - ref_logp_BT))
    else:
        found = {"k1": k1_loss_term, "k2": k2_loss_term, "k3": k3_loss_term}[estimator](logp_BT, ref_logp_BT, kl_coef)
    if clamp is None:
        return found
    size_BT = value(plain, logp_BT, ref_logp_BT)
    if prefix == "weighted":
        size_BT = torch.exp(bounded(logp_BT - old_logp_BT)) * size_BT
    return Term({**found.factors, "within_clamp": (size_BT.abs() <= clamp).to(size_BT)})


def _sampled_term(plain: str, logp_BT: Tensor, ref_logp_BT: Tensor, old_logp_BT: Tensor, kl_coef: float) -> Term:
    """-beta * d (rho * k) / d logp = -beta * rho * (k + dk / d logp) of k1, k2 or k3, with rho = pi / pi_old."""
    log_ratio = logp_BT - ref_logp_BT
    inner = {"k1": lambda: log_ratio + 1, "k2": lambda: log_ratio + 0.5 * log_ratio.square(), "k3": lambda: log_ratio}[plain]()
    return term(
        kl_coef=_constant(logp_BT, -kl_coef), importance_weight=torch.exp(bounded(logp_BT - old_logp_BT)), estimate=inner
    )


def _constant(like: Tensor, value: float) -> Tensor:
    return torch.full((), value, dtype=like.dtype, device=like.device)
