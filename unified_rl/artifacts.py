"""Content-addressed results of stages (base model, SFT policy, stored samples). No torch.

An artefact's key is the hash of everything it depends on: the stage's settings, the version of its recipe, and the keys of its
inputs. It is built once, by one process, in a folder aside; its files are hashed; it appears under its key by an atomic rename;
its hashes are verified before it is used. A builder that was killed finds its half-done folder again and may resume in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unified_rl import files
from unified_rl.errors import CheckpointError
from unified_rl.types import ONE_RANK, Ranks


class ArtifactStore:
    """A folder of artefacts: `root/STAGE/KEY/`. Safe to share between processes on one machine.

    On several ranks the first one builds, and the others wait; or all build together, where the stage is such a job itself.
    """

    def __init__(self, root: Path, ranks: Ranks = ONE_RANK) -> None:
        self.root, self._ranks = Path(root), ranks

    def key(self, stage: str, settings: Mapping[str, Any], recipe_version: int, inputs: Mapping[str, str]) -> str:
        """The key of a stage's result: 20 hex digits.

        Args:
            settings: what the result depends on, JSON-serialisable. inputs: role -> key (or content hash) of what it reads.
        """
        facts = {"stage": stage, "settings": settings, "recipe_version": recipe_version, "inputs": inputs}
        return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]

    def get_or_build(
        self,
        stage: str,
        settings: Mapping[str, Any],
        *,
        recipe_version: int,
        inputs: Mapping[str, str],
        build: Callable[[Path], None],
        together: Ranks = ONE_RANK,
    ) -> tuple[str, Path]:
        """The artefact's key and folder, built first if nobody has.

        Args:
            build: fills the folder it is given. The folder may hold what a killed attempt left.
            together: the ranks that call `build`, each on the same folder: the store's, or (by default) the first one alone.

        Raises:
            CheckpointError: the stored artefact is damaged.
            RunDirectoryError: the store cannot be written.
        """
        key = self.key(stage, settings, recipe_version, inputs)
        final = self.root / stage / key
        with self._claimed(final) as missing:
            if together.gather(missing)[0]:
                self._build(final, {"stage": stage, "settings": settings, "inputs": inputs}, build, together)
        self._ranks.barrier()
        self._verify(final)
        return key, final

    def _build(self, final: Path, facts: Mapping[str, Any], build: Callable[[Path], None], together: Ranks) -> None:
        aside = final.with_name(f"{final.name}.partial")
        if self._ranks.first:
            with files.disk_errors(aside):
                aside.mkdir(exist_ok=True)
        together.barrier()  # the folder is there
        build(aside)
        together.barrier()  # everyone has written
        if self._ranks.first:
            files.write_json(aside / "artifact.json", facts)
            with files.disk_errors(aside):
                files.write_manifest(aside)
                files.sync_tree(aside)
                aside.rename(final)

    def _verify(self, final: Path) -> None:
        problem = files.damage(final)
        if problem:
            raise CheckpointError(f"artefact {final} is damaged: {problem}; delete that folder and it will be built again")

    @contextmanager
    def _claimed(self, final: Path) -> Iterator[bool]:
        """Whether the artefact is missing, while the first rank holds its lock. The other ranks go by what the first one finds."""
        if not self._ranks.first or final.is_dir():
            yield False
            return
        with files.disk_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
        with self._lock(final):
            yield not final.is_dir()  # somebody else may have finished it while we waited

    @contextmanager
    def _lock(self, final: Path) -> Iterator[None]:
        # The kernel drops the lock when its holder dies, however it dies.
        path = final.with_name(f".{final.name}.lock")
        with files.disk_errors(path):
            file = path.open("w")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
