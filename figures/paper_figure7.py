"""Figure 7 of the paper, Maj@K and Pass@K before and after RL, with our own beside them where TABLES has pass_maj.csv.

python figures/paper_figure7.py [TABLES] [OUT]          by default tables of the main job, and runs/drawn
"""

import sys

from unified_rl.plotting import paper_figure7

given = dict(enumerate(sys.argv[1:]))
for path in paper_figure7.draw(given.get(0, "runs/default/tables"), given.get(1, "runs/drawn")):
    print(path)
