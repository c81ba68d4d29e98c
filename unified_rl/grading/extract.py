"""The final answer of a response: by marks where there are some, else its last expression. Matching only, in linear time.

Marks: `\\boxed{...}` (also unbraced, nested, several side by side), `#### N`, "the answer is ...", 答案是, 故选, and what a program
printed last. The mark that stands last in the response decides, so that naming many answers is naming the last one.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Literal

from unified_rl.errors import ConfigError
from unified_rl.grading.normalise import CJK

MAX_TAIL = 40_000  # of a response, in characters: what stands before is not read
MAX_ANSWER = 3_000

Format = Literal["auto", "choice", "program", "boxed"]
FORMATS: tuple[Format, ...] = ("auto", "choice", "program", "boxed")

#: How responses of each benchmark close.
BENCHMARK_FORMATS: dict[str, Format] = {
    "gaokao_mathqa": "choice",
    "sat_math": "choice",
    "mmlu_stem": "choice",
}

_THOUGHT_END = re.compile(r"</(?:think|thought|thinking|reasoning)>")
_CHAT_END = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end_of_text|end)[^|<>]{0,20}\|>|</s>|<｜end▁of▁sentence｜>")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_HASHES = re.compile(r"####\s*([^\n]{1,400})")
_ANSWER_IS = re.compile(
    r"(?:\bsolutions\b(?=\s+are\b)|\b(?:final |correct |right )?(?:answer|choice|option)s?\b"
    r"|\bréponse\b|\brespuesta\b|\bAntwort\b|\bответ\b)"
    r"(?!\s+choices)[^.\n$\\:=：]{0,60}?(?:\s+(?:is|are|was|est|es|ist|lautet)\b(?!\s+not\b)(?:\s*:)?|\s*\**\s*[:=：])"
    r"|(?:^|[\n.:]\s{0,3})answers?\b\s{0,3}(?=\$|\\[(\[])|\bfinal answer\b[\s*]*[:：]",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"(?:so|thus|hence|therefore)?,?\s{0,3}(?:the|my|our)?\s{0,3}(?:final|correct)?\s{0,3}answer\s{0,3}(?:is\b|:)",
    re.IGNORECASE,
)
_OPTION_IS = re.compile(r"\b(?:option|choice|answer)\s+\(?([A-H])\)?\s+is\s+(?:the\s+)?(?:correct|right|answer)", re.IGNORECASE)
_STRONG = re.compile(
    r"(?:answer|choice|option|réponse|respuesta|antwort)s?\b.*\b(?:is|are|was|est|es|ist|lautet)\b|final answer|答案",
    re.IGNORECASE | re.DOTALL,
)
_CHINESE = re.compile(
    r"(?:最终|正确|所以|因此|故|最后)?的?答案(?:应该|应当|应)?(?:是|为|选|等于|[:：])+[:：]?|(?:故|应|因此|所以|本题|综上)?选(?:项|择)?[为是:：]?(?=\s*[（(]?[A-F])"
)
_OUTPUT = re.compile(r"```output\s*\n((?:(?!```)[^\n]{0,2000}\n?){0,60}?)```")
_SENTENCE_END = re.compile(r"(?<![0-9])\.(?=\s|$)|(?<=[0-9])\.(?=\s+[A-Z]|\s*$)|\.\s+I hope|[。！;；]|\n|\bI hope\b|<\|")
_DECORATION = re.compile(
    r"(?:[\s*:：=\"“'_≈]|\\\"|(?:therefore|thus|hence|then|now|indeed|clearly|surely|certainly|definitely|actually|for sure"
    r"|of course|approximately|about|exactly|simply|just|only|equal to|option|choice|约)(?![A-Za-z]),?){0,40}"
)
_MATH = re.compile(
    r"\$\$(?P<a>[^$]{1,2000})\$\$|(?<!\\)\$(?P<b>(?:[^$\\]|\\.){1,1000})\$|\\\((?P<c>(?:[^\\]|\\[^)]){1,1000}?)\\\)|\\\[(?P<d>(?:[^\\]|\\[^\]]){1,2000}?)\\\]"
)
_PERCENT_AFTER = re.compile(r"\s{0,3}(?:\\?%|percent(?:age)?\b|pct\b)")
_LATEX_FRACTION = r"\\[dtc]?frac\s?\{[^{}]{1,60}\}\s?\{[^{}]{1,60}\}"
_PLAIN = re.compile(
    rf"(?<![A-Za-z0-9_.])[-−]?\s?[$€£]?\s?(?:{_LATEX_FRACTION}|[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,8}}(?![0-9])(?:\.[0-9]{{1,40}})?"
    r"|[0-9]{1,60}(?:[.,][0-9]{1,40})?(?:\s?/\s?[0-9]{1,40}|[eE][-+]?[0-9]{1,3}(?![0-9A-Za-z]))?|\.[0-9]{1,40})(?:\s?\\?%|\s(?:percent|pct)\b)?"
)
_MINUS_OPERATOR = re.compile(r"(?:[0-9)\]}$%]|(?<![A-Za-z])[A-Za-z])\s*$")
_LETTER = re.compile(
    r"[\s*:：\"'“]*(?:\\text\s*\{|\\mathrm\s*\{|\\textbf\s*\{)?[（(\[]?\s*([A-Z])(?![A-Za-z'’]|\s*[-+=*/^<>])\s*[）)\]]?(?=[\s.,:;：，。）)*}$\"'”\]]|$|[^\x00-\x7f])"
)
_LETTERS = re.compile(r"[\s*:：\"'“]*(?:\\text\s*\{)?[（(]?\s*([A-F]{1,4})(?![A-Za-z])")
_STARTS_LETTER = re.compile(rf"\s*\**\(?([A-H])\)?\**(?:[.:：,，。、)]|(?=[{CJK}])|\s*$)")
_LONE_LETTER = re.compile(r"(?<![A-Za-z0-9$\\_^{])\(?([B-H]|A(?!\s+[a-z]))\)?(?![A-Za-z0-9'’$_^])")
_NAME_ONLY = re.compile(r"\\?[A-Za-z]{1,5}(?:_\{?[A-Za-z0-9]{1,3}\}?)?(?:\([A-Za-z]\))?")
_BOX_GLUE = re.compile(
    r"(?:\s*[a-z]{2,12}(?=\s*,?\s*and\b))?(?:\\text\s*\{|\}|\\q?quad|\\[(),;: \[\]]|\$+|[,;、，；.]|\b(?:and|or|for|part|case)\b"
    r"|\([a-z0-9]\)|和|或者?|以及|及|与|\s|\\mbox\s*\{|&)*"
    r"(?:[A-Za-z](?:_\{?[A-Za-z0-9]{1,3}\}?)?(?:\([A-Za-z]\))?\s*=\s*)?"  # the name of what is in the next box
)
_EMPHASIS = re.compile(r"\*\*([^*\n]{1,200})\*\*")


@dataclass(frozen=True, slots=True)
class _Found:
    """An answer and where its mark stands.

    `firm`: what follows the mark looks like an answer. `strong`: the mark announces the final answer ("our answer: ..." may not).
    """

    end: int
    text: str
    firm: bool = True
    strong: bool = True


def extract(
    response: str,
    format: Format = "auto",
    unmarked: Literal["last", "refuse"] = "last",
    boxes: Literal["joined", "last"] = "joined",
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
    if format == "boxed":
        found = _boxes(text, boxes)
    elif format == "choice":
        return _choice(text, unmarked)
    else:
        found = _marked(text, boxes, outputs=format == "program" or unmarked == "last")
    answer = _clean(found.text) if found else None
    if not answer and unmarked == "last" and format != "boxed":
        answer = _unmarked(text)
    return answer[:MAX_ANSWER] if answer else None


def bare(prediction: str) -> str:
    """A prediction without what announces it: a box, or "the answer is". An answer that has neither stays as it is."""
    if _BOX.search(prediction) or _ANNOUNCED.match(prediction.strip()):
        return extract(prediction, unmarked="refuse") or prediction
    return prediction


def _conclusion(text: str) -> str:
    """What follows the last thought, up to where the chat template takes over."""
    thoughts = list(_THOUGHT_END.finditer(text))
    if thoughts and text[thoughts[-1].end() :].strip():
        text = text[thoughts[-1].end() :]
    tag = text.rfind("<answer>")
    if tag >= 0 and "</answer>" in text[tag:]:
        inner = text[tag + 8 : text.index("</answer>", tag)].strip()
        text = inner if _marked(inner) else f"The answer is: {inner}" if "\n" not in inner and inner else text
    end = _CHAT_END.search(text)
    if end and text[: end.start()].strip():
        text = text[: end.start()]
    return text


def _marked(text: str, boxes: str = "joined", outputs: bool = True) -> _Found | None:
    """The last firm answer after a strong mark; where there is none, the last firm one; else the last."""
    found = [_boxes(text, boxes), _hashes(text), *_phrases(text), _output(text) if outputs else None]
    found = [answer for answer in found if answer and answer.text.strip()]
    firm = [answer for answer in found if answer.firm]
    strong = [answer for answer in firm if answer.strong]
    return max(strong or firm or found, key=lambda answer: answer.end, default=None)


# --- boxes


def _boxes(text: str, joined: str = "joined") -> _Found | None:
    """The last box; the last few, joined by commas, where they stand side by side."""
    closing = _closing_braces(text)
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue  # a box in a box
        boxes.append(_box(text, match, closing))
    if not boxes:
        return None
    contents = [boxes[-1][2]]
    for before, after in zip(boxes[-2::-1], boxes[:0:-1], strict=True):
        between = text[before[1] : after[0]]
        if (
            joined == "last"
            or len(between) > 60
            or not _BOX_GLUE.fullmatch(between)
            or "\n\n" in between
            or re.search(r"\.\s+", between)
        ):
            break
        if before[2] not in contents:
            contents.insert(0, before[2])
    percent = _PERCENT_AFTER.match(text, boxes[-1][1] + (text[boxes[-1][1] : boxes[-1][1] + 1] == "$"))
    joined = ", ".join(contents) + (r"\%" if percent and len(contents) == 1 and "%" not in contents[0] else "")
    return _Found(boxes[-1][1], joined)


def _box(text: str, match: re.Match, closing: dict[int, int]) -> tuple[int, int, str]:
    """(start, end, content) of one box."""
    start = match.end()
    if text[start : start + 1] == "{":
        end = closing.get(start)
        if end is not None:
            return match.start(), end + 1, text[start + 1 : end]
        stop = re.compile(r"[\n$]|$").search(text, start).start()
        return match.start(), stop, text[start + 1 : stop]
    bare = re.compile(r"\\[a-zA-Z]+(?:\{[^{}]{0,40}\}){0,2}|[-+]?[0-9][0-9.,]*[0-9]|[-+]?[0-9]|[A-Za-z]+").match(text, start)
    return match.start(), bare.end() if bare else start, bare[0] if bare else ""


def _closing_braces(text: str) -> dict[int, int]:
    """Opening brace -> its closing brace, in one pass; escaped braces are not braces."""
    pairs, open_braces = {}, []
    for match in re.finditer(r"\\[\\{}]|[{}]", text):
        if match[0] == "{":
            open_braces.append(match.start())
        elif match[0] == "}" and open_braces:
            pairs[open_braces.pop()] = match.start()
    return pairs


# --- other marks


def _last(pattern: re.Pattern, text: str) -> re.Match | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


def _hashes(text: str) -> _Found | None:
    last = _last(_HASHES, text)
    if last is None:
        return None
    line = last[1].strip()
    return _Found(last.end(), line, bool(re.match(r"[-+−$€£(\\.\[]*\s*[0-9A-Z\\]", line)))


def _phrases(text: str) -> list[_Found]:
    """Answers after "the answer is" and its like: the last firm one and the last one."""
    matches = sorted([*_ANSWER_IS.finditer(text), *_CHINESE.finditer(text)], key=lambda match: match.start())[-20:]
    answers = [answer for match in matches if (answer := _after(text, match.end(), match[0])) is not None]
    answers += [_Found(match.end(), match[1].upper()) for match in _OPTION_IS.finditer(text)][-1:]
    answers.sort(key=lambda answer: answer.end)
    return [*[answer for answer in answers if answer.firm][-1:], *answers[-1:]]


def _after(text: str, start: int, mark: str) -> _Found | None:
    """The answer that begins at `start`, up to the end of its sentence."""
    rest = text[start : start + 600]
    rest_start = _DECORATION.match(rest).end()
    rest = rest[rest_start:]
    if not rest:
        return None
    if _BOX.match(rest) or rest.startswith("$\\boxed"):
        return None  # the box speaks for itself
    end = start + rest_start
    strong = bool(_STRONG.search(mark))
    if choice := _LETTER.match(rest):
        return _Found(end, choice[1], strong=strong)
    if mark.startswith(("选", "故选", "应选")) and (choice := _LETTERS.match(rest)):
        return _Found(end, choice[1])
    if math := _math_list(rest):
        return _Found(end, math, strong=strong)
    stop = _SENTENCE_END.search(rest)
    sentence = rest[: stop.start()] if stop else rest
    if _is_short(sentence):
        firm = bool(re.match(r"[-+−(\[\\.{|]?\s*(?:[0-9\\]|[a-z]\b)|[$€£(]", sentence))
        return _Found(end, sentence, firm, strong)
    wordless = _in_sentence(sentence)
    return _Found(end, wordless, True, strong) if wordless else _Found(end, sentence[:200], False, strong)


def _math_list(rest: str) -> str | None:
    """Leading formulas between dollar signs or LaTeX brackets, joined where "and" or a comma stands between them."""
    match = _MATH.match(rest)
    if not match or _is_prose(match[match.lastgroup]):
        return None
    parts, end = [match[match.lastgroup]], match.end()
    glue = re.compile(r"\s*(?:,|and|or|,\s*and|和|或|、)\s*(?=\$|\\\()")
    while (link := glue.match(rest, end)) and (match := _MATH.match(rest, link.end())):
        parts.append(match[match.lastgroup])
        end = match.end()
    return ", ".join(part.strip() for part in parts) + (r"\%" if _PERCENT_AFTER.match(rest, end) else "")


def _is_short(sentence: str) -> bool:
    """Whether a sentence after a mark is the answer itself rather than words about it."""
    words = re.findall(
        r"(?<![\\A-Za-z])[A-Za-z]{2,}", re.sub(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", sentence)
    )
    cjk = re.findall(f"[{CJK}]", sentence)
    starts_as_number = re.match(r"[-−(\[\\$€£.]{0,3}\s?[0-9]", sentence)
    return (
        len(words) <= (4 if not starts_as_number else 3) and len(cjk) <= 6 and len(sentence) <= 300 and "$" not in sentence[1:]
    )


def _in_sentence(sentence: str) -> str | None:
    """The answer in a sentence of words: what its last "is" says, else its first formula or number."""
    after = re.split(r"\bis\b|\bare\b|\bequals\b|是|为|等于|=", sentence)[-1]
    for part in (after, sentence):
        places = [
            (match.start(), match[match.lastgroup]) for match in _MATH.finditer(part) if not _is_prose(match[match.lastgroup])
        ]
        places += [(match.start(), _signed(part, match)) for match in _PLAIN.finditer(part)]
        if places:
            return min(places)[1]
    return None


def _output(text: str) -> _Found | None:
    """The last line a program printed."""
    last = _last(_OUTPUT, text)
    if last is None:
        return None
    lines = [line.strip() for line in last[1].splitlines() if line.strip()]
    if not lines or re.match(r"(?:Traceback|[A-Za-z]*Error\b|Timeout)", lines[-1]):
        return None
    return _Found(last.end(), lines[-1][:MAX_ANSWER], strong=False)


# --- unmarked responses


def _unmarked(text: str) -> str | None:
    """The letter a response begins with; else its last formula or number; else its last lone letter."""
    text = text.strip()
    if match := _STARTS_LETTER.match(text):
        return match[1]
    if formulas := _formulas_only(text):
        return formulas
    if bold := [match for match in _EMPHASIS.finditer(text) if _PLAIN.search(match[1])]:
        last = bold[-1]
        if not _PLAIN.search(text, last.end()):
            return _clean(list(_PLAIN.finditer(last[1]))[-1][0])
    tail = text[-2000:]
    if "$" not in tail and len(tail) < 200 and re.search(r"\\[a-z]+", tail) and not _is_prose(tail):
        return _clean(re.sub(r"^(?:[A-Za-z]{2,20},?\s+){1,8}", "", tail))
    found: list[tuple[int, str]] = []
    for match in _MATH.finditer(tail):
        content = match[match.lastgroup].strip()
        if not _is_prose(content) and not _NAME_ONLY.fullmatch(content):
            found.append((match.end(), content + (r"\%" if _PERCENT_AFTER.match(tail, match.end()) else "")))
    covered = max((end for end, _ in found), default=-1)
    found += [(match.end(), _signed(tail, match)) for match in _PLAIN.finditer(tail) if match.start() >= covered]
    if found:
        return _clean(max(found)[1])
    letters = _LONE_LETTER.findall(text)
    return letters[-1] if letters else None


def _formulas_only(text: str) -> str | None:
    """The formulas of a response that says nothing else, as a list."""
    contents = [match[match.lastgroup].strip() for match in _MATH.finditer(text)]
    if not contents or any(map(_is_prose, contents)) or re.sub(r"\band\b|\bor\b|[\s,;.]|和|或", "", _MATH.sub("", text)):
        return None
    return _clean(", ".join(contents))


def _signed(text: str, match: re.Match) -> str:
    """A number without the minus sign that belongs to the subtraction before it."""
    number = match[0]
    if number[0] in "-−" and _MINUS_OPERATOR.search(text[max(0, match.start() - 20) : match.start()]):
        return number[1:]
    return number


def _is_prose(content: str) -> bool:
    """Whether what stands between two dollar signs is a sentence between two prices."""
    bare = re.sub(r"\\(?:text|mbox|mathrm|textbf|begin|end|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", content)
    return len(re.findall(r"(?<![A-Za-z])[A-Za-zÀ-ÿ]{3,}(?![A-Za-z(_])", bare)) >= 2


# --- choices


def _choice(text: str, unmarked: str) -> str | None:
    """Option letters: marked ones, else the letter the response begins with or the last lone one."""
    found = _boxes(text)
    marks = [(found.end, match[1])] if found and (match := _LETTERS.match(found.text) or _LETTER.match(found.text)) else []
    for match in [*_ANSWER_IS.finditer(text), *_CHINESE.finditer(text), *re.finditer(r"####", text)]:
        if letter := _LETTERS.match(text, match.end()):
            marks.append((match.start(), letter[1]))
    if marks:
        return max(marks)[1]
    if unmarked == "refuse":
        return None
    if match := re.fullmatch(r"\s*([A-H]{1,6})[.。\s]*", text) or _STARTS_LETTER.match(text):
        return match[1]
    letters = _LONE_LETTER.findall(text[-2000:])
    return letters[-1] if letters else None


def _clean(answer: str) -> str:
    """Without delimiters, markup, quotes and the full stop around it."""
    answer = answer.strip()
    for _ in range(3):
        before = answer
        inner = _BOX.match(answer)
        if inner and answer[inner.end() : inner.end() + 1] == "{" and answer.endswith("}"):
            answer = answer[inner.end() + 1 : -1]
        answer = answer.strip().strip("*").strip()
        answer = re.sub(r"^(?:\\\"|[\"“'`])+|(?:\\\"|[\"”`])+$", "", answer).strip()
        answer = re.sub(r"(?<!\\)[.。,，;；:：]+$", "", answer).strip()
        for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            if answer.startswith(opening) and answer.endswith(closing) and len(answer) > len(opening) + len(closing):
                answer = answer[len(opening) : -len(closing)].strip()
        if answer == before:
            break
    return re.sub(r"^\\?[$€£¥￥]\s?(?=[0-9.])|(?<=[0-9])\s?[€£¥￥]$", "", answer)
