"""Measurements of a policy or a reward model as it stands. They make no training runs, and so are no grids."""
