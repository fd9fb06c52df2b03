# Every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup book test notebooks live lint format serve clean

VENV ?= .venv
PYTHON ?=
CHAPTER ?=
PORT ?= 8000
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.book-installed

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PYTHON=… chooses the Python to build with, VENV=… the environment, CHAPTER=08 one chapter (notebooks, live)"

# Depends on what decides the versions, and on nothing else: a second run installs nothing.
$(STAMP): pyproject.toml constraints.txt
	@sh tools/setup.sh "$(VENV)" all "$(PYTHON)"
	@touch $@

setup: $(STAMP)  ## the virtual environment, with the versions of constraints.txt

book: $(STAMP)  ## execute every chapter afresh and render the book to _build/html/index.html
	@$(RUN) tools/book.py book

test: $(STAMP)  ## every check: lint, types, unit tests, notebooks, rendered site
	@$(RUN) tools/check.py

notebooks: $(STAMP)  ## execute the chapters in place (no diff when nothing changed)
	@$(RUN) tools/book.py notebooks $(CHAPTER)

live: $(STAMP)  ## run every experiment for real; copies in _build/live, the sources stay as they are
	@$(RUN) tools/book.py live $(CHAPTER)

lint: $(STAMP)  ## style, formatting, types and workflow files only
	@$(RUN) tools/check.py lint types

format: $(STAMP)  ## put Python and notebooks into the form that lint asks for
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

serve: $(STAMP)  ## show the rendered book on localhost:8000 (PORT=…)
	@test -f _build/html/index.html || { echo "error: no book yet, run make book first" >&2; exit 1; }
	@echo "http://localhost:$(PORT)/ (stop with Ctrl-C)"
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

clean:  ## remove what was built and all caches (not the virtual environment)
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .coverage .hypothesis
	find cosent_lib cosent_book tests tools chapters -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf
