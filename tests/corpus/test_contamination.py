"""Decontamination: planted texts are found whatever their spelling, an independent matcher finds nothing left, hits say why."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("xxhash", reason="the extra corpus is not installed")

from brute_force import contaminated, split
from crawl import MATHS, OTHERS, text_of, words
from hypothesis import given
from hypothesis import strategies as st

from unified_rl.base.errors import ConfigError
from unified_rl.corpus.benchmark_texts import KNOWN, BenchmarkText, missing, texts_of
from unified_rl.corpus.contamination import BenchmarkIndex
from unified_rl.corpus.grams import grams, ngram_hashes
from unified_rl.corpus.settings import Decontamination

LONG = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
LATEX = r"Let $x$ be real with $\dfrac{x+1}{x^2-3x+2} \leq \left( \frac{5}{7} \right)^2$ and $\sqrt{x}\geq 4$; find $x$."
CHINESE = "小明有五个苹果，他给了小红两个苹果，请问小明现在还剩下几个苹果？"
SHORT = "Compute $\\sin 0$."
TEXTS = [BenchmarkText(name, "question", text) for name, text in (("a", LONG), ("b", LATEX), ("c", CHINESE), ("d", SHORT))]
INDEX = BenchmarkIndex(TEXTS, Decontamination())
#: What a copy may look like after the named normalisation.
SPELLINGS = [
    LONG,
    LONG.upper(),
    "  " + LONG.replace(" ", " \t\u3000 ").replace(",", ";"),
    "He asked: " + LONG + " And then?",
    LATEX.replace(r"\dfrac", r"\tfrac").replace("$", "").replace(r"\left", "").replace(r"\right", "").replace(r"\leq", r"\le"),
    "题目：" + CHINESE.replace("，", ", ") + "请回答。",
    CHINESE.translate({ord("五"): "五"}).replace("苹果", "苹 果"),
]
PARAPHRASES = [
    "In April Natalia's friends bought 48 clips from her; in May she sold only half of that number.",
    "小明原来有5个苹果。送给小红两个以后，他手里还有多少？",
    r"Find all real $x$ for which $(x+1)/((x-1)(x-2))$ is at most $25/49$ and $x \ge 16$.",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("where", ["alone", "within"])
def test_a_planted_question_goes_and_its_neighbours_stay(spelling, where):
    rng = np.random.default_rng(1)
    before, after = text_of(rng, False, 2), text_of(rng, False, 2)
    left, hits = INDEX.clean(spelling if where == "alone" else f"{before}\n{spelling}\n{after}")
    assert left == ("" if where == "alone" else f"{before}\n{after}")
    assert [hit.rule for hit in hits] == ["run"]
    assert hits[0].segment == spelling[:300] and hits[0].benchmark in "abc"
    assert hits[0].grams in " ".join(split(spelling)) and hits[0].grams in " ".join(
        split(TEXTS["abc".index(hits[0].benchmark)].text)
    )


@pytest.mark.parametrize("text", PARAPHRASES)
def test_paraphrases_are_missed_as_the_rule_has_it(text):
    assert INDEX.clean(text) == (text, [])
    assert contaminated(text, [one.text for one in TEXTS]) is None


def test_a_short_text_takes_the_whole_page():
    left, (hit,) = INDEX.clean("A page.\nWe are asked to compute\n sin (0), of course.\nMore.")
    assert left is None and hit.rule == "whole text" and hit.grams == "compute sin 0"
    assert INDEX.clean("compute sin 1, compute sin")[1] == []


def test_a_question_over_several_lines_goes_and_so_do_lines_that_meet_when_others_have_gone():
    words_of = LONG.split()
    broken = "\n".join([" ".join(words_of[:7]), " ".join(words_of[7:])])
    assert INDEX.clean(f"first\n{broken}\nlast")[0] == "first\nlast"
    halves = "\n".join([" ".join(words_of[:8]), CHINESE, " ".join(words_of[8:17])])
    left, hits = INDEX.clean(f"first\n{halves}\nlast")
    assert left == "first\nlast" and len(hits) == 3


def test_texts_of_fewer_than_three_grams_are_not_looked_for():
    index = BenchmarkIndex([BenchmarkText("x", "question", "Why me?")], Decontamination())
    assert index.unused == 1 and index.clean("Why me? Why me? Why me?")[1] == []


def test_a_collision_of_hashes_drops_nothing(monkeypatch):
    monkeypatch.setattr(
        "unified_rl.corpus.contamination.ngram_hashes", lambda hashes, n: np.zeros(max(len(hashes) - n + 1, 0), np.uint64)
    )
    index = BenchmarkIndex(TEXTS[:1], Decontamination())
    text = " ".join(words(np.random.default_rng(0), OTHERS, 40))
    assert index.clean(text) == (text, [])


@given(st.text(alphabet=st.sampled_from("ab1 \n\\{}$_-,,的数カ가éß½²Ⅳ\u00a0Ａ"), max_size=60))
def test_grams_are_those_of_the_independent_reader(text):
    assert grams(text) == split(text)


@given(st.integers(0, 2**32 - 1))
def test_the_brute_force_matcher_finds_nothing_left(seed):
    """Random pages in few words, random benchmark texts of 2 to 14 grams: much is shared, and all of it must go."""
    rng = np.random.default_rng(seed)
    few = MATHS[:2]
    texts = [BenchmarkText(str(at), "q", " ".join(rng.choice(few, size=int(rng.integers(2, 15))))) for at in range(4)]
    texts = [text for text in texts if len(text.text.split()) > 8]
    page = "\n".join(" ".join(rng.choice(few, size=int(rng.integers(1, 12)))) for _ in range(6))
    left, hits = BenchmarkIndex(texts, Decontamination()).clean(page)
    plain = [text.text for text in texts]
    assert bool(hits) == (contaminated(page, plain) is not None)
    assert left is None or contaminated(left, plain) is None
    assert all(f" {hit.grams} " in f" {' '.join(split(page))} " for hit in hits if hit is hits[0])


def test_hashes_of_runs_differ_by_order_and_length():
    hashes = np.arange(1, 40, dtype=np.uint64)
    assert len(np.unique(np.concatenate([ngram_hashes(hashes, n) for n in range(1, 11)]))) == sum(40 - n for n in range(1, 11))
    assert ngram_hashes(hashes[[0, 1]], 2) != ngram_hashes(hashes[[1, 0]], 2)
    assert len(ngram_hashes(hashes, 40)) == 0


@pytest.mark.parametrize(
    ("benchmarks", "hint"),
    [({}, "decontamination.benchmarks is empty"), ({"gsm9k": "x"}, "not a benchmark that is read; known: gsm8k")],
)
def test_benchmarks_that_cannot_be_read_are_refused(benchmarks, hint):
    with pytest.raises(ConfigError, match=hint):
        texts_of(benchmarks)


def test_questions_and_solutions_of_test_splits_are_read(tmp_path):
    from upstream import WRITERS

    row = {"question": "How many?", "answer": "It is <<1+1=2>>2.\n#### 2"}
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n")
    WRITERS["mmlu_stem"](
        [{"question": "Which ring?", "topic": "abstract_algebra", "options": ["Z", "Q"], "answer": "A"}], tmp_path / "mmlu"
    )
    found = texts_of({"gsm8k": str(tmp_path), "mmlu_stem": str(tmp_path / "mmlu")})
    assert [(one.part, one.text) for one in found] == [
        ("question", "How many?"),
        ("solution", "It is <<1+1=2>>2.\n"),
        ("solution without marks", "It is 2.\n"),
        ("question", "Which ring?"),
    ]
    assert missing({"gsm8k": ""}) == [name for name in KNOWN if name != "gsm8k"] and len(KNOWN) == 10
