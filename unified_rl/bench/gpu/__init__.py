"""Large models on one GPU, with random weights: how fast training, log-probs, attention and decoding are, and a whole GRPO step."""
