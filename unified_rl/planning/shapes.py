"""The shape of a decoder-only transformer (Llama, Mistral, Qwen2, Qwen3), and what follows from it: parameters, FLOPs, bytes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.config.lora import LoraConfig
from unified_rl.config.plan import ArchitectureConfig
from unified_rl.config.problems import ModelConfig
from unified_rl.config.schema import Config
from unified_rl.models.adapter_files import is_adapter, root_of
from unified_rl.planning.problems import known_vocabulary

#: Families that differ from Llama only in the biases of query, key and value, or in norms of query and key.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")

_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a gated-MLP, RMSNorm, rotary-embedding decoder with a linear head.

    qk_norm: whether queries and keys are normalised per head (Qwen3).
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    intermediate_size: int
    vocabulary: int
    max_positions: int
    tied_embeddings: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False

    @property
    def layer_parameters(self) -> int:
        """One layer: q, k, v and o projections, the MLP's three matrices, two norms."""
        width, queries, keys = self.hidden_size, self.num_heads * self.head_size, self.num_kv_heads * self.head_size
        attention = width * (queries + 2 * keys) + queries * width
        biases = (queries + 2 * keys) * self.qkv_bias + 2 * self.head_size * self.qk_norm
        return attention + biases + 3 * width * self.intermediate_size + 2 * width

    @property
    def head_parameters(self) -> int:
        """The output matrix, vocabulary x width, whether or not it is tied to the embeddings."""
        return self.vocabulary * self.hidden_size

    @property
    def body_parameters(self) -> int:
        """The layers and the last norm: what every token goes through."""
        return self.num_layers * self.layer_parameters + self.hidden_size

    @property
    def parameters(self) -> int:
        """All of them, exactly; a tied matrix counts once."""
        return self.body_parameters + self.head_parameters * (1 if self.tied_embeddings else 2)

    @property
    def scalar_parameters(self) -> int:
        """The same decoder with a scalar head in place of the vocabulary's: value and reward models."""
        return self.body_parameters + self.head_parameters + self.hidden_size + 1

    @property
    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of every linear layer but the head, by its name in the model."""
        width, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.num_heads * self.head_size, self.num_kv_heads * self.head_size
        attention = {"q_proj": (width, queries), "k_proj": (width, keys), "v_proj": (width, keys), "o_proj": (queries, width)}
        mlp = {"gate_proj": (width, inner), "up_proj": (width, inner), "down_proj": (inner, width)}
        parts = {f"self_attn.{name}": size for name, size in attention.items()} | {
            f"mlp.{name}": size for name, size in mlp.items()
        }
        return {f"model.layers.{layer}.{name}": size for layer in range(self.num_layers) for name, size in parts.items()}

    def adapter_parameters(self, lora: LoraConfig) -> int:
        """A and B of every layer that gets an adapter. Raises ConfigError for a target that ends no layer's name."""
        names = self.linear_layers
        for target in lora.targets:
            if not any(f".{name}".endswith(f".{target}") for name in names):
                known = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names))
                raise ConfigError(f"model.lora.targets names {target!r:.60}, which is no linear layer; choose from: {known}")
        wanted = [
            size
            for name, size in names.items()
            if not lora.targets or f".{name}".endswith(tuple(f".{t}" for t in lora.targets))
        ]
        return sum(lora.rank * (inputs + outputs) for inputs, outputs in wanted)

    def kv_bytes(self, bytes_per_number: int) -> int:
        """Keys and values of one token, over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_size * bytes_per_number

    def forward_flops(self, tokens: float, context: float, predicted: float) -> float:
        """FLOPs of a forward pass: 2 per weight and token, and 4 per token, attended token and attention width in each layer.

        Args:
            tokens: that go through the layers. context: tokens that one of them attends to, on average. predicted: tokens whose
                logits are computed.

        Source: Kaplan et al. 2020 (2001.08361), table 1, with the head counted for the predicted tokens alone.
        """
        attention = 4.0 * self.num_layers * self.num_heads * self.head_size * context
        return tokens * (2.0 * self.body_parameters + attention) + 2.0 * predicted * self.head_parameters


def shape_of(config: Config) -> tuple[ModelShape, str]:
    """The policy's shape, and in words where it is from: the model's own files, the stack, or the sections of the configuration.

    Raises:
        ConfigError, DataError: the model's config.json is damaged, of a family that is not known here, or cannot be had.
    """
    found, path = config.architecture, config.model.path or config.model.lora.path
    if is_adapter(Path(path)):
        path = str(root_of(Path(path)))
    if path and (file := Path(path) / "config.json").is_file():
        return shape_from_file(file), f"{path}/config.json"
    if path and path != found.name and (not found.name or _HUB_NAME.fullmatch(path)):
        return shape_from_file(_fetched(path)), f"config.json of {path} on the Hugging Face Hub"
    if found.name:
        return _of_stack(found), f"the stack's section architecture ({found.name})"
    known = known_vocabulary(config)
    says = f"that of task {config.task.name}" if known else f"at most {config.model.vocabulary}"
    return _from_scratch(
        config.model, known or config.model.vocabulary
    ), f"section model, from scratch; the vocabulary is {says}"


def _of_stack(found: ArchitectureConfig) -> ModelShape:
    return ModelShape(
        found.hidden_size,
        found.num_layers,
        found.num_heads,
        found.num_kv_heads or found.num_heads,
        found.head_size or found.hidden_size // found.num_heads,
        found.intermediate_size,
        found.vocabulary,
        found.max_positions,
        found.tied_embeddings,
        found.qkv_bias,
    )


def _from_scratch(model: ModelConfig, vocabulary: int) -> ModelShape:
    return ModelShape(
        model.hidden_size,
        model.num_layers,
        model.num_heads,
        model.num_heads,
        model.hidden_size // model.num_heads,
        model.intermediate_size,
        vocabulary,
        model.max_positions,
        tied_embeddings=True,
    )


def _fetched(name: str) -> Path:
    """The config.json of a model of the Hub, from its cache or the network. Raises ConfigError where neither has it."""
    failed = f"model.path={name} has no config.json here"
    if Path(name).exists() or not _HUB_NAME.fullmatch(name):
        raise ConfigError(f"{failed}; set model.path to the folder of a model in Hugging Face format, or leave it out")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(name, "config.json"))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ConfigError(
            f"{failed}, and the Hugging Face Hub gives none ({str(error).splitlines()[0]}); check the name and the network, or "
            f"fetch it elsewhere (hf download {name} config.json --local-dir DIR) and set model.path=DIR"
        ) from error


def shape_from_file(file: Path) -> ModelShape:
    """The shape that a Hugging Face config.json describes.

    Raises:
        DataError: the file cannot be read or lacks a size. ConfigError: a family whose parameters are not known here.
    """
    try:
        given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable config.json ({error}); fetch the model again") from error
    family = given.get("model_type")
    if family not in FAMILIES:
        raise ConfigError(f"{file}: model_type={family!r} cannot be planned; known: {', '.join(FAMILIES)}")
    try:
        hidden_size, heads = int(given["hidden_size"]), int(given["num_attention_heads"])
        return ModelShape(
            hidden_size,
            int(given["num_hidden_layers"]),
            heads,
            int(given.get("num_key_value_heads") or heads),
            int(given.get("head_dim") or hidden_size // heads),
            int(given["intermediate_size"]),
            int(given["vocab_size"]),
            int(given["max_position_embeddings"]),
            tied_embeddings=bool(given.get("tie_word_embeddings", False)),
            qkv_bias=family == "qwen2" or bool(given.get("attention_bias", False)),
            qk_norm=family == "qwen3",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: field {error} is missing or no number; fetch the model again") from error
