"""The decoding step as machine code for this processor, compiled once by torch's AOTInductor for all weights of one shape.

A small model's step is many small operations; compiled, those between the matrix products become a few loops, and nothing goes
through the interpreter. Compiling takes half a minute and a C++ compiler; loading takes a moment.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch._inductor import config as inductor
from torch.export import Dim, export

from unified_rl.models.cpp_compiler import compiler_failed
from unified_rl.sampling.draws import draw_by_inversion
from unified_rl.sampling.fixed_shapes import BLOCK, CHUNK, MATRICES
from unified_rl.sampling.llama_decoder import CompiledStep, DecodingStep, DrawingStep, StepShape, Tensors

#: One process: a pool of compiling workers would outlive the call and use more cores than the caller has threads. No headers
#: compiled beforehand, which pays from the second program on.
_SETTINGS = {"compile_threads": 1, "aot_inductor.precompile_headers": False}


def machine_facts() -> dict[str, Any]:
    """What the machine code depends on beside the shape: what is compiled, torch, the processor's instructions, the threads."""
    compiled: tuple[type | Callable[..., Any], ...] = (DecodingStep, DrawingStep, draw_by_inversion, compile_step, _example)
    return {
        "code": hashlib.sha256("".join(map(inspect.getsource, compiled)).encode()).hexdigest(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "instructions": _instructions(),
        "threads": torch.get_num_threads(),
    }


def compile_step(shape: StepShape, path: Path) -> None:
    """Compile `DrawingStep` for a shape, any weights, rows in whole blocks and any number of pages, to `path` (.pt2).

    Raises:
        ConfigError: the compiler cannot do it.
    """
    rows, chunks, pages = BLOCK * Dim("blocks", min=MATRICES, max=1 << 16), Dim("chunks", max=1 << 20), Dim("pages", min=2)
    state, turn = [{0: rows}] * 2, [{0: Dim("positions", min=2)}] * 2
    cache = [[{0: pages}] * shape.layers] * 2
    fixed = [None] * 3, [[None] * 6] * shape.layers
    arguments = *state, *turn, *cache, {0: rows, 1: chunks}, *[{0: pages}] * 3, *fixed
    dims = {"uniforms": {0: rows}, "temperature": None, "arguments": arguments}
    with torch.no_grad(), inductor.patch(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = export(DrawingStep(shape), _example(shape), dynamic_shapes=dims)
        try:
            aoti_compile_and_package(program, package_path=str(path))
        except (RuntimeError, OSError) as error:
            raise compiler_failed("generator.compiled", "the decoding step", error) from error


def load_step(path: Path) -> CompiledStep:
    """What `compile_step` wrote, to be called as `DrawingStep` is.

    The arguments are laid out here: the package's own call reads the layout anew each time, which is a tenth of a step.
    """
    loader = aoti_load_package(str(path)).loader

    def step(
        uniforms: torch.Tensor,
        temperature: torch.Tensor,
        token_ids: torch.Tensor,
        positions: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        table: torch.Tensor,
        page_rows: torch.Tensor,
        page_chunks: torch.Tensor,
        visible: torch.Tensor,
        ends: Tensors,
        layers: list[Tensors],
    ) -> Sequence[torch.Tensor]:
        weights = [weight for weight in chain(ends, *layers) if weight is not None]
        books = table, page_rows, page_chunks, visible
        return loader.boxed_run([uniforms, temperature, token_ids, positions, cos, sin, *keys, *values, *books, *weights])

    return step


def _example(shape: StepShape, rows: int = 2 * BLOCK, chunks: int = 3, pages: int = 50) -> tuple[Any, ...]:
    """Arguments of `DrawingStep.forward`. The sizes that vary differ, or their being equal would be taken for a rule."""
    query, pairs = shape.heads * shape.head_dim, (shape.heads + 2 * shape.kv_heads) * shape.head_dim
    bias = lambda size, wanted: torch.zeros(size) if wanted else None  # noqa: E731
    layer: Tensors = [
        torch.zeros(shape.hidden, pairs),
        bias(pairs, shape.qkv_bias),
        torch.zeros(query, shape.hidden),
        bias(shape.hidden, shape.output_bias),
        torch.zeros(shape.hidden, 2 * shape.intermediate),
        torch.zeros(shape.intermediate, shape.hidden),
    ]
    embedding = torch.zeros(shape.vocabulary, shape.hidden)
    ends: Tensors = [embedding, embedding.t().contiguous(), bias(shape.vocabulary, shape.head_bias)]
    token_ids = torch.zeros(rows, dtype=torch.int64)
    tables = [torch.zeros(chunks * CHUNK + 5, 1, shape.head_dim) for _ in range(2)]
    keys, values = ([torch.zeros(pages, shape.kv_heads, CHUNK, shape.head_dim) for _ in range(shape.layers)] for _ in range(2))
    books = token_ids.new_zeros(rows, chunks), *(token_ids.new_zeros(pages) for _ in range(3))
    layers = [[None if weight is None else weight.clone() for weight in layer] for _ in range(shape.layers)]
    draw = torch.zeros(rows, dtype=torch.float64), torch.tensor(1.0)
    return *draw, token_ids, token_ids + 1, *tables, keys, values, *books, ends, layers


def _instructions() -> str:
    """The processor's instruction sets, as far as the operating system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(flags.split())) or f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"
