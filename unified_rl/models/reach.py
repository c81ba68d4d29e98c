"""How far back the attention of a model's layers looks, as its configuration says. No torch.

A mask for packed rows is made of segments and a reach: both are data, of which each attention kernel makes what it takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reach:
    """Which earlier positions of its own sequence a token sees.

    window: position i sees j where i - j < window; 0 = any. chunk: only j where i // chunk = j // chunk; 0 = any.
    """

    window: int = 0
    chunk: int = 0


WHOLE = Reach()
#: Settings of a window that a configuration may have, by what they mean here.
WINDOW, CHUNK = "sliding_window", "attention_chunk_size"
#: Layers that are no attention over earlier tokens but carry a state, and so cannot be told where a document ends.
ATTENTION_LAYERS = {"full_attention": None, "sliding_attention": WINDOW, "chunked_attention": CHUNK}
#: Short enough for a test with a few tokens, long enough for a token to see its neighbours.
_SHORT = 4


def reaches(config: Any) -> Reach | Mapping[str, Reach]:
    """The reach of all layers, or of each kind of layer by its name in `layer_types`, where a model takes a mask for each kind."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds:
        return Reach(_window(config), int(getattr(config, CHUNK, None) or 0))
    found = {kind: _of_kind(config, kind) for kind in sorted(kinds & set(ATTENTION_LAYERS))}
    return next(iter(found.values()), WHOLE) if len(found) < 2 else found


def stateful_layers(config: Any) -> list[str]:
    """Kinds of layers that are not attention, such as "linear_attention" or "mamba"; sorted."""
    return sorted(set(getattr(config, "layer_types", None) or ()) - set(ATTENTION_LAYERS))


def unknown_windows(config: Any) -> list[str]:
    """Settings that look like a window whose meaning is not known here; sorted."""
    values = config.to_dict()
    known = {WINDOW, "max_window_layers", "use_sliding_window"}
    return sorted(
        name
        for name, value in values.items()
        if ("window" in name or name.startswith("local_attention"))
        and not (name in known or name.endswith("pattern") or value in (None, 0, False))
    )


@contextmanager
def short_windows(config: Any) -> Iterator[None]:
    """Windows of a few tokens for a while, so that a test with few tokens reaches beyond them. Of models that read them then."""
    kept = {name: getattr(config, name) for name in (WINDOW, CHUNK) if isinstance(getattr(config, name, None), int)}
    for name, value in kept.items():
        setattr(config, name, min(value, _SHORT) if value else value)
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(config, name, value)


def _of_kind(config: Any, kind: str) -> Reach:
    if ATTENTION_LAYERS[kind] == WINDOW:
        return Reach(window=_window(config))
    return Reach(chunk=int(getattr(config, CHUNK, None) or 0)) if ATTENTION_LAYERS[kind] == CHUNK else WHOLE


def _window(config: Any) -> int:
    used = getattr(config, "use_sliding_window", True) is not False
    return int(getattr(config, WINDOW, None) or 0) if used else 0
