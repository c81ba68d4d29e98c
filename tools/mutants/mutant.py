"""What a mutant is, and the suites that must notice one."""

from __future__ import annotations

from dataclasses import dataclass

Suites = tuple[tuple[str, ...], ...]

#: Fast tests first: most mutants die there.
MATHS = (("tests/maths/test_by_hand.py", "tests/maths/test_properties.py"), ("tests/maths/test_gradients.py",))
REWARDS = (("tests/rewards", "tests/training/test_reward_model.py", "tests/parts/test_replay.py"),)
NOISE = (("tests/rewards", "tests/run/test_reward_model_stages.py", "tests/run/test_learned_rewards.py"),)
LABELS = (("tests/run/test_reward_model_stages.py",),)
LOGPROBS = (("tests/ops/test_logprobs.py",), ("tests/maths/test_entropy_bonus.py", "tests/maths/test_teacher_losses.py"))
SOURCES = (("tests/parts/test_sources.py",), ("tests/parts/test_source_declarations.py",))
MEMORY = (("tests/parts/test_memory.py",),)
IMPORTANCE = (("tests/maths/test_importance.py",), ("tests/maths/test_gradients.py",))
AHEAD = (("tests/parts/test_ahead_of_training.py",),)
PACKING = (("tests/packing/test_packing.py",),)
RECORDS, BATCH, ASKED = (
    ((f"tests/{name}.py",),) for name in ("parts/test_record", "training/test_batch", "sampling/test_requests")
)
DECODING = (("tests/sampling/test_torch_generator.py",), ("tests/sampling/test_compiled_step.py",))
PAGES = (("tests/sampling/test_paged_cache.py",), *DECODING)
PREFIXES = (("tests/sampling/test_prefixes.py",), *DECODING)


@dataclass(frozen=True)
class Mutant:
    """In `unified_rl/<file>`, the text `old` (which must occur) becomes `new`; one of `suites` must notice."""

    file: str
    what: str
    old: str
    new: str
    suites: Suites = MATHS
