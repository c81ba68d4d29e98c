"""Pairs of answers that are equal, and pairs that are not, of every kind that the grader knows: `gold | prediction`."""

from __future__ import annotations

EQUAL = r"""
1,234,567 | 1234567
-0.5 | -\frac12
3/4 | 75\%
0.75 | \frac{3}{4}
\frac{\pi}{6} | \pi/6
\frac{\sqrt{3}}{3} | \frac{1}{\sqrt{3}}
\sqrt{8} | 2\sqrt{2}
2^{10} | 1024
\frac{1}{2}\pi | \pi/2
x=3 | 3
x = 3 \text{ or } x = -2 | -2, 3
\{2,3\} | \{3, 2\}
(2,3) | (2, 3)
(2,3) | \left( 2, \frac{6}{2} \right)
[0,1] | 0 \le x \le 1
(-\infty, 3] | x \leq 3
(3,\infty) | x > 3
(-\infty,-1)\cup(1,\infty) | (-\infty, -1) \cup (1, +\infty)
(-\infty,-1)\cup(1,\infty) | (1, \infty) \cup (-\infty, -1)
x<-1 \text{ or } x>1 | (-\infty,-1)\cup(1,\infty)
5\text{ cm}^2 | 5
12\text{ miles per hour} | 12 mph
\$32,\!000 | 32000
32{,}000 | 32000 dollars
7:30 | 7:30 \text{ p.m.}
45^\circ | 45
45^{\circ} | 45 degrees
\text{(B)} | B
B | (B)
B | B. 42
C | \textbf{(C)}\ 12
\text{Tuesday} | Tuesday
\text{Yes} | yes
1011_2 | 1011_{2}
43_5 | 43_{5}.
{90^\circ} | 90
{1,450,000} | 1450000
{A} | \text{(A)}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{bmatrix} 1 \\ 2 \end{bmatrix}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | (1, 2)
\left\langle 1, 2, 3\right\rangle | (1,2,3)
3 \pm \sqrt{5} | 3+\sqrt{5}, 3-\sqrt{5}
\frac{-1 \pm \sqrt{5}}{2} | \frac{-1+\sqrt5}{2}, \frac{-1-\sqrt{5}}{2}
\pm 3 | 3, -3
x^2+2x+1 | (x+1)^2
\frac{x}{x+1} | 1 - \frac{1}{x+1}
y = 2x + 3 | 2x+3
y = 2x+3 | 2x - y + 3 = 0
e^{2x} | \exp(2x)
\ln 8 | 3 \ln 2
\log_{2} 8 | 3
\sin^2 x + \cos^2 x | 1
6.02 \times 10^{23} | 6.02e23
1.5 \times 10^{-3} | 0.0015
0.\overline{3} | \frac13
0.\overline{36} | \frac{4}{11}
2+3i | 3i+2
(1+i)^2 | 2i
n! | n(n-1)!
\binom{5}{2} | 10
5! | 120
|x-2| | |2-x|
\frac{1}{2},\frac{1}{3} | 1/3, 1/2
\text{1 and 2} | 1, 2
2\frac{1}{3} | \frac{7}{3}
2 \frac13 | 7/3
1:2 | 1 : 2
-\frac{1}{2} | \frac{-1}{2}
-\frac{1}{2} | \frac{1}{-2}
\frac{a}{b} | a/b
x \in \mathbb{R} | \mathbb{R}
(-\infty, \infty) | \mathbb{R}
\emptyset | \varnothing
\text{no solution} | No solution
3x^2 | 3 x^{2}
\sqrt[3]{2} | 2^{1/3}
12\% | 12
12\% | 0.12
10^{-2} | 0.01
\cot x | \frac{1}{\tan x}
12,15 | 15 \text{ and } 12
-1 < x < 5 | (-1, 5)
-1<x\le 5 | (-1,5]
三分之二 | 2/3
12元 | 12
x=2或x=3 | 2, 3
2，3 | 2,3
{1，2} | \{1,2\}
-3 \le x < 5 | [-3,5)
\{x|x>2\} | (2,\infty)
\{x \mid 1 < x < 2\} | (1,2)
\frac{3}{2}\ \text{hours} | 1.5
1\,000\,000 | 1000000
5.0\times10^{2} | 500
(a+b)(a-b) | a^2-b^2
\mathbf{i}+2\mathbf{j} | 2\mathbf{j}+\mathbf{i}
\frac{\sqrt{2}+\sqrt{6}}{4} | \cos 15^\circ
9.8 \mathrm{~m/s}^2 | 9.8
f(x) = x^2 | x^2
a = 3, b = 4 | (3,4)
a=3,b=4 | b=4, a=3
2\sqrt{3}\text{ units} | 2\sqrt3
\frac{22}{7} | 3.142857142857143
500 \text{ million} | 500000000
11:00 | 11:00 AM
1/2 + 1/3 | 5/6
\boxed{5} | 5
4\text{th} | 4
$5.00 | 5
k\pi | \pi k
2k\pi + \frac{\pi}{3} | \frac{\pi}{3}+2k\pi
x\neq 2 | x \ne 2
\text{A, B, C} | A,B,C
ACD | A,C,D
\sqrt{2}/2 | sqrt(2)/2
2*pi | 2\pi
[1, 2, 3] | 1,2,3
(1,2),(3,4) | [(1, 2), (3, 4)]
2x^2 - 3x + 1 = 0 | 4x^2-6x+2=0
(x-1)^2+(y-2)^2=9 | (x-1)^{2}+(y-2)^{2}=3^2
-x+5 | 5-x
10 \text{ m/s} | 10 m/s
1 \text{ m} | 1 \text{ meter}
1.0 | 1
x>3 | 3<x
\frac{1}{3} | 0.3333
\frac{1}{3} | 0.333333333333
\sqrt{2} | 1.4142
40\pi | 125.66
18.333333333333332 | \frac{55}{3}
0.1 | 0.10000000000000001
3,75 | 3.75
x + \sqrt{2} | x + 1.4142
\frac{x}{2} | 0.5x
\frac{-\sqrt{3}}{-2} | \frac{\sqrt{3}}{2}
\left\{ -1, 1 \right\} | \pm 1
x = \pm 2 | x = 2 \text{ or } x = -2
\sqrt[3]{-8} | -2
\text{6 cm} | 6
九 | 9
3\text{ and }-\frac12 | -0.5, 3
\{(1,2),(2,1)\} | (2,1),(1,2)
-2 \\le x \\le 7 | [-2,7]
\\frac{1}{2} | 0.5
\cfrac{1}{2} | 1/2
Eq(x**2/4 + y**2/3, 1) | x^2/4+y^2/3=1
FiniteSet(1, 2) | 1, 2
Interval(0, 1) | [0,1]
Matrix([[1, 2], [3, 4]]) | \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}
[[1,2],[3,4]] | \begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}
x=1,2 | 1,2
x_1=2, x_2=3 | 2, 3
\sqrt{2}i | i\sqrt{2}
\frac{1}{2}(1+\sqrt{5}) | \frac{1+\sqrt{5}}{2}
3\cdot 10^8 | 300000000
1.0e+05 | 100000
a=1; b=2 | (1,2)
\angle ABC = 30^\circ | 30
12(cm) | 12
18(元) | 18
6个 | 6
24只 | 24
5∶4 | 5:4
－5 | -5
２√３ | 2\sqrt{3}
√(2) | \sqrt2
π/2 | \frac{\pi}{2}
a²+b² | a^2+b^2
x≥3 | [3,+\infty)
(-∞,2) | x<2
\frac{7}{2} 或 3.5 | 7/2
\frac{\sqrt{2}}{2} | \frac{1}{\sqrt{2}}
-\frac{\pi}{6}+2k\pi | 2k\pi-\frac{\pi}{6}
2^{n}-1 | 2^n - 1
2^{n+1} | 2 \cdot 2^n
\log_2 3 | \frac{\ln 3}{\ln 2}
\lg 2 | \log_{10} 2
\frac{n(n+1)}{2} | \frac{n^2+n}{2}
y=x+1 | x-y+1=0
x+y-1=0 | y=-x+1
\frac{x^2}{4}+\frac{y^2}{3}=1 | \frac{y^2}{3}+\frac{x^2}{4}=1
\vec{a} = (1,2) | (1,2)
e^{-t} | \frac{1}{e^t}
e^{-2t}(\cos t+\sin t) | (\sin t+\cos t)e^{-2t}
\arcsin \frac{1}{2} | \frac{\pi}{6}
\sin(2x) | 2\sin x\cos x
1.6 \times 10^{-19} \mathrm{C} | 1.6e-19
4.5e33 | 4.5 \times 10^{33}
-1.5 \pm 0.5i | -1.5+0.5i, -1.5-0.5i
\{x|-1<x<2\} | (-1,2)
\{x\mid x\neq 1\} | x \neq 1
\{0, 1, 2\} | \left\{0,1,2\right\}
\mathbb{R} | (-\infty,+\infty)
\text{Monday} | monday
6 \text{ and } 8 | 8, 6
10:30 \text{ a.m.} | 10:30
\$1.50 | 1.5
15\text{ feet} | 15 ft
2\frac{1}{2}\text{ hours} | 2.5
\frac{5}{2}\% | 2.5\%
0.05 | 5\%
(1,-2,3) | 1,-2,3
\begin{pmatrix}1\\2\\3\end{pmatrix} | \langle 1,2,3\rangle
\dbinom{5}{2} | 10
7! | 5040
\frac{10!}{5!5!} | 252
\left| x \right| | |x|
\sqrt{x^2} | |x|
\text{(-2, 3)} | (-2,3)
\left(\frac{1}{2}, \infty\right) | x>\frac12
0<x<1 | (0,1)
\lfloor 2.5 \rfloor | 2
\frac{1}{2}x^2 | \frac{x^2}{2}
5\frac{1}{2} | 5.5
\text{A and B} | A, B
AB | A, B
-\infty | - \infty
3^{\frac{1}{2}} | \sqrt{3}
\sqrt{\frac{1}{2}} | \frac{\sqrt{2}}{2}
10\sqrt{2} \text{ cm} | 10\sqrt{2}
1.23 \times 10^{4} | 12300
2,\!500 | 2500
\frac{3}{4} \text{ or } 0.75 | 0.75
n=3k+1 | 3k+1
\text{Mr. Smith} | Mr. Smith
x^{2}-x y+y^{2} | x^2 - xy + y^2
f^{-1}(x)=x-2 | x-2
三十二 | 32
十二 | 12
一百零五 | 105
负三 | -3
百分之五十 | 50\%
(3;-1;0),(0;2;5) | (0,2,5), (3,-1,0)
(2,5; 7) | (2,5; 7.0)
\frac{AC}{BD}=\frac{3}{5} | \frac{3}{5}
\frac{S_1}{S_2}=4 | 4
\frac{dy}{dx} = 6x | 6x
\frac{u}{v}=3 | u/v = 3
g(n)=2 \text{ and } g(n)=-2 | g(x)=2org(x)=-2
h(t)=3t-1 | h(x)=3x-1
a = 2, b = 3 \text{ and } a = 4, b = 3 | a=2,b=3;a=4,b=3
a = 2, b = 3 \text{ and } a = 4, b = 3 | (2,3),(4,3)
y = 4x | x = \frac{y}{4}
35 mm^2 | 35
35 mm^{2} | 35 \text{ mm}^2
16:45 | 4:45 \text{ P.M.}
0:20 | 12:20 am
8 a.m. | 8\text{ a.m.}
72\ | 72
0.35J | 0.3500 J
\frac{7}{20}J | 0.35 J
9 t^2 | 9t^2
5 + 2 t | 2t+5
25^\circ, 155^\circ | 25,155
\sin 40^\circ | \sin 40
\boxed{(4,5)} | (4,5)
\boxed{4,5} | \{5,4\}
\boxed{\{4,5\}} | 4, 5
\boxed{y = 9}. | 9
\boxed{\text{C}} | C
\frac{\sqrt{7}}2 | \frac{\sqrt7}{2}
\frac{5}{12,\!345} | 5/12345
\text{B7}_{12} | B7_{12}
\sqrt{}5 | \sqrt{5}
\begin{pmatrix}4\-7\2\end{pmatrix} | \begin{pmatrix} 4 \\ -7 \\ 2 \end{pmatrix}
\begin{pmatrix} 3 & \phantom -8 \end{pmatrix} | \begin{pmatrix} 3 & 8 \end{pmatrix}
\approx 6.31 \text{ kg} | 6.31
2^{3000} - 1 | (2^{1500}-1)(2^{1500}+1)
""".strip().splitlines()

