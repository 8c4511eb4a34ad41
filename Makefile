# Needs only Python 3.11 or newer, make and a C compiler. Everything else goes to .venv, once.
PYTHON ?= python3

BIN := .venv/bin
STAMP := .venv/.installed
# A rule's command starts `python`: let it find ours, whatever is active in this shell.
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"
# The library is used from the checkout. An absolute path also holds in another folder.
export PYTHONPATH := $(CURDIR)/workflow

.PHONY: help table report review test lint bench

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

table: $(STAMP) ## Run the matrix: results/table.csv, results/table.md and results/figures/
	$(RUN) $(BIN)/snakemake

report: $(STAMP) ## Gather what is there in one page: results/report.html
	$(RUN) $(BIN)/snakemake --report results/report.html

review: $(STAMP) ## Compare the cells that are there with the committed ones: results/review.csv
	$(RUN) $(BIN)/snakemake results/review.csv

test: $(STAMP) ## Run the tests (ARGS="-k name" picks some)
	$(RUN) $(BIN)/python -m pytest -rs --durations=10 $(ARGS)

lint: $(STAMP) ## Check style: ruff, snakefmt and snakemake --lint
	$(RUN) $(BIN)/ruff check
	$(RUN) $(BIN)/ruff format --check
	$(RUN) $(BIN)/snakefmt --check Snakefile workflow
	$(RUN) $(BIN)/snakemake --lint

bench: $(STAMP) ## Measure the speed
	$(RUN) $(BIN)/python benchmarks/toy.py
	$(RUN) $(BIN)/python benchmarks/llm.py

# The stamp comes last: an interrupted install leaves none, and the next call starts afresh.
$(STAMP): envs/requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11" % v[:2])'
	@echo "Installing the pinned packages in .venv: once, some minutes"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	@touch $@
