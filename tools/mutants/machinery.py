"""Mutants of what carries the maths: rewards, sources, corrections, packing, records, decoding."""

from __future__ import annotations

from tools.mutants.mutant import (
    AHEAD,
    ASKED,
    BATCH,
    DECODING,
    IMPORTANCE,
    LABELS,
    LOGPROBS,
    MEMORY,
    NOISE,
    PACKING,
    PAGES,
    PREFIXES,
    RECORDS,
    REWARDS,
    SOURCES,
    Mutant,
)

ADV = "ops/advantages.py"
ATTEND = "models/attention.py"
CORRECTED = "methods/importance.py"
GROUPS = "methods/policy_gradient.py"
IMP = "ops/importance.py"
LATER = "sources/ahead.py"
LEAN = "sampling/llama_decoder.py"
PAGED = "sampling/paged_cache.py"
SOFTMAX, BF16_HEAD = "ops/distribution.py", "ops/bfloat16_head.py"
LOSSES = "methods/losses.py"
MEMORY_FILE = "loop/memory.py"
MIXED_GROUPS = "sources/mixed.py"
MODEL = "rewards/model.py"
JUDGES, SEVERAL, DENOISED, ENSEMBLE = (f"rewards/{name}.py" for name in ("judges", "several", "corrections", "ensembles"))
PACK = "packing/packed_rows.py"
PAIRS = "sources/pairs.py"
PREFIX = "sampling/prefixes.py"
RATIO = "methods/sequence_ratio.py"
RECORD = "loop/record.py"
REPLAY = "sources/replay.py"
RM = "training/reward_loss.py"
SAMPLING = "sampling/draws.py"
STEPS = "stages/step_labels.py"
SUR = "loop/surrogate.py"
TEACHER = "methods/distillation.py"

