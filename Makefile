# Every target does the complete set-up first: Python 3.11 and make are all that is needed.
# TORCH=cpu (default), cuda or none: which build of torch trains; see deploy/install.py.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/.installed$(TORCH:%=-%)
ORACLES := $(STAMP)-oracles

.PHONY: venv demo demo-live pictures research-pictures test test-slow test-plain chaos soak lint bench bench-quick conformance image clean
.DEFAULT_GOAL := demo

# Tests start thousands of processes, and each reads what the first one compiled: also where the environment forbids to keep it.
export PYTHONDONTWRITEBYTECODE :=

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	TORCH=$(TORCH) $(BIN)/python deploy/install.py --extra test --extra lint --editable
	@touch $@

demo: $(STAMP)
	$(BIN)/papertape demo

# The page of a running daemon on a synthetic market, with Prometheus and Alertmanager where they are installed.
demo-live: $(STAMP)
	@$(BIN)/python deploy/demo_live.py

# The demo's report, and page, replay and dashboards from a run of demo-live; needs Debian's chromium and prometheus.
pictures: $(STAMP)
	$(BIN)/python -m tests.support.report_pictures
	$(BIN)/python -m tests.support.live_pictures

# The pages of a sweep, a walk-forward and a search, each from its command in deploy/docs/research.md; needs Debian's chromium.
research-pictures: $(STAMP)
	$(BIN)/python -m tests.support.research_pictures

# Some tests wait, for minutes even, so there is a worker more than cores.
WORKERS := -n $$($(BIN)/python -c "import os; print(os.cpu_count() + 1)") --dist worksteal

test: $(STAMP)
	$(BIN)/python -m pytest $(WORKERS) -m "not slow and not soak"

# What a few of the long proofs ask, 212 MB; where it cannot be had, off the net say, those are skipped.
$(ORACLES): $(STAMP)
	@if TORCH=$(TORCH) $(BIN)/python deploy/install.py --extra test --extra lint --extra oracles --editable; then touch $@; \
	else echo "skipped: proofs beside purgedcv and skfolio, for they cannot be installed" >&2; fi

# The long proofs, which .ci/run runs as well.
test-slow: $(ORACLES)
	$(BIN)/python -m pytest $(WORKERS) -m slow

# The way out when a new numba breaks engine/jit's dispatch: the same answers by plain numba (kernels in a folder of their own).
test-plain: $(STAMP)
	PAPERTAPE_PLAIN_JIT=1 $(BIN)/python -m pytest -m "not slow" \
	  tests/engine/test_core.py tests/engine/jit/test_dispatch.py tests/test_parity.py

# A thousand mixtures of faults, every one of them alone, and every way of the exchange with every source of candles.
chaos: $(STAMP)
	PAPERTAPE_SEEDS=1000 $(BIN)/python -m pytest -n auto --dist worksteal -m "not soak" tests/scenarios \
	  tests/daemon/test_crashes.py tests/daemon/feeds/delta/test_against_exchange.py

# Ten simulated days of five symbols: memory, open files and tasks stay flat while it is scraped.
soak: $(STAMP)
	$(BIN)/python -m pytest -m soak

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The other engine that is measured in the same run is installed first.
bench: $(STAMP)
	TORCH=$(TORCH) $(BIN)/python deploy/install.py --extra test --extra lint --extra bench --editable
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.rewrites

# Fewer candles, and its results compared: no figure is asked for, so anything may run beside it.
bench-quick: $(STAMP)
	$(BIN)/python -m tests.bench --quick

# An engine that cannot live with our pandas is asked in an environment of its own.
OTHERS := .venv-conformance
$(OTHERS)/%/.installed: tests/bench/conformance/requirements/%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# What an order gets, beside other engines: writes deploy/docs/conformance.md.
conformance: $(STAMP) $(OTHERS)/nautilus/.installed $(OTHERS)/jesse/.installed
	TORCH=$(TORCH) $(BIN)/python deploy/install.py --extra test --extra lint --extra bench --editable
	$(BIN)/python -m tests.bench.conformance

# The container's image, and `papertape demo` in it as process 1. Needs a container engine that is up, and nothing else.
image:
	TORCH=$(TORCH) deploy/image.sh

clean:
	rm -rf .venv $(OTHERS) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
