# `make` prints the tasks. It needs Python 3.10 to 3.13 with venv, and PyPI; everything goes into .venv.

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
UV ?= uv
PYTEST_ARGS ?=
EXAMPLE_TARGETS := x86-cpu arm64-cpu t4 l4 rtx-4090 orin-nano-8gb orin-nx-8gb orin-nx-16gb agx-orin-64gb

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --only-binary :all:
LOCKS := requirements/demo.txt requirements/dev.txt requirements/torch.txt
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
CREATED := $(VENV)/created-$(VERSION)
LOCK := $(UV) pip compile --quiet --universal --python-version 3.10 --no-python-downloads --no-annotate \
	--only-binary :all: --config-file requirements/uv.toml --custom-compile-command "make lock"

.PHONY: help
help:  ## Print this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 28

.PHONY: demo
demo: $(VENV)/demo  ## Generate the example's repository, serve it, stream pictures, a video and a camera; see out/
	@$(BIN)/python clients/run_demo.py

.PHONY: test
test: $(VENV)/dev  ## Run all tests, a file at a time on each core; PYTEST_ARGS="-n 0 -k name" for some
	@$(BIN)/python -m pytest -n logical --dist loadfile $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/dev  ## Check style and types: ruff, mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy $$(find kit/server/backends -name '*.py')

.PHONY: format
format: $(VENV)/dev  ## Bring all code into form
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: golden
golden: $(VENV)/dev  ## Write the golden files anew; look at the difference before you commit it
	@$(BIN)/kit schema > kit/spec.schema.json
	@$(BIN)/python -m pytest --update-golden -q tests/render tests/targets tests/specfile tests/quality
	@git diff --stat -- tests/golden kit/spec.schema.json

.PHONY: example-repository
example-repository: $(VENV)/demo  ## Write model_repository/, the example's for all targets, anew
	@rm -rf model_repository
	@$(BIN)/kit generate examples/digits/digits.onnx --verify live --calibration examples/digits/calibration \
		$(addprefix --target ,$(EXAMPLE_TARGETS))

.PHONY: coverage
coverage: $(VENV)/dev  ## Run all tests and show the lines that none ran
	@$(BIN)/python -m pytest -n logical --dist loadfile --cov --cov-report=term-missing $(PYTEST_ARGS)

.PHONY: bench
bench: $(VENV)/dev  ## Measure: every benchmark in benchmarks/
	@for file in benchmarks/[!_]*.py; do echo "$$file"; $(BIN)/python "$$file"; done

.PHONY: wheel
wheel: $(VENV)/dev  ## Build dist/*.whl and dist/*.tar.gz
	@$(BIN)/python -m build --no-isolation --outdir dist .

.PHONY: lock
lock:  ## Choose the newest versions that fit and write requirements/*.txt (needs uv)
	$(LOCK) --upgrade --extra camera -o requirements/demo.txt pyproject.toml requirements/build.in
	$(LOCK) --upgrade --extra camera --extra torch --extra dev --no-emit-package torch -c requirements/demo.txt \
		-o requirements/dev.txt pyproject.toml requirements/build.in
	for file in requirements/environments/*.in; do \
		lowest=3.10; grep -q "for Python 3.11" $$file && lowest=3.11; \
		$(subst 3.10,$$lowest,$(LOCK)) --upgrade --generate-hashes --no-emit-package torch \
			--no-emit-package openvino-telemetry \
			-o kit/environments/locks/$$(basename $$file .in).txt $$file; \
	done

.PHONY: clean
clean:  ## Delete what make has made here; the caches of the user stay: kit cache --clear
	rm -rf $(VENV) build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

# Stamps: each is newer than the locks that it was made from. Another Python or another lock starts afresh.

$(CREATED): $(LOCKS)
	@case "$(VERSION)" in 3.10|3.11|3.12|3.13) ;; *) \
		echo "Python 3.10 to 3.13 is needed, $(PYTHON) is $(or $(VERSION),not there); try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1;; esac
	@echo "making $(VENV) with Python $(VERSION) (once)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/demo: $(CREATED) pyproject.toml
	@echo "installing requirements/demo.txt"
	@$(INSTALL) -r requirements/demo.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@echo "installing requirements/dev.txt"
	@$(INSTALL) -r requirements/dev.txt
	@echo "installing torch for the CPU"
	@$(INSTALL) --quiet --no-deps --retries 1 --timeout 15 --extra-index-url $(TORCH_INDEX) -r requirements/torch.txt \
		|| echo "no CPU build of torch for Python $(VERSION) at $(TORCH_INDEX): tests of PyTorch models will be skipped"
	@touch $@
