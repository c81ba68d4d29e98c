"""How base models are asked: the styles, and how many worked examples each benchmark takes.

The numbers of `PAPER` are those of DeepSeekMath's own evaluation code (github.com/deepseek-ai/DeepSeek-Math at b8b0f8c, folders
`evaluation/configs` and `evaluation/few_shot_prompts`), which made Tables 1 to 3: greedy, at most 1,024 new tokens, stopping where
the next example would begin. Its examples are those of the chain-of-thought, PAL and Minerva papers and its authors' own, and are
not copied here: ours are `worked_examples`, as many and of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.base.errors import ConfigError
from unified_rl.base.plugins import did_you_mean
from unified_rl.tasks.templates import FEW_SHOT, LETTERS

COT, POT, BY_LETTER = "chain_of_thought", "program_of_thought", "letter_likelihood"


@dataclass(frozen=True)
class Style:
    """task.solution and task.template of a style, and the most tokens of an answer."""

    solution: str
    template: str
    max_new_tokens: int


STYLES = {
    "cot": Style(COT, FEW_SHOT, 1024),
    "pot": Style(POT, FEW_SHOT, 1024),
    "letters": Style(BY_LETTER, LETTERS, 8),
}
#: Benchmark and style -> worked examples.
PAPER = {
    ("gsm8k", "cot"): 8,
    ("gsm8k", "pot"): 8,
    ("math", "cot"): 4,
    ("math", "pot"): 4,
    ("ocw", "cot"): 4,
    ("sat_math", "cot"): 4,
    ("mmlu_stem", "cot"): 4,
    ("cmath", "cot"): 6,
    ("gaokao_mathcloze", "cot"): 5,
    ("gaokao_mathqa", "cot"): 5,
}
#: What the paper does not have, as like as may be: MATH-500 as MATH, MGSM as GSM8K; letters as is usual for MMLU.
OURS = {
    ("math500", "cot"): 4,
    ("math500", "pot"): 4,
    ("mgsm_zh", "cot"): 8,
    ("mgsm_zh", "pot"): 8,
    ("mmlu_stem", "letters"): 5,
    ("gaokao_mathqa", "letters"): 5,
    ("sat_math", "letters"): 4,
}


def style_of(name: str) -> Style:
    """Raises ConfigError where there is no such style."""
    if name not in STYLES:
        raise ConfigError(f"style={name!r} is unknown{did_you_mean(name, list(STYLES))}; choose one of {', '.join(STYLES)}")
    return STYLES[name]


def shots_of(task: str, style: str) -> tuple[int, str]:
    """Worked examples of a benchmark where none are asked for, and whose choice that is ("paper" or "our choice"); 0 means all."""
    if (task, style) in PAPER:
        return PAPER[task, style], "paper"
    return OURS.get((task, style), 0), "our choice"
