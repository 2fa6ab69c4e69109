# `make help` tells what there is. Everything runs from .venv, which the first target sets up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CONFIG ?= configs/demo.yaml
ARGS ?=
TEST_PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE =  # not even where an image sets it: without bytecode a process compiles the libraries for half a minute
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e

.DEFAULT_GOAL := help
.PHONY: help extract train predict test lint format data docs benchmarks pictures constraints clean

help:  ## show this
	@echo "make TARGET [CONFIG=configs/demo.yaml] [ARGS='--set selection.folds=3']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

extract: .venv/.installed  ## stage 1: run the backbones of CONFIG over the samples that are not in the store yet
	$(BIN)/headstart extract $(CONFIG) $(ARGS)

train: .venv/.installed  ## stage 1 where needed, then stage 2: try the heads of CONFIG, choose one, test it
	$(BIN)/headstart train $(CONFIG) $(ARGS)

predict: .venv/.installed  ## classify TEXT with the run RUN: make predict RUN=runs/demo-... TEXT="what a film"
	$(BIN)/headstart predict "$(RUN)" "$(TEXT)" $(ARGS)

test: .venv/.developing lint  ## lint, types, import order, then the tests, the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --maxprocesses=9 --dist=worksteal $(ARGS)

lint: .venv/.developing  ## ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.developing  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

data: .venv/.installed  ## rebuild the demo data from the checksummed source distribution
	$(BIN)/python examples/data/build_sentences.py

docs: .venv/.developing  ## build the documentation into site/
	$(BIN)/python docs/make_commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

benchmarks: .venv/.developing  ## run every benchmark and print its table
	$(INSTALL) '.[bench]'
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.extract
	$(BIN)/python -m benchmarks.warm
	$(BIN)/python -m benchmarks.heads

pictures: .venv/.installed  ## make the README's pictures from a fresh run of the demo
	$(BIN)/python docs/make_pictures.py

constraints: .venv/.developing  ## write the versions now in .venv into constraints.txt
	{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --exclude-editable \
	  | grep -viE '^(torch|torchvision|triton|nvidia|cuda|setuptools|pip)'; } > .constraints && mv .constraints constraints.txt

clean:  ## remove the environment and caches; features and runs stay
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip  # an old one takes minutes to settle on versions

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[demo]'
	@touch $@

.venv/.developing: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[demo,dev]'
	@touch .venv/.installed $@
