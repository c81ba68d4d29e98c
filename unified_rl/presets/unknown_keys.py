"""Keys that a configuration does not have: the refusal names the one that was probably meant. No torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from unified_rl import methods
from unified_rl.base.errors import ConfigError
from unified_rl.config.schema import Config


def check_keys(given: Mapping[str, Any], schema: DictConfig, prefix: str) -> None:
    """Raise ConfigError for the first key, of any depth, that the schema lacks, and for a section that is given a value.

    prefix: of `given` in the configuration, with its dot; "" for all of it.
    """
    for key, value in given.items():
        if key not in schema:
            raise ConfigError(_unknown_key(f"{prefix}{key}", key, schema, prefix))
        node = schema[key]
        if isinstance(node, DictConfig) and OmegaConf.get_type(node) is not dict:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{key} is a section; set one of {', '.join(f'{prefix}{key}.{k!s}' for k in node)}")
            check_keys(value, node, f"{prefix}{key}.")


def _unknown_key(full_key: str, key: str, schema: DictConfig, prefix: str) -> str:
    near = difflib.get_close_matches(key, [str(known) for known in schema], n=1)
    if near:
        return f"unknown key {full_key!r}; did you mean {prefix}{near[0]!s}?"
    default = methods.METHODS[methods.DEFAULT].coefficient
    everywhere = _all_keys(OmegaConf.structured(Config(coefficient=methods.COEFFICIENTS[default](name=default))))
    same_leaf = [known for known in everywhere if known.rpartition(".")[2] == key]
    hint = f"; did you mean {same_leaf[0]}?" if same_leaf else ""
    owners = [name for name, options in methods.COEFFICIENTS.items() if key in {item.name for item in fields(options)}]
    if prefix == "coefficient." and owners:
        hint = f"; it is an option of coefficient {' and '.join(owners)}, not of this one"
    return f"unknown key {full_key!r}{hint} (known here: {', '.join(str(known) for known in schema)})"


def _all_keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in node.items():
        keys += _all_keys(value, f"{prefix}{key!s}.") if isinstance(value, DictConfig) else [f"{prefix}{key!s}"]
    return keys
