# Two commands: `make repro` runs the pipeline, `make test` checks it. Both build what they need.
# PYTHON= chooses the interpreter. Otherwise an environment that is there keeps its own, and a new one gets the newest.
PYTHON ?=
# of `make study`
STUDY ?=
PART ?=
DATA ?=
OUTSIDE ?=
VENV := .venv
INTERPRETERS = $(if $(PYTHON),"$(PYTHON)",$(VENV)/bin/python python3.13 python3.12 python3.11 python3)
# COVERAGE=1 measures which lines the tests run
COVERAGE ?=
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro study show doctor verify test test-ci test-network test-slow test-kill lint audit format bench venv clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

repro: venv ## run the pipeline on the parameters in params.yaml, and say where the report is
	@python -m stages.check --params params.yaml
	dvc repro
	@echo
	@echo "The report is metrics/report.html: open it in a browser."

study: venv ## one of five published studies: STUDY=A to E, PART=tuning, DATA=path and OUTSIDE=folder of your own pictures
	@python -m stages.study '$(STUDY)' $(if $(DATA),'$(DATA)') $(if $(OUTSIDE),--outside '$(OUTSIDE)') $(if $(PART),--part $(PART))

doctor: venv ## what a run would read, need and take, and what to change
	@python -m stages.doctor

verify: venv ## run every stage again under other conditions, and say whether its bytes are those of dvc.lock
	@python -m stages.verify

test: venv ## all tests that need no network and no patience
	pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term)

test-network: venv ## tests that fetch from a package registry
	pytest -m network

test-ci: $(VENV)/for-ci ## tests that take up to a minute each, most of the whole pipeline: CI runs them too
	pytest -m 'ci and not slow' -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder

test-slow: venv ## tests that take minutes each
	pytest -m slow

test-kill: venv ## 200 runs killed at random moments, KILLS= says how many, and what comes after (an hour)
	pytest -m kill

lint: venv ## style, types and imports, as CI checks them
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache --no-logo

audit: venv ## known vulnerabilities of the pinned packages, where their database can be reached
	.ci/audit

format: venv ## mend what can be mended
	ruff check --fix .
	ruff format .

bench: venv ## every benchmark, one after the other (minutes; nothing else should run)
	@for file in tests/benchmarks/bench_*.py; do echo "== $$file"; python $$file || exit 1; done

show: venv ## the experiments of this commit: accuracies, and the parameters in which they differ
	@dvc exp show --md --only-changed --drop '.*(macro|ensemble)|Created|State|Executor|data/|models/|metrics/'

venv: $(VENV)/built ## the environment, from pinned versions

# Its programs begin with the place where it was made: moved along with the project, it is made anew.
MOVED := $(shell [ ! -s $(VENV)/built ] || [ "$$(cat $(VENV)/built)" = "$$(cd $(VENV) && pwd -P)" ] || echo moved)
ifdef MOVED
.PHONY: $(VENV)/built
endif
$(VENV)/built: constraints.txt pyproject.toml
	@git rev-parse --git-dir >/dev/null || { echo "error: git reads no repository in $(CURDIR), which DVC needs, as said above:" \
		"clone the project with git; of a downloaded zip, git init && git add . && git commit -m start makes one" >&2; exit 1; }
	@python=$$(.ci/find-python $(INTERPRETERS)) || exit 1; \
	clear=$$([ "$$("$$python" -V)" = "$$($(VENV)/bin/python -V 2>&1)" ] && [ ! '$(MOVED)' ] || echo --clear); \
	echo "$$python -m venv $(VENV)"; "$$python" -m venv $$clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(VENV)/bin/python -c 'from pipeline.report.plots_page import save_plots_page; save_plots_page()'
	@cd $(VENV) && pwd -P > built

$(VENV)/for-ci: $(VENV)/built
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[export,serve,hub,s3,ray,ci]'
	@touch $@

clean: ## delete the environment and caches; data, models and metrics stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info
