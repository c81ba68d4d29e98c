"""Gold answers to start from: a file's, or ordinary ones."""

from __future__ import annotations

import json
from pathlib import Path

ORDINARY = r"""
7 | 42 | -13 | 360 | 2187 | 45600 | 1234567 | 0.75 | 12.5 | -3.04 | 6.28 | 0.0625
\frac{3}{8} | -\frac{5}{12} | \dfrac{17}{4} | \frac{121}{36} | 2\frac{3}{5} | 15\frac{1}{2} | \frac12
\sqrt{3} | 5\sqrt{7} | \frac{\sqrt{15}}{4} | 3+2\sqrt{2} | 4-\sqrt{11} | \sqrt[3]{9} | 6\pi | \frac{25\pi}{3} | 9\pi-18
x^2-6x+8 | (x-4)(x+9) | 3a^2b-5ab | \frac{x+1}{x-2} | 2n+5 | \frac{n(n+1)}{2} | 2^{n}-1 | -4t^3+t | p^2+q^2-2pq
y=3x-7 | x=11 | x^2+y^2=36 | x \le -4 | -2<x<5 | t \ge 6 | k>\frac{3}{4}
(3,-8) | \left(\frac{1}{2},6\right) | (2,0,-5) | [4,9] | (-6,1] | (-\infty,7) | [0,8) | (-\infty,-3)\cup(2,\infty) | [1,4]\cup[6,9]
2,5,11 | -7, 7 | 1+\sqrt{5}, 1-\sqrt{5} | \{4,6,10\} | \{-2,0,15\} | \pm 9 | 3\pm\sqrt{10}
4-7i | -3+i | \frac{1}{2}+\frac{3}{4}i | 6i | \cos x | 2\sin 3x | \ln 5 | e^{4} | 7e^{-2x} | \log_2 9 | \tan 20^\circ
35\% | 12.5\% | \$48 | \$7.25 | 65^\circ | 18\text{ cm} | 40\text{ cm}^2 | 55\text{ miles} | 90\text{ minutes} | 24\text{ feet}
1101_2 | 4302_5 | 5:3 | \text{Tuesday} | \text{west} | \text{parabola} | \text{(C)} | B | 8! | \binom{9}{4} | |x-6| | 3,\!600
\begin{pmatrix} 2 & -1 \\ 0 & 5 \end{pmatrix} | \begin{pmatrix} 3 \\ -4 \\ 8 \end{pmatrix} | \begin{pmatrix} 1/2 \\ 7 \end{pmatrix}
""".replace(" | |x-6| | ", " | \x00x-6\x00 | ")


def ordinary() -> list[str]:
    """The ordinary golds of this file."""
    return [gold.strip().replace("\x00", "|") for line in ORDINARY.strip().splitlines() for gold in line.split(" | ")]


def read_golds(path: Path) -> list[str]:
    """The distinct golds of a file: JSON records with `answer` or `gold`, or one gold a line. In order of first appearance."""
    golds = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and '"' in line:
            record = json.loads(line)
            line = str(record.get("answer", record.get("gold", "")))
        golds.append(line.strip())
    return list(dict.fromkeys(gold for gold in golds if gold))
