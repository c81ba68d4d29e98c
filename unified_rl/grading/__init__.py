"""Grading mathematics: what a response's answer is, whether it is right, and which answers are the same. No torch.

`grade(records)` grades many; a `Grader` keeps its workers warm. docs/grading.md has formats, policies and limits.
"""

from unified_rl.grading.classes import group
from unified_rl.grading.extract import FORMATS, extract
from unified_rl.grading.grade import Grader, Verdicted, grade
from unified_rl.grading.policies import GradingPolicy, benchmark_policy
from unified_rl.isolation import Limits

__all__ = ["FORMATS", "Grader", "GradingPolicy", "Limits", "Verdicted", "benchmark_policy", "extract", "grade", "group"]
