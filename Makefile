# `make demo` and `make test` need Python 3.11 and make, and set up the rest themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MODEL := $(VENV)/.model

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-browser screenshots test-live lint bench lock audit-deps record docs clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): locks/dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Without the weights everything works by keyword alone, so a failure here is said and not fatal.
$(MODEL): | $(READY)
	$(BIN)/affidavit embedder install && touch $@ || echo "no MiniLM weights: search is by keyword only"

setup: $(READY) $(MODEL) ## make the environment and fetch the embedding model

demo: $(READY) $(MODEL) ## two people, one question, two cited answers; a third is refused
	@$(BIN)/python examples/demo.py

# As many at once as there are processors; one that has nothing left takes over what another has not begun.
AT_ONCE := -n auto --maxprocesses 8 --dist worksteal

test: $(READY) $(MODEL) ## the tests (about nine minutes)
	$(BIN)/python -m pytest -m "not slow and not live and not browser" $(AT_ONCE)

test-slow: $(READY) $(MODEL) ## the long property and crash tests
	$(BIN)/python -m pytest -m slow $(AT_ONCE)

# What the browser tests need besides: Chromium, and what package-lock.json names in each folder below tests/node.
CHROMIUM := command -v chromium chromium-browser google-chrome >/dev/null
NODE_TOOLS := $(patsubst %package-lock.json,%node_modules/.ready,$(wildcard tests/node/*/package-lock.json))
BROWSER_TESTS = $(BIN)/python -m pytest -m browser --timeout=600 $$(grep -rl 'pytest\.mark\.browser' tests --include='test_*.py')

tests/node/%/node_modules/.ready: tests/node/%/package-lock.json
	command -v npm >/dev/null || { echo "the browser tests need node and npm (https://nodejs.org), which are not installed" >&2; exit 1; }
	cd tests/node/$* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

.PHONY: chromium
chromium:
	$(CHROMIUM) || test "$$(id -u)" != 0 || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium fonts-liberation; } || true
	$(CHROMIUM) || { echo "the browser tests need Chromium, which is not installed and could not be: apt-get install chromium, as root" >&2; exit 1; }

test-browser: $(READY) $(NODE_TOOLS) chromium ## sign-in and console in Chromium (needs node and npm; installs Chromium if it may)
	$(BROWSER_TESTS) -n 2 --dist loadfile

screenshots: $(READY) $(NODE_TOOLS) chromium ## take the pictures of the documentation anew, by the same journeys
	SCREENSHOTS=1 $(BROWSER_TESTS)

test-live: $(READY) ## ask the model that AFFIDAVIT_LIVE_MODEL names (see docs/how-to/models.md)
	$(BIN)/python -m pytest -m live -rs

lint: $(READY) ## formatting, style, types, floors, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.reference --check

lock: ## work the locks out anew from pyproject.toml (needs uv)
	uv pip compile -q pyproject.toml --universal --generate-hashes --no-annotate --no-header -o locks/base.txt
	uv pip compile -q pyproject.toml --universal --extra server --extra code --extra timestamps --extra prices --extra openapi --extra otel \
		--extra openai --extra anthropic --generate-hashes --no-annotate --no-header -o locks/server.txt
	uv pip compile -q pyproject.toml --universal --extra code --extra eval --extra timestamps --extra prices --extra mcp --extra openapi --extra metrics --extra otel --extra openai --extra anthropic \
		--extra google --extra bedrock --group dev --generate-hashes --no-annotate --no-header \
		-o locks/dev.txt
	echo "pip-audit>=2.9,<3" | uv pip compile -q - --universal --python-version 3.11 --generate-hashes --no-annotate --no-header -o locks/audit.txt

record: $(READY) $(MODEL) ## record the runs that every later version must replay
	$(BIN)/python -m tools.record

AUDIT := $(VENV)/audit/.ready
$(AUDIT): locks/audit.txt | $(READY)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

audit-deps: $(READY) $(AUDIT) ## are locked dependencies withdrawn, or known to be weak? (asks the network)
	$(BIN)/python -m tools.audit $(VENV)/audit/bin/pip-audit

docs: $(READY) ## write the reference pages from the code
	$(BIN)/python -m tools.reference

PEERS := bench/.venv/.ready
$(PEERS): bench/requirements.lock
	$(PYTHON) -m venv bench/.venv
	bench/.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

MODEL_PEERS := bench/.venv-models/.ready
$(MODEL_PEERS): bench/requirements-models.lock
	$(PYTHON) -m venv bench/.venv-models
	bench/.venv-models/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

DOJO := bench/.venv-agentdojo/.ready
$(DOJO): bench/requirements-agentdojo.lock
	$(PYTHON) -m venv bench/.venv-agentdojo
	bench/.venv-agentdojo/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

bench: $(READY) $(MODEL) $(PEERS) $(MODEL_PEERS) $(DOJO) ## measure, beside what one would use instead (about fifty minutes)
	$(BIN)/python -m bench.run all

clean: ## remove everything that was made
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/.cache bench/.venv bench/.venv-models bench/.venv-agentdojo
