"""The training loop, blind to methods: rollout, surrogate loss, record of metrics, steps and checkpoints."""
