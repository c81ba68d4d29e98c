"""`config.yaml` of a run directory: settings as plain data, in which nothing is looked up, interpolated or executed. No torch.

Text that OmegaConf would take for an interpolation is written escaped (`\\${`). On reading it is that text again; an interpolation
that is not escaped was not written by us, and is refused: it would read the environment of whoever looks at the run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from unified_rl.base import files
from unified_rl.base.errors import ConfigError

_OPENING = re.compile(r"(\\*)\$\{")
#: YAML 1.1 takes 1e-4 for a word; OmegaConf, which writes the file, does not.
_FLOAT = re.compile(
    r"""[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)""",
    re.VERBOSE,
)


class _Plain(yaml.SafeLoader):
    """YAML without aliases, by which a few lines can stand for gigabytes, and without dates."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias, which no configuration of ours does")
        return super().compose_node(parent, index)


_Plain.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Plain.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^(?:{_FLOAT.pattern})$", re.VERBOSE), list("-+0123456789.")
)


def as_text(config: Mapping[str, Any]) -> str:
    """Settings as the text of a `config.yaml`."""
    return OmegaConf.to_yaml(OmegaConf.create(escaped(dict(config))))


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a `config.yaml`, as plain data.

    Raises:
        ConfigError: it is not readable YAML, not a mapping, or holds an interpolation.
    """
    remedy = "restore it, or start the run again"
    try:
        stored = yaml.load(files.read_small(path), Loader=_Plain)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        said = str(error) if type(error) is ValueError else getattr(error, "problem", None) or type(error).__name__
        raise ConfigError(f"{path} is not a readable configuration ({' '.join(str(said).split())[:200]}); {remedy}") from error
    if not isinstance(stored, dict):
        raise ConfigError(f"{path} is not a mapping of settings; {remedy}")
    try:
        return {str(key): _changed(value, _unescape) for key, value in stored.items()}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {str(error)[:200]}; {remedy}") from error


def plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a `config.yaml`: for comparing."""
    return dict(_changed(yaml.load(as_text(config), Loader=_Plain), _unescape))


def escaped(value: Any) -> Any:
    """Plain data in which OmegaConf finds no interpolation."""
    return _changed(value, _escape)


def _escape(text: str) -> str:
    return _OPENING.sub(lambda found: f"{found[1]}{found[1]}\\${{", text)


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if len(found[1]) % 2 == 0:
            raise ValueError(f"{text[:60]!r} would be interpolated, and nothing in a run's configuration is")
        return "\\" * (len(found[1]) // 2) + "${"

    return _OPENING.sub(one, text)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _changed(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(item, change) for item in value]
    return value


def flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted name -> value. An empty section has no names."""
    if not isinstance(settings, Mapping):
        return {prefix[:-1]: settings}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{prefix}{name}.")
    return found
