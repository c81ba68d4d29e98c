"""Work that may hang, crash or eat memory, run in worker processes that can be killed. No torch.

The parent never waits on a worker without a deadline, never unpickles what a worker sends, and never imports what it runs there.
"""

from unified_rl.isolation.pool import Limits, Outcome, Pool

__all__ = ["Limits", "Outcome", "Pool"]
