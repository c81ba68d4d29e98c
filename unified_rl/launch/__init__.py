"""Cells and the workers that run them (`cell_worker`): on this machine (`local`), or as jobs of Slurm (`slurm`)."""
