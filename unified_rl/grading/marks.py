"""Marks in words: "the answer is ...", "option C is correct", 答案是, 故选; and `#### N`, {"answer": N}, what a program printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from unified_rl.grading import spans
from unified_rl.grading import vocabulary as words
from unified_rl.grading.scan import Token, tokens
from unified_rl.grading.sentences import Sentence, is_doubted, is_rejected, sentence_after, word_of

MAX_MARKS = 40  # of one kind, from the end: naming more answers than that is not answering
BEFORE, BETWEEN, DOUBT = 60, 60, 160  # characters before the noun, between it and its verb, and of the clause before
SHORT = 4  # words beside the value in an answer that is taken whole

_NOUN = re.compile(r"answer|solutions|choice|option|réponse|respuesta|antwort|ответ", re.IGNORECASE)
_CHINESE = re.compile(r"答案|选")
_JSON_KEY = re.compile(r"""["'](?:final_?)?answer["']""", re.IGNORECASE)
_CHINESE_DOUBTS = ("不", "非", "错", "如果", "假设", "假如", "若", "有人", "是否", "未必")
_SPACES = re.compile(r"\s*")
_OUTPUT = "```output"


@dataclass(frozen=True, slots=True)
class Found:
    """An answer and where its mark stands.

    `firm`: what follows the mark looks like an answer. `strong`: the mark announces the final answer ("our answer: ..." may not).
    `denied`: the text says that this is not the answer.
    """

    end: int
    text: str
    firm: bool = True
    strong: bool = True
    denied: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Where an announcement's noun stands, and the answer behind it. `void`: it announces an answer that it calls wrong."""

    start: int
    end: int
    strong: bool
    negated: bool = False
    void: bool = False
    letters: bool = False


class Void(NamedTuple):
    """An announcement of what is called wrong: where its noun begins, its value ends, and its sentence ends."""

    start: int
    value_end: int
    end: int


def announcements(text: str) -> Iterator[Mark]:
    """Marks in words from the end of a text to its beginning, the last `MAX_MARKS` of them."""
    places = [(match.start(), match[0]) for match in _NOUN.finditer(text)][-MAX_MARKS:]
    places += [(match.start(), match[0]) for match in _CHINESE.finditer(text)][-MAX_MARKS:]
    for place, noun in sorted(places, reverse=True):
        mark = _chinese(text, place) if noun in ("答案", "选") else _announcement(text, place)
        if mark:
            yield mark


def _announcement(text: str, place: int) -> Mark | None:
    """The mark whose noun begins at `place`; None where the word announces nothing."""
    before = _clause(tokens(text, max(0, place - BEFORE), place))
    behind = [token for token in tokens(text, place, place + BETWEEN + 20) if token.kind != "note"]
    if not behind or word_of(behind[0]) not in words.ANSWER_NOUNS or (before and before[-1].kind in ("word", "number")):
        return None
    noun = word_of(behind[0])
    if noun in ("option", "choice") and _names_a_letter(behind):
        return _letter_named(behind)
    if before and before[-1].text in "_\"'":
        return None  # a key of a record
    said = [word_of(token) for token in before if token.kind == "word"]
    named = said[-4:]
    while "the" in named or "that" in named:
        named.pop(0)
    void = any(word in words.DISOWNED for word in named) or _is_subordinate(text, place, said)
    depth = 0
    for index in range(1, len(behind)):
        token, word = behind[index], word_of(behind[index])
        depth += (token.text in "(（") - (token.text in ")）")
        if depth > 0:  # "the answer (in dollars) is"
            continue
        if word in words.ANSWER_NOUNS or (noun == "solutions" and index == 2 and word != "are"):
            return None
        if word in words.COPULAS or word in words.NEGATIONS:
            return _verb(behind, index, void)
        if token.text in ":：=":
            return Mark(place, token.end, strong="final" in said[-2:], void=void)
        if token.kind in ("newline", "formula") or token.text in (".", "?", "\\"):
            if token.kind == "formula" and index <= 2 and not said[-1:]:  # "Answer $5$"
                return Mark(place, token.start, strong=False, void=void)
            return None
        if word == "choices" or token.start > place + BETWEEN:
            return None
    return None


def _is_subordinate(text: str, place: int, said: list[str]) -> bool:
    """Whether another clause denies or supposes a noun's, or has somebody else say it: "it is wrong to say that the answer is"."""
    leads = any(word in words.SUBORDINATING for word in said[-4:])
    if "that" in said[-4:] and not any(word in words.STATING or word == "doubt" for word in said):
        return True  # "it is a myth that the answer is"
    if words.OPINIONS.intersection(said) and not words.SPEAKERS.intersection(said):
        return True  # "somebody may say that the answer is"
    return leads and is_doubted(tokens(text, max(0, place - DOUBT), place))


def _clause(before: Sequence[Token]) -> list[Token]:
    """The tokens of the noun's own clause."""
    for place in range(len(before) - 1, -1, -1):
        closes = before[place].kind == "formula" and before[place].text.rstrip("$)]\\ ")[-1:] in (".", ",", ";")
        if closes or before[place].kind == "newline" or before[place].text in ".?!:;,。，：；！？":
            return list(before[place + 1 :])
    return list(before)


def _verb(behind: Sequence[Token], index: int, void: bool) -> Mark:
    """The mark of a noun and its verb: up to the verb's end, or to the word that denies."""
    start, strong = behind[0].start, word_of(behind[0]) != "solutions"
    for place in range(index, min(index + 5, len(behind))):
        word = word_of(behind[place])
        if word in words.NEGATIONS or word.endswith("n't"):
            return Mark(start, behind[place].start, strong, negated=True, void=void)
        if word and word not in words.COPULAS and word not in words.FILLERS:
            break
    return Mark(start, behind[index].end, strong, void=void)


def _names_a_letter(behind: Sequence[Token]) -> bool:
    visible = [token for token in behind[1:] if token.kind != "space" and token.text not in "()（）*"]
    return bool(visible) and len(visible[0].text) == 1 and visible[0].text in "ABCDEFGH"


def _letter_named(behind: Sequence[Token]) -> Mark | None:
    """ "Option C is correct": the mark begins at the letter. Void where that is denied."""
    visible = [token for token in behind[1:] if token.kind != "space" and token.text not in "()（）*"]
    said = [word_of(token) for token in visible[1:5]]
    if not said or said[0] not in words.COPULAS | words.NEGATIONS:
        return None
    denied = bool(words.NEGATIONS & set(said)) or bool(words.REJECTING & set(said))
    if not denied and not {"correct", "right", "answer"} & set(said):
        return None
    return Mark(behind[0].start, visible[0].start, strong=True, void=denied, letters=True)


def _chinese(text: str, place: int) -> Mark | None:
    """答案是 / 答案为 / 答案：, and 选 before an option letter."""
    if text[place] == "选":
        end = place + 1 + (text[place + 1 : place + 2] in ("项", "择"))
        while text[end : end + 1] in ("为", "是", ":", "：") and text[end : end + 1]:
            end += 1
        letter = text[_behind_spaces(text, end) :][:2].lstrip("（(")
        negated = text[max(0, place - 1) : place] in ("不", "别") and place > 0
        return Mark(place, end, strong=True, letters=True) if letter[:1] and letter[0] in "ABCDEF" and not negated else None
    end = place + 2
    while end < place + 10 and text[end : end + 1] and text[end] in "应该当不可能绝对并非肯定一":
        end += 1
    verb = next((verb for verb in ("等于", "是", "为", "选", ":", "：") if text.startswith(verb, end)), None)
    if verb is None:
        return None
    clause = re.split("[。！？\n，,；]", text[max(0, place - 30) : place])[-1]
    void = any(word in clause + text[place + 2 : end] for word in _CHINESE_DOUBTS)
    return Mark(place, end + len(verb), strong=True, void=void)


def phrase_answers(text: str) -> tuple[list[Found], list[Void]]:
    """The answers that marks in words announce, up to the last strong and firm one; and the void announcements."""
    found: list[Found] = []
    void: list[Void] = []
    for mark in announcements(text):
        sentence = sentence_after(text, mark.end)
        rejected = mark.void or sentence.closed_by in ("?", "？") or (not mark.negated and is_rejected(sentence.tail))
        if rejected or _is_judgement(sentence):
            void.append(Void(mark.start, sentence.kept[0].end if sentence.kept else mark.end, sentence.end))
            continue
        answer = _answer(text, mark, sentence)
        if answer:
            found.append(answer)
            if answer.firm and answer.strong:
                break
    return found, void


_JUDGING = words.REJECTING | {"correct", "right", "true", "clear", "obvious", "below", "above", "here", "found", "unknown"}


def _is_judgement(sentence: Sentence) -> bool:
    """ "The answer is correct", "the answer is wrong": about an answer that stands elsewhere."""
    first = next((word_of(token) for token in sentence.kept if token.kind == "word"), "")
    return first in _JUDGING and not any(token.kind in ("number", "formula") for token in sentence.kept)


def _answer(text: str, mark: Mark, sentence: Sentence) -> Found | None:
    body = _restated(sentence)
    if not body or any(r"\boxed" in token.text or r"\fbox" in token.text for token in body):
        return None  # a box speaks for itself
    place = body[0].start
    if not mark.negated:
        if mark.letters and (letters := _letters(body)):
            return Found(place, letters)
        if letter := option_letter(body):
            return Found(place, letter, strong=mark.strong)
    kept = body if mark.negated else _shortened(body, text[mark.end - 1] in ":：")
    said = text[kept[0].start : kept[-1].end]
    firm = not mark.negated and looks_like_an_answer(kept)
    return Found(place, said, firm, mark.strong, denied=mark.negated)


def _restated(sentence: Sentence) -> list[Token]:
    """The answer; where it is in words only, what they are said to be: "the sum of these, which is 42"."""
    values = [place for place, token in enumerate(sentence.tail) if token.kind in ("number", "formula")]
    if any(token.kind in ("number", "formula") for token in sentence.kept) or not values:
        return sentence.kept
    verbs = [place for place, token in enumerate(sentence.tail) if word_of(token) in words.COPULAS and place < values[0]]
    if not verbs or word_of(next((token for token in sentence.tail if token.kind == "word"), sentence.tail[0])) != "which":
        return sentence.kept
    return [token for token in sentence.tail[verbs[-1] + 1 :] if token.kind != "note"][1:]


def _letters(body: Sequence[Token]) -> str:
    """ "AC", "(A)" directly behind 选."""
    visible = [token for token in body if token.text not in "(（ "]
    text = visible[0].text if visible else ""
    return text if text and len(text) <= 4 and all(letter in "ABCDEF" for letter in text) else ""


def option_letter(body: Sequence[Token]) -> str | None:
    """The option letter that an answer begins with: "B", "(B) 12 cm", "D, as ..."; None for a list of letters, a name, "A + 1"."""
    opened = body[0].text in "(（["
    place = 1 if opened else 0
    if place >= len(body) or len(body[place].text) != 1 or not ("A" <= body[place].text <= "Z"):
        return None
    rest = body[place + 1 :]
    if opened:
        return body[place].text if rest and rest[0].text in ")）]" and _stands_alone(rest[1:], True) else None
    if rest and rest[0].kind == "cjk":
        return body[place].text
    return body[place].text if _stands_alone(rest, False) else None


def _stands_alone(rest: Sequence[Token], bracketed: bool) -> bool:
    """Whether an option letter is the answer, whatever its option's text: no other letter and no operator follows."""
    visible = [token for token in rest if token.kind not in ("space", "newline") and token.text not in "*\"'”"]
    if not visible:
        return True
    others = [token for token in visible if len(token.text) == 1 and "A" <= token.text <= "H" and token.kind == "word"]
    if others or visible[0].text in ("-", "+", "=", "^", "_", "<", ">", "/", "(", "["):
        return False
    return bracketed or visible[0].text in (".", ",", ":", ")", "，", "：", "、", "）") or visible[0].kind == "cjk"


def _shortened(body: list[Token], stated: bool) -> list[Token]:
    """A long sentence's answer: what its last "is" says, or the expression it begins with, or the only one in it.

    `stated`: the mark is a colon, and the sentence is one of its own ("Answer: she has 3 apples").
    """
    if _ordinary_words(body) <= SHORT and not _leads_with_words(body):
        return body
    for place in range(len(body) - 2, 0, -1):
        if word_of(body[place]) in words.COPULAS or body[place].text in "是为":
            behind = list(body[place + 1 :])
            while behind and behind[0].kind == "space":
                behind = behind[1:]
            doubted = any(word_of(token) in words.DOUBTING for token in body[:place])
            if behind and not doubted and _ordinary_words(behind) <= SHORT and not _leads_with_words(behind):
                return behind
    values = [place for place, token in enumerate(body) if token.kind in ("number", "formula")]
    if not values:
        return body
    first, last = spans.around(body, values[0])
    before = [word_of(token) for token in body[:first] if token.kind != "space"]
    named = all(word in words.NAMING | words.FILLERS for word in before)
    named |= [word for word in before if word not in words.FILLERS | {"a"}] == ["total", "of"]
    named |= stated and not any(word in words.CHANGING | words.DOUBTING | words.SUPPOSING for word in before)
    if not named or any(_matters(token) for token in body[last:]):
        return body
    return list(body[first:last])


def _leads_with_words(body: Sequence[Token]) -> bool:
    """Whether a value stands behind ordinary words: "the fraction 3/4"."""
    first = word_of(body[0])
    has_value = any(token.kind in ("number", "formula") for token in body)
    return has_value and len(first) > 1 and not (first in words.CHANGING or first in words.NUMBER_WORDS)


def _ordinary_words(body: Sequence[Token]) -> int:
    """Words that are no part of a formula's text and change no value; six Chinese characters count as one too many."""
    plain = [word_of(token) for token in body if token.kind == "word" and len(token.text) > 1]
    return sum(word not in words.NUMBER_WORDS for word in plain) + sum(token.kind == "cjk" for token in body) // 6 * SHORT


def _matters(token: Token) -> bool:
    """Whether leaving a token out could change what was said."""
    word = word_of(token)
    weak = words.JOINING - {"or", "either"} | {
        "within",
        "out",
        "average",
        "mean",
        "sum",
        "difference",
        "product",
        "ratio",
        "total",
    }
    changes = word in words.CHANGING - weak or word in words.CONDITIONS or word in words.NUMBER_WORDS or word.endswith("n't")
    return token.kind in ("number", "formula") or changes or token.text in "=<>≤≥≠"


def looks_like_an_answer(body: Sequence[Token]) -> bool:
    first = body[0]
    if first.kind in ("number", "formula", "command") or first.text in "-−–+([{$€£|.√π∞¬":
        return True
    word = word_of(first)
    return (
        word in words.NUMBER_WORDS or word in ("negative", "minus") or (first.kind == "word" and len(word) == 1 and word != "a")
    )


# --- marks without words


def hashes(text: str) -> Found | None:
    """The line behind the last `####`."""
    place = text.rfind("####")
    if place < 0:
        return None
    stop = text.find("\n", place + 4)
    line = text[place + 4 : len(text) if stop < 0 else stop].lstrip("#").strip()[:400]
    body = [token for token in tokens(line) if token.kind != "space"]
    firm = bool(body) and (looks_like_an_answer(body) or body[0].text[0].isupper())
    return Found(place + 4, line, firm)


def output(text: str) -> Found | None:
    """The last line that the last program printed: of the last block of output, where it is closed and no error."""
    place = text.rfind(_OUTPUT)
    if place < 0:
        return None
    close = text.find("```", place + len(_OUTPUT))
    if close < 0:
        return None
    lines = [line.strip() for line in text[place + len(_OUTPUT) : close].splitlines()[1:] if line.strip()]
    if not lines or lines[-1].startswith(("Traceback", "Timeout")) or "Error" in lines[-1].split(":")[0].split(" ")[0]:
        return None
    return Found(close + 3, lines[-1], strong=False)


def json_answer(text: str) -> Found | None:
    """The value of the last "answer" of a JSON object, as it is written."""
    match = next(iter([*_JSON_KEY.finditer(text)][-1:]), None)
    if match is None:
        return None
    place = _behind_spaces(text, match.end())
    if text[place : place + 1] != ":":
        return None
    start = _behind_spaces(text, place + 1)
    if text[start : start + 1] not in ('"', "[", "-") and not text[start : start + 1].isalnum():
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return None
    return Found(start, value if isinstance(value, str) else text[start:end].strip("[]"))


def _behind_spaces(text: str, place: int) -> int:
    match = _SPACES.match(text, place)
    return match.end() if match else place
