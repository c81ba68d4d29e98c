"""Where a step over shards runs: here, in processes of this machine, or by datatrove on Ray or Slurm. The step is the same.

A step is a function of (config, number) that writes one shard whole. What is there is not made again, whoever made it; so any
executor goes on where another was stopped.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from unified_rl.base.errors import ConfigError, UnifiedRLError
from unified_rl.base.plugins import import_by_path
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.records.progress import progress

#: Name -> the function that makes one shard of it.
STEPS = {
    "pages": "unified_rl.corpus.shard_steps:pages",
    "seed": "unified_rl.corpus.shard_steps:seed",
    "scores": "unified_rl.corpus.shard_steps:scores",
    "clean": "unified_rl.corpus.shard_steps:clean",
    "tokens": "unified_rl.corpus.shard_steps:tokens",
}


class Submitted(UnifiedRLError):
    """Work that was handed to a queue, so that nothing more can be done here."""

    exit_code = 0


def run_job(step: str, config: CorpusConfig, number: int) -> None:
    """Make one shard, wherever this is called."""
    import_by_path(STEPS[step], "step")(config, number)


def over_shards(step: str, config: CorpusConfig, pending: Sequence[int], total: int) -> None:
    """Make the shards that are missing.

    Args:
        pending: their numbers. total: of all shards of the step.

    Raises:
        Submitted: they were handed to Slurm; the same command goes on when they are done.
    """
    if not pending:
        return
    runners: dict[str, Callable[[str, CorpusConfig, Sequence[int], int], None]] = {
        "local": _local,
        "ray": _ray,
        "slurm": _slurm,
    }
    runners[config.executor](step, config, pending, total)


def _local(step: str, config: CorpusConfig, pending: Sequence[int], total: int) -> None:
    with progress(f"corpus, {step}", total, "shards") as hook:
        done = total - len(pending)
        if config.cluster.workers == 1:
            for number in pending:
                run_job(step, config, number)
                done += 1
                hook(done, {})
            return
        context = multiprocessing.get_context("spawn")  # threads of libraries do not survive a fork
        with ProcessPoolExecutor(min(config.cluster.workers, len(pending)), context) as pool:
            for _ in pool.map(run_job, *zip(*((step, config, number) for number in pending), strict=True)):
                done += 1
                hook(done, {})


def shard_work(step: str, config: CorpusConfig, pending: Sequence[int]) -> Any:
    """A step as a datatrove pipeline step: rank r of n makes every n-th pending shard from the r-th on."""
    try:
        from datatrove.pipeline.base import PipelineStep
    except ImportError as error:
        raise ConfigError(
            f"executor={config.executor} needs datatrove; pip install 'unified-rl[corpus-cluster]', or executor=local"
        ) from error

    class ShardWork(PipelineStep):
        name, type = f"corpus {step}", "corpus"

        def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
            from unified_rl.corpus.executors import run_job

            yield from data or ()
            for number in list(pending)[rank::world_size]:
                run_job(step, config, number)

    return ShardWork()


def _ray(step: str, config: CorpusConfig, pending: Sequence[int], total: int) -> None:
    work = shard_work(step, config, pending)
    try:
        import ray
        from datatrove.executor.ray import RayPipelineExecutor
    except ImportError as error:
        raise ConfigError("executor=ray needs ray; pip install 'unified-rl[corpus-cluster]', or executor=local") from error
    workers = min(config.cluster.workers, len(pending))
    if not ray.is_initialized():
        ray.init(
            address=config.cluster.address or None, num_cpus=None if config.cluster.address else workers, log_to_driver=False
        )
    RayPipelineExecutor(
        [work], tasks=workers, workers=workers, logging_dir=str(_logs(config, step)), skip_completed=False, cpus_per_task=1
    ).run()


def _slurm(step: str, config: CorpusConfig, pending: Sequence[int], total: int) -> None:
    work = shard_work(step, config, pending)
    from datatrove.executor.slurm import SlurmPipelineExecutor

    settings, logs = config.cluster, _logs(config, step)
    activate = Path(sys.prefix) / "bin" / "activate"  # the job finds what this process found
    hours = f"{int(settings.hours):02d}:{round(settings.hours % 1 * 60):02d}:00"
    executor = SlurmPipelineExecutor(
        [work],
        tasks=min(settings.workers, len(pending)),
        time=hours,
        partition=settings.partition,
        mem_per_cpu_gb=settings.memory_gb,
        venv_path=str(activate) if activate.is_file() else None,
        job_name=f"corpus-{step}",
        logging_dir=str(logs),
        skip_completed=False,
        mail_type="NONE",
    )
    executor.run()
    raise Submitted(
        f"{len(pending)} of {total} shards of the step {step} were submitted to Slurm; when they are done, the same command goes on"
    )


def _logs(config: CorpusConfig, step: str) -> Path:
    return Path(config.run_dir).resolve() / "logs" / step
