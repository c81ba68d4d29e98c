"""The questions on which graders of mathematics disagree, as named settings with defaults and the reasons for them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from unified_rl.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class GradingPolicy:
    """How answers are compared.

    Attributes:
        units: "drop": a unit on one side only is left out ("10 cm" = "10"), since gold answers are stored both with and without.
            Two known units that differ (m, cm) are never equal. "require": units must agree.
        degrees: "drop": 90 = 90 degrees, as in MATH's own answers. "require": the sign must agree.
        bases: "drop": 204_5 = 204, where one side leaves the base out that the question asked for. Two bases must agree.
            "require": as written.
        percent: "either": p% equals p (the question asked for percent) and p/100 (what it means). "number": p only.
            "hundredth": p/100 only.
        list_order: "any": "1, 2" = "2, 1" and repeats do not count, since lists of solutions have no order. "same": as written.
            Tuples, intervals and matrices are always ordered.
        tuple_and_list: "same_order": "(1, 2)" = "1, 2", brackets forgotten. "distinct": never equal.
        tuple_and_set: "distinct": "(1, 3)" is not "{1, 3}". "same_order": equal where written in the same order.
        interval_and_inequality: "equal": "2 < x <= 5" = "(2, 5]". "distinct": never equal.
        left_side: "drop": "x = 5" = "5", "x in [0, 1]" = "[0, 1]". Two different names are never equal. "require": as written.
        decimal_comma: "read": "3,75" = "3.75" where the comma cannot separate thousands and two or more digits follow it.
            "refuse": commas separate thousands or items.
        significant_digits: a decimal equals an exact value that it is the rounding (or cutting-off) of, where it shows at least
            this many significant digits. Below four digits, wrong answers pass (0.33 for 1/3 or for 0.3333).
        relative_tolerance: two numbers within it are equal whatever their form; 0 for none. The physics answers of OCW are judged
            at 1 % (Minerva, arXiv 2206.14858); exact mathematics is not.
        unmarked: "last": without a mark (box, ####, "the answer is") the last expression of the response is its answer.
            "refuse": it then has none (unparsable), the safer choice for a reward.
        boxes: "joined": boxes side by side are a list of answers. "last": only the last counts, as in the stored answers of MATH,
            which were cut from their solutions that way.
    """

    units: Literal["drop", "require"] = "drop"
    degrees: Literal["drop", "require"] = "drop"
    bases: Literal["drop", "require"] = "drop"
    percent: Literal["either", "number", "hundredth"] = "either"
    list_order: Literal["any", "same"] = "any"
    tuple_and_list: Literal["same_order", "distinct"] = "same_order"
    tuple_and_set: Literal["distinct", "same_order"] = "distinct"
    interval_and_inequality: Literal["equal", "distinct"] = "equal"
    left_side: Literal["drop", "require"] = "drop"
    decimal_comma: Literal["read", "refuse"] = "read"
    significant_digits: int = 4
    relative_tolerance: float = 0.0
    unmarked: Literal["last", "refuse"] = "last"
    boxes: Literal["joined", "last"] = "joined"

    def __post_init__(self) -> None:
        hints = get_type_hints(GradingPolicy)
        for field in fields(self):
            choices, value = get_args(hints[field.name]), getattr(self, field.name)
            if choices and value not in choices:
                raise ConfigError(f"{field.name}={value!r} is not a choice of the grading policy; take {' or '.join(choices)}")
        if self.significant_digits < 1:
            raise ConfigError(f"significant_digits={self.significant_digits} must be at least 1")
        if not 0.0 <= self.relative_tolerance < 1.0:
            raise ConfigError(f"relative_tolerance={self.relative_tolerance} must lie in [0, 1)")


#: Where a benchmark's own rules differ from the default.
BENCHMARKS: dict[str, dict[str, Any]] = {
    "default": {},
    "gsm8k": {},
    "math": {"boxes": "last"},
    "cmath": {},
    "mgsm_zh": {},
    "gaokao_mathcloze": {},
    "gaokao_mathqa": {},
    "sat_math": {},
    "mmlu_stem": {},
    "ocw": {"relative_tolerance": 0.01},
}


def benchmark_policy(name: str, **changes: Any) -> GradingPolicy:
    """The policy of a benchmark, with `changes`. Raises ConfigError for an unknown benchmark or setting."""
    if name not in BENCHMARKS:
        raise ConfigError(f"policy={name!r} is unknown; choose one of {', '.join(BENCHMARKS)}")
    known = {field.name for field in fields(GradingPolicy)}
    if unknown := sorted(set(changes) - known):
        raise ConfigError(f"{unknown[0]} is no setting of the grading policy; there are {', '.join(sorted(known))}")
    return replace(GradingPolicy(**BENCHMARKS[name]), **changes)
