"""Launchers start workers (`experiments.cell_worker`) for cells: on this machine (`local`), or as jobs of Slurm (`slurm`)."""
