"""Sources declare what they provide: legality, remedies, words and documentation follow from the declarations, for any name."""

from __future__ import annotations

import itertools
import json
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import environment, keep_order, words

from unified_rl.base.errors import ConfigError
from unified_rl.cli import main
from unified_rl.methods import COEFFICIENTS
from unified_rl.presets import match, rules
from unified_rl.presets.loading import compose, load_config
from unified_rl.sources import page, registry
from unified_rl.sources.declaration import Writer
from unified_rl.sources.registry import SOURCES, WRAPPERS, declared

DOCS = Path(__file__).parents[2] / "docs" / "sources.md"
SETTINGS = (
    [],
    ["importance=truncated"],
    ["generator.top_p=0.9"],
    ["rollout.epochs=2"],
    ["rollout.staleness=1", "importance=masked"],
    ["data.slices=[main]"],
    ["task.stop=[END]"],
)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


def trained(run_dir, artifacts, method, *more):
    assert main(["train", *words(method, run_dir, artifacts, *more)]) == 0
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def with_axes(config, source, coefficient, wrappers=()):
    options = COEFFICIENTS[coefficient](name=coefficient)
    aggregation = replace(config.aggregation, name="pair_mean" if "pairs" in options.needs else "sequence_mean")
    section = replace(config.source, name=source, wrappers=list(wrappers))
    return replace(config, coefficient=options, aggregation=aggregation, source=section)


@pytest.mark.parametrize("more", SETTINGS, ids=" ".join)
def test_every_remedy_that_a_refusal_names_is_one(more):
    """Each source or coefficient that a refusal offers is accepted in its place."""
    config, offered = compose(["method=grpo", *more]), 0
    for source, coefficient in itertools.product(SOURCES, COEFFICIENTS):
        kind = COEFFICIENTS[coefficient]
        if "reward_parts" in kind.needs or config.reward.supervision not in kind.supervisions or kind.by_losses:
            continue  # refused for its reward or for want of a loss, whatever the source
        if config.reward.supervision not in COEFFICIENTS[coefficient].supervisions:
            continue  # refused for what is judged, whatever the source
        given = with_axes(config, source, coefficient)
        try:
            rules.check(given)
        except ConfigError as error:
            _, _, remedies = str(error).partition("; set ")
            assert remedies, f"{source}, {coefficient}: no remedy in {error}"
            for axis, name in re.findall(r"\b(source|coefficient)=(\w+)", remedies):
                others = {"source": source, "coefficient": coefficient, axis: name}
                if match.legal(given):
                    continue  # refused for another reason than its source
                offered += 1
                wrapped = re.search(r", with source\.wrappers=\[([\w,]+)\]", remedies) if axis == "source" else None
                rules.check(with_axes(config, **others, wrappers=wrapped[1].split(",") if wrapped else ()))
            for names in re.findall(r"(?:^|, or )source\.wrappers=\[([\w,]+)\](?! and)", remedies):
                offered += 1
                rules.check(with_axes(config, source, coefficient, names.split(",")))
    assert offered


def test_the_documentation_has_the_declared_tables():
    text = DOCS.read_text()
    for table in (page.sources_table(), page.wrappers_table()):
        assert table in text, f"docs/sources.md is not what the sources declare; put this in:\n{table}"


@pytest.mark.parametrize("name", SOURCES)
def test_every_declaration_is_whole(name):
    source = SOURCES[name]
    assert source.name == name
    assert source.in_words.startswith("q")
    assert source.what
    assert source.by


