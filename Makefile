# `make run` and `make test` need Python 3.11 or newer and nothing else: each makes .venv and installs into it what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test lint format test-models models docs clean

help:
	@echo "make run          train a network on digits, check it, run it, compare with ONNX Runtime"
	@echo "make test         lint, types, tests"
	@echo "make format       put the code into its standard form"
	@echo "make test-models  fetch real models and check that they come back byte for byte"
	@echo "make models       train the networks in models/ again"
	@echo "make clean        remove .venv and caches"

run: .venv/run.stamp
	@$(BIN)/python models/learn_digits.py

test: lint
	$(BIN)/basedpyright
	$(BIN)/pytest -n 2

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-models: .venv/test.stamp
	$(BIN)/python tests/fetch_models.py
	$(BIN)/pytest -n 2 tests/test_models.py

models: .venv/run.stamp
	$(BIN)/python models/digits.py

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "graphir needs Python 3.11 or newer; try make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/run.stamp: EXTRAS = onnxruntime
.venv/test.stamp: EXTRAS = test
.venv/%.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
