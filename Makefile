# Needs git, make and Python >= 3.11; all else goes into .venv. `make` alone lists what there is.

VENV := .venv
BIN := $(VENV)/bin
FULL := $(VENV)/.installed-all
EMBEDDED := $(VENV)/.installed-embedded
MADE := $(VENV)/.made
TIMED := sh .ci/timed
PYTEST := $(BIN)/python -m pytest
SEEDS ?= 1000
MINUTES ?= 5
COMPILED_EDGE := $(addprefix tests/edge/,test_fuzz_session.py test_mailbox.py test_ring.py test_session.py test_socket.py \
  test_sse.py test_tally.py resume)
ARGS ?=
# A process that finds no bytecode compiles all that it imports: half of the CPU that a worker takes to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install compiled demo test lint tests test-compiled test-browser test-cluster simulate chaos bench bench-cluster bench-edge lock docs format clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /|/' | while IFS='|' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

install: compiled  ## make .venv with everything in it, the fanbell command included; nothing to do, nothing done

demo: | $(MADE)  ## start Fanbell with a small synthetic town in it, and print the page's address
	@test -e $(FULL) -a ! requirements.lock -nt $(FULL) || $(MAKE) --no-print-directory $(EMBEDDED)
	@exec $(BIN)/fanbell demo $(ARGS)

test: install  ## install, lint, and all tests, with the time that each part took
	@$(MAKE) --no-print-directory lint tests test-compiled test-browser test-cluster

lint: $(FULL)  ## ruff and strict mypy
	@$(TIMED) "lint: ruff check" $(BIN)/ruff check --quiet .
	@$(TIMED) "lint: ruff format" $(BIN)/ruff format --check --quiet .
	@$(TIMED) "lint: mypy --strict" $(BIN)/mypy

tests: compiled  ## the tests alone; ARGS="-k word" goes to pytest
	@$(PYTEST) -n 2 --dist worksteal -m "not cluster and not browser" $(ARGS)

test-compiled: compiled  ## those of the core and the edge again, as they are compiled
	@test -d .compiled || echo "skipped: the core is not compiled, since there is no C compiler"
	@test ! -d .compiled || FANBELL_TEST_COMPILED=1 $(PYTEST) -n 2 --dist worksteal -m "not cluster and not browser and not interpreted" \
	  tests/schemas tests/streams tests/scenarios tests/projections $(COMPILED_EDGE) $(ARGS)

test-browser: compiled  ## the tests of the edge with real clients: Chromium, Node, many sockets
	@sh .ci/browser
	@$(PYTEST) -n 2 --dist worksteal -m browser $(ARGS)

test-cluster: compiled  ## the tests that need a real Kafka and Cassandra; they start them (JDK 17 and Maven)
	@$(PYTEST) -n 3 --dist worksteal -m cluster $(ARGS)  # they mostly wait

simulate: compiled  ## the simulation with more seeds than the tests run: SEEDS=10000
	@$(BIN)/python -m tests.simulation.run --seeds $(SEEDS)

chaos: compiled  ## faults at random on real servers, then a report: MINUTES=5 SEED=1 ARGS="--brokers 3"
	@$(BIN)/python -m tests.cluster.faults.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: compiled  ## every benchmark, a JSON line each, into benchmarks/results/
	@$(BIN)/python -m benchmarks.run_all $(ARGS)

bench-cluster: compiled  ## the same for the cluster: it starts a Kafka and a Cassandra (JDK 17 and Maven)
	@$(BIN)/python -m benchmarks.run_all cluster $(ARGS)

bench-edge: compiled  ## the same for the edge alone, with thousands of sockets (a C compiler; Chromium for the element)
	@$(BIN)/python -m benchmarks.run_all edge $(ARGS)

lock: $(FULL)  ## resolve the lock files anew; UPGRADE=--upgrade takes the newest versions
	@sh .ci/lock $(BIN)/uv $(UPGRADE)

docs: $(FULL)  ## write docs/reference.md anew from the tables in the code
	@$(BIN)/python -m docs.generate

format: $(FULL)  ## ruff format, and the fixes that ruff is sure of
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

clean:  ## remove what this file makes: .venv, caches, the demo's folder
	rm -rf $(VENV) .compiled .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist fanbell.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@sh .ci/venv $(VENV)
	@touch $@

# All from the lock, with hashes. uv does in 2 s what takes pip 16; pip installs it, by the same lock.
$(FULL): pyproject.toml requirements.lock .ci/venv .ci/install | $(MADE)
	@sh .ci/install $(VENV) all
	@touch $@

# The demo needs a quarter of that, so a slow line gets it by plain pip: less to fetch than uv alone.
$(EMBEDDED): pyproject.toml requirements-embedded.lock .ci/venv .ci/install | $(MADE)
	@sh .ci/install $(VENV) embedded
	@touch $@

# Done anew when its sources have changed, which it finds out itself. Without a C compiler it says so, and all else works.
compiled: $(FULL)
	@sh .ci/compile $(VENV)
