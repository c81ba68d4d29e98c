"""What `explain` says of the data that are named: looked at where they are, said to be missing where not."""

import pytest

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.cli import main
from unified_rl.planning import explain
from unified_rl.presets.loading import load_config
from unified_rl.tasks import PROCEDURAL, build_task
from unified_rl.tasks.tokenizers import word_tokenizer


def said(*words):
    return explain.facts(load_config(["method=grpo", *words]))["axes"].get("problems")


def test_columns_and_splits_of_a_file(tmp_path):
    (tmp_path / "qa.csv").write_text("Question,Answer\n" + "".join(f"What is {n}?,{n}\n" for n in range(200)))
    text = said(f"data={tmp_path / 'qa.csv'}")
    assert "questions from 'Question', answers from 'Answer'" in text
    counts = [int(part.split()[-2]) for part in text.split(" by a hash")[0].split(";")[1].split(",")]
    assert len(counts) == 3 and sum(counts) == 200


def test_data_that_are_not_here_or_not_looked_at(tmp_path):
    assert said("data=nothere.csv") == "nothere.csv is not here, so that nothing of it was looked at"
    assert "fetched by the run" in said("data=hub:OWNER/NAME", "task=table")
    assert said() is None
    (tmp_path / "qa.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"qa\.csv"):
        said(f"data={tmp_path / 'qa.csv'}")


def world(*words):
    facts = explain.facts(load_config(["method=grpo", *words]))
    return facts["axes"]["world"], facts["equation"][1].split()[3].rstrip(","), facts["plan"]["model"]


def test_the_task_its_options_and_the_slices_of_its_prompts():
    assert world()[:2] == ("arithmetic, options as they are by default; prompts of slice main", "P_sft(Q)")
    said, prompts, _ = world("task=countdown", "data.slices=[hard]", "task.options.mixed_share=0.3")
    assert (said, prompts) == ("countdown, mixed_share=0.3; prompts of slice hard", "P_hard(Q)")
    said, prompts, _ = world("data.slices=[main,hard]")
    assert said.endswith("prompts of slices main, hard") and prompts == "P_main+hard(Q)"
    assert world("data.slices=[main]")[1] == "P_sft(Q)", "what is demonstrated, said in full"
    assert world("task=gsm8k")[0] == "gsm8k, options as they are by default; prompts of its first slice"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=countdown", "task.options.mixed_shar=0.3"], "Did you mean 'mixed_share'"),
        (["task=countdown", "task.options.mixed_share=3"], "mixed_share=3 must lie between"),
        (["data.slices=[easy]"], "'easy', which task arithmetic does not have"),
    ],
)
def test_a_task_that_is_made_here_is_checked(words, message):
    with pytest.raises(ConfigError, match=message):
        world(*words)


@pytest.mark.parametrize("name", PROCEDURAL)
def test_the_vocabulary_of_a_world_is_counted(name):
    model = world(f"task={name}")[2]
    assert model["vocabulary"] == len(word_tokenizer(build_task(name).corpus())) < 100
    assert model["shape"].endswith(f"the vocabulary is that of task {name}")
    assert world("task=gsm8k")[2]["shape"].endswith("the vocabulary is at most 2048")
    assert world("model.tokenizer=world:tokenizer")[2]["shape"].endswith("the vocabulary is at most 2048")


def test_a_world_without_pages_of_pre_training_is_refused():
    with pytest.raises(ConfigError, match=r"task=countdown has no pages of pre-training.*set task=arithmetic"):
        load_config(["method=grpo", "mix=tiny", "task=countdown"])
    load_config(["method=grpo", "mix=tiny"])


@pytest.mark.parametrize("name", ["after_pretraining", "code_or_general"])
def test_a_grid_of_pre_training_is_refused_there_in_one_line(name, capsys):
    assert main(["grid", name, "task=countdown", "--dry-run"]) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: task=countdown has no pages") and said.err.count("\n") == 1
