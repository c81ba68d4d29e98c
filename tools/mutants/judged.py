"""Mutants of rewards that are made of other samples than the response's own: completions, other responses that begin alike."""

from __future__ import annotations

from tools.mutants.mutant import MATHS, Mutant, Suites

VALUES = "rewards/step_values.py"
COMPLETED = "rewards/completions.py"
ADV = "ops/advantages.py"
ROW = "methods/step_advantages.py"
GAINS: Suites = (("tests/rewards/test_step_values.py",),)
NODES = "rewards/node_values.py"
TREE: Suites = (("tests/rewards/test_node_values.py",),)
LAB: Suites = (("tests/labs/test_bias_lab.py",),)
GRADIENTS = tuple(
    f"tests/maths/test_gradients.py::test_equals_autograd_of_the_textbook_objective[{seed}-{case}]"
    for case in ("vine_ppo", "vine_ppo_held")
    for seed in range(3)
)

MUTANTS = (
    Mutant(
        VALUES,
        "gains: from the end backwards",
        "np.diff(np.append(values_K, score.reward))",
        "-np.diff(np.append(values_K, score.reward))",
        GAINS,
    ),
    Mutant(
        VALUES,
        "gains: the last step's end is completed too",
        "np.append(values_K, score.reward)",
        "np.append(values_K, values_K[-1])",
        GAINS,
    ),
    Mutant(VALUES, "values: any completion will do", "one.successes.mean()", "one.successes.any()", GAINS),
    Mutant(
        VALUES,
        "values: shares, whatever a right answer is worth",
        "self._incorrect + (self._correct - self._incorrect) * shares_K",
        "shares_K",
        GAINS,
    ),
    Mutant(VALUES, "values: the same draws for every policy", 'stream=f"values/{version}"', 'stream="values/5"', GAINS),
    Mutant(VALUES, "values: of states at steps' ends", "for end in (-1, *ends_K[:-1])]", "for end in ends_K]", GAINS),
    Mutant(
        VALUES, "tokens: each response pays for all of its states", "unpaid.difference_update(own)", "own = list(own)", GAINS
    ),
    Mutant(
        COMPLETED,
        "completions: cut off ones may be right",
        "if completion.truncated or len(prefix) + len(completion)",
        "if len(prefix) + len(completion)",
        GAINS,
    ),
    Mutant(
        COMPLETED,
        "completions: as long as they like",
        "if completion.truncated or len(prefix) + len(completion) > self.decoding.max_new_tokens",
        "if completion.truncated",
        GAINS,
    ),
    Mutant(COMPLETED, "completions: the prefix is not read", "decode([*prefix, *completion", "decode([*completion", GAINS),
    Mutant(
        COMPLETED, "completions: over the context", "if place and length > context", "if place and length > 2 * context", GAINS
    ),
    Mutant(ADV, "of_step: the step after", "- step_ends_BT.long()", "- 0 * step_ends_BT.long()", MATHS),
    Mutant(
        ADV,
        "of_step: later steps' too",
        "of_number_BS.gather(1, number_BT) *",
        "_own_and_later_sum(at_ends_BT) *",
        MATHS,
    ),
    Mutant(
        ADV,
        "of_step: what stands off the ends counts",
        "torch.where(step_ends_BT, step_rewards_BT, 0)\n    number",
        "step_rewards_BT\n    number",
        MATHS,
    ),
    Mutant(
        ADV,
        "of_step: off the mask too",
        "of_number_BS.gather(1, number_BT) * response_mask_BT",
        "of_number_BS.gather(1, number_BT)",
        MATHS,
    ),
    Mutant(ROW, "VinePPO: population std", 'whitening: str = "sample"', 'whitening: str = "population"', (GRADIENTS,)),
    Mutant(ROW, "VinePPO: the KL weighs more", "kl_coef: float = 1e-4", "kl_coef: float = 1e-2", (GRADIENTS,)),
    Mutant("labs/bias/expectation.py", "lab: gains the other way", "after_RT - before_RT, 0)", "before_RT - after_RT, 0)", LAB),
    Mutant(
        NODES,
        "nodes: from the root alone",
        "(values_N1[1:] - values_N1[0]) + np.diff(values_N1)",
        "2 * (values_N1[1:] - values_N1[0])",
        TREE,
    ),
    Mutant(
        NODES,
        "nodes: from the parent alone",
        "(values_N1[1:] - values_N1[0]) + np.diff(values_N1)",
        "2 * np.diff(values_N1)",
        TREE,
    ),
    Mutant(
        NODES,
        "nodes: every step is a node",
        "np.flatnonzero(np.append(np.diff(counts_K) != 0, True))",
        "np.arange(len(counts_K))",
        TREE,
    ),
    Mutant(NODES, "nodes: the root is not a mean", "np.mean(root), *(np.mean", "score.reward, *(np.mean", TREE),
    Mutant(
        NODES,
        "nodes: a state without its last token",
        "response.token_ids[: end + 1].tolist()) for end in (-1, *ends_K[:-1])]",
        "response.token_ids[: max(end, 0)].tolist()) for end in (-1, *ends_K[:-1])]",
        TREE,
    ),
    Mutant(
        "sources/tree_search.py",
        "tree search: the reward sees the roots alone",
        "score_groups(self._reward, prompts, whole)",
        "score_groups(self._reward, prompts, [group[:1] for group in whole])",
        (("tests/parts/test_tree_search.py",),),
    ),
)
