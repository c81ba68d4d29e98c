"""The page of results: docs/results.md, every number of it read from a shipped table. `unified-rl results` writes it."""
