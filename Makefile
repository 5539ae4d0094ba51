# make reproduce   install what is needed, run the pipeline, print a summary, where the report is, and whether
#                  the claims of docs/claims.yaml hold
# make test        install what is needed, run the tests
#
# CONFIG=config/lecture.yaml make reproduce   another config
# BACKENDS=torch,jax make reproduce           a subset of the backends
# SEEDS=100 make reproduce                    fresh seeds, from 100 on, with results of their own: claims are tested on
#                                             runs that are not the reference's again

PYTHON ?= python3
CONFIG ?= config/config.yaml
BACKENDS ?=
SEEDS ?=

SHELL := /bin/bash
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

REQUIREMENTS := $(wildcard backends/*/requirements.txt)
EXAMPLES := $(wildcard examples/*/requirements.txt)

.PHONY: reproduce test check install clean

reproduce: install
	@set -o pipefail; config=$(CONFIG); \
	$(if $(SEEDS),config=$$(lockstep fresh --config $(CONFIG) --from $(SEEDS)) || exit;) \
	options="--config $$config $(if $(BACKENDS),--backends $(BACKENDS))"; \
	lockstep plan $$options | tail -n 1 || exit; \
	snakemake --cores all --configfile $$config $(if $(BACKENDS),--config backends=$(BACKENDS)); \
	status=$$?; \
	lockstep summary $$options; \
	lockstep check $$options; checked=$$?; \
	[ $$status -eq 0 ] || exit $$status; exit $$checked

test: install
	python -m pytest

# What a contributor runs before a commit: style, types, and the linters of the pipeline.
check: install
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflows
	snakemake --lint

install: .venv/installed

# The stamp is written last: an interrupted installation is taken up again.
.venv/installed: pyproject.toml constraints.txt $(REQUIREMENTS) $(EXAMPLES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lockstep needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	@echo "installing into .venv; a few minutes and about 4 GB, once"
	@python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(addprefix --requirement ,$(REQUIREMENTS)) --editable '.[test,oracle,peers]'
	@python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps torchattacks
	@python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --only-binary :all: \
		$(addprefix --requirement ,$(EXAMPLES)) || echo "left out, no wheels for this machine: $(EXAMPLES)"
	@touch $@

clean:
	rm -rf .venv
