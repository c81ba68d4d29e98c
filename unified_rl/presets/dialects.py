"""Dialects: what other projects' code does by default where it says the name of a method of ours. No torch.

Each was read in the project's defaults at the version it states, and is checked against gradients of its own loss functions
(`labs.conformance_lines.DIALECT_LINES`). Defaults, not recipes: how many responses, which learning rate and how far sampling may
run ahead are the user's to set there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean

PAPER = "paper"


@dataclass(frozen=True)
class Dialect:
    """One project.

    project, version: as the golden gradients have them. words: method -> what the project sets otherwise than our row, as on the
    command line. beside: what its defaults also do that no setting of ours is, in words.
    """

    project: str
    version: str
    words: Mapping[str, str]
    beside: tuple[str, ...] = ()


_TOKENS, _NO_KL = "aggregation=batch_token_mean", "coefficient.kl_coef=0"
_SAMPLE = "coefficient.std=sample coefficient.std_epsilon="

DIALECTS: Mapping[str, Dialect] = {
    "trl": Dialect(
        "TRL",
        "1.16.0",
        {
            "grpo": f"{_TOKENS} {_NO_KL} {_SAMPLE}1e-4",
            "rloo": "coefficient.kl_coef=0.05 coefficient.ratio=product aggregation.length=1",
            "dpo": "",
        },
        ("with vLLM it also drops responses whose product of pi_old/pi_sampler exceeds 3 (importance=masked, level=sequence)",),
    ),
    "verl": Dialect(
        "verl",
        "1dda039b",
        {
            "grpo": f"{_TOKENS} {_NO_KL} {_SAMPLE}1e-6 coefficient.lone=reward coefficient.dual_clip=3 rollout.minibatches=4",
            "ppo": f"{_TOKENS} {_NO_KL} coefficient.trace_decay=1 coefficient.whitening=sample coefficient.dual_clip=3 "
            "coefficient.value_clip=0.5 rollout.minibatches=4",
        },
        ("4 updates: 1,024 prompts per rollout in minibatches of 256",),
    ),
    "openrlhf": Dialect(
        "OpenRLHF",
        "3c3be623",
        {
            "grpo": f"{_TOKENS} coefficient.kl_coef=0.01 coefficient.kl_estimator=k1 coefficient.kl_in=reward_to_go "
            f"{_SAMPLE}1e-9 rollout.minibatches=8",
            "ppo": f"{_TOKENS} coefficient.kl_coef=0.01 coefficient.trace_decay=1 coefficient.whitening=population "
            "coefficient.value_clip=0.5 rollout.minibatches=8",
            "rloo": f"{_TOKENS} coefficient.kl_coef=0.01 coefficient.kl_in=reward_to_go coefficient.ratio=token "
            "rollout.minibatches=8",
            "dpo": "",
        },
        ("8 updates: 1,024 prompts per rollout in batches of 128 responses, which is 8 n with n responses to a prompt",),
    ),
    "nemo_rl": Dialect(
        "NeMo-RL",
        "7ea279ab",
        {
            "grpo": f"{_TOKENS} coefficient.kl_coef=0.01 coefficient.kl_estimator=full_k3 coefficient.baseline=leave_one_out "
            "coefficient.std=leave_one_out coefficient.std_epsilon=1e-6 coefficient.flat=undivided"
        },
    ),
    "prime_rl": Dialect(
        "prime-rl",
        "559b4477",
        {"grpo": f"coefficient=dppo coefficient.std=none coefficient.squared_drift=1e-3 {_TOKENS} importance=bypass"},
        ("sampling may run up to 8 steps ahead (rollout.staleness)",),
    ),
    "open_instruct": Dialect(
        "open-instruct",
        "e6c3044a",
        {
            "grpo": f"{_TOKENS} coefficient.kl_coef=0.05 coefficient.std=none coefficient.clip_high=0.272 "
            "importance=truncated importance.cap=2",
            "dpo": "coefficient.form=length_averaged coefficient.beta=5",
        },
        (
            "groups whose rewards agree leave the batch, and so the token mean's denominator",
            "sampling may run up to 8 steps ahead (rollout.staleness)",
        ),
    ),
    "slime": Dialect(
        "slime",
        "624b824a",
        {
            "grpo": f"{_NO_KL} {_SAMPLE}1e-6",
            "ppo": f"{_NO_KL} coefficient.trace_decay=1 coefficient.value_clip=0.2",
        },
    ),
}
NAMES = (PAPER, *DIALECTS)


def words(name: str, method: str) -> list[str]:
    """What a dialect sets for a method, as on the command line; [] for the paper's.

    Raises:
        ConfigError: there is no such dialect, or its project has no such method.
    """
    if name == PAPER:
        return []
    if name not in DIALECTS:
        raise ConfigError(f"dialect={name!r} is not known{did_you_mean(name, list(NAMES))}")
    found = DIALECTS[name]
    if method not in found.words:
        raise ConfigError(
            f"dialect={name} says nothing of method={method}: what {found.project} does by default was read for "
            f"method={' or '.join(found.words)}; set one of these, or leave out dialect"
        )
    return found.words[method].split()
