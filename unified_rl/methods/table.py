"""THE table: name -> Method(data source, reward, gradient coefficient). No torch.

    grad J = E_{(q, o) ~ source} [ 1/|o| sum_t  GC(q, o, t, reward)  grad log pi(o_t | q, o_<t) ]        (Eq. 5)

A method is a row. Any other combination of the three columns is configured (`method=grpo source=offline_samples`), and
`presets.rules.check` refuses the ones that mean nothing, with the reason and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.coefficient_config import COEFFICIENTS
from unified_rl.sources.registry import SOURCES


@dataclass(frozen=True)
class Method:
    """One row.

    source: where (q, o) come from (sources.registry.SOURCES). reward: who judges (config.REWARD_SOURCES). supervision: "none",
    "outcome" or "process". coefficient: a name in config.COEFFICIENTS, or FILE.py:CLASS. label: how figures and tables call it.
    """

    source: str
    reward: str
    supervision: str
    coefficient: str
    label: str


#                           data source            reward  supervision  coefficient  label
METHODS: dict[str, Method] = {
    "sft": Method("demonstrations", "none", "none", "sft", "SFT (continued)"),
    "rft": Method("offline_samples", "rule", "outcome", "rft", "RFT"),
    "dpo": Method("preference_pairs", "rule", "outcome", "dpo", "DPO"),
    "online_rft": Method("online_samples", "rule", "outcome", "rft", "Online RFT"),
    "ppo": Method("online_samples", "rule", "outcome", "ppo", "PPO"),
    "grpo": Method("online_samples", "rule", "outcome", "grpo", "GRPO+OS"),
    "grpo_ps": Method("online_samples", "exact", "process", "grpo", "GRPO+PS"),
    "rloo": Method("online_samples", "rule", "outcome", "rloo", "RLOO"),
    "dr_grpo": Method("online_samples", "rule", "outcome", "dr_grpo", "Dr. GRPO"),
    "dapo": Method("informative_samples", "rule", "outcome", "dapo", "DAPO"),
}


def table() -> list[dict[str, str]]:
    """The table as plain rows, for `unified-rl methods` and for figures."""
    return [
        {
            "method": name,
            "label": method.label,
            "source": method.source,
            "source_in_words": SOURCES[method.source].in_words,
            "reward": method.reward,
            "supervision": method.supervision,
            "coefficient": method.coefficient,
            "formula": COEFFICIENTS[method.coefficient].formula,
            "equation": COEFFICIENTS[method.coefficient].equation,
        }
        for name, method in METHODS.items()
    ]
