# `make demo` and `make test` do all the set-up; see README.md for the plain commands.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test test-all coverage lint

$(VENV)/installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet -r requirements-dev.txt
	$(RUN) -m pip install --quiet --no-deps --editable .
	touch $@

demo: $(VENV)/installed
	$(RUN) -m scripts demo --output demo

test: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Processes that the tests start or fork are counted too, but for those that SIGKILL ends.
coverage: $(VENV)/installed
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --cov --cov-report=term

# Without the variable, pyright's package asks PyPI for a newer version of itself. hadolint is not there on Windows.
lint: $(VENV)/installed
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright --pythonpath $(RUN)
	! test -x $(VENV)/bin/hadolint || $(VENV)/bin/hadolint Dockerfile
