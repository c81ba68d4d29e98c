"""Makes a golden file: runs another project's own loss functions on random ragged log-probabilities, and records their gradients.

    python -m tools.golden slime CHECKOUT OUT.json        CHECKOUT: a working tree of https://github.com/THUDM/slime
    python -m tools.golden trl PACKAGE OUT.json           PACKAGE: the folder `trl` of an installed or unpacked release
    python -m tools.golden verl CHECKOUT OUT.json         CHECKOUT: a working tree of https://github.com/volcengine/verl

The functions are the projects', as they are: TRL's by `tools.golden_trl`, verl's by `tools.golden_verl`; slime's are in
`slime/utils/ppo_utils.py`, and how their values per token are averaged is in its losses (the mean over responses of each response's
mean), which is written out here. Float64 where the project leaves the dtype alone.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tools import golden_trl, golden_verl

SEED, GROUPS, GROUP_SIZE, LONGEST = 0, 3, 4, 6
EPS, EPS_HIGH, DUAL, DELTA, BETA = 0.2, 0.28, 1.3, 0.05, 0.04


def data(seed: int) -> dict[str, Any]:
    """Random log-probs [B][T] of four policies near each other, ragged lengths, binary rewards."""
    generator = torch.Generator().manual_seed(seed)
    count = GROUPS * GROUP_SIZE

    def normal(scale: float) -> Tensor:
        return scale * torch.randn(count, LONGEST, generator=generator, dtype=torch.float64)

    logp = -normal(1.0).abs() - 0.05
    old, ref = (logp + normal(scale) for scale in (0.3, 0.5))
    lengths = torch.randint(1, LONGEST + 1, (count,), generator=generator)
    rewards = torch.randint(0, 2, (count,), generator=generator).double()
    return {
        "logp": logp.tolist(),
        "old_logp": old.clamp(max=-1e-3).tolist(),
        "ref_logp": ref.clamp(max=-1e-3).tolist(),
        "behaviour_logp": (old + normal(0.2)).clamp(max=-1e-3).tolist(),
        "values": normal(1.0).tolist(),
        "response_mask": (torch.arange(LONGEST) < lengths[:, None]).tolist(),
        "group": [place // GROUP_SIZE for place in range(count)],
        "rewards": rewards.tolist(),
        "truncated": [False] * count,
        "chosen": None,
    }


def scores(given: dict[str, Any]) -> Tensor:
    """Our advantages of the responses [B]: centred in the group, over its std (population)."""
    rewards = torch.tensor(given["rewards"], dtype=torch.float64).view(GROUPS, GROUP_SIZE)
    std = rewards.std(1, correction=0, keepdim=True)
    return torch.where(std > 0, (rewards - rewards.mean(1, keepdim=True)) / std.clamp(min=1e-12), 0).flatten()


def slime_losses(peer: ModuleType, given: dict[str, Any]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Each loss of slime's as a function of the log-probs [B, T]: our advantages (population std) in, a scalar out."""
    old, ref = (torch.tensor(given[name], dtype=torch.float64) for name in ("old_logp", "ref_logp"))
    mask = torch.tensor(given["response_mask"])
    advantages = scores(given)[:, None].expand_as(old)

    def mean(values: Tensor) -> Tensor:
        return ((values * mask).sum(1) / mask.sum(1)).mean()

    def clipped(logp: Tensor, high: float = EPS, dual: float | None = None) -> Tensor:
        return peer.compute_policy_loss(old - logp, advantages, EPS, high, dual)[0]

    def with_kl(name: str) -> Callable[[Tensor], Tensor]:
        return lambda logp: mean(clipped(logp) + BETA * peer.compute_approx_kl(logp, ref, name))

    def of_responses(logp: Tensor) -> Tensor:
        rows = [list(values) for values in (logp, old, logp, mask)]
        drift = peer.compute_gspo_kl(*rows).view_as(logp)
        return mean(peer.compute_policy_loss(drift, advantages, EPS, EPS_HIGH)[0])

    def off_policy_masked(logp: Tensor) -> Tensor:
        lists = [list(values) for values in (logp, old, advantages, mask)]
        kept, _ = peer.compute_opsm_mask(Namespace(opsm_delta=DELTA), *lists)
        return mean(clipped(logp) * kept.view_as(logp).to(logp))

    return {
        "clip-higher (same A)": lambda logp: mean(clipped(logp, EPS_HIGH)),
        "eps_clip_c (dual clip), recorded here": lambda logp: mean(clipped(logp, dual=DUAL)),
        "KL loss k1": with_kl("k1"),
        "KL loss k2": with_kl("k2"),
        "KL loss k3": with_kl("k3"),
        "gspo": of_responses,
        "use_opsm, recorded here": off_policy_masked,
        "cispo": lambda logp: mean(peer.compute_cispo_loss(old - logp, logp, advantages, 1.0, EPS_HIGH)[0]),
    }


