"""The trainer protocol and the trainers behind it (torch, DeepSpeed), and the ranks that share a pass."""
