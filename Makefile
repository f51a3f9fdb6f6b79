# Everything sets itself up: a checkout, Python 3.11 or later, and `make demo`.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
REPORT := runs/demo/report-html

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types layers bench clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/make \1|\2/' | \
		awk -F'|' '{ printf "  %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.demo ## Install, run the quickstart, print the leaderboard, write the HTML report
	rm -rf runs/demo
	$(BIN)/rcabench run quickstart --out runs/demo
	@printf '\nHTML report: '
	@$(BIN)/rcabench report runs/demo --format html --out $(REPORT)

test: $(VENV)/.dev ## Run all tests
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

lint: $(VENV)/.dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev ## Put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev ## Check types, tests included
	$(BIN)/mypy rcabench tests
	cd benchmarks && ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache/benchmarks .

layers: $(VENV)/.dev ## Check that no layer imports what lies above it
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## Measure speed and memory on a synthetic recording
	@for script in $(filter-out benchmarks/generate.py,$(wildcard benchmarks/*.py)); do \
		echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean: ## Remove what was made here; imported datasets stay
	rm -rf $(VENV) build dist runs/demo .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find rcabench tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or later is needed; install it, or say make PYTHON=/path/to/python' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo
