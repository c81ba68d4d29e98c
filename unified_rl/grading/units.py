r"""Units by their usual spellings, as a factor and dimensions: two quantities are equal where both agree.

A unit that is not here may still be the name of what is counted ("72 apples"): a plural, without any word that says something
about the number itself ("5 quarters", "5 more apples"). Everything else is no unit, and the answer a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from unified_rl.grading.words import NOT_COUNTED


@dataclass(frozen=True)
class Unit:
    """`factor` to the base units of the `dimensions`, e.g. 1000 and (("m", 1),) for km. `known`: from the table."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    known: bool = True

    def times(self, other: Unit, power: int = 1) -> Unit:
        powers = dict(self.dimensions)
        for name, exponent in other.dimensions:
            powers[name] = powers.get(name, 0) + exponent * power
        dimensions = tuple(sorted((name, exponent) for name, exponent in powers.items() if exponent))
        return Unit(self.factor * other.factor**power, dimensions, self.known and other.known)

    def key(self) -> str:
        return f"{self.factor} " + " ".join(f"{name}^{power}" for name, power in self.dimensions)


NONE = Unit(Fraction(1), ())

#: Symbols that take the prefixes of the SI, with the words that do.
_SI = {
    "m": "meter metre", "g": "gram gramme", "s": "second", "L": "liter litre", "J": "joule", "W": "watt", "V": "volt",
    "A": "amp ampere",
    "Hz": "hertz", "Pa": "pascal", "N": "newton", "eV": "electronvolt", "mol": "mole", "C": "coulomb", "T": "tesla", "F": "farad",
    "H": "henry", "K": "kelvin", "B": "byte", "bit": "bit", "cal": "calorie", "pc": "parsec", "Wb": "weber", "ohm": "ohm",
    "bar": "bar",
}  # fmt: skip
_PREFIXES = {
    "k": ("kilo", 3), "M": ("mega", 6), "G": ("giga", 9), "T": ("tera", 12), "d": ("deci", -1), "c": ("centi", -2),
    "m": ("milli", -3),
    "u": ("micro", -6), "n": ("nano", -9), "p": ("pico", -12), "f": ("femto", -15), "h": ("hecto", 2),
}  # fmt: skip
#: name | factor | dimension: spellings
_OTHERS = """
60 s: min mins minute 分钟 分
3600 s: hr hrs h hour 小时 时
86400 s: day 天 日
604800 s: week wk 周 星期
1 month: month 月 个月
12 month: yr yrs year 年
1 s: sec secs s 秒 秒钟
0.0254 m: inch inches in
0.3048 m: ft foot feet 英尺
0.9144 m: yd yard 码
1609.344 m: mi mile 英里
1852 m: nmi
0.45359237 g*: lb lbs pound 磅
0.028349523125 g*: oz ounce 盎司
1000 g*: ton tonne t 吨
1 USD: dollar dollars usd $ buck bucks 美元
0.01 USD: cent ¢ 美分
1 EUR: euro euros € 欧元
1 GBP: £ sterling
1 CNY: yuan rmb ¥ 元 块 块钱 圆
0.1 CNY: 角 毛
1 INR: rupee rs
1 gallon: gal gallon 加仑
0.25 gallon: quart quarts qt
0.125 gallon: pint pints pt
0.0625 gallon: cup cups
1 rad: rad radian radians
1 degC: degC
1 degF: degF
1 unit: unit units 单位
1 am: am
1 pm: pm
1000 g: kgs 千克 公斤
1 g: gm gms 克
500 g: 斤
50 g: 两
0.01 m: cms 厘米
0.001 m: 毫米
0.1 m: 分米
1 m: 米
1000 m: kms 千米 公里
1 L: l 升
0.001 L: ml cc 毫升
10000 m2: 公顷 hectare
4046.8564224 m2: acre 亩
1 ly: ly lightyear
1 au: au AU
1 M_sun: Msun
3.6e6 J: kWh
4184 J: kcal kcals
1e-10 m: angstrom
1e-7 J: erg ergs
1e-5 N: dyne dynes
60 1/s: rpm
"""
_COMPOUND = {
    "mph": ("mile", "hr"), "kph": ("km", "hr"), "kmh": ("km", "hr"), "kmph": ("km", "hr"), "fps": ("ft", "s"), "rps": ("unit", "s"),
}  # fmt: skip
#: Chinese measure words, before the noun they measure or alone.
_MEASURE_WORDS = """
个 只 本 张 条 辆 支 枝 棵 头 匹 件 名 位 人 次 朵 块 根 瓶 袋 箱 盒 页 颗 粒 座 台 架 间 层 岁 种 组
排 行 列 把 包 桶 筐 篮 艘 双 对 套 首 家 户 株 场 部 幅 面 段 节 片 圈 步 号 级 班 道 题 人次 平方 立方 度
小学生
"""
_CLASSIFIERS = frozenset(_MEASURE_WORDS.split())
_NOT_IN_NOUN = frozenset("幂方根的多少大小不非负至或和与以上下余约倍半几千百万亿十零点分加减乘除平立方根号比")


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for symbol, words in _SI.items():
        base = Unit(Fraction(1), ((symbol, 1),))
        units[symbol] = base
        units |= {word: base for word in words.split()}
        for letter, (prefix, power) in _PREFIXES.items():
            scaled = Unit(Fraction(10) ** power, base.dimensions)
            units[letter + symbol] = scaled
            units |= {prefix + word: scaled for word in words.split()}
    for line in _OTHERS.strip().splitlines():
        head, _, names = line.partition(":")
        factor, dimension = head.split()
        units |= {name: _unit(Fraction(factor), dimension) for name in names.split()}
    for name, (top, bottom) in _COMPOUND.items():
        units[name] = units[top].times(units[bottom], -1)
    for taken in ("pt", "h", "in", "d", "cd", "min", "Min", "pi", "mod", "hm", "nm.", "ha", "pa"):
        units.pop(taken + ".", None)
    units["h"], units["in"] = units["hr"], units["inch"]
    return units


