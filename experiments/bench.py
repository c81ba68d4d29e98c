"""`make bench`: ratios measured side by side in one run, on the same weights. Run it on an idle machine.

python -m experiments.bench [threads=N]
"""

from __future__ import annotations

import sys

import torch

from experiments.bench_generation import bench_generation
from experiments.bench_step import bench_step
from experiments.bench_training import bench_logprob_memory, bench_packing
from experiments.cells import cores


def main(words: list[str]) -> int:
    given = dict(word.partition("=")[::2] for word in words)
    torch.set_num_threads(int(given.get("threads", cores())))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    bench_generation(batch=512, max_new_tokens=200, mean_length=40.0)
    for name, measured in bench_packing().items():
        print(f"training pass, {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in measured.items()))
    memory = bench_logprob_memory()
    print(
        f"log-prob pass at vocabulary 102,400: chunked {memory['chunked']:.0f} MiB, naive {memory['naive']:.0f} MiB, "
        f"chunked / naive = {memory['ratio']:.3f}"
    )
    bench_step()
    bench_step(max_new_tokens=200, mean_length=40.0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
