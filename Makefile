# `make repro` and `make test` need python3 (3.11 or newer), git and make alone; both make .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

env: $(VENV)/complete  ## make or update .venv from requirements.lock

# Written last, so that a half-made environment is made again.
$(VENV)/complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; name a newer one: make env PYTHON=python3.12" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) >/dev/null || \
		{ echo "error: $(PYTHON) cannot make environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@# Compiled once here: some thirty stages start a Python each, and not every shell lets Python keep its bytecode.
	@echo "installing the locked packages into $(VENV)"
	@test -x $(BIN)/uv || { sed -n '/^uv==/,/[^\]$$/p' requirements.lock >$(VENV)/uv.txt && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(VENV)/uv.txt; }
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
	@VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@# DVC starts `python` from PATH: whatever is started by this environment's Python finds this environment first.
	@$(BIN)/python -c 'import sysconfig, pathlib; pathlib.Path(sysconfig.get_path("purelib"), "veriframe_path.pth").write_text("import os, sys; os.environ[\"PATH\"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get(\"PATH\", \"\")\n")'
	@$(BIN)/python -c 'import av, cv2, pyarrow, torch' 2>$(VENV)/import-error || \
		{ echo "error: a package cannot load a system library: $$(tail -n 1 $(VENV)/import-error)" >&2; exit 1; }
	@touch $@

repro: env  ## run the whole pipeline
	$(BIN)/dvc repro

plots: env  ## draw dvc_plots/*.png of the workspace, or of REV and it: make plots REV=main
	$(BIN)/veriframe plots $(REV)

test: env  ## run the tests, two files at a time
	@# Reordered, the longest files would come last, one of them alone.
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: env  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

two-clones: env  ## build twice from fresh clones, with 1 and 2 workers, and compare with the committed dvc.lock
	$(BIN)/python tests/two_clones.py

lock:  ## write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		--extra dev pyproject.toml --output-file requirements.lock

.PHONY: help env repro plots test lint two-clones lock
