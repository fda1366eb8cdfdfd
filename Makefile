# Everything a person types: `make up` and `make test`. Both set up what is missing first.

PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .uv/bin/uv
PORT ?= 3000

.PHONY: up down test check setup clean

up: setup
	@.venv/bin/rebalancer up --port $(PORT)

down: setup
	@.venv/bin/rebalancer down

test: setup
	@.venv/bin/python -m pytest -n 3 --dist worksteal

check: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/basedpyright
	.venv/bin/lint-imports

setup: .venv/.ready

# The stamp is newer than every file that decides what is installed.
.venv/.ready: pyproject.toml uv.lock $(UV)
	@$(UV) sync --frozen --quiet
	@touch $@

# uv in an environment of its own: it replaces itself nowhere and needs nothing but Python.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1)
	@$(PYTHON) -m venv .uv || (echo "Python's venv module is missing; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1)
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:
	rm -rf .venv .uv
