"""Policies and models with a scalar head: building, loading and saving.

Any Hugging Face causal language model can be the policy whose logits are a linear head on its decoder's last hidden state, scaled
or soft-capped; the others are refused when they are loaded. `forward.py` reads log-probabilities and values off their passes.
"""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from unified_rl.base.errors import CheckpointError, ConfigError
from unified_rl.base.types import Tokenizer
from unified_rl.config.lora import LoraConfig
from unified_rl.models.adapter_files import Adapter, is_adapter, read_adapter, root_of
from unified_rl.models.adapters import add_adapter, is_adapted, load_adapter, save_adapter
from unified_rl.models.decoder_pass import decoder_of
from unified_rl.models.directory import HEAD_FILES, REMEDY, check_directory, declared_eos
from unified_rl.models.limits import eos_ids
from unified_rl.models.merging import merge
from unified_rl.models.norms import use_torch_rms_norm
from unified_rl.models.probing import probe_ids, quiet
from unified_rl.models.traits import look_at, rows_of

#: A model folder is data: Python files in it are never run, nobody is asked whether they may be, and pickles hold tensors only.
_NO_CODE: Any = {"trust_remote_code": False, "weights_only": True}
# What loading a damaged directory raises, depending on which file is damaged.
_LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    ImportError,
    IndexError,
    AssertionError,
    SafetensorError,
    pickle.UnpicklingError,
)


def build_llama(
    *,
    vocab_size: int,
    hidden_size: int,
    num_layers: int,
    num_heads: int,
    intermediate_size: int,
    max_position_embeddings: int,
    eos_token_id: int | list[int],
    pad_token_id: int | None = None,
    bos_token_id: int | None = None,
    tie_word_embeddings: bool = True,
    num_kv_heads: int | None = None,
    init_std: float = 0.02,
    seed: int = 0,
) -> LlamaForCausalLM:
    """A randomly initialised float32 Llama in eval mode, a function of its arguments only: torch's global RNG is left alone.

    Raises:
        ConfigError: a width that the heads do not divide, or special ids outside the vocabulary.
    """
    if hidden_size % num_heads:
        raise ConfigError(f"hidden_size {hidden_size} is not divisible by num_heads {num_heads}")
    special_ids: dict[str, Any] = {"eos_token_id": eos_token_id, "pad_token_id": pad_token_id, "bos_token_id": bos_token_id}
    _check_ids(special_ids, vocab_size)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_kv_heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_position_embeddings,
        tie_word_embeddings=tie_word_embeddings,
        initializer_range=init_std,
        **special_ids,
    )
    config.dtype = torch.float32
    return _drawn(config, seed)


