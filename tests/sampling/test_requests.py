"""What generators tell of their models, that every wrapper passes it on, and the check of requests that they share."""

from types import SimpleNamespace

import pytest
from test_torch_generator import VOCABULARY, IdTokenizer, build
from transformers import MistralConfig

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import ONE_RANK, Decoding, GeneratorInfo, Problem, Prompt
from unified_rl.models.limits import context_limit, eos_ids
from unified_rl.sampling.requests import check_requests
from unified_rl.sampling.text_cuts import StoppingGenerator
from unified_rl.sampling.tool_integrated import ToolIntegratedGenerator
from unified_rl.sampling.torch_generator import TorchGenerator
from unified_rl.sources import Settled
from unified_rl.training.ranks import DividedGenerator
from unified_rl.training.weight_sync import SyncedGenerator
from unified_rl.training.whole_copy import FollowingGenerator

LONGROPE, YARN = (
    {"rope_parameters": {"rope_type": kind, "original_max_position_embeddings": 24, "factor": 4.0, "rope_theta": 1e4, **more}}
    for kind, more in (("longrope", {"long_factor": [1.0] * 64, "short_factor": [1.0] * 64}), ("yarn", {}))
)
INFO = GeneratorInfo(10, "max_position_embeddings", 50, (1,))


def prompt(*token_ids):
    return Prompt(Problem("p7", "", ""), token_ids)


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"max_position_embeddings": 96}, (96, "max_position_embeddings")),
        ({"max_position_embeddings": 96, "sliding_window": 32}, (96, "max_position_embeddings")),
        ({"max_position_embeddings": 96} | LONGROPE, (24, "original_max_position_embeddings")),
        ({"max_position_embeddings": 96} | YARN, (96, "max_position_embeddings")),
        ({"max_position_embeddings": 0}, (None, "")),
    ],
)
def test_the_narrowest_setting_limits_the_context(settings, limit):
    assert context_limit(MistralConfig(**settings)) == limit


@pytest.mark.parametrize(
    ("declared", "tokenizers", "found"),
    [(7, None, (7,)), ([9, 7], 1, (1, 7, 9)), (None, 3, (3,)), (None, None, ()), (7, 7, (7,)), ((2,), [5, 4], (2, 4, 5))],
)
def test_eos_ids_are_the_models_and_the_tokenizers(declared, tokenizers, found):
    assert eos_ids(declared, SimpleNamespace(eos_token_id=tokenizers)) == found
    assert eos_ids(found, None) == found


@pytest.mark.parametrize(
    ("asked", "seeds", "decoding", "error", "message"),
    [
        ([prompt(1), prompt(2)], [[0]], {}, DataError, "2 prompts but seeds for 1"),
        ([prompt()], [[0]], {}, DataError, "'p7' has no tokens"),
        ([prompt(3), prompt(3, 50, -1)], [[0], [0]], {}, DataError, r"token ids \[50, -1\] but the model embeds 0..49"),
        ([prompt(1, 2, 3)], [[0]], {"max_new_tokens": 8}, DataError, r"3 tokens; .*=8 .*max_position_embeddings of 10"),
        ([], [], {"max_new_tokens": 0}, ConfigError, "max_new_tokens is 0"),
        ([prompt(1)], [[0]], {"temperature": -0.1}, ConfigError, "temperature"),
        ([prompt(1)], [[0]], {"top_p": 0.0}, ConfigError, "top_p"),
        ([prompt(1)], [[0]], {"top_p": 1.1}, ConfigError, "top_p"),
        ([prompt(1)], [[0]], {"top_k": -1}, ConfigError, "top_k"),
    ],
)
def test_what_cannot_be_served_is_refused(asked, seeds, decoding, error, message):
    with pytest.raises(error, match=message):
        check_requests(INFO, asked, seeds, Decoding(**{"max_new_tokens": 5, **decoding}))


def test_what_just_fits_is_served():
    check_requests(INFO, [prompt(49, 0, 3)], [[0, 1]], Decoding(temperature=0.0, max_new_tokens=7))
    check_requests(GeneratorInfo(None, "", 50, ()), [prompt(*[1] * 1000)], [[]], Decoding(max_new_tokens=10**6))


def test_every_wrapper_passes_on_what_its_generator_tells():
    tokenizer = IdTokenizer()
    tokenizer.all_special_ids = [1]
    inner = TorchGenerator(build("llama"), tokenizer)
    assert inner.info == GeneratorInfo(96, "max_position_embeddings", VOCABULARY, (1,))
    wrapped = [
        DividedGenerator(inner, ONE_RANK),
        StoppingGenerator(inner, tokenizer, ["\n"]),
        ToolIntegratedGenerator(inner, None, tokenizer),
        SyncedGenerator(inner, None),
        FollowingGenerator(inner, None),
        Settled(inner, None),
    ]
    assert all(one.info is inner.info for one in wrapped)
