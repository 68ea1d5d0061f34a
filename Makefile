# make demo   the whole path on real photos, through a real MQTT broker
# make test   everything that is checked: style, types, imports, tests
# make check  the same without the tests
# make bench  how fast the entropy coder is
# make fuzz   a million mutated packets, and as many streams into the C decoder under sanitisers
# make soak   a million frames through a node: memory and descriptors stay; half an hour
# make chaos  node, broker and gateway killed again and again: some minutes, two idle cores
# make pi-test an emulated Raspberry Pi beside this machine; needs root, and ten minutes
# make wheels what a node installs: dist/*.whl for x86-64, for 64-bit ARM, and for anything else
# make clean  removes .venv, caches, and all results in out
# Each but the last sets up .venv by itself; a second run is quick.

PYTHON ?= python3
BIN := .venv/bin
STAMPS := .venv/stamps
SETUP := pyproject.toml hatch_build.py $(wildcard codec/tactic_codec/*.[ch])

.PHONY: demo test chaos fuzz soak check bench wheels pi-test clean
.DELETE_ON_ERROR:

# --train needs torch, which the demo itself does without
demo: $(if $(findstring --train,$(ARGS)),$(STAMPS)/dev,$(STAMPS)/demo)
	@$(BIN)/tactic demo $(ARGS)

test: $(STAMPS)/dev check
	@echo "== tests"
	@$(BIN)/python -m pytest -q -n logical --dist worksteal $(ARGS)

chaos: $(STAMPS)/dev
	@PYTHONPATH=tests $(BIN)/python -m rig.chaos $(ARGS)

soak: $(STAMPS)/dev
	@PYTHONPATH=tests $(BIN)/python -m rig.soak $(ARGS)

fuzz: $(STAMPS)/dev
	@PYTHONPATH=tests $(BIN)/python -m rig.fuzz $(ARGS)

check: $(STAMPS)/dev
	@echo "== style, types, imports"
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

pi-test: $(STAMPS)/dev wheels
	@PYTHONPATH=tests $(BIN)/python -m rig.pi $(ARGS)

bench: $(STAMPS)/dev
	@$(BIN)/python bench/coder.py $(ARGS)

wheels: $(STAMPS)/wheels
	@rm -rf dist
	@for each in x86_64 aarch64 any; do \
	  TACTIC_WHEEL=$$each $(BIN)/python -m hatchling build -t wheel -d dist || exit 1; done

$(STAMPS)/demo $(STAMPS)/dev $(STAMPS)/wheels: $(STAMPS)/%: $(SETUP)
	@test -x $(BIN)/python || { echo "== creating .venv" >&2; $(PYTHON) -m venv .venv; }
	@echo "== installing tactic-edge[$*] into .venv (the first time takes a few minutes)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar on -e '.[$*]' >&2
	@mkdir -p $(STAMPS) && touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis out