DIFFERENT = r"""
4t | 4
3m | 3
(1,2) | (2,1)
[1,2] | (1,2)
1,2 | 1
1,2,3 | 1,2
5 | -5
x^2 | x
\pi | 3.14
\sqrt{2} | 1.41
1/3 | 0.33
\frac13 | 0.3
16386.17 | 16386.16
x=1,y=2 | x=2,y=1
(0,1] | [0,1)
\frac{1}{2} | 2
10 \text{ cm} | 10 \text{ m}
x > 3 | x < 3
x>3 | x \ge 3
A | B
A | AB
\text{Yes} | No
Evelyn | Briana
\infty | -\infty
2^{10} | 2^{11}
x+1 | x-1
\sin x | \cos x
|x| | x
1011_2 | 1101_2
0 | \infty
1:2 | 2:1
7:30 | 7:31
\begin{pmatrix} 1 & 2 \end{pmatrix} | \begin{pmatrix} 2 & 1 \end{pmatrix}
0.5 | 0.05
12 | 12x
6 | 6, 7
6 | 6 or 7
\{1,2\} | \{1,2,3\}
x^2+y^2=1 | x^2+y^2=2
2 | 1,2,3,4
50 | 0.5
1000000 | 1000001
100000000000000000001 | 100000000000000000002
0.0000001 | 0.0000002
\frac{100}{3} | 33
\frac{100}{3} | 33.3
(x-1)(x-2) | (x-1)(x+2)
e | 2.7
n | n+1
a | b
x=2 | y=2
y | x
3 | 3!
5 | 5^2
3.14159 | 3.1416
125 | 1.25
2/3 | 3/2
1,000 | 1
(1, 000) | 1000
-1 | 1
\frac{1}{x} | \frac{1}{y}
1 | x=1 \text{ or } x=2
\text{odd} | \text{even}
f(x)=x | f(x)=2x
\sqrt{-1} | 1
10^{10^{10}} | 10^{10}
5 | 5 or not 5
1 | 1/0
0 | 0/0
x | x or y
A | A or B
C | C, D
2 | \boxed{2}, 3
\frac{1}{3} | 0.3334
\frac{1}{3} | 0.333
10000 | 9999.9
\frac{2}{3} | 0.6
\{1\} | \{2\}
[0,1] | (0,1)
(0,1) | \{0,1\}
\sqrt{x^2} | x
\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix} | \begin{pmatrix} 1 & 0 \\ 0 & 2 \end{pmatrix}
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix} 1 & 2 \end{pmatrix}
x^2+y^2=1 | x^2-y^2=1
a+3z=0 | 0
2x \le 4 | 2x < 4
6 \text{ inches} | 6 \text{ feet}
五分之三 | 三分之五
3.5 | 3,4,5
2,75 | 2,76
A | A. B. C. D.
A | (A) or (B)
204_5 | 204_7
204_5 | 205_5
x_2 | x
17 | 17 \text{ or 18}
17 | 17 \text{ if } x=1
\operatorname{foo}{12}{3} | \operatorname{foo}{1}{23}
\square{12}{3} | \square{1}{23}
7 | 7, 8, 9
(1,2) | (1,2),(3,4)
x^2 | x^{2}y
2^{n} | 2n
\log 2 | \ln 2
5 \text{ km} | 5 \text{ kg}
10^{10^{10^{10}}} | 10^{10}
1/2x | 2/x
(3;-1) | (-1;3)
\frac{x}{2} = 3 | 3
\frac{AC}{BD}=2 | \frac{BD}{AC}=2
\frac{u}{v} = 3 | u = 3
\frac{x}{4}+\frac{y}{5}=1 | 1
h(t)=3t-1 | h(x)=3x+1
h(t)=ht | k(x)=kx
h(t)=2t+x | h(x)=2x+t
a = 2, b = 3 \text{ and } a = 4, b = 3 | (2,4),(3,3)
35 mm^2 | 35 mm^3
16:45 | 4:45 am
16:45 | 4:45
0.35J | 0.35K
0.35J | 0.36 J
5 + 2 t | 5 + 2
9 t^2 | 9 t
8 a.m. | 8 p.m.
25^\circ, 155^\circ | 25,165
25,155 | 25^\circ
\sin 40 | \sin 50^\circ
\sin 90 | 1
\{12,345\} | 12345
y = 4x | x = 4y
2^{3000} - 1 | 2^{3000} + 1
2^{30000} - 1 | 2^{30000} + 1
\begin{pmatrix}4\-7\2\end{pmatrix} | \begin{pmatrix} 4 \\ 7 \\ 2 \end{pmatrix}
""".strip().splitlines()


def pairs(lines: list[str]) -> list[tuple[str, str]]:
    """(gold, prediction); the separator is the last ` | ` where the answers contain one themselves."""
    return [tuple(line.rsplit(" | ", 1)) if line.count(" | ") > 1 else tuple(line.split(" | ")) for line in lines]
