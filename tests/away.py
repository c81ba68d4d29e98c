"""A device that is not the host, on the host: what runs there, what is asked of it, and what is brought to it.

`AWAY` holds its numbers in host memory and computes with the host's kernels, but is a device of its own to whoever uses it. Tensors
of two devices do not meet in an operator (a host's scalar may), and whatever a GPU would make the host wait for is written down.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

#: A device that every build of torch knows, and that autograd does not look for a stream on.
AWAY = torch.device("meta")

#: Operators whose result, or its shape, the host must have before it goes on.
READING = {
    "_local_scalar_dense",
    "bincount",
    "equal",
    "masked_select",
    "nonzero",
    "nonzero_numpy",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
    "_unique2",
}
#: Operators in which not even a host's scalar meets a tensor of another device.
_STRICT = {"cat", "stack", "index_put", "index_put_", "scatter", "gather", "index_select"}


def reads(func: Any, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether an operator asks a device for numbers, or for how many there are."""
    name = func.overloadpacket.__name__
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None and isinstance(args[0], torch.Tensor)
    return name in READING or (name.startswith("index") and _by_mask(args))


def _by_mask(args: tuple) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
    return any(isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


class _There(torch.Tensor):
    """A tensor of `AWAY`; `held` has its numbers."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor):
        facts = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        made = torch.Tensor._make_wrapper_subclass(cls, held.shape, device=AWAY, **facts)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of the device")

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self):
        return self.cpu().numpy()


class Device(TorchDispatchMode):
    """The device while it is on. seen: what was read from it and brought to it, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._made = _Made()

    def __enter__(self):
        self._made.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self._made.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name, target = func.overloadpacket.__name__, kwargs.get("device")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        there = [one for one in tensors if isinstance(one, _There)]
        lands = bool(there) if target is None else torch.device(target) == AWAY
        self._note(name, func, args, kwargs, tensors, there, lands)
        if target is not None:
            kwargs["device"] = torch.device("cpu") if lands else target
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if not lands:
            return found
        wrapped = tree_map(lambda one: _There(one) if isinstance(one, torch.Tensor) else one, found)
        return return_and_correct_aliasing(func, args, kwargs, wrapped)

    def _note(self, name, func, args, kwargs, tensors, there, lands) -> None:
        here = [one for one in tensors if not isinstance(one, _There)]
        if name in ("copy_", "_to_copy"):
            if (there and here) or (tensors and bool(there) != lands):
                self.seen.append("a copy between host and device")
        elif there and any(one.dim() or name in _STRICT for one in here):
            raise RuntimeError(f"{name} of tensors on two devices")
        elif there and reads(func, args, kwargs):
            self.seen.append(name)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _There) else value


class _Made(TorchFunctionMode):
    """Tensors that are made there of numbers of Python's: an operator never sees where they were to be."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if (
            func in (torch.tensor, torch.as_tensor)
            and kwargs.get("device") is not None
            and torch.device(kwargs["device"]) == AWAY
        ):
            del kwargs["device"]
            return func(*args, **kwargs).to(AWAY)
        return func(*args, **kwargs)
