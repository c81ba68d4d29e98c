"""Ablations as data, and what runs them: cells, presets, plan, costs, folder."""
