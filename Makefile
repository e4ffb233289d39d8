# make lab         open JupyterLab on lesson 00
# make run         run the lessons, and write build/report/index.html
# make site        run the lessons that were not run yet, and write build/site/index.html (SOLUTIONS=1: with the solutions)
# make check-site  read the site in Chromium, which must be installed
# make test        all checks of the code, and all tests (COVERAGE=1: prints the coverage, too; FRESH=1: runs everything again)
# make test-quick  the checks of the code, and the tests that take no minutes
# make test-real   the lessons on real CIFAR-10, with ImageNet weights
# make lint        mend what ruff can mend
# make seeds       run the lessons with many seeds, and count how often each claim holds
# make bench       the benchmarks (hours, where the recipes of lesson 12 were not measured yet)
# make clean       remove the environment and all results
# Each first installs into .venv what it needs and what is not there yet. After that it works without network, but for CIFAR-10 and ImageNet weights.
# Variables:       LAB="--no-browser --port 8899" (lab)  PROFILE=mini|cifar10-cpu|cifar10-gpu|auto, LESSONS="03 06" (run, seeds)
#                  JOBS=2 (run, site, seeds)  SEEDS=20 (seeds)
# For the set-up:  PYTHON=python3.12  EXTRAS=gpu (a Linux machine with an NVIDIA GPU)

VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= auto
# Named as a file, lesson 00 would make its folder the root, and links to the exercises would lead nowhere. And a browser
# that is a snap cannot read the file that JupyterLab would send it to.
START_PAGE := --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb --ServerApp.use_redirect_file=False
RUN_OPTIONS = --profile $(PROFILE) $(if $(LESSONS),--lessons $(LESSONS)) $(if $(JOBS),--jobs $(JOBS))
SET_UP = @sh course/set_up.sh "$(PYTHON)" $(VENV) $(EXTRAS)# extras that a target needs follow

.PHONY: help lab run site check-site check test test-quick test-real lint seeds bench clean

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

lab:
	$(SET_UP) lab
	$(BIN)/python -m jupyterlab $(START_PAGE) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB)

run:
	$(SET_UP)
	$(BIN)/python -m course run $(RUN_OPTIONS)

site:
	$(SET_UP) site
	$(BIN)/python -m course site $(if $(SOLUTIONS),--solutions) $(if $(JOBS),--jobs $(JOBS))

check-site:
	$(SET_UP) site
	$(BIN)/python -m course check-site

check:
	$(SET_UP) test site instructor
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/python -m deptry .

test: check
	$(BIN)/python -m pytest $(if $(COVERAGE),--cov) $(if $(FRESH),--fresh)

test-quick: check
	$(BIN)/python -m pytest tests -m "not real and not slow"

test-real:
	$(SET_UP) test
	$(BIN)/python -m pytest -m real -rs

lint:
	$(SET_UP) test
	$(BIN)/python -m ruff check --fix . && $(BIN)/python -m ruff format .

seeds:
	$(SET_UP)
	$(BIN)/python -m course seeds $(RUN_OPTIONS) $(if $(SEEDS),--seeds $(SEEDS))

bench:
	$(SET_UP)
	$(BIN)/python -m benchmarks.feature_cache
	$(BIN)/python -m benchmarks.pipeline_memory
	$(BIN)/python -m benchmarks.folder_memory
	$(BIN)/python -m benchmarks.cut_at_block
	$(BIN)/python -m benchmarks.grading_cluster
	$(BIN)/python -m benchmarks.precision
	$(BIN)/python -m benchmarks.recipes

clean:
	rm -rf $(VENV) $(VENV).old $(VENV).lock build
