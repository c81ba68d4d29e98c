"""Random ragged batches and a small real Llama in float64, for the tests of the maths."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from unified_rl.coefficients import Inputs
from unified_rl.models.policy_model import build_llama
from unified_rl.packing.packed_rows import TokenSequence

VOCABULARY = 23


@dataclass
class Ragged:
    """`sequences` of `groups` prompts; everything a coefficient may read; three models that differ (policy, old, reference)."""

    sequences: list[TokenSequence]
    inputs: Inputs
    policy: torch.nn.Module
    old: torch.nn.Module
    reference: torch.nn.Module


def small_llama(seed: int, noise_from: torch.nn.Module | None = None, scale: float = 0.0) -> torch.nn.Module:
    """A 2-layer Llama in float64; with `noise_from`, that model with Gaussian noise of `scale` on every weight."""
    model = build_llama(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        eos_token_id=1,
        tie_word_embeddings=False,
        seed=seed,
    ).double()
    _norms_in_full_precision(model)
    if noise_from is not None:
        model.load_state_dict(noise_from.state_dict())
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    else:
        with torch.no_grad():  # the default initialisation is nearly uniform; spread the log-probs out
            for parameter in model.parameters():
                if parameter.dim() == 2:
                    parameter *= 8
    return model


def _norms_in_full_precision(model: torch.nn.Module) -> None:
    """Hugging Face's RMSNorm computes in float32 whatever its input; 1e-9 needs the same formula in float64."""
    for name, module in list(model.named_modules()):
        if type(module).__name__ == "LlamaRMSNorm":
            norm = torch.nn.RMSNorm(module.weight.shape[0], eps=module.variance_epsilon, dtype=torch.float64)
            parent, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent), attribute, norm)


def ragged_batch(seed: int, groups: int = 3, group_size: int = 4, drift: float = 0.03, pairs: bool = False) -> Ragged:
    """A batch of random prompts and responses of random lengths (1 to 9 tokens), with rewards, steps, values and three models."""
    return deepcopy(_made(seed, groups, group_size, drift, pairs))


