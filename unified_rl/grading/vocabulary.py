"""Words that decide where an answer begins and ends: what announces it, what changes its value, what only explains it."""

from __future__ import annotations


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


#: What an answer is called. Options and choices count where they are one thing ("the correct option"), not a list of them.
ANSWER_NOUNS = _words(
    "answer answers antwort choice option respuesta réponse solutions ответ",
)

#: Verbs that join a name for the answer to the answer.
COPULAS = _words(
    "are aren't be becomes equals es est is isn't ist lautet was wasn't",
    "comes turns works amounts evaluates",
)

NEGATIONS = _words(
    "aren't can't cannot isn't n't neither never nor not wasn't won't",
)

#: Before "answer": it is not the final one, or is said to be none.
DISOWNED = _words(
    "an another extraneous any apparent bad common earlier every example false first former if incorrect initial intermediate",
    "invalid misleading mistaken naive no old original other others possible previous rejected sample someone's student's suppose",
    "tempting unless whether wrong",
)

#: Before an announcement, in its clause: what follows is not stated, but denied, doubted, supposed or said by others.
DOUBTING = _words(
    "believed claim claimed claims denied deny denies doubt doubtful false hardly impossible incorrect incorrectly mistaken",
    "mistakenly neither never nobody none not said says unlikely untrue wrong wrongly cannot can't isn't don't doesn't didn't",
    "wouldn't won't couldn't maybe perhaps might",
    "refuse refuses refused",
)
SUPPOSING = _words("assume assumed assuming if imagine pretend suppose supposing unless whether")
#: Where one of these begins a clause, what is doubted before it does not count.
CONCLUDING = _words("so thus hence therefore then but which")
#: Before "the answer", a word that makes a denial before it reach the answer.
SUBORDINATING = SUPPOSING | _words(
    "argue argues believe believed believes claim claimed claims conclude guess that say said saying says think thinks"
)

#: Words before a value that only say what kind of thing it is.
NAMING = _words(
    "amount answer area cost count digit distance following fraction function integer interval length matrix money number pair",
    "point polynomial price prime probability set solution speed time total tuple value vector volume whole expression total",
)

#: After an answer, in its sentence: it is taken back.
REJECTING = _words(
    "false impossible incorrect invalid mistake mistaken nonsense wrong",
)

#: Between "is" and the answer, without a meaning of their own.
FILLERS = _words(
    "about actually again also approximately certainly choice clearly definitely exactly hence indeed just now obviously",
    "only option precisely roughly simply so still surely that the then therefore thus",
    "to be",
)
FILLER_PAIRS = frozenset(
    {("for", "sure"), ("of", "course"), ("equal", "to"), ("given", "by"), ("as", "follows"), ("found", "by"), ("out", "to")}
)

#: Words that change the value of a number beside them. An answer is never cut between them and the number.
CHANGING = NEGATIONS | _words(
    "above almost and at average base below between bigger billion billions both choose cos couple cube cubed decreased",
    "degree degrees difference divided double doubled down dozen dozens eighth eighths either exceeding exceeds except",
    "excluding exp factorial fewer fifth fifths fold fourth fourths from greater gross half halved halves higher hundred",
    "hundreds hundredth hundredths increased infinitely infinity inverse larger least less ln log lower mean million",
    "millions minus mod modulo more most multiplied nearly negative ninth ninths opposite or out over pair pairs pct",
    "percent percentage permille plus positive power powers product quarter quarters quotient radians raised ratio",
    "reciprocal reduced remainder root roots score seventh sevenths sin sixth sixths smaller sqrt square squared sum tan",
    "tenth tenths than third thirds thousand thousands thousandth thousandths thrice times to trillion triple tripled",
    "twelfth twelfths twice under up within without",
)

#: Words of `CHANGING` that only join what stands on both their sides.
JOINING = _words(
    "and at both down either from or over than to up",
)

BOUNDS = frozenset({("at", "most"), ("at", "least"), ("up", "to")})

CONDITIONS = _words(
    "assuming except if mod modulo only provided unless until when whenever",
)

NUMBER_WORDS = _words(
    "billion eight eighteen eighty eleven fifteen fifty five forty four fourteen half hundred million nine nineteen ninety",
    "one seven seventeen seventy six sixteen sixty ten thirteen thirty thousand three twelve twenty two zero",
)

#: What begins an explanation; after a comma, more words do.
EXPLAINING = _words(
    "according as because hence since so therefore thus whereas which",
)
EXPLAINING_AFTER_COMMA = EXPLAINING | _words(
    "also being but found given giving he her his i in it its making meaning not obtained our rather rounded she that the",
    "their there they this using we where whose you",
)
EXPLAINING_IN_BRACKETS = _words(
    "after approximately as assuming because by correct due from given i it note recall rounded see simplified since so",
    "that the this using we where which",
    "not rather",
)
ADDING_NOTHING = _words(
    "again altogether approximately exactly indeed overall respectively too total",
    "more old extra",
)

#: Short words that are no units.
FUNCTION_WORDS = _words(
    "all an and any are as at be but by can did do due for get got had has he her his how if in is it its let may my new no",
    "not now of off old on one or our out own see she so the they to two up use via was we were who yet you",
)

UNITS = _words(
    "atm celsius cent centimeter centimeters centimetre centimetres cents day days degree degrees dollar dollars euro euros",
    "fahrenheit feet foot gallon gallons gram grams hertz hour hours inch inches joule joules kcal kelvin kilogram",
    "kilograms kilometer kilometers kilometre kilometres liter liters litre litres meter meters metre metres mile miles",
    "millimeter millimeters minute minutes mol month months mph newton newtons ounce ounces percent pound pounds radians",
    "second seconds ton tons unit units volt volts watt watts week weeks yard yards year years",
)

ABBREVIATIONS = _words(
    "approx ca cf cu dr eg eq fig ft ie mr mrs ms no sq st vs",
)

#: Chinese characters that change the value of a number before or behind them.
CJK_BEFORE = frozenset("负不非大小等于超过低高多少至最到根号正")
CJK_AFTER = frozenset("万亿千百十倍成半多余")
CJK_AFTER_PHRASES = ("的平方", "的立方", "分之", "以上", "以下", "次方")

#: These explain what stands before them if a word follows: "by symmetry", "from the table".
SOURCES = _words("by from after rather")
#: In front of these, "by" is part of an operation.
OPERATED = _words("divided multiplied increased decreased reduced raised divisible")
HARMLESS_DENIALS = frozenset({("not", "hard"), ("not", "difficult"), ("not", "surprising"), ("not", "only"), ("no", "doubt")})

#: Before "that the answer is": what follows is stated.
STATING = _words(
    "agree arrive arrived believe calculate calculated certain check clear compute computed conclude concluded concludes",
    "confirm confirms deduce deduced derive determine determined establishes evident explains find finds follows found",
    "get gives giving has have implies imply implying indicates infer know known learn mean meaning means note notice",
    "observe obtain obvious proves realize recall saw say see show showing shows so suggests sure tells think verified",
    "verify yielding yields",
)
#: Those of them that state an opinion, which is the response's own only where one of `SPEAKERS` has it.
OPINIONS = _words("believe believes say says said tell tells think thinks thought")
SPEAKERS = _words("i i'd i'll it let's one us we we'd we'll you")
#: In a clause with one of these, a lone letter is no choice.
NOT_CHOOSING = _words(
    "or either except out let eliminate eliminated exclude excluded excluding avoid reject point and versus vs"
)
