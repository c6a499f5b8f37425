# `make run` and `make test` need python3 (3.11 or newer) with pip; everything else is installed inside the project.
PYTHON ?= python3
VENV := .venv/bin
SAM := SAM_CLI_TELEMETRY=0 .local/tools/sam/bin/sam
# What to run of the tests, as pytest takes it: files, names, options.
ARGS ?=
# Each worker starts a PostgreSQL of its own, so a few tests are quicker without workers. ARGS may hold another -n.
PYTEST = $(VENV)/python -m pytest -n $(if $(ARGS),0,$(1)) $(ARGS)
BENCHMARK := PYTHONPATH=.:layers/common/python:layers/background/python $(VENV)/python
CODE := functions layers local
# CPU architecture of functions and layers: arm64 or x86_64.
ARCHITECTURE ?= arm64

.PHONY: help run grpc mails sam-local sam-events sam-image test test-all lint build size benchmark load cold-start durations generate lock clean

help:
	@echo "make run         install what is missing and run the whole system on this machine (Ctrl-C stops it)"
	@echo "make grpc        beside make run: the UsersService of gRPC, on port 7002"
	@echo "make mails       write every mail in every language into .local/mails, to look at"
	@echo "make sam-local   beside make run: let sam local run the functions in containers (Ctrl-C ends it)"
	@echo "make sam-events  beside make run: write the events with fresh tokens into .local/sam/events"
	@echo "make sam-image   make a stand-in for Amazon's image, where its registry cannot be reached"
	@echo "make test        the tests without the long ones, under 5 minutes; ARGS=tests/cli runs just those"
	@echo "make test-all    all tests, those of the local Auth and gateway too; it takes ARGS as well"
	@echo "make lint        ruff, mypy --strict, cfn-lint, sam validate --lint, checkov"
	@echo "make build       sam build: the functions and layers as they are deployed"
	@echo "make size        build, and say how large each layer and package is, against Lambda's limits"
	@echo "make benchmark   import times, CPU of a request, searches and removals beside upstream's, the relay"
	@echo "make load        the running system under load, beside a monolith; ARGS=--help tells the options"
	@echo "make cold-start  starts of every function beside a bare one's and a monolith's"
	@echo "make durations   what Lambda would bill of warm calls, for docs/cost.md"
	@echo "make generate    openapi.json, tables and picture of docs/, gRPC messages, authorities of RDS"
	@echo "make lock        pin the newest versions that the requirements*.in files allow"
	@echo "make clean       remove what was built and installed; the local database in .local stays"

# One simple command, so that make starts Python without a shell between them (signals, and the end of make, reach it).
run:
	@$(PYTHON) local/install.py run

# UsersService for other services; against what `make run` runs, or the database of MG_USERS_DB_*.
grpc:
	@$(PYTHON) local/install.py install local
	@PYTHONPATH=layers/common/python:layers/background/python exec $(VENV)/python -m background.users_service

# Nothing to install: what renders the mails needs Python alone.
mails:
	@PYTHONPATH=layers/common/python:layers/background/python $(PYTHON) -m background.mail.templates .local/mails

sam-local:
	@$(PYTHON) local/install.py install local sam
	@exec $(VENV)/python -m local.sam_local serve

sam-events:
	@$(VENV)/python -m local.sam_local events

sam-image:
	@$(PYTHON) local/install.py install local
	@$(VENV)/python -m local.sam_local image

# Three workers keep two cores busy while tests wait for the parts. The long tests start more by themselves.
test:
	@$(PYTHON) local/install.py install dev mail clients diagram viewer
	$(call PYTEST,3) -m "not long" $(if $(ARGS),,tests)

test-all:
	@$(PYTHON) local/install.py install dev mail clients diagram viewer browser sam
	$(call PYTEST,2)

lint:
	@$(PYTHON) local/install.py install dev sam checkov
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy --strict $(CODE)
	$(VENV)/cfn-lint template.yaml
	$(SAM) validate --lint --template template.yaml
	$(VENV)/python -m local.gateway transform > .local/cloudformation.json
	$(VENV)/cfn-lint .local/cloudformation.json
	.local/tools/checkov/bin/checkov --config-file .checkov.yaml --file .local/cloudformation.json

build:
	@$(PYTHON) local/install.py install sam
	$(SAM) build --parameter-overrides Architecture=$(ARCHITECTURE)

size: build
	$(PYTHON) -m layers.sizes .aws-sam/build

lock:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python local/lock.py --upgrade
	for folder in local/mail tests/clients local/tools/pyodide local/tools/certificates local/tools/diagram local/tools/viewer; do (cd $$folder && \
		npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund); done

# Every function's first answer beside a monolith's, five minutes; on a machine that does nothing else.
cold-start:
	@$(PYTHON) local/install.py install dev sam
	$(BENCHMARK) benchmarks/cold_start.py

durations:
	@$(PYTHON) local/install.py install dev sam
	$(BENCHMARK) benchmarks/durations.py

# The running system beside a monolith, five minutes; on a machine that does nothing else. ARGS="--help" tells the options.
load:
	@$(PYTHON) local/install.py install dev mail
	$(BENCHMARK) benchmarks/load.py $(ARGS)

# A million users and ten minutes; on a machine that does nothing else.
benchmark:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python benchmarks/imports.py
	$(BENCHMARK) benchmarks/cpu.py
	$(BENCHMARK) benchmarks/search.py
	$(BENCHMARK) benchmarks/sweep.py
	$(BENCHMARK) benchmarks/relay.py

# Generated files, which are committed: a test fails when they are not up to date.
generate:
	@$(PYTHON) local/install.py install dev certificates diagram viewer
	$(VENV)/python -m local.docs
	$(VENV)/python -m local.certificates
	cd layers/common/python && $(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. users/peers/proto/*.proto
	cd layers/background/python && \
		$(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. background/*/proto/*.proto

clean:
	rm -rf .venv .aws-sam .local/sam .local/tools local/mail/node_modules tests/clients/node_modules local/tools/pyodide/node_modules local/tools/certificates/node_modules local/tools/diagram/node_modules local/tools/viewer/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find functions layers local tests -name __pycache__ -prune -exec rm -rf {} +
