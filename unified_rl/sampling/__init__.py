"""The generators behind the generator protocol (torch, vLLM): caches, decoding steps, draws, and texts cut where they end."""
