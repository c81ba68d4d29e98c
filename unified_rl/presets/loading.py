"""From `key=value` words to a checked `Config`. No torch.

Order, later wins: schema defaults, configs/chain.yaml, the method's row of the table, configs/stack/STACK.yaml, that stack's
`tasks.TASK` section (sizes for one task, which others need not have), its `methods.METHOD` section (what is tuned for the stack;
without one, its coefficient's), the dialect, configs/mix/MIX.yaml, the command line.
`source=x`, `coefficient=x`, `aggregation=x`, `importance=x`, `task=x` and `reward=x` are short for the section's name, `data=x` and
`model=x` for its path, `engine=x` for `trainer.name=x` and `steps=x` for `trainer.steps=x`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unified_rl import methods
from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean, import_by_path
from unified_rl.config.problems import DataConfig, TaskConfig
from unified_rl.config.rewards import SEVERAL
from unified_rl.config.rewards import listed as listed_rewards
from unified_rl.config.sanity import check_numbers
from unified_rl.config.schema import Config
from unified_rl.config.stages import StageConfig
from unified_rl.methods import Coefficient
from unified_rl.methods.users import check_class
from unified_rl.presets import chain, dialects, own_data, rules
from unified_rl.presets.unknown_keys import check_keys
from unified_rl.records.config_file import escaped, flat, plain, read_settings

CONFIGS = Path(__file__).parent / "configs"
SHORTHANDS = {
    "source": "name",
    "coefficient": "name",
    "aggregation": "name",
    "importance": "name",
    "task": "name",
    "data": "path",
    "model": "path",
    "generator": "name",
    "trainer": "name",
    "reward": "source",
}
#: The sections in which a method is a row of the table: a run that is otherwise in them is not that row, and is not called so.
AXES = ("source", "reward", "coefficient", "aggregation", "importance", "losses", "jsd_beta")
OTHER_NAMES = {"engine": "trainer", "steps": "trainer.steps"}


def load_config(words: Sequence[str]) -> Config:
    """Compose and check a configuration.

    Args:
        words: `key=value` words as on the command line, e.g. ["method=grpo", "seed=1", "run_dir=runs/a"].

    Raises:
        ConfigError: unknown key (with the nearest known one), wrong type, unknown method or stack, or an illegal combination.
    """
    config = compose(words)
    check_numbers(as_dict(config))
    chain.check(config)
    for name in config.stages:
        stage_config(config, name)
    rules.check(config)
    return config


def compose(words: Sequence[str]) -> Config:
    """As `load_config`, without the check of the combination."""
    given = parse_words(words)
    method_name = str(given.get("method", methods.DEFAULT))
    stack_name = str(given.get("stack", Config.stack))
    stack = _read_yaml("stack", stack_name)
    tuned, row = _tuned(stack.pop("methods", None) or {}, method_name), _method_row(method_name)
    reads = _reads(given, stack)
    task = _task_name(given, reads, stack)
    sized = (stack.pop("tasks", None) or {}).get(task) or {}
    pairs = own_data.source_of(task, str(_expand_shorthands(row).get("source", {}).get("name", "")))
    dialect = parse_words(dialects.words(str(given.get("dialect", dialects.PAPER)), method_name))
    mix = _read_yaml("mix", str(given["mix"])) if given.get("mix") else {}
    layers = (_chain(), row, stack, reads, sized, tuned, dialect, pairs, mix)
    config = _typed([*map(_expand_shorthands, layers), given])
    label = config.label if "label" in given else _label(config, given, layers)
    return replace(config, init=chain.start(config), label=label)


def _label(config: Config, given: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> str:
    """What a run is called that was given no name: its row, and what of its axes is otherwise than the row's."""
    spoken = [] if config.dialect == dialects.PAPER else [f"dialect={config.dialect}"]
    if not any(section in given for section in AXES):
        return ", ".join([config.label, *spoken])
    of_row = [{name: value for name, value in _expand_shorthands(layer).items() if name in AXES} for layer in layers]
    row, own = (flat({name: as_dict(one)[name] for name in AXES}) for one in (_typed(of_row), config))
    words = flat({name: given[name] for name in AXES if name in given})
    short = {f"{section}.{leaf}": section for section, leaf in SHORTHANDS.items()}
    parts = config.reward.parts
    apart = [f"{short.get(name, name)}={own.get(name)}" for name in words if own.get(name) != row.get(name)]
    if parts:  # one phrase for all that is said of them
        apart = [one for one in apart if not one.startswith(("reward.parts.", f"reward={SEVERAL}"))]
        apart.append("reward=" + "+".join(name if one.weight == 1 else f"{one.weight:g} {name}" for name, one in parts.items()))
    return ", ".join([config.label, *spoken, *apart])


