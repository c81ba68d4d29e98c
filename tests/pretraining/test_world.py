"""The made-up world holds what it says it holds."""

from __future__ import annotations

import json
import re
from itertools import islice

import pytest

from unified_rl.config.pretraining import WorldConfig
from unified_rl.corpus.token_files import TokenFile
from unified_rl.models.policy_model import load_tokenizer
from unified_rl.pretraining import world
from unified_rl.tasks.arithmetic import Arithmetic

SMALL = WorldConfig(mathematics=3000, code=2000, general=2000, arxiv=1000, held_out=20)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world.write(SMALL, folder)
    return folder


def texts(written, name):
    tokenizer, file = load_tokenizer(written / world.TOKENIZER), TokenFile(written / name)
    return [tokenizer.decode(file[number].tolist()) for number in range(len(file))]


@pytest.mark.parametrize("name", world.SOURCES)
def test_sources_have_their_size_and_no_word_that_the_tokenizer_does_not_know(written, name):
    tokenizer, file = load_tokenizer(written / world.TOKENIZER), TokenFile(written / name)
    total = int(file.lengths.sum())
    assert getattr(SMALL, name) <= total < getattr(SMALL, name) + 200
    for number in range(len(file)):
        ids = file[number].tolist()
        assert tokenizer.unk_token_id not in ids and ids[-1] == tokenizer.eos_token_id and len(ids) > 5


@pytest.mark.parametrize("option", ["shows_values", "paraphrases"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_programs_show_values_and_paraphrase_as_often_as_asked(option, share):
    options = WorldConfig(**{"shows_values": 0.0, "paraphrases": 0.0, option: share})
    found = list(islice(world.source("code", options), 600))
    shows = [bool(re.search(r"\) # \d", text)) for text in found]
    tells = [text.startswith("# ") for text in found]
    share_of = {"shows_values": shows, "paraphrases": tells}
    assert sum(share_of.pop(option)) / 600 == pytest.approx(share, abs=0.06)
    assert not any(next(iter(share_of.values())))


def test_a_program_computes_what_it_says():
    """Run by Python: it prints the problem's answer, which stands beside the last line where values are shown."""
    for problem in Arithmetic(seed=3).problems("train", 50):
        text, printed = world.program(problem, shows_values=True, paraphrases=True), []
        exec(text, {"print": printed.append})
        assert str(printed[0]) == problem.gold
        assert text.endswith(f"print(x) # {problem.gold}\n")
        assert "=" not in world.program(problem, shows_values=False, paraphrases=False).split("print")[1]


def test_held_out_problems_are_in_no_source(written):
    lines = [json.loads(line) for line in (written / world.MATHEMATICS_HELD_OUT).read_text().splitlines()]
    assert len(lines) == SMALL.held_out
    measured = {"".join(piece["text"] for piece in line["pieces"]).split("\n", 1)[1] for line in lines}
    trained = {text.removesuffix("</s>").split("\n", 1)[1] for text in texts(written, "mathematics")}
    assert not measured & trained, "chains are split by content"
    for line in lines:
        assert {piece.get("kind", "") for piece in line["pieces"]} == {"", "reading", "computing"}


def test_general_and_arxiv_text_hold_no_number():
    for name in ("general", "arxiv"):
        assert not any(re.search(r"\d", text) for text in islice(world.source(name, WorldConfig()), 500))


def test_noise_is_a_share_of_mathematics():
    found = list(islice(world.source("mathematics", WorldConfig(noise=0.4)), 500))
    assert sum("####" not in text for text in found) / 500 == pytest.approx(0.4, abs=0.07)
