# One environment in .venv, made on the first call from the pins in requirements.txt.
PYTHON ?= python3
BIN := .venv/bin
TOPIC ?=
SOLUTIONS ?= yes
NOTEBOOKS := $(if $(TOPIC),book/$(TOPIC).ipynb solutions/$(TOPIC).ipynb,book solutions)

# With more threads than free cores, PyTorch's workers wait for one another in busy loops.
export OMP_WAIT_POLICY = PASSIVE
export OMP_NUM_THREADS = 1
export JUPYTER_PLATFORM_DIRS = 1

.PHONY: help book test lab refresh exercises cheatsheet screenshots bench experiment test-portable clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"rnncourse needs Python 3.11 or newer, {sys.executable} is {v[0]}.{v[1]}: call make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@$(BIN)/pip install --quiet --disable-pip-version-check kenlm==0.3.0 || echo "kenlm was not built, for want of a C++ compiler or a network: its tests will be skipped"
	@touch $@

ifeq ($(SOLUTIONS),no)
book: .venv/.installed
	@mkdir -p _build/class
	sed '/caption: Solutions/,/caption: Looking up/{/caption: Looking up/!d}' _toc.yml >_build/class/_toc.yml
	$(BIN)/jupyter-book build . -W -n --keep-going --quiet --toc _build/class/_toc.yml --path-output _build/class
	@echo "The book without solutions: $(CURDIR)/_build/class/_build/html/index.html"
else
book: .venv/.installed ## build the textbook; warnings are errors; SOLUTIONS=no leaves the solutions out
	$(BIN)/jupyter-book build . -W -n --keep-going --quiet
	@echo "The book: $(CURDIR)/_build/html/index.html"
endif

test: .venv/.installed ## lint, unit tests, notebooks, exercises, book, browser; TOPIC=bptt for one room
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/rnncourse exercises check $(TOPIC)
	$(MAKE) --no-print-directory book
	$(BIN)/python -m pytest -n 2 --dist loadfile $(if $(TOPIC),-k $(TOPIC)) tests
	$(BIN)/python -m pytest --nbval $(NOTEBOOKS)

lab: .venv/.installed ## JupyterLab on the notebooks
	@$(BIN)/jupyter trust book/*.ipynb exercises/*.ipynb solutions/*.ipynb >/dev/null  # else stored SVG is not shown
	$(BIN)/jupyter lab book

refresh: .venv/.installed ## execute the notebooks again, in place; TOPIC=bptt for one
	$(BIN)/rnncourse refresh $(TOPIC)
	$(BIN)/rnncourse exercises build $(TOPIC)

exercises: .venv/.installed ## write exercises/ from solutions/
	$(BIN)/rnncourse exercises build $(TOPIC)

cheatsheet: book ## print the cheatsheet to book/cheatsheet.pdf; needs Chromium
	$(BIN)/python tests/prints.py cheatsheet

screenshots: book ## all pages at three widths in two themes, to _build/screenshots; needs Chromium
	$(BIN)/python tests/prints.py screenshots

bench: .venv/.installed ## time the package against torch.nn; the record goes to benchmarks/
	$(BIN)/rnncourse bench

experiment: .venv/.installed ## run the long experiments of one room again: TOPIC=rnn
	$(BIN)/rnncourse experiment $(TOPIC)

test-portable: .venv/.installed ## the notebooks again, with the kernels of older processors
	$(BIN)/python -m pytest tests/portable.py

clean: ## remove what was built, the environment included
	rm -rf .venv _build *.egg-info .pytest_cache .ruff_cache .hypothesis
