"""`make bench`: ratios and times measured side by side in one run. Run it on an idle machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.launch.resources import cores


def engines() -> None:
    """Generation, packing, memory of the log-probs, a GRPO step: ratios on the same weights."""
    from unified_rl.bench.generation import bench_generation
    from unified_rl.bench.step import bench_step_on
    from unified_rl.bench.training import bench_logprob_memory, bench_packing

    bench_generation(batch=512, max_new_tokens=200, mean_length=40.0)
    for name, measured in bench_packing().items():
        print(f"training pass, {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()))
    memory = bench_logprob_memory()
    print(
        f"log-prob pass at vocabulary 102,400: chunked {memory['chunked']:.0f} MiB, naive {memory['naive']:.0f} MiB, "
        f"chunked / naive = {memory['ratio']:.3f}"
    )
    for ranks in dict.fromkeys((1, cores())):
        bench_step_on(ranks)


def grading() -> None:
    """Answers graded per second, against math-verify called one by one."""
    from unified_rl.bench import grading as bench_grading

    bench_grading.main()


def sandbox() -> None:
    """Small programs run per second."""
    from unified_rl.bench import sandbox as bench_sandbox

    bench_sandbox.main()


def statistics() -> None:
    """Pass@K and Maj@K of 5,000 problems at 1,024 samples, on one core."""
    from unified_rl.bench import statistics as bench_statistics

    bench_statistics.main()


PARTS: dict[str, Callable[[], None]] = {
    "engines": engines,
    "grading": grading,
    "sandbox": sandbox,
    "statistics": statistics,
}


def run(names: Sequence[str], threads: int) -> None:
    """Time these parts; () = all. threads: of torch; 0 = as many as there are cores.

    Raises:
        ConfigError: no such part.
    """
    for name in names:
        if name not in PARTS:
            raise ConfigError(f"{name!r} is no part of the benchmark{did_you_mean(name, PARTS)}")
    import torch

    torch.set_num_threads(threads or cores())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for name in names or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        PARTS[name]()
