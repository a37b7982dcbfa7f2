# `make demo` and `make test` set up everything they need in .venv, from a bare clone with Python 3.11 and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

BENCH := .venv-bench
BENCH_READY := $(BENCH)/.ready
BENCH_FLAGS ?= --json benchmarks/results/peers.json --plot benchmarks/results/peers

.PHONY: help demo test quick campaigns bench lint tables format wheel clean

help:
	@echo "make demo    compile, check and run a three-body block on a molecule"
	@echo "make test    the whole test suite"
	@echo "make quick   half a minute of it: the language, its mistakes, numbers, and every stage once"
	@echo "make campaigns  random diagrams, mutated texts and repairs, a minute each (SECONDS=3600 for longer)"
	@echo "make bench   time fusionc and other libraries side by side (BENCH_FLAGS=--quick for minutes, not hours)"
	@echo "make lint    ruff, mypy and the canonical form of the examples"
	@echo "make tables  the parser's tables, after a change of the grammar"
	@echo "make format  rewrite sources and examples in canonical form"
	@echo "make wheel   build the wheel and the source distribution in dist/"
	@echo "make clean   remove the environment and everything that was built"

# torch is pinned in constraints.txt: an unpinned torch brings gigabytes of CUDA libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[xyz,test,lint]'
	touch $(READY)

demo: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(READY)
	$(BIN)/python -m pytest -n 2 -q

QUICK := tests/language tests/test_mistakes.py tests/test_what_is_a_number.py tests/test_api.py

quick: $(READY)
	$(BIN)/python -m pytest -n 2 -q $(QUICK)

# Seeds are fixed, so that a failure is found again; `--seed` of each script takes others.
SECONDS ?= 60

campaigns: $(READY)
	$(BIN)/python tests/campaigns/mutations.py --seconds $(SECONDS)
	$(BIN)/python tests/campaigns/diagrams.py --count 300 --seconds $(SECONDS)
	$(BIN)/python tests/campaigns/repairs.py --count 200

# A separate environment: the peers bring dependencies that fusionc does not have.
$(BENCH_READY): pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/requirements.txt -e .
	touch $(BENCH_READY)

bench: $(BENCH_READY)
	@mkdir -p benchmarks/results
	$(BENCH)/bin/python -m benchmarks.peers $(BENCH_FLAGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/fusionc fmt --check examples/*.fus

tables: $(READY)
	$(BIN)/python grammar/tables.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/fusionc fmt examples/*.fus

wheel: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) $(BENCH) benchmarks/.env-mace dist build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
