"""What a run needs of a machine, by arithmetic alone: memory per GPU by part, tokens, FLOPs, time, the command. No torch."""

from unified_rl.planning.plan import plan

__all__ = ["plan"]
