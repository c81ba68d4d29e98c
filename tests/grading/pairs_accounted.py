"""Pairs that test whether everything in an answer is accounted for: `gold | prediction`, by and large one token apart."""

from __future__ import annotations

EQUAL = r"""
[1,4] | 1 \le x \text{ and } x \le 4
M ⊆ N | M \subseteq N
\neg p | ¬p
2A_{16} | 2\text{A}_{16}
25 | 5 squared
-12 | negative twelve
1250 | one thousand two hundred fifty
1250 | one thousand two hundred and fifty
19 | \text{nineteen}
1400 | fourteen hundred
\arccos\frac12 | 60^\circ
60^\circ | \frac{\pi}{3}
45 degrees | 45^\circ
5 | \lfloor 5.5 \rfloor
60000 | 6×10⁴
75_8 | 75₈
1/2 | one half
3/4 | three quarters
3/4 | three-quarters
2.5 | two and a half
2.5 | 2 and a half
x>2 | 2<x
\pm 2 | 2, -2
\{-2, 2\} | x = \pm 2
x = \pm 2 | \pm 2
x=1,y=2 | y=2,x=1
x=1 \text{ and } y=2 | (1,2)
10^{-3} | 0.001
\binom{n}{k} | \frac{n!}{k!(n-k)!}
\binom{10}{3} | 120
\binom{n}{2} | \binom{n}{n-2}
^5C_2 | 10
_5C_2 | 10
\sqrt{x}\sqrt{y} | \sqrt{xy}
x^2 \ge 4 | x \le -2 \text{ or } x \ge 2
x^2<4 | -2<x<2
-2x \ge 6 | x \le -3
3 < 2x+1 \le 7 | 1<x\le 3
|x-1|<2 | (-1,3)
|x|>2 | (-\infty,-2)\cup(2,\infty)
\frac{1}{2}\ln 4 | \ln 2
\log_3 9 | 2
17 \bmod 5 | 2
2 \pmod 5 | 7 \pmod 5
x \equiv 4 \pmod{9} | x \equiv 4 \ (\text{mod } 9)
x \equiv 4 \pmod{9} | x = 4 mod 9
n = 7k + 3 | 7k+3
\frac{\pi}{4} | 45^\circ
0.1\overline{6} | \frac16
0.\overline{142857} | \frac17
0.(3) | 1/3
0.3\ldots | 0.3\ldots
2\frac{3}{4} | 2.75
-1\frac{1}{2} | -1.5
1\,000 | 1000
1 000 000 | 1000000
7 | seven
21 | twenty one
100 | one hundred
0 | zero
二十一 | 21
负三 | -3
三万五千 | 35000
一半 | 1/2
8 | 8个
8 | 8本书
8 | 8 厘米
100 | 100平方厘米
3 MW | 3
\frac23 | \frac23 \approx 0.667
(1,2) | (x,y)=(1,2)
(1,2) | y=2, x=1
(2,3) | (m,b)=(2,3)
\ln 2 | 0.69314718055994530942
\ln 2 | 0.69314718055994530941723212145817656807550013436026
|x|^2 | x^2
\sum_{k=1}^n k | \frac{n(n+1)}{2}
2^k | 2ᵏ
\begin{vmatrix}1&2\\3&4\end{vmatrix} | -2
\textcolor{red}{5} | 5
\color{blue}{5} | 5
3,000 | 3000
9 | 9 cm^2
9 cm^2 | 9\text{ cm}^2
9cm^2 | 9\text{ cm}^2
9 g | 9\text{ g}
9 s | 9\text{ seconds}
90 km/h | 90\text{ km/h}
20 m/s | 20
5 kg m/s^2 | 5 \text{ kg}\cdot\text{m/s}^2
5 N m | 5\text{ N m}
5 N/m | 5
3 Pa | 3
2 L | 2 \text{ liters}
1\text{ km} | 1000\text{ m}
1 | 0.9999999999999999
\sqrt{x^4} | x^2
\log_2 x | \frac{\ln x}{\ln 2}
\max(x,y) | \max(y,x)
-\lfloor -x \rfloor | \lceil x \rceil
5.25 | 5 and a quarter
125 | 5 cubed
0.05 | 5 hundredths
1 | 5 fifths
5 | = 5
5 | \sqrt{25}
5 | \lceil 4.2 \rceil
5 | \gcd(10,15)
30 | \operatorname{lcm}(10,15)
2 | 5 mod 3
5 km/h | 5 km/h
15_7 | 15 in base 7
12345 | 12,345
500 cents | \$5
5 million | 5000000
5 million dollars | \$5 million
5 million dollars | \$5{,}000{,}000
3 feet | 36 inches
36 | 3 dozen eggs
\frac{3}{4} | 0.75
\frac34 | 3/4
\frac{3}{4} | \frac 3 4
\frac{3}{4} | 3 / 4
\frac{3}{4} | three fourths
\frac{3}{4} | 3 over 4
\frac{3}{4} | 75%
\frac{3}{4} | 75 \%
\frac{3}{4} | 四分之三
-5 | minus five
-5 | negative five
-5 | \text{negative five}
-\frac12 | negative one half
-\frac12 | minus one-half
7 | Seven
42 | forty-two
42 | Forty two
115 | one hundred fifteen
2023 | two thousand twenty-three
1000000 | one million
1500000 | 1.5 million
2500 | twenty-five hundred
12 | a dozen
12 | one dozen
100 | one hundred percent
5 | 5.00
5 | +5
5 | 05
5 | 5/1
5 | \frac{10}{2}
5 | $5$
5 | \(5\)
5 | \[5\]
5 | \boxed{5}
5 | \text{5}
5 | \mathbf{5}
5 | "5"
5 | 5 .
5 | 5 apples
5 | 5 right triangles
5 | 5 blue marbles
5 | 5\text{ students}
5 | 5 people
5 | 5 ways
5 | 5 cm
5 | 5cm
5 | 5 \text{cm}
5 | 5~\mathrm{cm}
5 | 5 centimeters
5 | 5 square units
5 | 5 units squared
5 | 5 units^2
5 | 5 cubic inches
5 | 5\,\mathrm{m/s}
5 | 5\ \mathrm{m\,s^{-1}}
5 | 5 km/hr
5 | 5 miles per hour
5 | 5 mph
5 | 5 hours
5 | 5 dollars
5 | \$5
5 | $5
5 | USD 5
5 | 5 USD
5 | €5
5 | 5 元
5 | 5元
5 | 5个
5 | 5 个苹果
5 | 5米
5 | 5平方米
5 | 5千克
5 | 5小时
5 | 5 分钟
5 | 五个
50\% | 百分之五十
30^\circ | 30°
30^\circ | 30 degrees
30^\circ | \frac{\pi}{6}
30^\circ | \frac{\pi}{6} \text{ radians}
\frac{\pi}{6} | \pi/6
\frac{\pi}{6} | 30^{\circ}
x=5 | 5
x = 5 | x=5.0
(1,2) | x=1, y=2
(1,2) | x=1 and y=2
(1,2) | \left(1,2\right)
(1,2) | 1, 2
(1,2) | \begin{pmatrix}1\\2\end{pmatrix}
1,2 | x=1 \text{ or } x=2
1,2 | x \in \{1,2\}
1,2 | 1 and 2
1,2 | \{1, 2\}
1, 2, 3 | 1, 2, and 3
1, 2, 3 | 3, 2, 1
x>3 | (3,\infty)
x>3 | x \in (3, \infty)
x>3 | (3,+\infty)
x>3 | 3<x
x>3 | \{x \mid x>3\}
x>3 | \{x \in \mathbb{R} : x>3\}
x \ge 3 | [3,\infty)
1<x<3 | (1,3)
1<x<3 | x>1 and x<3
1<x<3 | 3>x>1
x<1 \text{ or } x>3 | (-\infty,1)\cup(3,\infty)
x \ne 2 | (-\infty,2)\cup(2,\infty)
x \ne 2 | \mathbb{R}\setminus\{2\}
x \ne 2 | \mathbb{R} - \{2\}
x \neq 2,3 | x \neq 2 and x \neq 3
\mathbb{R} | (-\infty,\infty)
\mathbb{R} | all real numbers
\emptyset | \{\}
2x^2+3x | x(2x+3)
\frac{x+1}{2} | \frac{x}{2}+\frac12
\frac{x+1}{2} | 0.5x+0.5
\frac{x+1}{2} | (x+1)/2
x^{-1} | \frac1x
\sqrt{x} | x^{1/2}
\sqrt{12} | 2\sqrt3
\sqrt{12} | 2\sqrt{3}
\sqrt{12} | √12
\sqrt{12} | sqrt(12)
\sqrt{12} | 2*sqrt(3)
\sqrt[3]{16} | 2\sqrt[3]{2}
\frac{1}{1+\sqrt2} | \sqrt2-1
\frac{\sqrt5-1}{2} | \frac{2}{1+\sqrt5}
e^{2x} | (e^x)^2
\ln 4 | 2\ln 2
\log_{10} 1000 | 3
\log 1000 | 3
\sin\frac{\pi}{6} | \frac12
\tan 45^\circ | 1
\cos 2x | 2\cos^2 x-1
\cos 2x | 1-2\sin^2 x
\sec x | \frac{1}{\cos x}
\arctan 1 | \frac{\pi}{4}
i^2 | -1
(1+i)(1-i) | 2
3+4i | 4i+3
|3+4i| | 5
\binom{6}{2} | 15
6! | 720
\frac{8!}{6!} | 56
2^{10} | 1024
2^{10} | 2^10
10^{-2} | \frac{1}{100}
3 \times 10^8 | 3e8
3 \times 10^8 | 300,000,000
3 \times 10^8 | 3 \cdot 10^{8}
3 \times 10^8 | 3x10^8
1234567 | 1,234,567
1234567 | 1\,234\,567
1234567 | 1{,}234{,}567
0.\overline{3} | 1/3
0.\overline{27} | \frac{3}{11}
0.1\overline{6} | \frac{1}{6}
0.333... | \frac13
2\frac12 | 2.5
2\frac12 | \frac52
2\frac12 | 2 1/2
2\frac12 | 2+\frac12
2½ | 5/2
1011_2 | 1011_{2}
1011_2 | 1011_{\text{two}}
1011_2 | 1011 in base 2
1011_2 | (1011)_2
1011_2 | 1011₂
y=2x+1 | 2x-y+1=0
y=2x+1 | y-2x=1
y=2x+1 | 2x+1
f(x)=x^2 | x^2
f(x)=x^2 | y=x^2
f(x)=x^2 | f(t)=t^2
x^2+y^2=4 | \frac{x^2}{4}+\frac{y^2}{4}=1
5:30 | 5:30 p.m.
5:30 PM | 17:30
\text{Monday} | Monday
\text{(A)} | A
A | (A)
A | A.
A | A) 5
A, C | AC
A, C | A and C
\text{True} | true
\text{even} | even
\text{No} | no
p-q | -(q-p)
a^2-b^2 | (a-b)(a+b)
\frac{a}{b} | a/b
\frac{a}{b} | a b^{-1}
\frac{n(n+1)}{2} | \frac{1}{2}n(n+1)
\frac{n(n+1)}{2} | 0.5n^2+0.5n
n^2 | n \cdot n
4\pi | 4 \pi
4\pi | 12.566
\frac{4}{3}\pi r^3 | \frac{4\pi r^3}{3}
\frac{4}{3}\pi r^3 | 4/3 \pi r^3
\frac{4}{3}\pi r^3 | (4/3)πr³
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{bmatrix}1&2\\3&4\end{bmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | [[1,2],[3,4]]
\begin{pmatrix}1\\2\end{pmatrix} | \langle 1,2\rangle
\mathbf{i}+2\mathbf{j} | \hat{i}+2\hat{j}
x \equiv 3 \pmod 5 | x ≡ 3 (mod 5)
x \equiv 3 \pmod 5 | x \equiv 8 \pmod 5
\pm 3 | 3, -3
\pm 3 | 3 or -3
\pm 3 | x=\pm3
\pm \sqrt2 | \sqrt{2}, -\sqrt{2}
2\pm i | 2+i, 2-i
\infty | infinity
\infty | +∞
-\infty | -∞
\text{undefined} | undefined
\emptyset | (1,5)\cap(6,9)
11 | 5+6=11
\{3\} | \{x: x=3\}
[2,2] | [2,2]
(-\infty, 3) | x<3
[a,b] | a \le x \le b
(2,5) | 2<x<5
\sqrt5 | 2.2360
\sqrt5 | 2.236
\frac13 | 0.3333
\operatorname{Re}(z) | \Re(z)
\frac17\triangle ABC | \frac{1}{7}\triangle ABC
\sqrt{2},\sqrt{3},\sqrt{5} | \sqrt5, \sqrt3, \sqrt2
\sqrt{2},\sqrt{3},\sqrt{5} | 1.4142, 1.7321, 2.2361
12.5\%, 3 | 0.125, 3
30^\circ, \frac{\pi}{3} | \frac{\pi}{6}, \frac{\pi}{3}
2.314814814815 \times 10^{-3} | \frac{1}{432}
1/8 | 0.125
\frac{100}{7} | 14.29
x \in [2,5) | 2 \le x < 5
x \in (-\infty, 2) \cup (3, \infty) | x<2 \text{ or } x>3
\left\{\frac{1}{2}, 3\right\} | 0.5, 3
2x + 3y = 6 | y = 2 - \frac{2x}{3}
a_n = 2n+1 | 2n+1
\angle ABC = 30^\circ | 30
n = 3 \text{ or } n = 5 | 3, 5
k \in \mathbb{Z} | k \in \mathbb{Z}
\frac{\pi}{4} + k\pi, k \in \mathbb{Z} | k\pi + \frac{\pi}{4}, k \in \mathbb{Z}
\sqrt{a^2+b^2} | \sqrt{b^2 + a^2}
\frac{-b \pm \sqrt{b^2-4ac}}{2a} | \frac{-b+\sqrt{b^2-4ac}}{2a}, \frac{-b-\sqrt{b^2-4ac}}{2a}
5\text{ hours and }20\text{ minutes} | 5 \text{ hours and } 20 \text{ minutes}
\$12.50 | 12.50 dollars
\$12.50 | 1250 cents
3.0 \times 10^{-5} | 0.00003
1.6 × 10⁻¹⁹ | 1.6e-19
\frac{22}{7} | 3\frac17
-1 | i^2
e^{i\pi} | -1
\frac{1+i}{1-i} | i
\cos\frac{\pi}{3} | \frac12
\sin 30^\circ | 0.5
\log_3 \frac19 | -2
\ln e^2 | 2
8^{2/3} | 4
\frac{a^2-b^2}{a-b} | a+b
\frac{1}{x} - \frac{1}{x+1} | \frac{1}{x(x+1)}
\sum_{i=1}^{n} i | \frac{n(n+1)}{2}
(n+1)! | (n+1) n!
x^3 - y^3 | (x-y)(x^2+xy+y^2)
|x-3| < 2 | 1 < x < 5
x^2 - 5x + 6 > 0 | x<2 \text{ or } x>3
-3 \le 2x+1 < 7 | [-2,3)
y \neq \pm 1 | y \neq 1, -1
\begin{bmatrix} 1 & 0 \\ 0 & 1 \end{bmatrix} | \begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}
\begin{pmatrix} 2 \\ -1 \end{pmatrix} | \left(2,-1\right)
3 \text{ to } 5 | 3 \text{ to } 5
12:00 | 12:00 \text{ noon}
24_{10} | 24
4 | 4_{10}
0.5_{10} | 0.5
1011_2 | 1011
\text{May} | May
\text{Evelyn} | evelyn
\text{YES} | yes
\text{Bob} | Bob
18 | 18 dollars per day
18 | \$18 per day
18 | \$18/day
18 | 18 miles per gallon
100 | 100 sq ft
100 | 100 square ft.
100 | 100 ft^2
100 | 100 sq. ft.
24 | 24 cubic cm
3.5 | 3\frac{1}{2} hours
2.5 | 2.5 hrs
1 | 1 day
12 | 12 eggs per week
70000 | $70,000
70000 | 70,000 dollars
5 | 5 boxes of crayons
5 | 5 bags
540 | 540 meters
540 | 540 meters per week
25 | 25\text{ percent}
2:1 | 2 : 1
45 | 45 mph
160 | 160 minutes
45 | 45^{\circ}
12 | 12 \text{in.}
12 | 12\text{ sq. in.}
5\text{ feet} | 5 ft
9.8 | 9.8 m/s^2
9.8 | 9.8\ \mathrm{m/s^2}
0.05 | 0.05 \, \text{mol/L}
3 | 3 teaspoons
3 | 3 kids
20 | 20 years
15 min | 15\text{ minutes}
15 min | 15
""".strip().splitlines()