@pytest.mark.parametrize(
    ("given", "hints"),
    [
        (["source.wrappers=[pairz]"], ["pairz", "did you mean 'pairs'"]),
        (["method=sft", "source.wrappers=[pairs]"], ["several responses", "source=online_samples"]),
        (["method=dpo", "source.wrappers=[pairs]"], ["preference_pairs does not provide"]),
        (["method=dpo", "source=online_samples", "source.wrappers=[pairs,informative]"], ["leave informative out"]),
        (["method=rft", "source.wrappers=[refreshed]"], ["samples of the current policy", "source=online_samples"]),
        (["method=grpo", "source.wrappers=[pairs]"], ["cannot use", "coefficient=dpo"]),
        (
            ["method=dpo", "source=online_samples", "source.wrappers=[pairs]", "generator.top_p=0.9"],
            ["source=preference_pairs"],
        ),
        (["method=dpo", "source=online_samples", "source.wrappers=[pairs]", "rollout.responses_per_prompt=1"], ["at least 2"]),
        (["method=online_rft", "source.wrappers=[refreshed]", "generator=vllm"], ["set generator=torch"]),
        (["method=online_rft", "source=tree_search", "source.wrappers=[informative]", "task.stop=[END]"], ["straddles"]),
        (["method=grpo", "source=tree_search", "source.wrappers=[informative]"], ["nobody knows how likely"]),
        (["method=grpo", "source.wrappers=[mixed]", "source.mixed_with=demonstration"], ["did you mean 'demonstrations'"]),
        (["method=grpo", "source.wrappers=[mixed]", "source.mixed_with=demonstrations"], ["no policy wrote", "coefficient="]),
        (["method=grpo", "source.wrappers=[mixed]", "source.mixed_responses=8"], ["leaves no response", "fewer than 8"]),
        (
            ["method=online_rft", "source.wrappers=[mixed]", "source.mixed_with=demonstrations", "source.mixed_responses=2"],
            ["demonstrations has 1"],
        ),
        (["method=sft", "source.wrappers=[mixed]"], ["several responses", "source=online_samples"]),
        (["method=grpo", "source.mixed_responses=2"], ["mixed"]),
        (["method=grpo", "source.max_rounds=5"], ["informative_samples"]),
        (["method=grpo", "source.samples_per_prompt=5"], ["offline_samples"]),
    ],
)
def test_compositions_are_refused_where_something_is_missing(given, hints):
    with pytest.raises(ConfigError) as refused:
        load_config(given)
    for hint in hints:
        assert hint in str(refused.value)


def test_a_composition_and_its_name_are_the_same_run(tmp_path, artifacts):
    """The named sources are compositions: asked for by their parts, the metrics are the same bit for bit."""
    for name, method, parts in (
        ("pairs", "dpo", ["source=offline_samples", "source.wrappers=[pairs]"]),
        ("informative", "dapo", ["source=online_samples", "source.wrappers=[informative]"]),
        ("refreshed", "online_rft", ["source=online_samples", "source.wrappers=[refreshed]", "source.refresh_every=2"]),
    ):
        named = ["source=refreshed_samples", "source.refresh_every=2"] if name == "refreshed" else []
        assert trained(tmp_path / name, artifacts, method, *named) == trained(
            tmp_path / f"{name}_parts", artifacts, method, *parts
        )


@pytest.mark.parametrize(
    ("inside", "beside", "writer", "stored", "logp"),
    [
        ("online_samples", "offline_samples", Writer.FROZEN, False, True),
        ("online_samples", "demonstrations", Writer.DATA, False, False),
        ("offline_samples", "online_samples", Writer.FROZEN, False, True),
        ("offline_samples", "demonstrations", Writer.DATA, True, False),
    ],
)
def test_a_mixture_provides_what_both_of_its_sources_do(inside, beside, writer, stored, logp):
    mixture = declared(
        compose(["method=grpo", f"source={inside}", "source.wrappers=[mixed]", f"source.mixed_with={beside}"]).source
    )
    assert (mixture.provides.writer, mixture.provides.stored, mixture.provides.logp) == (writer, stored, logp)
    assert bool(mixture.provides.unknown_probability) == (writer is Writer.DATA)
    assert set(SOURCES[inside].artefacts) | set(SOURCES[beside].artefacts) == set(mixture.artefacts)


def test_groups_of_two_sources_are_trained_on(tmp_path, artifacts):
    """Stored samples among the policy's own, and its solutions among a prompt's samples, filtered as any source is."""
    mixed = ["source.wrappers=[mixed]", "source.mixed_responses=2"]
    steps = trained(tmp_path / "stored", artifacts, "grpo", *mixed, "rollout.responses_per_prompt=4")
    own = trained(tmp_path / "own", artifacts, "grpo", "rollout.responses_per_prompt=4")
    assert 0 < steps[0]["tokens/sampled"] < own[0]["tokens/sampled"]
    assert steps[0]["tokens/trained"] > steps[0]["tokens/sampled"]
    written = ["source.wrappers=[mixed,informative]", "source.mixed_with=demonstrations"]
    assert trained(tmp_path / "written", artifacts, "online_rft", *written)


