"""Members of one list found among the members of another: only those are compared whose fingerprints meet.

Time grows with the number of members: fingerprints are sorted, and real comparisons are counted against a budget per member. A list
whose members cannot be told apart by their fingerprints, and that is written in another order, is beyond it when it is long.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence

from unified_rl.grading.fingerprints import Fingerprint, fingerprints
from unified_rl.grading.nodes import Node

PAIRS = 8  # comparisons per member

Equal = Callable[[Node, Node], bool]


class Shelf:
    """Members by their fingerprints: each may be looked for, and taken out."""

    def __init__(self) -> None:
        self._sorted: list[tuple[float, float, int]] = []  # (fingerprint, slack, place)
        self._unknown: dict[int, None] = {}  # places of members without a fingerprint
        self._exactly: dict[Node, dict[int, None]] = {}
        self._widest = 0.0
        self._members: dict[int, Node] = {}

    def put(self, place: int, member: Node, prints: Sequence[Fingerprint]) -> None:
        self._members[place] = member
        self._exactly.setdefault(member, {})[place] = None
        for value, slack in prints:
            insort(self._sorted, (value, slack, place))
            self._widest = max(self._widest, slack)
        if not prints:
            self._unknown[place] = None

    def take(self, place: int) -> None:
        """What was taken is found no more."""
        del self._exactly[self._members.pop(place)][place]
        self._unknown.pop(place, None)

    def candidates(self, member: Node, prints: Sequence[Fingerprint]) -> Iterator[tuple[int, Node]]:
        """Places and members that may equal it: identical ones first."""
        seen: dict[int, None] = dict.fromkeys(self._exactly.get(member, ()))
        yield from ((place, self._members[place]) for place in seen)
        nearby = self._near(prints) if prints else iter(self._members)
        for place in (*nearby, *(self._unknown if prints else ())):
            if place not in seen and place in self._members:
                seen[place] = None
                yield place, self._members[place]

    def _near(self, prints: Sequence[Fingerprint]) -> Iterator[int]:
        for value, slack in prints:
            reach = slack + self._widest
            for index in range(bisect_left(self._sorted, (value - reach,)), len(self._sorted)):
                other, its_slack, place = self._sorted[index]
                if other > value + reach:
                    break
                if abs(other - value) <= slack + its_slack:
                    yield place


class Matcher:
    """Matches members with an `equal`. `tolerance`: the policy's relative one."""

    def __init__(self, equal: Equal, tolerance: float) -> None:
        self._equal = equal
        self._tolerance = tolerance

    def same(self, left: Sequence[Node], right: Sequence[Node], equal_quietly: Equal) -> bool:
        """Whether each member of one equals a member of the other, and as many different ones."""
        left, right = self.distinct(left, equal_quietly), self.distinct(right, equal_quietly)
        if len(left) != len(right):
            return False
        shelf = Shelf()
        for place, member in enumerate(right):
            shelf.put(place, member, self._prints(member))
        budget = PAIRS * len(left)
        for member in left:
            for place, other in shelf.candidates(member, self._prints(member)):
                budget -= 1
                if budget < 0:
                    return False
                if self._equal(member, other):
                    shelf.take(place)
                    break
            else:
                return False
        return True

    def distinct(self, members: Sequence[Node], equal: Equal) -> list[Node]:
        """The first of each of several equal members; beyond the budget, of several identical ones."""
        kept: list[Node] = []
        shelf = Shelf()
        budget = PAIRS * len(members)
        for member in dict.fromkeys(members):
            prints = self._prints(member)
            repeated = False
            for _place, other in shelf.candidates(member, prints):
                budget -= 1
                if budget < 0 or (repeated := equal(member, other)):
                    break
            if not repeated:
                shelf.put(len(kept), member, prints)
                kept.append(member)
        return kept

    def _prints(self, member: Node) -> tuple[Fingerprint, ...]:
        return fingerprints(member, self._tolerance)
