# `make run` and `make test` need python3 (3.11 or newer) with pip. They install everything else inside the project.
PYTHON ?= python3
VENV := .venv/bin
SAM := SAM_CLI_TELEMETRY=0 .local/tools/sam/bin/sam
# Arguments of pytest: files, names or options.
ARGS ?=
# Each worker starts its own PostgreSQL, so a few tests are quicker without workers. ARGS may contain another -n.
PYTEST = $(VENV)/python -m pytest -n $(if $(ARGS),0,$(1)) $(ARGS)
BENCHMARK := PYTHONPATH=.:layers/common/python:layers/background/python $(VENV)/python
CODE := functions layers local
# Folders with packages of npm.
NPM := local/mail tests/clients $(patsubst %/package.json,%,$(wildcard local/tools/*/package.json))
# CPU architecture of functions and layers: arm64 or x86_64. Must equal the parameter Architecture of the stack.
ARCHITECTURE ?= arm64

.PHONY: help run grpc mails sam-local sam-events sam-image test test-all lint build size benchmark load cold-start durations generate lock clean

help:
	@echo "make run         install missing packages and run the whole system on this machine (Ctrl-C stops it)"
	@echo "make grpc        beside make run: serve UsersService by gRPC on port 7002"
	@echo "make mails       write every mail in every language into .local/mails"
	@echo "make sam-local   beside make run: prepare for sam local, which runs functions in containers (Ctrl-C ends it)"
	@echo "make sam-events  beside make run: write events with fresh tokens into .local/sam/events"
	@echo "make sam-image   build a substitute for Amazon's image where its registry is unreachable"
	@echo "make test        run the tests but the long ones, in under 5 minutes. ARGS=tests/cli runs only these"
	@echo "make test-all    run all tests. It takes ARGS too"
	@echo "make lint        run ruff, mypy --strict, the prose check, cfn-lint, sam validate --lint and checkov"
	@echo "make build       build the functions and layers for deployment, by sam build"
	@echo "make size        build, and show the sizes of layers and packages beside Lambda's limits"
	@echo "make benchmark   measure imports, CPU of a request, searches and removals beside upstream's, and the relay"
	@echo "make load        measure the running system under load, beside a monolith. ARGS=--help shows the options"
	@echo "make cold-start  measure cold starts of every function, of an empty function and of a monolith"
	@echo "make durations   measure the billed duration of warm calls, for docs/cost.md"
	@echo "make generate    write openapi.json, tables and picture of docs/, gRPC messages, authorities of RDS"
	@echo "make lock        pin the newest versions that the files *.in allow"
	@echo "make clean       remove builds and installed packages. The local database in .local stays"

# make starts a simple command without a shell, so that Python receives the signals, and the end of make.
run:
	@$(PYTHON) local/install.py run

# UsersService for other services. It reads the database of `make run`, or the database of MG_USERS_DB_*.
grpc:
	@$(PYTHON) local/install.py install local
	@PYTHONPATH=layers/common/python:layers/background/python exec $(VENV)/python -m background.users_service

# Rendering mails needs no package.
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

# Three workers keep two cores busy while tests wait for the parts. The long tests start more processes themselves.
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
	$(VENV)/python -m local.prose
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
	$(VENV)/python -m local.lock --upgrade
	for folder in $(NPM); do (cd $$folder && \
		npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund) || exit; done

# Takes five minutes. Run it on an idle machine.
cold-start:
	@$(PYTHON) local/install.py install dev sam
	$(BENCHMARK) benchmarks/cold_start.py

durations:
	@$(PYTHON) local/install.py install dev sam
	$(BENCHMARK) benchmarks/durations.py

# Takes five minutes. Run it on an idle machine.
load:
	@$(PYTHON) local/install.py install dev mail
	$(BENCHMARK) benchmarks/load.py $(ARGS)

# Takes ten minutes, with a million users. Run it on an idle machine.
benchmark:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python benchmarks/imports.py
	$(BENCHMARK) benchmarks/cpu.py
	$(BENCHMARK) benchmarks/search.py
	$(BENCHMARK) benchmarks/sweep.py
	$(BENCHMARK) benchmarks/relay.py

# The generated files are committed. A test fails when they are out of date.
generate:
	@$(PYTHON) local/install.py install dev certificates diagram viewer
	$(VENV)/python -m local.docs
	$(VENV)/python -m local.certificates
	cd layers/common/python && $(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. users/peers/proto/*.proto
	cd layers/background/python && \
		$(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. background/*/proto/*.proto

clean:
	rm -rf .venv .aws-sam .local/sam .local/tools .mypy_cache .ruff_cache .pytest_cache .hypothesis $(addsuffix /node_modules,$(NPM))
	find functions layers local tests -name __pycache__ -prune -exec rm -rf {} +
