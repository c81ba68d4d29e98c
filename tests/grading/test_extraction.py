"""The final answer of a response, in every form that models and people write it."""

from __future__ import annotations

import pytest

from unified_rl.base.errors import ConfigError
from unified_rl.grading import extract
from unified_rl.grading.extract import bare

RESPONSES = [
    ("So the answer is 42.", "42"),
    ("The answer is: $\\frac{3}{4}$.", "\\frac{3}{4}"),
    ("The final answer is $x^2+1$. I hope it is correct.", "x^2+1"),
    ("Final Answer: The final answer is $[2,5)$. I hope it is correct.", "[2,5)"),
    ("Therefore, the answer is \\(\\boxed{7}\\).", "7"),
    ("**Answer:** 12", "12"),
    ("Answer: B", "B"),
    ("The correct answer is (C).", "C"),
    ("The correct option is B.", "B"),
    ("答案是：12。", "12"),
    ("所以答案是 $\\frac{1}{2}$。", "\\frac{1}{2}"),
    ("故选：D", "D"),
    ("故选 C.", "C"),
    ("因此选B", "B"),
    ("综上，选项为(A)", "A"),
    ("故答案为：$2\\sqrt{3}$.", "2\\sqrt{3}"),
    ("答案：15元", "15元"),
    ("答：一共有25个苹果。", "25"),
    ("#### 1,234", "1,234"),
    ("blah\n#### -5\n", "-5"),
    ("x \\boxed 5", "5"),
    ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
    ("\\fbox{3}", "3"),
    ("We get \\boxed{3}. Wait, actually \\boxed{4}.", "4"),
    ("so $x=\\boxed{2}$ and then the answer is $\\boxed{3}$.", "3"),
    ("<think>the answer is 3</think> The answer is 4", "4"),
    ("<think>foo \\boxed{3}</think>\n\n\\boxed{8}", "8"),
    ("```python\nprint(5)\n```\n```output\n5\n```\n", "5"),
    ("```output\n[1, 2]\n```\nThe answer is $\\boxed{1,2}$.", "1,2"),
    ("```output\nTraceback (most recent call last)\nNameError: x\n```\n", None),
    ("The answer is 5 apples.", "5 apples"),
    ("The answer is $5.", "5"),
    ("The answer is 5.5.", "5.5"),
    ("The answer is \\$18.", "18"),
    ("The answer is 3,000 dollars per year.", "3,000 dollars per year"),
    ("The answer is Evelyn.", "Evelyn"),
    ("The total is $5 + $6 = $11.", "11"),
    ("So 5 times 6 is 30", "30"),
    ("The final answer is 12. <|im_end|>", "12"),
    ("She has 3 + 4 = 7 apples.", "7"),
    ("x = -5", "x = -5"),
    ("so x equals -5.", "-5"),
    ("We have 10 - 5 = 5", "5"),
    ("The answer is -5", "-5"),
    ("1/2 + 1/3 = 5/6", "5/6"),
    ("The answer is A", "A"),
    ("A", "A"),
    ("B) 12", "B"),
    ("(C)", "C"),
    ("I think the answer is D because...", "D"),
    ("The answer is **C**", "C"),
    ("The answer is (B) 12 cm", "B"),
    ("The answer is $\\text{(B)}$", "\\text{(B)}"),
    ("\\boxed{\\text{B}}", "\\text{B}"),
    ("Answer: \\boxed{A}", "A"),
    ("The answer to the question is therefore 17.", "17"),
    ("the answer is approximately 3.14", "3.14"),
    ("The answer is about 50%.", "50%"),
    ("The answer is x = 5.", "x = 5"),
    ("The solutions are $x=1$ and $x=2$.", "$x=1$ and $x=2$"),
    ("The final answer is: \\[ \\boxed{42} \\]", "42"),
    ("答案选C", "C"),
    ("正确答案是 B。", "B"),
    ("所以，正确的选项是（C）。", "C"),
    ("本题选择D选项.", "D"),
    ("因此，小明有 **12** 个苹果。", "12"),
    ("所以她每天赚18美元。", "18"),
    ("ANSWER: 7", "7"),
    ("Thus the value is $\\frac{\\sqrt{3}}{2}$.", "\\frac{\\sqrt{3}}{2}"),
    ("\\boxed{x = 3}", "x = 3"),
    ("The answer is \\boxed{12\\%}.", "12\\%"),
    ("$\\boxed{12}\\%$", "12\\%"),
    ("Final answer: 15", "15"),
    ("The answer is 1,2,3.", "1,2,3"),
    ("Option C is correct.", "C"),
    ("The right choice is option B.", "B"),
    ("<answer>12</answer>", "12"),
    ("<answer> B </answer>", "B"),
    ("\\boxed{1}\n\\boxed{2}", "1, 2"),
    ("", None),
    ("hello", None),
    ("The answer is no.", "no"),
    ("So, the answer is $\\boxed{\\text{Yes}}$", "\\text{Yes}"),
    ("the answer is 2^10", "2^10"),
    ("The answer is (3, 4).", "(3, 4)"),
    ("The answer is [1, 2).", "[1, 2)"),
    ("The value of x is 4. So the answer is 4. Let me double check: 2*4 = 8.", "4"),
    ("\\boxed{5}. Check: the answer is positive.", "5"),
    ("The answer is $12$ cm.", "$12$ cm"),
    ("Thus, $a+b=\\boxed{12}.$ [asy] draw((0,0)); [/asy]", "12"),
    ("the answer is \\frac{3}{4}", "\\frac{3}{4}"),
    ("Hence x=\\frac{3}{4}.", "x=\\frac{3}{4}"),
    ("∴ x = 5", "x = 5"),
    ("The answer is $\\boxed{C}$: 12", "C"),
    ("选A", "A"),
    ("选择 B 选项", "B"),
    ("故本题正确答案为A。", "A"),
    ("Answer is E.", "E"),
    ("The answer is 1 1/2", "1 1/2"),
    ("The answer is 3:30 pm", "3:30 pm"),
    ("How many? The answer is **72**.", "72"),
    ("The answer is therefore: 11.", "11"),
    ("Answer:\n\n$$x=3$$", "x=3"),
    ("答案为\\boxed{3}", "3"),
    ("the answer is ten.", "ten"),
    ("The answer is certainly B, since A and C fail", "B"),
    ("$x = \\boxed{4}$ and $y = \\boxed{6}$", "4, 6"),
    ("\\(y_1 = \\boxed{t + 2} \\) and \\( y_2 = \\boxed{t - 2} \\)", "t + 2, t - 2"),
    ("\\boxed{3} cups and \\boxed{8} plates", "3, 8"),
    ("\\boxed{3} is then and there replaced by \\boxed{8}", "8"),
    ("That is $ \\frac{3}{5} \\$ = 0.6 $", "\\frac{3}{5} \\$ = 0.6"),
    ("It costs \\$4 and \\$9, so \\$13.", "13"),
    ("$Tuesday$", "Tuesday"),
    ("$4$ and $7$", "$4$ and $7$"),
]
CHOICES = [
    ("ABD", "ABD"),
    ("答案是 AC", "AC"),
    ("The answer is B.", "B"),
    ("故选AD", "AD"),
    ("\\boxed{\\text{(C)}}", "C"),
    ("选项A不对，所以选B", "B"),
    ("I choose C", "C"),
    ("The answer is (B) 3", "B"),
    ("The answer is 12", None),
]


