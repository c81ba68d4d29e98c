"""The claims of the paper's section 5.2: what the shipped tables say of each, beside the paper's own plotted points.

    unified-rl claims [EXPERIMENT ...] [out=analysis/CLAIMS.md]

EXPERIMENT is a folder of tables (`statistics.grid_table`, `statistics.contrasts`, `statistics.iterations`), or one with a folder
`tables`; without any, all those in experiments/results. Only tables are read: no runs, nothing is computed again.
"""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unified_rl.base.errors import DataError
from unified_rl.statistics import paper_effects
from unified_rl.statistics.evidence import (
    AT_CEILING,
    CEILING,
    MARGIN,
    TABLES,
    ArmId,
    Experiment,
    Finding,
    counted_once,
    coverage_findings,
    first_round_findings,
    pair_findings,
    renewal_findings,
)
from unified_rl.statistics.grid_file import NOT_STATED
from unified_rl.statistics.paper_effects import Effect
from unified_rl.statistics.planning import holm

#: In the repository, which is where the command is run without naming folders.
SHIPPED, OUT = Path("experiments/results"), Path("analysis/CLAIMS.md")
COMMAND = "unified-rl claims"
NOT_MEASURED = "not measured yet"
#: The K of the paper's Figure 7 that its Maj@K and Pass@K claims are read at.
PAPER_K = 64


def _arm(label: str, *words: str) -> ArmId:
    return ArmId(frozenset(words), label)


SFT = _arm("SFT")
RFT, ONLINE_RFT = _arm("RFT", "method=rft"), _arm("Online RFT", "method=online_rft")
GRPO, GRPO_PS = _arm("GRPO+OS", "method=grpo"), _arm("GRPO+PS", "method=grpo_ps")
STORED = _arm("Stored samples", "method=online_rft", "source=offline_samples")
NEVER_REFRESHED = _arm("Never refreshed", "method=online_rft", "source=refreshed_samples", "source.refresh_every=0")
AT_RFT_RATE = _arm("Online RFT, RFT's rate", "method=online_rft", "trainer.learning_rate=1e-4")
LEARNED, NOISY = ("reward=model",), ("reward.false_positive=0.2", "reward.false_negative=0.2")
GRPO_SLOW = _arm("GRPO+OS, learned, slow", "method=grpo", *LEARNED, "trainer.learning_rate=3e-5")
#: The methods as they are, each at its own learning rate; and what differs in the samples only, at one rate for both (grid
#: `online_vs_offline`): the stored samples, and fresh samples of the start policy.
ONLINE_PAIRS = ((ONLINE_RFT, RFT), (ONLINE_RFT, STORED), (AT_RFT_RATE, RFT), (ONLINE_RFT, NEVER_REFRESHED))
GRPO_LEARNED, PS_LEARNED = (
    _arm("GRPO+OS, learned", "method=grpo", *LEARNED),
    _arm("GRPO+PS, learned", "method=grpo_ps", *LEARNED),
)
GRPO_NOISY, PS_NOISY = _arm("GRPO+OS, noisy", "method=grpo", *NOISY), _arm("GRPO+PS, noisy", "method=grpo_ps", *NOISY)
SUPERVISION_PAIRS = ((GRPO_PS, GRPO), (PS_LEARNED, GRPO_LEARNED), (PS_LEARNED, GRPO_SLOW), (PS_NOISY, GRPO_NOISY))


@dataclass(frozen=True)
class Claim:
    """One claim. says: the paper's, in our words. by: the metric that it is judged by. measured: what stands for it. built_in: what
    the first world decides by construction.
    """

    key: str
    says: str
    by: str
    measured: str
    built_in: str
    ours: Callable[[Sequence[Experiment]], list[Finding]]
    paper: Callable[[], list[Effect]]


