# make setup   the virtual environment .venv with everything in it
# make demo    a hub with three simulated hospitals (EXIT=1: end after the summary)
# make serve   a development hub in DATA (default healthsync-data)
# make test    the test suite            make check   style, types, architecture, docs and lock
# make docs    the documentation in site/ make bench  the benchmarks     make lock   requirements.lock anew

SHELL = /bin/bash
.DEFAULT_GOAL = help
# Compiled modules are kept: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo serve test check docs reference bench lock clean
.PHONY: check-style check-format check-types check-architecture check-reference check-lock check-repository

PYTHON ?= python3
DATA ?= healthsync-data
JOBS ?= 2
BIN = .venv/bin
READY = .venv/.ready

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@tools/setup.sh "$(PYTHON)"
	@touch $@

demo: $(READY)
	@$(BIN)/healthsync demo $(if $(EXIT),--exit)

serve: $(READY)
	@test -f $(DATA)/healthsync.yaml || $(BIN)/healthsync init $(DATA) --development
	@$(BIN)/healthsync serve --data $(DATA)

test: $(READY)
	$(BIN)/pytest -n $(JOBS) --dist loadscope $(ARGS)

check: check-style check-format check-types check-architecture check-reference check-lock check-repository

check-style: $(READY)
	$(BIN)/ruff check --output-format concise .

check-format: $(READY)
	$(BIN)/ruff format --check --output-format concise .

check-types: $(READY)
	$(BIN)/pyright

check-architecture: $(READY)
	$(BIN)/lint-imports --no-cache

check-reference: $(READY)
	$(BIN)/python tools/docs_reference.py --check
	$(BIN)/python tools/docs_uscdi.py --check

check-lock: $(READY)
	$(BIN)/python tools/check_lock.py

check-repository: $(READY)
	$(BIN)/python tools/check_repository.py

docs: $(READY) reference
	$(BIN)/mkdocs build --strict --quiet

reference: $(READY)
	$(BIN)/python tools/docs_reference.py
	$(BIN)/python tools/docs_uscdi.py

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

# Index variables are cleared: a lock made through a mirror would carry the mirror's address.
lock:
	@env -u UV_DEFAULT_INDEX -u UV_INDEX_URL -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS uv lock --upgrade
	@uv export --frozen --no-emit-project --all-groups --no-header --format requirements-txt --quiet -o requirements.lock
	@python3 tools/check_lock.py

clean:
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