WHOLE = [
    ("The answer is $8$ million.", "$8$ million"),
    ("The answer is $8$/$9$.", "$8$/$9$"),
    ("Thus the total is $\\boxed{8}$ thousand.", "$8$ thousand"),
    ("\\boxed{8} percent", "$8$ percent"),
    ("$\\boxed{8}^\\circ$", "8^\\circ"),
    ("so $y = -\\boxed{8}$", "-(8)"),
    ("The answer is at least $8$.", "at least $8$"),
    ("The answer isn't $8$.", "isn't $8$"),
    ("The answer cannot be 8.", "cannot be 8"),
    ("The answer is far from 8.", "far from 8"),
    ("The answer is 8 or 9.", "8 or 9"),
    ("The area is 3^4.", "3^4"),
    ("The side is 5√2.", "5√2"),
    ("It takes 2 3/4 hours", "2 3/4 hours"),
    ("Hence y < 7.", "y < 7"),
    ("It starts at 9:45.", "9:45"),
    ("The odds are 3:5.", "3:5"),
    ("So y = 2 or y = 9.", "y = 2 or y = 9"),
    ("The point is (2, 7).", "(2, 7)"),
    ("The zeros are 4, 5 and 6.", "4, 5 and 6"),
    ("She needs at most 8 eggs", "at most 8"),
    ("大于9", "大于9"),
]
EXPLAINED = [
    ("The answer is 8, since 3+5=8.", "8"),
    ("The answer is 8 because we added.", "8"),
    ("The answer is 8 (see the table).", "8"),
    ("The answer is 8 (a cube).", "8"),
    ("The answer is 8 – a power of two.", "8"),
    ("The answer is 8 by symmetry.", "8"),
    ("The answer is 8, not 9.", "8"),
    ("The answer is 2,500, which is a lot.", "2,500"),
    ("The answer is the integer 8.", "8"),
    ("The answer (in metres) is 8.", "8"),
    ("The answer turns out to be 8.", "8"),
    ("There is no doubt that the answer is 8.", "8"),
    ("The answer is 8 dollars every day at the market.", "8 dollars"),
    ("The answer is 7. Correction: 8.", "8"),
    ('{"answer": 8}', "8"),
    ('```json\n{"steps": [1], "final_answer": "8/3"}\n```', "8/3"),
]
NOTHING = [
    "A tempting wrong answer is 8.",
    "My earlier answer was 8.",
    "It would be false to claim that the answer is 8.",
    "Nobody thinks the answer is 8.",
    "If the answer is 8, we are done.",
    "Is the answer 8?",
    "The answer is 8, which is incorrect.",
    "8 is not the answer.",
    "It can't be 8.",
    "\\boxed{8}. Let me check. The final answer is \\boxed{",
    "\\boxed{8}. Let me check. The final answer is \\boxed{}.",
    "答案不是8。",
    "错误的答案是8。",
    "Option C is wrong.",
    "",
]