CLAIMS = (
    Claim(
        key="a",
        says="Online beats offline: Online RFT above RFT.",
        by="greedy accuracy",
        measured="greedy accuracy on test problems after the last step; Online RFT minus RFT at each one's swept learning rate, "
        "and at one rate for both: against the same stored samples (`Stored samples`; `RFT's rate`), and against fresh samples of "
        "the start policy (`Never refreshed`)",
        built_in="The stored samples are the start policy's own, the rule that picks the right ones makes no mistakes, and a "
        "run has "
        "few updates: the policy has little time to leave the samples behind. The paper's curves, too, part late.",
        ours=lambda found: pair_findings(found, ONLINE_PAIRS, "greedy"),
        paper=lambda: paper_effects.curve_difference("Online RFT", "RFT"),
    ),
    Claim(
        key="b",
        says="Differential coefficients beat uniform ones: GRPO above Online RFT.",
        by="greedy accuracy",
        measured="greedy accuracy on test problems after the last step, GRPO+OS minus Online RFT, each at its own swept "
        "learning rate",
        built_in="The reward is the rule's 0 or 1, without error: what GRPO adds to Online RFT here is the sign (wrong "
        "answers are "
        "pushed down) and a weight by how rare right answers are in the group, not the graded score of a reward model.",
        ours=lambda found: pair_findings(found, [(GRPO, ONLINE_RFT)], "greedy"),
        paper=lambda: paper_effects.curve_difference("GRPO+OS", "Online RFT"),
    ),
    Claim(
        key="c",
        says="Process supervision beats outcome supervision: GRPO+PS above GRPO+OS.",
        by="greedy accuracy",
        measured="greedy accuracy on test problems after the last step, GRPO+PS minus GRPO+OS; exact: the task's step checker "
        "and the "
        "rule; learned: reward models; noisy: a fifth of the exact judgements turned over",
        built_in="The step checker is exact, where the paper's process reward is a learned model: the world gives process "
        "supervision more than the paper had. Each arm has the learning rate that the sweep with exact rewards chose, which is "
        "smaller for GRPO+PS: with learned rewards, where a fast policy is a harmed one, `learned, slow` is GRPO+OS at that "
        "rate.",
        ours=lambda found: pair_findings(found, SUPERVISION_PAIRS, "greedy"),
        paper=lambda: paper_effects.curve_difference("GRPO+PS", "GRPO+OS"),
    ),
    Claim(
        key="d1",
        says="Iterative RL helps: after the reward model is renewed, training gains on training with the old one.",
        by="greedy accuracy, validation",
        measured="greedy accuracy on validation problems, iteration i minus iteration i - 1 going on as its control, at the "
        "last step that both have; of runs that renew reward model and reference, as Algorithm 1 does, and harm neither",
        built_in="The reward models are as small as the policy and learn above all which problems are hard; among answers to "
        "one "
        "problem they tell right from wrong hardly better than chance (experiments/LOG.md). There is much to over-optimise in "
        "such "
        "a reward, and little that renewing could add.",
        ours=renewal_findings,
        paper=lambda: [*paper_effects.iteration_difference(1), *paper_effects.iteration_difference(2)],
    ),
    Claim(
        key="d2",
        says="Most of what iterating gains comes with the first round.",
        by="greedy accuracy, validation",
        measured="gain of iteration 1 minus gain of iteration 2, each over its control, of the same runs",
        built_in="As above; and a claim on where a gain comes from needs a gain.",
        ours=first_round_findings,
        paper=paper_effects.first_minus_second,
    ),
    Claim(
        key="e1",
        says="RL raises Maj@K: GRPO above the SFT policy.",
        by="Maj@K",
        measured="Maj@K on test problems at the largest K, GRPO+OS minus SFT",
        built_in="The demonstrator slips in known places with stated probabilities, so the SFT policy knows the right way "
        "beside the "
        "wrong one: there is concentration to be gained, and the rule rewards exactly that.",
        ours=lambda found: pair_findings(found, [(GRPO, SFT)], "maj"),
        paper=lambda: paper_effects.sampled_difference("maj", PAPER_K),
    ),
    Claim(
        key="e2",
        says="RL does not raise Pass@K: GRPO not above the SFT policy.",
        by="Pass@K",
        measured=f"Pass@K on test problems at the largest K, GRPO+OS minus SFT, against a margin of {100 * MARGIN:g} points; "
        "only on "
        f"slices where the SFT policy's Pass@K is below {100 * CEILING:g} %",
        built_in="What the SFT policy never does right is arithmetic that a policy of this size has not learned (long chains, "
        "carries over several digits): without a right sample, a reward has nothing to reinforce.",
        ours=lambda found: coverage_findings(found, (GRPO, SFT)),
        paper=lambda: paper_effects.sampled_difference("pass", PAPER_K),
    ),
)


