"""Directories as they are published and as they are left lying about: used rightly, or refused in one line."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import words
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, BertConfig, BertLMHeadModel, GenerationConfig, Phi3Config

from tools.model_checks import check, outcome, tokenizer
from tools.tiny_models import tiny_config, tiny_model
from unified_rl.base.errors import CheckpointError, ConfigError, DataError
from unified_rl.cli import main
from unified_rl.models.forward import response_logps
from unified_rl.models.policy_model import load_policy, load_tokenizer, save_policy
from unified_rl.packing.packed_rows import TokenSequence, pack
from unified_rl.tasks.templates import encode, response_end

TURNS = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_model("llama").save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "model"))


def change(file: Path, **settings):
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def an_adapter_alone(folder):
    for file in (*folder.glob("*.safetensors"), folder / "config.json"):
        file.unlink()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "base"}')


def an_adapter_beside(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"lora": torch.zeros(2)}, folder / "adapter_model.safetensors")


def quantised(folder):
    change(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def a_weight_missing(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.norm.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def no_config(folder):
    (folder / "config.json").unlink()


def a_family_nobody_knows(folder):
    change(folder / "config.json", model_type="llama9000")


def looks_ahead(folder):
    config = BertConfig(vocab_size=104, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    BertLMHeadModel(config).save_pretrained(folder)


def too_many_tokens(folder):
    words_and_more = tokenizer()
    words_and_more.add_tokens([f"more{i}" for i in range(20)])
    words_and_more.save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (an_adapter_alone, "adapter without adapter_model.safetensors"),
        (an_adapter_beside, "an adapter beside it.*merge"),
        (quantised, "quantised weights"),
        (no_weights, "model.safetensors"),
        (a_weight_missing, "1 weights are missing.*model.norm.weight"),
        (no_config, "config.json is missing"),
        (a_family_nobody_knows, "llama9000"),
        (looks_ahead, "looks at later tokens|more between its last hidden state"),
        (too_many_tokens, "tokenizer has 117 tokens"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused_in_a_line_before_a_run_directory_exists(spoil, says, folder, tmp_path, capsys):
    spoil(folder)
    with pytest.raises((CheckpointError, ConfigError), match=says) as caught:
        load_policy(folder)
    assert len(str(caught.value).splitlines()) == 1
    run = tmp_path / "run"
    line = words("sft", run, tmp_path / "artifacts", "init=base", f"model.path={folder}")
    capsys.readouterr()
    assert main(["train", *line]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert not run.exists()


def test_a_generation_config_that_cannot_be_saved_loses_its_sampling_settings_and_keeps_its_ids(folder, tmp_path):
    change(folder / "generation_config.json", do_sample=False, temperature=0.6, top_p=0.9, eos_token_id=[1, 5])
    with pytest.raises(ValueError):
        GenerationConfig.from_pretrained(folder).validate(strict=True)
    model, its_tokenizer = load_policy(folder)
    save_policy(model, its_tokenizer, tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "generation_config.json").read_text())["eos_token_id"] == [1, 5]


def test_an_eos_that_only_the_generation_config_names_ends_demonstrations(folder, tmp_path):
    bare = tokenizer()
    bare.eos_token = None
    bare.save_pretrained(folder)
    change(folder / "config.json", eos_token_id=None)
    change(folder / "generation_config.json", eos_token_id=[1, 5])
    assert load_tokenizer(folder).eos_token_id == 1
    more = ("init=sft", f"model.path={folder}", "sft.steps=2", "trainer.steps=1", "logging.curve_problems=0")
    assert main(["train", *words("grpo", tmp_path / "run", tmp_path / "artifacts", *more)]) == 0


@pytest.mark.parametrize("family", ["gemma3", "gemma4"])
def test_the_text_model_of_a_wrapper_is_trained_and_the_rest_is_left_alone(family, tmp_path):
    assert not outcome(family, tiny_model(family), tmp_path / "model").line
    model, _ = load_policy(tmp_path / "model")
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert frozen
    assert all(".language_model." not in name and "lm_head" not in name for name in frozen)


def test_rotary_positions_that_switch_are_used_up_to_the_switch():
    factors = {"short_factor": [1.0] * 4, "long_factor": [7.0] * 4, "rope_theta": 1e4}
    settings = tiny_config("phi3").to_dict() | {"max_position_embeddings": 64, "original_max_position_embeddings": 32}
    settings["rope_parameters"] = {"rope_type": "longrope", "original_max_position_embeddings": 32, **factors}
    model = AutoModelForCausalLM.from_config(Phi3Config(**settings), dtype=torch.float32).eval()
    check(model, "phi3")
    longest = TokenSequence(np.array([3]), np.full(32, 4))
    response_logps(model, pack([longest])[0])
    with pytest.raises(DataError, match="33 input tokens exceeds the model's original_max_position_embeddings of 32"):
        response_logps(model, pack([TokenSequence(np.array([3]), np.full(33, 4))])[0])


def test_a_family_whose_positions_are_a_bias_only_where_it_says_so(tmp_path):
    """Falcon rotates, or, as its first models, has ALiBi: packed tokens' distances are then none of the row's."""
    config = tiny_config("falcon")
    config.alibi = True
    torch.manual_seed(0)
    found = outcome("falcon", AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval(), tmp_path / "model")
    assert (found.line, found.rows, found.decoding) == ("", "one sequence", "every token again")


def test_a_soft_cap_is_found_while_logits_are_small(tmp_path):
    """Where no logit comes near the cap its effect is below rounding; training would make them grow."""
    model = tiny_model("gemma2")
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1e-4)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded, _ = load_policy(tmp_path)
    with torch.no_grad():
        loaded.get_output_embeddings().weight.mul_(1e6)
    check(loaded, "gemma2")


# ---- chat templates ------------------------------------------------------------------------------------------------------------


def chat(template):
    one = tokenizer()
    one.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    one.chat_template = template
    return one


def problem():
    from unified_rl.base.types import Problem

    return Problem("p", "w5 w6", "")


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('a system message is needed') }}",
        "{% for m in messages %}{{ m.content }",
        "{{ messages[0].content + nobody.knows }}",
        "{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}w3",
        {"tool_use": TURNS, "rag": TURNS},
    ],
    ids=["needs a system message", "broken", "undefined", "leaves the user out", "several without a default"],
)
def test_a_chat_template_that_cannot_render_the_question_is_one_line(template):
    with pytest.raises(ConfigError, match=r"task\.template") as caught:
        encode(problem(), chat(template), "chat")
    assert len(str(caught.value).splitlines()) == 1


def test_under_a_chat_template_a_response_ends_with_its_turn():
    one = chat(TURNS)
    assert response_end(one, "chat") == one.convert_tokens_to_ids("<|im_end|>")
    assert response_end(one, "deepseek") == one.eos_token_id
    assert response_end(chat("{% for m in messages %}{{ m.content }}{% endfor %}"), "chat") == one.eos_token_id


def test_a_prompt_that_holds_the_date_is_kept_as_it_was_rendered(folder, tmp_path):
    """Another day's session would train on other prompts, and its provenance says so."""
    one = chat("{{ 'w' ~ (strftime_now('%d') | int + 40) }} " + TURNS)
    one.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    one.save_pretrained(folder)
    run = tmp_path / "run"
    more = ("init=base", f"model.path={folder}", "task.template=chat", "trainer.steps=1", "logging.curve_problems=0")
    assert main(["train", *words("online_rft", run, tmp_path / "artifacts", *more)]) == 0
    (session,) = json.loads((run / "provenance.json").read_text())["sessions"]
    assert f"w{40 + int(time.strftime('%d'))}" in session["first_prompt"].split()
