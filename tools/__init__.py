"""Tools of the repository: not installed, run from its root."""