def document(experiments: Sequence[Experiment]) -> str:
    """CLAIMS.md, whole."""
    found = judged(experiments)
    sections = [_section(claim, found[claim.key]) for claim in CLAIMS]
    parts = [_head(found), _summary(found), *sections, _sources(experiments)]
    return "\n\n".join(parts) + "\n"


def judged(experiments: Sequence[Experiment]) -> dict[str, list[Finding]]:
    """Key of a claim -> its tests, each once, with p-values adjusted over those of all claims."""
    found = {claim.key: counted_once(claim.ours(experiments)) for claim in CLAIMS}
    flat = [finding for findings in found.values() for finding in findings]
    adjusted = iter(holm([np.nan if finding.p is None else finding.p for finding in flat]) if flat else ())
    return {key: [_adjusted(finding, next(adjusted)) for finding in findings] for key, findings in found.items()}


def _adjusted(finding: Finding, p_holm: float) -> Finding:
    return replace(finding, p_holm=None if np.isnan(p_holm) else float(p_holm))


def standing(found: Mapping[str, Sequence[Finding]]) -> tuple[list[Finding], int]:
    """The tests of all claims whose verdicts stand after Holm's correction, and how many tests there are."""
    flat = [finding for findings in found.values() for finding in findings]
    return [finding for finding in flat if finding.stands], sum(finding.p is not None for finding in flat)


#: Of a row of `in_brief`: a claim, its metric, its verdict, how many of its tests stand, their start policies.
BRIEF = ("claim", "by", "test by test", "stand after Holm", "starts")


def in_brief(found: Mapping[str, Sequence[Finding]]) -> list[list[str]]:
    """Per claim what `BRIEF` names."""
    of_claims = [(claim, found[claim.key]) for claim in CLAIMS]
    return [[claim.says, claim.by, _in_brief(ours), _after_holm(ours), _starts(ours)] for claim, ours in of_claims]


def _after_holm(findings: Sequence[Finding]) -> str:
    return _by_world(findings, lambda ours: f"{sum(one.stands for one in ours)} of {len(_tested(ours))}") or "-"


def _tested(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict != AT_CEILING]


def _by_world(findings: Sequence[Finding], words: Callable[[Sequence[Finding]], str]) -> str:
    """Words on the tests of each world, which are not of one another; other worlds than the first are named."""
    worlds = dict.fromkeys(sorted(finding.world for finding in findings))
    each = {world: words([finding for finding in findings if finding.world == world]) for world in worlds}
    return "; ".join((f"{world}: " if world else "") + said for world, said in each.items())


def _starts(findings: Sequence[Finding]) -> str:
    return " or ".join(str(starts) for starts in sorted({finding.starts for finding in findings})) or "-"


