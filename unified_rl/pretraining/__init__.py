"""Pre-training: rows of tokens from a weighted mix of sources, their likelihood, what is measured on held-out text."""
