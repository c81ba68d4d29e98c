"""SFT on a mix of files in three forms and two languages: composition, masks, learning, exact resume, and the 4K rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from unified_rl.cli import main
from unified_rl.loop.rollout import collate
from unified_rl.loop.surrogate import SurrogateLoss, aggregation_weights
from unified_rl.models.forward import response_logps
from unified_rl.models.policy_model import load_policy
from unified_rl.packing.packed_rows import pack
from unified_rl.presets import chain, loading
from unified_rl.records.artifacts import ArtifactStore
from unified_rl.sources import MixedDemonstrations
from unified_rl.stages import demonstrations
from unified_rl.stages.chain import stage


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files in three forms and two languages, and a task whose problems are not looked at."""
    root = tmp_path_factory.mktemp("mix")
    pairs = [(a, b) for a in range(2, 7) for b in range(3, 7)]
    write(
        root / "train.jsonl",
        [
            {"question": f"Ann has {a} and gets {b}. How many?", "solution": f"{a}+{b}={a + b}.", "answer": f"{a + b}"}
            for a, b in pairs
        ],
    )
    cot = [{"question": f"What is {a}+{b}?", "solution": f"{a}+{b}={a + b}. So \\boxed{{{a + b}}}."} for a, b in pairs]
    long = {"question": "What is long?", "solution": "one and " * 200}
    write(root / "cot_en.jsonl", [*cot, cot[0], {"question": "What?", "solution": " "}, long])
    write(
        root / "cot_zh.jsonl",
        [{"query": f"{a}加{b}等于多少？", "response": f"{a}+{b}={a + b}。答案是{a + b}。"} for a, b in pairs],
    )
    write(
        root / "pot.jsonl",
        [{"problem": f"{a} times {b}?", "output": f"```python\nprint({a} * {b})\n```"} for a, b in pairs[:10]],
    )
    write(
        root / "tool.jsonl",
        [
            {"problem": f"{a} minus {b}?", "output": f"```python\nprint({a} - {b})\n```\n```output\n{a - b}\n```\nSo {a - b}."}
            for a, b in pairs[:10]
        ],
    )
    return root


def words(folder, *more):
    parts = (
        f"{{path: {folder / 'cot_en.jsonl'}}}",
        f"{{path: {folder / 'cot_zh.jsonl'}, language: zh, weight: 0.5}}",
        f"{{path: {folder / 'pot.jsonl'}, form: program_of_thought, weight: 2}}",
        f"{{path: {folder / 'tool.jsonl'}, form: tool_integrated}}",
    )
    return [
        "task=gsm8k",
        "task.template=deepseek",
        f"data.path={folder / 'train.jsonl'}",
        f"data.demonstrations=[{', '.join(parts)}]",
        "data.context_tokens=320",
        f"artifacts={folder / 'artifacts'}",
        "init=base",
        "model.hidden_size=48",
        "model.num_heads=2",
        "model.num_layers=1",
        "model.intermediate_size=64",
        "model.vocabulary=400",
        "rollout.prompts_per_step=8",
        "rollout.responses_per_prompt=1",
        "trainer.learning_rate=0.003",
        "trainer.row_tokens=320",
        "logging.curve_problems=0",
        "logging.checkpoint_every=4",
        "logging.samples=0",
        "threads=1",
        *more,
    ]


def metrics(run_dir):
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def stored(folder, *more):
    """The configuration, its base model, and its stored demonstrations."""
    config = loading.load_config(["method=sft", *words(folder, *more)])
    config = replace(config, data=replace(config.data, prompts=config.sft.demonstrations))
    at, _ = demonstrations.compose(config)
    base = stage(config, chain.root(config)).build(ArtifactStore(folder / "artifacts")).path
    model, tokenizer = load_policy(base)
    return config, model, tokenizer, demonstrations.load_demonstrations(config, at)