def record(checkout: Path) -> dict[str, Any]:
    """The golden file of a checkout of slime."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # its functions as they are written
    file = "slime/utils/ppo_utils.py"
    peer, given, key = _load(checkout / file), data(SEED), "recorded-0"
    rows = []
    for method, loss in slime_losses(peer, given).items():
        rows.append({"peer": "slime", "method": method, "settings": "", "data": key, "gradient": gradient_of(loss, given)})
    about = {"repository": "THUDM/slime", "version": _commit(checkout), "files": file}
    return {"peers": {"slime": about}, "data": {key: given}, "rows": rows}


def record_verl(checkout: Path) -> dict[str, Any]:
    """The golden file of a checkout of verl: Clip-Cov, whose choice of tokens is in the data."""
    given, key = data(SEED), "verl-chance"
    given["chance"] = golden_verl.chance(given, scores(given))
    rows = [
        {"peer": "verl", "method": method, "settings": "", "data": key, "gradient": gradient_of(loss, given)}
        for method, loss in golden_verl.losses(checkout, given, scores(given)).items()
    ]
    about = {"repository": "volcengine/verl", "version": _commit(checkout), "files": ", ".join(golden_verl.FILES)}
    return {"peers": {"verl": about}, "data": {key: given}, "rows": rows}


def record_trl(package: Path) -> dict[str, Any]:
    """The golden file of a release of TRL: on ragged pairs, and where two averages are one, on chosen responses of one length."""
    versions = sorted(package.parent.glob("trl-*.dist-info"))
    version = versions[0].name.removeprefix("trl-").removesuffix(".dist-info") if versions else "unknown"
    key, given = "trl-ragged", golden_trl.pairs(SEED, LONGEST, GROUPS * 2, one_length=False)
    even, same = "trl-one-length", golden_trl.pairs(SEED, LONGEST, GROUPS * 2, one_length=True)
    peer, rows = f"TRL {version}", []
    for name, data_of, suffix in ((key, given, ""), (even, same, ", chosen responses of one length")):
        for method, loss in golden_trl.losses(package, data_of).items():
            if suffix and "alpha=0" in method:
                continue
            gradient = gradient_of(loss, data_of)
            rows.append({"peer": peer, "method": method + suffix, "settings": "", "data": name, "gradient": gradient})
    about = {"repository": "huggingface/trl", "version": version, "files": ", ".join(golden_trl.FILES.values())}
    return {"peers": {peer: about}, "data": {key: given, even: same}, "rows": rows}


def gradient_of(loss: Callable[[Tensor], Tensor], given: dict[str, Any]) -> list[list[float]]:
    """d loss / d logp [B][T], 0 off the mask."""
    leaf = torch.tensor(given["logp"], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    kept: list[list[float]] = torch.where(torch.tensor(given["response_mask"]), gradient, 0).tolist()
    return kept


def _commit(checkout: Path) -> str:
    line = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("peer_losses", path)
    assert spec is not None and spec.loader is not None, f"{path} is no Python file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(words: list[str]) -> int:
    recorders = {"slime": record, "trl": record_trl, "verl": record_verl}
    if len(words) != 3 or words[0] not in recorders:
        print(__doc__)
        return 2
    found = recorders[words[0]](Path(words[1]))
    Path(words[2]).write_text(json.dumps(found, indent=None) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
