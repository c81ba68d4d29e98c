"""Stages, and the content-addressed store of what they make (base model, SFT policy, stored samples). No torch.

An artefact's key is the hash of everything it depends on: the stage's settings, the version of its recipe, and the keys of its
inputs. So the keys of a whole chain are known before anything of it is made. An artefact is made once, by one process, in a folder
aside; its files are hashed; it appears under its key by an atomic rename; its hashes are verified when a process first uses it. A
builder that was killed finds its half-done folder again and may resume in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_rl.base import files
from unified_rl.base.errors import CheckpointError
from unified_rl.base.types import ONE_RANK, Ranks

#: Version of `artifact.json`.
SCHEMA = 1

#: Artefacts that this process has found whole.
_VERIFIED: set[Path] = set()


@dataclass(frozen=True)
class Artifact:
    """What a stage made or somebody brought: the key that stands for its content, and where it is."""

    key: str
    path: Path


#: Fills a folder from what a stage reads, by role.
Make = Callable[[Path, Mapping[str, Artifact], "ArtifactStore"], None]


@dataclass(frozen=True)
class Stage:
    """How something is made, and of what.

    Attributes:
        kind: the folder of the store. settings: what the result depends on beside its inputs, JSON-serialisable.
        inputs: role -> the stage that makes it, or what is there already.
        make: fills the folder it is given, which may hold what a killed attempt left; called with the inputs, by role, and with
            a store of the ranks that make it: what a lone maker builds on the way, the others do not wait for.
        recipe: version of `make`. output: where in the folder the result is. together: whether all ranks make it, or one alone.
        name: what the chain calls it; its key does not depend on it.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Stage | Artifact]
    make: Make
    recipe: int = 1
    output: str = "."
    together: bool = False
    name: str = ""

    def key(self) -> str:
        """The key of the result: 20 hex digits. Nothing is made or read for it."""
        return key_of(self.kind, self.settings, self.recipe, self.input_keys())

    def input_keys(self) -> dict[str, str]:
        return {role: key_of_link(link) for role, link in self.inputs.items()}

    def build(self, store: ArtifactStore) -> Artifact:
        """The result, made first (and before it, of its inputs, what is missing) if nobody has. Called by all ranks of the store.

        Raises:
            UnifiedRLError: see the subclasses; nothing half-done is ever taken for finished.
        """
        ready = {} if store.has(self) else {role: built(link, store) for role, link in self.inputs.items()}
        makers = store.ranks if self.together else ONE_RANK
        theirs = ArtifactStore(store.root, makers)  # what a lone maker makes on the way, the other ranks do not know of
        key, folder = store.get_or_build(
            self.kind,
            self.settings,
            recipe_version=self.recipe,
            inputs=self.input_keys(),
            build=lambda aside: self.make(aside, ready, theirs),
            together=makers,
        )
        return Artifact(key, folder / self.output)


def built(link: Stage | Artifact, store: ArtifactStore) -> Artifact:
    """What a stage makes, made first if it is missing; or what was there already."""
    return link if isinstance(link, Artifact) else link.build(store)


def key_of_link(link: Stage | Artifact) -> str:
    """The key of what a stage makes or somebody brought."""
    return link.key if isinstance(link, Artifact) else link.key()


def key_of(kind: str, settings: Mapping[str, Any], recipe_version: int, inputs: Mapping[str, str]) -> str:
    """The key of a result: 20 hex digits.

    Args:
        settings: what the result depends on, JSON-serialisable. inputs: role -> key (or content hash) of what it reads.
    """
    facts = {"stage": kind, "settings": settings, "recipe_version": recipe_version, "inputs": inputs}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:20]


class ArtifactStore:
    """A folder of artefacts: `root/KIND/KEY/`. Safe to share between processes on one machine.

    On several ranks the first one builds, and the others wait; or all build together, where the stage is such a job itself.
    """

    def __init__(self, root: Path, ranks: Ranks = ONE_RANK) -> None:
        self.root, self.ranks = Path(root), ranks

    def has(self, stage: Stage) -> bool:
        """Whether a stage's result is there: what the first rank finds."""
        return self.ranks.gather((self.root / stage.kind / stage.key()).is_dir())[0]

    def get_or_build(
        self,
        kind: str,
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
        key = key_of(kind, settings, recipe_version, inputs)
        final = self.root / kind / key
        with self._claimed(final) as missing:
            if together.gather(missing)[0]:
                facts = {"schema": SCHEMA, "stage": kind, "settings": settings, "inputs": inputs}
                self._build(final, facts, build, together)
        self._verify(final, just_built=missing)
        return key, final

    def _build(self, final: Path, facts: Mapping[str, Any], build: Callable[[Path], None], together: Ranks) -> None:
        aside = final.with_name(f"{final.name}.partial")
        if self.ranks.first:
            with files.disk_errors(aside):
                aside.mkdir(exist_ok=True)
        together.barrier()  # the folder is there
        build(aside)
        together.barrier()  # everyone has written
        if self.ranks.first:
            files.write_json(aside / "artifact.json", facts)
            with files.disk_errors(aside):
                files.write_manifest(aside)
                files.sync_tree(aside)
                aside.rename(final)

    def _verify(self, final: Path, just_built: bool) -> None:
        """The first rank hashes the files when its process first uses them, for all; what was built just now has been hashed."""
        place = final.resolve()
        ask = self.ranks.first and not just_built and place not in _VERIFIED
        problem = self.ranks.gather(_problem(final) if ask else None)[0]
        if problem:
            raise CheckpointError(f"artefact {final} {problem}; delete that folder and it will be built again")
        if ask:
            _VERIFIED.add(place)

    @contextmanager
    def _claimed(self, final: Path) -> Iterator[bool]:
        """Whether the artefact is missing, while the first rank holds its lock. The other ranks go by what the first one finds."""
        if not self.ranks.first or final.is_dir():
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


def _problem(final: Path) -> str | None:
    """What keeps an artefact from being used, in words."""
    damage = files.damage(final)
    if damage:
        return f"is damaged: {damage}"
    schema = json.loads((final / "artifact.json").read_text(encoding="utf-8")).get("schema")
    return None if schema == SCHEMA else f"has schema {schema}, and this version reads schema {SCHEMA}"