def test_the_composition_counts_right(folder, capsys):
    assert main(["compose-data", *words(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["records"] == 23 + 20 + 10 + 10
    assert found["total"]["examples"] == 60
    assert found["dropped"] == {"no question or no solution": 1, "repeated": 1, "too long": 1}
    assert [part["examples_per_epoch"] for part in found["parts"]] == [20, 10, 20, 10]
    assert {name: form["examples"] for name, form in found["by_form"].items()} == {
        "chain_of_thought": 40,
        "program_of_thought": 10,
        "tool_integrated": 10,
    }
    assert {name: language["examples"] for name, language in found["by_language"].items()} == {"en": 40, "zh": 20}
    assert [part["tool_output_tokens"] > 0 for part in found["parts"]] == [False, False, False, True]
    assert found["epoch"]["examples"] == 60
    assert found["epoch"]["tokens"] <= found["epoch"]["rows"] * 320
    assert main(["compose-data", *words(folder)]) == 0
    text = capsys.readouterr().out
    assert "left out: 1 too long" in text
    assert main(["compose-data", "stack=tiny"]) == 2
    assert "data.demonstrations" in capsys.readouterr().err


def test_masked_tokens_have_no_say(folder):
    """The gradient of an SFT step on tool-integrated demonstrations is that of a loss over the written tokens alone."""
    config, model, tokenizer, found = stored(folder)
    items = [found.item(index, tokenizer) for index in np.flatnonzero(found.part == 3)[:4]]
    source = MixedDemonstrations(
        type("Fixed", (), {"items": lambda self, step: range(len(items))})(), lambda index: items[index]
    )
    groups = source.draw(0, 0).groups
    rollout = collate(groups, "cpu", process=False, pairs=False)
    mask_BT = rollout.inputs.response_mask_BT
    assert (~mask_BT).any()
    coefficient = config.coefficient
    inputs = coefficient.prepare(rollout.inputs)
    weights_B = aggregation_weights("sequence_mean", inputs, 1, "keep")
    (packed,) = pack(rollout.sequences, row_tokens=2048, micro_batch_tokens=8192)

    def gradient(targets_N):
        model.zero_grad()
        logp_N, entropy_N = response_logps(model, replace(packed, targets_N=targets_N))
        outputs = {"logp": packed.scatter(logp_N, mask_BT.shape[1]), "entropy": packed.scatter(entropy_N, mask_BT.shape[1])}
        SurrogateLoss(coefficient, inputs, weights_B)(outputs, packed.members()).backward()
        return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])

    masked_N = ~packed.gather(mask_BT)
    right = gradient(packed.targets_N)
    others = torch.where(masked_N, (packed.targets_N + 7) % 100 + 5, packed.targets_N)
    assert torch.equal(right, gradient(others)), "the targets of tool outputs reach the gradient"
    wrong = torch.where(masked_N, packed.targets_N, (packed.targets_N + 7) % 100 + 5)
    assert not torch.allclose(right, gradient(wrong))


def test_it_learns_and_resumes_exactly(folder, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert main(["train", "method=sft", *words(folder, "trainer.steps=24"), f"run_dir={whole}"]) == 0
    found = metrics(whole)
    losses = [entry["loss"] for entry in found]
    assert np.mean(losses[-4:]) < 0.7 * losses[0]
    assert main(["train", "method=sft", *words(folder, "trainer.steps=4"), f"run_dir={parted}"]) == 0
    assert main(["train", "method=sft", *words(folder, "trainer.steps=8"), f"run_dir={parted}", "resume=true"]) == 0
    assert metrics(parted) == found[:8]


def test_steps_of_rows_go_through_the_sft_stage(folder, tmp_path):
    """The paper's way: a step is a number of filled rows; here inside `init=sft`, before a GRPO run of no steps."""
    more = ["data.batch=rows", "init=sft", "sft.steps=2", "sft.sequences_per_step=3", "sft.demonstrations=0", "data.prompts=0"]
    more += ["rollout.responses_per_prompt=2"]
    run = tmp_path / "run"
    assert main(["train", "method=grpo", *words(folder, *more, "trainer.steps=0"), f"run_dir={run}"]) == 0
    (stage,) = (folder / "artifacts" / "sft").glob("[!.]*")
    config, _, tokenizer, found = stored(folder, "data.batch=rows", "sft.demonstrations=0", "rollout.prompts_per_step=3")
    items = demonstrations.batches(config, found).items(0)
    assert found.lengths[items].sum() <= 3 * 320
    assert metrics(stage)[0]["groups/count"] == len(items)
    written = sum(int(found.item(index, tokenizer)[1].response_mask is None) for index in items)
    assert 0 < written <= len(items)


def test_a_graded_reward_is_refused(folder, capsys):
    assert main(["explain", "method=sft", *words(folder, "coefficient=rft", "reward=rule", "reward.supervision=outcome")]) == 2
    assert "nobody grades" in capsys.readouterr().err