@pytest.mark.parametrize(("response", "answer"), WHOLE + EXPLAINED, ids=range(len(WHOLE + EXPLAINED)))
def test_an_answer_is_whole_and_without_its_explanation(response, answer):
    assert extract(response) == answer


@pytest.mark.parametrize("response", NOTHING, ids=range(len(NOTHING)))
def test_what_is_denied_doubted_asked_or_left_open_is_no_answer(response):
    assert extract(response) is None


@pytest.mark.parametrize(("response", "answer"), RESPONSES, ids=range(len(RESPONSES)))
def test_responses(response, answer):
    assert extract(response) == answer


@pytest.mark.parametrize(("response", "letters"), CHOICES, ids=range(len(CHOICES)))
def test_choices(response, letters):
    assert extract(response, "choice") == letters


def test_what_stands_far_before_the_end_is_not_read():
    assert extract("\\boxed{1}" + " so" * 30_000) is None


def test_the_last_mark_decides():
    assert extract("The answer is 3. No: \\boxed{4}. In fact, the answer is 5.") == "5"
    assert extract("\\boxed{4} and then #### 7") == "7"
    assert extract("#### 7\nHence \\boxed{8}") == "8"


def test_boxes_side_by_side():
    text = "$\\boxed{(1,2)}$ and $\\boxed{(3,4)}$"
    assert extract(text) == "(1,2), (3,4)"
    assert extract(text, boxes="last") == "(3,4)"
    assert extract("First \\boxed{1}. Then we go on for a while. Finally \\boxed{2}") == "2"


def test_refusing_what_is_unmarked():
    for text in ("She has 3 + 4 = 7 apples.", "$x = 7$", "B", "```output\n7\n```\n"):
        assert extract(text) is not None
        assert extract(text, unmarked="refuse") is None
    assert extract("```output\n7\n```\n", "program", "refuse") == "7"
    assert extract("so \\boxed{7}", unmarked="refuse") == "7"


