# One entry for everything. `make demo` and `make test` need Python 3.11 or newer with pip, gcc and make,
# and nothing that is running; both make .venv, once, and are quick from then on.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
PIP := $(BIN)/python -m pip --disable-pip-version-check
COMPILED := $(wildcard csrc/*.c csrc/*.h nexus_sched/_kernel/*.pyx nexus_sched/_kernel/*.pxd)
TRACES ?= ../shared/traces
STUBBED = $(patsubst nexus_sched/_kernel/%.pyx,nexus_sched._kernel.%,$(wildcard nexus_sched/_kernel/*.pyx))

# $(call watched,COMMAND): runs it, names each package as it is fetched, and shows all it said if it fails.
define watched
$(1) 2>&1 | tee -a $(LOG) | awk '/^Collecting /{print "   " $$2; fflush()}' \
	|| { tail -n 60 $(LOG) >&2; echo "The step above failed; its output is in $(LOG)." >&2; exit 1; }
endef

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  ARGS="..." is passed on by demo, test, chaos, sim, bench, flood, recovery, gateway, quality and accuracy.'

.PHONY: demo
demo: $(VENV)/.installed ## run the same arrivals round robin and predictive, 30 s each, and compare
	@$(BIN)/nexus-sched demo $(ARGS)

.PHONY: test
test: $(VENV)/.tools ## run all tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

.PHONY: lint
lint: $(VENV)/.tools ## style, types, stubs, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --strict nexus_sched
	@PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint nexus_sched/_kernel
	@cd proto && PATH="$(CURDIR)/$(BIN):$$PATH" buf lint
	@$(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml $(STUBBED)
	@$(BIN)/python -m pytest tests/structure $(ARGS)

.PHONY: bench
bench: $(VENV)/.tools ## run the benchmarks and hold them against their budgets
	@mkdir -p .benchmarks
	@$(BIN)/python -m pytest benchmarks --benchmark-only --benchmark-json=.benchmarks/result.json $(ARGS)
	@$(BIN)/python -m benchmarks.gate .benchmarks/result.json

.PHONY: chaos
chaos: $(VENV)/.tools ## every fault on real processes, and a table of what came of it; ARGS="--faults 20" for more
	@$(BIN)/python -m tests.chaos --scenario all $(ARGS)

.PHONY: sim
sim: $(VENV)/.tools ## schedulers, workers and clients in virtual time, by seeds; SEEDS=1000, ARGS="--seed 7" for one
	@$(BIN)/python -m tests.shell $(if $(SEEDS),--seeds $(SEEDS)) $(ARGS)

.PHONY: abuse
abuse: $(VENV)/.tools ## hold 9,000 connections and 10,000 streams open, send floods, and ask all that is documented
	@ulimit -n 20000; NEXUS_ABUSE_CONNECTIONS=9000 NEXUS_ABUSE_STREAMS=10000 NEXUS_SCHEMA_EXAMPLES=40 $(BIN)/python -m pytest \
		tests/integration/test_gateway_abuse.py tests/integration/test_grpc_abuse.py \
		tests/integration/test_gateway_schema.py --timeout 1800 $(ARGS)

.PHONY: quality
quality: $(VENV)/.installed ## hold placement to its goals, in simulation; ARGS=--short for less
	@$(BIN)/python -m benchmarks.quality $(ARGS)

.PHONY: flood
flood: $(VENV)/.tools ## twenty times the capacity for a minute: decisions, memory, urgent tasks; ARGS="--duration 6" for less
	@$(BIN)/python -m benchmarks.flood --check $(ARGS)

.PHONY: recovery
recovery: $(VENV)/.tools ## how long nobody dispatches when the leader goes, with 100,000 queued tasks; ARGS="--way restart"
	@$(BIN)/python -m benchmarks.recovery --check $(ARGS)

.PHONY: gateway
gateway: $(VENV)/.tools ## submissions, estimates, limits, abuse, crashes and scrapes of the gateway; ARGS="--part eta"
	@$(BIN)/python -m benchmarks.gateway --check $(ARGS)

.PHONY: accuracy
accuracy: $(VENV)/.tools ## score predictions on recorded traces, and write a page to build/accuracy
	@if [ -d "$(TRACES)" ]; then $(BIN)/nexus-sched bench report "$(TRACES)" --baselines $(ARGS); \
	else echo "There are no recorded traces in $(TRACES); name their folder with: make accuracy TRACES=FOLDER"; fi

.PHONY: build
build: $(VENV)/.installed ## a wheel in dist/
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist

.PHONY: docs
docs: $(VENV)/.installed ## write the generated pages of docs/reference
	@$(BIN)/python -m nexus_sched.config.reference > docs/reference/configuration.md
	@$(BIN)/python -m nexus_sched.cli.reference cli > docs/reference/cli.md
	@$(BIN)/python -m nexus_sched.cli.reference errors > docs/reference/errors.md
	@$(BIN)/python -m nexus_sched.gateway.metrics.reference > docs/reference/metrics.md
	@$(BIN)/python -m nexus_sched.gateway.http.reference > docs/reference/http.md

.PHONY: proto
proto: $(VENV)/.tools ## write the messages of the gRPC interface anew
	@$(BIN)/python proto/generate.py

.PHONY: clean
clean: ## remove .venv and everything that was built
	@rm -rf $(VENV) build dist .benchmarks .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	@rm -f nexus_sched/_kernel/*.so nexus_sched/_kernel/*.c
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV) && $(PYTHON) -m venv --without-pip $(VENV) && : > $(LOG)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet -c constraints.txt pip >> $(LOG) 2>&1 \
		|| $(PYTHON) -m venv $(VENV) \
		|| { cat $(LOG) >&2; echo "pip could not be installed into $(VENV)." >&2; exit 1; }
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt setup.py $(COMPILED)
	@echo "Installing packages and compiling the core (about a minute the first time)"
	@find nexus_sched/_kernel -name '*.c' ! -newer setup.py -delete  # its directives are part of them
	@$(call watched,$(PIP) install -c constraints.txt --group build)
	@$(call watched,$(PIP) install -c constraints.txt --no-build-isolation -e '.[demo]')
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "Installing the tools that tests need"
	@$(call watched,$(PIP) install -c constraints.txt --group dev)
	@touch $@
