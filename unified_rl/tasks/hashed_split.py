"""Train, validation and test problems of data that has no files for them: by a hash of each question, whatever the file's order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from unified_rl.base.errors import DataError
from unified_rl.base.types import Split


def position(question: str) -> float:
    """Where a question stands in [0, 1): a hash of its text."""
    digest = hashlib.blake2b(question.strip().encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def hashed_split(questions: Sequence[str], validation: float, test: float, of: str) -> list[Split]:
    """The split of each question. Equal questions are in one split; each split that is asked for has at least one.

    Args:
        validation, test: shares in [0, 1]: the questions of the lowest and of the highest places. of: what holds them.

    Raises:
        DataError: there are fewer distinct questions than splits.
    """
    places = [position(question) for question in questions]
    distinct = sorted(set(places))
    wanted = (validation > 0) + (test > 0) + (validation + test < 1)
    if len(distinct) < wanted:
        raise DataError(
            f"{of} holds {len(distinct)} different questions, too few for {wanted} splits; add some, or set "
            "task.options.test_fraction=1 to make all of it test problems"
        )
    splits: dict[float, Split] = {
        one: "test" if one >= 1 - test else "validation" if one < validation else "train" for one in distinct
    }
    if validation > 0:
        splits[distinct[0]] = "validation"
    if test > 0:
        splits[distinct[-1]] = "test"
    if validation + test < 1 and "train" not in splits.values():
        splits[distinct[(len(distinct) - (validation == 0)) // 2]] = "train"
    return [splits[one] for one in places]
