"""`make bench`: ratios and times measured side by side in one run. Run it on an idle machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.launch.resources import cores


def engines() -> dict[str, float]:
    """Generation, packing, memory of the log-probs, a GRPO step: ratios on the same weights."""
    from unified_rl.bench.generation import bench_generation
    from unified_rl.bench.step import bench_step_on
    from unified_rl.bench.training import bench_logprob_memory, bench_packing

    made = bench_generation(batch=512, max_new_tokens=200, mean_length=40.0)
    figures = {f"generation, {name}": made[name] for name in ("plain ratio", "compiled ratio")}
    for name, measured in bench_packing().items():
        figures[f"training pass, {name}, speedup ratio"] = measured["speedup"]
        print(f"training pass, {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()))
    memory = bench_logprob_memory()
    print(
        f"log-prob pass at vocabulary 102,400: chunked {memory['chunked']:.0f} MiB, naive {memory['naive']:.0f} MiB, "
        f"chunked / naive = {memory['ratio']:.3f}"
    )
    figures["log-probs, memory ratio"] = memory["ratio"]
    for ranks in dict.fromkeys((1, cores())):
        figures |= bench_step_on(ranks)
    return figures


def grading() -> dict[str, float]:
    """Answers graded per second, against math-verify called one by one."""
    from unified_rl.bench import grading as bench_grading

    return bench_grading.main()


def sandbox() -> dict[str, float]:
    """Small programs run per second."""
    from unified_rl.bench import sandbox as bench_sandbox

    return bench_sandbox.main()


def statistics() -> dict[str, float]:
    """Pass@K and Maj@K of 5,000 problems at 1,024 samples, on one core."""
    from unified_rl.bench import statistics as bench_statistics

    return bench_statistics.main()


def corpus() -> dict[str, float]:
    """Pages per second of each step of a corpus beside its library alone; memory at 1,000, 10,000 and 100,000 pages."""
    from unified_rl.bench import corpus as bench_corpus

    return bench_corpus.main()


#: Each prints what it measures, and returns its figures by name.
PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "engines": engines,
    "grading": grading,
    "sandbox": sandbox,
    "statistics": statistics,
    "corpus": corpus,
}


def run(names: Sequence[str], threads: int, out: Path | None = None) -> None:
    """Time these parts, compare with the last run that is kept, and keep this one.

    Args:
        names: of `PARTS`; () = all. threads: of torch; 0 = as many as there are cores. out: file of runs; None = `history.FILE`.

    Raises:
        ConfigError: no such part. DataError: `out` is another kind of file.
    """
    for name in names:
        if name not in PARTS:
            raise ConfigError(f"{name!r} is no part of the benchmark{did_you_mean(name, PARTS)}")
    import torch

    from unified_rl.bench import history

    file = out or history.FILE
    before = history.read(file)
    torch.set_num_threads(threads or cores())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    figures = {}
    for name in names or PARTS:
        print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
        figures[name] = PARTS[name]()
    new = history.entry(figures, torch.get_num_threads())
    print(f"\nbeside the last runs in {file}:")
    print("\n".join(history.compared(new, before)), flush=True)
    history.append(file, new)
