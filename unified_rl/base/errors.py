"""Errors a user can act on. Each also inherits the builtin a caller would naturally catch.

The command line prints the message alone (no traceback) and exits with `exit_code`; so every message names the file or field
at fault and what to do about it.
"""


class UnifiedRLError(Exception):
    """Base of every error that is the user's to mend."""

    exit_code = 2


class ConfigError(UnifiedRLError, ValueError):
    """A configuration that cannot be run: misspelt key, wrong type, illegal combination."""


class DataError(UnifiedRLError, ValueError):
    """Input data that cannot be used: missing file, malformed record, empty split, response without tokens."""


class CheckpointError(UnifiedRLError, RuntimeError):
    """A checkpoint, artefact or model directory that is missing, incomplete or does not match its hash."""


class RunDirectoryError(UnifiedRLError, OSError):
    """A run directory that exists already, cannot be written, or whose disk is full."""


class TrainingError(UnifiedRLError, ArithmeticError):
    """Training that must not go on: a loss that is not finite, or a broken step-0 invariant."""
