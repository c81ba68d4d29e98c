"""Rollouts ahead of training: which weights wrote which batch, the metrics that say so, and a resumed run that is the same."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from tiny import words

from unified_rl.base.errors import ConfigError, DataError, TrainingError
from unified_rl.base.types import Decoding, Draw, Group, Problem, Prompt, Response, Score, ScoredResponse
from unified_rl.cli import main
from unified_rl.presets.loading import load_config
from unified_rl.sources import AheadOfTraining

PROMPT = Prompt(Problem("p", "", ""), (1, 2))


class Written:
    """A source whose one response tells the step it is for and the version that wrote it."""

    def draw(self, step, policy_version):
        logp = np.array([-0.1, -1 / 3], dtype=np.float32)
        response = Response(
            np.array([step, 9]), logp, "stop", policy_version, Decoding(0.7), 2**62 + step, "é\u2028", logp > -0.2
        )
        score = Score(1 / 3, "correct", "7", None, np.array([0.1], dtype=np.float32), np.array([1]), accepted=False)
        return Draw([Group(PROMPT, (ScoredResponse(response, score),))], 2)


def facts(draw):
    (one,) = draw.groups[0].responses
    return int(one.response.token_ids[0]), one.response.policy_version


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_the_batch_of_a_step_was_written_by_the_weights_of_an_earlier_one(staleness):
    source = AheadOfTraining(Written(), [PROMPT], staleness)
    for step in range(5, 15):  # version 100 + step: the weights before step `step`
        assert facts(source.draw(step, 100 + step)) == (step, 100 + max(5, step - staleness))


class Slow(Written):
    """A source that writes a batch for later only when it is let."""

    def __init__(self):
        self.may_write = threading.Event()

    def draw(self, step, policy_version):
        if step != policy_version:
            assert self.may_write.wait(20), "the batch for later was not drawn beside what follows"
        return super().draw(step, policy_version)


def test_beside_the_training_the_same_batches_are_drawn_while_it_goes_on(tmp_path):
    slow, begun = Slow(), []
    source = AheadOfTraining(slow, [PROMPT], 1, begin=lambda: begun.append(len(begun)))
    for step in range(5):
        assert facts(source.draw(step, step)) == (step, max(0, step - 1))  # returns before the next batch is written
        slow.may_write.set()  # "an update"
        source.settle()
        slow.may_write.clear()
    assert begun == [0, 1, 2, 3, 4], "the sampler is brought to the present weights once per step"
    slow.may_write.set()
    source.draw(5, 5)
    source.save(tmp_path / "source")  # waits for the batch of step 6
    resumed = AheadOfTraining(Written(), [PROMPT], 1, begin=lambda: None)
    resumed.load(tmp_path / "source")
    assert facts(resumed.draw(6, 6)) == (6, 5)
    source.close()
    resumed.close()


def test_an_error_beside_the_training_ends_the_next_draw():
    class Broken(Written):
        def draw(self, step, policy_version):
            if step == 1:
                raise TrainingError("the engine died")
            return super().draw(step, policy_version)

    source = AheadOfTraining(Broken(), [PROMPT], 1, begin=lambda: None)
    source.draw(0, 0)
    with pytest.raises(TrainingError, match="the engine died"):
        source.draw(1, 1)
    source.close()


def test_what_waits_survives_a_checkpoint_whole(tmp_path):
    first, second = (AheadOfTraining(Written(), [PROMPT], 2) for _ in range(2))
    first.draw(0, 0)
    first.save(tmp_path / "source")
    second.load(tmp_path / "source")
    for step in (1, 2, 3):
        one, other = first.draw(step, step), second.draw(step, step)
        assert facts(one) == facts(other)
        assert one.sampled_tokens == other.sampled_tokens
        a, b = one.groups[0].responses[0], other.groups[0].responses[0]
        for x, y in ((a.response, b.response), (a.score, b.score)):
            for name in x.__dataclass_fields__:
                left, right = getattr(x, name), getattr(y, name)
                assert np.array_equal(left, right) and getattr(left, "dtype", None) == getattr(right, "dtype", None), name
    third = AheadOfTraining(Written(), [], 2)
    with pytest.raises(DataError, match="no training prompt any more"):
        third.load(tmp_path / "source")


AHEAD = ("rollout.staleness=2", "importance=truncated", "trainer.learning_rate=0.01", "logging.checkpoint_every=1")


def metrics_of(folder, artifacts, *more):
    assert main(["train", *words("grpo", folder, artifacts, *AHEAD, *more)]) == 0
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_records_its_staleness_and_resumes_bit_for_bit(tmp_path):
    whole = metrics_of(tmp_path / "whole", tmp_path / "artifacts", "trainer.steps=5")
    assert [entry["sampler/staleness_max"] for entry in whole] == [0, 1, 2, 2, 2]
    assert [entry["sampler/staleness_mean"] for entry in whole] == [0, 1, 2, 2, 2]
    assert whole[0]["importance/mean"] == pytest.approx(1.0, abs=1e-5)
    assert whole[4]["importance/mean"] != pytest.approx(1.0, abs=1e-4), "older weights wrote it"
    assert whole[4]["sampler/max_logp_difference"] > 1e-3
    assert all(entry["ratio/clip_fraction"] == 0 for entry in whole)
    metrics_of(tmp_path / "halted", tmp_path / "artifacts", "trainer.steps=3")
    metrics_of(tmp_path / "halted", tmp_path / "artifacts", "trainer.steps=5", "resume=true")
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert (tmp_path / "halted" / name).read_text().splitlines()[-1] == (
            tmp_path / "whole" / name
        ).read_text().splitlines()[-1]
    assert (tmp_path / "halted" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("method=grpo",), "set importance=truncated or importance=masked"),
        (("method=online_rft",), "nothing weighs them"),
        (("method=rft", "importance=truncated"), "does not sample the current policy"),
        (("method=dpo",), "does not sample the current policy"),
    ],
)
def test_staleness_that_nothing_corrects_is_refused(more, says):
    with pytest.raises(ConfigError, match=says):
        load_config([*more, "rollout.staleness=1"])
