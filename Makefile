# Two commands do everything: `make run` and `make test`. Both set up what they need first and say so.
PYTHON := .venv/bin/python
SOURCES := modules/gateway/src standin/src certs/src tests tools bench device-firmware/tools

.DEFAULT_GOAL := help
.PHONY: help setup peers run test bench compiled firmware board-sim flash crash soak compatibility screenshots manifest image image-arm image-debug release devcontainer-test check check-types check-house fuzz format docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## make .venv with the locked packages
	@tools/setup

peers: setup ## install the programs of others that the tests run against
	@tools/peers

run: setup ## stand-in, gateway and three boards; watch messages being routed and arriving
	@$(PYTHON) tools/demo.py

test: peers ## all tests, with real clients
	@$(PYTHON) tools/run_tests.py

bench: setup ## the gateway beside mosquitto, its bridge, amqtt and RabbitMQ: ROUNDS=5, or BENCH=--quick for three minutes
	@tools/bench_peers
	@$(PYTHON) tools/compile_line.py
	@PYTHONPATH=bench $(PYTHON) -m sidebyside $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCH)

compiled: setup ## compile the straight line of a message into build/compiled (needs gcc)
	@$(PYTHON) tools/compile_line.py

firmware: peers ## compile and pack the boards' programs into build/firmware; print sizes and free heap
	@$(PYTHON) device-firmware/tools/build.py
	@$(PYTHON) -m pytest -q -s tests/firmware/test_sizes.py

board-sim: setup ## boards against the gateway of `make run`: N=50, SECONDS=60, or SIM="--address … --data …"
	@$(PYTHON) tools/board_sim.py --boards $(or $(N),50) --seconds $(or $(SECONDS),60) $(or $(SIM),--cloud run/cloud)

flash: setup ## put MicroPython and our program onto a board: PORT=… KEY=….public.pem BUNDLE=….fw (docs/flash.md)
	@$(PYTHON) tools/flash.py $(if $(PORT),--port $(PORT)) $(if $(IMAGE),--image $(IMAGE)) $(if $(SHA256),--sha256 $(SHA256)) \
		$(if $(KEY),--key $(KEY)) $(if $(BUNDLE),--bundle $(BUNDLE)) $(if $(BOARD),--board $(BOARD)) $(if $(CONFIG),--config $(CONFIG))

crash: peers ## kill the gateway and cut its power under load: CYCLES=200 of each, SEED=1, KIND=all
	@PYTHONPATH=tests $(PYTHON) -m crash --cycles $(or $(CYCLES),200) --seed $(or $(SEED),1) --kind $(or $(KIND),all)

soak: peers ## a thousand devices, an upstream that comes and goes: MINUTES=10, DEVICES=1000
	@PYTHONPATH=tests $(PYTHON) -m soak --minutes $(or $(MINUTES),10) --devices $(or $(DEVICES),1000)

compatibility: peers ## run the clients of others and write docs/compatibility.md from what is seen
	@COMPATIBILITY_PAGE=write $(PYTHON) -m pytest -q tests/peers

screenshots: peers ## make the pictures of docs/screenshots again, by the tests of the pages
	@SCREENSHOTS=write $(PYTHON) -m pytest -q tests/browser

manifest: setup ## a deployment manifest of a template: PLATFORM=arm64v8, TEMPLATE="deployment.layered.template.json …"
	@$(PYTHON) tools/manifest.py $(TEMPLATE) --platform $(or $(PLATFORM),amd64)

image: setup ## the gateway's image, by docker or podman: PLATFORM=arm64v8, COMPILED=no
	@$(PYTHON) tools/image.py $(if $(PLATFORM),--platform $(PLATFORM)) $(if $(filter no,$(COMPILED)),--plain)

image-debug: setup ## the same, plain Python behind debugpy on port 5678
	@$(PYTHON) tools/image.py --debug $(if $(PLATFORM),--platform $(PLATFORM))

image-arm: setup ## both images for ARM, built and started here under emulation (docs/images.md)
	@$(PYTHON) tools/image.py --platform arm

release: setup ## changelog, tag and files of a release: VERSION=1.4.0, IMAGES="amd64 arm64v8" or none, DRY=1
	@$(PYTHON) tools/make_release.py $(VERSION) $(if $(IMAGES),--images "$(IMAGES)") $(if $(DRY),--dry-run)

devcontainer-test: setup ## build the dev container, enter it and look around; needs root and registries
	@tools/devcontainer_test

check: setup ## format, lint, types, docs
	@$(MAKE) --no-print-directory --jobs 2 --output-sync check-types check-house

check-types: # as long as all else, and on one core: beside it
	@.venv/bin/mypy

check-house:
	@.venv/bin/ruff format --check $(SOURCES)
	@.venv/bin/ruff check $(SOURCES)
	@$(PYTHON) tools/generate_docs.py --check
	@$(PYTHON) -m pytest -q tests/project

fuzz: setup ## hostile packets and frames against a running gateway: CASES=20000 SEED="1 2 3 4 5"
	@FUZZ_CASES=$(or $(CASES),20000) FUZZ_SEEDS="$(or $(SEED),1 2 3 4 5)" \
		$(PYTHON) -m pytest -q -s --timeout=3600 tests/hostile/test_fuzz.py tests/hostile/test_amqp_fuzz.py

format: setup ## rewrite the sources in the house's format
	@.venv/bin/ruff format $(SOURCES)
	@.venv/bin/ruff check --fix $(SOURCES)

docs: setup ## write the generated pages again
	@$(PYTHON) tools/generate_docs.py
	@$(PYTHON) tools/dockerfiles.py

lock: setup ## resolve the dependencies again, for every platform
	@tools/lock

clean: ## remove what was installed and generated here
	rm -rf .venv build run .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/peers/node/node_modules