def _head(found: Mapping[str, Sequence[Finding]]) -> str:
    stand, tests = standing(found)
    text = [
        "# The claims of the paper's section 5.2, on the tiny world",
        f"Generated by `{COMMAND}` from the tables in `experiments/results`; do not edit. Paper: DeepSeekMath (arXiv "
        "2402.03300).",
        _wrapped(
            "Effects are differences of accuracy in percentage points, with 95 % intervals over problems and training seeds "
            "(crossed), paired by both. *Supports*: the interval excludes 0 in the paper's direction; *contradicts*: it "
            "excludes 0 "
            f"against it; otherwise *cannot tell*. A claim that something does not rise is supported where the interval lies "
            "below "
            f"+{100 * MARGIN:g} points and contradicted where it lies above; the margin and the ceiling rule are constants in "
            "`unified_rl/statistics/evidence.py` with their reasons. Each slice is judged by itself."
        ),
        _wrapped(
            f"Verdicts are per test and not adjusted; of {tests} tests at 5 %, about {0.05 * tests:.0f} would be decided by chance "
            "if nothing were true. The column *p (Holm)* is adjusted for all of them together: at most 0.05, and the verdict "
            f"stands even so, which goes for {len(stand)}. Where a table has no p-value it is read off the interval, with the "
            "seeds' degrees of freedom, which below 0.05 may give up to a fifth less than the test itself. *Starts*: how many "
            "SFT policies the seeds started from, each with its own stored samples and reward models. With one, seeds change "
            "prompt order and sampling alone, and the interval is conditional on that policy; with as many as seeds, it speaks of "
            "others. Claims are read by the metric that each states, most by greedy answers, one to a problem as in the paper's "
            "curves; the ablations' primary contrasts (docs/results.md) take the mean over samples, which can go the other way."
        ),
        _wrapped(
            "The paper's numbers come from its plotted points (`unified_rl/statistics/reference`): one run each, no seeds. Their "
            "intervals are over checkpoints of that run (moving blocks) or over problems, and say nothing about other runs; they "
            "are therefore not comparable to ours in width, and no verdict is given on them."
        ),
        *([_wrapped(_ELSEWHERE)] if _worlds(itertools.chain(*found.values())) else []),
    ]
    return "\n\n".join(text)


_ELSEWHERE = (
    "Slices with words behind them, as in `main (task=NAME)`, are of another world, to which these words of the command took the "
    "grid; its main and hard problems are none of the first world's, and each world has a verdict of its own."
)


def _worlds(findings: Iterable[Finding]) -> list[str]:
    """Other worlds than the first that these are of."""
    return sorted({finding.world for finding in findings} - {""})


def _summary(found: Mapping[str, Sequence[Finding]]) -> str:
    lines = ["| | claim | tiny world, test by test | stand after Holm | paper's points |", "|---|---|---|---|---|"]
    for claim in CLAIMS:
        ours = found[claim.key]
        paper = "; ".join(f"{_comparison(claim, effect)}{effect.benchmark} {_points(effect)}" for effect in claim.paper())
        lines.append(f"| {claim.key} | {claim.says} | {_in_brief(ours)} | {_after_holm(ours)} | {paper} |")
    return "\n".join(["## Summary", "", *lines])


def _comparison(claim: Claim, effect: Effect) -> str:
    """Which comparison of the paper's it is, where the claim has several."""
    return f"{effect.comparison}, " if len({other.comparison for other in claim.paper()}) > 1 else ""


def _in_brief(findings: Sequence[Finding]) -> str:
    """The verdict, and the numbers where they are few."""
    return _by_world(findings, _verdict_and_numbers) or verdict_of(findings)


def _verdict_and_numbers(findings: Sequence[Finding]) -> str:
    tested = _tested(findings)
    numbers = "; ".join(f"{finding.slice} {_points(finding)}, {_seeds(finding.seeds)}" for finding in tested)
    return verdict_of(findings) + (f": {numbers}" if 1 <= len(tested) <= 2 else "")


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def verdict_of(findings: Sequence[Finding]) -> str:
    """The verdicts of a claim's tests in one world in words, strongest first."""
    tested = _tested(findings)
    if not tested:
        return f"**{NOT_MEASURED}**" if not findings else f"**{AT_CEILING}**: every slice is at its ceiling"
    counts = Counter(finding.verdict for finding in tested)
    if len(counts) == 1:
        tests = {1: "the one test", 2: "both tests"}.get(len(tested), f"all {len(tested)} tests")
        return f"**{tested[0].verdict}** ({tests})"
    return (
        "**mixed**: "
        + ", ".join(f"{verdict} in {count}" for verdict, count in counts.most_common())
        + f" of {len(tested)} tests"
    )


