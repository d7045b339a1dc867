# Everything runs on Python >= 3.11 (venv, pip), Node >= 20 with npm, and make. No root, no Docker, no Redis.
# Set-up steps leave a stamp file behind, so they run again only when what they depend on has changed.

PYTHON ?= python3
NODE_CLIENT := clients/node
NODE_BIN := $(NODE_CLIENT)/node_modules/.bin
BIN := .venv/bin
PIP_FLAGS := --quiet --disable-pip-version-check
# Tests wait more than they work, so more of them run at a time than there are cores. 0 workers: in one process, for -s and --pdb.
TEST_WORKERS ?= 4
# Files of Node tests at a time. Those that take longest are begun first, and wait for most of their time.
TEST_FILES ?= 8
# Compiled modules are kept, whatever the environment says: else each process compiles all of ours, and all tests, again.
export PYTHONDONTWRITEBYTECODE :=

PYTHON_READY := .venv/.stamp
BENCH_READY := .venv/.stamp-bench
GENERATE_READY := .venv-generate/.stamp
DOCS_READY := .venv-docs/.stamp
NODE_READY := $(NODE_CLIENT)/node_modules/.stamp
NODE_BUILT := $(NODE_CLIENT)/dist/.stamp
NODE_PEER := tests/conformance/peers/node
NODE_PEER_BUILT := $(NODE_PEER)/build/.stamp
# Other people's files in the dashboard, and a Chromium for its tests where there is none on PATH.
DASHBOARD := gateway/dashboard
DASHBOARD_READY := $(DASHBOARD)/node_modules/.stamp
CHROMIUM := $(firstword $(TEST_CHROMIUM) $(foreach name,chromium chromium-browser google-chrome google-chrome-stable,$(shell command -v $(name) 2>/dev/null)))
BROWSER_READY := $(if $(CHROMIUM),,tests/e2e/node_modules/.stamp)
NODE_SOURCES := $(shell find $(NODE_CLIENT)/src -name '*.ts' 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- set up ---------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(PYTHON_READY) $(NODE_BUILT) $(NODE_PEER_BUILT) $(DASHBOARD_READY) $(BROWSER_READY) ## Install everything that demo and test need

$(PYTHON_READY): requirements/dev.txt clients/python/pyproject.toml gateway/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e clients/python -e gateway
	@touch $@

$(BENCH_READY): requirements/bench.txt $(PYTHON_READY)
	$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/bench.txt
	@touch $@

bench/node_modules/.stamp: bench/package-lock.json
	cd bench && npm ci --ignore-scripts --silent
	@touch $@

$(GENERATE_READY): requirements/generate.txt
	$(PYTHON) -m venv .venv-generate
	.venv-generate/bin/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/generate.txt
	@touch $@

$(DOCS_READY): requirements/docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install $(PIP_FLAGS) --require-hashes -r requirements/docs.txt
	@touch $@

$(NODE_READY): $(NODE_CLIENT)/package.json $(NODE_CLIENT)/package-lock.json
	@node -e 'if (parseInt(process.versions.node) < 20) { console.error("Node 20 or newer is needed"); process.exit(1); }'
	cd $(NODE_CLIENT) && npm ci --ignore-scripts --silent
	@touch $@

$(DASHBOARD_READY): $(DASHBOARD)/package-lock.json $(DASHBOARD)/vendor.js
	cd $(DASHBOARD) && npm ci --ignore-scripts --silent && npm run --silent vendor
	@touch $@

tests/e2e/node_modules/.stamp: tests/e2e/package-lock.json tests/e2e/chromium.mjs
	cd tests/e2e && npm ci --ignore-scripts --silent && node chromium.mjs >/dev/null
	@touch $@

$(NODE_BUILT): $(NODE_READY) $(NODE_CLIENT)/tsconfig.json $(NODE_SOURCES)
	cd $(NODE_CLIENT) && npm run --silent build
	@mkdir -p examples/node_modules && ln -sfn ../../$(NODE_CLIENT) examples/node_modules/tieline
	@touch $@

# A stack is left out where its tool is not installed.
STACKS := $(if $(shell command -v go 2>/dev/null),go) $(if $(shell command -v mvn 2>/dev/null),java)
PROTOS := $(wildcard proto/tieline/v1/*.proto)
STACK_go := examples/go/bin/example
STACK_java := examples/java/target/example.jar

$(STACK_go): $(PROTOS) $(shell find examples/go -name '*.go' -not -path '*/wire/*') $(wildcard examples/go/go.* examples/go/*.yaml) | $(PYTHON_READY)
	cd examples/go && PATH="$(CURDIR)/$(BIN):$$PATH" go generate . && go vet ./... && go build -o bin/example .
	@test -z "$$(cd examples/go && gofmt -l *.go tieline)" || { echo "run gofmt -w in examples/go"; exit 1; }

$(STACK_java): $(PROTOS) $(shell find examples/java/src -name '*.java') examples/java/pom.xml
	cd examples/java && mvn -q -B package

$(NODE_PEER_BUILT): $(NODE_BUILT) $(NODE_PEER)/tsconfig.json $(wildcard $(NODE_PEER)/*.ts $(NODE_PEER)/contract/*.ts)
	@mkdir -p $(NODE_PEER)/node_modules && ln -sfn $(CURDIR)/$(NODE_CLIENT) $(NODE_PEER)/node_modules/tieline
	@ln -sfn $(CURDIR)/$(NODE_CLIENT)/node_modules/@bufbuild $(CURDIR)/$(NODE_CLIENT)/node_modules/@types $(NODE_PEER)/node_modules
	$(NODE_BIN)/tsc -p $(NODE_PEER)
	@touch $@

# --- use ------------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## See services in two languages talk
	$(BIN)/python -m examples.demo

.PHONY: test
test: test-python test-node ## Run all tests, in both languages

.PHONY: test-python
test-python: setup ## Run the tests that pytest drives
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(PYTEST_ARGS)

.PHONY: test-node
test-node: setup ## Run the Node client's own tests, beside a private server
	cd $(NODE_CLIENT) && rm -rf build-test && $(NODE_TESTS)

NODE_TESTS = TEST_FILES=$(TEST_FILES) PYTHONPATH=$(CURDIR) $(CURDIR)/$(BIN)/python -m tests.support.with_redis npm run --silent test

.PHONY: conformance
conformance: setup ## Show that every language behaves the same
	$(BIN)/python -m tests.conformance.runner $(CONFORMANCE_ARGS)

.PHONY: faults
faults: setup ## Kill, freeze and cut off real processes and servers
	FAULTS_FULL=1 $(BIN)/python -m pytest tests/faults tests/gateway/http/test_openapi.py -s $(PYTEST_ARGS)

.PHONY: bench
bench: setup $(BENCH_READY) bench/node_modules/.stamp ## Measure ourselves and our peers in one run (QUICK=1 for a short one)
	$(BIN)/python -m bench $(if $(QUICK),--quick)

.PHONY: docs
docs: $(DOCS_READY) ## Build the documentation site into build/site
	.venv-docs/bin/mkdocs build --strict

.PHONY: stacks
stacks: setup $(foreach stack,$(STACKS),$(STACK_$(stack))) ## Build and test examples/go and examples/java, where there is go or mvn
	@$(if $(filter go,$(STACKS)),,echo "stacks: Go is left out, there is no go on PATH")
	@$(if $(filter java,$(STACKS)),,echo "stacks: Java is left out, there is no mvn on PATH")
	$(if $(strip $(STACKS)),TEST_STACKS="$(strip $(STACKS))" $(BIN)/python -m pytest tests/stacks $(PYTEST_ARGS))

# --- keep in order --------------------------------------------------------------------------------------------------

.PHONY: check
check: setup $(GENERATE_READY) ## Lint, types, layers, and whether generated code is up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(NODE_BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	cd $(NODE_CLIENT) && npm run --silent check
	cd $(NODE_PEER) && $(CURDIR)/$(NODE_BIN)/biome check . && $(CURDIR)/$(NODE_BIN)/tsc -p . --noEmit
	cd gateway && $(CURDIR)/$(NODE_BIN)/biome check .
	cd proto && $(CURDIR)/$(BIN)/buf lint
	.venv-generate/bin/python proto/generate.py --check
	$(BIN)/python docs/reference.py --check

.PHONY: format
format: setup ## Let the formatters write
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	cd $(NODE_CLIENT) && node_modules/.bin/biome check --write .
	cd $(NODE_PEER) && $(CURDIR)/$(NODE_BIN)/biome check --write .
	cd gateway && $(CURDIR)/$(NODE_BIN)/biome check --write .

.PHONY: generate
generate: $(GENERATE_READY) $(NODE_READY) $(PYTHON_READY) ## Write both languages' generated folders from proto/, and docs/cli.md from the commands
	.venv-generate/bin/python proto/generate.py
	$(BIN)/python docs/reference.py

# uv is needed only here; its own version does not matter for what it writes.
UV_COMPILE = .venv-pins/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package tieline --custom-compile-command 'make pins'

.PHONY: pins
pins: ## Choose the newest versions again and write requirements/*.txt and the npm lock
	$(PYTHON) -m venv .venv-pins
	.venv-pins/bin/python -m pip install $(PIP_FLAGS) uv
	$(UV_COMPILE) clients/python/pyproject.toml gateway/pyproject.toml requirements/dev.in --all-extras -o requirements/dev.txt
	$(UV_COMPILE) requirements/generate.in -o requirements/generate.txt
	$(UV_COMPILE) requirements/docs.in -o requirements/docs.txt
	$(UV_COMPILE) requirements/bench.in -o requirements/bench.txt
	rm -rf .venv-pins
	@# In a folder of its own: beside an installed node_modules npm leaves the integrity of packages out of the lock.
	for folder in $(NODE_CLIENT) $(DASHBOARD) tests/e2e; do \
		rm -rf build/pins && mkdir -p build/pins && cp $$folder/package.json $(NODE_CLIENT)/.npmrc build/pins && \
		(cd build/pins && npm install --package-lock-only --ignore-scripts --silent) && \
		mv build/pins/package-lock.json $$folder/ || exit 1; \
	done; rm -rf build/pins

.PHONY: clean
clean: ## Remove everything that was set up or built
	rm -rf .venv .venv-generate .venv-pins $(NODE_CLIENT)/node_modules $(NODE_CLIENT)/dist $(NODE_CLIENT)/build-test
	rm -rf examples/go/bin examples/go/wire examples/java/target
	rm -rf $(NODE_PEER)/node_modules $(NODE_PEER)/build $(DASHBOARD)/node_modules tests/e2e/node_modules
	rm -rf gateway/src/tieline_gateway/dashboard/static/vendor
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
