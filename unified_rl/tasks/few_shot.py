"""Worked examples for few-shot prompts: our own short ones, or a user's from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.tasks.reading import read_records


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its solution in the wanted format."""

    question: str
    solution: str


def read_examples(path: str | Path, count: int = 0) -> tuple[Example, ...]:
    """The first `count` (0 = all) examples of a file of records with `question` and `solution`.

    Raises:
        DataError: the file cannot be read, a record lacks a field, or there are fewer examples.
    """
    examples = []
    for place, record in read_records(Path(path)):
        for field in ("question", "solution"):
            if not isinstance(record.get(field), str) or not record[field].strip():
                raise DataError(f"{place}: field {field!r} must be a non-empty text, and is {record.get(field)!r:.60}")
        examples.append(Example(record["question"].strip(), record["solution"].strip()))
    if not examples or count > len(examples):
        raise DataError(f"{path} holds {len(examples)} worked examples, and {count or 'some'} are wanted")
    return tuple(examples[: count or None])


def worked_examples(solution: str, language: str, *, choice: bool, count: int = 0) -> tuple[Example, ...]:
    """The first `count` (0 = all) built-in examples.

    Args:
        solution: the solution format. language: "en" or "zh". choice: whether answers are letters of options.

    Raises:
        ConfigError: more are wanted than there are.
    """
    examples = _EXAMPLES[solution, language, choice]
    if count > len(examples):
        raise ConfigError(
            f"task.shots={count}: there are {len(examples)} built-in examples of {solution} ({language}"
            f"{', multiple choice' if choice else ''}); take fewer, or bring your own (task.examples=FILE.jsonl)"
        )
    return examples[: count or None]


def _reasoned(*pairs: tuple[str, str]) -> tuple[Example, ...]:
    return tuple(Example(question, solution) for question, solution in pairs)


def _programs(*pairs: tuple[str, str]) -> tuple[Example, ...]:
    """Examples whose solution is a program."""
    return tuple(Example(question, f"```python\n{program}\n```") for question, program in pairs)


def _tool_use(*parts: tuple[str, str, str, str]) -> tuple[Example, ...]:
    """Examples of (question, program, its output, conclusion)."""
    return tuple(
        Example(question, f"```python\n{program}\n```\n```output\n{output}\n```\n{conclusion}")
        for question, program, output, conclusion in parts
    )