def stage_config(config: Config, name: str) -> Config:
    """The configuration of a stage: the run's, or for what is trained its own, with `stages.NAME.settings` on top.

    Raises:
        ConfigError: an unknown key or a wrong value.
    """
    settings, where = config.stages[name].settings, f"stages.{name}.settings"
    as_run, own = chain.kind_of(config, name).as_run, with_settings(config, settings, where)
    if as_run is None:
        return own
    return with_settings(replace(as_run(own), init=chain.begins_with(own, name)), settings, where)


def with_settings(config: Config, settings: Mapping[str, Any], name: str) -> Config:
    """A configuration with some settings otherwise, e.g. {"trainer": {"steps": 100}}.

    Raises:
        ConfigError: an unknown key or a wrong value; `name` says where it was given.
    """
    if not settings:
        return config
    try:
        check_keys(settings, _structured(config), "")
        changed = {field: _field_with(config, field, value) for field, value in settings.items()}
    except (ConfigError, OmegaConfBaseException) as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}") from error
    return replace(config, **changed)


def _field_with(config: Config, name: str, settings: Any) -> Any:
    value = getattr(config, name)
    if is_dataclass(value):
        return OmegaConf.to_object(_merge(_structured(value), settings))
    return _merge(OmegaConf.structured(Config), {name: settings})[name]


def load_resolved(path: Path) -> Config:
    """Read back the configuration that a run directory holds (`config.yaml`). Nothing that it names is imported.

    The options of a user's own coefficient are therefore a plain dictionary; those of ours have their dataclass.
    """
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; is its folder a run directory of `unified-rl train`?")
    stored = read_settings(path)
    section = stored.get("coefficient")
    name = str(section.get("name", "")) if isinstance(section, Mapping) else ""
    try:
        if name in methods.COEFFICIENTS:
            return _typed([escaped(stored)])
        config = _typed([escaped({key: value for key, value in stored.items() if key != "coefficient"})])
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return replace(config, coefficient=section)


def other_settings(path: Path, config: Config, besides: Sequence[str] = ()) -> list[str]:
    """The sections in which a stored `config.yaml` differs from a configuration, those in `besides` left out.

    A setting that is younger than the file is no difference while it has its default.
    """
    before, now, defaults = read_settings(path), plain(as_dict(config)), plain(as_dict(Config()))
    names = [key for key in before.keys() | now.keys() if key not in besides]
    return sorted(key for key in names if not _same_at(key, before, now, defaults))


def _same_at(key: str, before: Any, now: Any, defaults: Any) -> bool:
    if key in before:
        return key in now and _same(before[key], now[key], defaults.get(key))
    return key in defaults and bool(now[key] == defaults[key])  # younger than the file


def _same(before: Any, now: Any, default: Any) -> bool:
    if not (isinstance(before, dict) and isinstance(now, dict) and isinstance(default, dict)):
        return bool(before == now)
    return all(_same_at(key, before, now, default) for key in before.keys() | now.keys())


def override(section: Any, words: Sequence[str], name: str) -> Any:
    """A section's dataclass with `key=value` words on top, e.g. override(config.evaluation, ["samples=16"], "evaluation").

    Raises:
        ConfigError: an unknown key or a wrong type.
    """
    schema = _structured(section)
    given = parse_words(words)
    check_keys(given, schema, "")
    try:
        made = OmegaConf.to_object(_merge(schema, given))
        check_numbers(asdict(made), f"{name}.")  # type: ignore[arg-type]
        return made
    except OmegaConfBaseException as error:
        raise ConfigError(f"{name}: {str(error).splitlines()[0]}") from error


def other_problems(config: Config, words: Sequence[str]) -> tuple[TaskConfig, DataConfig]:
    """A configuration's task and data with `task=..., task.KEY=..., data.KEY=...` words on top; another task has no options yet.

    Raises:
        ConfigError: an unknown key or a wrong type.
    """
    given = parse_words(words)
    name = (given.get("task") or {}).get("name", config.task.name)
    task = config.task if name == config.task.name else replace(config.task, options={})
    layered = [_structured(task), _structured(config.data)]
    for section, schema in zip(("task", "data"), layered, strict=True):
        check_keys(given.get(section) or {}, schema, f"{section}.")
    try:
        merged = [_merge(schema, given.get(section) or {}) for section, schema in zip(("task", "data"), layered, strict=True)]
        return OmegaConf.to_object(merged[0]), OmegaConf.to_object(merged[1])  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def as_dict(config: Config) -> dict[str, Any]:
    """A configuration as plain nested dictionaries, ready for YAML."""
    return asdict(config)


