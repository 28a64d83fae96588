# Every target makes the environment when it is missing: a fresh machine needs Python 3.11+ and nothing else.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: install manifest demo test lint bench soak soak-live soak-image soak-dashboard ui clean

install: .venv/.installed manifest

# What the graph knows of the dbt project: parsed when it changed, never while definitions are imported.
manifest: .venv/.installed
	@$(BIN)/python -m pnd_dagster.resources.dbt_graph

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]' \
	  || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

# Training needs torch. pip takes what its configuration offers; for the small CPU build:
# make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=

.venv/.trainable: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) -c constraints.txt torch
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev,train]' \
	  || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,train]'
	@touch $@

demo: install
	@$(BIN)/pnd demo $(ARGS)

test: .venv/.trainable manifest
	@$(BIN)/pytest -n 2 --dist worksteal $(ARGS)

lint: .venv/.trainable manifest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: .venv/.trainable manifest
	@$(BIN)/python -m benchmarks $(ARGS)

# Half an hour of 4,400 coins on five simulated exchanges; what was sent is held against what is stored.
soak: install
	@$(BIN)/python -m benchmarks.soak $(ARGS)

# The whole live path while every process is killed once: four minutes, with the machine for itself.
soak-live: install
	@PND_TEST_SOAK=1 $(BIN)/pytest -p no:xdist tests/e2e/test_live_path.py $(ARGS)

soak-image: install
	@PND_TEST_SOAK=1 $(BIN)/pytest -p no:xdist tests/e2e/test_image.py $(ARGS)

soak-dashboard: install
	@PND_TEST_SOAK=1 $(BIN)/pytest -s -p no:xdist tests/e2e/test_dashboard.py -k drawn_in_time $(ARGS)

ui: install
	@$(BIN)/pnd ui

clean:
	-$(BIN)/pnd db stop
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis
