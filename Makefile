# make demo   sets up, then runs the demo library at http://127.0.0.1:$(PORT)
# make test   sets up, then runs every check
PORT ?= 8420
DEMO ?= demo
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
# on a terminal pip shows its bars; in a log it is quiet
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt $(shell [ -t 2 ] || echo -q)

.PHONY: demo setup setup-dev test test-postgres lint types bench torture clean help page

help:
	@echo 'make demo [PORT=8420]  sets up, fetches samples, learns, serves at http://127.0.0.1:8420'
	@echo 'make test              lint, types and every test       make bench    measures'
	@echo 'make setup             only the environment             make page     builds the page (needs npm)'
	@echo 'make torture           long runs of chance              make clean    removes the environment'

demo: $(VENV)/.run
	@exec $(BIN)/matinee demo --library $(DEMO) --port $(PORT)

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo 'Matinee needs Python 3.11 or newer and found none. Install it (Debian: apt-get install python3.11 python3.11-venv), or name one: make demo PYTHON=/path/to/python3.11'; echo 'Matinee 需要 Python 3.11 或更新版本，但没有找到。请先安装，或者指定：make demo PYTHON=/path/to/python3.11'; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Matinee needs Python 3.11 or newer; $(PYTHON) is older. / Matinee 需要 Python 3.11 或更新版本。'; exit 2; }
	@echo 'Creating $(VENV) ...'
	@$(PYTHON) -m venv $(VENV) || { echo 'Could not create $(VENV): is the venv module installed (Debian: apt-get install python3-venv) and the disk not full?'; rm -rf $(VENV); exit 1; }

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing Matinee and what it needs (about 190 MB) ...'
	@$(PIP) -e . || { echo 'Installation failed: the message above says why. Without a network, point pip at a mirror or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS) and run make again.'; exit 1; }
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo 'Installing Matinee and its tests ...'
	@$(PIP) -e ".[dev]" || { echo 'Installation failed: the message above says why.'; exit 1; }
	@touch $@ $(VENV)/.run

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not torture' $(ARGS)

test-postgres: $(VENV)/.dev
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 || { echo 'Installing PostgreSQL ...'; S=; [ "$$(id -u)" = 0 ] || S=sudo; $$S apt-get update -qq && $$S apt-get install -y -qq --no-install-recommends postgresql >/dev/null; }
	$(BIN)/python -m pytest tests/contracts/test_store.py tests/contracts/test_store_postgres.py -k postgres $(ARGS)

torture: $(VENV)/.dev
	$(BIN)/python -m pytest -m torture $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

page:
	@command -v npm >/dev/null || { echo 'The page is built with npm: install Node.js 20 or newer.'; exit 2; }
	cd web && npm ci && npm run build

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
