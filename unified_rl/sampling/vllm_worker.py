"""What our weight push adds to vLLM's worker. vLLM imports this by name, in whatever process the worker lives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


class TakesWeights:
    """Mixed into vLLM's worker class (`worker_extension_cls`); called by `collective_rpc`."""

    reload_weights: Any
    model_runner: Any

    def take_weights(
        self, weights_iterator: Iterator[tuple[str, Tensor]] | None = None, weights_path: str | None = None
    ) -> None:
        """New weights in place, from an iterator or a folder of safetensors files."""
        self.reload_weights(weights_iterator=weights_iterator, weights_path=weights_path)
        self._repack_head()

    def _repack_head(self) -> None:
        """On a CPU vLLM multiplies by a packed copy of each matrix, which a reload renews where it loads the matrix itself.

        A head that is tied to the embeddings is loaded as those, and would go on with the copy of the old weights.
        """
        from vllm.platforms import current_platform

        head = getattr(self.model_runner.get_model(), "lm_head", None)
        if current_platform.is_cpu() and head is not None:
            head.quant_method.process_weights_after_loading(head)
