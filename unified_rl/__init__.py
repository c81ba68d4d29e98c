"""unified_rl: SFT, RFT, DPO, Online RFT, PPO and GRPO as one formula.

A method is a *data source*, a *reward* and a per-token *gradient coefficient* on grad log pi (DeepSeekMath, arXiv 2402.03300,
Eq. 5). Importing this package loads nothing heavy.
"""

__version__ = "0.1.0"
