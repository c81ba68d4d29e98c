"""A plan as text for people."""

from __future__ import annotations

from typing import Any

from unified_rl.planning.gpus import GIB
from unified_rl.planning.memory import PHASES


def lines(found: dict[str, Any]) -> list[str]:
    """The text of what `plan` returned."""
    return [
        *_model(found["model"]),
        "",
        *_memory(found["memory"]),
        "",
        *_work(found["work"]),
        "",
        *_time(found["time"]),
        *_launch(found),
    ]


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit, one in (("GiB", GIB), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count:.0f} B"


def _model(model: dict[str, Any]) -> list[str]:
    return [
        "plan:",
        f"  model   {model['parameters']:,} parameters: {model['layers']} layers, width {model['hidden_size']}, vocabulary "
        f"{model['vocabulary']:,}; {size(model['kv_bytes_per_token'])} of keys and values per token",
        f"          (shape: {model['shape']})",
        *(
            [f"  trains  adapters of {model['adapter']:,} parameters, {model['adapter'] / model['parameters']:.2%}"]
            if model["adapter"]
            else []
        ),
    ]


def _memory(memory: dict[str, Any]) -> list[str]:
    """The table: a line per part, a column per phase in which it is on the GPU."""
    parts = memory["parts"]
    width = max(len(part["part"]) for part in parts)
    head = f"  {'part'.ljust(width)}  " + "  ".join(phase.rjust(10) for phase in PHASES) + "  how"
    where = f"{memory['gpus']} x {memory['gpu']}" if "gpu" in memory else f"{memory['gpus']} device(s)"
    rows = [f"  memory per GPU, {where}, {memory['dtype']}, ZeRO-{memory['zero_stage']}, offload {memory['offload']}:", head]
    for part in parts:
        cells = "  ".join((size(part["bytes"]) if phase in part["phases"] else "-").rjust(10) for phase in PHASES)
        rows.append(f"  {part['part'].ljust(width)}  {cells}  {part['formula']}")
    rows.append(f"  {'sum'.ljust(width)}  " + "  ".join(size(memory["phases"][phase]).rjust(10) for phase in PHASES))
    if "fits" in memory:
        verdict = "fits" if memory["fits"] else "DOES NOT FIT"
        rows.append(
            f"  {verdict}: the largest phase needs {size(memory['peak'])} of {size(memory['room'])} "
            f"({size(memory['gpu_memory'])} less plan.reserve)"
            + ("" if memory["fits"] else "; try more GPUs, deepspeed.zero_stage=3, deepspeed.offload, a smaller micro-batch")
        )
    else:
        rows.append(f"  the largest phase needs {size(memory['peak'])}; whether that fits: plan.gpu=NAME plan.gpus=N")
    if memory["host"]:
        rows.append(f"  host memory for offload: {size(memory['host'])} per GPU")
    return rows


def _work(work: dict[str, float]) -> list[str]:
    total = work["sampling_flops"] + work["scoring_flops"] + work["update_flops"]
    return [
        f"  per step  {work['responses']:,} responses, {work['response_tokens']:,.0f} response and "
        f"{work['prompt_tokens']:,.0f} prompt tokens read",
        f"            {_flops(total)}: sampling {_flops(work['sampling_flops'])}, scoring {_flops(work['scoring_flops'])} "
        f"({work['scoring_passes']} passes), update {_flops(work['update_flops'])}",
    ]


def _time(time: dict[str, Any]) -> list[str]:
    if not time:
        return []
    seconds = time["seconds"]
    phases = ", ".join(f"{name} {seconds[name]:,.1f} s" for name in seconds if name != "step" and seconds[name])
    return [
        f"  estimate  {seconds['step']:,.1f} s per step ({phases}), {time['run_hours']:,.1f} h for the run",
        f"            model-FLOPs utilisation of the update {time['model_flops_utilisation']:.0%}",
        *(f"            assumes {says}" for says in time["assumes"]),
        "",
    ]


def _launch(found: dict[str, Any]) -> list[str]:
    return [f"  launch    {found['launch']}"]


def _flops(count: float) -> str:
    for unit, one in (("EFLOP", 1e18), ("PFLOP", 1e15), ("TFLOP", 1e12), ("GFLOP", 1e9)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count:.0f} FLOP"
