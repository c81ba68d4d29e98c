"""Options of training low-rank adapters in place of all weights (LoRA, arXiv 2106.09685). No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, not_negative


@dataclass
class LoraConfig:
    """W + (alpha / rank) B A in place of W in some layers: A and B are trained, all other weights stay (docs/lora.md).

    rank: of A and B; 0 = no adapter, all weights are trained. alpha: 0 = twice the rank.
    targets: names of the linear layers, or the ends of such names, e.g. [q_proj, v_proj]; [] = all but the output head.
    dropout: 0: policy, old policy and reference are compared through the same weights, and dropout would compare noise.
    path: an adapter that is merged into model.path (or, without that, into the base model that it names) before training.
    """

    rank: int = 0
    alpha: float = 0.0
    targets: list[str] = field(default_factory=list)
    dropout: float = 0.0
    path: str = ""

    def __post_init__(self) -> None:
        at_least("model.lora.rank", self.rank, 0)
        not_negative("model.lora.alpha", self.alpha)
        if self.dropout:
            raise ConfigError(
                f"model.lora.dropout={self.dropout:g} would make ratios and KL terms compare noise: policy, old policy and "
                "reference are passes through the same weights; set model.lora.dropout=0"
            )
        if not self.rank and (self.alpha or self.targets):
            raise ConfigError(
                "model.lora.alpha and model.lora.targets are of an adapter, but model.lora.rank=0 trains all weights; set "
                "model.lora.rank, for example 16"
            )

    @property
    def scale(self) -> float:
        """What the product B A is multiplied by."""
        return (self.alpha or 2.0 * self.rank) / self.rank
