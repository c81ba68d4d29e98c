"""The decoding step as machine code for this processor, compiled once by torch's AOTInductor for all weights of one shape.

A small model's step is many small operations; compiled, those between the matrix products become a few loops, and nothing goes
through the interpreter. Compiling takes half a minute and a C++ compiler; loading takes a moment.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import sys
import warnings
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._inductor import aoti_compile_and_package, aoti_load_package
from torch._inductor import config as inductor
from torch.export import Dim, export

from unified_rl.models.cpp_compiler import compiler_failed
from unified_rl.sampling import fixed_shapes, llama_decoder
from unified_rl.sampling.fixed_shapes import BLOCK, CHUNK, MATRICES
from unified_rl.sampling.llama_decoder import CompiledStep, DecodingStep, StepShape, Tensors

#: One process: a pool of compiling workers would outlive the call and use more cores than the caller has threads. No headers
#: compiled beforehand, which pays from the second program on.
#: Every intermediate is written out: what is gathered would else be looked up again at each of a softmax's three readings, at twice
#: a step's time.
_SETTINGS = {
    "compile_threads": 1,
    "aot_inductor.precompile_headers": False,
    "realize_reads_threshold": 0,
    "realize_opcount_threshold": 0,
}


def machine_facts() -> dict[str, Any]:
    """What the machine code depends on beside the shape: what is compiled, torch, the processor's instructions, the threads."""
    compiled = (fixed_shapes, llama_decoder, sys.modules[__name__])
    return {
        "code": hashlib.sha256("".join(map(inspect.getsource, compiled)).encode()).hexdigest(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "instructions": _instructions(),
        "threads": torch.get_num_threads(),
    }


def compile_step(shape: StepShape, path: Path) -> None:
    """Compile `DecodingStep` for a shape, any weights, rows in whole blocks and any number of pages, to `path` (.pt2).

    Raises:
        ConfigError: the compiler cannot do it.
    """
    blocks, chunks, pages = Dim("blocks", min=MATRICES, max=1 << 16), Dim("chunks", max=1 << 20), Dim("pages", min=2)
    state, turn = [{0: blocks}] * 2, [{0: Dim("positions", min=2)}] * 2
    cache = [[{0: pages}] * shape.layers] * 2
    fixed = [None] * 3, [[None] * 6] * shape.layers
    dims = {"arguments": (*state, *turn, *cache, {0: blocks, 2: chunks}, *[{0: pages}] * 3, *fixed)}
    with torch.no_grad(), inductor.patch(_SETTINGS), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        program = export(_Blocked(shape), _example(shape), dynamic_shapes=dims)
        try:
            aoti_compile_and_package(program, package_path=str(path))
        except (RuntimeError, OSError) as error:
            raise compiler_failed("generator.compiled", "the decoding step", error) from error


class _Blocked(nn.Module):
    """`DecodingStep` with rows as [N, BLOCK], the way it is compiled.

    Where the number of rows is what varies, a block's length is a quotient of it, which each layer nests once more: four layers are
    then simplified for many minutes.
    """

    def __init__(self, shape: StepShape) -> None:
        super().__init__()
        self.step = DecodingStep(shape)

    def forward(self, *arguments: Any) -> torch.Tensor:
        """What `DecodingStep.forward` returns."""
        token_ids, positions, cos, sin, keys, values, table, *others = arguments
        token_ids, positions, table = (each.flatten(0, 1) for each in (token_ids, positions, table))
        return self.step(token_ids, positions, cos, sin, keys, values, table, *others)


def load_step(path: Path) -> CompiledStep:
    """What `compile_step` wrote, to be called as `DecodingStep` is.

    The arguments are laid out here: the package's own call reads the layout anew each time, which is a tenth of a step.
    """
    loader = aoti_load_package(str(path)).loader

    def step(
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
    ) -> torch.Tensor:
        weights = [weight for weight in chain(ends, *layers) if weight is not None]
        token_ids, positions = (each.view(-1, BLOCK) for each in (token_ids, positions))
        books = table.view(-1, BLOCK, table.shape[1]), page_rows, page_chunks, visible
        (logits,) = loader.boxed_run([token_ids, positions, cos, sin, *keys, *values, *books, *weights])
        return logits

    return step


def _example(shape: StepShape, blocks: int = 2, chunks: int = 3, pages: int = 50) -> tuple[Any, ...]:
    """Arguments of `_Blocked.forward`. The sizes that vary differ, or their being equal would be taken for a rule."""
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
    token_ids = torch.zeros(blocks, BLOCK, dtype=torch.int64)
    tables = [torch.zeros(chunks * CHUNK + 5, 1, shape.head_dim) for _ in range(2)]
    keys, values = ([torch.zeros(pages, shape.kv_heads, CHUNK, shape.head_dim) for _ in range(shape.layers)] for _ in range(2))
    books = token_ids.new_zeros(blocks, BLOCK, chunks), *(token_ids.new_zeros(pages) for _ in range(3))
    layers = [[None if weight is None else weight.clone() for weight in layer] for _ in range(shape.layers)]
    return token_ids, token_ids + 1, *tables, keys, values, *books, ends, layers


def _instructions() -> str:
    """The processor's instruction sets, as far as the operating system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(flags.split())) or f"{platform.processor()} {torch.backends.cpu.get_cpu_capability()}"