def parse_words(words: Sequence[str]) -> dict[str, Any]:
    """`["a.b=1", "c=x"]` -> `{"a": {"b": 1}, "c": "x"}`, with shorthands expanded so that they combine with dotted keys."""
    merged: dict[str, Any] = {}
    for word in words:
        key, separator, _ = word.partition("=")
        if not separator or not key:
            raise ConfigError(f"{word!r} is not of the form key=value (for example seed=1 or coefficient.kl_coef=0.1)")
        key, word = OTHER_NAMES.get(key, key), f"{OTHER_NAMES.get(key, key)}{word[len(key) :]}"
        if key in SHORTHANDS:
            word = f"{key}.{SHORTHANDS[key]}{word[len(key) :]}"
        try:
            given = OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        except Exception as error:
            raise ConfigError(f"{word!r} cannot be read: {error}") from error
        merged = _laid_over(merged, _with_listed(given))  # type: ignore[arg-type]
    return merged


def _with_listed(given: dict[str, Any]) -> dict[str, Any]:
    """A list of rewards (`reward=[rule,mine.py:reward*0.5]`) as the section that adds them up."""
    source = given["reward"].get("source") if isinstance(given.get("reward"), Mapping) else None
    return {**given, "reward": listed_rewards(source)} if isinstance(source, list) else given


def coefficient_class(name: str) -> type[Any]:
    """The options class of a coefficient: one of ours by name, or a user's own (FILE.py:NAME)."""
    if ":" in name:
        found = import_by_path(name, "coefficient")
        if not (isinstance(found, type) and issubclass(found, Coefficient)):
            raise ConfigError(
                f"coefficient={name} must name a dataclass that inherits unified_rl.coefficients.Coefficient, or the result of "
                "unified_rl.coefficients.coefficient_from_objective"
            )
        check_class(found, name)
        return found
    if name not in methods.COEFFICIENTS:
        raise ConfigError(f"coefficient={name!r} is not known{did_you_mean(name, list(methods.COEFFICIENTS))}")
    return methods.COEFFICIENTS[name]


def _structured(value: Any) -> DictConfig:
    """A section as a schema that holds its values, in which OmegaConf finds nothing to interpolate."""
    schema = OmegaConf.structured(value)
    for item in fields(value):
        held = getattr(value, item.name)
        safe = _structured(held) if is_dataclass(held) else escaped(held)
        if is_dataclass(held) or safe != held:
            OmegaConf.update(schema, item.name, safe, force_add=True)
    return schema


def _reads(given: Mapping[str, Any], stack: dict[str, Any]) -> dict[str, Any]:
    """The task that reads one's own data, where nothing names one and the stack's own reads no data."""
    own, path = stack.pop("own_data", None) or {}, _expand_shorthands(given).get("data", {}).get("path", "")
    return {} if _expand_shorthands(given).get("task", {}).get("name") else own_data.task_of(str(path), own)


def _task_name(*layers: Mapping[str, Any]) -> str:
    """The task, by the first of these layers that names one."""
    named = (_expand_shorthands(layer).get("task", {}).get("name") for layer in layers)
    return str(next(filter(None, named), TaskConfig.name))


@cache
def _chain() -> dict[str, Any]:
    """The default chain of stages."""
    return dict(OmegaConf.to_container(OmegaConf.load(CONFIGS / "chain.yaml")))  # type: ignore[arg-type]


@cache
def _stages() -> dict[str, StageConfig]:
    """The same, typed: half of what an ordinary configuration's merge would cost."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), _chain())).stages  # type: ignore[union-attr]


def _tuned(sections: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a stack sets for a row: its own section, or else that of the row which is its coefficient's namesake."""
    row = methods.METHODS.get(name)
    return sections.get(name) or (sections.get(row.coefficient) if row else None) or {}