ONLINE_DPO = ("source=online_samples", "source.wrappers=[pairs]")


def test_online_dpo_is_a_configuration(tmp_path, artifacts):
    metrics = trained(tmp_path / "run", artifacts, "dpo", *ONLINE_DPO, "trainer.learning_rate=0.01", "trainer.steps=12")
    assert metrics[-1]["tokens/sampled"] > 0
    paired = [entry for entry in metrics if entry["groups/count"] > 0]
    assert paired[0]["sampler/staleness_max"] == 0, "the pairs are the current policy's own"
    assert abs(paired[0]["kl/k3"]) < 1e-6
    assert max(abs(entry["kl/k1"]) for entry in paired) > 1e-3, "nothing was learnt"


def test_filtered_trees_hold_better_and_worse_leaves(tmp_path, artifacts):
    more = ("source=tree_search", "source.wrappers=[informative]", "source.roots=1", "rollout.responses_per_prompt=6")
    metrics = trained(tmp_path / "run", artifacts, "online_rft", *more)
    assert all(entry["groups/zero_variance"] == 0 for entry in metrics if entry["groups/count"] > 1)


@pytest.mark.parametrize("more", [("source.wrappers=[refreshed,pairs]", "source.refresh_every=3"), ("rollout.staleness=2",)])
def test_a_wrapped_source_goes_on_as_if_it_had_not_stopped(tmp_path, artifacts, more):
    """The state of a source inside is part of a checkpoint, whatever is around it."""
    method = "dpo" if "pairs" in more[0] else "grpo"
    source = ["source=online_samples"] if method == "dpo" else ["source=refreshed_samples", "source.refresh_every=3"]
    given = [*source, *more, "trainer.steps=6", *(["importance=truncated"] if method == "grpo" else [])]
    whole = trained(tmp_path / "whole", artifacts, method, *given)
    trained(tmp_path / "part", artifacts, method, *given, "trainer.steps=2")
    assert trained(tmp_path / "part", artifacts, method, *given, "resume=true") == whole


def test_a_source_can_be_renamed_at_run_time(tmp_path, artifacts, monkeypatch, request):
    """No code knows a source by its name: under another name everything about it works, and the old one is unknown."""
    keep_order(registry.SOURCES, request)
    for old, new, more in (
        ("online_samples", "on_policy", ["method=grpo"]),
        ("preference_pairs", "preferences", ["method=dpo"]),
    ):
        with monkeypatch.context() as patch:
            before = trained(tmp_path / old, artifacts, more[0].partition("=")[2], *more[1:])
            patch.setitem(registry.SOURCES, new, replace(registry.SOURCES[old], name=new))
            patch.delitem(registry.SOURCES, old)
            renamed = trained(tmp_path / new, artifacts, more[0].partition("=")[2], *more[1:], f"source={new}")
            assert renamed == before
            config = load_config([*more, f"source={new}"])
            assert declared(config.source).provides == declared(replace(config.source, name=new)).provides
            assert new in page.sources_table()
            with pytest.raises(ConfigError, match=f"source.name='{old}' is not known"):
                load_config([*more, f"source={old}"])


REFUSALS = (
    ["method=dpo", "source=online_samples"],
    ["method=grpo", "source=demonstrations"],
    ["method=sft", "source.wrappers=[pairs]"],
    ["method=gropo"],
    ["trainer.learning_rat=1"],
)


@pytest.mark.parametrize("given", REFUSALS, ids=" ".join)
def test_a_bad_configuration_is_refused_before_torch_is_imported(given):
    code = (
        "import sys\nfrom unified_rl.cli import main\nstatus = main(sys.argv[1:])\n"
        "print(status, *(name for name in ('torch', 'transformers', 'pandas') if name in sys.modules))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "run_dir=nowhere", *given],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=100,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.split() == ["2"], done.stdout
    assert done.stderr.startswith("error: ")
    spent = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    assert spent < 2, f"{spent:.2f} CPU-seconds"


def test_wrappers_are_all_in_the_registry():
    assert {name: wrapper.name for name, wrapper in WRAPPERS.items()} == {name: name for name in WRAPPERS}
