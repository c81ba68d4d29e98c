"""The learning curve by greedy answers and by samples: whose seeds they are, what is written, and what may change on resume."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import WORDS, words

from unified_rl.base.errors import ConfigError
from unified_rl.base.types import GeneratorInfo, Response
from unified_rl.cli import main
from unified_rl.planning import explain
from unified_rl.presets import loading
from unified_rl.records.runs import Run
from unified_rl.stages import world
from unified_rl.stages.curve import Curve
from unified_rl.tasks.tokenizers import word_tokenizer

SAMPLED = ("logging.curve_samples=4", "evaluation.temperature=0.9", "evaluation.top_p=0.8")


class Recording:
    """A generator that keeps what it was asked for, and answers nothing."""

    info = GeneratorInfo(None, "", 100, (0,))

    def __init__(self):
        self.asked = []

    def generate(self, prompts, seeds, decoding, policy_version):
        self.asked.append(({prompt.id: tuple(row) for prompt, row in zip(prompts, seeds, strict=True)}, decoding))
        return [[self._response(seed, decoding) for seed in row] for row in seeds]

    def _response(self, seed, decoding):
        return Response(np.array([0]), np.zeros(1), "stop", 0, decoding, seed, "")


def asked(*more):
    """What a curve asks of the generator at two points."""
    config = loading.load_config(["method=grpo", *WORDS, *more])
    task, generator = world.make_task(config), Recording()
    curve = Curve(config, task, word_tokenizer(task.corpus()), generator)
    entries = [curve.entries(), curve.entries()]
    return generator.asked, entries


def test_a_greedy_curve_is_what_it_was():
    found, ((entry, *_), _) = asked()
    assert all(set(seeds.values()) == {(0,)} and decoding.temperature == 0 for seeds, decoding in found)
    assert list(entry) == ["split", "slice", "problem_ids", "correct"] and entry["correct"] == [0] * 4


def test_draws_belong_to_the_problem_and_the_sample_alone():
    found, ((entry, *_), _) = asked(*SAMPLED)
    count = len(found) // 2
    assert found[:count] == found[count:], "the same at every step"
    others = asked(*SAMPLED, "seed=7", "evaluation.seed=3", "logging.curve_problems=2", "logging.curve_samples=6")[0]
    for (seeds, decoding), (fewer, _) in zip(found[:count], others, strict=False):
        assert len({seed for row in seeds.values() for seed in row}) == 4 * len(seeds), "no two draws share one"
        assert all(row[:4] == seeds[problem] for problem, row in fewer.items())
        assert (decoding.temperature, decoding.top_p, decoding.max_new_tokens) == (0.9, 0.8, 16)
    assert len({row for seeds, _ in found[:count] for row in seeds.values()}) == 4 * count, "nor do slices"
    assert (entry["samples"], entry["temperature"], entry["top_p"], entry["top_k"]) == (4, 0.9, 0.8, 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two methods from one start, measured by samples: their curves, by step."""
    folder = tmp_path_factory.mktemp("sampled")
    found = {}
    for method in ("online_rft", "grpo"):
        assert (
            main(["train", *words(method, folder / method, folder / "artifacts", *SAMPLED, "trainer.learning_rate=0.003")]) == 0
        )
        found[method] = [json.loads(line) for line in (folder / method / "curve.jsonl").read_text().splitlines()]
    return SimpleNamespace(folder=folder, **found)


def test_runs_from_one_start_share_their_first_point(runs):
    first, other = ([entry for entry in curve if entry["step"] == 0] for curve in (runs.online_rft, runs.grpo))
    assert first == other and len(first) == len({entry["slice"] for entry in first})
    shares = [value for entry in runs.online_rft + runs.grpo for value in entry["correct"]]
    assert {value * 4 % 1 for value in shares} == {0.0} and any(0 < value < 1 for value in shares)
    assert len(runs.grpo) == 3 * len(first)


def test_what_shapes_the_samples_cannot_change_on_resume(runs):
    given = words("grpo", runs.folder / "grpo", runs.folder / "artifacts", *SAMPLED, "trainer.learning_rate=0.003")
    for word, refused in (
        ("evaluation.temperature=0.5", True),
        ("evaluation.top_p=0.9", True),
        ("evaluation.samples=2", False),
    ):
        config = loading.as_dict(loading.load_config([*given, word]))
        if refused:
            with pytest.raises(ConfigError, match=word.partition("=")[0]):
                Run.open(runs.folder / "grpo", config, resume=True)
        else:
            Run.open(runs.folder / "grpo", config, resume=True).close()


def test_greedy_samples_are_refused_and_explain_says_what_a_curve_is_of():
    with pytest.raises(ConfigError, match=r"logging\.curve_samples=4 samples at evaluation\.temperature=0"):
        loading.load_config(["method=grpo", "logging.curve_samples=4", "evaluation.temperature=0"])
    with pytest.raises(ConfigError, match=r"logging\.curve_samples"):
        loading.load_config(["method=grpo", "logging.curve_samples=-1"])
    said = [explain._writes(loading.load_config(["method=grpo", *more]))["learning curve"] for more in ((), SAMPLED)]
    assert said[0].endswith("problems per slice") and said[1].endswith(
        "problems per slice, 4 samples, T=0.9, top_p=0.8 of each"
    )
