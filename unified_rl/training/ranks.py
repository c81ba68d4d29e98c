"""The processes of a data-parallel run, started by torchrun or a launcher that sets the same variables.

Every rank runs the same loop on the same, whole data. Only two things are divided: generation and scoring, by prompt, whose
results are then gathered; and the work inside a trainer, by unit, whose results are then gathered or summed. Group statistics,
filters and aggregation weights therefore range over the whole batch without anyone's care.
"""

from __future__ import annotations

import atexit
import heapq
import os
import pickle
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import ONE_RANK, Decoding, Generator, GeneratorInfo, Prompt, Ranks, Response, Reward, Score

T = TypeVar("T")
#: While the first rank builds an artefact the others wait. A rank that dies is noticed at once, by its closed connection.
PATIENCE = timedelta(hours=24)
#: What is gathered of an object at once with its size; larger ones take a second exchange.
HEAD_BYTES = 1 << 16


def join_ranks() -> Ranks:
    """The ranks of this process's job: one where nothing was launched, else those of the launcher's process group.

    On CUDA each rank takes the device of its local rank.

    Raises:
        ConfigError: the launcher's variables are incomplete.
    """
    size = os.environ.get("WORLD_SIZE", "1")
    if not size.isdecimal() or int(size) <= 1:
        return ONE_RANK
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(f"WORLD_SIZE={size} without {', '.join(missing)}: launch with torchrun, or unset WORLD_SIZE")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        open_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return ProcessGroup()


def open_group(backend: str, **rendezvous: Any) -> None:
    """torch.distributed's default group, left again before the interpreter shuts down.

    Its threads hold Python objects: one that lets go of them during the shutdown aborts the process, and a finished job is
    reported as failed.
    """
    dist.init_process_group(backend, timeout=PATIENCE, **rendezvous)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


class ProcessGroup:
    """torch.distributed's default group. What is gathered is pickled by ourselves, never anything a model wrote as code."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self._objects = dist.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def gather(self, item: T) -> list[T]:
        # torch's all_gather_object asks for the sizes first: two waits for each other, where small items need one.
        data = pickle.dumps(item)
        heads = self._exchange(len(data).to_bytes(8, "little") + data[:HEAD_BYTES], 8 + HEAD_BYTES)
        sizes = [int.from_bytes(head[:8], "little") for head in heads]
        rest = max(sizes) - HEAD_BYTES
        tails = self._exchange(data[HEAD_BYTES:], rest) if rest > 0 else [b""] * self.size
        return [pickle.loads((head[8:] + tail)[:size]) for head, tail, size in zip(heads, tails, sizes, strict=True)]

    def _exchange(self, data: bytes, length: int) -> list[bytes]:
        """Every rank's `data`, filled up with zeros to `length` bytes."""
        own = torch.frombuffer(bytearray(data.ljust(length, b"\0")), dtype=torch.uint8)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own, group=self._objects)
        return [part.numpy().tobytes() for part in found]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def barrier(self) -> None:
        dist.barrier(group=self._objects)

    def apart(self) -> ProcessGroup:
        """With a communicator of its own for objects and barriers; sums of tensors are the trainer's alone."""
        return ProcessGroup()


def shares(costs: Sequence[int], size: int) -> list[list[int]]:
    """Items dealt to `size` ranks so that their costs come out nearly even: the dearest first, each to the rank with least.

    A function of its arguments only, so that every rank knows every share. Each share is in ascending order.
    """
    dealt: list[list[int]] = [[] for _ in range(size)]
    loads = [(0, rank) for rank in range(size)]
    for item in sorted(range(len(costs)), key=lambda item: -costs[item]):
        load, rank = loads[0]
        dealt[rank].append(item)
        heapq.heapreplace(loads, (load + costs[item], rank))
    return [sorted(items) for items in dealt]


class DividedGenerator:
    """Each rank generates for its share of the prompts; every rank gets all responses.

    A response is a function of the weights, the prompt and its seed, so the division does not change it (but for the rounding
    of an engine whose kernels depend on the batch).
    """

    def __init__(self, generator: Generator, ranks: Ranks) -> None:
        self._generator, self._ranks = generator, ranks

    @property
    def info(self) -> GeneratorInfo:
        return self._generator.info

    def generate(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], decoding: Decoding, policy_version: int
    ) -> list[list[Response]]:
        dealt = shares([len(group) for group in seeds], self._ranks.size)
        own = dealt[self._ranks.rank]
        responses = (
            self._generator.generate([prompts[i] for i in own], [seeds[i] for i in own], decoding, policy_version)
            if own
            else []
        )
        return _in_order(self._ranks.gather(responses), dealt)


class DividedReward:
    """Each rank scores the responses to its share of the prompts; every rank gets all scores."""

    def __init__(self, reward: Reward, ranks: Ranks) -> None:
        self._reward, self._ranks = reward, ranks

    def score(self, prompts: Sequence[Prompt], responses: Sequence[Sequence[Response]]) -> list[list[Score]]:
        dealt = shares([sum(map(len, group)) for group in responses], self._ranks.size)
        own = dealt[self._ranks.rank]
        scores = self._reward.score([prompts[i] for i in own], [responses[i] for i in own]) if own else []
        return _in_order(self._ranks.gather(scores), dealt)


def divided(generator: Generator, reward: Reward, ranks: Ranks) -> tuple[Generator, Reward]:
    """Both as they work on several ranks; the very same on one."""
    if ranks.size == 1:
        return generator, reward
    return DividedGenerator(generator, ranks), DividedReward(reward, ranks)


def _in_order(found: Sequence[Sequence[T]], dealt: Sequence[Sequence[int]]) -> list[T]:
    by_item = {
        item: result for items, results in zip(dealt, found, strict=True) for item, result in zip(items, results, strict=True)
    }
    return [by_item[item] for item in range(len(by_item))]
