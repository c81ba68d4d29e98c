"""Words that are numbers or operations, in English and Chinese. Closed lists: a word that is not here means nothing here."""

from __future__ import annotations

from fractions import Fraction

_ONES = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = {word: value for value, word in enumerate(_ONES.split())} | {
    word: 10 * value for value, word in enumerate(_TENS.split(), 2)
}
#: Words that multiply the number before them.
MAGNITUDES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15,
    "dozen": 12, "lakh": 10**5, "crore": 10**7, "gross": 144,
}  # fmt: skip
_FRACTIONS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "eleventh": 11, "twelfth": 12, "sixteenth": 16, "twentieth": 20, "hundredth": 100, "thousandth": 1000, "millionth": 10**6,
    "billionth": 10**9,
}  # fmt: skip
FRACTIONS = _FRACTIONS | {word + "s": value for word, value in _FRACTIONS.items()} | {"halves": 2}
#: Words that stand for a sign of mathematics between or after its terms.
OPERATORS = {
    "plus": "+", "minus": "-", "times": r"\times", "over": "/", "squared": "^2", "cubed": "^3", "factorial": "!", "mod": r"\bmod",
    "modulo": r"\bmod", "choose": r"\choose", "pi": r"\pi", "infinity": r"\infty", "equals": "=", "degrees": r"\circ",
    "degree": r"\circ", "percent": "%", "percentage": "%", "pct": "%",
}  # fmt: skip
#: Words before a number.
SIGNS = {"negative": -1, "minus": -1, "plus": 1, "positive": 1}

#: Runs of two or three letters that are words, never products of letters.
_SHORT = """
yes no odd not the and any are but for nor one two six ten all per its was has had can or if is of to so
"""
SHORT_WORDS = frozenset(_SHORT.split())

#: Words that say something about a number rather than what is counted: a phrase with one of them is no name of counted things.
_SAYS_MORE = """
a an the is are was were be been has have had not no nor neither never none only always and or but if unless when where
while than then as at most least more less fewer greater smaller larger above below under over about around between to from
up down plus minus times by of per squared cubed factorial choose mod modulo inverse inverses doubled tripled halved twice
double triple both other others else remainder remainders negatives reciprocal reciprocals opposites complements powers logs
orders score scores dozens lakhs crores grosses hundreds thousands millions billions trillions percents percentages ones
twos threes fours fives sixes sevens eights nines tens basis ppm wrong incorrect false because since so does this its his
hers ours theirs yours besides perhaps thus hence afterwards backwards towards upwards downwards forwards sometimes
otherwise whereas across yes versus equals us says means makes gives goes comes needs seems fails
"""
NOT_COUNTED = frozenset(_SAYS_MORE.split()) | set(FRACTIONS) | set(MAGNITUDES) | set(SMALL)


def number_in_words(words: list[str]) -> Fraction | None:
    """The value of "twenty-one", "three hundred and five", "two thirds", "three quarters"; None for anything else."""
    if not words or len(words) > 24:
        return None
    if words[-1] in FRACTIONS and "and" in words:
        place = len(words) - 1 - words[::-1].index("and")
        whole, part = number_in_words(words[:place]), number_in_words(words[place + 1 :])
        return whole + part if whole is not None and part is not None and whole.denominator == 1 and part < 1 else None
    if words[-1] in FRACTIONS and len(words) > 1:
        top = Fraction(1) if words[:-1] in (["a"], ["one"]) else number_in_words(words[:-1])
        return None if top is None or top.denominator != 1 else top / FRACTIONS[words[-1]]
    if words[0] == "a" and words[1:2] and words[1] in MAGNITUDES:
        words = ["one", *words[1:]]
    total, group, last = 0, 0, None
    for place, word in enumerate(words):
        if word in SMALL:
            value = SMALL[word]
            if last not in (None, "scale") and not (last == "tens" and 0 < value < 10):
                return None
            group += value
            last = "tens" if value >= 20 else "ones"
        elif word == "hundred" and 0 < group < 100 and last in ("ones", "tens"):
            group, last = 100 * group, "scale"
        elif word in MAGNITUDES and group and word != "hundred":
            if total and MAGNITUDES[word] >= 1000 * total:
                return None
            total, group, last = total + group * MAGNITUDES[word], 0, "scale"
        elif word == "and" and last == "scale" and place + 1 < len(words):
            continue
        else:
            return None
    return Fraction(total + group)


_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_SCALES = {"十": 10, "百": 100, "千": 1000}
_GREAT = {"万": 10**4, "亿": 10**8}
CHINESE_DIGITS = frozenset(_DIGITS) | frozenset(_SCALES) | frozenset(_GREAT) | frozenset("点半")
MAX_CHINESE = 24  # characters of a number
CHINESE_MAGNITUDES = {"百": 100, "千": 1000, "万": 10**4, "十万": 10**5, "百万": 10**6, "千万": 10**7, "亿": 10**8}


def chinese_number(word: str) -> Fraction | None:
    """The value of 二十五, 一百零五, 零点五, 三又二分之一, 五分之三, 两千零五, 一万; None for anything else."""
    if not word or len(word) > MAX_CHINESE:
        return None
    if word in ("半", "一半"):
        return Fraction(1, 2)
    whole, again, part = word.partition("又")
    if again:
        left, right = chinese_number(whole), chinese_number(part)
        return left + right if left is not None and right is not None and 0 < right < 1 else None
    bottom, fraction, top = word.partition("分之")
    if fraction:
        of, share = 100 if bottom == "百" else _chinese_integer(bottom), chinese_number(top)
        return share / of if of and share is not None else None
    before, point, after = word.partition("点")
    if point:
        head = _chinese_integer(before)
        if head is None or not after or any(letter not in _DIGITS for letter in after):
            return None
        return head + Fraction(int("".join(str(_DIGITS[letter]) for letter in after)), 10 ** len(after))
    value = _chinese_integer(word)
    return None if value is None else Fraction(value)


def _chinese_integer(word: str) -> int | None:
    """Digits and 十百千万亿, each scale smaller than the one before it in its group."""
    if not word:
        return None
    if len(word) > 1 and all(letter in _DIGITS for letter in word):
        return int("".join(str(_DIGITS[letter]) for letter in word))
    total, group, digit, scale = 0, 0, None, 10**4
    for letter in word:
        if letter in _DIGITS:
            if digit not in (None, 0):
                return None
            digit = _DIGITS[letter]
        elif letter in _SCALES:
            if _SCALES[letter] >= scale or (digit is None and (letter != "十" or group or total)):
                return None
            scale = _SCALES[letter]
            group, digit = group + (1 if digit is None else digit) * scale, None
        elif letter in _GREAT:
            total = (
                (total + group + (digit or 0)) * _GREAT[letter]
                if _GREAT[letter] > 10**4
                else total + (group + (digit or 0)) * 10**4
            )
            group, digit, scale = 0, None, 10**4
            if not total:
                return None
        else:
            return None
    return _with_last_digit(total, group, digit, word)


def _with_last_digit(total: int, group: int, digit: int | None, word: str) -> int:
    """一百五 is 150: a last digit straight after a scale counts in the next smaller one."""
    if digit and len(word) > 2 and word[-2] in "百千万":
        return total + group + digit * {"百": 10, "千": 100, "万": 1000}[word[-2]]
    return total + group + (digit or 0)
