# Everything a newcomer types. `make` alone tells what there is.
SHELL := /bin/bash
PYTHON ?= python3
UV := .uv/bin/uv
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadscope
# PySpark is built here too: there is no wheel of it.
BUILD := --build-constraints requirements-build.lock
# What installs and builds the rest.
BUILD_LOCK := uv pip compile --group pyproject.toml:build --universal --python-version 3.10 \
	--no-emit-index-url --generate-hashes --no-header --no-annotate --quiet -o requirements-build.lock
LOCK := uv pip compile pyproject.toml --extra production --universal --python-version 3.10 \
	--no-emit-index-url --generate-hashes --no-header --quiet -o requirements.lock
# What tests, checks and benchmarks need besides.
DEVELOPERS_LOCK := uv pip compile pyproject.toml --extra dev --extra production --universal \
	--python-version 3.10 --constraint requirements.lock --no-emit-index-url --generate-hashes \
	--no-header --quiet -o requirements-dev.lock
# Databricks runtime 18 LTS, whose library lists know no markers.
CLUSTER_LOCK := uv pip compile --group pyproject.toml:cluster --constraint requirements.lock \
	--python-version 3.12 --python-platform x86_64-unknown-linux-gnu --no-emit-index-url \
	--generate-hashes --no-header --no-annotate --quiet -o storepipe_dagster/resources/databricks/cluster.lock

.DEFAULT_GOAL := help
.PHONY: help install developers cluster demo servers test test-slow test-all coverage dev bench lint format lock clean

help:  ## Tell what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed  ## Only the environment, in .venv; needs Python 3.10+ with pip

$(UV): requirements-build.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "storepipe needs Python 3.10 or newer; name one with: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
		--target .uv --upgrade --no-deps --require-hashes --requirement requirements-build.lock
	@touch $@

.venv/.installed: requirements.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv
	$(UV) pip sync --quiet --compile-bytecode --require-hashes $(BUILD) --python $(BIN)/python \
		requirements.lock
	$(UV) pip install --quiet --no-deps $(BUILD) --python $(BIN)/python --editable .
	@touch $@

developers: .venv/.developers

.venv/.developers: requirements-dev.lock .venv/.installed
	$(UV) pip install --quiet --compile-bytecode --require-hashes $(BUILD) --python $(BIN)/python \
		--requirements requirements-dev.lock
	@touch $@

demo: install  ## All set-up, then the whole graph on a synthetic shop
	$(BIN)/storepipe demo

servers:  ## What the tests need beside Python, on Debian or Ubuntu: databases, Azurite, Java, Chromium
	@$(PYTHON) storepipe_dagster_tests/servers/install.py

cluster: developers
	@$(BIN)/python -m storepipe_dagster_tests.servers.databricks.environments

test: servers developers cluster  ## All set-up, then all tests but the slow ones
	$(PYTEST) -m "not slow"

test-slow: servers developers cluster  ## All set-up, then the exhaustive tests: every write may be the last
	$(PYTEST) -m slow

test-all: servers developers cluster  ## All set-up, then all tests
	$(PYTEST)

coverage: servers developers cluster  ## As test, and the lines that no test reaches; takes half as long again
	$(PYTEST) -m "not slow" --cov

dev: install  ## Dagster's webserver and daemon on http://127.0.0.1:3000
	$(BIN)/storepipe dev

bench: servers developers  ## The pipeline beside what its users would pick instead
	$(BIN)/python -m storepipe_dagster_tests.bench $(if $(ONLY),--only $(ONLY))

lint: developers  ## What CI holds the code to: ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: developers  ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: | $(UV)  ## Pin the newest versions that pyproject.toml allows
	.uv/bin/$(BUILD_LOCK) --upgrade
	.uv/bin/$(LOCK) --upgrade
	.uv/bin/$(DEVELOPERS_LOCK) --upgrade
	.uv/bin/$(CLUSTER_LOCK) --upgrade

clean:  ## Remove the environment and what tests leave; never the data
	rm -rf .venv .uv .servers .artifacts .coverage .pytest_cache .mypy_cache .ruff_cache *.egg-info