def _method_row(name: str) -> dict[str, Any]:
    if ":" in name:
        row = import_by_path(name, "method")
        if not isinstance(row, methods.Method):
            raise ConfigError(f"method={name} must name a unified_rl.methods.Method, found {type(row).__name__}")
    elif name in methods.METHODS:
        row = methods.METHODS[name]
    else:
        raise ConfigError(f"method={name!r} is not known{did_you_mean(name, list(methods.METHODS))}")
    axes: dict[str, Any] = {
        "method": name,
        "label": row.label,
        "source": {"name": row.source},
        "reward": {"source": row.reward, "supervision": row.supervision},
        "coefficient": {"name": row.coefficient},
        "aggregation": {"name": row.aggregation},
    }
    return {**axes, **{section: {**axes.get(section, {}), **options} for section, options in row.settings.items()}}


def _read_yaml(kind: str, name: str) -> dict[str, Any]:
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return _yaml_at(Path(name))
    known = sorted(found.stem for found in (CONFIGS / kind).glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"{kind}={name!r} is not known{did_you_mean(name, known)}; or give the path of a YAML file")
    return deepcopy(_shipped(kind, name))


@cache
def _shipped(kind: str, name: str) -> dict[str, Any]:
    """A file of ours, which no one changes while we run: a grid composes hundreds of configurations from it."""
    return _yaml_at(CONFIGS / kind / f"{name}.yaml")


def _yaml_at(path: Path) -> dict[str, Any]:
    try:
        loaded = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:
        raise ConfigError(f"{path} is not readable YAML: {error}") from error
    return {str(key): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}


def _expand_shorthands(layer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {SHORTHANDS[key]: value} if key in SHORTHANDS and not isinstance(value, Mapping) else value
        for key, value in layer.items()
    }


def _typed(layers: list[dict[str, Any]]) -> Config:
    """Merge layers over the schema, with the coefficient's own dataclass in place, and check keys, types and ranges."""
    names = [layer["coefficient"]["name"] for layer in layers if "name" in layer.get("coefficient", {})]
    name = str(names[-1]) if names else methods.METHODS[methods.DEFAULT].coefficient
    layers = _with_options_of(name, layers)
    options = coefficient_class(name)
    schema = _schema(name, options)  # type: ignore[arg-type]
    laid: dict[str, Any] = {"coefficient": {}}
    for layer in layers:
        check_keys(layer, schema, "")
        laid = _laid_over(laid, layer)  # as plain data: each merge into the schema copies it whole
    try:
        as_shipped = {"stages": deepcopy(_stages())} if laid.get("stages") == _chain()["stages"] else {}
        said = {key: value for key, value in laid.items() if key not in as_shipped}
        given = OmegaConf.to_object(_merge(_schema_of(name, options, frozenset(said)), said))  # type: ignore[arg-type]
        return Config(**given, **as_shipped)  # type: ignore[arg-type]
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error


@cache
def _schema_of(name: str, options: Callable[..., Any], sections: frozenset[str]) -> DictConfig:
    """The part of the schema that is spoken of: the rest has its defaults, and to copy it is most of what a merge costs."""
    return OmegaConf.masked_copy(_schema(name, options), sorted(sections))


@cache
def _schema(name: str, options: Callable[..., Any]) -> DictConfig:
    """The schema with a coefficient's own dataclass in place. It is never changed: merging copies it."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema, True)
    OmegaConf.set_struct(schema.task.options, False)  # the task's own constructor checks these
    OmegaConf.set_struct(schema.losses, False)  # `methods.losses` knows the names
    OmegaConf.set_struct(schema.stages, False)  # the user names them
    OmegaConf.set_struct(schema.reward.parts, False)  # so he does these
    OmegaConf.set_struct(schema.pretraining.held_out, False)  # and these
    schema.coefficient = OmegaConf.structured(options(name=name))
    return schema


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two layers of settings as one: sections are merged, everything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _laid_over(merged[key], value) if both else value
    return merged


def _merge(merged: Any, layer: dict[str, Any]) -> Any:
    try:
        return OmegaConf.merge(merged, layer)
    except OmegaConfBaseException as error:
        key = getattr(error, "full_key", None)
        raise ConfigError(f"{key}: {str(error).splitlines()[0]}") from error


def _with_options_of(name: str, layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers with the options of this coefficient alone: each layer's are of the coefficient that it or the last one before names.

    So what a row or a dialect sets for *its* coefficient goes when another is asked for, and what was said of the new one stays.
    """
    kept, named = [], name
    for layer in layers:
        named = str(layer.get("coefficient", {}).get("name", named))
        kept.append(layer if named == name else {key: value for key, value in layer.items() if key != "coefficient"})
    return kept
