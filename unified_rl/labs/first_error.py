"""First-error detection of a trained reward model on real, human-marked solutions: raw facts, then the table.

Any reward model directory will do, whatever its backbone; from scratch, expect chance. `unified-rl first-error` calls it.
"""

from __future__ import annotations

from pathlib import Path

import transformers

from unified_rl.labs.options import FirstErrorOptions
from unified_rl.stages.first_error import write_first_errors
from unified_rl.statistics import first_error as analysis


def run(options: FirstErrorOptions) -> Path:
    """Judge the solutions, write facts and table, print the table; returns their folder.

    Raises:
        UnifiedRLError: the model or the data cannot be used.
    """
    transformers.utils.logging.disable_progress_bar()
    write_first_errors(options.model, options.data, options.out, template=options.template, device=options.device)
    print(analysis.format_table(analysis.write(options.out, options.out)))
    return options.out
