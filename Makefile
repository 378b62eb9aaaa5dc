# soulstream: every target sets up what it needs, in .venv of this folder. Only Python 3.11 or newer and make are needed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The first of these that runs and is new enough; looked for only when .venv has to be made.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do "$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && { echo "$$p"; break; }; done)
TORCH := torch==2.13.0
ARGS ?=
DATA ?= ../shared/data

.PHONY: help demo run bench test check format lint types imports train docs wheel venv runtime dev clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'
	@echo '  Options for a command: make demo ARGS="--seconds 60 --no-preview"'

demo: runtime ## Dance to the built-in track: browser page and VMC on UDP 39539
	@$(BIN)/soulstream demo $(ARGS)

run: runtime ## Dance to a microphone or file: make run ARGS="--audio mic"
	@$(BIN)/soulstream run $(ARGS)

bench: runtime ## Measure the speed of the model on this machine
	@$(BIN)/soulstream bench $(ARGS)

test: dev ## Set up everything and run the tests: make test ARGS="-k bundle"
	$(BIN)/python -m pytest $(ARGS)

check: dev lint types imports ## What must be clean before a change is merged

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev lint
	$(BIN)/mypy engine/soulstream_engine export/soulstream_export training/soulstream_training

imports: dev types
	$(BIN)/lint-imports

format: dev ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

train: dev ## Train the embedded model again from DATA (about an hour on two cores; resumes in runs/)
	$(BIN)/soulstream-train data prepare training/configs/data_stage.toml --data $(DATA)
	$(BIN)/soulstream-train data music --data $(DATA)
	$(BIN)/soulstream-train hrvq
	$(BIN)/soulstream-train magm mask
	$(BIN)/soulstream-train magm residual
	$(BIN)/soulstream-export bundle engine/soulstream_engine/bundles/default

docs: runtime ## Write docs/commands.md from the commands themselves
	$(BIN)/typer soulstream_engine.cli utils docs --name soulstream --output docs/commands.md

wheel: dev ## Build a wheel into dist/
	$(PIP) wheel --quiet --no-deps --wheel-dir dist .

runtime: $(VENV)/.runtime ## Set up what playing needs (no torch)

dev: $(VENV)/.dev ## Set up what tests and training need

venv: $(VENV)/.venv

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { \
	  echo "soulstream needs Python 3.11 or newer; here python3 is '$$(python3 -V 2>&1)'." >&2; \
	  echo "Install python3.11, or name one: make PYTHON=/path/to/python3.11 demo" >&2; exit 1; }
	@"$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
	  echo "soulstream needs Python 3.11 or newer; '$(PYTHON)' is '$$("$(PYTHON)" -V 2>&1)'." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) lacks the venv module. On Debian or Ubuntu: sudo apt-get install python3.11-venv" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.venv pyproject.toml
	@echo "Setting up soulstream in $(VENV) (about a minute the first time) ..."
	@$(PIP) install --editable .
	@touch $@

# torch first and alone: pip then takes the version that is asked for, and a CPU build where one is offered.
$(VENV)/.dev: $(VENV)/.venv pyproject.toml
	@echo "Setting up soulstream with torch and the test tools in $(VENV) (some minutes the first time) ..."
	@$(PIP) install "$(TORCH)"
	@$(PIP) install --editable '.[train,export,dev,openvino,rtx]'
	@touch $@ $(VENV)/.runtime

clean: ## Remove what the targets made (not .venv)
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
