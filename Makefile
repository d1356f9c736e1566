# make demo   the main job on one machine, nothing else installed     make demo ARGS="--exit --miners 24"
# make test   format, lint, types, walls, tests                       make test ARGS="-k spool"
# make bench  speed and memory, side by side with what others use
# make chaos  agent, brokers and collector killed again and again    make chaos ARGS="--seed 7 --kills 20"
# make fuzz   whatever comes from outside, mutated: devices' replies, messages, files, requests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test bench chaos fuzz check format clean

demo: $(VENV)/.all
	$(BIN)/hashledger demo $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

# Side by side with pyasic and pyasic-rs, one core, into build/bench.json. Simulated web pages need port 80: root.
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Needs mosquitto; as root it fills disks, too. A short form is part of make test.
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(ARGS)

# More than 100,000 mutated replies through every driver, and 5,000 of each other thing that comes from outside;
# a short form is part of make test.
fuzz: $(VENV)/.dev
	HASHLEDGER_FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest --timeout 1800 tests/agent/miners/test_mutations.py tests/fuzz $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[all]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.all

clean:
	rm -rf $(VENV) build dist demo-farm .mypy_cache .ruff_cache .pytest_cache .hypothesis
