# What a contributor types. `make` alone lists the targets.
#
# Everything runs in .venv, made once from pyproject.toml with the exact versions in
# constraints.txt, and brought up to date when either file changes.

# The first interpreter that is new enough; the constraints are tested on 3.11.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; \
	done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
HEAVY := $(VENV)/.installed-heavy
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt

METHOD ?= exemplar_masking
# More options for the command, as in: make run ARGS="--memory 1 --seed 3"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-heavy fuzz lint format bench clean

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z-]+:.*  ## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv with everything the project needs (once)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or give PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[dev]'
	@touch $@

$(HEAVY): $(STAMP)
	$(INSTALL) --editable '.[dev,ray]'
	@touch $@

run: setup  ## run exemplar masking on the embedded data; METHOD= and ARGS= change what is run
	$(BIN)/python -m benchmark.run --method $(METHOD) $(ARGS)

# Small tensors in many short tests: a process for each core, and no threads in each other's way.
# Bytecode is kept, whatever the environment says, as the tests start hundreds of processes.
PYTEST = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal
test: lint  ## lint, types, tests and doctests; ARGS= goes to pytest
	$(PYTEST) $(ARGS)

test-heavy: $(HEAVY)  ## the tests that need Ray (250 MB more) or minutes; ARGS= goes to pytest
	$(PYTEST) -m heavy $(ARGS)

fuzz: setup  ## damaged input for every door, 10,000 cases; ARGS= as in "--door folders --case 17"
	$(BIN)/python -m tests.fuzz --cases 10000 --seed 0 $(ARGS)

lint: export MYPY_NUM_WORKERS ?= 2
lint: setup  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## put the sources into the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## run every measurement in bench/
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

clean:  ## remove .venv and all caches; results in runs/ stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
