# `make run` and `make test` need python3 (3.11 or newer) with pip; everything else is installed inside the project.
PYTHON ?= python3
VENV := .venv/bin
SAM := SAM_CLI_TELEMETRY=0 .local/tools/sam/bin/sam
PYTEST := $(VENV)/python -m pytest -n 2
CODE := functions layers local

.PHONY: help run mails test test-all lint build benchmark generate lock clean

help:
	@echo "make run       install what is missing and run the whole system on this machine (Ctrl-C stops it)"
	@echo "make mails     every mail in every language as files in .local/mails, to look at"
	@echo "make test      the tests without the long ones, under 5 minutes"
	@echo "make test-all  all tests"
	@echo "make lint      ruff, mypy --strict, cfn-lint, sam validate --lint"
	@echo "make build     sam build: the functions and layers as they are deployed"
	@echo "make benchmark  import times, and searches over a million users beside upstream's"
	@echo "make generate  openapi.json and the gRPC messages, from openapi.yaml and the .proto files"
	@echo "make lock      pin the newest versions that the requirements*.in files allow"
	@echo "make clean     remove what was built and installed; the local database in .local stays"

# One simple command, so that make starts Python without a shell between them (signals, and the end of make, reach it).
run:
	@$(PYTHON) local/install.py run

# Nothing to install: what renders the mails needs Python alone.
mails:
	@PYTHONPATH=layers/common/python:layers/operations/python $(PYTHON) -m operations.mails .local/mails

test:
	@$(PYTHON) local/install.py install dev mail clients
	$(PYTEST) -m "not long"

test-all:
	@$(PYTHON) local/install.py install dev mail clients browser sam
	$(PYTEST)

lint:
	@$(PYTHON) local/install.py install dev sam
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy --strict $(CODE)
	$(VENV)/cfn-lint template.yaml
	$(SAM) validate --lint --template template.yaml

build:
	@$(PYTHON) local/install.py install sam
	$(SAM) build

lock:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python local/lock.py --upgrade
	for folder in local/mail tests/clients; do (cd $$folder && \
		npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund); done

# A million users and ten minutes; on a machine that does nothing else.
benchmark:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python benchmarks/imports.py
	PYTHONPATH=.:layers/common/python:layers/operations/python $(VENV)/python benchmarks/search.py

# Generated files, which are committed: a test fails when they are not up to date.
generate:
	@$(PYTHON) local/install.py install dev
	$(VENV)/python -m local.docs
	cd layers/common/python && $(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. users/proto/*.proto
	cd layers/operations/python && \
		$(CURDIR)/$(VENV)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. operations/proto/*.proto

clean:
	rm -rf .venv .aws-sam .local/tools local/mail/node_modules tests/clients/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find functions layers local tests -name __pycache__ -prune -exec rm -rf {} +
