# make lab    set up, and open JupyterLab on lesson 00
# make run    set up, run the lessons, write build/report/index.html
# make test   set up, run all tests
# make site   set up, run the lessons that were not run yet, write build/site/index.html (SOLUTIONS=1: with the solutions)
# Each works again without network once it has set itself up.
# Variables:  PROFILE=mini|cifar10-cpu|cifar10-gpu|auto  LESSONS="03 06"  JOBS=2  SEEDS=20
# For the set-up:  PYTHON=python3.12  EXTRAS=lab,test,instructor,site,gpu (a Linux machine with an NVIDIA GPU)

VENV := .venv
READY := $(VENV)/ready
BIN := $(VENV)/bin
PROFILE ?= auto
EXTRAS ?= lab,test,instructor,site
RUN_OPTIONS = --profile $(PROFILE) $(if $(LESSONS),--lessons $(LESSONS)) $(if $(JOBS),--jobs $(JOBS))

.PHONY: lab run site check-site test test-real bench seeds lint clean

lab: $(READY)
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

run: $(READY)
	$(BIN)/python -m course run $(RUN_OPTIONS)

site: $(READY)
	$(BIN)/python -m course site $(if $(SOLUTIONS),--solutions) $(if $(JOBS),--jobs $(JOBS))

check-site: $(READY) # the site of `make site`, in Chromium, which must be installed
	$(BIN)/python -m course check-site

test: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest

test-real: $(READY)
	$(BIN)/python -m pytest -m real -rs

bench: $(READY)
	$(BIN)/python -m benchmarks.feature_cache
	$(BIN)/python -m benchmarks.pipeline_memory
	$(BIN)/python -m benchmarks.folder_memory

seeds: $(READY)
	$(BIN)/python -m course seeds $(RUN_OPTIONS) $(if $(SEEDS),--seeds $(SEEDS))

lint: $(READY)
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	@sh course/set_up.sh "$(PYTHON)" $(VENV) $(EXTRAS)
	@touch $@

clean:
	rm -rf $(VENV) build
