"""Figure 6 of the paper, iterative RL, with our own curves beside them where TABLES has iteration_curves.csv.

python figures/paper_figure6.py [TABLES] [OUT]          by default tables of the main job, and runs/drawn
"""

import sys

from unified_rl.plotting import paper_figure6

given = dict(enumerate(sys.argv[1:]))
for path in paper_figure6.draw(given.get(0, "runs/default/tables"), given.get(1, "runs/drawn")):
    print(path)
