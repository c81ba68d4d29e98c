"""The table of methods, the signals that coefficients read, and the losses beside log-prob terms. No torch."""

from unified_rl.methods.base import Coefficient, Inputs, Method
from unified_rl.methods.table import COEFFICIENTS, DEFAULT, METHODS, table

__all__ = ["COEFFICIENTS", "DEFAULT", "METHODS", "Coefficient", "Inputs", "Method", "table"]
