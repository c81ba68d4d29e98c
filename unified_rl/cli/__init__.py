"""The command line: `unified-rl COMMAND [key=value ...]`."""

from unified_rl.cli.command import main

__all__ = ["main"]
