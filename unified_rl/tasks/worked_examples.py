"""The built-in worked examples, written for this project: as many as the paper's few-shot prompts have (`few_shot_protocol`).

The same questions in every format, so that formats differ in nothing else. Numbers are checked by a test: every program runs, and
every form of an example comes to the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from unified_rl.tasks.options import choice_question, letter_question


@dataclass(frozen=True, slots=True)
class Example:
    """A question with its solution in the wanted format."""

    question: str
    solution: str


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
    (
        "A dough for 4 people takes 300 g of flour. How many grams does a dough for 10 people take?",
        "Each person takes 300 / 4 = 75 g, so 10 people take 10 * 75 = 750 g. The answer is \\boxed{750}.",
    ),
    (
        "Mia's book has 250 pages. She reads 24 pages a day for 5 days, then 30 pages a day for 3 days. How many pages are left?",
        "She reads 24 * 5 = 120 pages and then 30 * 3 = 90 pages, 120 + 90 = 210 in all. There are 250 - 210 = 40 left. "
        "The answer is \\boxed{40}.",
    ),
    (
        "A coat costs 40 euros. Its price is lowered by 25% and later raised by 10%. What does it cost then, in euros?",
        "Lowered by 25% it costs 40 * 0.75 = 30 euros, and raised by 10% it costs 30 * 1.1 = 33. The answer is \\boxed{33}.",
    ),
    (
        "A garden is 3 m longer than it is wide, and the fence around it is 26 m long. What is its area in square metres?",
        "With width $w$ the fence is $2(w + w + 3) = 26$, so $2w + 3 = 13$ and $w = 5$. The area is 5 * 8 = 40. "
        "The answer is \\boxed{40}.",
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
    (
        "做4个人的面团要300克面粉。做10个人的面团要多少克面粉？",
        "每人要 300 / 4 = 75 克，10人要 10 * 75 = 750 克。答案是 \\boxed{750}。",
    ),
    (
        "小美的书有250页。她先5天每天读24页，再3天每天读30页。还剩多少页？",
        "先读了 24 * 5 = 120 页，又读了 30 * 3 = 90 页，共 120 + 90 = 210 页，还剩 250 - 210 = 40 页。答案是 \\boxed{40}。",
    ),
    (
        "一件外套40元，先降价25%，后来又涨价10%。现在是多少元？",
        "降价25%后是 40 * 0.75 = 30 元，再涨价10%是 30 * 1.1 = 33 元。答案是 \\boxed{33}。",
    ),
    (
        "一个长方形花园的长比宽多3米，围栏长26米。它的面积是多少平方米？",
        "设宽为 $w$，则 $2(w + w + 3) = 26$，所以 $2w + 3 = 13$，$w = 5$。面积是 5 * 8 = 40。答案是 \\boxed{40}。",
    ),
)
#: Stem, options, reasoning, letter.
_CHOICES_EN = (
    (
        "What is the derivative of $x^3$?",
        ("$x^2$", "$3x^2$", "$3x$", "$x^4 / 4$"),
        "By the power rule the derivative of $x^3$ is $3x^2$, which is option B. The answer is \\boxed{B}.",
        "B",
    ),
    (
        "If $2y + 3 = 11$, what is $y$?",
        ("2", "3", "7", "4"),
        "From $2y = 8$ follows $y = 4$, which is option D. The answer is \\boxed{D}.",
        "D",
    ),
    (
        "What is 15% of 80?",
        ("8", "10", "12", "15"),
        "15% of 80 is 0.15 * 80 = 12, which is option C. The answer is \\boxed{C}.",
        "C",
    ),
    (
        "How many edges does a cube have?",
        ("12", "8", "6", "10"),
        "Four edges lie at the top, four at the bottom and four between them: 12, which is option A. The answer is \\boxed{A}.",
        "A",
    ),
    (
        "What is the area of a triangle of base 6 and height 7?",
        ("42", "21", "13", "26"),
        "The area is 6 * 7 / 2 = 21, which is option B. The answer is \\boxed{B}.",
        "B",
    ),
)
_CHOICES_ZH = (
    (
        "函数 $x^3$ 的导数是",
        ("$x^2$", "$3x^2$", "$3x$", "$x^4 / 4$"),
        "由幂函数求导公式，$x^3$ 的导数是 $3x^2$，即选项B。答案是 \\boxed{B}。",
        "B",
    ),
    (
        "已知 $2y + 3 = 11$，则 $y=$",
        ("2", "3", "7", "4"),
        "由 $2y = 8$ 得 $y = 4$，即选项D。答案是 \\boxed{D}。",
        "D",
    ),
    (
        "80的15%是",
        ("8", "10", "12", "15"),
        "80的15%是 0.15 * 80 = 12，即选项C。答案是 \\boxed{C}。",
        "C",
    ),
    (
        "正方体有多少条棱？",
        ("12", "8", "6", "10"),
        "上下两面各四条，中间四条，共12条，即选项A。答案是 \\boxed{A}。",
        "A",
    ),
    (
        "底为6、高为7的三角形的面积是",
        ("42", "21", "13", "26"),
        "面积是 6 * 7 / 2 = 21，即选项B。答案是 \\boxed{B}。",
        "B",
    ),
)
_DICE = (
    "from fractions import Fraction\n\nthrows = [(a, b) for a in range(1, 7) for b in range(1, 7)]\n"
    "print(Fraction(sum(a + b == 4 for a, b in throws), len(throws)))"
)
#: Of each question of numbers, in the order of the questions.
_PROGRAMS = (
    "jars = 6 * 14\nbroken = 9\nprint(jars - broken)",
    "distance = 150 + 90\nhours = 2 + 1\nprint(distance // hours)",
    "from sympy import solve, symbols\n\nx = symbols('x')\nprint(sum(solve(x**2 - 7 * x + 10, x)))",
    _DICE,
    "grams_each = 300 / 4\nprint(round(grams_each * 10))",
    "pages = 250\nread = 24 * 5 + 30 * 3\nprint(pages - read)",
    "from fractions import Fraction\n\nprice = 40 * Fraction(75, 100) * Fraction(110, 100)\nprint(price)",
    "from sympy import solve, symbols\n\nw = symbols('w')\nwidth = solve(2 * (w + w + 3) - 26, w)[0]\nprint(width * (width + 3))",
)
_LINEAR = (
    "y = (11 - 3) / 2\noptions = {'A': 2, 'B': 3, 'C': 7, 'D': 4}\nprint(next(name for name in options if options[name] == y))"
)
_LANGUAGES = {"en": (_NUMBERS_EN, _CHOICES_EN), "zh": (_NUMBERS_ZH, _CHOICES_ZH)}


def _chosen(language: str, place: int) -> str:
    stem, options, _, _ = _LANGUAGES[language][1][place]
    return choice_question(stem, options, language)


EXAMPLES = {
    **{("chain_of_thought", name, False): _reasoned(*numbers) for name, (numbers, _) in _LANGUAGES.items()},
    **{
        ("chain_of_thought", name, True): _reasoned(
            *((choice_question(stem, options, name), reasoning) for stem, options, reasoning, _ in choices)
        )
        for name, (_, choices) in _LANGUAGES.items()
    },
    **{
        ("letter_likelihood", name, True): _reasoned(
            *((letter_question(stem, options, name), letter) for stem, options, _, letter in choices)
        )
        for name, (_, choices) in _LANGUAGES.items()
    },
    **{
        ("program_of_thought", name, False): _programs(
            *((question, program) for (question, _), program in zip(numbers, _PROGRAMS, strict=True))
        )
        for name, (numbers, _) in _LANGUAGES.items()
    },
    **{("program_of_thought", name, True): _programs((_chosen(name, 1), _LINEAR)) for name in _LANGUAGES},
    ("tool_integrated", "en", False): _tool_use(
        (_NUMBERS_EN[0][0], _PROGRAMS[0], "75", "75 jars are whole. The answer is \\boxed{75}."),
        (_NUMBERS_EN[3][0], _DICE, "1/12", "The probability is 1/12. The answer is \\boxed{\\frac{1}{12}}."),
    ),
    ("tool_integrated", "zh", False): _tool_use(
        (_NUMBERS_ZH[0][0], _PROGRAMS[0], "75", "还剩75个完好的罐子。答案是 \\boxed{75}。"),
        (_NUMBERS_ZH[3][0], _DICE, "1/12", "概率为 1/12。答案是 \\boxed{\\frac{1}{12}}。"),
    ),
    ("tool_integrated", "en", True): _tool_use((_chosen("en", 1), _LINEAR, "D", "The answer is \\boxed{D}.")),
    ("tool_integrated", "zh", True): _tool_use((_chosen("zh", 1), _LINEAR, "D", "答案是 \\boxed{D}。")),
}
