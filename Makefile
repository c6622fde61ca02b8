# make quickstart   the main job: a suite on n-body becomes results/quickstart/leaderboard.html
# make test         the tests, the linter and the type checker
# make coverage     the same, with the coverage of the package: build/coverage.xml
# Both make .venv the first time and leave it alone afterwards.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
JOBS ?= $(shell $(PYTHON) -c "import os; print(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count())")

.PHONY: quickstart test coverage lint clean

quickstart: $(READY)
	$(VENV)/bin/geoequiv run configs/quickstart.yaml --output results/quickstart --resume --jobs $(JOBS)
	@echo "Open results/quickstart/leaderboard.html"

test: $(READY) lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -n $(JOBS)

coverage: $(READY) lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q -n $(JOBS) --cov --cov-report=term --cov-report=xml

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# One install for both commands; it runs again only when the requirements change.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'geoequiv needs Python 3.11 or newer, this is ' + sys.version.split()[0] + '. Try: make PYTHON=python3.12')"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info
