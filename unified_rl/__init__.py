"""unified_rl: SFT, RFT, DPO, Online RFT, PPO and GRPO as one formula.

A method is a *data source*, a *reward* and a per-token *gradient coefficient* on grad log pi (DeepSeekMath, arXiv 2402.03300,
Eq. 5). Importing this package loads nothing heavy; the Python interface (`unified_rl.api`) comes when it is asked for.

    import unified_rl as ur

    run = ur.train(method="grpo", task="table", data="qa.csv", reward=my_reward, steps=50)
    run.metrics, run.samples, run.evaluate(samples=64)
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unified_rl.api import Comparison, GridRun, Run, compare, explain, grid, load, train

__version__ = "0.2.0"
__all__ = ["Comparison", "GridRun", "Run", "compare", "explain", "grid", "load", "train"]


def __getattr__(name: str) -> Any:
    """The Python interface, loaded when one of its names is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'unified_rl' has no attribute {name!r}")
    return getattr(_import_module("unified_rl.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
