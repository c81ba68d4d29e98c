"""From `key=value` words to a checked `CorpusConfig`: the schema, then a named whole, then the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.corpus.settings import CorpusConfig
from unified_rl.presets.loading import override, parse_words
from unified_rl.records.config_file import as_text, read_settings

CONFIGS = Path(__file__).parent / "configs"
FILE = "corpus.yaml"


def load(words: Sequence[str]) -> CorpusConfig:
    """A configuration from words such as ["corpus=deepseekmath", "data.path=crawl", "run_dir=runs/corpus"].

    A run directory that has a configuration gives what the words leave out, unless they name another `corpus`.

    Raises:
        ConfigError: an unknown key or name, a wrong type or range, or no run directory.
    """
    given = parse_words(words)
    run_dir = str(given.get("run_dir") or "")
    if not run_dir:
        raise ConfigError("run_dir=... is missing; name the folder that the corpus is written to")
    stored = Path(run_dir) / FILE
    if stored.is_file():
        kept = read_settings(stored)
        same = given.get("corpus") in (None, kept.get("corpus"))
        base = kept if same else _named(str(given["corpus"]))
    else:
        base = _named(str(given.get("corpus", CorpusConfig.corpus)))
    return override(_typed(base, str(given.get("corpus", FILE))), list(words), "corpus")


def store(config: CorpusConfig) -> None:
    """Write the configuration into its run directory, where later commands find it."""
    from unified_rl.base.files import settle_text

    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    settle_text(folder / FILE, as_text(asdict(config)))


def _named(name: str) -> dict[str, Any]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        known = sorted(found.stem for found in CONFIGS.glob("*.yaml"))
        raise ConfigError(f"corpus={name!r} is not known{did_you_mean(name, known)}; or give the path of a YAML file")
    return {**read_settings(path), "corpus": name}


def _typed(settings: dict[str, Any], place: str) -> CorpusConfig:
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(CorpusConfig), settings))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{place}: {str(error).splitlines()[0]}") from error
