"""LoRA on a model in Hugging Face format, and the result for others. `python examples/lora.py [FOLDER]`  Needs the extra `lora`."""

import sys
from pathlib import Path

from five_lines import close
from tiny import SMALL, sums

import unified_rl as ur
from unified_rl.cli import main as unified_rl


def main(folder: Path) -> None:
    settings = {"data": sums(folder / "qa.csv"), "artifacts": str(folder / "artifacts"), **SMALL}
    # A stand-in for the model that you would fetch (hf download OWNER/NAME --local-dir DIR): a small one, trained on solutions.
    base = ur.train(folder / "base", method="sft", init="base", **{**settings, "steps": 60})
    unified_rl(["export", f"run={base.path}", f"out={folder / 'model'}"])

    lora = {"path": str(folder / "model"), "lora": {"rank": 8}}
    options = {**settings, "model": lora, "init": "base", "trainer": {"learning_rate": 1e-3}}
    run = ur.train(folder / "lora", method="grpo", reward=close, steps=8, **options)
    print(run.metrics[["step", "reward/mean", "kl/k3"]].tail(1).to_string(index=False))
    plan = [line.strip() for line in run.explain().splitlines()]
    print(*(line for line in plan if line.startswith(("trains", "reference: weights"))), sep="\n")
    policy = sorted((folder / "lora" / "checkpoints").glob("step_*"))[-1] / "policy"
    print(sorted(file.name for file in policy.iterdir()))
    unified_rl(["export", f"run={run.path}", f"out={folder / 'adapter'}"])
    unified_rl(["export", f"run={run.path}", "merged=true", f"out={folder / 'merged'}"])

    from peft import AutoPeftModelForCausalLM

    model = AutoPeftModelForCausalLM.from_pretrained(folder / "adapter")
    merged = sorted(file.name for file in (folder / "merged").iterdir())
    print(f"{type(model).__name__} of rank {model.peft_config['default'].r}; merged: {merged}")


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "lora")
    place.mkdir(exist_ok=True)
    main(place)