MUTANTS = (
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
    Mutant(
        JUDGES,
        "rates swapped",
        "(false_negative if right else false_positive)",
        "(false_positive if right else false_negative)",
        REWARDS,
    ),
    Mutant(JUDGES, "noise: the same for all steps", '{answer}", step, *tokens', '{answer}", *tokens', REWARDS),
    Mutant(
        "config/rewards.py",
        "a dial that shifts nothing",
        "math.exp(min(-shift, 700.0))",
        "math.exp(min(-0 * shift, 700.0))",
        REWARDS,
    ),
    Mutant(JUDGES, "a loophole that refuses", "            accepted = True", "            accepted = False", REWARDS),
    Mutant(
        SEVERAL, "outcome given to every step", "total[-1] += weight * score.reward", "total += weight * score.reward", REWARDS
    ),
    Mutant(
        DENOISED,
        "backward: the wrong rate",
        "span * (1 - false_positive) / knows",
        "span * (1 - false_negative) / knows",
        REWARDS,
    ),
    Mutant(DENOISED, "forward: accepting unpaid", "return span * false_negative, span", "return 0.0, span", REWARDS),
    Mutant(ENSEMBLE, "the best instead of the worst", "values_MT.min(0)", "values_MT.max(0)", REWARDS),
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
    Mutant(
        IMP,
        "importance: mean over the response",
        "response_mask_BT).sum(1, keepdim=True)\n    return torch.exp(bounded(summed_B1))",
        "response_mask_BT).mean(1, keepdim=True)\n    return torch.exp(bounded(summed_B1))",
        IMPORTANCE,
    ),
    Mutant(
        IMP,
        "geometric importance: padding counted",
        "bounded(summed_B1 / response_mask_BT.sum(1, keepdim=True).clamp(min=1))",
        "bounded(summed_B1 / response_mask_BT.shape[1])",
        IMPORTANCE,
    ),
    Mutant(IMP, "truncated: from below", "(cap / weight).clamp(max=1.0)", "(cap / weight).clamp(min=1.0)", IMPORTANCE),
    Mutant(IMP, "truncated: upside down", "(cap / weight)", "(weight / cap)", IMPORTANCE),
    Mutant(IMP, "masked: no floor", "((weight >= floor) & (weight <= cap))", "(weight <= cap)", IMPORTANCE),
    Mutant(IMP, "masked: no cap", "((weight >= floor) & (weight <= cap))", "(weight >= floor)", IMPORTANCE),
    Mutant(IMP, "importance: first term only", "in terms.items()}", "in list(terms.items())[:1]}", IMPORTANCE),
    Mutant(
        CORRECTED,
        "importance: of the present policy",
        "old_logp_BT = inputs.old_or(logp_BT)",
        "old_logp_BT = logp_BT",
        IMPORTANCE,
    ),
    Mutant(CORRECTED, "importance: forms swapped", 'name == "truncated"', 'name == "masked"', IMPORTANCE),
    Mutant(ADV, "positives: the size", "return advantages_BT.clamp(min=0)", "return advantages_BT.abs()"),
    Mutant(ADV, "negatives: the positives", "return advantages_BT.clamp(max=0)", "return advantages_BT.clamp(min=0)"),
    Mutant(
        TEACHER, "distillation: away from the teacher", "inputs.teacher_logp_BT - logp_BT", "logp_BT - inputs.teacher_logp_BT"
    ),
    Mutant(
        SOFTMAX,
        "entropy gradient: entropy missing",
        '(logp_nV + found.values["entropy"][:, None])',
        "(logp_nV + 1.0)",
        LOGPROBS,
    ),
    Mutant(
        SOFTMAX,
        "entropy gradient: sign",
        '.mul_(upstream["entropy"][:, None])',
        '.mul_(-upstream["entropy"][:, None])',
        LOGPROBS,
    ),
    Mutant(
        SOFTMAX,
        "squared probabilities: factor 2 missing",
        'mul_(2 * upstream["squared_probs"]',
        'mul_(upstream["squared_probs"]',
        LOGPROBS,
    ),
    *(
        Mutant(SOFTMAX, f"JSD: {what}", old, new, (*LOGPROBS, ("tests/maths/test_teacher_losses.py",)))
        for what, old, new in (
            (
                "shares swapped",
                "share * of_teacher_n - (1 - share) * of_policy_n",
                "(1 - share) * of_teacher_n - share * of_policy_n",
            ),
            ("of equal shares", "math.log(share / (1 - share))", "0.0"),
            ("a gradient that is not centred", "excess -= torch.linalg.vecdot(logp_nV.exp(), excess)[:, None]", "pass"),
            ("a whole gradient", '(1 - share) * upstream["jsd"]', 'upstream["jsd"]'),
        )
    ),
    Mutant(
        "ops/logprobs.py",
        "JSD of few logits: shares swapped",
        "(1 - share) * of_policy_N + share *",
        "share * of_policy_N + (1 - share) *",
        LOGPROBS,
    ),
    Mutant(
        "stages/assembly.py",
        "JSD: beta forgotten",
        "beside, teacher, config.jsd_beta)",
        "beside, teacher)",
        (("tests/maths/test_teacher_losses.py",),),
    ),
    Mutant(SOFTMAX, "reverse KL: the wrong way round", "(logp_nV - teacher_nV)", "(teacher_nV - logp_nV)", LOGPROBS),
    Mutant(
        SOFTMAX,
        "forward KL: the teacher missing",
        "d_logits_nV.sub_(teacher_nV.exp_()",
        "d_logits_nV.sub_(0 * teacher_nV.exp_()",
        LOGPROBS,
    ),
    Mutant(
        BF16_HEAD,
        "kept residuals: temperature twice",
        '["logp"] / -ctx.temperature',
        '["logp"] / -(ctx.temperature**2)',
        LOGPROBS,
    ),
    Mutant(BF16_HEAD, "slabs: the last one only", "self._d_weight_VD.add_(found)", "found", LOGPROBS),
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
    Mutant(
        "sources/declaration.py",
        "wrappers: the state inside forgotten",
        "            self._inside.save(folder)",
        "            pass",
        SOURCES,
    ),
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
    Mutant(PAGED, "decoding: a token does not see itself", "positions[rows] + 1 - CHUNK", "positions[rows] - CHUNK", PAGES),
    Mutant(LEAN, "rotation: halves not exchanged", "reversed(_halves(qk))", "_halves(qk)", DECODING),
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
    Mutant(PAGED, "a moved page keeps its former row", "self._rows[pages] = target[:, None]", "pass", PAGES),
    Mutant(PREFIX, "a new row without its prefix's keys", "self.cache.copy(source, into)", "pass", PREFIXES),
    Mutant(PREFIX, "those without a row are forgotten", "self.waiting.put_back(self.requests[left[branch]])", "pass", PREFIXES),
    Mutant(PREFIX, "each draws by its first number", "len(self.row)), self.count[self.row]]", "len(self.row)), 0]", PREFIXES),
    Mutant(PREFIX, "a row's requests draw by one number", "uniforms[self.row, place] =", "uniforms[self.row, 0] =", PREFIXES),
    Mutant(PREFIX, "branches of a row are one", "self.row * len(self.call.ends) + token", "self.row", PREFIXES),
    Mutant(SAMPLING, "cumulative probability of the logits", "logp.double().exp().cumsum", "logp.double().cumsum", DECODING),
    Mutant(MIXED_GROUPS, "matched by place, not by prompt", "return self._places[group.prompt.id]", "return 0", SOURCES),
    Mutant(
        MIXED_GROUPS,
        "those of the other source first",
        "(*group.responses, *other.responses)",
        "(*other.responses, *group.responses)",
        SOURCES,
    ),
    Mutant(MIXED_GROUPS, "the farther writer is forgotten", "writer=max(", "writer=min(", SOURCES),
    Mutant(MEMORY_FILE, "std: the square of the mean is forgotten", "squares / count - mean**2", "squares / count", MEMORY),
    Mutant(MEMORY_FILE, "only the last rollout is remembered", "total + sum(rewards),", "sum(rewards),", MEMORY),
    Mutant(
        "loop/train.py", "a rollout is not remembered", "memory.note(draw.groups, rollout", "memory.note([], rollout", MEMORY
    ),
)
