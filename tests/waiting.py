"""What an update reads from its device between its first and its last micro-batch: where the host would wait for a GPU."""

from __future__ import annotations

from away import reads
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

#: What reads a tensor without any operator where the device is the host itself.
READERS = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__"}


class _Operators(TorchDispatchMode):
    def __init__(self, seen):
        super().__init__()
        self._seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if reads(func, args, kwargs or {}):
            self._seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class _Readers(TorchFunctionMode):
    def __init__(self, seen):
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in READERS:
            self._seen.append(func.__name__)
        return func(*args, **(kwargs or {}))


MICRO_BATCH = "micro-batch"


def read_by(trainer, sequences, loss, unit_B=None):
    """What was read, in order, from the first micro-batch's loss to the last one's, and the number of micro-batches."""
    seen = []

    def marked(outputs, members):
        seen.append(MICRO_BATCH)
        found = loss(outputs, members)
        seen.append(MICRO_BATCH)
        return found

    with _Operators(seen), _Readers(seen):
        trainer.update(sequences, marked, unit_B)
    first, last = seen.index(MICRO_BATCH), len(seen) - 1 - seen[::-1].index(MICRO_BATCH)
    between = seen[first : last + 1]
    return [name for name in between if name != MICRO_BATCH], between.count(MICRO_BATCH) // 2
