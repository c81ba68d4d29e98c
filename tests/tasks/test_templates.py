"""From problem to prompt: the text, the special tokens around it, and the inputs that are refused."""

import pytest
from plain_runner import PlainRunner

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem
from unified_rl.grading import extract
from unified_rl.tasks.arithmetic import Arithmetic
from unified_rl.tasks.benchmarks import BENCHMARKS
from unified_rl.tasks.few_shot import read_examples, worked_examples
from unified_rl.tasks.few_shot_protocol import OURS, PAPER, STYLES
from unified_rl.tasks.options import letter_question, option_list
from unified_rl.tasks.programs import find_program
from unified_rl.tasks.templates import NEXT_EXAMPLE, SOLUTIONS, TEMPLATES, encode, render
from unified_rl.tasks.tokenizers import train_tokenizer, word_tokenizer
from unified_rl.tasks.worked_examples import EXAMPLES

PROBLEM = Problem("p", "What is {2} + {}?", "2")


class FakeTokenizer:
    """One token per character, with the special tokens that a tokenizer may put in front (-1) and behind (-2)."""

    def __init__(self, front=(), behind=()):
        self.front, self.behind = list(front), list(behind)

    def encode(self, text, add_special_tokens=True):
        ids = [ord(character) for character in text]
        return [*self.front, *ids, *self.behind] if add_special_tokens else ids


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_every_template_holds_the_question_once_and_untouched(name):
    assert render(PROBLEM, name).count(PROBLEM.question) == 1


def test_the_deepseek_template_is_the_published_one():
    assert render(Problem("p", "Q?", "1"), "deepseek") == (
        "User: Q?\nPlease reason step by step, and put your final answer within \\boxed{}.\n\nAssistant:"
    )


def test_a_template_of_ones_own():
    assert render(PROBLEM, "Q: {question} A:") == "Q: What is {2} + {}? A:"


@pytest.mark.parametrize("front", [(), (-1,), (-1, -3)])
@pytest.mark.parametrize("behind", [(), (-2,)])
def test_front_special_tokens_stay_and_those_behind_go(front, behind):
    prompt = encode(PROBLEM, FakeTokenizer(front, behind), "completion")
    assert prompt.token_ids == (*front, *map(ord, PROBLEM.question + "\n"))
    assert prompt.problem is PROBLEM


@pytest.mark.parametrize("make", [lambda: word_tokenizer(Arithmetic.corpus()), lambda: train_tokenizer(["a b"], 300)])
def test_our_tokenizers_put_one_bos_in_front_and_nothing_behind(make):
    tokenizer = make()
    ids = encode(Problem("p", "Tom has 43 apples.", "43"), tokenizer, "arithmetic").token_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.bos_token_id not in ids[1:]
    assert tokenizer.decode(ids[1:]) == "Tom has 43 apples.\n"


@pytest.mark.parametrize("question", ["", "  \n"])
def test_a_blank_question_is_refused_by_id(question):
    with pytest.raises(DataError, match="'p7'"):
        encode(Problem("p7", question, "1"), FakeTokenizer(), "completion")


def test_a_prompt_without_tokens_is_refused():
    class Mute:
        def encode(self, text, add_special_tokens=True):
            return []

    with pytest.raises(DataError, match="no tokens"):
        encode(PROBLEM, Mute(), "completion")


def test_an_unknown_template_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'arithmetic'"):
        render(PROBLEM, "aritmetic")


# ---- instructions, examples, chat


CHINESE = Problem("z", "多少？", "1", {"language": "zh"})


@pytest.mark.parametrize(
    ("problem", "solution", "instruction"),
    [
        (PROBLEM, "chain_of_thought", "Please reason step by step, and put your final answer within \\boxed{}."),
        (CHINESE, "chain_of_thought", "请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。"),
        (
            PROBLEM,
            "tool_integrated",
            "Please integrate natural language reasoning with programs to solve the problem above, and put your final answer "
            "within \\boxed{}.",
        ),
        (CHINESE, "tool_integrated", "请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。"),
    ],
)
def test_the_instruction_follows_language_and_solution_format(problem, solution, instruction):
    assert render(problem, "deepseek", solution) == f"User: {problem.question}\n{instruction}\n\nAssistant:"
    assert render(problem, "Q: {question}{instruction} A:", solution) == f"Q: {problem.question}\n{instruction} A:"


def test_a_question_is_nobodys_template():
    problem = Problem("p", "What is {instruction}, {examples} and {question}?", "1")
    assert render(problem, "deepseek").startswith("User: What is {instruction}, {examples} and {question}?\nPlease")


