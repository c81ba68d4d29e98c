"""The synthetic runs of the analysis tests serve the pages too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "statistics"))
