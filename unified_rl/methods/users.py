"""A user's own coefficient, looked at when it is named. (`ops.term_checks` looks at what it says.) No torch."""

from __future__ import annotations

import inspect

from unified_rl.base.errors import ConfigError
from unified_rl.methods.base import Coefficient

UNITS = ("token", "sequence", "pair", "group", "batch")


def check_class(found: type[Coefficient], name: str) -> None:
    """Refuse a class that would not do what its author wrote. name: as the configuration has it.

    Raises:
        ConfigError: it is no dataclass though it has options, has no terms, or `needs`, `unit` or `supervisions` mean nothing.
    """
    who = f"coefficient={name}"
    own = [item for item, kind in inspect.get_annotations(found).items() if "ClassVar" not in str(kind)]
    if own and "__dataclass_fields__" not in vars(found):
        raise ConfigError(
            f"{who}: {found.__name__} has options ({', '.join(own)}) but is no dataclass; write @dataclass above it"
        )
    if found.terms is Coefficient.terms:
        raise ConfigError(
            f"{who}: {found.__name__} has no terms(logp_BT, inputs); define it, or see coefficient_from_objective"
        )
    if not isinstance(found.needs, (frozenset, set)):
        raise ConfigError(f"{who}: needs is {found.needs!r:.60}, and must be a frozenset, as in frozenset({{'groups'}})")
    if found.unit not in UNITS:
        raise ConfigError(f"{who}: unit is {found.unit!r:.60}; choose one of {', '.join(UNITS)}")
    if not isinstance(found.supervisions, (frozenset, set)) or not found.supervisions <= {"none", "outcome", "process"}:
        raise ConfigError(f"{who}: supervisions is {found.supervisions!r:.60}; give a frozenset of none, outcome, process")
