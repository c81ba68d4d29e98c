"""How a problem becomes a prompt: named templates, as plain text with one place for the question."""

from __future__ import annotations

from difflib import get_close_matches

from unified_rl.errors import ConfigError, DataError
from unified_rl.types import Problem, Prompt, Tokenizer

TEMPLATES = {
    # The tiny world: its solutions begin on the line after the question.
    "arithmetic": "{question}\n",
    # Completion prompt for from-scratch models on real data.
    "completion": "{question}\n",
    # DeepSeekMath-Instruct's English prompt (its model card); the answer is asked for in a box.
    "deepseek": "User: {question}\nPlease reason step by step, and put your final answer within \\boxed{}.\n\nAssistant:",
}


def render(problem: Problem, template: str) -> str:
    """The text of a prompt.

    Args:
        template: a name in `TEMPLATES`, or a text of one's own that contains "{question}".

    Raises:
        ConfigError: where the template is neither.
        DataError: where the question is blank.
    """
    if not problem.question.strip():
        raise DataError(f"problem {problem.id!r} has a blank question: drop it, or mend the field 'question' of its record")
    text = TEMPLATES.get(template, template)
    if "{question}" not in text:
        hint = f" Did you mean {close[0]!r}?" if (close := get_close_matches(template, TEMPLATES, 1)) else ""
        raise ConfigError(
            f"template={template!r} is neither one of {', '.join(TEMPLATES)} nor a text that contains '{{question}}'.{hint}"
        )
    # Not str.format: questions and templates may hold other braces.
    return text.replace("{question}", problem.question)


def encode(problem: Problem, tokenizer: Tokenizer, template: str) -> Prompt:
    """The prompt as token ids.

    In front stand the special tokens that the tokenizer itself puts there (BOS for Llama's and ours, nothing for Qwen's),
    because that is what the model was trained with. Those that it puts behind (an EOS) are dropped: the response goes on.

    Raises:
        DataError: where the question is blank or the prompt has no tokens.
        ConfigError: where the template is unknown.
    """
    text = render(problem, template)
    plain = list(tokenizer.encode(text, add_special_tokens=False))
    if not plain:
        raise DataError(f"the prompt of problem {problem.id!r} has no tokens: the tokenizer makes nothing of {text[:60]!r}")
    special = list(tokenizer.encode(text, add_special_tokens=True))
    for start in range(len(special) - len(plain) + 1):
        if special[start : start + len(plain)] == plain:
            return Prompt(problem, tuple(special[: start + len(plain)]))
    return Prompt(problem, tuple(special))
