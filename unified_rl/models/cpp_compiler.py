"""The C++ compiler that torch's compiler calls."""

from __future__ import annotations

import os
import shutil

from unified_rl.base.errors import ConfigError


def require_compiler(setting: str) -> None:
    """Raises ConfigError where there is none for `setting`, an option such as "trainer.compiled"."""
    name = os.environ.get("CXX", "g++")
    if shutil.which(name) is None:
        raise ConfigError(
            f"{setting}=true needs a C++ compiler, and there is no {name!r}: install one (g++), name it in the variable CXX, or "
            f"leave {setting} out"
        )


def compiler_failed(setting: str, what: str, error: Exception) -> ConfigError:
    """The error that says in one line why `what` could not be compiled, and what to do."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ConfigError(
        f"{setting}=true: {what} could not be compiled ({reason}); leave {setting} out, or, where the C++ compiler failed, mend "
        "what CXX names (g++ by default)"
    )
