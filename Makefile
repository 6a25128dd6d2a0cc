# bash, make and Python >= 3.11 are all a machine needs; everything else comes from pip.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTOS ?=
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup dev demo up down test test-fast soak moderation-report check format clean

help: ## What each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

# pip's own stamp: nothing is installed again unless the project's description or its pins changed.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed; set PYTHON=/path/to/it"'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[vision]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[vision,train,dev,ocr]'
	@touch $@

setup: $(VENV)/.installed ## Make .venv with everything Shelfguard runs on
dev: $(VENV)/.installed-dev ## The same with what developing and training need

demo: setup ## Start everything, send the sample photos (or PHOTOS=folder), show what came out, stop
	@$(BIN)/shelfguard demo $(if $(PHOTOS),--photos '$(PHOTOS)')

up: setup ## The whole system in the background, on loopback; see .shelfguard/up.json
	@$(BIN)/shelfguard up

down: ## Stop it; what it holds is kept
	@if [ -x $(BIN)/shelfguard ]; then $(BIN)/shelfguard down; fi

test: dev ## Every test but the soak suite (25 minutes at most on two cores)
	$(PYTEST) -m 'not soak' $(ARGS)

test-fast: dev ## Unit and contract tests on fakes only (about a minute)
	$(PYTEST) -m 'not integration and not soak' $(ARGS)

soak: dev ## What takes long: thousands of photos, many kills; writes a dated report
	$(PYTEST) -m soak $(ARGS)

moderation-report: dev ## Precision and recall of the rules on photos with overlays (8 minutes on two cores)
	$(BIN)/python -m tests.moderation_report $(ARGS)

check: dev ## Lint, types, import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: down ## Remove local state (not .venv)
	rm -rf .shelfguard