DIFFERENT = r"""
8\% | 8^\circ
x \neq 1 \text{ or } x \neq 2 | x \neq 1 \text{ and } x \neq 2
|t| = 9 | t = 9
\alpha = 2 | \alpha\beta = 2
\gcd(a,b) | \gcd(a,2b)
n | \min(n,1000)
l ⊥ m | l ∥ m
6 | 6 \text{ tens}
6 | 6 tens
6 | 6 units of ten
5 | 5 squared
9 | 9-ish
3 | 3 of 7
3 | 3 out of 7
60 | \frac{\pi}{3}
3x+2y | 3x+2.001y
5 | \lfloor 5.5 \rfloor + 0.01
1 | 1-e^{-50}
\frac{7}{2} | 3 \frac{1}{3}
DEAF | FADED
A=2 | A_1 = 2
1 | 1 + 10^{-60}
6\times 104 | 6×10⁴
(1,2) | [1,2]
5 | 5!
12 | 1 2
12 | 1\ 2
7 | seven tenths
3 | 3 quarters
3 | 3 and a half
x>2 | x\geq 2
x=1,y=2 | y=1,x=2
x^2<4 | x<2
2 \pmod 5 | 2 \pmod 7
0.3 | 0.\overline{3}
0.3 | 0.3\ldots
5 | five or six
100 | a hundred and one
\infty | 10^{100}
5 | 五分之一
8 | 不是8
8 | 8以上
8 | 超过8
8 | 8倍
8 | 大约8个以上
100平方厘米 | 100立方厘米
100平方厘米 | 100厘米
3 \text{ MW} | 3 \text{ mW}
3 MW | 3 mW
42 | .42
42 | 42 \approx 43
64 | 64 \approx 65
42 | 42 \mod 5
\frac12 | 1/2 mod 5
(1,2) | (y,x)=(1,2)
(2,1) | y=2, x=1
3 | 2.9999999999999999999999999
0.1234567 | 0.12345670000001
\ln 2 | 0.69314718055994530941723212145817656807550013436027
\lfloor x \rfloor | \lfloor x+10^{-30} \rfloor
|z|^2 | z^2
\sum_{k=1}^n k | \frac{n(n-1)}{2}
\begin{vmatrix}1&2\\3&4\end{vmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
3,000 | 3, 0
x>3 | f(x)>3
x>3 | |x|>3
42 | 42折
42 | 42 \text{ bn}
42 | 42k
42 | \cancel{42}
\max(0, x-50) | 0
1.0001x | x
2 L | 2 \text{ mL}
5\text{ cm} | 5\text{ in}
2x | 2\text{ x}y
0 | \emptyset
x | |x|
x^2 | x^{2.0001}
1 | 0.999999
1 | 0.9999999999999
\sqrt{x^2+1} | x+1
\sqrt{x^4} | -x^2
\frac{x^2}{x} | |x|
e^{x} | e^{x}+10^{-50}
x | x+10^{-60}
x | x + \frac{1}{10^{100}}
\sin x | \sin(x+10^{-50})
\sin x | \sin(x + 10^{-44})
\tan^{-1} x | \cot x
2^{100} | 2^{100}+1
\log_2 x | \log x
\ln x | \log x
\max(x,y) | x+y
(x+y)^{100} | x^{100}+y^{100}
\gcd(a,b) | 1
n! | n^n
\lceil x \rceil | \lfloor x \rfloor + 1
x \bmod 3 | x
\frac{x^{50}-1}{x-1} | x^{49}
(-1)^n | 1
(-1)^{n} | (-1)^{n+1}
\cos(n\pi) | 1
\sin^2 x | \sin x^2
\sqrt{(x-1000000)^2} | x-1000000
|x-123456789| | 123456789-x
|x^2-5000| | x^2-5000
|x^3-10^7| | x^3-10^7
|\ln x - 30| | 30-\ln x
\operatorname{sgn}(x-7) | 1
5 | 5 minus x
5 | 5 and a quarter
5 | 5 or more
5 | at least 5
5 | 5 at most
5 | under 5
5 | five less than x
5 | 5 less than x
5 | 5 more
5 | 5 below zero
5 | twice 5
5 | half of 5
5 | double 5
5 | -5 in absolute value
5 | 5 to the third
5 | 5 to the power of 2
5 | 5 cubed
5 | the cube of 5
5 | square root of 5
5 | root 5
5 | 5th root
5 | 5 percent of x
5 | 5 per mille
5 | 5‰
5 | 5 tenths
5 | 5 hundredths
5 | 5 thousandths
5 | 5 fifths
5 | 5 score
5 | 5 gross
5 | 5 k
5 | 5K
5 | 5M
5 | 5 mil
5 | 5 bn
5 | 5 mm squared less
5 | 5x
5 | x5
5 | 5_1
5 | 5^1_2
5 | 5'
5 | 5''
5 | 5″
5 | 5!!
5 | (5
5 | 5)
5 | [5
5 | 5 =
5 | 5 = x = 6
5 | 5 = 6
5 | 5 \neq x
5 | 5 ≠ 5
5 | 5 > x
5 | > 5
5 | < 5
5 | \ge 5
5 | \geq 5
5 | ≥5
5 | \neq 5
5 | \pm 5
5 | \sqrt{5}
5 | \sqrt{25}i
5 | 5i
5 | 5j
5 | 5e
5 | 5\pi
5 | 5\degree F
5 | 5\infty
5 | \overline{5}
5 | \bar 5
5 | \hat{5}
5 | \dot{5}
5 | 5\dot{5}
5 | |5|i
5 | \lfloor 5.999 \rfloor + 1
5 | \gcd(5,6)
5 | \max(5,6)
5 | 5:1
5 | 1:5
5 | 5/1/5
5 | 5, 5, 6
5 | {5, 6}
5 | (5, )
5 | 5;6
5 | 5 6
5 | 5 vs 6
5 | 5 versus 6
5 | 5 from 7
5 | 5 to 7
5 | 5-7
5 | 5–7
5 | 5~7
5 | 5...7
5 | 5 … 7
5 | 5\ldots
5 | 5+
5 | 5-
5 | 5±1
5 | 5 \pm 0.1
5 | ¬5
5 | \neg 5
5 | !5
5 | not equal to 5
5 | isn't 5
5 | no 5
5 | never 5
5 | 5 is wrong
5 | 5 (wrong)
5 | 5 (incorrect)
5 | 5?6
5 | 5 if x>0
5 | 5 for x = 2
5 | 5 when n is even
5 | 5 mod 3
5 | 5 (mod 3)
5 | 5 R 2
5 | 5 remainder 2
5 | 5 r2
5 km/h | 5 m/s
5_7 | 5_8
15_7 | 15_8
0.5 | 0.5 of x
1.5 | 1.5.2
1.5 | 1,5,2
1.5 | 1·5
15 | 1.5
15 | 1 5
15 | 1_5
15 | 1⁵
15 | ¹5
15 | 1₅
1/5 | 1\5
15 | 1|5
15 | 1'5
15 | 1`5
15 | 1\\5
15 | 1{5}
15 | {1}{5}
15 | \text{1}\text{5}
15 | \mathrm{1}5
15 | 1\!5
1234 | 1,2,3,4
1234 | 12,34
12345 | 12,3456
12345 | 123,45
12345 | 12.345
12345 | 12 345
0.345 | 0,345,0
\frac{1}{2} | \frac{1}{2}\frac{1}{2}
\frac{1}{2} | \frac{1}{2}{3}
\frac{1}{23} | \frac{1}{2}3
\frac{12}{3} | 1\frac{2}{3}
\frac{1}{2}x | \frac{1}{2x}
2^3 | 23
2^{34} | 2^3 4
2^{34} | 2^3{4}
x^{12} | x^1 2
x_{12} | x_1 2
x_{12} | x_1x_2
x_1 | x^1
a_n | an
a_n | a n
a_n | a_m
ab | a_b
ab | a^b
ab | ac
ab | ba c
\alpha | a
\alpha | alpha
\beta | B
\nu | v
\mu | u
\rho | p
O | 0
l | 1
x | X
\theta | \phi
\Delta | \delta
\vec{a} | a
\hat{x} | x
\dot{x} | x
\bar{x} | x
x' | x
x'' | x'
x^* | x
x^{\dagger} | x
A^T | A
A^{-1} | A
A^{-1} | \frac{1}{A}1
f(x) | fx+1
f(2) | f(3)
f(x) | g(x)
f'(x) | f(x)
\sin^{-1} x | \frac{1}{\sin x}
\sin^2 x | \sin(x^2)
\sin(2x) | \sin(2)x
\log x | \ln x
\log_2 x | \log_3 x
\log 10 | 10
e^x | e^{-x}
e^{x} | ex
\exp(x) | x
n! | n
\binom{n}{k} | \frac{n}{k}
\binom{5}{2} | \frac52
\sum_{k=1}^n k | \sum_{k=0}^n (k+1)
\int_0^1 x dx | \int_0^2 x dx
\lim_{x\to 0} f(x) | f(x)
\frac{dy}{dx} | \frac{y}{x}
\partial x | x
\nabla f | f
A \cup B | A \cap B
A \cup B | AB
A \times B | AB+1
A \subset B | B \subset A
A \subseteq B | A \subset B
a \in A | a \notin A
p \to q | q \to p
p \land q | p \lor q
\forall x | \exists x
a \parallel b | a \perp b
a \mid b | ab
a \vert b | ab
a \equiv b | a = b
a \approx b | a
a \propto b | a b
A \cong B | A \sim B
\angle A | A+1
\angle A = 30 | \angle B = 30
\triangle ABC | ABC
30^\circ | 30'
30^\circ | 30 rad
30^\circ | 30\%
30^\circ C | 30^\circ F
30^\circ C | 30 K
10\% | 10‰
10\% | 10 percentage points
\$5 | 5 cents
\$5 | €5
\$5 | £5
5 cents | \$5
5 million | 5 billion
5 million | 5
5 thousand | 5 hundred
3 feet | 3 inches
3 feet | 3 yards
3 minutes | 3 hours
3 hours | 3 seconds
3 hours 20 minutes | 3 hours
3 h 20 min | 20 min
3 lb | 3 kg
3 \text{ cm} | 3 \text{ cm}^2
3 \text{ m/s} | 3 \text{ m}
3 \text{ m/s} | 3 \text{ s/m}
3 \text{ N} | 3 \text{ kN}
3 \text{ apples} | 3 \text{ oranges}
3 \text{ apples} | 3 \text{ pairs of apples}
3 | 3 \text{ dozen eggs}
3 | 3 quarts of 5
(3,-8) | \emptyset
(4,1) | \{\}
(4,1) | {}
(4,1) | x^2<0
(10,3) | x<0 \text{ and } x>0
\emptyset | (0,0)
\emptyset | [1,0]
\emptyset | (\infty,-\infty)
x | \{x : x=x\}
0 | 0=0
64 | 64=64
\mathbb{R} | [-\infty,\infty]
x | x=x
x+1 | x=x+1
\frac{1000001}{1000} | 1000.0
1-10^{-6} | 1.0000
\cos 0.001 | 1.0000
0.5+10^{-9} | 0.50000
\frac{199999}{2} | 1.000\times 10^5
\Re z | z
\operatorname{Re}(z) | z
\pm 1 \pm 2 | 3, -3
0.12345678 | 0.1235
3+4i | 3+4j
3+4i | 3+4I
3 + 4x | 3 + 4\times
12 | 3 \times 4 =
(1,2,3) | (1,2),3
(1,2),(3,4) | (1,2,3,4)
(1,2),(3,4) | ((1,2),(3,5))
\{1,2\},\{3\} | \{1,2,3\}
\{(1,2)\} | \{1,2\}
(1,\{2\}) | (1,2)x
[1,2] | \{1,2\}
(1,2] | [1,2)
(1,\infty) | [1,\infty)
(-\infty,1) | (1,\infty)
x>1 | x>-1
x>1 | x<1
x>1 | y>1
x \ge 1 | x > 1
x \ne 1 | x = 1
x \ne 1 | x > 1
1 < x < 2 | 1 < x
1 < x < 2 | x < 2
1<x<2 | 1<y<2
x<1, x>2 | 1<x<2
|x|<2 | x<2
|x|>2 | x>2
x^2>4 | x>2
x^2=4 | x=-2
x = \pm 2 | x = 2
x=2,3 | x=2
y=x^2 | x=y^2
y = 3x | y = 3
y = mx+b | y = mx
f(x) = 2x | f(x) = 2
f(x)=2x | g(x)=2x
f(x)=2x | f(y)=2x
f(2)=3 | f(3)=3
f(2)=3 | f(x)=3
f'(x)=2x | f(x)=2x
f''(x)=2 | f'(x)=2
a_1=3 | a_2=3
a_1=3 | a_{11}=3
a_1=3 | b_1=3
AB=3 | BA=4
AB=3 | CD=3
AB=3 | AC=3
\angle A=40^\circ | \angle B=40^\circ
P(A)=0.5 | P(A')=0.5
P(A|B)=0.5 | P(B|A)=0.5
P(X=1)=0.5 | P(X=2)=0.5
E(X)=5 | Var(X)=5
\mu=5 | \sigma=5
\sin A = \frac12 | A = \frac12
\sin A = \frac12 | \cos A = \frac12
\tan\theta=1 | \theta=1
\ln y = 2 | y=2
e^y=2 | y=2
2^n=8 | n=8
\sqrt{x}=3 | x=3
\frac{1}{x}=3 | x=3
|x|=3 | x=3
-x=3 | x=3
2x=3 | x=3
x+1=3 | x=3
x!=6 | x=6
\bar x=3 | x=3
\vec v=(1,2) | v=(1,3)
\det A=3 | A=3
A^2=3 | A=3
A^T=3 | A=3
A^{-1}=3 | A=3
\begin{pmatrix}1&2\end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | (1,2,3,4)
\begin{pmatrix}1&2\\3&4\end{pmatrix} | 1,2,3,4
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}^T
\begin{pmatrix}1&2\\3&4\end{pmatrix} | 2\begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}^{-1}
\begin{Vmatrix}1&2\\3&4\end{Vmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
5 | \begin{pmatrix}5\end{pmatrix}
1:2:3 | 1:3:2
1:2:3 | 1:2
2:3 | 4:9
7:30 | 7:03
7:30 am | 7:30 pm
7:30 | 19:31
30\% | 30\%\text{ of } x
30\% | 0.03
30\% | 3
30\% | 130\%
0.3 | 0.30001
0.3 | 0.2999999
0.333 | \frac13
0.3333 | \frac{1}{3}x
3.1416 | \pi^2
\pi | 3.14
\pi | 22/7
\sqrt2 | 1.41
\sqrt2 | 1.4143
2\sqrt2 | 2.8
e | 2.718281829
\frac{\pi}{2} | 90
\pi | 180
45^\circ | \frac{\pi}{3}
45^\circ | 45 \text{ rad}
\sin 45 | \frac{\sqrt2}{2}
\cos 60 | \frac12
100_2 | 4_3
10^2 | 102
10^{-2} | 10-2
2e3 | 2e
2e3 | 2^3
1e3 | 1e-3
5\times10^3 | 5\times 103
5\times10^3 | 5 \times 10
5! | 5
(2n)! | 2n!
n!! | n!
\binom{n}{2} | \binom{2}{n}
\frac{x}{y} | \frac{y}{x}
\frac{x}{y+1} | \frac{x}{y}+1
x/y+1 | x/(y+1)
a/(bc) | a/b\cdot c
-x^2 | (-x)^2
(-2)^{n} | -2^n
2^{-n} | -2^n
2^{3x} | 2^3x
x^{yz} | x^yz
\sqrt{xy} | \sqrt{x}y
\sqrt{x}+1 | \sqrt{x+1}
\sqrt[3]{x} | 3\sqrt{x}
\sqrt[3]{x} | \sqrt{x}
\log_2 (x+1) | \log_2 x + 1
\log(x)^2 | \log(x^2)
\sin x + 1 | \sin(x+1)
\sin x y | \sin(x) y
\max(1,x) | \min(1,x)
\lfloor x \rfloor | \lceil x \rceil
\lfloor x \rfloor | x
\lfloor x+\frac12 \rfloor | \lfloor x \rfloor
\lfloor 2x \rfloor | 2\lfloor x \rfloor
x \bmod 2 | x \bmod 3
\gcd(a,b) | \operatorname{lcm}(a,b)
\gcd(a,b) | \gcd(a,b,c)
\sum_{k=1}^{n} a_k | \sum_{k=1}^{n} a_{k+1}
\sum_{k=1}^{n} k | \sum_{k=1}^{n+1} k
\sum_{k=1}^{10} k | 54
\prod_{k=1}^{n} k | \sum_{k=1}^n k
\int_0^1 f | \int_0^1 g
\int x dx | \int x dy
\frac{x^2}{2}+C | \frac{x^2}{2}+1
C_1e^x+C_2 | C_1e^x
y=Ce^x | y=e^x
\nabla \cdot F | \nabla \times F
a \cdot b | a \times b + 1
\overrightarrow{AB} | \overrightarrow{BA}
\overline{AB} | \overleftrightarrow{AB}
\triangle ABC \sim \triangle DEF | \triangle ABC \sim \triangle DFE
A' | A
Yes | No
Yes | yes, but no
true | not true
Monday | Tuesday
Alice | Alice and Bob
A | B
A,B | A
ABC | ACD
AC | C
(A) | (A) and (B)
B | 8
五 | 六
十五 | 五十
三千 | 三万
三分之二 | 二分之三
5米 | 5厘米
5元 | 5角
5千米 | 5千克
5 | 5分之1
5 | 第5
5 | 5倍
x \in (-\infty, 2) \cup (3, \infty) | 2<x<3
2x + 3y = 6 | y = 2 + \frac{2x}{3}
a_n = 2n+1 | a_n = 2n-1
a_{n} = 2n+1 | a_{n+1} = 2n+1
\angle ABC = 30^\circ | \angle ACB = 30^\circ
k \in \mathbb{Z} | k \in \mathbb{N}
\frac{\pi}{4} + k\pi, k \in \mathbb{Z} | k\pi - \frac{\pi}{4}, k \in \mathbb{Z}
\frac{\pi}{4} + k\pi | \frac{\pi}{4} + 2k\pi
5\text{ hours and }20\text{ minutes} | 5\text{ hours}
2 \text{ and } 3 | 2 + 3
2 \text{ or } 3 | \text{neither } 2 \text{ nor } 3
\$12.50 | 1250
3.0 \times 10^{-5} | 0.0003
\frac{22}{7} | 3.14
\frac{22}{7} | 3\frac{1}{8}
i | -i
\sin 30 | 0.5
x^3 - y^3 | (x-y)(x^2-xy+y^2)
|x-3| < 2 | 1 \le x \le 5
\begin{pmatrix} 2 \\ -1 \end{pmatrix} | \begin{pmatrix} 2 & -1 \end{pmatrix}
3x | 3X
1/3 | 0.33
1:3 | 1/2
3 \text{ to } 5 | 5 \text{ to } 3
24_{10} | 24_{15}
24_5 | 24_{10}
ABC | abc
\text{MW} | \text{mW}
5 | 5 percent of students
5 | 5 dozens of eggs
5 | 5 of spades
5 | 5 halves of apples
5 | 5 thirds of pies
5 \text{ pounds of sugar} | 5 \text{ pounds of salt}
\$18/day | \$18/week
5 | 5 out of ten
5 | 5 powers of ten
5 | 5 orders of magnitude
5 | 5 times of x
5 | 5 squares of ten
15 min | 15 s
\min(1,2) | 2
""".strip().splitlines()