def _unit(factor: Fraction, dimension: str) -> Unit:
    if dimension.endswith("*"):  # in kilograms
        return Unit(factor * 1000, ((dimension[:-1], 1),))
    if dimension == "m2":
        return Unit(factor, (("m", 2),))
    if dimension == "1/s":
        return Unit(1 / factor, (("s", -1), ("turn", 1)))
    return Unit(factor, ((dimension, 1),))


UNITS = _table()


@lru_cache(maxsize=4096)
def known_unit(word: str) -> Unit | None:
    """The unit of one word, a plural or an abbreviation with a dot among them."""
    forms = [word, word.rstrip(".")]
    if len(word) > 2:
        forms += [word.lower(), word.lower().removesuffix("s"), word.lower().removesuffix("es")]
    if word in ("l", "s", "S"):
        forms = [word.lower()]
    return next((UNITS[form] for form in forms if form in UNITS), None)


def counted(words: tuple[str, ...], one: bool) -> Unit | None:
    """The name of counted things as a unit of its own: "apples", "right triangles"; one of them may be singular."""
    lowered = [word.lower() for word in words]
    if not words or len(words) > 5 or any(word in NOT_COUNTED or not word.isalpha() for word in lowered):
        return None
    last = lowered[-1]
    plural = (len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "us", "is"))) or last in _PLURALS
    if not plural and not one:
        return None
    if len(last) < 3 or any(len(word) < 2 for word in lowered):
        return None
    stem = last if not plural or last in _PLURALS else last.removesuffix("s")
    return Unit(Fraction(1), ((f"'{_PLURALS.get(stem, stem)}'", 1),), known=False)


_PLURALS = {
    "people": "person", "children": "child", "men": "man", "women": "woman", "mice": "mouse", "geese": "goose", "teeth": "tooth",
    "sheep": "sheep", "fish": "fish", "deer": "deer", "vertices": "vertex", "matrices": "matrix", "indices": "index", "oxen": "ox",
    "students": "student", "buses": "bus", "classes": "class",
}  # fmt: skip


def counted_chinese(word: str) -> Unit | None:
    """A measure word, with the noun it measures or without."""
    if word in _CLASSIFIERS:
        return Unit(Fraction(1), ((f"'{word}'", 1),), known=False)
    if word[:1] in _CLASSIFIERS and len(word) <= 6 and not any(letter in _NOT_IN_NOUN for letter in word[1:]):
        return Unit(Fraction(1), ((f"'{word}'", 1),), known=False)
    return None
