"""Which sequences share a row, and which rows a micro-batch: bin packing on lengths alone. No tokens, no tensors.

Hundreds of sequences are laid out between two updates, so it is to cost little: the length of the rows is chosen once per
micro-batch, and how many sequences fit is looked for by proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Length of row at which its attention takes as long as all else, about three times the model's width; measured at width 128.
# It is only there to choose between layouts that hold the same sequences in shorter or longer rows.
ATTENTION_TOKENS = 400
# Row lengths that are tried, as shares of `row_tokens`. Sequences of similar length fill few lengths well: 75 tokens leave
# 41 % of a row of 128 empty, and none of a row of 75.
_ROW_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)
# Most that shorter rows, whose attention is cheaper, may cost in tokens: in wide models tokens are nearly all of the cost.
_PADDING_FOR_SHORTER_ROWS = 1.05

Holds = Literal["shared prompts", "whole sequences", "one sequence"]
"""What a row may hold: several responses to one copy of their prompt; sequences, each with a prompt of its own; or one of these."""

# One prompt and the responses that share its copy in a row: indices of sequences.
Bundle = list[int]
Row = list[Bundle]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Per sequence: its prompt's number (equal prompts, equal numbers), the prompt's length, and the tokens read after it."""

    prompt: Sequence[int]
    prompt_tokens: Sequence[int]
    read_tokens: Sequence[int]

    def total(self, index: int) -> int:
        return self.prompt_tokens[index] + self.read_tokens[index]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a micro-batch, and the length of the fullest, which all are padded to."""

    rows: list[Row]
    length: int

    @property
    def size(self) -> int:
        """Tokens, padding included."""
        return len(self.rows) * self.length

    @property
    def cost(self) -> float:
        """Time of a pass, in tokens: padding counts like any token, and a token's attention grows with its row."""
        return self.size * (1 + self.length / ATTENTION_TOKENS)


@dataclass(frozen=True, slots=True)
class RowFiller:
    """row_tokens: length up to which a row is filled, or the longest sequence's. budget: most tokens of a micro-batch."""

    lengths: Lengths
    row_tokens: int
    budget: int
    holds: Holds

    @property
    def share_prompts(self) -> bool:
        return self.holds == "shared prompts"

    def fill_micro_batch(self, units: Sequence[Sequence[int]], start: int) -> tuple[int, Rows]:
        """About the longest run of units from `start` whose rows stay within the budget (at least one unit): its end, its rows."""
        high = self._most(units, start)
        capacity = self._capacity([index for unit in units[start:high] for index in unit])
        fits, rows, probe = start + 1, None, high
        while fits < high:
            candidate = self._layout([index for unit in units[start:probe] for index in unit], capacity)
            if candidate.size <= self.budget:
                fits, rows = probe, candidate
            else:
                high = probe - 1
            in_proportion = start + (probe - start) * self.budget // candidate.size
            probe = min(max(in_proportion, fits + 1), high)
        return fits, rows or self._layout(units[start], capacity)

    def _most(self, units: Sequence[Sequence[int]], start: int) -> int:
        """End of the longest run whose tokens, without any padding, stay within the budget; at least one unit."""
        tokens, prompts = 0, set()
        for stop in range(start, len(units)):
            for index in units[stop]:
                tokens += self.lengths.read_tokens[index]
                if not self.share_prompts or self.lengths.prompt[index] not in prompts:
                    prompts.add(self.lengths.prompt[index])
                    tokens += self.lengths.prompt_tokens[index]
            if tokens > self.budget and stop > start:
                return stop
        return len(units)

    def _capacity(self, indices: Sequence[int]) -> int:
        """The length of row up to `row_tokens` that costs least among those with little padding."""
        layouts = {}
        for share in _ROW_SHARES:
            capacity = int(self.row_tokens * share)
            layouts[capacity] = self._layout(indices, capacity)
        fewest = min(rows.size for rows in layouts.values())
        tight = [capacity for capacity, rows in layouts.items() if rows.size <= _PADDING_FOR_SHORTER_ROWS * fewest]
        return min(tight, key=lambda capacity: layouts[capacity].cost)

    def _layout(self, indices: Sequence[int], capacity: int) -> Rows:
        """Rows of at most `capacity` tokens, or as many as the longest sequence has."""
        capacity = max(capacity, *(self.lengths.total(index) for index in indices))
        bundles = self._bundles(indices, capacity) if self.share_prompts else [[index] for index in indices]
        sizes = [self._bundle_tokens(bundle) for bundle in bundles]
        if self.holds == "one sequence":
            return Rows([[bundle] for bundle in bundles], max(sizes))
        bins, fullest = first_fit_decreasing(sizes, capacity)
        return Rows([[bundles[i] for i in row] for row in bins], fullest)

    def _bundle_tokens(self, bundle: Bundle) -> int:
        read = self.lengths.read_tokens
        return self.lengths.prompt_tokens[bundle[0]] + sum([read[index] for index in bundle])

    def _bundles(self, indices: Sequence[int], capacity: int) -> list[Bundle]:
        """Sequences with equal prompts, as many together as a row takes."""
        by_prompt: dict[int, list[int]] = {}
        for index in indices:
            by_prompt.setdefault(self.lengths.prompt[index], []).append(index)
        bundles = []
        for members in by_prompt.values():
            if len(members) == 1:
                bundles.append(members)
                continue
            room = capacity - self.lengths.prompt_tokens[members[0]]
            bins, _ = first_fit_decreasing([self.lengths.read_tokens[index] for index in members], room)
            bundles += [[members[i] for i in bundle] for bundle in bins]
        return bundles


def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> tuple[list[list[int]], int]:
    """Bins of item indices, and the content of the fullest: longest items first, each into the first bin with room.

    Within 11/9 of the fewest bins + 1. An item longer than `capacity` is an error of the caller's.
    """
    bins: list[list[int]] = []
    rooms: list[int] = []
    for item in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[item]
        for place, room in enumerate(rooms):
            if room >= length:
                bins[place].append(item)
                rooms[place] = room - length
                break
        else:
            bins.append([item])
            rooms.append(capacity - length)
    return bins, capacity - min(rooms)
