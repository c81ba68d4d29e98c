"""Responses alone and in company, under every instruction-set switch: a process of its own, for libraries read a switch once.

    python exactness_job.py [step.pt2 of the model `SMALL`]

Imports once, then forks a child per switch, which sets it before the first arithmetic. Prints a line per switch: its name and
"same", or the first request that differs.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch
from test_torch_generator import IdTokenizer, build, generate_one, make_prompts

from unified_rl.base.rng import generator
from unified_rl.base.types import Decoding
from unified_rl.sampling.compiled_step import load_step
from unified_rl.sampling.torch_generator import TorchGenerator

SWITCHES = [
    "NONE=1",
    *(f"ATEN_CPU_CAPABILITY={name}" for name in ("default", "avx2", "avx512")),
    *(f"MKL_ENABLE_INSTRUCTIONS={name}" for name in ("SSE4_2", "AVX", "AVX2", "AVX512")),
    *(f"MKL_CBWR={name}" for name in ("COMPATIBLE", "SSE4_2", "AVX", "AVX2", "AVX512")),
    *(f"ONEDNN_MAX_CPU_ISA={name}" for name in ("SSE41", "AVX2", "AVX512_CORE")),
]
SMALL = ("qwen2", {})
MODELS = [SMALL, ("llama", {"hidden_size": 48, "intermediate_size": 56, "num_attention_heads": 1})]
DECODING = Decoding(temperature=0.9, max_new_tokens=10)
SEEDS = [7, 8]


def difference(kind, changes, step) -> str:
    """The first request whose response in company is not its response alone, "" if there is none."""
    torch.set_num_threads(1)
    model = build(kind, **changes)
    prompts = make_prompts([1, 15, 16, 17, 33, 60])
    alone = [[generate_one(model, prompt, seed, DECODING, compiled_step=step) for seed in SEEDS] for prompt in prompts]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for trial, (rows, copies) in enumerate([(256, 11), (23, 3)]):
            order = generator(trial, "company").permutation(len(prompts))
            caller = TorchGenerator(
                model, IdTokenizer(), max_concurrent_sequences=rows, prefill_tokens=100 + rows, compiled_step=step
            )
            groups = caller.generate([prompts[i] for i in order], [SEEDS * copies] * len(order), DECODING, 0)
            for i, group in zip(order, groups, strict=True):
                for response, expected in zip(group, alone[i] * copies, strict=True):
                    if not np.array_equal(response.behaviour_logp, expected.behaviour_logp):
                        return f"{kind}, {threads} threads, {rows} rows, prompt {i}, seed {response.seed}"
    return ""


def run_child(switch: str, models, path: Path | None) -> None:
    name, _, value = switch.partition("=")
    os.environ[name] = value
    step = load_step(path) if path else None
    found = next(filter(None, (difference(*model, step) for model in models)), "same")
    print(f"{switch} ({torch.backends.cpu.get_cpu_capability()}): {found}", flush=True)


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for switch in SWITCHES:
        child = os.fork()
        if child == 0:
            run_child(switch, [SMALL] if path else MODELS, path)
            os._exit(0)
        os.waitpid(child, 0)