@pytest.mark.parametrize("solution", [name for name in SOLUTIONS if name != "letter_likelihood"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("choice", [False, True])
def test_few_shot_prompts_show_examples_of_their_own_kind(solution, language, choice):
    info = {"language": language, "format": "choice" if choice else "auto"}
    text = render(Problem("p", "Q?", "1", info), "few_shot", solution)
    examples = worked_examples(solution, language, choice=choice)
    assert text.count("Problem: ") == len(examples) + 1
    assert text.endswith("\n\nProblem: Q?\nSolution:")
    assert text.startswith(f"Problem: {examples[0].question}\nSolution: {examples[0].solution}{NEXT_EXAMPLE}")
    assert render(Problem("p", "Q?", "1", info), "few_shot", solution, shots=1).count("Problem: ") == 2


def test_the_worked_examples_are_right():
    """Their programs run and print what is said, and every kind of example comes to the same answer to the same question."""
    runner, answers = PlainRunner(), {}
    for (solution, language, choice), examples in EXAMPLES.items():
        for example, reasoned in zip(examples, EXAMPLES["chain_of_thought", language, choice], strict=False):
            if solution == "letter_likelihood":
                assert example.solution == extract(reasoned.solution)
                assert example.question.splitlines()[0] == reasoned.question.splitlines()[0]
                continue
            if solution == "program_of_thought":
                answer = runner.run([find_program(example.solution)])[0].stdout.strip()
            else:
                answer = extract(example.solution).replace("\\frac{1}{12}", "1/12")
            if solution == "tool_integrated":
                printed = runner.run([find_program(example.solution.split("```output")[0])])[0].stdout.strip()
                assert f"```output\n{printed}\n```" in example.solution
            assert answers.setdefault(example.question, answer) == answer
    assert len(answers) == 2 * (8 + 5)


def test_there_are_as_many_examples_as_the_papers_prompts_have():
    languages = {name: row.language for name, row in BENCHMARKS.items()} | {"gsm8k": "en"}
    choices = {name for name, row in BENCHMARKS.items() if row.format == "choice"}
    for (task, style), count in {**PAPER, **OURS}.items():
        assert len(worked_examples(STYLES[style].solution, languages[task], choice=task in choices, count=count)) == count


def test_letters_follow_the_question_at_once():
    info = {"language": "en", "format": "choice", "stem": "1+1?", "options": ("3", "2")}
    question = letter_question("1+1?", ("3", "2"), "en")
    assert question == "1+1?\nA. 3\nB. 2\nAnswer:"
    text = render(Problem("p", question, "B", info), "letters", "letter_likelihood", shots=1)
    assert text == (
        "What is the derivative of $x^3$?\nA. $x^2$\nB. $3x^2$\nC. $3x$\nD. $x^4 / 4$\nAnswer: B\n\n1+1?\nA. 3\nB. 2\nAnswer:"
    )
    with pytest.raises(ConfigError, match="is for multiple choice"):
        render(PROBLEM, "letters", "letter_likelihood")


@pytest.mark.parametrize(
    ("said", "options"),
    [
        (["(A)x", "(B) y"], ("x", "y")),
        (["", float("nan")], ("", "None")),
        ("A) $-10$ B) 0 C) 10 D) -10 and 10", ("$-10$", "0", "10", "-10 and 10")),
        ("(A) [-5,-2), (B) [2,5)", ("[-5,-2)", "[2,5)")),
        ("A) f(A) B) f(B) ", ("f(A)", "f(B)")),
        ("x or y", ()),
        ("B) x A) y", ()),
    ],
)
def test_options_as_they_are_listed(said, options):
    assert option_list(said) == options


def test_examples_of_ones_own(tmp_path):
    file = tmp_path / "examples.jsonl"
    file.write_text('{"question": "1+1?", "solution": "2"}\n{"question": "1+2?", "solution": "3"}\n')
    examples = read_examples(file, 1)
    assert render(PROBLEM, "few_shot", examples=examples) == (
        f"Problem: 1+1?\nSolution: 2\n\nProblem: {PROBLEM.question}\nSolution:"
    )
    with pytest.raises(DataError, match=r"examples\.jsonl holds 2 worked examples, and 3"):
        read_examples(file, 3)
    file.write_text('{"question": "1+1?"}\n')
    with pytest.raises(DataError, match=r"line 1: field 'solution'"):
        read_examples(file)
    with pytest.raises(DataError, match="does not exist"):
        read_examples(tmp_path / "nowhere.jsonl")
    with pytest.raises(ConfigError, match=r"task\.shots=9"):
        render(PROBLEM, "few_shot", shots=9)


def test_the_models_own_chat_template():
    tokenizer = train_tokenizer(["a b"], 300)
    with pytest.raises(ConfigError, match="needs a tokenizer with a chat template"):
        encode(PROBLEM, tokenizer, "chat")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    ids = encode(CHINESE, tokenizer, "chat").token_ids
    assert ids.count(tokenizer.bos_token_id) == 1
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text == "<user>多少？\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。<assistant>"


def test_an_unknown_solution_format_is_refused():
    with pytest.raises(ConfigError, match=r"task\.solution='words'"):
        render(PROBLEM, "deepseek", "words")
