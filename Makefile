# Two commands do all the set-up: `make reproduce` (the main job) and `make test`. Needs Python 3.11 and make, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PRESET ?= default
BIN := .venv/bin

.PHONY: install reproduce test test-long mutants lint bench sweep clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints/cpu.txt
	$(PYTHON) -c 'import sys; sys.exit("unified_rl needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/cpu.txt -e '.[dev]'
	touch $@

# PRESET=smoke (about a minute), default (one seed, under ten minutes), full (five seeds, all methods)
reproduce: install
	$(BIN)/python -m experiments.reproduce preset=$(PRESET)

test: install lint
	$(BIN)/python -m pytest -m "not long"

# What does not fit in the quick suite: many kills, and every mutant of the maths.
test-long: install mutants
	$(BIN)/python -m pytest -m long

mutants: install
	$(BIN)/python -m tools.mutants

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Ratios measured side by side in one run: generation, packing, memory of the log-probs, a GRPO step.
bench: install
	$(BIN)/python -m experiments.bench

sweep: install
	$(BIN)/python -m experiments.lr_sweep

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
