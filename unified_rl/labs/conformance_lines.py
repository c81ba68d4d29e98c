"""Which configuration of ours is which loss of another project: one line each, by project and by the loss. No torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """words: our configuration, as on the command line. rows: "all" responses, or the "chosen" ones of pairs alone.

    fault: why the two cannot agree; "" where they do.
    """

    words: str
    rows: str = "all"
    fault: str = ""


#: Words that many lines have in common.
TOKENS, SEQUENCES = "aggregation=batch_token_mean", "aggregation=sequence_mean"
NO_KL = "coefficient.kl_coef=0"
CLIP_COV = "method=clip_cov coefficient.clip_eps=0.2 coefficient.above=0.2 coefficient.below=2"

TWO_AVERAGES = (
    "its NLL is a mean over the tokens of all chosen responses, its other term a mean over pairs: two averages in one loss, which "
    "are one where the chosen responses have one length"
)

LINES: dict[str, dict[str, Line]] = {
    "TRL 1.16.0": {
        "vespo": Line("method=vespo"),
        "dpo bco_pair": Line("method=bco"),
        "vLLM IS sequence_truncate, beta=0": Line(
            f"method=grpo {NO_KL} {SEQUENCES} importance=truncated importance.level=sequence importance.cap=1.2"
        ),
        "dpo sigmoid_norm": Line("method=dpo coefficient.form=length_averaged coefficient.beta=2"),
        "luspo, token ratio": Line(f"method=grpo {NO_KL} aggregation=constant_length aggregation.length=1"),
        "sft nll": Line(f"method=sft {TOKENS}"),
        "grpo, KL with bias correction": Line("method=grpo coefficient.kl_estimator=weighted_k3"),
        "vLLM IS sequence_mask, beta=0": Line(
            f"method=grpo {NO_KL} importance=masked importance.level=sequence importance.cap=1.3 importance.floor=0.7"
        ),
        "rloo from rewards, KL in reward, one update": Line("method=rloo aggregation.length=1"),
        "rloo, several updates": Line("method=rloo coefficient.ratio=product aggregation.length=1"),
        "dpo sft": Line(f"method=sft {TOKENS}", rows="chosen"),
        "dpo aot_unpaired": Line("method=aot"),
        "dpo sigmoid": Line("method=dpo"),
        "dr_grpo from rewards": Line("method=dr_grpo aggregation.length=17"),
        "grpo, clip, KL k3 (same A)": Line("method=grpo"),
        "dpo f_divergence=forward_kl": Line("method=dpo coefficient.divergence=forward_kl"),
        "delta (two-sided clip)": Line(f"method=grpo {NO_KL} coefficient.dual_clip=1.5"),
        "scale_rewards=batch": Line(f"method=grpo {NO_KL} coefficient.std=batch coefficient.std_epsilon=1e-4"),
        "gspo": Line("method=gspo coefficient.clip_low=0.2 coefficient.clip_high=0.2"),
        "dpo robust": Line("method=robust_dpo coefficient.label_smoothing=0.1"),
        "dpo f_divergence=js_divergence": Line("method=f_dpo"),
        "cispo": Line("method=cispo coefficient.clip_high=0.28"),
        "sft dft": Line(f"method=dft {TOKENS}"),
        "dapo (clip-higher, token mean)": Line(f"method=dapo {TOKENS}"),
        "dpo apo_zero": Line("method=apo_zero"),
        "kto": Line("method=kto coefficient.undesirable_weight=0.8"),
        "kto, chosen responses of one length": Line("method=kto coefficient.undesirable_weight=0.8"),
        "orpo": Line("method=orpo", fault=TWO_AVERAGES),
        "orpo, chosen responses of one length": Line("method=orpo"),
        "cpo": Line("method=cpo", fault=TWO_AVERAGES),
        "cpo, chosen responses of one length": Line("method=cpo"),
        "cpo, cpo_alpha=0": Line("method=cpo coefficient.nll_coef=0"),
        "cpo, label_smoothing=0.1, cpo_alpha=0": Line("method=cpo coefficient.nll_coef=0 coefficient.label_smoothing=0.1"),
        "cpo, simpo, cpo_alpha=0": Line("method=simpo coefficient.gamma=0.5"),
    },
    "verl": {
        "clip_cov, all of the band": Line(f"{CLIP_COV} coefficient.share=1"),
        "clip_cov, drawn from the band": Line(f"{CLIP_COV} coefficient.share=0.06"),
        "kl_cov": Line("method=kl_cov coefficient.share=0.05 coefficient.hold=0.1"),
        "ppo, GAE before whitening with gaps": Line(f"method=ppo {TOKENS}"),
        "rollout_rs=seq_sum_k1 0.5_2.0": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=rejected importance.reject=ratio "
            "importance.reject_over=sum importance.reject_floor=0.5 importance.reject_cap=2.0 "
            "importance.rejected=left_out"
        ),
        "ppo, GAE as it is": Line(f"method=ppo {TOKENS} coefficient.whitening=sample"),
        "dr_grpo from rewards": Line("method=dr_grpo aggregation.length=17"),
        "rloo from rewards, KL in reward, no ratio": Line("method=rloo aggregation.length=1"),
        "gspo": Line("method=gspo coefficient.clip_low=0.2 coefficient.clip_high=0.2"),
        "rollout_rs=token_k1 0.7_1.3": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=rejected importance.reject=ratio "
            "importance.reject_floor=0.7692 importance.reject_cap=1.4286 importance.rejected=left_out"
        ),
        "KL loss k3+ (straight-through k2)": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=k2"),
        "vanilla seq-mean-token-mean, KL low_var_kl (same A)": Line("method=grpo"),
        "cispo": Line("method=cispo coefficient.clip_low=0.2 coefficient.clip_high=0.2"),
        "vanilla token-mean, KL low_var_kl (same A)": Line(f"method=grpo {TOKENS}"),
        "rollout_rs=seq_mean_k3 .05": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=rejected importance.reject=k3 "
            "importance.reject_over=mean importance.reject_cap=.05 importance.rejected=left_out"
        ),
        "KL loss k3": Line(f"method=grpo {TOKENS}"),
        "rollout_is with KL loss": Line(f"method=grpo {TOKENS} importance=truncated importance.cap=1.2"),
        "sapo": Line("method=sapo"),
        "KL loss k1": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=k1"),
        "rollout_is=sequence, threshold=0.7_1.3": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=masked importance.level=sequence importance.cap=1.3 importance.floor=0.7"
        ),
        "rollout_is=token, threshold=1.2": Line(f"method=grpo {NO_KL} {TOKENS} importance=truncated importance.cap=1.2"),
        "rollout_rs=seq_mean_k1 0.95_1.05": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=rejected importance.reject=ratio "
            "importance.reject_over=mean importance.reject_floor=0.9524 importance.reject_cap=1.0526 "
            "importance.rejected=left_out"
        ),
        "dro": Line("method=dro"),
        "rollout_is=sequence, threshold=1.2": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=truncated importance.level=sequence importance.cap=1.2"
        ),
        "dppo_kl": Line("method=dppo_kl coefficient.bound_low=0.01 coefficient.bound_high=0.01"),
        "grpo, group of one": Line(
            f"method=grpo {NO_KL} {TOKENS} coefficient.std=sample coefficient.std_epsilon=1e-6 coefficient.lone=reward"
        ),
        "rollout_rs=token_k3 .05": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=rejected importance.reject=k3 "
            "importance.reject_cap=.05 importance.rejected=left_out"
        ),
        "KL loss low_var_kl, far from the reference": Line(f"method=grpo {TOKENS} coefficient.kl_clamp=10"),
    },
    "NeMo-RL": {
        "sft": Line(f"method=sft {TOKENS}"),
        "importance correction tis": Line(f"method=grpo {NO_KL} {TOKENS} importance=truncated importance.cap=1.2"),
        "KL loss k3 against ours' k3": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=full_k3"),
        "KL loss k3": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=k2"),
        "KL loss k2": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=full_k2"),
        "dpo, averaged log-probs": Line("method=dpo coefficient.form=length_averaged coefficient.beta=2"),
        "rloo from rewards (no KL, no ratio)": Line(f"method=rloo {NO_KL} {TOKENS}"),
        "seq-mask-tis": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=plain importance.reject=ratio "
            "importance.reject_over=mean importance.reject_floor=0.95 importance.reject_cap=1.05"
        ),
        "ppo, GAE, normalize_advantages=True": Line(f"method=ppo {TOKENS} coefficient.whitening=sample"),
        "reinforce++ minus_baseline=True": Line(f"method=reinforce_pp_baseline {NO_KL} coefficient.whitening=population"),
        "importance correction icepop": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=masked importance.cap=1.3 importance.floor=0.7"
        ),
        "force_on_policy_ratio": Line(f"method=grpo {NO_KL} {TOKENS} coefficient.ratio=none"),
        "KL loss k1": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=full_k1"),
        "KL loss k3, use_on_policy_kl_approximation": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=weighted_k3"),
        "clipped PG, token level (same A)": Line(f"method=grpo {NO_KL} {TOKENS}"),
        "dr_grpo from rewards (token mean)": Line(f"method=dr_grpo {TOKENS}"),
    },
    "OpenRLHF": {
        "group_norm from rewards": Line(f"method=grpo {NO_KL} {TOKENS} coefficient.std=sample coefficient.std_epsilon=1e-9"),
        "rloo, KL in reward": Line(f"method=rloo {TOKENS} coefficient.kl_in=reward_to_go"),
        "vLLM IS icepop [0.7, 1.3]": Line(
            f"method=grpo {NO_KL} {TOKENS} importance=masked importance.cap=1.3 importance.floor=0.7"
        ),
        "ppo loss, token level (same A)": Line(f"method=grpo {NO_KL} {TOKENS}"),
        "dual_clip": Line(f"method=grpo {NO_KL} {TOKENS} coefficient.dual_clip=3"),
        "gspo": Line("method=gspo coefficient.clip_low=0.2 coefficient.clip_high=0.2"),
        "rloo from rewards, kl_coef=0": Line(f"method=rloo {NO_KL} {TOKENS} coefficient.ratio=token"),
        "ppo, GAE as it is": Line(f"method=ppo {TOKENS} coefficient.whitening=population"),
        "dpo label_smoothing (cDPO)": Line("method=cdpo"),
        "ppo loss, sample level (same A)": Line(f"method=grpo {NO_KL}"),
        "dpo": Line("method=dpo"),
        "KL loss k2": Line(f"method=grpo {TOKENS} coefficient.kl_estimator=k2"),
        "KL loss with sample-level policy loss": Line(
            "method=grpo coefficient.kl_estimator=k2",
            fault="the KL of this loss is always a mean over tokens, also where the policy term is a mean over "
            "responses: two averages in one loss, which no aggregation here is",
        ),
        "rloo from rewards, kl_coef=0, one update": Line(f"method=rloo {NO_KL} {TOKENS}"),
    },
    "prime-rl": {
        "max_rl advantage": Line(
            "method=dppo_tv coefficient.std=mean coefficient.bound_low=1 coefficient.bound_high=1 importance=bypass"
        ),
        "ref_kl (on-policy distillation)": Line(
            f"method=opd teacher=REFERENCE {TOKENS} coefficient.ratio=token coefficient.fall=0.2 "
            "coefficient.squared_drift=1e-3 importance=bypass"
        ),
        "ipo (symmetric trust region)": Line(
            "method=dppo_tv coefficient.std=none coefficient.divergence=both_sides "
            "coefficient.bound_low=0.05 coefficient.bound_high=0.05 importance=bypass"
        ),
        "default as it is, from rewards": Line(
            "method=dppo_tv coefficient.std=none coefficient.squared_drift=1e-3 importance=bypass"
        ),
    },
    "open-instruct": {
        "dpo": Line("method=dpo"),
        "centered, clip_higher=.272 (its defaults)": Line(f"method=dr_grpo {TOKENS} coefficient.clip_high=0.272"),
        "KL loss estimator 2, symmetric clip": Line(f"method=grpo {TOKENS} {NO_KL}.05"),
        "dpo_norm": Line("method=dpo coefficient.form=length_averaged coefficient.beta=5"),
        "cispo": Line("method=cispo coefficient.clip_high=0.272"),
        "dapo from rewards, beta=0, standard": Line(
            f"method=dapo {TOKENS} coefficient.clip_high=0.272 coefficient.std_epsilon=1e-8"
        ),
        "KL loss estimator 0, symmetric clip": Line(f"method=grpo {TOKENS} {NO_KL}.05 coefficient.kl_estimator=k1"),
        "rho clamp and mask together": Line(
            f"method=grpo {NO_KL} {TOKENS} coefficient.clip_high=0.272 importance=truncated "
            "importance.cap=1.1 importance.reject=ratio importance.reject_floor=0.7 "
            "importance.reject_cap=1.3"
        ),
        "rho clamp <= 1.2": Line(
            f"method=grpo {NO_KL} {TOKENS} coefficient.clip_high=0.272 importance=truncated importance.cap=1.2"
        ),
        "KL loss estimator 3": Line(f"method=grpo {TOKENS} {NO_KL}.05 coefficient.kl_estimator=weighted_k1"),
    },
    "slime": {
        "icepop [.7, 1.3]": Line(f"method=grpo {NO_KL} {SEQUENCES} importance=masked importance.cap=1.3 importance.floor=0.7"),
        "TIS in [.8, 1.2]": Line(
            f"method=grpo {NO_KL} {SEQUENCES} importance=truncated importance.cap=1.2 importance.floor=0.8"
        ),
        "TIS <= 1.2": Line(f"method=grpo {NO_KL} {SEQUENCES} importance=truncated importance.cap=1.2"),
        "use_rollout_logprobs (ratio to the sampler)": Line(f"method=grpo {NO_KL} {SEQUENCES} importance=bypass"),
        "clip-higher (same A)": Line(f"method=dapo {SEQUENCES}"),
        "KL loss k3": Line("method=grpo"),
        "ppo, chunked_gae": Line("method=ppo"),
        "gspo": Line("method=gspo coefficient.clip_low=0.2 coefficient.clip_high=0.28"),
        "ppo, vanilla_gae": Line("method=ppo"),
        "use_opsm": Line(
            f"method=grpo {NO_KL} coefficient.off_policy_delta=0.02",
            fault="the record: the advantages fed to this run are not those of the rewards recorded with it "
            "(they are whitened over other rewards)",
        ),
        "eps_clip_c (dual clip)": Line(f"method=grpo {NO_KL} coefficient.dual_clip=3"),
        "KL loss low_var_kl": Line("method=grpo"),
        "eps_clip_c (dual clip), recorded here": Line(f"method=grpo {NO_KL} coefficient.dual_clip=1.3"),
        "KL loss k1": Line("method=grpo coefficient.kl_estimator=k1"),
        "KL loss k2": Line("method=grpo coefficient.kl_estimator=k2"),
        "use_opsm, recorded here": Line(f"method=grpo {NO_KL} coefficient.off_policy_delta=0.05"),
        "cispo": Line(f"method=cispo coefficient.clip_high=0.28 {SEQUENCES}"),
    },
}

#: What a dialect sets, beside what a recording of its project set otherwise than that project's defaults: (project, loss) -> words.
#: "same A": the recording's advantages were ours, of the population's std. Where the dialect stands alone, it is the default as is.
SAME_A = "coefficient.baseline=mean coefficient.std=population coefficient.std_epsilon=0"
DIALECT_LINES: dict[tuple[str, str], str] = {
    ("TRL 1.16.0", "grpo, clip, KL k3 (same A)"): f"method=grpo dialect=trl coefficient.kl_coef=0.04 {SEQUENCES} {SAME_A}",
    ("TRL 1.16.0", "scale_rewards=batch"): f"method=grpo dialect=trl {SEQUENCES} coefficient.std=batch",
    ("TRL 1.16.0", "dapo (clip-higher, token mean)"): f"method=grpo dialect=trl coefficient.clip_high=0.28 {SAME_A}",
    ("TRL 1.16.0", "rloo from rewards, KL in reward, one update"): "method=rloo dialect=trl coefficient.kl_coef=0.03",
    ("TRL 1.16.0", "rloo, several updates"): "method=rloo dialect=trl coefficient.kl_coef=0.03",
    ("TRL 1.16.0", "dpo sigmoid"): "method=dpo dialect=trl",
    ("verl", "grpo, group of one"): "method=grpo dialect=verl",
    ("verl", "vanilla token-mean, KL low_var_kl (same A)"): "method=grpo dialect=verl coefficient.kl_coef=0.04 "
    f"coefficient.dual_clip=null {SAME_A}",
    ("verl", "ppo, GAE as it is"): "method=ppo dialect=verl coefficient.kl_coef=0.04 coefficient.trace_decay=0.95",
    ("OpenRLHF", "group_norm from rewards"): f"method=grpo dialect=openrlhf {NO_KL}",
    ("OpenRLHF", "dual_clip"): f"method=grpo dialect=openrlhf {NO_KL} coefficient.dual_clip=3 {SAME_A}",
    ("OpenRLHF", "rloo, KL in reward"): "method=rloo dialect=openrlhf coefficient.kl_coef=0.03",
    ("OpenRLHF", "rloo from rewards, kl_coef=0"): f"method=rloo dialect=openrlhf {NO_KL}",
    ("OpenRLHF", "ppo, GAE as it is"): "method=ppo dialect=openrlhf coefficient.kl_coef=0.04 coefficient.trace_decay=0.95",
    ("OpenRLHF", "dpo"): "method=dpo dialect=openrlhf",
    ("NeMo-RL", "KL loss k3"): f"method=grpo dialect=nemo_rl coefficient.kl_coef=0.04 {SAME_A}",
    ("NeMo-RL", "clipped PG, token level (same A)"): f"method=grpo dialect=nemo_rl {NO_KL} {SAME_A}",
    ("prime-rl", "default as it is, from rewards"): "method=grpo dialect=prime_rl",
    (
        "open-instruct",
        "centered, clip_higher=.272 (its defaults)",
    ): f"method=grpo dialect=open_instruct {NO_KL} importance=none",
    ("open-instruct", "rho clamp <= 1.2"): "method=grpo dialect=open_instruct importance.cap=1.2 "
    f"{NO_KL} coefficient.std=population",
    ("open-instruct", "KL loss estimator 2, symmetric clip"): "method=grpo dialect=open_instruct coefficient.std=population "
    "coefficient.clip_high=0.2 importance=none",
    ("open-instruct", "dpo_norm"): "method=dpo dialect=open_instruct",
    ("slime", "clip-higher (same A)"): f"method=grpo dialect=slime coefficient.clip_high=0.28 {SAME_A}",
    ("slime", "ppo, vanilla_gae"): "method=ppo dialect=slime coefficient.kl_coef=0.04 coefficient.trace_decay=0.95",
}