BARE = [
    ("\\boxed{5}", "5"),
    ("The answer is 5", "5"),
    ("The final answer is $\\frac12$. I hope it is correct.", "\\frac12"),
    ("so $x = \\boxed{5}$", "5"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1, 2"),
    ("x = 5", "x = 5"),
    ("no solutions are real", "no solutions are real"),
    ("#### is a heading", "#### is a heading"),
    ("\\boxed{}", "\\boxed{}"),
    ("", ""),
]


@pytest.mark.parametrize(("prediction", "answer"), BARE)
def test_a_prediction_loses_what_announces_it_only(prediction, answer):
    assert bare(prediction) == answer


def test_unknown_format():
    with pytest.raises(ConfigError, match="format='pdf'"):
        extract("5", "pdf")


@pytest.mark.parametrize(
    ("response", "found"),
    [
        # a number that is said not to be there
        ("There are no 42", None),
        ("There is no 7 here.", None),
        ("There are 42", "42"),
        # a part of an expression in a box
        (r"\frac{\boxed{5}}{7}", r"\frac{5}{7}"),
        (r"So $x = \frac{3}{\boxed{a+b}}$.", r"x = \frac{3}{(a+b)}"),
        (r"$\sqrt[3]{\boxed{5}}$", r"\sqrt[3]{5}"),
        (r"$2^{\boxed{3}}$", "2^{3}"),
        (r"$\frac{\boxed{5}}{\boxed{7}}$", r"\frac{5}{7}"),
        (r"$\boxed{101}_2$", "101_2"),
        (r"$\displaystyle{\boxed{5}}$", "5"),
        (r"\textbf{\boxed{5}}", "5"),
        # bars, brackets, factors and signs around a box
        (r"$|\boxed{5}|$", "|5|"),
        (r"The answer is |\boxed{-5}|.", "|(-5)|"),
        (r"$x = \left|\boxed{-5}\right|$", r"x = \left|(-5)\right|"),
        (r"$\lfloor\boxed{5.5}\rfloor$", r"\lfloor(5.5)\rfloor"),
        (r"$||\boxed{5}||$", "||5||"),
        (r"$(\boxed{3}, 7)$", "(3, 7)"),
        (r"$\{1, \boxed{5}\}$", r"\{1, 5\}"),
        (r"$x \in [0, \boxed{5})$", r"x \in [0, 5)"),
        (r"$2(\boxed{5})$", "2(5)"),
        (r"$\begin{pmatrix}1&\boxed{5}\end{pmatrix}$", r"\begin{pmatrix}1&5\end{pmatrix}"),
        (r"$\begin{aligned}x&=3\\ &=|\boxed{5}|\end{aligned}$", "|5|"),
        (r"$3\boxed{5}$", "3(5)"),
        (r"so x = 3\boxed{5}.", "3(5)"),
        (r"$x = -3\boxed{5}$", "-3(5)"),
        (r"$x = 2\sqrt{3}\boxed{5}$", r"2\sqrt{3}(5)"),
        (r"$\pi\boxed{2}$", r"\pi(2)"),
        (r"$2\cdot\boxed{5}$", r"2\cdot(5)"),
        (r"$2 + \boxed{5}$", "2+(5)"),
        (r"$2\boxed{\frac{1}{3}}$", r"2\frac{1}{3}"),
        (r"$\sin\boxed{5}$", r"\sin(5)"),
        (r"$\boxed{5}x^2$", "(5)x^2"),
        (r"$\boxed{5}+2x+1$", "5+2x+1"),
        (r"$x = \boxed{5}\sqrt{3}$", r"5\sqrt{3}"),
        (r"x = -\boxed{5}", "-(5)"),
        # what stands around a box and is no part of its answer
        (r"$3 + \boxed{4} = 7$", "4"),
        (r"$x = 7 - \boxed{5}$", "5"),
        (r"the term is $3x^2 \cdot 5x = \boxed{15}x^3$", "15"),
        (r"$W\pi = \boxed{\frac{1}{2}}\pi$", r"\frac{1}{2}"),
        (r"$n \equiv \boxed{5} \pmod{7}$", "5"),
        (r"$\boxed{5}\text{ cm}$", "5"),
        (r"$\boxed{5} m$", "5"),
        (r"- \boxed{5}", "5"),
        (r"the answer - \boxed{5}", "5"),
        (r"answer-\boxed{5}", "5"),
        (r"**Answer:**\boxed{5}", "5"),
        (r"1.\boxed{5}", "5"),
        (r"(1)\boxed{5}", "5"),
        (r"Step 3 \boxed{5}", "5"),
        (r"|x|\boxed{5}|", "5"),
        (r"(\boxed{5})", "5"),
        (r"$x = 4 + 1 (= \boxed{5})$", "5"),
        (r"$\boxed{\text{B}} 3x + 1$", r"\text{B}"),
        (r"\boxed{5} \boxed{5}", "5"),
        # a letter that is taken back, or left out
        ("B. No wait: C.", "C"),
        ("The answer is B. Sorry, it is D.", "D"),
        ("B. The actual width is 3.", "B"),
        ("Everything but B", None),
        ("Anything but (B)", None),
        ("It can only be B", "B"),
        # a sentence that exclaims, and a factorial
        ("The answer is 42!", "42"),
        ("I found 42!\nGreat.", "42"),
        ("The answer is $5!$", "5!"),
        ("So n = 5!", "n = 5!"),
        ("The answer is 2 * 5!", "2 * 5!"),
    ],
)
def test_what_a_sentence_does_to_its_answer(response, found):
    assert extract(response) == found


@pytest.mark.parametrize(
    ("response", "letter"),
    [("B. No wait: C.", "C"), ("The answer is B. Actually, it is C.", "C"), ("Everything but B", None), ("B", "B")],
)
def test_letters_taken_back(response, letter):
    assert extract(response, "choice") == letter
