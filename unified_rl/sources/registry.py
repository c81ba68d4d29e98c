"""All data sources and wrappers by name, and what a configuration's `source` section asks for."""

from __future__ import annotations

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.sources import (
    demonstrations,
    greedy,
    informative,
    mixed,
    offline,
    online,
    pairs,
    reference_rewards,
    refreshed,
    tree_search,
    written_pairs,
)
from unified_rl.sources.declaration import SourceDeclaration, WrapperDeclaration
from unified_rl.sources.settings import SourceConfig

SOURCES: dict[str, SourceDeclaration] = {
    declaration.name: declaration
    for declaration in (
        demonstrations.DECLARATION,
        offline.DECLARATION,
        refreshed.DECLARATION,
        online.DECLARATION,
        informative.DECLARATION,
        tree_search.DECLARATION,
        pairs.DECLARATION,
        written_pairs.DECLARATION,
    )
}
WRAPPERS: dict[str, WrapperDeclaration] = {
    wrapper.name: wrapper
    for wrapper in (
        pairs.WRAPPER,
        informative.WRAPPER,
        mixed.WRAPPER,
        refreshed.WRAPPER,
        greedy.WRAPPER,
        reference_rewards.WRAPPER,
    )
}


def declared(source: SourceConfig) -> SourceDeclaration:
    """The source that a configuration asks for, its wrappers around it, the first one innermost.

    Raises:
        ConfigError: an unknown name, or a wrapper around a source that does not provide what it needs.
    """
    if source.name not in SOURCES:
        raise ConfigError(f"source.name={source.name!r} is not known{did_you_mean(source.name, SOURCES)}")
    found = SOURCES[source.name]
    for name in source.wrappers:
        if name not in WRAPPERS:
            raise ConfigError(f"source.wrappers={source.wrappers}: {name!r} is not known{did_you_mean(name, WRAPPERS)}")
        wrapper = WRAPPERS[name].specialised(WRAPPERS[name], source, SOURCES)
        if not wrapper.takes(found.provides):
            fitting = [other for other, one in SOURCES.items() if wrapper.takes(one.provides)]
            raise ConfigError(
                f"source.wrappers={source.wrappers}: {name} needs {wrapper.wants}, which {found.setting} does not provide; set "
                f"source={' or source='.join(fitting)}, or leave {name} out"
            )
        found = wrapper.around(found)
    return found
