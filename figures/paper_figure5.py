"""Figure 5 of the paper, learning curves of the methods, with our own beside them where TABLES has curves.csv.

python figures/paper_figure5.py [TABLES] [OUT]          by default tables of the main job, and runs/drawn
"""

import sys

from unified_rl.plotting import paper_figure5

given = dict(enumerate(sys.argv[1:]))
for path in paper_figure5.draw(given.get(0, "runs/default/tables"), given.get(1, "runs/drawn")):
    print(path)
