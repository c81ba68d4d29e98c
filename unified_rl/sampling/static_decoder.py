"""Decoding in windows of steps on shapes from a small set, each captured once as a CUDA graph and replayed.

    rows and length in use -> the least bucket that holds them -> its graph, replayed once per token -> one answer per window

Launching the few hundred kernels of a step takes the host longer than the device takes to run them; a graph is launched at once.
The host looks at what was drawn only after a window. On a CPU the same steps run without a graph, which is how they are tested.

Cache, buffers and graphs are kept from one call to the next, since capturing takes as long as many steps: memory that a trainer
beside it cannot use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from unified_rl.base.types import Decoding
from unified_rl.sampling.static_step import StaticStep, StepState, supports

WINDOW = 8
"""Steps between two looks at what was drawn. A response that ends within a window wastes the rest of its row."""

LEAST_ROWS = 16
LEAST_LENGTH = 64


def row_bucket(rows: int) -> int:
    """The least power of two that is at least `rows`, and at least LEAST_ROWS."""
    return max(LEAST_ROWS, 1 << (rows - 1).bit_length())


def length_bucket(length: int) -> int:
    """The least bucket of cache slots that holds `length`: four to an octave, in multiples of LEAST_LENGTH."""
    step = max(LEAST_LENGTH, (1 << (length - 1).bit_length()) // 8)
    return -(-length // step) * step


class StaticDecoder:
    """Steps of one model. Implements what `PagedCache` does for the rows: `fit`, `load`, `move`."""

    @staticmethod
    def serves(model: PreTrainedModel) -> bool:
        """Whether the model is decoded here by default: a Llama or Qwen2 on a GPU."""
        return next(model.parameters()).device.type == "cuda" and supports(model)

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.window = WINDOW
        self.rows = self.capacity = 0
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.steps: dict[tuple[int, int, Decoding], Callable[[], None]] = {}
        self._pool: Any = None
        self._pointers: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Slots of each row."""
        return self.capacity

    def begin(self) -> None:
        """Forget what was captured if the parameters lie elsewhere than they did."""
        pointers = tuple(parameter.data_ptr() for parameter in self.model.parameters())
        if pointers != self._pointers:
            self._pointers, self.steps, self._pool = pointers, {}, None

    def fit(self, rows: int, length: int) -> None:
        """Make room for `rows` sequences of `length` tokens, keeping the present ones. What was captured is captured anew."""
        if rows <= self.rows and length <= self.capacity:
            return
        before, held, old_length = (self.keys, self.values), self.rows, self.capacity
        self.rows, self.capacity = max(self.rows, row_bucket(rows)), max(self.capacity, length_bucket(length))
        self.steps, self._pool = {}, None
        config: Any = self.model.config
        attention = self.model.model.layers[0].self_attn
        shape = (self.rows, config.num_key_value_heads, self.capacity, attention.head_dim)
        layers = range(config.num_hidden_layers)
        self.keys, self.values = (
            [torch.zeros(shape, dtype=self.model.dtype, device=self.device) for _ in layers] for _ in range(2)
        )
        for new, old in zip((self.keys, self.values), before, strict=True):
            for buffer, present in zip(new, old, strict=False):
                buffer[:held, :, :old_length] = present
        self.state = StepState.zeros(self.rows, self.window, self.device)
        self.turn = self._turn()

    def load(self, rows: np.ndarray, prompt_kv: Sequence[tuple[torch.Tensor, torch.Tensor]], prompts: np.ndarray) -> None:
        """Start row `rows[i]` with entry `prompts[i]` of the prefilled keys and values, one pair per layer."""
        pick, place = (torch.from_numpy(each).to(self.device) for each in (prompts, rows))
        for buffers, found in zip((self.keys, self.values), zip(*prompt_kv, strict=True), strict=True):
            for buffer, new in zip(buffers, found, strict=True):
                buffer[place, :, : new.shape[2]] = new[pick]

    def move(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy the rows `source` to the rows `target`."""
        old, new = (torch.from_numpy(each).to(self.device) for each in (source, target))
        for buffer in (*self.keys, *self.values):
            buffer[new] = buffer[old]

    def draw_window(
        self, token: np.ndarray, position: np.ndarray, uniforms: np.ndarray, decoding: Decoding
    ) -> tuple[np.ndarray, np.ndarray]:
        """The next tokens of the first rows and their log-probabilities, each [rows, window].

        Args:
            token, position: int64 [rows], the last token of each and its place.
            uniforms: float64 [rows, window].
        """
        count = len(token)
        rows, length = row_bucket(count), min(length_bucket(int(position.max()) + self.window), self.capacity)
        shape = (rows, length, replace(decoding, max_new_tokens=0))
        self._upload(token, position, uniforms)
        if shape not in self.steps:
            self.steps[shape] = self._step(*shape)
            self._upload(token, position, uniforms)
        for _ in range(self.window):
            self.steps[shape]()
        return self.state.drawn[:count].cpu().numpy(), self.state.logp[:count].cpu().numpy()

    def _upload(self, token: np.ndarray, position: np.ndarray, uniforms: np.ndarray) -> None:
        """Begin a window. Rows behind the given ones are at position 0, where nobody reads what they write."""
        count = len(token)
        self.state.place.zero_()
        self.state.position.zero_()
        self.state.token[:count] = torch.from_numpy(token)
        self.state.position[:count] = torch.from_numpy(position)
        self.state.uniforms[:count] = torch.from_numpy(uniforms)

    def _step(self, rows: int, length: int, decoding: Decoding) -> Callable[[], None]:
        """A step of a bucket, on a GPU as a graph.

        It is run beforehand, as a capture demands: on the present state, so that what this writes into the cache lies in slots that
        are written again before they are read. On a CPU too, so that there is one behaviour to test.
        """
        step, state = StaticStep(self.model, decoding), self.state.first_rows(rows)
        keys, values = ([buffer[:rows, :, :length] for buffer in buffers] for buffers in (self.keys, self.values))
        run = lambda: step(state, keys, values, self.turn)  # noqa: E731
        if self.device.type == "cuda":
            return self._captured(run)
        run()
        return run

    def _captured(self, run: Callable[[], None]) -> Callable[[], None]:
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for _ in range(2):
                run()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            run()
        self._pool = graph.pool()
        return graph.replay

    def _turn(self) -> tuple[torch.Tensor, torch.Tensor]:
        """cos and sin by position [capacity, head_dim]; sin is negated in its first half."""
        like = self.model.model.embed_tokens.weight
        cos, sin = self.model.model.rotary_emb(like, torch.arange(self.capacity, device=self.device)[None])
        sin = sin[0].clone()
        sin[:, : sin.shape[1] // 2].neg_()
        return cos[0].clone(), sin
