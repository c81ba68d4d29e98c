"""All randomness is a function of (seed, stream name, indices). Nothing is saved, shared or advanced.

This gives exact resume (step 57 draws the same numbers whether or not steps 0-56 ran in this process), common random numbers
across methods (two methods that ask for stream "prompts" at step 57 get the same prompts), and immunity to libraries that reseed
torch's or numpy's global generator.
"""

import hashlib

import numpy as np


def derive_seed(seed: int, stream: str, *indices: int) -> int:
    """A 63-bit seed that depends on every argument and on nothing else.

    Args:
        seed: the run's seed.
        stream: what the numbers are for, e.g. "prompts" or "sampling".
        indices: position in the stream, e.g. (step, prompt, response).
    """
    key = repr((int(seed), stream, tuple(int(index) for index in indices))).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def generator(seed: int, stream: str, *indices: int) -> np.random.Generator:
    """A fresh NumPy generator at the start of the stream that the arguments name."""
    return np.random.Generator(np.random.Philox(derive_seed(seed, stream, *indices)))
