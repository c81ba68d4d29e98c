"""What a whole GRPO step is measured on: a random model with a tokenizer in Hugging Face's format, and word problems."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from unified_rl.base import rng
from unified_rl.bench.gpu.models import dtype_on, random_model, shape_named

PROBLEMS = 512
#: No id of the problems' tokenizer beyond this; what a random model of a larger vocabulary draws is no text, as fits its weights.
TOKENS = 8192
_NAMES = ("Ada", "Ben", "Chen", "Dina", "Emil", "Fay", "Goran", "Hana", "Ivan", "Jun")
_THINGS = ("apples", "pencils", "marbles", "tickets", "cards", "stamps", "coins", "bottles")


def write_world(folder: Path, name: str, device: torch.device) -> None:
    """Write `model/` (weights and tokenizer of a shape) and `data/train.jsonl`, `data/test.jsonl` (GSM8K's fields)."""
    problems = [_problem(index) for index in range(PROBLEMS)]
    data = folder / "data"
    data.mkdir(parents=True)
    for split, rows in (("train", problems), ("test", problems[:40])):
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shape = shape_named(name)
    model = random_model(shape, dtype_on(device), device)
    model.save_pretrained(folder / "model")
    _tokenizer(problems, min(TOKENS, shape.vocabulary)).save_pretrained(folder / "model")


def _problem(index: int) -> dict[str, str]:
    """A word problem of a few sentences, some sixty to a hundred tokens, and its answer in GSM8K's form."""
    random = rng.generator(0, "bench_gpu_problem", index)
    who = [_NAMES[i] for i in random.permutation(len(_NAMES))[:3]]
    what = _THINGS[int(random.integers(len(_THINGS)))]
    a, b, c = (int(n) for n in random.integers(2, 90, 3))
    question = (
        f"{who[0]} has {a} {what} in a box. On Monday {who[1]} brings {b} more {what}, and on Tuesday {who[2]} counts all of them "
        f"twice and then adds {c} {what} from the shelf. How many {what} are there in the box when {who[2]} has finished?"
    )
    return {"question": question, "answer": f"{a} + {b} = {a + b}. {a + b} + {c} = {a + b + c}.\n#### {a + b + c}"}


def _tokenizer(problems: list[dict[str, str]], size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE on the problems' own text."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator((row["question"] + row["answer"] for row in problems), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", padding_side="left")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    return tokenizer
