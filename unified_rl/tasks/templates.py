"""How a problem becomes a prompt: named templates, as plain text with places for the question and the instruction.

The instruction says how to answer. It follows from the solution format (`task.solution`) and the problem's language: those of
chain of thought and tool-integrated reasoning are DeepSeekMath's own (its repository's evaluation code), which are meant for
its instruction-tuned models with greedy decoding, stopping at EOS, and at most 1,024 new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from unified_rl.base.errors import ConfigError, DataError
from unified_rl.base.types import Problem, Prompt, Tokenizer
from unified_rl.config.problems import SOLUTIONS
from unified_rl.tasks.few_shot import Example, worked_examples

CHAT, FEW_SHOT, LETTERS = "chat", "few_shot", "letters"

INSTRUCTIONS = {
    ("chain_of_thought", "en"): "\nPlease reason step by step, and put your final answer within \\boxed{}.",
    ("chain_of_thought", "zh"): "\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。",
    ("tool_integrated", "en"): (
        "\nPlease integrate natural language reasoning with programs to solve the problem above, and put your final answer "
        "within \\boxed{}."
    ),
    ("tool_integrated", "zh"): "\n请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。",
    (
        "program_of_thought",
        "en",
    ): "\nWrite a Python program in a ```python block that prints the final answer and nothing else.",
    ("program_of_thought", "zh"): "\n请写一个Python程序（放在```python代码块中）来解答问题，程序只打印最终答案。",
}

TEMPLATES = {
    # The tiny world: its solutions begin on the line after the question.
    "arithmetic": "{question}\n",
    # Completion prompt for from-scratch models on real data.
    "completion": "{question}\n",
    # DeepSeekMath-Instruct's and -RL's prompt; no system prompt.
    "deepseek": "User: {question}{instruction}\n\nAssistant:",
    # The model's own chat template around this, as the user's message (`encode`).
    CHAT: "{question}{instruction}",
    # Worked examples in front, for base models (`few_shot`).
    FEW_SHOT: "{examples}Problem: {question}\nSolution:",
    # The same where the letter of an option follows at once (`letters`): MMLU's form.
    LETTERS: "{examples}{question}",
}

#: How an example ends and the next one would begin: where a few-shot response stops.
NEXT_EXAMPLE = "\n\nProblem:"

#: How an example stands in a prompt, by solution format.
_SHOWN, _SHOWN_LETTER = "Problem: {question}\nSolution: {solution}\n\n", "{question} {solution}\n\n"


#: Characters without a space between them; what is longer is no word of any language, and some tokenizers take minutes for it.
LONGEST_WORD = 100_000


def render(
    problem: Problem,
    template: str,
    solution: str = "chain_of_thought",
    examples: Sequence[Example] | None = None,
    shots: int = 0,
) -> str:
    """The text of a prompt.

    Args:
        template: a name in `TEMPLATES`, or a text of one's own that contains "{question}", and "{instruction}" and "{examples}"
            where it wants them.
        solution: the solution format, which chooses the instruction and the examples.
        examples: worked examples for "{examples}"; None takes the first `shots` (0 = all) built-in ones.

    Raises:
        ConfigError: where the template is neither, or the solution format is unknown.
        DataError: where the question is blank.
    """
    if not problem.question.strip():
        raise DataError(f"problem {problem.id!r} has a blank question: drop it, or mend the field 'question' of its record")
    if solution not in SOLUTIONS:
        raise ConfigError(f"task.solution={solution!r} is unknown; choose one of {', '.join(SOLUTIONS)}")
    text = TEMPLATES.get(template, template)
    if "{question}" not in text:
        hint = f" Did you mean {close[0]!r}?" if (close := get_close_matches(template, TEMPLATES, 1)) else ""
        raise ConfigError(
            f"template={template!r} is neither one of {', '.join(TEMPLATES)} nor a text that contains '{{question}}'.{hint}"
        )
    language = "zh" if problem.info.get("language") == "zh" else "en"
    if "{examples}" in text and examples is None:
        examples = worked_examples(solution, language, choice=problem.info.get("format") == "choice", count=shots)
    # Not str.format: questions and templates may hold other braces. The question comes last: its text is nobody's template.
    before, after = (_filled(part, solution, language, examples or ()) for part in text.split("{question}", 1))
    return before + problem.question + after


def encode(
    problem: Problem,
    tokenizer: Tokenizer,
    template: str,
    solution: str = "chain_of_thought",
    examples: Sequence[Example] | None = None,
    shots: int = 0,
) -> Prompt:
    """The prompt as token ids.

    In front stand the special tokens that the tokenizer itself puts there (BOS for Llama's and ours, nothing for Qwen's),
    because that is what the model was trained with. Those that it puts behind (an EOS) are dropped: the response goes on.
    Under `template="chat"` the tokenizer's chat template places the special tokens instead.

    Raises:
        DataError: where the question is blank or the prompt has no tokens.
        ConfigError: where the template is unknown, or a chat template is asked for that is not there or cannot render the question.
    """
    text = render(problem, template, solution, examples, shots)
    if len(text) > LONGEST_WORD and (longest := max(map(len, text.split()))) > LONGEST_WORD:
        raise DataError(f"problem {problem.id!r:.80} has a word of {longest} characters, which is no text; drop it or mend it")
    if template == CHAT:
        return Prompt(problem, _chat(text, tokenizer))
    plain = list(tokenizer.encode(text, add_special_tokens=False))
    if not plain:
        raise DataError(f"the prompt of problem {problem.id!r} has no tokens: the tokenizer makes nothing of {text[:60]!r}")
    special = list(tokenizer.encode(text, add_special_tokens=True))
    for start in range(len(special) - len(plain) + 1):
        if special[start : start + len(plain)] == plain:
            return Prompt(problem, tuple(special[: start + len(plain)]))
    return Prompt(problem, tuple(special))


def _filled(frame: str, solution: str, language: str, examples: Sequence[Example]) -> str:
    """A part of a template beside the question."""
    form = _SHOWN_LETTER if solution == "letter_likelihood" else _SHOWN
    shown = "".join(form.replace("{question}", item.question).replace("{solution}", item.solution) for item in examples)
    return frame.replace("{instruction}", INSTRUCTIONS.get((solution, language), "")).replace("{examples}", shown)


def _chat(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "task.template=chat needs a tokenizer with a chat template, and the model's has none; choose task.template=deepseek, "
            "few_shot or a text of your own"
        )
    shown = _chat_text(text, tokenizer)
    if text.strip() not in shown and shown == _chat_text(f"{text} ?", tokenizer):
        raise ConfigError(f"task.template=chat: the model's chat template leaves out what the user says; {_OWN_TEMPLATE}")
    return tuple(int(token) for token in tokenizer.encode(shown, add_special_tokens=False))


_OWN_TEMPLATE = "set task.template to deepseek or a text of your own"


def _chat_text(text: str, tokenizer: Tokenizer, answer: str | None = None) -> str:
    """What the tokenizer's chat template makes of a user's message, and of an answer to it; without one, up to where it begins."""
    messages = [{"role": "user", "content": text}]
    messages += [] if answer is None else [{"role": "assistant", "content": answer}]
    chat: Any = tokenizer  # not in the protocol: only tokenizers with a template have one
    try:
        return str(chat.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None))
    except Exception as error:  # a template is a program of the model's author: any error is its
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"task.template=chat: the model's chat template cannot render a user's message alone ({reason}); {_OWN_TEMPLATE}"
        ) from error


def response_end(tokenizer: Tokenizer, template: str) -> Any:
    """The id that ends a response: under a chat template that of the end of a turn, where it has one, else the tokenizer's EOS."""
    if template == CHAT and getattr(tokenizer, "chat_template", None):
        answer = "An answer."
        behind = _chat_text("A question?", tokenizer, answer).rpartition(answer)[2]
        special = set(tokenizer.all_special_ids) | set(getattr(tokenizer, "added_tokens_decoder", {}))
        ids = tokenizer.encode(behind, add_special_tokens=False)
        if ids and ids[0] in special:
            return ids[0]
    return tokenizer.eos_token_id
