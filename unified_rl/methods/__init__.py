"""The table of methods, the signals that coefficients read, and the losses beside log-prob terms. No torch."""

from unified_rl.methods.table import METHODS, Method, table

__all__ = ["METHODS", "Method", "table"]
