# `make run` and `make test` need Python 3.11 or newer and nothing else: each makes .venv and installs into it what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test test-long fuzz lint format test-models test-torch test-cuda models docs clean

help:
	@echo "make run          train a network on digits, check it, run it, compare with ONNX Runtime"
	@echo "make test         lint, types, tests"
	@echo "make test-long    tests with all that the short ones leave out, and five minutes of fuzz"
	@echo "make fuzz         MINUTES=10 of made-up files, graphs and accidents; what it finds lies in .fuzz/"
	@echo "make format       put the code into its standard form"
	@echo "make test-models  fetch real models: they come back byte for byte, run, and have gradients; and docs/file_types.md"
	@echo "make test-torch   install PyTorch: gradients and training of networks that it exports are those that it computes itself"
	@echo "make test-cuda    install CuPy, hold its names against what the tests think they are, and test on a GPU if there is one"
	@echo "make docs         write the pages that come from the code: docs/operators.md"
	@echo "make models       train the networks in models/ again"
	@echo "make clean        remove .venv and caches"

run: .venv/run.stamp
	@$(BIN)/python models/learn_digits.py

test: lint
	$(BIN)/basedpyright
	$(BIN)/pytest -n 2

test-long: .venv/test.stamp
	GRAPHIR_EVERY_CASE=1 GRAPHIR_LONG=1 $(BIN)/pytest -n 2
	$(MAKE) fuzz MINUTES=5

MINUTES ?= 10
WORKERS ?= 1
SEED ?= 0
fuzz: .venv/test.stamp
	cd tests && ../$(BIN)/python -m fuzz --minutes $(MINUTES) --workers $(WORKERS) --seed $(SEED)

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-models: .venv/test.stamp
	$(BIN)/python tests/fetch_models.py
	$(BIN)/pytest -n 2 tests/test_models.py "tests/test_docs.py::test_page[file_types.md]"

test-torch: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0 onnxscript==0.7.2
	$(BIN)/pytest -n 2 --show-capture=no tests/test_torch_twins.py

# CUDA=13 for a driver of CUDA 13.
CUDA ?= 12
test-cuda: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cuda$(CUDA)]'
	$(BIN)/python tests/strict/make_table.py --check
	$(BIN)/pytest -m gpu -rs

docs: .venv/test.stamp
	$(BIN)/python docs/make_tables.py

models: .venv/run.stamp
	$(BIN)/python models/digits.py

clean:
	rm -rf .venv .fuzz .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "graphir needs Python 3.11 or newer; try make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/run.stamp: EXTRAS = onnxruntime
.venv/test.stamp: EXTRAS = test
.venv/%.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@
