# `make demo` and `make test` do all their own set-up in .venv; a second call finds it there and is quick.

VENV := .venv
# The first Python of 3.11 or later, unless PYTHON names one.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := $(VENV)/bin
SET_UP := pyproject.toml constraints.txt

.PHONY: demo test test-slow format clean

demo: $(VENV)/.demo ## Train, sample and judge a model of scanned digits; ends in runs/demo/report.html
	$(BIN)/kakusan demo

test: $(VENV)/.test ## Lint, types, import contracts and the default tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

test-slow: $(VENV)/.test ## The tests marked slow
	$(BIN)/pytest -n 2 -m slow

format: $(VENV)/.test ## Put the code in its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.demo: $(SET_UP) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(SET_UP) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.demo

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "kakusan needs Python 3.11 or later: install one, or name it: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