@cache
def _made(seed: int, groups: int, group_size: int, drift: float, pairs: bool) -> Ragged:
    rng = np.random.default_rng(seed)
    group_size = 2 if pairs else group_size
    sequences, group_of = [], []
    for group in range(groups):
        prompt = rng.integers(2, VOCABULARY, rng.integers(1, 7))
        for _ in range(group_size):
            sequences.append(TokenSequence(prompt, rng.integers(1, VOCABULARY, rng.integers(1, 10)), f"p{group}"))
            group_of.append(group)
    count = len(sequences)
    lengths = np.array([len(sequence.response_ids) for sequence in sequences])
    mask = torch.arange(int(lengths.max())) < torch.tensor(lengths)[:, None]
    step_ends, step_rewards = torch.zeros_like(mask), torch.zeros(mask.shape, dtype=torch.float64)
    for row, length in enumerate(lengths):
        ends = sorted({*rng.integers(0, length, rng.integers(0, 3)).tolist(), int(length) - 1})
        step_ends[row, ends] = True
        step_rewards[row, ends] = torch.tensor(rng.integers(0, 2, len(ends)), dtype=torch.float64)
    policy = small_llama(seed)
    old, reference = (small_llama(seed + offset, policy, scale) for offset, scale in ((1, drift), (2, 0.02)))
    inputs = Inputs(
        response_mask_BT=mask,
        group_B=torch.tensor(group_of),
        rewards_B=torch.tensor(rng.integers(0, 2, count), dtype=torch.float64),
        correct_B=torch.tensor(rng.integers(0, 2, count), dtype=torch.float64),
        truncated_B=torch.tensor(rng.integers(0, 2, count), dtype=torch.bool),
        behaviour_logp_BT=torch.zeros(mask.shape, dtype=torch.float64),
        step_rewards_BT=step_rewards,
        step_ends_BT=step_ends,
        chosen_B=torch.tensor([True, False] * groups) if pairs else None,
        demonstrated_B=None if pairs else torch.arange(count) % group_size == group_size - 1,
        old_logp_BT=logps(old, sequences),
        ref_logp_BT=logps(reference, sequences),
        values_BT=torch.tensor(rng.normal(size=mask.shape)) * mask,
        more={
            "reward_parts_BK": torch.tensor(np.random.default_rng(seed + 1).integers(0, 3, (count, 2)), dtype=torch.float64),
            "reward_weights_BK": torch.tensor([[1.0, 0.4]], dtype=torch.float64).expand(count, 2),
            "teacher_logp_BT": logps(small_llama(seed + 3, policy, 0.1), sequences),
            "greedy_reward_B": torch.tensor([0.0, 1.0, 0.25], dtype=torch.float64)[torch.tensor(group_of) % 3],
            "tracked_value_B": torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)[torch.tensor(group_of) % 3],
            "reference_rewards_BN": torch.tensor([[0, 1, 1, 0.5], [0, 0, 0, 1], [1, 1, 1, 1]], dtype=torch.float64)[
                torch.tensor(group_of) % 3
            ],
            "chance_BT": torch.tensor(np.random.default_rng(seed + 2).random(mask.shape)) * mask,
            "mismatched_kl_B": torch.full((count,), 0.07, dtype=torch.float64),
            "squared_probs_BT": torch.nn.utils.rnn.pad_sequence(
                [squared_probs(policy, sequence).detach() for sequence in sequences], batch_first=True
            ),
            "entropy_BT": torch.nn.utils.rnn.pad_sequence(
                [entropies(policy, sequence).detach() for sequence in sequences], batch_first=True
            ),
        },
    )
    return Ragged(sequences, inputs, policy, old, reference)


def entropies(model: torch.nn.Module, sequence: TokenSequence) -> torch.Tensor:
    """H [T] of the distributions that a response's tokens are drawn from, by a plain forward of the model."""
    ids = torch.cat([torch.from_numpy(sequence.prompt_ids), torch.from_numpy(sequence.response_ids)])
    logp = torch.log_softmax(model(input_ids=ids[None]).logits[0, len(sequence.prompt_ids) - 1 : -1], -1)
    return -(logp.exp() * logp).sum(-1)


def squared_probs(model: torch.nn.Module, sequence: TokenSequence) -> torch.Tensor:
    """sum_v pi_v^2 [T] of the same distributions."""
    ids = torch.cat([torch.from_numpy(sequence.prompt_ids), torch.from_numpy(sequence.response_ids)])
    logits = model(input_ids=ids[None]).logits[0, len(sequence.prompt_ids) - 1 : -1]
    return torch.softmax(logits, -1).square().sum(-1)


def token_logps(model: torch.nn.Module, sequence: TokenSequence) -> torch.Tensor:
    """Log-probs [T] of one response by a plain forward of the Hugging Face model: no packing, no padding, no chunks."""
    device = next(model.parameters()).device
    ids = torch.from_numpy(np.concatenate([sequence.prompt_ids, sequence.response_ids])).to(device)
    logits = model(input_ids=ids[None]).logits[0, len(sequence.prompt_ids) - 1 : -1]
    targets_T = torch.from_numpy(sequence.response_ids).to(device)
    return torch.log_softmax(logits, -1).gather(-1, targets_T[:, None])[:, 0]


@torch.no_grad()
def logps(model: torch.nn.Module, sequences: list[TokenSequence]) -> torch.Tensor:
    """The same, right-padded [B, T]."""
    return torch.nn.utils.rnn.pad_sequence([token_logps(model, sequence) for sequence in sequences], batch_first=True)


def gradient(model: torch.nn.Module) -> torch.Tensor:
    """All parameters' gradients as one vector."""
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
