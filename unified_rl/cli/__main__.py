"""`python -m unified_rl.cli`, as `torchrun` starts it."""

import sys

from unified_rl.cli import main

sys.exit(main())
