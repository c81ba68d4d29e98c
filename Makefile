# Two commands do all the set-up: `make reproduce` (the main job) and `make test`. Needs Python 3.11 and make, nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PRESET ?= default
BIN := .venv/bin
ENGINES := .venv-engines/bin
HARNESS := .venv-harness/bin
LOWEST := .venv-lowest/bin

.PHONY: install install-engines install-harness install-lowest reproduce test test-engines test-harness test-lowest test-long test-nightly mutants lint docs bench bench-gpu corpus-debian line sweep clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints/cpu.txt
	$(PYTHON) -c 'import sys; sys.exit("unified_rl needs Python 3.11 or newer; set PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/cpu.txt -e '.[dev]'
	touch $@

# The same with DeepSpeed and a CPU build of vLLM: for the tests of the engines, which skip without them.
install-engines: .venv-engines/.installed

.venv-engines/.installed: pyproject.toml constraints/engines.txt
	$(PYTHON) -m venv .venv-engines
	$(ENGINES)/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints/engines.txt
	$(ENGINES)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

# The same with lm-evaluation-harness, for the tests that compare our evaluation with its own, which skip without it.
install-harness: .venv-harness/.installed

.venv-harness/.installed: pyproject.toml constraints/cpu.txt constraints/harness.txt
	$(PYTHON) -m venv .venv-harness
	$(HARNESS)/python -m pip install --quiet --disable-pip-version-check -c constraints/cpu.txt -c constraints/harness.txt -e '.[dev,harness]'
	touch $@

# The oldest versions that pyproject.toml admits.
install-lowest: .venv-lowest/.installed

.venv-lowest/.installed: pyproject.toml constraints/lowest.txt
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check -c constraints/lowest.txt -e . 'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100'
	touch $@

# PRESET=smoke (about a minute), default (one seed, under ten minutes), full (five seeds, all methods)
reproduce: install
	$(BIN)/unified-rl reproduce preset=$(PRESET)

# One test process per core, each of one thread.
test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not long and not nightly"

# Real DeepSpeed and vLLM: ranks as processes on this machine's CPU.
test-engines: install-engines
	$(ENGINES)/python -m pytest tests/engines_real

# The real lm-evaluation-harness on a tiny model, beside our own evaluation.
test-harness: install-harness
	OMP_NUM_THREADS=1 $(HARNESS)/python -m pytest tests/adapters/test_harness.py

# What rests on these packages, with the oldest of them: maths, models, training, sampling, tables and figures.
test-lowest: install-lowest
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -m "not long and not nightly" $(addprefix tests/,maths ops packing models training sampling planning rewards tasks grading statistics plotting)

# What does not fit in the quick suite: growth of every reader, many kills, whole grids.
test-long: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "long and not nightly"

# Damage of every kind, a power cut at every file operation, every family, and every mutant of the maths: hours.
test-nightly: install mutants
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m nightly

mutants: install
	$(BIN)/python -m tools.mutants

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site in docs/_build/html; a link that leads nowhere is an error. Nothing is fetched.
docs: install
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# Ratios measured side by side in one run: generation, packing, memory of the log-probs, a GRPO step.
bench: install
	$(BIN)/unified-rl bench

# Needs a CUDA GPU and a CUDA build of torch in PYTHON_GPU: tokens/s, MFU and peak memory beside the planner's predictions.
PYTHON_GPU ?= $(BIN)/python
bench-gpu:
	$(PYTHON_GPU) -m unified_rl.cli bench gpu

# Recall rounds on some 2,500 pages of Debian's documentation packages, which apt-get fetches: minutes, about 400 MB.
corpus-debian: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.corpus_debian runs/corpus-debian

# Crawl, corpus, base model in two stages, SFT, GRPO, evaluation, and one page of its figures (runs/line/index.html): minutes on one core.
line: install
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.line runs/line

sweep: install
	$(BIN)/unified-rl grid lr_sweep

clean:
	rm -rf .venv .venv-engines .venv-harness build docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
