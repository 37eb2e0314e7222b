# Everything a newcomer or CI types. `make` alone says what there is.
SHELL := /bin/bash
PYTHON := .venv/bin/python
PACKAGES := contract orchestrator appliance neutron devcloud
SOURCES := $(PACKAGES:%=%/src)
JSON ?=

.PHONY: help setup demo demo-down demo-wipe test test-quiet lint types imports pytest unit docs bench scale chaos image image-elements image-test

help: ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: ## Install missing Debian packages and the Python environment (idempotent)
	@scripts/setup

demo: setup ## Bring up the cloud and the orchestrator, play a tenant's story, leave all running
	@.venv/bin/astara-devcloud demo $(if $(JSON),--json)

demo-down: ## Stop everything that the demo started
	@if [ -x .venv/bin/astara-devcloud ]; then .venv/bin/astara-devcloud down; fi

demo-wipe: ## Stop everything and remove its data
	@if [ -x .venv/bin/astara-devcloud ]; then .venv/bin/astara-devcloud wipe; fi

test: setup lint types imports pytest ## Lint, types, import contracts, then all tests

lint: ## Check style and format
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: ## Check types
	.venv/bin/mypy $(SOURCES) lab

imports: ## Check who may import whom
	.venv/bin/lint-imports

pytest: ## Run all tests: unit, functional, then end to end on one shared cloud
	$(PYTHON) -m pytest $(ARGS)

test-quiet: setup ## Run the long tests and those that judge times, on a machine that does nothing else
	$(PYTHON) -m pytest -m quiet $(ARGS)

unit: ## Run the quick tests only
	$(PYTHON) -m pytest -m "not functional and not cloud and not quiet" $(ARGS)

docs: ## Write the generated reference pages
	$(PYTHON) -m astara.machine.diagram docs/state-machine.md
	$(PYTHON) -m astara_contract.reference docs/reference
	$(PYTHON) -m astara.metrics_page docs/reference/metrics.md
	$(PYTHON) -m astara_appliance.api.openapi docs/reference/appliance-api.json

chaos: setup ## Break the cloud at random for about ten minutes and see it come right (root; SEED=, FAULTS=, ARGS="--every --json FILE")
	$(PYTHON) tests/chaos $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

bench: setup ## Measure against peers and write docs/benchmarks.md (root, namespaces; QUICK=1 for a glance)
	$(PYTHON) -m bench $(if $(QUICK),--quick) $(ARGS)

scale: setup ## Measure the orchestrator with 1,000 and 10,000 simulated routers (root, namespaces; ARGS="--routers 2000")
	$(PYTHON) tests/scale $(ARGS)

image: ## Build the bootable image of an appliance (OPTIONS="nginx debug-user"; see docs/image.md)
	@scripts/setup image/build-packages.txt
	image/build $(OPTIONS)

image-elements: ## Build the same contents with diskimage-builder, to a tar (OPTIONS as above)
	@scripts/setup image/build-packages.txt
	image/build-elements $(OPTIONS)

image-test: ## Boot the image under QEMU (software emulation) and route a packet through it
	@scripts/setup image/build-packages.txt
	image/boot-test
