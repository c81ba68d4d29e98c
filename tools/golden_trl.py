"""Golden gradients of TRL's KTO, ORPO and CPO, by their own statements, for `tools.golden`.

TRL's losses are methods of trainers that import much else. Their source is read from the installed or unpacked package, and the
functions (of KTO, the statements of `_compute_loss` from its KL to its losses) are compiled as they are, with a bare `self`.
"""

from __future__ import annotations

import ast
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

FILES = {
    "kto": "trainer/kto_trainer.py",
    "orpo": "experimental/orpo/orpo_trainer.py",
    "cpo": "experimental/cpo/cpo_trainer.py",
}
BETA, MISMATCHED = 0.1, 0.3
Loss = Callable[[Tensor], Tensor]


def pairs(seed: int, longest: int, pairs_of: int, *, one_length: bool) -> dict[str, Any]:
    """Random log-probs [B][T] of pairs, chosen and rejected alternating; one_length: of all chosen responses."""
    generator = torch.Generator().manual_seed(seed)
    count = 2 * pairs_of
    logp = -torch.randn(count, longest, generator=generator, dtype=torch.float64).abs() - 0.05
    ref = (logp + 0.4 * torch.randn(count, longest, generator=generator, dtype=torch.float64)).clamp(max=-1e-3)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator)
    if one_length:
        lengths[::2] = longest - 1
    return {
        "logp": logp.tolist(),
        "old_logp": logp.tolist(),
        "ref_logp": ref.tolist(),
        "behaviour_logp": logp.tolist(),
        "values": torch.zeros(count, longest).tolist(),
        "response_mask": (torch.arange(longest) < lengths[:, None]).tolist(),
        "group": [place // 2 for place in range(count)],
        "rewards": [1.0, 0.0] * pairs_of,
        "truncated": [False] * count,
        "chosen": [True, False] * pairs_of,
        "mismatched_kl": MISMATCHED,
    }


def losses(package: Path, given: dict[str, Any]) -> dict[str, Loss]:
    """Each of TRL's losses as a function of the log-probs [B, T]."""
    mask, ref = torch.tensor(given["response_mask"]), torch.tensor(given["ref_logp"], dtype=torch.float64)

    def summed(logp: Tensor) -> tuple[Tensor, Tensor]:
        found = (logp * mask).sum(1)
        return found[::2], found[1::2]

    def averaged(logp: Tensor) -> tuple[Tensor, Tensor]:
        found = (logp * mask).sum(1) / mask.sum(1)
        return found[::2], found[1::2]

    def nll(logp: Tensor) -> Tensor:
        return -(logp * mask)[::2].sum() / mask[::2].sum()  # cross-entropy of the chosen ones' tokens, a mean over all of them

    def orpo(logp: Tensor) -> Tensor:
        return nll(logp) - odds(_self(beta=BETA), *averaged(logp))[0].mean()

    def cpo(logp: Tensor, alpha: float = 1.0, **options: Any) -> Tensor:
        trainer = _self(**{"beta": BETA, "alpha": 0.0, "label_smoothing": 0.0, "loss_type": "sigmoid", **options})
        means = options.get("loss_type") == "simpo"
        return contrastive(trainer, *(averaged if means else summed)(logp))[0].mean() + alpha * nll(logp)

    def kto(logp: Tensor) -> Tensor:
        (chosen, rejected), (ref_chosen, ref_rejected) = summed(logp), summed(ref)
        trainer = _self(beta=BETA, loss_type="kto", calculate_KL=True, desirable_weight=1.0, undesirable_weight=0.8)
        return unpaired(trainer, chosen, rejected, ref_chosen, ref_rejected, torch.tensor(MISMATCHED), torch.tensor(0.0)).mean()

    odds = functions(package / FILES["orpo"], "odds_ratio_loss", "log1mexp")["odds_ratio_loss"]
    contrastive = functions(package / FILES["cpo"], "cpo_loss")["cpo_loss"]
    unpaired = _kto(package / FILES["kto"])
    return {
        "kto": kto,
        "orpo": orpo,
        "cpo": cpo,
        "cpo, cpo_alpha=0": lambda logp: cpo(logp, alpha=0.0),
        "cpo, label_smoothing=0.1, cpo_alpha=0": lambda logp: cpo(logp, alpha=0.0, label_smoothing=0.1),
        "cpo, simpo, cpo_alpha=0": lambda logp: cpo(logp, alpha=0.0, loss_type="simpo", simpo_gamma=0.5, beta=2.0),
    }


def _self(**options: Any) -> Namespace:
    """What the methods read of their trainer."""
    return Namespace(accelerator=Namespace(device="cpu", gather_for_metrics=lambda value: value), **options)


def functions(file: Path, *names: str, **space: Any) -> dict[str, Callable[..., Any]]:
    """Functions of a module, or methods of its classes, compiled as they are; space: what else they call, by name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    wanted = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names]
    return _compiled(wanted, file, space)


def _kto(file: Path) -> Callable[..., Any]:
    """The statements of `_compute_loss` that make `losses`, as a function of the log-probs that they read."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    method = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "_compute_loss")
    texts = [ast.unparse(node) for node in method.body]
    first = next(place for place, text in enumerate(texts) if text.startswith("if self.calculate_KL:"))
    last = next(place for place, text in enumerate(texts) if text.startswith("losses = "))
    head = "def found(self, chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps, KL_logps, ref_KL_logps): pass"
    function = ast.parse(head).body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = [*method.body[first : last + 1], *ast.parse("def inner(): return losses").body[0].body]  # type: ignore[attr-defined]
    return _compiled([function], file)["found"]


def _compiled(
    functions: list[ast.FunctionDef], file: Path, given: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Callable[..., Any]]:
    for function in functions:
        function.decorator_list = []
        function.returns = None
        for argument in function.args.args:
            argument.annotation = None
    space: dict[str, Any] = {"torch": torch, "F": torch.nn.functional, **given}
    module = ast.fix_missing_locations(ast.Module(body=list(functions), type_ignores=[]))
    exec(compile(module, str(file), "exec"), space)
    return space
