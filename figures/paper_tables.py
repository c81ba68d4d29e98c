"""Tables 1 to 9 of the paper, each number with how sure it is, and our base models beside them where TABLES has base_models.csv.

python figures/paper_tables.py [TABLES] [OUT]          by default tables of base models, and runs/drawn
"""

import sys

from unified_rl.plotting import paper_tables

given = dict(enumerate(sys.argv[1:]))
for path in paper_tables.draw(given.get(0, "runs/base_models/tables"), given.get(1, "runs/drawn")):
    print(path)
