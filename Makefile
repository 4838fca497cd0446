# One door: `make check` is exactly what .ci/run runs first.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.assay-installed
MODELS := $(VENV)/.assay-models-installed
# Two workers; a file's tests stay together, so that what its fixtures build is built once.
PARALLEL := -n 2 --dist loadfile
FAST := not slow and not guarantee and not data and not postgres
.DEFAULT_GOAL := help
.PHONY: demo test check guarantees bench verifier help

# The interpreter must be 3.11: python3.11 where there is one, otherwise python3 when that is 3.11.
$(STAMP): requirements.lock pyproject.toml
	@python=$$(command -v python3.11 || command -v python3) || { echo "Python 3.11 is needed; none was found on PATH." >&2; exit 1; }; \
	version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	if [ "$$version" != 3.11 ]; then echo "Python 3.11 is needed; $$python is $$version. Install 3.11 and try again." >&2; exit 1; fi; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# The group `models` (torch, transformers): the tests want it, the demo does not.
$(MODELS): $(STAMP) requirements-models.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-models.lock
	@touch $(MODELS)

demo: $(STAMP)  ## the whole story on scikit-learn's digits, ending in an offline verification
	$(BIN)/assay demo

test: $(MODELS)  ## every test except the statistical guarantees
	$(BIN)/pytest $(PARALLEL) -m "not guarantee and not postgres"

check: $(STAMP)  ## format, lint, types, import contracts and the fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(PARALLEL) -m "$(FAST)"

guarantees: $(MODELS)  ## the statistical guarantees, over many seeds (slow)
	$(BIN)/pytest $(PARALLEL) --timeout 3600 -m guarantee

bench: $(MODELS)  ## the measurements of docs/benchmarks.md
	@if [ -f benchmarks/__main__.py ]; then $(BIN)/python -m benchmarks; \
	else for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done; fi

verifier: $(STAMP)  ## assay-verify.pyz: the verifier in one file, for a stock Python 3.11
	$(BIN)/python -m zk.verifier.zipapp assay-verify.pyz

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