def _section(claim: Claim, findings: Sequence[Finding]) -> str:
    ours = [
        "| experiment | difference | slice | effect [95 %] | seeds | starts | problems | p | p (Holm) | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for finding in findings:
        verdict = finding.verdict + (f" ({finding.note})" if finding.note else "")
        words = [
            finding.experiment,
            finding.comparison,
            finding.place,
            _points(finding),
            str(finding.seeds),
            str(finding.starts),
        ]
        ours.append(f"| {' | '.join([*words, str(finding.problems), _p(finding.p), _p(finding.p_holm), verdict])} |")
    paper = ["| paper | benchmark | effect [95 %] | over |", "|---|---|---|---|"]
    for effect in claim.paper():
        paper.append(f"| {effect.comparison} | {effect.benchmark} | {_points(effect)} | {_over(claim, effect)} |")
    missing = [f"No table here compares these: {NOT_MEASURED}."]
    blocks = [
        f"## ({claim.key}) {claim.says}",
        _wrapped(f"Verdict: {_by_world(findings, verdict_of) or verdict_of(findings)}. Measured: {claim.measured}."),
        "\n".join(ours if findings else missing),
        "\n".join(paper),
        _wrapped(f"Built in by construction{_of_the_first_world(findings)}: {claim.built_in}"),
    ]
    return "\n\n".join(blocks)


def _of_the_first_world(findings: Sequence[Finding]) -> str:
    """That what is built in was said of the first world, where findings are of another one too."""
    worlds = _worlds(findings)
    return f" of the first world (nothing is said of what is built in with {', '.join(worlds)})" if worlds else ""


def _over(claim: Claim, effect: Effect) -> str:
    """What the paper's interval is over, and where the rule for ceilings would leave the benchmark out."""
    if claim.key == "e2" and effect.baseline is not None and effect.baseline >= CEILING:
        return f"{effect.over}; at its ceiling ({100 * effect.baseline:.1f} %)"
    return effect.over


def _sources(experiments: Sequence[Experiment]) -> str:
    lines = ["| experiment | tables | matching rule | seeds | made by |", "|---|---|---|---|---|"]
    for experiment in experiments:
        facts = experiment.provenance
        rule, seeds = facts.get("matching", NOT_STATED), " ".join(str(seed) for seed in facts.get("seeds", [])) or "-"
        words = str(
            facts.get("command", "?")
        ).split()  # whole in the table's first line; before `unified-rl` it was `python -m MODULE`
        command = " ".join(words[: 3 if words[0] == "python" else 2])
        lines.append(f"| {experiment.name} | {', '.join(experiment.tables)} | {rule} | {seeds} | `{command}` |")
    return "\n".join(["## Sources", "", *lines])


def _points(found: Finding | Effect) -> str:
    return f"{100 * found.estimate:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, width=128, break_on_hyphens=False, break_long_words=False)


def shipped_experiments() -> list[Path]:
    """The folders in experiments/results that hold tables on any claim, by name. Raises DataError where there is none."""
    if not SHIPPED.is_dir():
        raise DataError(f"there is no folder {SHIPPED} here; name the folders of tables: unified-rl claims FOLDER ...")
    folders = [place for path in sorted(SHIPPED.iterdir()) if path.is_dir() for place in (path, *sorted(path.iterdir()))]
    return [place for place in folders if any((place / name).exists() for name in TABLES)]


def write(text: str, out: Path) -> None:
    """Write the document. Raises DataError where that cannot be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another with out=FILE") from error
