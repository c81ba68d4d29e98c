"""The final answer of a response, as it was written: by marks where there are some, else its last expression.

Marks: `\\boxed{...}` (also unbraced, nested, several side by side), `#### N`, "the answer is ...", 答案是, 故选, {"answer": N}, and
what a program printed last. The mark that stands last in the response decides, so that naming many answers is naming the last one.
An answer keeps every word that could change its value. Everything here runs in linear time, and in worker processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from unified_rl.base.errors import ConfigError
from unified_rl.grading.boxes import Joining, boxed
from unified_rl.grading.choices import choice
from unified_rl.grading.marks import Found, Void, hashes, json_answer, output, phrase_answers
from unified_rl.grading.sentences import CORRECTION, sentence_after
from unified_rl.grading.unmarked import last_expression, replacing_letter
from unified_rl.grading.unmarked import unmarked as unmarked_answer

MAX_TAIL = 40_000  # of a response, in characters: what stands before is not read
MAX_ANSWER = 3_000

Format = Literal["auto", "choice", "program", "boxed"]
FORMATS: tuple[Format, ...] = ("auto", "choice", "program", "boxed")

_THOUGHT_END = re.compile(r"</(?:think|thought|thinking|reasoning)>")
_CHAT_END = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end)[^|<>]{0,20}\|>|</s>|<｜end▁of▁sentence｜>")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])")
_PERIODS = ".。,，;；:："
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


def extract(
    response: str,
    format: Format = "auto",
    unmarked: Literal["last", "refuse"] = "last",
    boxes: Joining = "joined",
) -> str | None:
    """The final answer as it was written, None where there is none.

    Args:
        format: "auto" (any mark); "choice" (option letters, such as "B" or "ACD"); "program" (the last line of program output where
            nothing is marked after it); "boxed" (boxes only).
        unmarked: what an unmarked response's answer is: its last expression (or program output), or nothing.
        boxes: of several side by side, all of them as a list, or the last.

    Raises:
        ConfigError: an unknown format.
    """
    if format not in FORMATS:
        raise ConfigError(f"format={format!r} is unknown; choose one of {', '.join(FORMATS)}")
    text = _conclusion(response[-MAX_TAIL:])
    if format == "choice":
        return choice(text, unmarked)
    found: Found | None
    void: Sequence[Void] = ()
    if format == "boxed":
        found = boxed(text, boxes)
    else:
        found, void = _marked(text, boxes, outputs=format == "program" or unmarked == "last")
    if found is None and unmarked == "last" and format != "boxed":
        answer = unmarked_answer(text, void)
    else:
        answer = found.text if found else None
    answer = clean(answer) if answer else None
    return answer[:MAX_ANSWER] if answer else None


def bare(prediction: str) -> str:
    """A prediction without what announces it: a box, or "the answer is". An answer that has neither stays as it is."""
    if not may_announce(prediction):
        return prediction
    found, _ = _marked(_conclusion(prediction), "joined", outputs=False)
    if found is None or not (_BOX.search(prediction) or (found.strong and _begins_with_its_mark(prediction))):
        return prediction
    return clean(found.text) or prediction


def may_announce(prediction: str) -> bool:
    """Whether a prediction could hold a box or an announcement; where not, `bare` has nothing to do."""
    return "answer" in prediction.lower() or "\\boxed" in prediction or "\\fbox" in prediction


_OPENING = {"so", "thus", "hence", "therefore", "the", "my", "our", "final", "correct", "answer"}


def _begins_with_its_mark(prediction: str) -> bool:
    words = prediction[:80].lower().replace(",", " ").replace(":", " ").split()
    before = words[: words.index("answer") + 1] if "answer" in words else []
    return bool(before) and all(word in _OPENING for word in before)


def _conclusion(text: str) -> str:
    """What follows the last thought, up to where the chat template takes over."""
    thoughts = list(_THOUGHT_END.finditer(text))
    if thoughts and text[thoughts[-1].end() :].strip():
        text = text[thoughts[-1].end() :]
    tag = text.rfind("<answer>")
    close = text.find("</answer>", tag) if tag >= 0 else -1
    if close >= 0:
        inner = text[tag + 8 : close].strip()
        text = inner if _marked(inner)[0] else f"The answer is: {inner}" if "\n" not in inner and inner else text
    end = _CHAT_END.search(text)
    if end and text[: end.start()].strip():
        text = text[: end.start()]
    return text


def _marked(text: str, boxes: Joining = "joined", outputs: bool = True) -> tuple[Found | None, Sequence[Void]]:
    """The last firm answer after a strong mark; where there is none, the last firm one; else the last. With it, what is void."""
    phrases, void = phrase_answers(text)
    every = [boxed(text, boxes, void), hashes(text), json_answer(text), *phrases, output(text) if outputs else None]
    found = [answer for answer in every if answer]
    denied = {_squeezed(answer.text.split(" ", 1)[-1]) for answer in found if answer.denied}
    found = [answer for answer in found if answer.denied or _squeezed(answer.text) not in denied]
    firm = [answer for answer in found if answer.firm]
    strong = [answer for answer in firm if answer.strong]
    last = max(strong or firm or found, key=lambda answer: answer.end, default=None)
    return _corrected(text, last) if last in phrases else last, void


def _corrected(text: str, found: Found | None) -> Found | None:
    """What replaces an answer that was announced in words: "Correction: 43", "Actually, it is 43"."""
    corrections = list(CORRECTION.finditer(text, found.end)) if found else []
    if not found or not corrections:
        return found
    rest = corrections[-1].end()
    is_option = len(found.text) == 1 and "A" <= found.text <= "H"
    said = replacing_letter(text, found.end) if is_option else last_expression(sentence_after(text, rest).kept)
    return Found(corrections[-1].end(), said) if said else found


def _squeezed(text: str) -> str:
    return "".join(text.replace("$", "").split()).rstrip(".")


def clean(answer: str) -> str:
    """Without delimiters, markup, quotes and the full stop around it."""
    for _ in range(4):
        before = answer
        answer = answer.strip()
        answer = answer.strip("*").strip() if answer[:1] == "*" or answer[-1:] == "*" else answer
        answer = _unquoted(_unstopped(answer))
        for opening, closing in _DELIMITERS:
            inner = answer[len(opening) : -len(closing)]
            if answer.startswith(opening) and answer.endswith(closing) and inner.strip() and not _holds(inner, opening):
                answer = inner.strip()
                break
        answer = _unboxed(answer)
        if answer == before:
            break
    return _without_currency(answer)


def _holds(inner: str, delimiter: str) -> bool:
    """Whether a delimiter stands inside, so that the outer ones are not a pair."""
    return delimiter[-1] in inner.replace("\\$", "") if delimiter[0] == "$" else delimiter in inner


def _unstopped(answer: str) -> str:
    stripped = answer.rstrip(_PERIODS + " \n")
    if len(stripped) < len(answer) and stripped.endswith("\\"):  # a LaTeX space, not a stop
        return answer[: len(stripped) + 1].rstrip()
    return stripped


def _unquoted(answer: str) -> str:
    for _ in range(3):
        answer = answer.removeprefix('\\"').removesuffix('\\"').lstrip("\"“'`").rstrip('"”`').strip()
    return answer


def _unboxed(answer: str) -> str:
    match = _BOX.match(answer)
    rest = answer[match.end() :].lstrip() if match else ""
    return rest[1:-1].strip() if rest[:1] == "{" and rest.endswith("}") else answer


def _without_currency(answer: str) -> str:
    for sign in ("\\$", "$", "€", "£", "¥", "￥"):
        rest = answer.removeprefix(sign).lstrip()
        if rest != answer and rest[:1] and rest[0] in "0123456789." and "$" not in rest:
            return rest
    return answer[:-1].rstrip() if answer[-1:] in ("€", "£", "¥", "￥") and answer[:-1].rstrip()[-1:].isdigit() else answer
