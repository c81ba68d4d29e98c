"""Table 10 of the paper, the methods as data source, reward and gradient coefficient, from the method table itself.

python figures/table10.py [TABLES] [OUT]          by default tables of the main job, and runs/drawn
"""

import sys

from unified_rl.plotting import table10

given = dict(enumerate(sys.argv[1:]))
for path in table10.draw(given.get(0, "runs/default/tables"), given.get(1, "runs/drawn")):
    print(path)