def _drawn(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return use_torch_rms_norm(model).eval()


def load_policy(
    path: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model (eval mode) and its tokenizer from a directory in Hugging Face format. Never goes to the network.

    A directory that holds an adapter gives its base model with the adapter merged into it.

    Raises:
        CheckpointError: the directory, or a file in it, is missing or cannot be read; or weights are missing from it.
        ConfigError: the tokenizer and the model disagree about the vocabulary, the model computes a sequence otherwise in company
            than alone, or its logits are not those of a linear head.
    """
    path = Path(path)
    check_directory(path)
    if is_adapter(path):
        return load_adapted(read_adapter(path), dtype, device)
    model = _load(AutoModelForCausalLM, path, dtype)
    model.to(device)  # type: ignore[arg-type]  # transformers wraps the method and hides its self
    tokenizer = load_tokenizer(path)
    check_vocabulary(model, tokenizer)
    look_at(model)
    _train_text_alone(model)
    _keep_generation_config_savable(model)
    return model, tokenizer


def load_adapted(
    adapter: Adapter, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model of an adapter with the adapter merged into it, and the adapter's tokenizer. Raises as `load_policy`."""
    model, tokenizer = load_policy(adapter.base, dtype, device)
    merge(model, adapter)
    return model, load_tokenizer(adapter.folder) if _has_tokenizer(adapter.folder) else tokenizer


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a directory in Hugging Face format. Never goes to the network. Raises CheckpointError.

    One without an EOS token takes the model's, which generation_config.json or config.json names. An adapter without one has its
    base model's.
    """
    if is_adapter(Path(path)) and not _has_tokenizer(Path(path)):
        return load_tokenizer(read_adapter(Path(path)).base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except _LOAD_ERRORS as error:
        raise CheckpointError(f"{path}: cannot load the tokenizer: {_first_line(error)}. {REMEDY}") from error
    _complete_eos(tokenizer, root_of(Path(path)))
    return tokenizer


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: str | Path) -> None:
    """Write model and tokenizer in Hugging Face format; of a model with an adapter that alone, in PEFT's.

    Not atomic: write into a temporary directory and rename it.

    Raises:
        CheckpointError: the directory cannot be written.
    """

    def write() -> None:
        _save_weights(model, Path(path))
        tokenizer.save_pretrained(path)

    _save(write, Path(path))


def eos_token_ids(model: PreTrainedModel, tokenizer: Tokenizer | None = None) -> tuple[int, ...]:
    """All ids that end a response, ascending: those of the generation config (else of the model's) and the tokenizer's own.

    Raises:
        ConfigError: none is defined, so no response could ever end.
    """
    generation = getattr(model, "generation_config", None)
    declared = getattr(generation, "eos_token_id", None)
    for config in (model.config, model.config.get_text_config(decoder=True)):
        declared = getattr(config, "eos_token_id", None) if declared is None else declared
    ids = eos_ids(declared, tokenizer)
    if not ids:
        raise ConfigError("neither the model's generation config nor its tokenizer defines eos_token_id; set it in one of them")
    return ids


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ConfigError unless every id of the tokenizer, and every special id, has a row in the model's embeddings.

    More rows than tokens is common (vocabularies are padded to round numbers) and fine.
    """
    rows = _embedding_rows(model)
    if len(tokenizer) > rows:
        raise ConfigError(
            f"the tokenizer has {len(tokenizer)} tokens but the model only {rows} embedding rows; "
            "use the tokenizer that the model was trained with, or call model.resize_token_embeddings"
        )
    special = {f"tokenizer.{name}_token_id": getattr(tokenizer, f"{name}_token_id", None) for name in ("eos", "pad", "bos")}
    special |= {f"config.{name}_token_id": getattr(model.config, f"{name}_token_id", None) for name in ("eos", "pad", "bos")}
    special["generation_config.eos_token_id"] = getattr(model.generation_config, "eos_token_id", None)
    _check_ids(special, rows)


class ScalarModel(nn.Module):
    """A decoder with a scalar head: one number per token read. The head starts at zero.

    Kinds differ in what the number means; `head_file` is the head's file name, beside the decoder in Hugging Face format.
    """

    head_file: ClassVar[str]
    kind: ClassVar[str]

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(_width(backbone), 1, dtype=backbone.dtype, device=backbone.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def save(self, path: str | Path) -> None:
        """Write the backbone, or its adapter, and the head beside it. Not atomic. Raises CheckpointError."""

        def write() -> None:
            _save_weights(self.backbone, Path(path))
            save_file(self.head.state_dict(), Path(path) / self.head_file)

        _save(write, Path(path))

    @classmethod
    def load(cls, path: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Self:
        """What `save` wrote, in eval mode, an adapter merged. Raises CheckpointError where something is missing or damaged."""
        path = Path(path)
        check_directory(path)
        model = cls(_load_decoder(path, dtype))
        model.load_head(path)
        model = model.to(device).eval()
        rows_of(model.backbone)
        return model

    def load_head(self, path: Path) -> None:
        """Take the head that `save` wrote. Raises CheckpointError."""
        try:
            self.head.load_state_dict(load_file(path / self.head_file))
        except _LOAD_ERRORS as error:
            file = path / self.head_file
            raise CheckpointError(f"{file}: cannot load the {self.kind} head: {_first_line(error)}. {REMEDY}") from error

    def add_adapter(self, lora: LoraConfig, base: Path, seed: int) -> None:
        """Train an adapter of the decoder, and the head, in place of all weights. See `adapters.add_adapter`."""
        add_adapter(self.backbone, lora, base, seed)

    def resume(self, path: Path) -> None:
        """Take the adapter and the head that `save` wrote. Raises CheckpointError."""
        load_adapter(self.backbone, path)
        self.load_head(path)


class ValueModel(ScalarModel):
    """The expected return from each position on. With a head of zeros, the first advantages are those without a baseline."""

    head_file = "value_head.safetensors"
    kind = "value"


def build_value_model(policy: PreTrainedModel, shared: bool = False) -> ValueModel:
    """A value model on a copy of the policy's decoder, with a head of zeros. shared: see `copy_of_decoder`."""
    return ValueModel(copy_of_decoder(policy, shared)).eval()


def copy_of_decoder(model: PreTrainedModel, shared: bool = False) -> PreTrainedModel:
    """A model's decoder, without its head, with weights of its own; shared: modules of its own on the model's very weights."""
    decoder = decoder_of(model)
    return copy.deepcopy(decoder, {id(weight): weight for weight in decoder.parameters()} if shared else {})


def _load_decoder(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The decoder in a directory of a model with a scalar head, or of a causal language model."""
    if is_adapter(path):
        adapter = read_adapter(path)
        if not any(path.glob(HEAD_FILES)):
            return decoder_of(load_policy(path, dtype)[0])
        decoder = _load_decoder(adapter.base, dtype)
        merge(decoder, adapter)
        return decoder
    found = _load(_backbone_class(path), path, dtype)
    return found if found.get_output_embeddings() is None else decoder_of(found)


def _save_weights(model: PreTrainedModel, path: Path) -> None:
    if is_adapted(model):
        save_adapter(model, path)
    else:
        model.save_pretrained(path)


def _embedding_rows(model: PreTrainedModel) -> int:
    rows: int = model.get_input_embeddings().weight.shape[0]  # type: ignore[index, assignment]
    return rows


def _train_text_alone(model: PreTrainedModel) -> None:
    """What reads images and sound is left as it is: no gradient, no state of an optimiser, no part of a norm."""
    read = {id(parameter) for part in (decoder_of(model), model.get_output_embeddings()) for parameter in part.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in read and parameter.requires_grad)


def _keep_generation_config_savable(model: PreTrainedModel) -> None:
    """Sampling settings that transformers refuses to save, at the first checkpoint, are dropped: nothing here reads them."""
    generation = getattr(model, "generation_config", None)
    if generation is None:
        return
    try:
        generation.validate(strict=True)
    except ValueError:
        kept = {name: getattr(generation, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        model.generation_config = GenerationConfig(**kept)


def _complete_eos(tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """Without an EOS token, demonstrations could not end."""
    declared = declared_eos(path) if tokenizer.eos_token_id is None else None
    first = declared[0] if isinstance(declared, list) and declared else declared
    token = tokenizer.convert_ids_to_tokens(first) if isinstance(first, int) else None
    if isinstance(token, str):
        tokenizer.eos_token = token


def _width(backbone: PreTrainedModel) -> int:
    """Of the last hidden state: a model may project it, so that no setting says it for all."""
    with quiet(backbone):
        return int(backbone(input_ids=probe_ids(backbone, 2)[None], use_cache=False).last_hidden_state.shape[-1])


def _backbone_class(path: Path) -> Any:
    """The class that wrote a directory: a decoder may be a part of what transformers makes of its configuration."""
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        (name,) = config.architectures
    except _LOAD_ERRORS:
        return AutoModel
    module = type(config).__module__.replace(".configuration_", ".modeling_")
    return getattr(importlib.import_module(module), name, AutoModel)


def _load(auto_class: Any, path: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model in eval mode; refuses a directory that lacks some of the weights, which transformers would draw at random."""
    try:
        model, info = auto_class.from_pretrained(path, dtype=dtype, local_files_only=True, output_loading_info=True, **_NO_CODE)
    except _LOAD_ERRORS as error:
        raise CheckpointError(f"{path}: cannot load the model: {_first_line(error)}. {REMEDY}") from error
    absent = sorted(map(str, {*info["missing_keys"], *info["mismatched_keys"]}))
    if absent:
        raise CheckpointError(f"{path}: {len(absent)} weights are missing or of another shape, e.g. {absent[0]}. {REMEDY}")
    return use_torch_rms_norm(model).eval()


def _save(write: Callable[[], None], path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        write()
    except (OSError, SafetensorError) as error:
        remedy = "Check permissions and free space"
        raise CheckpointError(f"{path}: cannot write the model: {_first_line(error)}. {remedy}") from error


def _check_ids(named_ids: dict[str, int | list[int] | None], vocab_size: int) -> None:
    for name, value in named_ids.items():
        for token_id in _as_list(value):
            if not 0 <= token_id < vocab_size:
                raise ConfigError(f"{name} is {token_id}, outside the model's vocabulary of {vocab_size}; correct the id")


def _as_list(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [value] if isinstance(value, int) else list(value)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
