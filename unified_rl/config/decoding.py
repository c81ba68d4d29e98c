"""The ranges of a sampler's settings, which training and evaluation have in common. No torch."""

from __future__ import annotations

from typing import Any

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, not_negative


def decoding_ranges(section: str, config: Any) -> None:
    """The ranges of a sampler's settings. Raises ConfigError."""
    not_negative(f"{section}.temperature", config.temperature)
    if not 0 < config.top_p <= 1:
        raise ConfigError(f"{section}.top_p={config.top_p} must lie in (0, 1]")
    at_least(f"{section}.top_k", config.top_k, 0)
    at_least(f"{section}.max_new_tokens", config.max_new_tokens, 1)
