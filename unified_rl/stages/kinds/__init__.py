"""The kinds of stages: one module each, found by its name. No torch until a stage is made."""