_NUMBERS_EN = (
    (
        "A shelf holds 6 rows of 14 jars. Nine jars break. How many jars are whole?",
        "The shelf holds 6 * 14 = 84 jars. After nine break, 84 - 9 = 75 are whole. The answer is \\boxed{75}.",
    ),
    (
        "A train covers 150 km in 2 hours and then 90 km in 1 hour. What is its mean speed in km per hour?",
        "It covers 150 + 90 = 240 km in 2 + 1 = 3 hours, so its mean speed is 240 / 3 = 80. The answer is \\boxed{80}.",
    ),
    (
        "What is the sum of the solutions of $x^2 - 7x + 10 = 0$?",
        "Since $x^2 - 7x + 10 = (x - 2)(x - 5)$, the solutions are 2 and 5. Their sum is 7. The answer is \\boxed{7}.",
    ),
    (
        "Two fair dice are thrown. What is the probability that the sum is 4?",
        "The sum is 4 for (1, 3), (2, 2) and (3, 1): 3 of 36 cases, and $3/36 = 1/12$. The answer is \\boxed{\\frac{1}{12}}.",
    ),
)
_NUMBERS_ZH = (
    (
        "书架上有6排罐子，每排14个，打碎了9个。还剩多少个完好的罐子？",
        "书架上原有 6 * 14 = 84 个罐子，打碎9个后还剩 84 - 9 = 75 个。答案是 \\boxed{75}。",
    ),
    (
        "一列火车先用2小时行驶150千米，又用1小时行驶90千米。它的平均速度是每小时多少千米？",
        "总路程是 150 + 90 = 240 千米，总时间是 2 + 1 = 3 小时，平均速度是 240 / 3 = 80。答案是 \\boxed{80}。",
    ),
    (
        "方程 $x^2 - 7x + 10 = 0$ 的两根之和是多少？",
        "因为 $x^2 - 7x + 10 = (x - 2)(x - 5)$，两根为2和5，和为7。答案是 \\boxed{7}。",
    ),
    (
        "同时掷两枚均匀的骰子，点数之和为4的概率是多少？",
        "点数之和为4的情形有 (1, 3)、(2, 2)、(3, 1) 三种，共36种，概率为 $3/36 = 1/12$。答案是 \\boxed{\\frac{1}{12}}。",
    ),
)
_CHOICES_EN = (
    (
        "What is the derivative of $x^3$?\nWhich of these options is right? Answer with its letter.\n"
        "(A) $x^2$\n(B) $3x^2$\n(C) $3x$\n(D) $x^4 / 4$",
        "By the power rule the derivative of $x^3$ is $3x^2$, which is option B. The answer is \\boxed{B}.",
    ),
    (
        "If $2y + 3 = 11$, what is $y$?\nWhich of these options is right? Answer with its letter.\n(A) 2\n(B) 3\n(C) 7\n(D) 4",
        "From $2y = 8$ follows $y = 4$, which is option D. The answer is \\boxed{D}.",
    ),
)
_CHOICES_ZH = (
    (
        "函数 $x^3$ 的导数是\n下列选项中哪些正确？请用选项的字母作答。\n(A) $x^2$\n(B) $3x^2$\n(C) $3x$\n(D) $x^4 / 4$",
        "由幂函数求导公式，$x^3$ 的导数是 $3x^2$，即选项B。答案是 \\boxed{B}。",
    ),
    (
        "已知 $2y + 3 = 11$，则 $y=$\n下列选项中哪些正确？请用选项的字母作答。\n(A) 2\n(B) 3\n(C) 7\n(D) 4",
        "由 $2y = 8$ 得 $y = 4$，即选项D。答案是 \\boxed{D}。",
    ),
)
_JARS = "jars = 6 * 14\nbroken = 9\nprint(jars - broken)"
_DICE = (
    "from fractions import Fraction\n\nthrows = [(a, b) for a in range(1, 7) for b in range(1, 7)]\n"
    "print(Fraction(sum(a + b == 4 for a, b in throws), len(throws)))"
)
_ROOTS = "from sympy import solve, symbols\n\nx = symbols('x')\nprint(sum(solve(x**2 - 7 * x + 10, x)))"
_LINEAR = (
    "y = (11 - 3) / 2\noptions = {'A': 2, 'B': 3, 'C': 7, 'D': 4}\nprint(next(name for name in options if options[name] == y))"
)

_EXAMPLES = {
    ("chain_of_thought", "en", False): _reasoned(*_NUMBERS_EN),
    ("chain_of_thought", "zh", False): _reasoned(*_NUMBERS_ZH),
    ("chain_of_thought", "en", True): _reasoned(*_CHOICES_EN),
    ("chain_of_thought", "zh", True): _reasoned(*_CHOICES_ZH),
    **{
        ("program_of_thought", language, False): _programs((jars[0], _JARS), (roots[0], _ROOTS), (dice[0], _DICE))
        for language, (jars, _, roots, dice) in (("en", _NUMBERS_EN), ("zh", _NUMBERS_ZH))
    },
    **{
        ("program_of_thought", language, True): _programs((linear[0], _LINEAR))
        for language, (_, linear) in (("en", _CHOICES_EN), ("zh", _CHOICES_ZH))
    },
    ("tool_integrated", "en", False): _tool_use(
        (_NUMBERS_EN[0][0], _JARS, "75", "75 jars are whole. The answer is \\boxed{75}."),
        (_NUMBERS_EN[3][0], _DICE, "1/12", "The probability is 1/12. The answer is \\boxed{\\frac{1}{12}}."),
    ),
    ("tool_integrated", "zh", False): _tool_use(
        (_NUMBERS_ZH[0][0], _JARS, "75", "还剩75个完好的罐子。答案是 \\boxed{75}。"),
        (_NUMBERS_ZH[3][0], _DICE, "1/12", "概率为 1/12。答案是 \\boxed{\\frac{1}{12}}。"),
    ),
    ("tool_integrated", "en", True): _tool_use((_CHOICES_EN[1][0], _LINEAR, "D", "The answer is \\boxed{D}.")),
    ("tool_integrated", "zh", True): _tool_use((_CHOICES_ZH[1][0], _LINEAR, "D", "答案是 \\boxed{D}。")),
}
