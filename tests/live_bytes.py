"""Bytes of all tensors that are alive at once, by the CPU allocator's own account."""

from __future__ import annotations

from collections.abc import Callable

from torch.autograd.profiler import profile


def peak_bytes(run: Callable[[], object]) -> int:
    """Most bytes that `run` holds at once beyond what was there before it."""
    with profile(use_kineto=True, profile_memory=True) as found:
        run()
    events = sorted((one for one in found.kineto_results.events() if one.name() == "[memory]"), key=lambda one: one.start_ns())
    live = most = 0
    for event in events:
        live += event.nbytes()
        most = max(most, live)
    return most
