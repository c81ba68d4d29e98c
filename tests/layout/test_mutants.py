"""The list of mutants keeps up with the code: each still finds the text that it changes."""

import pytest

from tools.mutants.__main__ import MUTANTS
from tools.mutants.mutant import Mutant
from tools.mutants.trial import mutated


def test_every_mutant_changes_its_file():
    assert all(mutant.old != mutant.new and mutated(mutant) for mutant in MUTANTS)


@pytest.mark.parametrize("file", ["ops/no_such_file.py", "ops/aggregation.py"])
def test_a_text_that_is_gone_is_named(file):
    with pytest.raises(ValueError, match=f"its text is no longer in {file}"):
        mutated(Mutant(file, "gone", "no such text", "another"))


def test_a_text_that_is_there_twice_is_refused():
    with pytest.raises(ValueError, match=r"its text is more than once in ops/terms\.py"):
        mutated(Mutant("ops/terms.py", "some", "Tensor", "Vector"))
